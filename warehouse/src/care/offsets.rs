//! Which offsets the rows of parts have: gathered as runs, so that rows that follow each other take no room, and compared with each
//! other and with what the commits cover.

use std::collections::BTreeMap;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use catalog::{Gap, Offset, OffsetRange, Part, PartKind, StreamId};

use crate::schema::{OFFSET_COLUMN, STREAM_COLUMN};

/// Rows of one part that follow each other: offsets `start..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Run {
    start: u64,
    end: u64,
    part: u32,
}

/// The offsets of all rows seen.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    runs: BTreeMap<StreamId, Vec<Run>>,
    parts: Vec<String>,
}

impl Offsets {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> u64 {
        let runs: usize = self.runs.values().map(Vec::capacity).sum();
        let names: usize = self.parts.iter().map(String::capacity).sum();
        (runs * size_of::<Run>() + names) as u64
    }

    /// Adds a part's rows; what of them is not as the part's record says.
    pub(super) fn add(&mut self, part: &Part, batches: &[RecordBatch]) -> Vec<(StreamId, String)> {
        let number = u32::try_from(self.parts.len()).unwrap_or(u32::MAX);
        let kind = match part.kind {
            PartKind::Rows => "rows",
            PartKind::Errors => "error rows",
        };
        self.parts.push(format!("the {kind} of part {}", part.id));
        let mut found: BTreeMap<StreamId, Vec<u64>> = BTreeMap::new();
        for batch in batches {
            let column = |name| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
            let (Some(streams), Some(offsets)) = (column(STREAM_COLUMN), column(OFFSET_COLUMN)) else { continue };
            for (stream, offset) in streams.values().iter().zip(offsets.values()) {
                found.entry(StreamId(*stream as u64)).or_default().push(*offset as u64);
            }
        }
        let mut faults = Vec::new();
        for covered in &part.streams {
            let offsets = found.get(&covered.stream).map_or(&[][..], Vec::as_slice);
            let bounds = offsets.iter().min().zip(offsets.iter().max());
            let range = bounds.map(|(first, last)| OffsetRange::new(Offset(*first), Offset(last.saturating_add(1))));
            if (offsets.len() as u64, range) != (covered.rows, Some(covered.range)) {
                let found = range.map_or("none".to_owned(), |range| range.to_string());
                let what = format!(
                    "part {} holds {} rows at offsets {found}, and is said to hold {} at {}",
                    part.id,
                    offsets.len(),
                    covered.rows,
                    covered.range
                );
                faults.push((covered.stream, what));
            }
        }
        for (stream, mut offsets) in found {
            if !part.streams.iter().any(|covered| covered.stream == stream) {
                faults
                    .push((stream, format!("part {} holds rows of stream {stream}, which it does not name", part.id)));
            }
            offsets.sort_unstable();
            let runs = self.runs.entry(stream).or_default();
            for offset in offsets {
                match runs.last_mut().filter(|run| run.part == number && run.end == offset) {
                    Some(run) => run.end = run.end.saturating_add(1),
                    None => runs.push(Run { start: offset, end: offset.saturating_add(1), part: number }),
                }
            }
        }
        faults
    }

