//! `void/<writer>/<token>`: that this commit must never happen. Its commit must find it absent (I6).

use super::{codec, writer};
use crate::store::KeyRange;
use crate::{CatalogError, CommitToken, PipelineId, WriterId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "void/";

pub(crate) fn ser_key(writer: WriterId, token: CommitToken) -> Vec<u8> {
    codec::key(PREFIX, &[&writer::ser(writer), &token.0.to_be_bytes()])
}

/// The voids of all tasks of one pipeline.
pub(crate) fn of_pipeline(pipeline: PipelineId) -> KeyRange {
    KeyRange::prefix(&codec::key(PREFIX, &[&writer::tasks_of(pipeline)]))
}

/// The voids of one writer.
pub(crate) fn of_writer(writer: WriterId) -> KeyRange {
    KeyRange::prefix(&codec::key(PREFIX, &[&writer::ser(writer)]))
}

/// The key says it all.
pub(crate) fn ser_value() -> Vec<u8> {
    codec::ser(FORMAT, &())
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<(), CatalogError> {
    codec::deser(FORMAT, key, value)
}
