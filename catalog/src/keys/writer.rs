//! How a writer's id stands within a key: a letter, then its numbers, all of one length per letter.

use crate::{PipelineId, WriterId};

pub(super) fn ser(writer: WriterId) -> Vec<u8> {
    match writer {
        WriterId::Task(pipeline, task) => [tasks_of(pipeline).as_slice(), &task.0.to_be_bytes()].concat(),
        WriterId::Rewrite(table) => [b"r".as_slice(), &table.0.to_be_bytes()].concat(),
        WriterId::Channel(stream) => [b"c".as_slice(), &stream.0.to_be_bytes()].concat(),
    }
}

/// What the ids of all tasks of one pipeline begin with.
pub(super) fn tasks_of(pipeline: PipelineId) -> Vec<u8> {
    [b"t".as_slice(), &pipeline.0.to_be_bytes()].concat()
}
