//! A commit as log records, each small enough for a value of the store. Pure.

use serde::Serialize;

use crate::keys::log::{self, CommitChunk, LogRecord};
use crate::store::VALUE_BYTES_LIMIT;
use crate::{CommitRequest, CommitToken, ErrorsMoved, Part, PartId, RewriteRequest, SchemaId, StreamAdvance, WriterId};

/// How many bytes of advances and parts go into a chunk; the rest of its value is for what every chunk repeats.
const CHUNK_BYTES: usize = VALUE_BYTES_LIMIT - 4_000;

/// The values of the request's log records, in order: at least one. The error is a sentence without the request's name.
pub(super) fn encode(request: &CommitRequest, wall: i64) -> Result<Vec<Vec<u8>>, String> {
    let advances = request.streams.iter().map(Item::Advance);
    let parts = request.parts.iter().map(Item::Part);
    pack(|| empty(request.writer, request.token, request.schema, wall), advances.chain(parts))
}

/// The same, of a request that replaces error parts.
pub(super) fn encode_rewrite(request: &RewriteRequest, wall: i64) -> Result<Vec<Vec<u8>>, String> {
    let moved = request.moved.iter().map(Item::Moved);
    let removed = request.removed.iter().map(|part| Item::Removed(part.id));
    let added = request.added.iter().map(Item::Part);
    let writer = WriterId::Rewrite(request.table);
    pack(|| empty(writer, request.token, request.schema, wall), moved.chain(removed).chain(added))
}

fn empty(writer: WriterId, token: CommitToken, schema: SchemaId, wall: i64) -> CommitChunk {
    CommitChunk {
        writer,
        token,
        schema,
        wall,
        advances: Vec::new(),
        parts_added: Vec::new(),
        parts_removed: Vec::new(),
        moved: Vec::new(),
        delete_vectors_added: Vec::new(),
    }
}

fn pack<'a>(empty: impl Fn() -> CommitChunk, items: impl Iterator<Item = Item<'a>>) -> Result<Vec<Vec<u8>>, String> {
    let mut values = Vec::new();
    let mut chunk = empty();
    let mut filled = 0;
    for item in items {
        let bytes = item.bytes();
        if bytes > CHUNK_BYTES {
            return Err(format!("{} takes {bytes} bytes, and may take {CHUNK_BYTES}", item.describe()));
        }
        if filled + bytes > CHUNK_BYTES {
            values.push(log::ser_value(&LogRecord::Commit(std::mem::replace(&mut chunk, empty()))));
            filled = 0;
        }
        filled += bytes;
        match item {
            Item::Advance(advance) => chunk.advances.push(advance.clone()),
            Item::Part(part) => chunk.parts_added.push(part.clone()),
            Item::Removed(part) => chunk.parts_removed.push(part),
            Item::Moved(moved) => chunk.moved.push(*moved),
        }
    }
    values.push(log::ser_value(&LogRecord::Commit(chunk)));
    match u16::try_from(values.len()) {
        Ok(_) => Ok(values),
        Err(_) => Err(format!("it takes {} log records, and may take {}", values.len(), u16::MAX)),
    }
}

/// What a chunk is filled with.
enum Item<'a> {
    Advance(&'a StreamAdvance),
    Part(&'a Part),
    Removed(PartId),
    Moved(&'a ErrorsMoved),
}

impl Item<'_> {
    /// Its length within a chunk, its comma included.
    fn bytes(&self) -> usize {
        1 + match self {
            Self::Advance(advance) => json_bytes(advance),
            Self::Part(part) => json_bytes(part),
            Self::Removed(part) => json_bytes(part),
            Self::Moved(moved) => json_bytes(moved),
        }
    }

    fn describe(&self) -> String {
        match self {
            Self::Advance(advance) => format!("the advance of stream {}", advance.stream),
            Self::Part(part) => format!("part {}", part.id),
            Self::Removed(part) => format!("the end of part {part}"),
            Self::Moved(moved) => format!("what was moved of stream {}", moved.stream),
        }
    }
}

fn json_bytes<T: Serialize>(item: &T) -> usize {
    let mut counter = ByteCounter(0);
    serde_json::to_writer(&mut counter, item).expect("a record has text keys, and counting cannot fail");
    counter.0
}

struct ByteCounter(usize);

impl std::io::Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit::sample;

    fn decode(values: &[Vec<u8>]) -> Vec<CommitChunk> {
        let chunk = |value: &Vec<u8>| match log::deser_value(b"log/", value).unwrap() {
            LogRecord::Commit(chunk) => chunk,
            other => panic!("{other:?}"),
        };
        values.iter().map(chunk).collect()
    }

    #[test]
    fn a_small_commit_is_one_record() {
        let request = sample::request();
        let chunks = decode(&encode(&request, 5).unwrap());
        assert_eq!(chunks.len(), 1);
        assert_eq!((&chunks[0].advances, &chunks[0].parts_added), (&request.streams, &request.parts));
    }

    #[test]
    fn a_large_commit_is_cut_into_values_that_the_store_takes_and_nothing_is_lost() {
        let mut request = sample::request();
        let part = |id| Part { id: PartId(id), ..request.parts[0].clone() };
        request.parts = (0..5_000).map(part).collect();
        let values = encode(&request, 5).unwrap();
        assert!(values.len() > 5 && values.iter().all(|value| value.len() < VALUE_BYTES_LIMIT), "{}", values.len());
        let parts: Vec<Part> = decode(&values).into_iter().flat_map(|chunk| chunk.parts_added).collect();
        assert_eq!(parts, request.parts);
    }

    #[test]
    fn a_part_that_no_value_can_hold_is_refused_by_name() {
        let mut request = sample::request();
        request.parts[0].path = "x".repeat(VALUE_BYTES_LIMIT);
        assert!(encode(&request, 5).unwrap_err().starts_with("part "));
    }
}
