//! `format`: that this store holds a catalog, which one, and its era. Written when the catalog is made, or copied.

use serde::{Deserialize, Serialize};

use super::{Nonce, codec};
use crate::{CatalogError, CatalogId};

/// The newest format of the catalog as a whole: raised when a program before could not even open it.
const FORMAT: u8 = 1;
/// The whole key.
pub(super) const PREFIX: &str = "format";

/// What is true of the whole catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FormatRecord {
    /// Its lasting name. Catalogs of before had none: they are given one when they are opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<CatalogId>,
    /// Raised when the catalog is copied or restored, so that its versions stand above all that it gave out before.
    pub(crate) era: u32,
    /// The call that copied it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) copy: Option<Nonce>,
}

pub(crate) fn ser_key() -> Vec<u8> {
    PREFIX.as_bytes().to_vec()
}

pub(crate) fn ser_value(record: &FormatRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<FormatRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
