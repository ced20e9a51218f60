//! Where a Postgres catalog is and who asks for it: the URL, read. Owns the password, which nothing here can print.

use std::fmt;
use std::time::Duration;

use tokio_postgres::config::{Config, Host};

use super::super::StoreError;
use super::tls::Tls;

/// Sessions that one process may have open for its transactions, where the address does not say.
const CONNECTIONS: usize = 32;
const SCHEMA: &str = "millrace";
/// The longest name that Postgres does not cut silently.
const NAME_BYTES_LIMIT: usize = 63;
/// How long a packet or a dead peer may stay unanswered, before the connection counts as lost.
const SILENT_WITHIN: Duration = Duration::from_secs(20);
/// How it is written, for errors. They never repeat what was written: it holds a password.
const FORM: &str = "write it postgres://user:password@host:port/database?schema=name";

/// A Postgres catalog's address: `postgres://user:password@host:port/database?schema=name&connections=32`.
///
/// A schema holds one catalog, so several may share a database. `connections` bounds the transactions that one process reads in at
/// once; it has three sessions more. A special character of the password is written as `%XX`.
///
/// `sslmode=verify-full` encrypts what is sent, and the server must prove to be the host of the address; `require` and `verify-ca` are
/// taken for the same, so they may refuse where other clients do not. Whoever is not in the machine's list of authorities is named
/// with `sslrootcert=PATH`. Without `sslmode`, or with `disable`, `allow` or `prefer`, everything travels in clear text: keep the two on a
/// private network.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) database: String,
    /// The schema that holds the catalog: several catalogs may share a database.
    pub(super) schema: String,
    /// How many transactions may read at once.
    pub(super) connections: usize,
    /// Whether what is sent is encrypted.
    pub(super) tls: Tls,
    password: Option<Vec<u8>>,
}

impl PostgresAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// `Misuse`, with what is wrong; what was written is not in it.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(wrong("it does not begin with postgres://"));
        }
        let (place, options) = url.split_once('?').unwrap_or((url, ""));
        // What the library says of it may repeat a part of the password.
        let config: Config = place.parse().map_err(|_| {
            wrong("its host, port or a %XX is not valid (of a password, @ is written %40, : %3A, / %2F, ? %3F)")
        })?;
        let user = config.get_user().filter(|user| !user.is_empty()).ok_or_else(|| wrong("it names no user"))?;
        let ([Host::Tcp(host)], [port]) = (config.get_hosts(), config.get_ports()) else {
            return Err(wrong("it must name one host, by its name or number"));
        };
        if host.is_empty() {
            return Err(wrong("it names no host"));
        }
        let mut address = Self {
            host: host.clone(),
            port: *port,
            user: user.to_owned(),
            database: config.get_dbname().unwrap_or(user).to_owned(),
            schema: SCHEMA.to_owned(),
            connections: CONNECTIONS,
            tls: Tls::Off,
            password: config.get_password().map(<[u8]>::to_vec),
        };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            address.set(name, value)?;
        }
        Ok(address)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        match name {
            "schema" if is_name(value) => value.clone_into(&mut self.schema),
            "schema" => return Err(wrong("its schema must be a name of 1 to 63 letters, digits and underscores")),
            "connections" => {
                let number = value.parse().ok().filter(|number| (2..=1_000).contains(number));
                self.connections = number.ok_or_else(|| wrong("its connections must be a number from 2 to 1000"))?;
            }
            "sslmode" => match value {
                "disable" | "allow" | "prefer" => {}
                "require" | "verify-ca" | "verify-full" => {
                    if self.tls == Tls::Off {
                        self.tls = Tls::Verified { roots: None };
                    }
                }
                _ => return Err(wrong("its sslmode is not one that Postgres has")),
            },
            "sslrootcert" if !value.is_empty() => self.tls = Tls::Verified { roots: Some(value.into()) },
            _ => {
                return Err(wrong(
                    "it may have the options schema, connections, sslmode and sslrootcert, and has another",
                ));
            }
        }
        Ok(())
    }

    /// The same catalog, with the password that a settings file keeps apart from the URL; one in the URL wins.
    #[must_use]
    pub fn or_password(mut self, password: &str) -> Self {
        self.password.get_or_insert_with(|| password.as_bytes().to_vec());
        self
    }

    /// What the client library is told. `purpose` is how the server's operator sees the session.
    pub(super) fn config(&self, purpose: &str) -> Config {
        let mut config = Config::new();
        config
            .host(&self.host)
            .port(self.port)
            .user(&self.user)
            .dbname(&self.database)
            .application_name(format!("millrace {purpose} {}", self.schema))
            .ssl_mode(self.tls.mode())
            .keepalives_idle(SILENT_WITHIN / 2)
            .keepalives_interval(SILENT_WITHIN / 8)
            .keepalives_retries(4)
            .tcp_user_timeout(SILENT_WITHIN);
        if let Some(password) = &self.password {
            config.password(password);
        }
        config
    }
}

