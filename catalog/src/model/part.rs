//! Parts: immutable Parquet objects and what the catalog keeps of them.

use serde::{Deserialize, Serialize};

use super::{OffsetRange, PartId, Scalar, SchemaId, StreamId, TableId, WriterId};

/// Whether a part holds rows of the table or of its error table. Both are in one log, so that one vector serves both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartKind {
    /// Rows of `t`.
    Rows,
    /// Rows of `t$errors`.
    Errors,
}

/// What a part covers of one stream. Rows of the range may also lie in other parts of the same commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartStream {
    /// The stream.
    pub stream: StreamId,
    /// From the first row's offset to after the last row's.
    pub range: OffsetRange,
    /// How many rows of it are here.
    pub rows: u64,
}

/// Bounds of one ORDER BY column over a part, both inclusive. Text bounds may be shortened: the lower downwards, the upper upwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SortKeyRange {
    /// Not above any value, NULL included.
    pub min: Scalar,
    /// Not below any value; `None` where a shortened bound could not be raised.
    pub max: Option<Scalar>,
}

/// CRC32C of each block of an object, so that damage is found before a row of it is returned, even by a ranged read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockChecksums {
    /// Bytes of a block; the last may be shorter. A part has at most 256 blocks, so that its record stays small.
    pub block_bytes: u64,
    /// One checksum a block.
    pub crc32c: Vec<u32>,
}

/// One part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Its id.
    pub id: PartId,
    /// Its table.
    pub table: TableId,
    /// The columns that it was written with.
    pub schema: SchemaId,
    /// Rows or errors.
    pub kind: PartKind,
    /// The object's name in the store: hash prefix, table id and part id, never user text.
    pub path: String,
    /// The object's length.
    pub bytes: u64,
    /// How many rows it holds.
    pub rows: u64,
    /// The value of each PARTITION BY field, the same for all of its rows; empty for errors and unpartitioned tables.
    pub partition: Vec<Scalar>,
    /// Bounds of each ORDER BY column, in its order.
    pub sort_key: Vec<SortKeyRange>,
    /// What it covers of each stream.
    pub streams: Vec<PartStream>,
    /// Checksums of its blocks.
    pub checksums: BlockChecksums,
}

/// "I am about to upload this object": written before the upload, deleted by the commit, or else by the sweeper, which
/// deletes it by compare-and-set before it deletes the object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadIntent {
    /// The part.
    pub part: PartId,
    /// Its table.
    pub table: TableId,
    /// The object's name.
    pub path: String,
    /// Who uploads it.
    pub writer: WriterId,
    /// When, in microseconds since 1970. Decides only when the sweeper tries (I10).
    pub created: i64,
}
