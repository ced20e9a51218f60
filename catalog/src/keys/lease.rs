//! `lease/<pipeline>`: the manager's lease. Compared and set; read by every grant, so that a deposed manager grants nothing.

use serde::{Deserialize, Serialize};

use super::{Nonce, codec};
use crate::{CatalogError, Lease, PipelineId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "lease/";

/// The lease, and the call that took or renewed it last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    /// The lease.
    pub(crate) lease: Lease,
    /// The call that wrote it.
    pub(crate) nonce: Nonce,
}

pub(crate) fn ser_key(pipeline: PipelineId) -> Vec<u8> {
    codec::number_key(PREFIX, pipeline.0)
}

pub(crate) fn ser_value(record: &LeaseRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<LeaseRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
