//! `format`: that this store holds a catalog, and its era. Written once, when the catalog is made.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::CatalogError;

/// The newest format of the catalog as a whole: raised when a program before could not even open it.
const FORMAT: u8 = 1;

/// What is true of the whole catalog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FormatRecord {
    /// Raised when the catalog is copied or restored, so that its versions stand above all that it gave out before.
    pub(crate) era: u32,
}

pub(crate) fn ser_key() -> Vec<u8> {
    b"format".to_vec()
}

pub(crate) fn ser_value(record: &FormatRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<FormatRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
