//! Which segments there are, and who still needs them. Pure: removing the files is [`crate::retire`]'s.

use std::collections::{BTreeMap, VecDeque};

use vfs::planted;

use crate::WalPosition;
use crate::scan::Contents;

/// The segments on disk whose headers are durable, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    segments: VecDeque<Segment>,
    /// While a replay looks at them, segments up to this one stay.
    viewed_through: Option<u64>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    bytes: u64,
    /// The streams that need it.
    needed: BTreeMap<u64, Need>,
}

/// The records of one stream in one segment that were not released.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// No needed record is before this offset.
    first: u64,
    last: u64,
}

impl Ledger {
    /// Adds a segment found on opening; all of its records are needed.
    pub(crate) fn adopt(&mut self, number: u64, contents: &Contents) {
        let needed =
            contents.streams.iter().map(|(stream, (first, last))| (*stream, Need { first: *first, last: *last }));
        self.segments.push_back(Segment { number, bytes: contents.end, needed: needed.collect() });
        self.viewed_through = Some(number);
    }

    /// The replay is over: segments may go.
    pub(crate) fn views_are_dropped(&mut self) {
        self.viewed_through = None;
    }

    /// Adds a new segment.
    pub(crate) fn begin(&mut self, number: u64, bytes: u64) {
        assert!(
            self.segments.back().is_none_or(|last| last.number + 1 == number),
            "segments are numbered without holes"
        );
        self.segments.push_back(Segment { number, bytes, needed: BTreeMap::new() });
    }

    /// Notes that the newest segment has grown to `bytes` by these records.
    pub(crate) fn wrote(&mut self, bytes: u64, records: impl Iterator<Item = (u64, WalPosition)>) {
        let newest = self.segments.back_mut().expect("what is written is written to a segment");
        newest.bytes = bytes;
        for (stream, position) in records {
            debug_assert_eq!(position.segment, newest.number);
            let at = position.offset;
            newest.needed.entry(stream).or_insert(Need { first: at, last: at }).last = at;
        }
    }

    /// The stream's records at or before `through` are not needed any more.
    pub(crate) fn release(&mut self, stream: u64, through: WalPosition) {
        for segment in self.segments.iter_mut().take_while(|segment| segment.number <= through.segment) {
            let Some(need) = segment.needed.get_mut(&stream) else { continue };
            if segment.number < through.segment || need.last <= through.offset {
                segment.needed.remove(&stream);
            } else {
                need.first = need.first.max(through.offset + 1);
            }
        }
    }

    /// None of the stream's records are needed any more.
    pub(crate) fn forget(&mut self, stream: u64) {
        for segment in &mut self.segments {
            segment.needed.remove(&stream);
        }
    }

    /// The next segment to remove: always the oldest, so that the numbers on disk have no hole; and never the newest, whose
    /// header keeps the fences that were recorded in all before it (I2).
    pub(crate) fn removable(&self) -> Option<u64> {
        let oldest = self.segments.front().filter(|_| self.segments.len() > 1)?;
        let is_viewed = self.viewed_through.is_some_and(|through| oldest.number <= through);
        let is_needed = !oldest.needed.is_empty() && !planted::is("wal-segment-removed-while-needed");
        (!is_needed && !is_viewed).then_some(oldest.number)
    }

    /// The oldest segment was removed.
    pub(crate) fn removed(&mut self, number: u64) {
        let removed = self.segments.pop_front().map(|oldest| oldest.number);
        assert_eq!(removed, Some(number), "segments are removed oldest first");
    }

    /// The stream whose needed record is the oldest, and a position that none of its needed records is before.
    pub(crate) fn oldest_needed(&self) -> Option<(u64, WalPosition)> {
        let segment = self.segments.iter().find(|segment| !segment.needed.is_empty())?;
        let (stream, need) = segment.needed.iter().min_by_key(|(_, need)| need.first)?;
        Some((*stream, WalPosition { segment: segment.number, offset: need.first }))
    }

    /// The last of the stream's needed records.
    pub(crate) fn last_needed(&self, stream: u64) -> Option<WalPosition> {
        let of_it = |segment: &Segment| {
            let need = segment.needed.get(&stream)?;
            Some(WalPosition { segment: segment.number, offset: need.last })
        };
        self.segments.iter().rev().find_map(of_it)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segment: u64, offset: u64) -> WalPosition {
        WalPosition { segment, offset }
    }

    /// Segment 1: streams 1 and 2; segment 2: stream 1; segment 3: stream 2.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        let segments: [&[(u64, u64)]; 3] = [&[(1, 40), (2, 50), (1, 60)], &[(1, 40), (1, 90)], &[(2, 40)]];
        for (number, records) in (1..).zip(segments) {
            ledger.begin(number, 40);
            ledger.wrote(100, records.iter().map(|(stream, offset)| (*stream, at(number, *offset))));
        }
        ledger
    }

    #[test]
    fn the_oldest_segment_goes_when_nobody_needs_it_and_a_newer_one_stays_behind_it() {
        let mut ledger = ledger();
        ledger.release(1, at(2, 90));
        assert_eq!(ledger.removable(), None, "stream 2 needs segment 1");
        ledger.release(2, at(1, 50));
        assert_eq!(ledger.removable(), Some(1));
        ledger.removed(1);
        assert_eq!(ledger.removable(), Some(2));
        ledger.removed(2);
        ledger.release(2, at(3, 40));
        assert_eq!(ledger.removable(), None, "the newest segment stays");
        assert_eq!((ledger.segments(), ledger.bytes()), (1, 100));
    }

    #[test]
    fn a_release_reaches_no_record_after_it() {
        let mut ledger = ledger();
        assert_eq!(ledger.oldest_needed(), Some((1, at(1, 40))));
        assert_eq!((ledger.last_needed(1), ledger.last_needed(3)), (Some(at(2, 90)), None));
        ledger.release(1, at(1, 40));
        assert_eq!(ledger.oldest_needed(), Some((1, at(1, 41))), "its record at 60 is needed");
        ledger.release(1, at(1, 60));
        assert_eq!(ledger.oldest_needed(), Some((2, at(1, 50))));
        ledger.forget(2);
        assert_eq!(ledger.oldest_needed(), Some((1, at(2, 40))));
        ledger.release(1, at(2, 89));
        assert_eq!(ledger.oldest_needed(), Some((1, at(2, 90))));
    }

    #[test]
    fn what_a_replay_looks_at_stays_until_it_is_over() {
        let mut ledger = Ledger::default();
        ledger.adopt(4, &Contents { end: 100, ..Contents::default() });
        ledger.begin(5, 40);
        assert_eq!(ledger.removable(), None);
        ledger.views_are_dropped();
        assert_eq!(ledger.removable(), Some(4));
    }
}
