//! `log/<table>/<era><stamp><number>`: a table's log, which is what the table is. Its versions are the ends of these keys.

use serde::{Deserialize, Serialize};

use super::codec;
use crate::store::KeyRange;
use crate::{
    CatalogError, CommitToken, ErrorsMoved, Owner, Part, PartId, SchemaId, Stream, StreamAdvance, StreamId, TableId,
    Version, WriterId,
};

const FORMAT: u8 = 1;
pub(super) const PREFIX: &str = "log/";

/// One record of a table's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LogRecord {
    /// A commit, or as much of it as fits a value.
    Commit(CommitChunk),
    /// A stream has a new owner.
    Grant {
        /// The stream.
        stream: StreamId,
        /// Its owner, with the new epoch.
        owner: Owner,
    },
    /// A stream into the table was opened.
    StreamOpened(Stream),
    /// Nothing more will be committed to these.
    StreamsClosed(Vec<StreamId>),
    /// Every part before this is gone, of both kinds. Streams go on where they are.
    Truncated {
        /// When, in microseconds since 1970, for people.
        wall: i64,
    },
}

/// A commit, or as much of it as fits a value. Each chunk can be folded by itself; the head never stands between two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CommitChunk {
    /// Whose commit.
    pub(crate) writer: WriterId,
    /// Which commit.
    pub(crate) token: CommitToken,
    /// The columns of its parts.
    pub(crate) schema: SchemaId,
    /// When, in microseconds since 1970, for people.
    pub(crate) wall: i64,
    /// Streams that it advances.
    pub(crate) advances: Vec<StreamAdvance>,
    /// Parts that become visible.
    pub(crate) parts_added: Vec<Part>,
    /// Parts that no longer are: merges, TTL, overwrites.
    #[serde(default)]
    pub(crate) parts_removed: Vec<PartId>,
    /// Error rows that are none any more, as a RETRY found them to fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) moved: Vec<ErrorsMoved>,
    /// Reserved for `UNIQUE KEY`: which rows of which parts are deleted. A program that does not know them must not read on.
    #[serde(default)]
    pub(crate) delete_vectors_added: Vec<Unknown>,
}

/// What no program of this format writes: a record that has one cannot be read as if it were not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unknown {}

/// The key up to the stamp, which the store fills in.
pub(crate) fn ser_key_before_stamp(table: TableId, era: u32) -> Vec<u8> {
    codec::key(PREFIX, &[&table.0.to_be_bytes(), b"/", &era.to_be_bytes()])
}

/// The key after the stamp.
pub(crate) fn ser_key_after_stamp(number: u16) -> [u8; 2] {
    number.to_be_bytes()
}

/// The whole key of a record that is there.
pub(crate) fn ser_key(table: TableId, version: Version) -> Vec<u8> {
    codec::key(PREFIX, &[&table.0.to_be_bytes(), b"/", &version.0])
}

pub(crate) fn deser_key(key: &[u8]) -> Result<(TableId, Version), CatalogError> {
    let bytes: [u8; 25] = codec::fixed(key, PREFIX)?;
    let (table, rest) = bytes.split_first_chunk::<8>().expect("25 bytes hold 8");
    let version = rest.last_chunk::<16>().expect("17 bytes hold 16");
    Ok((TableId(u64::from_be_bytes(*table)), Version(*version)))
}

/// The whole log of a table.
pub(crate) fn of_table(table: TableId) -> KeyRange {
    KeyRange::prefix(&codec::key(PREFIX, &[&table.0.to_be_bytes(), b"/"]))
}

/// The records after `after`, up to and with `through`.
pub(crate) fn between(table: TableId, after: Version, through: Version) -> KeyRange {
    let mut range = KeyRange::new(ser_key(table, after), ser_key(table, through));
    range.start = [&range.start[..], &[0]].concat().into();
    range.end = [&range.end[..], &[0]].concat().into();
    range
}

pub(crate) fn ser_value(record: &LogRecord) -> Vec<u8> {
    codec::ser(FORMAT, record)
}

pub(crate) fn deser_value(key: &[u8], value: &[u8]) -> Result<LogRecord, CatalogError> {
    codec::deser(FORMAT, key, value)
}
