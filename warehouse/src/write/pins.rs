//! Pins: rows in memory that a running query still needs (PROTOCOL, "Snapshots and memtable reads").
//!
//! A pin holds the batches themselves, so a flush, a commit or a fence cannot take them away; their bytes stay charged to
//! the process's memory limit. It ends with its query, or after a time, or when memory is spent and pins are what spends it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use catalog::{Offset, OffsetRange, PartKind, StreamId};
use vfs::{Clock, Moment, planted};

use super::batch::slice_offsets;
use super::memtable::Held;
use crate::memory::MemoryBudget;
use crate::read::pin::{MemtableScan, PinError, QueryId};

/// A query that takes longer loses its pin, and says so.
pub const PIN_SECONDS_MAX: u64 = 600;
/// While memory is spent, pins alone may keep this share of it from being given back.
const PINNED_SHARE: u64 = 4;

/// Rows of one stream up to `end`.
#[derive(Debug)]
struct PinnedRows {
    end: Offset,
    batches: Vec<Arc<Held>>,
}

impl PinnedRows {
    fn cover(&self, range: OffsetRange) -> bool {
        let reaches_back = self.batches.first().is_some_and(|first| first.batch.range.start <= range.start);
        range.end <= self.end && (reaches_back || planted::is("plan-again-ignored"))
    }
}

#[derive(Debug)]
enum Pin {
    /// Each stream with what was pinned of it: more than once, if the query has planned again.
    Held { since: Moment, streams: BTreeMap<StreamId, Vec<PinnedRows>> },
    /// Its rows were let go before its query ended; kept to say so.
    Released { since: Moment, seconds: u64 },
}

/// The pins of one worker.
#[derive(Debug)]
pub struct Pins {
    clock: Arc<dyn Clock>,
    pins: Mutex<BTreeMap<QueryId, Pin>>,
}

impl Pins {
    /// None yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, pins: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueryId, Pin>> {
        self.pins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the rows of these streams for `query`, with their ends. What it holds already stays: a scan that was planned with it
    /// reads just that.
    pub fn hold(&self, query: QueryId, rows: BTreeMap<StreamId, (Offset, Vec<Arc<Held>>)>) {
        let since = self.clock.now();
        let mut pins = self.lock();
        let pin = pins.entry(query).or_insert_with(|| Pin::Held { since, streams: BTreeMap::new() });
        // Of a query that has lost its pin no scan can be answered, so nothing more is held for it.
        let Pin::Held { streams, .. } = pin else { return };
        for (stream, (end, batches)) in rows {
            streams.entry(stream).or_default().push(PinnedRows { end, batches });
        }
    }

    /// Lets go of what `query` holds.
    pub fn release(&self, query: QueryId) {
        self.lock().remove(&query);
    }

    /// How many queries hold rows.
    pub fn queries(&self) -> u64 {
        self.lock().values().filter(|pin| pin.since().is_some()).count() as u64
    }

    /// Lets go of pins whose time is over.
    pub fn expire(&self) {
        let now = self.clock.now();
        let over = |since: Moment| now.since(since) >= Duration::from_secs(PIN_SECONDS_MAX);
        self.lock().retain(|_, pin| match pin {
            Pin::Held { since, .. } if over(*since) => {
                pin.let_go(now);
                true
            }
            Pin::Held { .. } => true,
            Pin::Released { since, .. } => !over(*since),
        });
    }

    /// While memory is spent, lets go of the oldest pins, until pins alone hold no more than a share of it. *(Else one slow query
    /// stops the intake for as long as it runs.)*
    pub fn relieve(&self, budget: &MemoryBudget) {
        let now = self.clock.now();
        let mut pins = self.lock();
        while !budget.has_room() && held_alone(&pins) > budget.limit() / PINNED_SHARE {
            let held = pins.iter().filter_map(|(query, pin)| pin.since().map(|since| (since, *query)));
            let Some((_, query)) = held.min() else { return };
            tracing::warn!(query = query.0, "memory is spent: the rows that a query has pinned are let go");
            if let Some(pin) = pins.get_mut(&query) {
                pin.let_go(now);
            }
        }
    }

