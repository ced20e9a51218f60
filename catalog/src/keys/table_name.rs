//! `table_name/<database>\0<table>`, both in lower case: which table has that name.

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "table_name/";

pub(crate) fn ser_key(database: &str, name: &str) -> Vec<u8> {
    codec::two_names_key(PREFIX, database, name)
}

/// The database and the table, in lower case.
pub(crate) fn deser_key(key: &[u8]) -> Result<(String, String), CatalogError> {
    codec::two_names(key, PREFIX)
}

/// Every table of one database, by name.
pub(crate) fn of_database(database: &str) -> KeyRange {
    KeyRange::prefix(&ser_key(database, ""))
}

pub(crate) fn ser_value(id: TableId) -> Vec<u8> {
    codec::ser(FORMAT, &id)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<TableId, CatalogError> {
    codec::deser(FORMAT, key, value)
}
