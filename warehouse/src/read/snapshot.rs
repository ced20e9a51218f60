//! Takes the snapshot that a query reads: version V with C(s) and the owners, and E(s) from each owner (PROTOCOL,
//! "Snapshots and memtable reads"). Owns the asking again; plans nothing and reads no rows.
//!
//! ```text
//!   take V ──> ask each owner ──all pinned──> E(s) not behind what the session saw? ──yes──> pinned
//!     ^              │ refused, unreachable                  │ no
//!     └──── wait ────┴───────────────────────────────────────┘        until `wait_max`: a named error
//! ```
//!
//! A stream whose owner answers "not held" has no memory part once a version read *after* that answer shows the same epoch:
//! what the owner had shown was committed before it let go, and so is in that version, or is shown to nobody any more.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::{
    CatalogError, CatalogService, Epoch, Offset, OffsetRange, Owner, StreamId, StreamIdentity, StreamState, StreamView,
    TableId, TableSnapshot,
};
use futures::future::join_all;
use vfs::{World, planted};

use super::pin::{MemtableReader, PinError, PinOutcome, PinRefusal, PinRequest, PinStream};
use super::query_pins::QueryPins;
use super::session::{Freshness, SessionVector};

/// The first wait before asking again; doubled each time. The very first time nothing is waited for.
const WAIT_MIN: Duration = Duration::from_millis(2);
/// The longest wait between two attempts.
const WAIT_MAX: Duration = Duration::from_millis(200);

/// Why a table could not be pinned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The catalog did not answer with a version.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The newest rows of a stream are with nobody who can be read.
    #[error(
        "the newest rows of {stream} of table `{table}` cannot be read: {cause}; waited {seconds} s; try again, or SET freshness = 'committed' to read without them"
    )]
    NoOwner {
        /// The table.
        table: String,
        /// The stream, with its topic and partition.
        stream: String,
        /// What its owner says, or that there is none.
        cause: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The session has seen rows that nobody can show now (I5).
    #[error(
        "this session has seen {stream} of table `{table}` up to offset {seen}, and it can be read only up to {end} until its next owner has caught up; waited {seconds} s; try again"
    )]
    Behind {
        /// The table.
        table: String,
        /// The stream, with its topic and partition.
        stream: String,
        /// The end that the session has seen.
        seen: Offset,
        /// The end that can be read.
        end: Offset,
        /// How long was waited.
        seconds: u64,
    },
}

impl SnapshotError {
    /// Whether time may heal it.
    fn passes(&self) -> bool {
        match self {
            Self::Catalog(error) => {
                matches!(error, CatalogError::Unavailable { .. } | CatalogError::MaybeCommitted { .. })
            }
            Self::NoOwner { .. } | Self::Behind { .. } => true,
        }
    }

    fn after(mut self, waited: Duration) -> Self {
        match &mut self {
            Self::Catalog(_) => {}
            Self::NoOwner { seconds, .. } | Self::Behind { seconds, .. } => *seconds = waited.as_secs(),
        }
        self
    }
}

/// A table, pinned: exactly the rows that every scan of the query sees.
#[derive(Clone, Debug)]
pub struct PinnedTable {
    /// Version V: the parts, and C(s) of each stream.
    pub snapshot: TableSnapshot,
    /// The ranges `[C(s), E(s))` that are not empty, by owner.
    pub memory: BTreeMap<String, BTreeMap<StreamId, OffsetRange>>,
    /// E(s) of each stream: what the session is answered with.
    pub ends: BTreeMap<StreamId, Offset>,
    /// Holds the rows in memory.
    pub pins: Arc<QueryPins>,
}

/// Takes snapshots.
#[derive(Clone, Debug)]
pub struct SnapshotTaker {
    catalog: Arc<dyn CatalogService>,
    reader: Arc<dyn MemtableReader>,
    world: World,
    wait_max: Duration,
}

/// What earlier attempts of one pin found out: streams that their owner did not hold, with the epoch of that answer.
type NotHeld = BTreeMap<StreamId, Epoch>;

