//! `head/<table>`: the version of the newest record of the table's log. Written blind by whoever appends to the log, so
//! that two commits to one table share no conflict key; the store's order of commits makes the last one win.

use super::codec;
use crate::store::VersionstampedValue;
use crate::{CatalogError, TableId, Version};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "head/";

pub(crate) fn ser_key(table: TableId) -> Vec<u8> {
    codec::number_key(PREFIX, table.0)
}

pub(crate) fn ser_value(era: u32, number: u16) -> VersionstampedValue {
    codec::ser_stamped(FORMAT, era, number, &())
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<Version, CatalogError> {
    codec::deser_stamped::<()>(FORMAT, key, value).map(|(version, ())| version)
}
