//! Where the catalog and the parts are: by default in the data directory, else in stores that outlive this machine.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use catalog::store::PostgresAddress;
use serde::{Deserialize, Deserializer};
use vfs::{ObjectStoreAddress, ObjectStoreCredentials};

use super::secret;
use crate::mysql::auth::Secret;

/// Where a catalog is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogAddress {
    /// `redb:PATH`: a file, for one process.
    Redb(PathBuf),
    /// `postgres://…`: a schema of a PostgreSQL database.
    Postgres(PostgresAddress),
}

impl FromStr for CatalogAddress {
    type Err = anyhow::Error;

    /// What was written is not repeated in an error: it may hold a password.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "redb" => match text["redb:".len()..].trim_start_matches("//") {
                "" => bail!("the address of the catalog names no file: write it redb:PATH"),
                path if text.starts_with("redb://") && !path.starts_with('/') => {
                    bail!("the address of the catalog has a host, and a file has none: write it redb:PATH")
                }
                _ if text.starts_with("redb://") => Ok(Self::Redb(PathBuf::from(&text["redb://".len()..]))),
                path => Ok(Self::Redb(PathBuf::from(path))),
            },
            "postgres" | "postgresql" => Ok(Self::Postgres(PostgresAddress::parse(text)?)),
            "fdb" => bail!("a catalog on FoundationDB is not there yet: there are redb:PATH and postgres://…"),
            _ => bail!(
                "the address of the catalog begins with none of the stores that there are: write it redb:PATH, or \
                 postgres://user:password@host:port/database?schema=name"
            ),
        }
    }
}

/// As it was written, without a password.
impl fmt::Display for CatalogAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
            Self::Postgres(address) => address.fmt(f),
        }
    }
}

/// The catalog.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CatalogSection {
    /// Where it is; absent, it is a file in the data directory.
    #[serde(deserialize_with = "catalog_address")]
    pub url: Option<CatalogAddress>,
    /// Its password, for those who keep it out of the URL.
    #[serde(deserialize_with = "secret")]
    password: Secret,
    /// A file whose first line is the password; wins.
    password_file: Option<PathBuf>,
}

/// The object store.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectStoreSection {
    /// Where it is; absent, it is a folder of the data directory.
    #[serde(deserialize_with = "object_store_address")]
    pub url: Option<ObjectStoreAddress>,
    #[serde(deserialize_with = "secret")]
    access_key_id: Secret,
    #[serde(deserialize_with = "secret")]
    secret_access_key: Secret,
    /// A file whose first line is the secret key; wins.
    secret_access_key_file: Option<PathBuf>,
    #[serde(deserialize_with = "secret")]
    session_token: Secret,
}

impl CatalogSection {
    /// Reads the password's file, and puts the password where it is used.
    pub(super) fn complete(&mut self) -> anyhow::Result<()> {
        if let Some(path) = &self.password_file {
            self.password = first_line("catalog.password_file", path)?;
        }
        // Elsewhere it is of no use, as where a flag names another catalog than the settings do.
        if let Some(CatalogAddress::Postgres(address)) = &mut self.url
            && !self.password.expose().is_empty()
        {
            *address = address.clone().or_password(self.password.expose());
        }
        Ok(())
    }

    /// The secret that is set, as `system.settings` shows it.
    pub(super) fn secret(&self) -> (&'static str, &Secret) {
        ("catalog.password", &self.password)
    }
}

impl ObjectStoreSection {
    /// Reads the key's file.
    pub(super) fn complete(&mut self) -> anyhow::Result<()> {
        if let Some(path) = &self.secret_access_key_file {
            self.secret_access_key = first_line("object_store.secret_access_key_file", path)?;
        }
        Ok(())
    }

    /// Who asks the store, as far as the settings say.
    pub fn credentials(&self) -> ObjectStoreCredentials {
        let given = |secret: &Secret| Some(secret.expose().to_owned()).filter(|text| !text.is_empty());
        ObjectStoreCredentials {
            access_key_id: given(&self.access_key_id),
            secret_access_key: given(&self.secret_access_key),
            session_token: given(&self.session_token),
        }
    }

    /// Which secrets are set, as `system.settings` shows them.
    pub(super) fn secrets(&self) -> [(&'static str, &Secret); 3] {
        [
            ("object_store.access_key_id", &self.access_key_id),
            ("object_store.secret_access_key", &self.secret_access_key),
            ("object_store.session_token", &self.session_token),
        ]
    }
}

impl fmt::Debug for CatalogSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatalogSection").field("url", &self.url).finish_non_exhaustive()
    }
}

