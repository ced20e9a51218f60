//! How far one stream has been handed out, and the records that are being gathered for its next [`Fetched`].
//!
//! Every source puts its records through this, so that ranges follow each other without holes (I3) whatever the broker
//! does: records delivered twice are dropped here, and offsets passed over in silence are settled here. Does not know
//! where records come from.

use catalog::{Offset, OffsetRange, StreamId};
use vfs::planted;

use super::{Fetched, RawRecord, Records};

/// Book-keeping of one record in [`Records`].
pub(super) const ROW_BYTES: u64 = 112;

/// Bytes that `records` hold, book-keeping included: of small records that is the larger part (I8).
pub(super) fn held_bytes(records: &Records) -> u64 {
    records.bytes() as u64 + records.len() as u64 * ROW_BYTES
}

/// The position of one stream: `handed_out <= settled`; the records gathered lie between them.
#[derive(Debug)]
pub(super) struct StreamCursor {
    stream: StreamId,
    /// The end of the last range that was sealed: where the next one starts.
    handed_out: u64,
    /// The first offset of which nothing is known yet.
    settled: u64,
    gathered: Records,
}

impl StreamCursor {
    /// A cursor whose first range starts at `position`.
    pub(super) fn new(stream: StreamId, position: Offset) -> Self {
        Self { stream, handed_out: position.0, settled: position.0, gathered: Records::default() }
    }

    /// The stream.
    pub(super) fn stream(&self) -> StreamId {
        self.stream
    }

    /// The first offset that is not settled yet.
    pub(super) fn position(&self) -> Offset {
        Offset(self.settled)
    }

    /// Bytes of the records gathered.
    pub(super) fn gathered_bytes(&self) -> u64 {
        held_bytes(&self.gathered)
    }

    /// Whether offsets were settled that no range has covered yet.
    pub(super) fn has_news(&self) -> bool {
        self.settled > self.handed_out
    }

    /// Takes the next record; offsets between the last one and this one were passed over by the broker. `false`: it lies
    /// below the position, so it was delivered before, or was prefetched for an earlier position; it is dropped.
    pub(super) fn offer(&mut self, record: RawRecord<'_>) -> bool {
        if record.offset < self.settled && !planted::is("delivered-twice-taken-twice") {
            return false;
        }
        let offset = record.offset.max(self.settled);
        self.gathered.push(RawRecord { offset, ..record });
        self.settled = offset + 1;
        true
    }

    /// Settles the offsets up to `end` without records: the broker says that the next record, if any, comes from there on.
    pub(super) fn pass_over(&mut self, end: Offset) {
        self.settled = self.settled.max(end.0);
    }

    /// The range since the last one, with its records; `None` if nothing was settled since.
    pub(super) fn seal(&mut self) -> Option<Fetched> {
        if !self.has_news() {
            return None;
        }
        let is_gap_left_out = !self.gathered.is_empty() && planted::is("gap-left-out");
        let start = if is_gap_left_out { self.gathered.get(0).offset } else { self.handed_out };
        let range = OffsetRange::new(Offset(start), Offset(self.settled));
        self.handed_out = self.settled;
        // The next batch of a busy stream is about as large; a buffer that grows by doubling would copy it twice.
        let room = self.gathered.bytes().min(1 << 20);
        let records = std::mem::replace(&mut self.gathered, Records::with_capacity(room));
        Some(Fetched { stream: self.stream, range, records, gaps: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(offset: u64) -> RawRecord<'static> {
        RawRecord { offset, timestamp_ms: None, payload: Some(b"p"), payload_bytes: 1, key: None, headers: None }
    }

    fn cursor(position: u64) -> StreamCursor {
        StreamCursor::new(StreamId(1), Offset(position))
    }

    #[test]
    fn ranges_follow_each_other_over_holes() {
        let mut cursor = cursor(10);
        assert!(cursor.offer(record(12)));
        let first = cursor.seal().unwrap();
        assert!(cursor.offer(record(20)));
        cursor.pass_over(Offset(25));
        let second = cursor.seal().unwrap();
        assert_eq!((first.range.start, first.range.end), (Offset(10), Offset(13)));
        assert_eq!((second.range.start, second.range.end, second.records.len()), (Offset(13), Offset(25), 1));
    }

    #[test]
    fn a_record_delivered_twice_is_dropped() {
        let mut cursor = cursor(0);
        assert!(cursor.offer(record(0)));
        assert!(cursor.offer(record(1)));
        assert!(!cursor.offer(record(0)));
        assert!(!cursor.offer(record(1)));
        assert_eq!(cursor.seal().unwrap().records.len(), 2);
        assert!(!cursor.offer(record(1)), "also after it was handed out");
    }

    #[test]
    fn what_was_passed_over_is_handed_out_without_records() {
        let mut cursor = cursor(5);
        cursor.pass_over(Offset(7));
        let fetched = cursor.seal().unwrap();
        assert!(fetched.records.is_empty());
        assert_eq!(fetched.range.offsets(), 2);
        cursor.pass_over(Offset(6));
        assert!(cursor.seal().is_none(), "an end below the position settles nothing");
    }
}
