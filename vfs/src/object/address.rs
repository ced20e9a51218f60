//! Where an object store is: the address, read. Owns no secret and repeats none: what was written wrongly may hold one.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Options of each kind of cloud address.
const S3_OPTIONS: &[&str] = &["endpoint", "region", "path_style", "allow_http"];
const GCS_OPTIONS: &[&str] = &["endpoint", "allow_http"];
const AZURE_OPTIONS: &[&str] = &["account", "endpoint", "allow_http"];
/// Names under which people write credentials into an address.
const CREDENTIAL_NAMES: &[&str] = &[
    "access_key_id",
    "secret_access_key",
    "session_token",
    "access_key",
    "secret_key",
    "account_key",
    "token",
    "sas",
    "sig",
];
const FORMS: &str = "write it file:PATH, s3://bucket/prefix, gs://bucket/prefix or az://container/prefix";

/// The address of an object store:
///
/// - `file:PATH`, a local directory;
/// - `s3://bucket/prefix?endpoint=http://host:port&region=name&path_style=true&allow_http=true`, S3 or what speaks its protocol. Without
///   `endpoint` it is AWS; without `region`, that of the environment. `path_style` says whether the bucket's name is in the path
///   rather than in the host's name; it is, unless said otherwise, for an endpoint that is named here, and is not for AWS;
/// - `gs://bucket/prefix?endpoint=…&allow_http=…`, Google Cloud Storage;
/// - `az://container/prefix?account=name&endpoint=…&allow_http=…`, Azure Blob Storage.
///
/// The prefix may be absent. An endpoint of `http://` needs `allow_http=true`: data and session tokens travel readable. A special
/// character of a value is written as `%XX`. Credentials are never part of an address ([`super::ObjectStoreCredentials`]): one that
/// holds some is refused, and not repeated. A parser of command lines would repeat it: take the flag as text, and parse it then.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectStoreAddress(pub(super) Place);

/// What an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(PathBuf),
    S3(S3Place),
    Gcs(Bucket),
    Azure { container: Bucket, account: Option<String> },
}

/// A bucket or container, and where it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) endpoint: Option<Endpoint>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct S3Place {
    pub(super) bucket: Bucket,
    pub(super) region: Option<String>,
    pub(super) path_style: Option<bool>,
}

/// `scheme://host:port`, without a slash at the end. A path may follow for stores that live under one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) is_http: bool,
    /// Host, port and path.
    pub(super) rest: String,
}

/// What is wrong with an address. What was written is not in it, but for the names of options.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the address of the object store: {0}")]
pub struct AddressError(String);

fn wrong<T>(what: impl Into<String>) -> Result<T, AddressError> {
    Err(AddressError(what.into()))
}

impl ObjectStoreAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong and how it is written; what was written is not repeated.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("file:") {
            return parse_file(path);
        }
        let Some((scheme, rest)) = text.split_once("://") else { return wrong(FORMS) };
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        let (name, prefix) = place.split_once('/').unwrap_or((place, ""));
        let (kind, known) = match scheme {
            "s3" => ("bucket", S3_OPTIONS),
            "gs" => ("bucket", GCS_OPTIONS),
            "az" => ("container", AZURE_OPTIONS),
            _ => return wrong(FORMS),
        };
        if name.contains('@') {
            return wrong(format!(
                "it has something before an @, as if it held a user's name: credentials do not belong into it, write them into \
                 [object_store] of the settings or into the environment. Of the address, {FORMS}"
            ));
        }
        if !is_name(name) {
            return wrong(format!(
                "its {kind} must be named, in letters, digits, dots, hyphens and underscores; {FORMS}"
            ));
        }
        let mut options = Options::parse(options, known)?;
        let endpoint = options.endpoint()?;
        let bucket = Bucket { name: name.to_owned(), prefix: parse_prefix(prefix)?, endpoint };
        let place = match scheme {
            "s3" => {
                Place::S3(S3Place { bucket, region: options.name("region")?, path_style: options.flag("path_style")? })
            }
            "gs" => Place::Gcs(bucket),
            _ => Place::Azure { container: bucket, account: options.name("account")? },
        };
        Ok(Self(place))
    }

    /// The directory, if it is a local one.
    pub fn local_directory(&self) -> Option<&std::path::Path> {
        match &self.0 {
            Place::File(path) => Some(path),
            Place::S3(_) | Place::Gcs(_) | Place::Azure { .. } => None,
        }
    }
}

