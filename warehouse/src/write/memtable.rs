//! The memtable of one task: batches of its streams, from the committed offset to the end of what is logged.
//!
//! Four cursors a stream, all offsets, and their order never changes:
//!
//! ```text
//!   retained <= committed <= frozen <= logged
//!      |  retired     |  being    |  mutable |
//!      |  soon        |  flushed  |          |
//! ```
//!
//! Readers see `[C(s), logged)` for any C(s) not below `retained`. If the process dies here, the WAL replays what lies
//! between `committed` and `logged`, or the next owner fetches it again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::{Epoch, Offset, OffsetRange, StreamId};
use vfs::{Moment, planted};
use wal::WalPosition;

use super::batch::Batch;
use crate::memory::Charge;

/// A logged batch in memory. Its charge lives as long as anybody holds it: the memtable, a flush, or a pin.
#[derive(Debug)]
pub struct Held {
    /// The batch.
    pub batch: Batch,
    /// Where the WAL has it.
    pub position: WalPosition,
    /// Its bytes, counted in the process's memory limit.
    pub charge: Charge,
}

#[derive(Debug)]
struct StreamRows {
    epoch: Epoch,
    retained: Offset,
    committed: Offset,
    frozen: Offset,
    logged: Offset,
    batches: VecDeque<Arc<Held>>,
}

impl StreamRows {
    fn check(&self) {
        assert!(
            self.retained <= self.committed && self.committed <= self.frozen && self.frozen <= self.logged,
            "I3: cursors out of order: {} <= {} <= {} <= {}",
            self.retained,
            self.committed,
            self.frozen,
            self.logged
        );
    }

    /// Whether it can show all rows from `committed` on.
    fn reaches(&self, epoch: Epoch, committed: Offset) -> bool {
        self.epoch == epoch && self.retained <= committed && committed <= self.logged
    }

    /// A planted bug: it shows what it has.
    fn is_shown_all_the_same(&self, committed: Offset) -> bool {
        committed <= self.logged && planted::is("plan-again-ignored")
    }

    fn cursors(&self) -> Cursors {
        Cursors { epoch: self.epoch, committed: self.committed, logged: self.logged }
    }

    fn between(&self, range: OffsetRange) -> impl Iterator<Item = &Arc<Held>> {
        self.batches.iter().filter(move |held| held.batch.range.start < range.end && held.batch.range.end > range.start)
    }
}

/// A stream's cursors, for reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursors {
    /// The epoch that it is held under.
    pub epoch: Epoch,
    /// The offset up to which it is committed.
    pub committed: Offset,
    /// The end of what is logged, and so visible.
    pub logged: Offset,
}

/// What a flush takes: the batches of `[committed, frozen)` of each stream.
#[derive(Clone, Debug)]
pub struct Frozen {
    /// The streams that have something, each with the epoch that it is held under.
    pub streams: BTreeMap<StreamId, FrozenStream>,
}

/// One stream of a [`Frozen`].
#[derive(Clone, Debug)]
pub struct FrozenStream {
    /// Its epoch.
    pub epoch: Epoch,
    /// From its committed offset to its frozen one.
    pub range: OffsetRange,
    /// Its batches, contiguous; they cover `range`, and the first and the last may reach beyond it.
    pub batches: Vec<Arc<Held>>,
}

impl FrozenStream {
    /// Exactly what lies in `range`, in order.
    pub fn pieces(&self) -> impl Iterator<Item = Batch> + '_ {
        self.batches.iter().filter_map(|held| {
            let whole = held.batch.range;
            let (start, end) = (whole.start.max(self.range.start), whole.end.min(self.range.end));
            (start < end).then(|| held.batch.slice(OffsetRange::new(start, end)))
        })
    }
}

/// How a reader's request for `[committed, …)` of a stream ends.
#[derive(Debug)]
pub enum Pinned {
    /// The rows, and where they end.
    Rows {
        /// E(s).
        end: Offset,
        /// The batches that cover `[C(s), E(s))`.
        batches: Vec<Arc<Held>>,
    },
    /// It is held, but under another epoch, or no longer reaching back so far.
    PlanAgain,
    /// Nothing of it is held here.
    NotHeld,
}

#[derive(Debug, Default)]
struct Inner {
    streams: BTreeMap<StreamId, StreamRows>,
    mutable_bytes: u64,
    mutable_since: Option<Moment>,
    retiring: VecDeque<(Moment, StreamId, Offset)>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Memtable {
    inner: Mutex<Inner>,
}

impl Memtable {
    /// An empty one.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to hold `stream` under `epoch`, with nothing beyond `committed`.
    pub fn open(&self, stream: StreamId, epoch: Epoch, committed: Offset) {
        let mut inner = self.lock();
        inner.drop_stream(stream);
        let rows = StreamRows {
            epoch,
            retained: committed,
            committed,
            frozen: committed,
            logged: committed,
            batches: VecDeque::new(),
        };
        inner.streams.insert(stream, rows);
    }