    /// The pinned rows of exactly the ranges of `scan`, projected.
    ///
    /// # Errors
    /// If the pin has ended.
    ///
    /// # Panics
    /// If a range is not within what was pinned: the query's coordinator planned with what it was answered.
    pub fn rows(&self, scan: &MemtableScan) -> Result<Vec<RecordBatch>, PinError> {
        let pins = self.lock();
        let streams = match pins.get(&scan.query) {
            Some(Pin::Held { streams, .. }) => streams,
            _ if planted::is("lost-pin-read-as-empty") => return Ok(Vec::new()),
            Some(Pin::Released { seconds, .. }) => return Err(PinError::Released { seconds: *seconds }),
            None => return Err(PinError::Released { seconds: PIN_SECONDS_MAX }),
        };
        let mut rows = Vec::new();
        for (stream, range) in scan.ranges.iter().filter(|(_, range)| !range.is_empty()) {
            let pinned = streams.get(stream).and_then(|pinned| pinned.iter().find(|pinned| pinned.cover(*range)));
            let pinned = pinned.unwrap_or_else(|| panic!("a scan of stream {stream} {range} goes beyond its pin"));
            let is_there =
                |held: &&Arc<Held>| Arc::strong_count(held) > 1 || !planted::is("rows-dropped-before-their-pin-ends");
            rows.extend(pinned.batches.iter().filter(is_there).filter_map(|held| slice(held, *range, scan)));
        }
        Ok(rows)
    }
}

impl Pin {
    fn since(&self) -> Option<Moment> {
        match self {
            Self::Held { since, .. } => Some(*since),
            Self::Released { .. } => None,
        }
    }

    fn let_go(&mut self, now: Moment) {
        if let Self::Held { since, .. } = self {
            *self = Self::Released { since: now, seconds: now.since(*since).as_secs() };
        }
    }
}

/// Bytes that only pins hold: nothing else would keep them.
fn held_alone(pins: &BTreeMap<QueryId, Pin>) -> u64 {
    let mut held: BTreeMap<*const Held, (&Arc<Held>, usize)> = BTreeMap::new();
    for pin in pins.values() {
        let Pin::Held { streams, .. } = pin else { continue };
        for batch in streams.values().flatten().flat_map(|rows| &rows.batches) {
            held.entry(Arc::as_ptr(batch)).or_insert((batch, 0)).1 += 1;
        }
    }
    let alone = held.into_values().filter(|(batch, pinned)| Arc::strong_count(batch) == *pinned);
    alone.map(|(batch, _)| batch.charge.bytes()).sum()
}

