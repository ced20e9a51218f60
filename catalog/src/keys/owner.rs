//! `owner/<stream>`: the newest grant of the stream. Written by grants, compared by commits (I2); absent before the first
//! grant and once the stream is closed, so that no commit to a closed stream succeeds.

use serde::{Deserialize, Serialize};

use super::{Nonce, codec};
use crate::store::VersionstampedValue;
use crate::{CatalogError, Offset, Owner, StreamId, Version};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "owner/";

/// The newest grant, with all that its maker was, or should have been, answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OwnerRecord {
    /// Who holds the stream.
    pub(crate) owner: Owner,
    /// Who held it before.
    pub(crate) previous: Option<Owner>,
    /// The committed offset at the grant.
    pub(crate) committed: Offset,
    /// The call that made the grant.
    pub(crate) nonce: Nonce,
}

pub(crate) fn ser_key(stream: StreamId) -> Vec<u8> {
    codec::number_key(PREFIX, stream.0)
}

pub(crate) fn ser_value(era: u32, number: u16, record: &OwnerRecord) -> VersionstampedValue {
    codec::ser_stamped(FORMAT, era, number, record)
}

/// The grant's place in the table's log, and the grant.
pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<(Version, OwnerRecord), CatalogError> {
    codec::deser_stamped(FORMAT, key, value)
}
