//! How a writer's id stands within a key: a letter, then its numbers, all of one length per letter.

use crate::{PipelineId, StreamId, TableId, TaskIndex, WriterId};

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

/// The writer that `bytes` begin with, and what follows it.
pub(super) fn deser(bytes: &[u8]) -> Option<(WriterId, &[u8])> {
    let (letter, rest) = bytes.split_first()?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let id = u64::from_be_bytes(*id);
    match letter {
        b't' => {
            let (task, rest) = rest.split_first_chunk::<4>()?;
            Some((WriterId::Task(PipelineId(id), TaskIndex(u32::from_be_bytes(*task))), rest))
        }
        b'r' => Some((WriterId::Rewrite(TableId(id)), rest)),
        b'c' => Some((WriterId::Channel(StreamId(id)), rest)),
        _ => None,
    }
}