impl FromStr for ObjectStoreAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

/// `file:relative`, `file:/absolute`, and the `file:///absolute` of URLs.
fn parse_file(path: &str) -> Result<ObjectStoreAddress, AddressError> {
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => return wrong("a file: address names no host: write file:PATH or file:///PATH"),
        None => path,
    };
    match path {
        "" => wrong("it names no directory: write file:PATH"),
        path => Ok(ObjectStoreAddress(Place::File(PathBuf::from(path)))),
    }
}

fn parse_prefix(text: &str) -> Result<String, AddressError> {
    let prefix = decoded(text.trim_end_matches('/'))?;
    let is_plain = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    match prefix.is_empty() || prefix.split('/').all(is_plain) && object_store::path::Path::parse(&prefix).is_ok() {
        true => Ok(prefix),
        false => wrong("its prefix must be names between single slashes, neither . nor .. among them"),
    }
}

/// Whether it is a plain name: of a bucket, a container, an account or a region.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    (1..=255).contains(&text.len()) && text.bytes().all(is_plain) && text.bytes().any(|byte| byte != b'.')
}

/// The options of an address, each taken once.
struct Options(BTreeMap<String, String>);

impl Options {
    fn parse(text: &str, known: &[&str]) -> Result<Self, AddressError> {
        let list = known.join(", ");
        let mut options = BTreeMap::new();
        for option in text.split('&').filter(|option| !option.is_empty()) {
            let Some((name, value)) = option.split_once('=') else {
                return wrong(format!("it has an option without a value; its options are {list}"));
            };
            if CREDENTIAL_NAMES.contains(&name) {
                return wrong(format!(
                    "it has the option {name}: credentials do not belong into it, write them into [object_store] of the settings \
                     or into the environment; its options are {list}"
                ));
            }
            if !known.contains(&name) {
                // A name that could be the piece of a secret is not repeated.
                let is_word = name.len() <= 30 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                let named = if is_word { format!("the unknown option {name}") } else { "an unknown option".to_owned() };
                return wrong(format!("it has {named}; its options are {list}"));
            }
            if options.insert(name.to_owned(), decoded(value)?).is_some() {
                return wrong(format!("it has the option {name} twice"));
            }
        }
        Ok(Self(options))
    }

    fn flag(&mut self, name: &str) -> Result<Option<bool>, AddressError> {
        match self.0.remove(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => wrong(format!("its {name} must be true or false")),
        }
    }

    fn name(&mut self, name: &str) -> Result<Option<String>, AddressError> {
        match self.0.remove(name) {
            Some(value) if !is_name(&value) => wrong(format!("its {name} is not a name")),
            value => Ok(value),
        }
    }

    fn endpoint(&mut self) -> Result<Option<Endpoint>, AddressError> {
        let allow_http = self.flag("allow_http")? == Some(true);
        let Some(text) = self.0.remove("endpoint") else { return Ok(None) };
        if text.contains('@') {
            return wrong("its endpoint holds a user's name or password: credentials do not belong into it");
        }
        let (is_http, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return wrong("its endpoint must begin with http:// or https://"),
        };
        let rest = rest.trim_end_matches('/');
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]/".contains(&byte);
        if rest.is_empty() || rest.starts_with(['/', ':']) || !rest.bytes().all(is_plain) {
            return wrong("its endpoint must be http://host:port or https://host:port");
        }
        if is_http && !allow_http {
            return wrong(
                "its endpoint begins with http://, so that what is stored and session tokens would travel readable: use \
                 https://, or add &allow_http=true where the network is your own",
            );
        }
        Ok(Some(Endpoint { is_http, rest: rest.to_owned() }))
    }
}

/// `text` with each `%XX` as the byte that it stands for.
fn decoded(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
                match (digit(), digit()) {
                    (Some(high), Some(low)) => u8::try_from(high * 16 + low).unwrap_or_default(),
                    _ => {
                        return wrong(
                            "it has a % that two hexadecimal digits do not follow (of a value, % is written %25)",
                        );
                    }
                }
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).or_else(|_| wrong("it is not UTF-8"))
}

/// What of `text` could be taken for the structure of an address, as `%XX`.
fn encoded(text: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._~/:[]".contains(character);
    let encode = |character: char| match plain(character) {
        true => character.to_string(),
        false => character.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect(),
    };
    text.chars().map(encode).collect()
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.is_http { "http" } else { "https" }, self.rest)
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        write!(f, "{}{slash}{}", self.name, encoded(&self.prefix))
    }
}

