//! `fence/table/<id>`: what a commit must know of its table. Written only by DDL; absent once the table is dropped.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::{CatalogError, Fence, SchemaId, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "fence/table/";

/// What a commit compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableFenceRecord {
    /// Another one than the writer's: it is fenced.
    pub(crate) fence: Fence,
    /// Another one than the writer's: its picture is old.
    pub(crate) schema: SchemaId,
}

pub(crate) fn ser_key(table: TableId) -> Vec<u8> {
    codec::number_key(PREFIX, table.0)
}

pub(crate) fn ser_value(record: &TableFenceRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<TableFenceRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
