//! `garbage/<path>`: an object that no version names any more. The sweeper deletes the object, then this.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::CatalogError;
use crate::store::KeyRange;

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "garbage/";

/// What is known of a piece of garbage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GarbageRecord {
    /// Since when, in microseconds since 1970.
    pub(crate) since: i64,
}

pub(crate) fn ser_key(path: &str) -> Vec<u8> {
    codec::key(PREFIX, &[path.as_bytes()])
}

/// The object's name in the store.
pub(crate) fn deser_key(key: &[u8]) -> Result<String, CatalogError> {
    let path = codec::rest(key, PREFIX)?.to_vec();
    String::from_utf8(path).map_err(|error| codec::damaged(key, error.to_string()))
}

/// Every piece of garbage.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(record: &GarbageRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<GarbageRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
