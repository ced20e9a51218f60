//! `database/<name in lower case>`: one database.

use serde::{Deserialize, Serialize};

use super::{Nonce, codec};
use crate::CatalogError;
use crate::store::KeyRange;

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "database/";

/// One database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DatabaseRecord {
    /// Its name, as it was typed.
    pub(crate) name: String,
    /// The call that made it.
    pub(crate) nonce: Nonce,
}

pub(crate) fn ser_key(name: &str) -> Vec<u8> {
    codec::key(PREFIX, &[name.to_ascii_lowercase().as_bytes()])
}

/// Every database, by name.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(record: &DatabaseRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<DatabaseRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
