//! One commit request that adds up, for the tests of what a commit is made of.

use crate::{
    BlockChecksums, CommitRequest, CommitToken, Epoch, Fence, Gap, GapKind, Ledger, Offset, OffsetRange, Part, PartId,
    PartKind, PartStream, PipelineId, Scalar, SchemaId, SortKeyRange, StreamAdvance, StreamId, TableId, TaskIndex,
    WriterId,
};

/// Streams 11 (offsets 100..110: 4 rows, 2 errors, 1 filtered, 3 expired) and 12 (0..5: 5 rows), in a part of all rows and
/// one of the errors.
pub(crate) fn request() -> CommitRequest {
    let first = StreamAdvance {
        stream: StreamId(11),
        epoch: Epoch(3),
        range: range(100, 110),
        ledger: Ledger { rows: 4, errors: 2, filtered: 1, expired: 3, ..Ledger::default() },
        gaps: vec![Gap { kind: GapKind::Expired, range: range(103, 106) }],
    };
    let second = StreamAdvance {
        stream: StreamId(12),
        epoch: Epoch(1),
        range: range(0, 5),
        ledger: Ledger { rows: 5, ..Ledger::default() },
        gaps: Vec::new(),
    };
    CommitRequest {
        token: CommitToken(0xabc),
        writer: WriterId::Task(PipelineId(5), TaskIndex(0)),
        table: TableId(2),
        table_fence: Fence(1),
        pipeline: Some((PipelineId(5), Fence(4))),
        schema: SchemaId(1),
        streams: vec![first, second],
        parts: vec![
            part(0xa1, PartKind::Rows, &[(11, 100, 110, 4), (12, 0, 5, 5)]),
            part(0xa2, PartKind::Errors, &[(11, 101, 103, 2)]),
        ],
        labels: Vec::new(),
    }
}

fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(end))
}

fn part(id: u128, kind: PartKind, covered: &[(u64, u64, u64, u64)]) -> Part {
    let covers = |&(stream, start, end, rows)| PartStream { stream: StreamId(stream), range: range(start, end), rows };
    Part {
        id: PartId(id),
        table: TableId(2),
        schema: SchemaId(1),
        kind,
        path: format!("3f/2/{id:032x}.parquet"),
        bytes: 1_000,
        rows: covered.iter().map(|(_, _, _, rows)| rows).sum(),
        partition: vec![Scalar::Date(15_706)],
        sort_key: vec![SortKeyRange { min: Scalar::Text("EWR".into()), max: Some(Scalar::Text("LGA".into())) }],
        streams: covered.iter().map(covers).collect(),
        checksums: BlockChecksums { block_bytes: 1 << 20, crc32c: vec![0xdead_beef] },
    }
}
