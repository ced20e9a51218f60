//! `stream_of_identity/<pipeline><generation><partition><topic>\0<incarnation>`: which stream that is. Makes the opening
//! of a stream idempotent, so that its start is resolved once.

use super::codec;
use crate::store::KeyRange;
use crate::{CatalogError, PartitionIdentity, PipelineId, StreamId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "stream_of_identity/";

pub(crate) fn ser_key(identity: &PartitionIdentity) -> Vec<u8> {
    codec::key(
        PREFIX,
        &[
            &identity.pipeline.0.to_be_bytes(),
            &identity.generation.to_be_bytes(),
            &identity.partition.to_be_bytes(),
            identity.topic.as_bytes(),
            b"\0",
            identity.incarnation.as_bytes(),
        ],
    )
}

/// Every identity of one pipeline.
pub(crate) fn of_pipeline(pipeline: PipelineId) -> KeyRange {
    KeyRange::prefix(&codec::number_key(PREFIX, pipeline.0))
}

pub(crate) fn ser_value(stream: StreamId) -> Vec<u8> {
    codec::ser(FORMAT, &stream)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<StreamId, CatalogError> {
    codec::deser(FORMAT, key, value)
}