    /// Drops all rows of `stream` if it is held under `epoch`: it is fenced, or let go. Under a newer one it is another
    /// grant's, and stays. Pins keep their rows. Returns where the log has the last of what was dropped.
    pub fn close(&self, stream: StreamId, epoch: Epoch) -> Option<WalPosition> {
        let mut inner = self.lock();
        let rows = inner.streams.get(&stream).filter(|rows| rows.epoch == epoch)?;
        let last = rows.batches.iter().map(|held| held.position).max();
        inner.drop_stream(stream);
        last
    }

    /// Publishes a logged batch to readers. A batch of a stream, or of an epoch, that is no longer held is dropped: its
    /// rows belong to the next owner.
    ///
    /// # Panics
    /// If the batch does not begin where the stream ends (I3).
    pub fn publish(&self, epoch: Epoch, held: Held, now: Moment) -> bool {
        let mut inner = self.lock();
        let bytes = held.charge.bytes();
        let Some(rows) = inner.streams.get_mut(&held.batch.stream).filter(|rows| rows.epoch == epoch) else {
            return false;
        };
        assert_eq!(held.batch.range.start, rows.logged, "I3: stream {} has a hole", held.batch.stream);
        rows.logged = held.batch.range.end;
        rows.batches.push_back(Arc::new(held));
        rows.check();
        inner.mutable_bytes += bytes;
        inner.mutable_since.get_or_insert(now);
        true
    }

    /// Bytes not yet frozen, and since when the first of them has been here.
    pub fn mutable(&self) -> (u64, Option<Moment>) {
        let inner = self.lock();
        (inner.mutable_bytes, inner.mutable_since)
    }

    /// Freezes all that is logged. `None` if nothing is.
    ///
    /// # Panics
    /// If an earlier freeze was not committed: commits of one task are in order.
    pub fn freeze(&self) -> Option<Frozen> {
        let mut inner = self.lock();
        inner.mutable_bytes = 0;
        inner.mutable_since = None;
        let mut streams = BTreeMap::new();
        for (stream, rows) in &mut inner.streams {
            assert_eq!(rows.frozen, rows.committed, "stream {stream} is being flushed already");
            rows.frozen = rows.logged;
            let range = OffsetRange::new(rows.committed, rows.frozen);
            if !range.is_empty() {
                let batches = rows.between(range).cloned().collect();
                streams.insert(*stream, FrozenStream { epoch: rows.epoch, range, batches });
            }
        }
        (!streams.is_empty()).then_some(Frozen { streams })
    }

    /// Moves the committed offsets to `frozen`'s ends; returns the WAL position that each stream needs no longer. The rows
    /// stay until [`Memtable::retire`] after `retire_at`, for readers whose version is older than the commit.
    pub fn committed(&self, frozen: &Frozen, retire_at: Moment) -> Vec<(StreamId, WalPosition)> {
        let mut inner = self.lock();
        let mut released = Vec::new();
        for (stream, taken) in &frozen.streams {
            let is_of_it = |rows: &&mut StreamRows| rows.epoch == taken.epoch || planted::is("late-flush-merged");
            let Some(rows) = inner.streams.get_mut(stream).filter(is_of_it) else { continue };
            assert_eq!(rows.committed, taken.range.start, "I3: stream {stream} was committed out of order");
            rows.committed = taken.range.end;
            rows.check();
            // A batch of which only the beginning was committed is still needed.
            let committed = taken.batches.iter().filter(|held| held.batch.range.end <= taken.range.end);
            // Adopted batches may stand where the process before has logged them, and later ones behind.
            if let Some(last) = committed.map(|held| held.position).max() {
                released.push((*stream, last));
            }
            inner.retiring.push_back((retire_at, *stream, taken.range.end));
        }
        released
    }

    /// Drops committed rows whose time has come, or all of them if `pressed`: a reader that still needs them plans again.
    pub fn retire(&self, now: Moment, pressed: bool) {
        let mut inner = self.lock();
        while let Some((due, stream, through)) = inner.retiring.front().copied() {
            if due > now && !pressed {
                break;
            }
            inner.retiring.pop_front();
            let Some(rows) = inner.streams.get_mut(&stream) else { continue };
            let through = through.min(rows.committed);
            let dropped = if planted::is("retired-before-commit-is-known") { rows.frozen } else { through };
            while rows.batches.front().is_some_and(|held| held.batch.range.end <= dropped) {
                rows.batches.pop_front();
            }
            rows.retained = rows.retained.max(through);
            rows.check();
        }
    }

