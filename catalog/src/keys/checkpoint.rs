//! `offset/<stream>`: C(s), the stream's next offset. Compared and advanced by each commit of the stream.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::{CatalogError, Offset, StreamId, TableId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "offset/";

/// How far a stream is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CheckpointRecord {
    /// The first offset that is not committed.
    pub(crate) next: Offset,
    /// The table that the stream goes to: a commit to another one is wrong, and is told so without a further read.
    pub(crate) table: TableId,
}

pub(crate) fn ser_key(stream: StreamId) -> Vec<u8> {
    codec::number_key(PREFIX, stream.0)
}

pub(crate) fn ser_value(record: &CheckpointRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<CheckpointRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
