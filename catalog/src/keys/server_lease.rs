//! `server_lease`: which server a catalog is served by that several could open. A record as that of a pipeline's lease.

use super::codec;
use super::lease::LeaseRecord;
use crate::CatalogError;

const FORMAT: u8 = 1;
/// The whole key.
pub(super) const PREFIX: &str = "server_lease";

pub(crate) fn ser_key() -> Vec<u8> {
    PREFIX.as_bytes().to_vec()
}

pub(crate) fn ser_value(record: &LeaseRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<LeaseRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