    /// The rows of `stream` from `committed` on, if it is held under `epoch` and reaches back so far.
    pub fn pin(&self, stream: StreamId, epoch: Epoch, committed: Offset) -> Pinned {
        let inner = self.lock();
        match inner.streams.get(&stream) {
            Some(rows) if rows.reaches(epoch, committed) || rows.is_shown_all_the_same(committed) => {
                let range = OffsetRange::new(committed, rows.logged);
                Pinned::Rows { end: rows.logged, batches: rows.between(range).cloned().collect() }
            }
            Some(_) => Pinned::PlanAgain,
            None => Pinned::NotHeld,
        }
    }

    /// The cursors of every stream held.
    pub fn cursors(&self) -> BTreeMap<StreamId, Cursors> {
        self.lock().streams.iter().map(|(stream, rows)| (*stream, rows.cursors())).collect()
    }

    /// The cursors of one stream, if it is held.
    pub fn cursors_of(&self, stream: StreamId) -> Option<Cursors> {
        self.lock().streams.get(&stream).map(StreamRows::cursors)
    }
}

impl Inner {
    fn drop_stream(&mut self, stream: StreamId) {
        let Some(rows) = self.streams.remove(&stream) else { return };
        let mutable = OffsetRange::new(rows.frozen, rows.logged);
        let bytes: u64 = rows.between(mutable).map(|held| held.charge.bytes()).sum();
        self.mutable_bytes -= bytes;
        self.retiring.retain(|(_, retiring, _)| *retiring != stream);
    }
}

/// How long committed rows stay for readers that planned before the commit.
pub const RETIRE_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use wal::Wal;

    use super::*;
    use crate::memory::MemoryBudget;
    use crate::write::testing::{batch, held, log, range};

    const STREAM: StreamId = StreamId(1);
    const OTHER: StreamId = StreamId(2);

    struct Rig {
        log: Wal,
        budget: Arc<MemoryBudget>,
        memtable: Arc<Memtable>,
    }

    impl Rig {
        /// Streams 1 and 2, held under epoch 1 from offset 0 on.
        async fn new() -> Self {
            let (log, budget, memtable) = (log().await, MemoryBudget::new(1 << 30), Memtable::new());
            memtable.open(STREAM, Epoch(1), Offset(0));
            memtable.open(OTHER, Epoch(1), Offset(0));
            Self { log, budget, memtable }
        }

        async fn publish(&self, stream: StreamId, epoch: u64, offsets: std::ops::Range<u64>) -> bool {
            let held = held(&self.log, &self.budget, batch(stream.0, offsets)).await;
            self.memtable.publish(Epoch(epoch), held, Moment::default())
        }

        fn pinned(&self, stream: StreamId, epoch: u64, committed: u64) -> Option<(u64, usize)> {
            match self.memtable.pin(stream, Epoch(epoch), Offset(committed)) {
                Pinned::Rows { end, batches } => Some((end.0, batches.len())),
                Pinned::PlanAgain | Pinned::NotHeld => None,
            }
        }
    }

