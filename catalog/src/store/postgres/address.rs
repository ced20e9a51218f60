//! Where a Postgres catalog is and who asks for it: the URL, read. Owns the password, which nothing here can print.

use std::fmt;

use super::super::StoreError;

/// Sessions that one process may have open for its transactions, where the address does not say.
const CONNECTIONS: usize = 32;
const PORT: u16 = 5432;
const SCHEMA: &str = "millrace";
/// The longest name that Postgres does not cut silently.
const NAME_BYTES_LIMIT: usize = 63;
/// How it is written, for errors. They never repeat what was written: it holds a password.
const FORM: &str = "write it postgres://user:password@host:port/database?schema=name";

/// A Postgres catalog's address: `postgres://user:password@host:port/database?schema=name&connections=32`.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) database: String,
    /// The schema that holds the catalog: several catalogs may share a database.
    pub(super) schema: String,
    pub(super) connections: usize,
    password: Option<String>,
}

impl PostgresAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// `Misuse`, with what is wrong; what was written is not in it.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or_else(|| wrong("it does not begin with postgres://"))?;
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let (who, at) = authority.rsplit_once('@').ok_or_else(|| wrong("it names no user"))?;
        let (user, password) = match who.split_once(':') {
            Some((user, password)) => (decode(user)?, Some(decode(password)?)),
            None => (decode(who)?, None),
        };
        let (host, port) = host_and_port(at)?;
        let database = if database.is_empty() { user.clone() } else { decode(database)? };
        if user.is_empty() || host.is_empty() {
            return Err(wrong("it names no user or no host"));
        }
        let mut address =
            Self { host, port, user, database, schema: SCHEMA.to_owned(), connections: CONNECTIONS, password };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            address.set(name, decode(value)?)?;
        }
        Ok(address)
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), StoreError> {
        match name {
            "schema" if value.is_empty() || value.len() > NAME_BYTES_LIMIT || value.contains(['"', '\0']) => {
                return Err(wrong("its schema must be a name of 1 to 63 bytes without quotes"));
            }
            "schema" => self.schema = value,
            "connections" => {
                let number = value.parse().ok().filter(|number| (2..=1_000).contains(number));
                self.connections = number.ok_or_else(|| wrong("its connections must be a number from 2 to 1000"))?;
            }
            "sslmode" => match value.as_str() {
                "disable" | "allow" | "prefer" => {}
                "require" | "verify-ca" | "verify-full" => {
                    return Err(wrong(
                        "it asks for TLS (sslmode), which Millrace does not speak to Postgres yet: let the two talk over a \
                         private network or a tunnel, with sslmode=disable",
                    ));
                }
                _ => return Err(wrong("its sslmode is not one that Postgres has")),
            },
            _ => return Err(wrong("it may have the options schema, connections and sslmode, and has another")),
        }
        Ok(())
    }

    /// The same catalog, with the password that a settings file keeps apart from the URL.
    #[must_use]
    pub fn with_password(mut self, password: String) -> Self {
        self.password = Some(password);
        self
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }
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

fn host_and_port(at: &str) -> Result<(String, u16), StoreError> {
    let (host, port) = match at.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, rest)) => (host, rest.strip_prefix(':')),
        None => at.split_once(':').map_or((at, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(PORT), str::parse).map_err(|_| {
        wrong("its port is not a number (a special character of the password is written as %XX: %40 for @, %3A for :)")
    })?;
    Ok((decode(host)?, port))
}

/// Replaces `%XX`.
fn decode(text: &str) -> Result<String, StoreError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = after.get(..2).and_then(|digits| hex::decode(digits).ok());
        bytes.extend(digits.ok_or_else(|| wrong("a % in it is not followed by two hexadecimal digits"))?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).map_err(|_| wrong("what its %XX stand for is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_shown_without_its_password() {
        let address =
            PostgresAddress::parse("postgres://me%40x:s%2Fe%3Ac@[::1]:15432/cat?schema=a&connections=4").unwrap();
        assert_eq!((address.user.as_str(), address.password()), ("me@x", Some("s/e:c")));
        assert_eq!((address.host.as_str(), address.port, address.connections), ("::1", 15432, 4));
        assert_eq!(address.to_string(), "postgres://me@x@[::1]:15432/cat?schema=a");
        assert!(!format!("{address:?}").contains("s/e:c"));
        let short = PostgresAddress::parse("postgresql://me@db").unwrap();
        assert_eq!(short.to_string(), "postgres://me@db:5432/me");
        assert_eq!(short.with_password("p".into()).password(), Some("p"));
    }

    #[test]
    fn what_is_wrong_is_said_without_repeating_the_address() {
        for url in [
            "mysql://u:hunter2@h/d",
            "postgres://hunter2",
            "postgres://u:hunter2@h:port/d",
            "postgres://u:hunter2@h/d?sslmode=require",
            "postgres://u:hunter2@h/d?hunter2=1",
            "postgres://u:hunter2%@h/d",
            "postgres://u:hunter2@h/d?schema=",
        ] {
            let error = PostgresAddress::parse(url).unwrap_err().to_string();
            assert!(error.contains("postgres://user") && !error.contains("hunter2"), "{error}");
        }
    }
}