    /// What of a stream is there twice, outside of what is covered, or in a range that is said to be lost.
    pub(super) fn compare(&mut self, stream: StreamId, covered: OffsetRange, gaps: &[Gap]) -> Vec<String> {
        let Some(mut runs) = self.runs.remove(&stream) else { return Vec::new() };
        runs.sort_unstable();
        let name = |run: &Run| self.parts.get(run.part as usize).map_or("a part", String::as_str);
        let mut faults = Vec::new();
        let mut widest: Option<Run> = None;
        for run in &runs {
            if let Some(before) = widest.filter(|before| run.start < before.end) {
                let twice = OffsetRange::new(Offset(run.start), Offset(run.end.min(before.end)));
                faults.push(format!("offsets {twice} are in {} and in {} (I1)", name(&before), name(run)));
            }
            if widest.is_none_or(|before| before.end < run.end) {
                widest = Some(*run);
            }
            if run.start < covered.start.0 || covered.end.0 < run.end {
                let range = OffsetRange::new(Offset(run.start), Offset(run.end));
                faults.push(format!("offsets {range} are in {}, and the commits cover {covered}", name(run)));
            }
            let lost = gaps.iter().find(|gap| gap.range.start.0 < run.end && run.start < gap.range.end.0);
            if let Some(gap) = lost {
                faults.push(format!(
                    "offsets {} are said to be lost, and {} has some of them (I1)",
                    gap.range,
                    name(run)
                ));
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use catalog::{BlockChecksums, GapKind, PartId, PartStream, SchemaId, TableId};

    use super::*;

    fn range(start: u64, end: u64) -> OffsetRange {
        OffsetRange::new(Offset(start), Offset(end))
    }

    fn part(id: u128, of: OffsetRange, rows: u64) -> Part {
        Part {
            id: PartId(id),
            table: TableId(1),
            schema: SchemaId(1),
            kind: PartKind::Rows,
            path: String::new(),
            bytes: 1,
            rows,
            partition: Vec::new(),
            sort_key: Vec::new(),
            streams: vec![PartStream { stream: StreamId(7), range: of, rows }],
            checksums: BlockChecksums { block_bytes: 1, crc32c: Vec::new() },
        }
    }

    fn batch(offsets: &[i64]) -> RecordBatch {
        let streams = Arc::new(Int64Array::from_value(7, offsets.len())) as _;
        let offsets = Arc::new(Int64Array::from(offsets.to_vec())) as _;
        RecordBatch::try_from_iter([(STREAM_COLUMN, streams), (OFFSET_COLUMN, offsets)]).unwrap()
    }

    #[test]
    fn rows_in_any_order_that_are_there_once_have_no_fault() {
        let mut offsets = Offsets::default();
        assert_eq!(offsets.add(&part(1, range(0, 5), 3), &[batch(&[4, 0]), batch(&[2])]), []);
        assert_eq!(offsets.add(&part(2, range(1, 4), 2), &[batch(&[3, 1])]), []);
        assert_eq!(offsets.compare(StreamId(7), range(0, 5), &[]), Vec::<String>::new());
    }

    #[test]
    fn i1_an_offset_that_is_there_twice_is_named_with_both_parts() {
        let mut offsets = Offsets::default();
        offsets.add(&part(1, range(0, 5), 5), &[batch(&[0, 1, 2, 3, 4])]);
        offsets.add(&part(2, range(3, 4), 1), &[batch(&[3])]);
        let faults = offsets.compare(StreamId(7), range(0, 5), &[]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with("offsets 3..4 are in the rows of part"), "{faults:?}");
        let mut inside = Offsets::default();
        inside.add(&part(1, range(3, 4), 2), &[batch(&[3, 3])]);
        assert_eq!(inside.compare(StreamId(7), range(0, 5), &[]).len(), 1, "also within one part");
    }

    #[test]
    fn rows_beyond_what_is_covered_or_in_a_lost_range_are_named() {
        let mut offsets = Offsets::default();
        offsets.add(&part(1, range(0, 6), 2), &[batch(&[0, 5])]);
        let gap = Gap { kind: GapKind::Expired, range: range(0, 2) };
        let faults = offsets.compare(StreamId(7), range(0, 5), &[gap]);
        assert!(
            faults.iter().any(|fault| fault.contains("offsets 5..6") && fault.contains("cover 0..5")),
            "{faults:?}"
        );
        assert!(faults.iter().any(|fault| fault.contains("0..2 are said to be lost")), "{faults:?}");
    }

    #[test]
    fn a_part_that_is_not_what_its_record_says_is_named() {
        let mut offsets = Offsets::default();
        let faults = offsets.add(&part(1, range(0, 5), 3), &[batch(&[0, 4])]);
        assert!(faults[0].1.contains("holds 2 rows at offsets 0..5, and is said to hold 3 at 0..5"), "{faults:?}");
    }
}
