//! `copying`: that this store is the target of a copy which has not ended, so that nobody takes half a catalog for a whole one. The
//! first that a copy writes, and removed with the last, in the transaction that writes `format`.

use serde::{Deserialize, Serialize};

use super::{Nonce, codec};
use crate::{CatalogError, CatalogId};

const FORMAT: u8 = 1;
/// The whole key.
pub(super) const PREFIX: &str = "copying";

/// Which copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyingRecord {
    /// Of which catalog: only a copy of the same begins again where this one was left.
    pub(crate) id: CatalogId,
    /// The call that makes it. Compared by each of its writes, so that one that was given up writes nothing more.
    pub(crate) nonce: Nonce,
}

pub(crate) fn ser_key() -> Vec<u8> {
    PREFIX.as_bytes().to_vec()
}

pub(crate) fn ser_value(record: &CopyingRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<CopyingRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
