//! `intent/<part>`: "I am about to upload this object". Deleted by the commit of the part, or else by the sweeper (I7).

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, PartId, UploadIntent};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "intent/";

pub(crate) fn ser_key(part: PartId) -> Vec<u8> {
    codec::key(PREFIX, &[&part.0.to_be_bytes()])
}

/// Every intent.
pub(crate) fn all() -> KeyRange {
    KeyRange::prefix(PREFIX.as_bytes())
}

pub(crate) fn ser_value(intent: &UploadIntent) -> Vec<u8> {
    codec::ser(FORMAT, intent)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<UploadIntent, CatalogError> {
    codec::deser(FORMAT, key, value)
}