/// The address as it is written, options in the order of the documentation.
impl fmt::Display for ObjectStoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options: Vec<(&str, String)> = Vec::new();
        let mut of_bucket = |bucket: &Bucket| {
            let Some(endpoint) = &bucket.endpoint else { return };
            options.push(("endpoint", encoded(&endpoint.to_string())));
            if endpoint.is_http {
                options.push(("allow_http", "true".to_owned()));
            }
        };
        match &self.0 {
            Place::File(path) => return write!(f, "file:{}", path.display()),
            Place::S3(S3Place { bucket, region, path_style }) => {
                write!(f, "s3://{bucket}")?;
                of_bucket(bucket);
                options.extend(region.iter().map(|region| ("region", region.clone())));
                options.extend(path_style.iter().map(|is_on| ("path_style", is_on.to_string())));
            }
            Place::Gcs(bucket) => {
                write!(f, "gs://{bucket}")?;
                of_bucket(bucket);
            }
            Place::Azure { container, account } => {
                write!(f, "az://{container}")?;
                of_bucket(container);
                options.extend(account.iter().map(|account| ("account", account.clone())));
            }
        }
        for (number, (name, value)) in options.iter().enumerate() {
            write!(f, "{}{name}={value}", if number == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

impl fmt::Debug for ObjectStoreAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        ObjectStoreAddress::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn an_address_is_shown_as_it_is_written() {
        for text in [
            "file:data/objects",
            "file:/var/lib/millrace/objects",
            "s3://bucket",
            "s3://bucket/a/b%20c",
            "s3://bucket/p?endpoint=http://127.0.0.1:9000&allow_http=true&region=eu-west-1&path_style=false",
            "s3://bucket?endpoint=https://minio.example:9000/s3",
            "gs://bucket/prefix",
            "az://container/prefix?account=name",
        ] {
            let address = ObjectStoreAddress::parse(text).expect(text);
            assert_eq!(address.to_string(), text);
            assert_eq!(format!("{address:?}"), text);
        }
        let same = ["file:///var/x", "s3://b/p/", "s3://b/p?region=r&endpoint=https%3A%2F%2Fh%3A1/"];
        let shown = same.map(|text| ObjectStoreAddress::parse(text).expect(text).to_string());
        assert_eq!(shown, ["file:/var/x", "s3://b/p", "s3://b/p?endpoint=https://h:1&region=r"]);
    }

    #[test]
    fn an_unknown_option_is_refused_by_name_with_the_known_ones() {
        let shown = refusal("s3://bucket?regoin=eu");
        assert!(
            shown.contains("the unknown option regoin") && shown.contains("endpoint, region, path_style, allow_http")
        );
        let shown = refusal("gs://bucket?region=eu");
        assert!(shown.contains("the unknown option region; its options are endpoint, allow_http"), "{shown}");
        assert!(refusal("s3://bucket?region=a&region=b").contains("twice"));
        assert!(refusal("s3://bucket?path_style=yes").contains("true or false"));
    }

    #[test]
    fn what_may_be_a_secret_is_refused_and_not_repeated() {
        for text in [
            "s3://AKIA:wJalr@bucket/prefix",
            "s3://bucket?endpoint=http://AKIA:wJalr@host:9000&allow_http=true",
            "s3://bucket?secret_access_key=wJalr",
            "s3://bucket?wJalr",
            "s3://bucket?wJalr=1",
            "wJalr://bucket",
            "wJalr",
            "az://container?sig=wJalr",
            "s3://bucket?endpoint=wJalr",
            "s3://wJalr secret/",
        ] {
            let shown = refusal(text);
            assert!(!shown.contains("wJalr") && !shown.contains("AKIA"), "{shown}");
        }
        assert!(refusal("s3://bucket?secret_access_key=x").contains("[object_store]"), "it says where they belong");
    }

    #[test]
    fn a_readable_connection_is_asked_for_by_name() {
        assert!(refusal("s3://bucket?endpoint=http://host:9000").contains("allow_http=true"));
        assert!(refusal("s3://bucket?endpoint=host:9000").contains("must begin with http"));
    }

    #[test]
    fn places_that_name_nothing_are_refused() {
        for text in
            ["", "s3://", "s3:///p", "s3://bucket//p", "s3://bucket/../p", "file:", "file://host/p", "s3://b/%zz"]
        {
            refusal(text);
        }
    }
}
