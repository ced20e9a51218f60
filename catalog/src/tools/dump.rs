//! A catalog as text: one JSON line per key, in key order.
//!
//! ```text
//!   {"key":"log/3/00000001…","type":"log","version":"00000001…","record":{"Commit":{…}}}
//!   {"key":"table/\\x00…","type":"table","error":"…","raw_key":"7461…","raw_value":"017b…"}
//! ```
//!
//! What cannot be read is a line too, with the bytes, and does not end the dump. Secrets are `"(hidden)"`, also where a record that
//! may hold one cannot be read. Holds one page at a time. A dump of a catalog that is in use, and takes longer than a
//! transaction may live, is not of one version: [`DumpReport::is_of_one_version`] tells.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use vfs::World;

use super::reader::Reader;
use crate::keys::kind::{Kind, Layout, Piece, readable};
use crate::store::{KeyRange, KvStore};
use crate::{CatalogError, Version};

/// What stands for a secret.
const HIDDEN: &str = "(hidden)";
/// A property of a Kafka client whose name holds one of these has a secret for its value, or may have.
const SECRET_WORDS: [&str; 9] =
    ["password", "passphrase", "secret", "token", "pem", "jaas", "oauth", "credential", "private"];

/// What was dumped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DumpReport {
    /// How many lines.
    pub keys: u64,
    /// How many of them could not be read.
    pub unreadable: u64,
    /// Whether the catalog was not written to meanwhile, or the dump was quick enough not to see it.
    pub is_of_one_version: bool,
}

/// Why a dump ended early.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The lines cannot be written.
    #[error("the dump cannot be written: {0}")]
    Write(#[from] io::Error),
}

/// Writes every key whose text, as the dump shows it, begins with `prefix`: `table/`, `log/3/`, or nothing for all.
/// Each line is several small writes, so `out` should gather them.
pub async fn dump(
    store: &dyn KvStore,
    world: &World,
    prefix: &str,
    out: &mut (dyn Write + Send),
) -> Result<DumpReport, DumpError> {
    let mut reader = Reader::new(store, world, "dumping the catalog");
    let mut report = DumpReport::default();
    let mut rest = Some(range_of(prefix));
    while let Some(page) = reader.next(&mut rest).await? {
        for (key, value) in &page.entries {
            let line = Line::of(key, value);
            if line.key.starts_with(prefix) {
                serde_json::to_writer(&mut *out, &line).map_err(io::Error::from)?;
                out.write_all(b"\n")?;
                report.keys += 1;
                report.unreadable += u64::from(line.error.is_some());
            }
        }
    }
    out.flush()?;
    report.is_of_one_version = reader.finish().await?.1;
    Ok(report)
}

/// Where keys stand whose text begins with `prefix`: within a type the order of texts is not that of keys.
fn range_of(prefix: &str) -> KeyRange {
    let kind = Kind::ALL.into_iter().find(|kind| !kind.is_single() && prefix.starts_with(kind.prefix()));
    KeyRange::prefix(kind.map_or(prefix, |kind| kind.prefix()).as_bytes())
}

/// One line, field by field.
#[derive(Serialize)]
struct Line {
    key: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_value: Option<String>,
}

impl Line {
    fn of(key: &[u8], value: &[u8]) -> Self {
        let Some(kind) = Kind::of(key) else {
            return Self::unreadable(key, value, None, "this program knows no such type of key".to_owned());
        };
        let pieces = match kind.pieces(key) {
            Ok(pieces) => pieces,
            Err(error) => return Self::unreadable(key, value, Some(kind), format!("the key cannot be read: {error}")),
        };
        if let Err(error) = kind.check(key, value) {
            return Self::unreadable(key, value, Some(kind), describe(kind, &error));
        }
        let mut version = pieces.iter().find_map(|piece| match piece {
            Piece::Version(version) => Some(*version),
            _ => None,
        });
        // What was read holds what it must: a format, and a version where the type has one.
        let mut json = &value[1..];
        if kind.layout() == Layout::Stamped {
            let (stamped, after) = json.split_first_chunk().expect("it was read");
            (version, json) = (Some(Version(*stamped)), after);
        }
        let (key, kind_name) = (readable(key), kind.name());
        let (error, raw_key, raw_value) = (None, None, None);
        Self { key, kind: kind_name, version, record: Some(shown(kind, json)), error, raw_key, raw_value }
    }

    fn unreadable(key: &[u8], value: &[u8], kind: Option<Kind>, error: String) -> Self {
        let hides = kind.is_some_and(Kind::holds_secrets);
        Self {
            key: readable(key),
            kind: kind.map_or("unknown", Kind::name),
            version: None,
            record: None,
            error: Some(error),
            raw_key: Some(hex::encode(key)),
            raw_value: Some(if hides { HIDDEN.to_owned() } else { hex::encode(value) }),
        }
    }
}

/// Why a value cannot be read. The reason may repeat some of the value, and so is left out where that may be a secret.
pub(super) fn describe(kind: Kind, error: &CatalogError) -> String {
    match error {
        CatalogError::Damaged { .. } if kind.holds_secrets() => {
            format!("it cannot be read as a record of type {}; why is not shown, for it may hold a secret", kind.name())
        }
        CatalogError::Damaged { cause, .. } => cause.clone(),
        CatalogError::UnsupportedFormat { found, newest, .. } => {
            format!("it has format {found}, and this program reads formats up to {newest}")
        }
        other => other.to_string(),
    }
}

/// The record as it stands there; fields of a later program are shown too.
fn shown(kind: Kind, json: &[u8]) -> Box<RawValue> {
    let is_plain = !kind.holds_secrets() && !json.contains(&b'\n');
    if let Some(record) = is_plain.then(|| serde_json::from_slice(json).ok()).flatten() {
        return record;
    }
    let mut record: Value = serde_json::from_slice(json).expect("it was read as a record, and so is JSON");
    hide(&mut record);
    to_raw_value(&record).expect("a value of JSON can be written as JSON")
}

/// Puts `"(hidden)"` in the place of each secret.
fn hide(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(hide),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::Object(properties) if name == "properties" => hide_properties(properties),
                    digest if name == "digest" => *digest = HIDDEN.into(),
                    other => hide(other),
                }
            }
        }
        _ => {}
    }
}

fn hide_properties(properties: &mut serde_json::Map<String, Value>) {
    for (name, value) in properties {
        let name = name.to_ascii_lowercase();
        if SECRET_WORDS.iter().any(|word| name.contains(word)) {
            *value = HIDDEN.into();
        }
    }
}