impl fmt::Debug for ObjectStoreSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStoreSection").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The secret in the first line of a file.
pub(super) fn first_line(setting: &str, path: &std::path::Path) -> anyhow::Result<Secret> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {setting} {}", path.display()))?;
    Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
}

fn catalog_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<CatalogAddress>, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map(Some).map_err(|error| serde::de::Error::custom(format!("{error:#}")))
}

fn object_store_address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<ObjectStoreAddress>, D::Error> {
    let text = String::deserialize(deserializer)?;
    ObjectStoreAddress::parse(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;

    #[test]
    fn an_address_of_a_catalog_is_read_and_shown_without_its_password() {
        for (text, shown) in [
            ("redb:/var/lib/m/catalog.redb", "redb:/var/lib/m/catalog.redb"),
            ("redb:///var/lib/m/catalog.redb", "redb:/var/lib/m/catalog.redb"),
            ("redb:beside.redb", "redb:beside.redb"),
            ("postgres://me:hunter2@db/cat?schema=a", "postgres://me@db:5432/cat?schema=a"),
        ] {
            assert_eq!(text.parse::<CatalogAddress>().unwrap().to_string(), shown);
        }
        for (text, said) in [
            ("redb:", "no file"),
            ("redb://host/x", "a host"),
            ("fdb:/etc/fdb.cluster", "not there yet"),
            ("mysql://me:hunter2@h/d", "none of the stores"),
            ("/var/hunter2", "none of the stores"),
            ("postgres://me:hunter2@h,i/d", "one host"),
        ] {
            let error = format!("{:#}", text.parse::<CatalogAddress>().unwrap_err());
            assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn secrets_of_the_stores_stand_in_the_settings_or_in_files_and_are_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        std::fs::write(&file, "hunter2\nignored\n").unwrap();
        let settings = load(
            &format!(
                "[catalog]\nurl = 'postgres://me@db/cat'\npassword_file = '{0}'\n\
                 [object_store]\nurl = 's3://bucket/prefix'\naccess_key_id = 'AKID'\nsecret_access_key_file = '{0}'\n",
                file.display()
            ),
            &[("MILLRACE__OBJECT_STORE__SESSION_TOKEN", "12345678")],
        )
        .unwrap();
        let credentials = settings.object_store.credentials();
        assert_eq!(credentials.secret_access_key.as_deref(), Some("hunter2"));
        assert_eq!(credentials.session_token.as_deref(), Some("12345678"), "one of digits is still a text");
        let expected = PostgresAddress::parse("postgres://me:hunter2@db/cat").unwrap();
        assert_eq!(settings.catalog.url, Some(CatalogAddress::Postgres(expected)));
        let rows: Vec<String> =
            settings.rows().into_iter().map(|row| format!("{} = {}", row.name, row.value)).collect();
        let shown = format!("{settings:?} {rows:?}");
        for secret in ["hunter2", "AKID", "12345678"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(
            shown.contains("s3://bucket/prefix") && shown.contains("object_store.secret_access_key = (set)"),
            "{shown}"
        );
    }

    #[test]
    fn a_password_in_the_url_wins_and_what_cannot_be_used_is_said_without_it() {
        let url = |text: &str| load(text, &[]).unwrap().catalog.url;
        let both = url("[catalog]\nurl = 'postgres://me:a@db/cat'\npassword = 'b'\n");
        assert_eq!(both, Some("postgres://me:a@db/cat".parse().unwrap()));
        let elsewhere = url("[catalog]\nurl = 'redb:x'\npassword = 'b'\n");
        assert_eq!(elsewhere, Some(CatalogAddress::Redb("x".into())));
        for text in [
            "[catalog]\nurl = 'hunter2'\n",
            "[object_store]\nurl = 'ftp://hunter2'\n",
            "[catalog]\npassword = hunter2\n",
            "[catalog]\nurl = postgres://me:hunter2@db\n",
            "[object_store]\naccess_key_id = ['hunter2']\n",
        ] {
            let error = format!("{:#}", load(text, &[]).unwrap_err());
            assert!(!error.contains("hunter2") && error.contains("millrace.toml"), "{error}");
        }
        let number = load("[object_store]\naccess_key_id = 'x'\nsecret_access_key = 12345678\n", &[]).unwrap();
        assert_eq!(number.object_store.credentials().secret_access_key.as_deref(), Some("12345678"));
    }
}
