//! A few records of a topic, and the columns that they ask for.
//!
//! Both ends of the range are looked at: what producers write now, and what they wrote first. Half of the sample is the
//! oldest records, half the newest, spread evenly over the partitions.

use std::sync::Arc;

use catalog::{KafkaSource, Offset, OffsetRange};
use vfs::Clock;

use crate::write::decode::{Inferred, infer};
use crate::write::source::{RangeReader, SourceConnector, SourceError, SourceOptions, TopicRange};

/// How many offsets are looked at, at the most.
pub const SAMPLE_RECORDS: u64 = 1000;
/// From how many partitions, at the most.
const PARTITIONS_MAX: usize = 100;
/// Of how many bytes of payloads, at the most: a few large records say enough.
const BYTES_MAX: usize = 16 << 20;
/// What the sample's source may hold.
const QUEUE_BYTES: u64 = 4 << 20;

/// What the records in `ranges` look like.
///
/// # Errors
/// If they cannot be read.
pub async fn sample(
    connector: &dyn SourceConnector,
    clock: &Arc<dyn Clock>,
    kafka: &KafkaSource,
    ranges: &[TopicRange],
    read_committed: bool,
    max_record_bytes: u64,
) -> Result<Inferred, SourceError> {
    let wanted = ends_of(ranges);
    if wanted.is_empty() {
        return Ok(Inferred::default());
    }
    let options = SourceOptions {
        read_committed,
        queue_bytes: QUEUE_BYTES,
        batch_bytes: 256 << 10,
        max_record_bytes,
        keys: false,
        headers: false,
    };
    let source = connector.open(kafka, options).await?;
    let mut reader = RangeReader::new(source, &wanted, Arc::clone(clock));
    // In the order of the ranges, not of their arrival: the same topic gives the same columns.
    let mut pieces = Vec::new();
    let mut bytes = 0;
    while let Some(piece) = reader.next().await? {
        bytes += piece.records.bytes();
        pieces.push(piece);
        if bytes >= BYTES_MAX {
            break;
        }
    }
    pieces.sort_by_key(|piece| (Arc::clone(&piece.topic), piece.partition, piece.records.get(0).offset));
    let whole = pieces.iter().flat_map(|piece| piece.records.iter());
    Ok(infer(whole.map(|record| record.payload.filter(|_| !record.is_cut()))))
}

/// The two ends of some of the ranges.
fn ends_of(ranges: &[TopicRange]) -> Vec<TopicRange> {
    let full: Vec<&TopicRange> = ranges.iter().filter(|range| !range.range.is_empty()).collect();
    let step = full.len().div_ceil(PARTITIONS_MAX).max(1);
    let some: Vec<&TopicRange> = full.into_iter().step_by(step).collect();
    let share = SAMPLE_RECORDS / (some.len() as u64).max(1);
    let mut ends = Vec::new();
    for of in some {
        let OffsetRange { start, end } = of.range;
        let part = |start, end| TopicRange { range: OffsetRange::new(start, end), ..of.clone() };
        if of.range.offsets() <= share {
            ends.push(of.clone());
        } else {
            let half = share / 2;
            ends.push(part(start, Offset(start.0 + half)));
            ends.push(part(Offset(end.0 - (share - half)), end));
        }
    }
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(partition: i32, start: u64, end: u64) -> TopicRange {
        let range = OffsetRange::new(Offset(start), Offset(end));
        TopicRange { topic: Arc::from("t"), incarnation: Arc::from(""), partition, range }
    }

    #[test]
    fn both_ends_of_every_partition_are_looked_at_and_no_more_than_the_sample() {
        assert_eq!(ends_of(&[range(0, 5, 5), range(1, 3, 9)]), [range(1, 3, 9)]);
        assert_eq!(ends_of(&[range(0, 10, 5_010)]), [range(0, 10, 510), range(0, 4_510, 5_010)]);
        let many: Vec<TopicRange> = (0..1_000).map(|partition| range(partition, 0, 1_000_000)).collect();
        let ends = ends_of(&many);
        assert_eq!(ends.iter().map(|end| end.range.offsets()).sum::<u64>(), SAMPLE_RECORDS);
        assert_eq!((ends[0].partition, ends[198].partition), (0, 990), "spread over all of them");
    }
}
