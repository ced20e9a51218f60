//! `label_age/<wall><table><label>`: that the label was left then. By these the sweeper finds the labels that are to be
//! forgotten, oldest first.

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "label_age/";

pub(crate) fn ser_key(wall: i64, table: TableId, label: &str) -> Vec<u8> {
    codec::key(PREFIX, &[&before(wall), &table.0.to_be_bytes(), label.as_bytes()])
}

/// When, the table, and the label.
pub(crate) fn deser_key(key: &[u8]) -> Result<(i64, TableId, String), CatalogError> {
    let rest = codec::rest(key, PREFIX)?;
    let (wall, rest) = rest.split_first_chunk::<8>().ok_or_else(|| codec::damaged(key, "the key has no time"))?;
    let (table, label) = rest.split_first_chunk::<8>().ok_or_else(|| codec::damaged(key, "the key has no table"))?;
    let label = String::from_utf8(label.to_vec()).map_err(|error| codec::damaged(key, error.to_string()))?;
    Ok((u64::from_be_bytes(*wall) as i64, TableId(u64::from_be_bytes(*table)), label))
}

/// All that were left before `wall`.
pub(crate) fn until(wall: i64) -> KeyRange {
    KeyRange::new(PREFIX.as_bytes().to_vec(), codec::key(PREFIX, &[&before(wall)]))
}

/// Before 1970 no clock that this program trusts has been.
fn before(wall: i64) -> [u8; 8] {
    u64::try_from(wall).unwrap_or(0).to_be_bytes()
}

/// The key says it all.
pub(crate) fn ser_value() -> Vec<u8> {
    codec::ser(FORMAT, &())
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<(), CatalogError> {
    codec::deser(FORMAT, key, value)
}
