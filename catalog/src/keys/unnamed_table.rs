//! `unnamed_table/<table>`: a table that is being filled and has no name yet, so that nobody sees it. Removed when it gets its
//! name; if its process dies first, whoever starts next drops it.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, NodeId, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "unnamed_table/";

/// Who fills it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UnnamedRecord {
    /// The server.
    pub(crate) node: NodeId,
    /// Which process of it.
    pub(crate) process: u64,
}

pub(crate) fn ser_key(table: TableId) -> Vec<u8> {
    codec::number_key(PREFIX, table.0)
}

pub(crate) fn deser_key(key: &[u8]) -> Result<TableId, CatalogError> {
    codec::number(key, PREFIX).map(TableId)
}

/// Every one.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(record: &UnnamedRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<UnnamedRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
