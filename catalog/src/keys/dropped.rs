//! `dropped/<table>`: a dropped table whose log still stands. The sweeper turns the log, page by page, into garbage
//! records, so that DROP TABLE costs the same however many parts the table has.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "dropped/";

/// When a table was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DroppedRecord {
    /// In microseconds since 1970.
    pub(crate) since: i64,
}

pub(crate) fn ser_key(table: TableId) -> Vec<u8> {
    codec::number_key(PREFIX, table.0)
}

pub(crate) fn deser_key(key: &[u8]) -> Result<TableId, CatalogError> {
    codec::number(key, PREFIX).map(TableId)
}

/// Every dropped table whose log still stands.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(record: &DroppedRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<DroppedRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
