//! `truncated/<table>`: the table's last TRUNCATE, and how much of the log before it was turned into garbage: bit by bit, as the
//! sweeper asks for it, so that TRUNCATE costs the same however many parts the table has.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::store::{KeyRange, VersionstampedValue};
use crate::{CatalogError, TableId, Version};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "truncated/";

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TruncatedRecord {
    /// When, in microseconds since 1970.
    pub(crate) since: i64,
    /// Up to and with this version, all parts were turned into garbage.
    pub(crate) done: Version,
}

pub(crate) fn ser_key(table: TableId) -> Vec<u8> {
    codec::number_key(PREFIX, table.0)
}

pub(crate) fn deser_key(key: &[u8]) -> Result<TableId, CatalogError> {
    codec::number(key, PREFIX).map(TableId)
}

/// Every table that was ever truncated.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

/// The value that TRUNCATE itself writes: its version is filled in.
pub(crate) fn ser_value(era: u32, number: u16, record: &TruncatedRecord) -> VersionstampedValue {
    codec::ser_stamped(FORMAT, era, number, record)
}

/// The value for a TRUNCATE whose version is known.
pub(crate) fn ser_value_at(version: Version, record: &TruncatedRecord) -> Vec<u8> {
    codec::ser_at(FORMAT, version, record)
}

/// The version of the TRUNCATE, and the rest.
pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<(Version, TruncatedRecord), CatalogError> {
    codec::deser_stamped(FORMAT, key, value)
}