impl SnapshotTaker {
    /// Takes snapshots of `catalog`'s tables, and waits at most `wait_max` for each.
    pub fn new(
        catalog: Arc<dyn CatalogService>,
        reader: Arc<dyn MemtableReader>,
        world: World,
        wait_max: Duration,
    ) -> Self {
        Self { catalog, reader, world, wait_max }
    }

    /// The pins of a new query.
    pub fn begin(&self) -> Arc<QueryPins> {
        QueryPins::new(super::pin::QueryId(self.world.random.next_u128()), Arc::clone(&self.reader))
    }

    /// Pins `table` for the query of `pins`, not behind what the session has seen.
    ///
    /// # Errors
    /// If no such snapshot could be had within the time set.
    pub async fn pin(
        &self,
        table: TableId,
        freshness: Freshness,
        seen: &SessionVector,
        pins: &Arc<QueryPins>,
    ) -> Result<PinnedTable, SnapshotError> {
        let clock = &self.world.clock;
        let began = clock.now();
        let mut not_held = NotHeld::new();
        let mut wait = Duration::ZERO;
        loop {
            let error = match self.attempt(table, freshness, seen, pins, &mut not_held).await {
                Ok(pinned) => return Ok(pinned),
                Err(error) => error,
            };
            let waited = clock.now().since(began);
            if !error.passes() || waited >= self.wait_max {
                return Err(error.after(waited));
            }
            clock.sleep(self.jittered(wait).min(self.wait_max.saturating_sub(waited))).await;
            wait = (wait * 2).clamp(WAIT_MIN, WAIT_MAX);
        }
    }

    /// Between half of `wait` and all of it.
    fn jittered(&self, wait: Duration) -> Duration {
        let share = self.world.random.next_u64() % 1_000;
        wait / 2 + wait / 2 * u32::try_from(share).unwrap_or_default() / 1_000
    }

    async fn attempt(
        &self,
        table: TableId,
        freshness: Freshness,
        seen: &SessionVector,
        pins: &Arc<QueryPins>,
        not_held: &mut NotHeld,
    ) -> Result<PinnedTable, SnapshotError> {
        let snapshot = self.catalog.snapshot(table).await?;
        let mut ends: BTreeMap<StreamId, Offset> =
            snapshot.streams.iter().map(|(id, view)| (*id, view.committed)).collect();
        let memory = match freshness {
            Freshness::Latest => self.ask_owners(&snapshot, pins, not_held).await?,
            Freshness::Committed => BTreeMap::new(),
        };
        let snapshot = match planted::is("version-taken-after-the-pins") {
            true => self.catalog.snapshot(table).await?,
            false => snapshot,
        };
        ends.extend(memory.values().flatten().map(|(stream, range)| (*stream, range.end)));
        for (stream, end) in &ends {
            match seen.seen(freshness, *stream) {
                Some(seen) if seen > *end && !planted::is("session-goes-back") => {
                    // Only an owner has these rows: ask it, even if it had answered that it holds nothing.
                    not_held.remove(stream);
                    return Err(behind(&snapshot, *stream, seen, *end));
                }
                _ => {}
            }
        }
        Ok(PinnedTable { snapshot, memory, ends, pins: Arc::clone(pins) })
    }