/// Whether a schema can be called so without being quoted or cut.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=NAME_BYTES_LIMIT).contains(&text.len()) && text.bytes().all(is_plain)
}

/// The address without its password.
impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, user, database, schema, .. } = self;
        let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "postgres://{user}@{open}{host}{close}:{port}/{database}")?;
        if schema == SCHEMA { Ok(()) } else { write!(f, "?schema={schema}") }
    }
}

impl fmt::Debug for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn wrong(what: &str) -> StoreError {
    StoreError::Misuse { what: format!("the address of the Postgres catalog cannot be used: {what}; {FORM}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_without_its_password() {
        let address =
            PostgresAddress::parse("postgres://me%40x:s%2Fe%3Ac@[::1]:15432/cat?schema=a_1&connections=4").unwrap();
        assert_eq!((address.user.as_str(), address.password.as_deref()), ("me@x", Some(&b"s/e:c"[..])));
        assert_eq!((address.host.as_str(), address.port, address.connections), ("::1", 15432, 4));
        assert_eq!(address.to_string(), "postgres://me@x@[::1]:15432/cat?schema=a_1");
        assert!(!format!("{address:?} {:?}", address.config("test")).contains("s/e:c"));
        let tls = |options: &str| PostgresAddress::parse(&format!("postgres://u@h/d?{options}")).unwrap().tls;
        assert_eq!((tls("sslmode=prefer"), tls("sslmode=require")), (Tls::Off, Tls::Verified { roots: None }));
        let named = Tls::Verified { roots: Some("/ca.pem".into()) };
        assert_eq!(
            (&tls("sslmode=verify-full&sslrootcert=/ca.pem"), &tls("sslrootcert=/ca.pem&sslmode=require")),
            (&named, &named)
        );
        let short = PostgresAddress::parse("postgresql://me@db?sslmode=prefer").unwrap();
        assert_eq!(short.to_string(), "postgres://me@db:5432/me");
        assert_eq!(short.or_password("p").or_password("q").password.as_deref(), Some(&b"p"[..]));
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_the_address() {
        for (url, said) in [
            ("mysql://u:hunter2@h/d", "does not begin with"),
            ("host=h user=u password=hunter2", "does not begin with"),
            ("postgres://hunter2", "no user"),
            ("postgres://u:hunter2@/d", "one host"),
            ("postgres://u:hunter2@h,i/d", "one host"),
            ("postgres://u:hunter2@%2Ftmp/d", "one host"),
            ("postgres://u:hunter2@h:port/d", "not valid"),
            ("postgres://u:a@hunter2:b@h/d", "%40"),
            ("postgres://u:hunter2@h/d?sslrootcert=", "has another"),
            ("postgres://u:hunter2@h/d?sslmode=hunter2", "sslmode"),
            ("postgres://u:hunter2@h/d?hunter2=1", "has another"),
            ("postgres://u:hunter2@h/d?schema=", "schema"),
            ("postgres://u:hunter2@h/d?schema=a\"b", "schema"),
            ("postgres://u:hunter2@h/d?connections=1", "connections"),
        ] {
            let error = PostgresAddress::parse(url).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("postgres://user"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
