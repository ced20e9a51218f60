//! `table/<id>`: one table. Written by CREATE TABLE, removed by DROP TABLE.

use serde::{Deserialize, Serialize};

use super::{Nonce, codec};
use crate::{CatalogError, Table, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "table/";

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableRecord {
    /// The table.
    pub(crate) table: Table,
    /// The call that made it.
    pub(crate) nonce: Nonce,
}

pub(crate) fn ser_key(table: TableId) -> Vec<u8> {
    codec::number_key(PREFIX, table.0)
}

pub(crate) fn ser_value(record: &TableRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<TableRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