fn slice(held: &Held, range: OffsetRange, scan: &MemtableScan) -> Option<RecordBatch> {
    let batch = match scan.kind {
        PartKind::Rows => &held.batch.rows,
        PartKind::Errors => held.batch.errors.as_ref()?,
    };
    let rows = slice_offsets(batch, range);
    let projected = rows.project(&scan.projection).expect("a scan projects columns of its schema");
    (projected.num_rows() > 0).then_some(projected)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    use async_trait::async_trait;
    use vfs::WallTime;
    use wal::Wal;

    use super::*;
    use crate::write::testing::{batch, held, log, range};

    #[derive(Debug, Default)]
    struct Seconds(AtomicU64);

    #[async_trait]
    impl Clock for Seconds {
        fn now(&self) -> Moment {
            Moment::new(Duration::from_secs(self.0.load(Ordering::Relaxed)))
        }

        fn wall(&self) -> WallTime {
            WallTime(0)
        }

        async fn sleep_until(&self, _moment: Moment) {}
    }

    struct Rig {
        clock: Arc<Seconds>,
        pins: Pins,
        log: Wal,
        budget: Arc<MemoryBudget>,
    }

    impl Rig {
        async fn new(limit: u64) -> Self {
            let clock = Arc::new(Seconds::default());
            Self { pins: Pins::new(clock.clone()), clock, log: log().await, budget: MemoryBudget::new(limit) }
        }

        async fn held(&self, offsets: std::ops::Range<u64>) -> Arc<Held> {
            Arc::new(held(&self.log, &self.budget, batch(1, offsets)).await)
        }

        fn hold(&self, query: u128, end: u64, batches: &[Arc<Held>]) {
            self.pins.hold(QueryId(query), [(StreamId(1), (Offset(end), batches.to_vec()))].into());
        }

        fn offsets(&self, query: u128, offsets: std::ops::Range<u64>, kind: PartKind) -> Result<Vec<i64>, PinError> {
            let projection = vec![if kind == PartKind::Rows { 4 } else { 8 }];
            let ranges = [(StreamId(1), range(offsets))].into();
            let rows = self.pins.rows(&MemtableScan { query: QueryId(query), ranges, kind, projection })?;
            Ok(rows.iter().flat_map(|rows| rows.column(0).as_primitive::<Int64Type>().values().to_vec()).collect())
        }
    }

    #[tokio::test]
    async fn a_scan_gets_exactly_its_range_of_rows_or_errors() {
        let rig = Rig::new(1 << 30).await;
        let batches = [rig.held(0..10).await, rig.held(10..30).await];
        rig.hold(1, 30, &batches);
        assert_eq!(rig.offsets(1, 6..12, PartKind::Rows).unwrap(), [6, 7, 10, 11]);
        assert_eq!(rig.offsets(1, 6..20, PartKind::Errors).unwrap(), [9, 19]);
        assert!(rig.offsets(1, 30..30, PartKind::Rows).unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_query_that_pins_again_keeps_what_it_has() {
        let rig = Rig::new(1 << 30).await;
        let batches = [rig.held(0..10).await, rig.held(10..20).await, rig.held(20..30).await];
        rig.hold(1, 20, &batches[..2]);
        rig.hold(1, 30, &batches[2..]);
        assert_eq!(rig.offsets(1, 0..20, PartKind::Rows).unwrap().len(), 16);
        assert_eq!(rig.offsets(1, 20..30, PartKind::Rows).unwrap().len(), 8);
    }

    #[tokio::test]
    #[should_panic(expected = "goes beyond its pin")]
    async fn a_scan_beyond_its_pin_is_no_answer_with_rows_missing() {
        let rig = Rig::new(1 << 30).await;
        rig.hold(1, 20, &[rig.held(10..20).await]);
        let _ = rig.offsets(1, 5..20, PartKind::Rows);
    }

    #[tokio::test]
    async fn a_pin_ends_with_its_query_or_its_time() {
        let rig = Rig::new(1 << 30).await;
        for query in [1, 2] {
            rig.hold(query, 10, &[rig.held(0..10).await]);
        }
        rig.pins.release(QueryId(1));
        assert!(rig.offsets(1, 0..10, PartKind::Rows).is_err());
        rig.clock.0.store(PIN_SECONDS_MAX - 1, Ordering::Relaxed);
        rig.pins.expire();
        assert_eq!(rig.offsets(2, 0..10, PartKind::Rows).unwrap().len(), 8);
        rig.clock.0.store(PIN_SECONDS_MAX, Ordering::Relaxed);
        rig.pins.expire();
        assert_eq!(rig.offsets(2, 0..10, PartKind::Rows), Err(PinError::Released { seconds: PIN_SECONDS_MAX }));
        assert_eq!(rig.budget.used(), 0);
        rig.clock.0.store(2 * PIN_SECONDS_MAX, Ordering::Relaxed);
        rig.pins.expire();
        assert!(rig.pins.lock().is_empty(), "what is said of it is forgotten in the end");
    }

    #[tokio::test]
    async fn i8_when_memory_is_spent_the_oldest_pins_go_first() {
        let rig = Rig::new(1).await;
        let size = rig.held(0..10).await.charge.bytes();
        let rig = Rig::new(size * 10).await;
        let elsewhere = rig.held(0..10).await;
        for query in 1..=8 {
            rig.clock.0.store(query, Ordering::Relaxed);
            rig.hold(u128::from(query), 10, &[rig.held(0..10).await, Arc::clone(&elsewhere)]);
        }
        rig.clock.0.store(20, Ordering::Relaxed);
        rig.pins.relieve(&rig.budget);
        assert!(rig.budget.has_room());
        assert_eq!(rig.offsets(1, 0..10, PartKind::Rows), Err(PinError::Released { seconds: 19 }));
        assert!(rig.offsets(8, 0..10, PartKind::Rows).is_ok(), "room was made before it came to the newest");
    }

    #[tokio::test]
    async fn pins_of_rows_that_are_held_anyway_are_left_alone() {
        let rig = Rig::new(1).await;
        let held = rig.held(0..10).await;
        rig.hold(1, 10, &[Arc::clone(&held)]);
        rig.pins.relieve(&rig.budget);
        assert!(rig.offsets(1, 0..10, PartKind::Rows).is_ok());
        drop(held);
        rig.pins.relieve(&rig.budget);
        assert!(rig.offsets(1, 0..10, PartKind::Rows).is_err());
    }
}
