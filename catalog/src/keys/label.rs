//! `label/<table><label>`: the INSERT that had the label first. Written by its commit, which must find it absent.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::store::{KeyRange, VersionstampedValue};
use crate::{CatalogError, TableId, Version};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "label/";

/// What a retry is answered with, beside the version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LabelRecord {
    /// How many rows it had.
    pub(crate) rows: u64,
    /// When, in microseconds since 1970: decides only when it is forgotten.
    pub(crate) wall: i64,
}

pub(crate) fn ser_key(table: TableId, label: &str) -> Vec<u8> {
    codec::key(PREFIX, &[&table.0.to_be_bytes(), label.as_bytes()])
}

/// Every label of one table.
pub(crate) fn of_table(table: TableId) -> KeyRange {
    KeyRange::prefix(&codec::number_key(PREFIX, table.0))
}

pub(crate) fn ser_value(era: u32, number: u16, record: &LabelRecord) -> VersionstampedValue {
    codec::ser_stamped(FORMAT, era, number, record)
}

/// The version that the commit yielded, and the rest.
pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<(Version, LabelRecord), CatalogError> {
    codec::deser_stamped(FORMAT, key, value)
}