    fn at(seconds: u64) -> Moment {
        Moment::new(Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn rows_are_visible_from_their_publication_until_they_are_retired() {
        let rig = Rig::new().await;
        assert_eq!(rig.pinned(STREAM, 1, 0), Some((0, 0)));
        assert!(rig.publish(STREAM, 1, 0..10).await && rig.publish(STREAM, 1, 10..25).await);
        assert_eq!(rig.pinned(STREAM, 1, 0), Some((25, 2)));
        let frozen = rig.memtable.freeze().unwrap();
        rig.publish(STREAM, 1, 25..30).await;
        assert_eq!(rig.memtable.committed(&frozen, at(10)).len(), 1);
        rig.memtable.retire(at(9), false);
        assert_eq!(rig.pinned(STREAM, 1, 0), Some((30, 3)), "a reader of an older version still needs them");
        rig.memtable.retire(at(10), false);
        assert!(matches!(rig.memtable.pin(STREAM, Epoch(1), Offset(0)), Pinned::PlanAgain));
        assert_eq!(rig.pinned(STREAM, 1, 25), Some((30, 1)));
    }

    #[tokio::test]
    async fn under_pressure_committed_rows_go_at_once_and_others_never() {
        let rig = Rig::new().await;
        rig.publish(STREAM, 1, 0..10).await;
        let frozen = rig.memtable.freeze().unwrap();
        rig.memtable.retire(at(1_000), true);
        assert_eq!(rig.pinned(STREAM, 1, 0), Some((10, 1)));
        rig.memtable.committed(&frozen, at(10));
        drop(frozen);
        rig.memtable.retire(at(0), true);
        assert_eq!((rig.pinned(STREAM, 1, 0), rig.budget.used()), (None, 0));
    }

    #[tokio::test]
    async fn i8_rows_stay_charged_for_as_long_as_a_pin_holds_them() {
        let rig = Rig::new().await;
        rig.publish(STREAM, 1, 0..10).await;
        let pinned = rig.memtable.pin(STREAM, Epoch(1), Offset(0));
        rig.memtable.close(STREAM, Epoch(1));
        assert!(rig.budget.used() > 0);
        drop(pinned);
        assert_eq!(rig.budget.used(), 0);
    }

    #[tokio::test]
    async fn i2_what_was_logged_under_another_epoch_is_not_shown() {
        let rig = Rig::new().await;
        assert!(!rig.publish(STREAM, 2, 0..10).await && !rig.publish(StreamId(9), 1, 0..10).await);
        assert_eq!(rig.pinned(STREAM, 1, 0), Some((0, 0)));
        assert!(matches!(rig.memtable.pin(STREAM, Epoch(2), Offset(0)), Pinned::PlanAgain));
        assert!(matches!(rig.memtable.pin(StreamId(9), Epoch(1), Offset(0)), Pinned::NotHeld));
    }

    #[tokio::test]
    async fn an_older_grant_that_is_lost_takes_nothing_from_the_newer_one() {
        let rig = Rig::new().await;
        rig.publish(STREAM, 1, 0..10).await;
        let frozen = rig.memtable.freeze().unwrap();
        rig.memtable.open(STREAM, Epoch(2), Offset(10));
        rig.publish(STREAM, 2, 10..20).await;
        assert_eq!(rig.memtable.committed(&frozen, at(0)), vec![], "the older flush says nothing of the newer grant");
        rig.memtable.close(STREAM, Epoch(1));
        assert_eq!(rig.pinned(STREAM, 2, 10), Some((20, 1)));
        rig.memtable.close(STREAM, Epoch(2));
        assert_eq!(rig.memtable.cursors_of(STREAM), None);
    }

    #[tokio::test]
    #[should_panic(expected = "I3")]
    async fn i3_a_hole_is_never_published() {
        let rig = Rig::new().await;
        rig.publish(STREAM, 1, 0..10).await;
        rig.publish(STREAM, 1, 11..20).await;
    }

    #[tokio::test]
    async fn a_freeze_takes_all_that_is_logged_and_leaves_nothing_mutable() {
        let rig = Rig::new().await;
        assert!(rig.memtable.freeze().is_none());
        rig.publish(STREAM, 1, 0..10).await;
        rig.publish(OTHER, 1, 0..5).await;
        let (bytes, since) = rig.memtable.mutable();
        assert_eq!((bytes, since), (rig.budget.used(), Some(Moment::default())));
        let frozen = rig.memtable.freeze().unwrap();
        assert_eq!(rig.memtable.mutable(), (0, None));
        let ranges: Vec<_> = frozen.streams.iter().map(|(stream, of)| (*stream, of.range)).collect();
        assert_eq!(ranges, [(STREAM, range(0..10)), (OTHER, range(0..5))]);
        rig.publish(OTHER, 1, 5..6).await;
        rig.memtable.close(STREAM, Epoch(1));
        rig.memtable.close(OTHER, Epoch(1));
        assert_eq!(rig.memtable.mutable().0, 0);
    }

    #[tokio::test]
    async fn a_batch_of_which_half_was_committed_is_still_needed_and_goes_on_from_there() {
        let rig = Rig::new().await;
        rig.publish(STREAM, 1, 0..10).await;
        rig.publish(STREAM, 1, 10..20).await;
        let whole = rig.memtable.freeze().unwrap();
        let mut first = whole.clone();
        let (first_position, last_position) =
            (whole.streams[&STREAM].batches[0].position, whole.streams[&STREAM].batches[1].position);
        first.streams.get_mut(&STREAM).unwrap().range = range(0..13);
        assert_eq!(rig.memtable.committed(&first, at(10)), [(STREAM, first_position)]);
        assert_eq!(rig.pinned(STREAM, 1, 13), Some((20, 1)));
        let mut rest = whole;
        rest.streams.get_mut(&STREAM).unwrap().range = range(13..20);
        let pieces: Vec<_> = rest.streams[&STREAM].pieces().map(|piece| piece.range).collect();
        assert_eq!(pieces.last(), Some(&range(13..20)));
        assert_eq!(rig.memtable.committed(&rest, at(10)), [(STREAM, last_position)]);
    }
}
