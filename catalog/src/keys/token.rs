//! `token/<writer>`: the token of the writer's last commit, and its version: what settles an unknown outcome (I6).

use super::{codec, writer};
use crate::store::{KeyRange, VersionstampedValue};
use crate::{CatalogError, CommitToken, PipelineId, Version, WriterId};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "token/";

pub(crate) fn ser_key(writer: WriterId) -> Vec<u8> {
    codec::key(PREFIX, &[&writer::ser(writer)])
}

/// The slots of all tasks of one pipeline.
pub(crate) fn of_pipeline(pipeline: PipelineId) -> KeyRange {
    KeyRange::prefix(&codec::key(PREFIX, &[&writer::tasks_of(pipeline)]))
}

pub(crate) fn ser_value(era: u32, number: u16, token: CommitToken) -> VersionstampedValue {
    codec::ser_stamped(FORMAT, era, number, &token)
}

/// The version that the commit yielded, and its token.
pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<(Version, CommitToken), CatalogError> {
    codec::deser_stamped(FORMAT, key, value)
}