    /// Pins every stream that an owner may hold; all of them, or an error.
    async fn ask_owners(
        &self,
        snapshot: &TableSnapshot,
        pins: &Arc<QueryPins>,
        not_held: &mut NotHeld,
    ) -> Result<BTreeMap<String, BTreeMap<StreamId, OffsetRange>>, SnapshotError> {
        let requests = requests(snapshot, not_held);
        let answers = requests.into_iter().map(|(address, streams)| async move {
            pins.asking(address);
            let request = PinRequest { query: pins.query(), streams: streams.clone() };
            (address, streams, self.reader.pin(address, request).await)
        });
        let mut memory = BTreeMap::new();
        let mut refused = None;
        for (address, streams, answer) in join_all(answers).await {
            match answer {
                Ok(PinOutcome::Pinned(ends)) => {
                    let ranges = ranges(&streams, &ends);
                    if !ranges.is_empty() {
                        memory.insert(address.to_owned(), ranges);
                    }
                }
                Ok(PinOutcome::Refused(refusals)) => {
                    for (stream, refusal) in refusals {
                        let asked = streams.iter().find(|asked| asked.stream == stream);
                        if let (PinRefusal::NotHeld, Some(asked)) = (refusal, asked) {
                            not_held.insert(stream, asked.epoch);
                        }
                        refused.get_or_insert_with(|| no_owner(snapshot, stream, refusal_text(address, refusal)));
                    }
                }
                Err(error) => {
                    let stream = streams.first().map(|asked| asked.stream).expect("an owner is asked for some stream");
                    refused.get_or_insert_with(|| no_owner(snapshot, stream, error_text(&error)));
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None => Ok(memory),
        }
    }
}

/// What to ask of which owner. A stream without an owner, a closed one, an insert channel (its rows are committed before they are
/// seen), and one that is known not to be held by the owner of
/// this very epoch have no memory part: E(s) = C(s).
fn requests<'a>(snapshot: &'a TableSnapshot, not_held: &NotHeld) -> BTreeMap<&'a str, Vec<PinStream>> {
    let mut requests: BTreeMap<&str, Vec<PinStream>> = BTreeMap::new();
    for (id, view) in snapshot.streams.iter() {
        let StreamView { owner: Some(Owner { epoch, address, .. }), committed, .. } = view else { continue };
        let has_no_memory = view.stream.state == StreamState::Closed || view.stream.is_channel();
        if has_no_memory || not_held.get(id) == Some(epoch) {
            continue;
        }
        let wanted = PinStream { stream: *id, epoch: *epoch, committed: *committed };
        requests.entry(address).or_default().push(wanted);
    }
    requests
}

/// `[C(s), E(s))` of each stream that has something.
///
/// # Panics
/// If the owner left a stream out, or ends before C(s): it has promised neither to happen.
fn ranges(asked: &[PinStream], ends: &BTreeMap<StreamId, Offset>) -> BTreeMap<StreamId, OffsetRange> {
    let range = |asked: &PinStream| {
        let end = ends.get(&asked.stream).expect("an owner that pins answers for each stream that it was asked for");
        (asked.stream, OffsetRange::new(asked.committed, *end))
    };
    asked.iter().map(range).filter(|(_, range)| !range.is_empty()).collect()
}

fn stream_text(snapshot: &TableSnapshot, stream: StreamId) -> String {
    match snapshot.streams.get(&stream) {
        Some(view) => match &view.stream.identity {
            StreamIdentity::Partition(of) => {
                format!("stream {stream} (topic {}, partition {})", of.topic, of.partition)
            }
            StreamIdentity::Channel(of) => format!("stream {stream} (INSERTs by the server {})", of.node),
        },
        None => format!("stream {stream}"),
    }
}

fn refusal_text(address: &str, refusal: PinRefusal) -> String {
    match refusal {
        PinRefusal::PlanAgain => {
            format!("its owner at {address} has moved on while this query was planned, each time anew")
        }
        PinRefusal::NotHeld => {
            format!("its owner at {address} does not hold it any more, and it keeps being granted anew")
        }
    }
}

fn error_text(error: &PinError) -> String {
    match error {
        PinError::Unreachable { address, cause } => format!("its owner at {address} does not answer ({cause})"),
        PinError::Released { .. } => error.to_string(),
    }
}

fn no_owner(snapshot: &TableSnapshot, stream: StreamId, cause: String) -> SnapshotError {
    let (table, stream) = (snapshot.table.name.clone(), stream_text(snapshot, stream));
    SnapshotError::NoOwner { table, stream, cause, seconds: 0 }
}

fn behind(snapshot: &TableSnapshot, stream: StreamId, seen: Offset, end: Offset) -> SnapshotError {
    let (table, stream) = (snapshot.table.name.clone(), stream_text(snapshot, stream));
    SnapshotError::Behind { table, stream, seen, end, seconds: 0 }
}
