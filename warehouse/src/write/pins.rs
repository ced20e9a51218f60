//! Pins: rows in memory that a running query still needs (PROTOCOL, "Snapshots and memtable reads").
//!
//! A pin holds the batches themselves, so a flush, a commit or a fence cannot take them away; their bytes stay charged to
//! the process's memory limit, and the pin ends with its query, or after a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::{Offset, OffsetRange, PartKind, StreamId};
use arrow::array::RecordBatch;
use vfs::{Clock, Moment};

use super::batch::slice_offsets;
use super::memtable::Held;
use crate::read::pin::{MemtableScan, PinError, QueryId};

/// A query that takes longer loses its pin, and says so.
pub const PIN_SECONDS_MAX: u64 = 600;

#[derive(Debug)]
struct Pin {
    until: Moment,
    streams: BTreeMap<StreamId, (Offset, Vec<Arc<Held>>)>,
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

    /// Holds the rows of these streams for `query`, with their ends.
    pub fn hold(&self, query: QueryId, streams: BTreeMap<StreamId, (Offset, Vec<Arc<Held>>)>) {
        let until = self.clock.now().after(Duration::from_secs(PIN_SECONDS_MAX));
        let mut pins = self.lock();
        pins.entry(query).or_insert_with(|| Pin { until, streams: BTreeMap::new() }).streams.extend(streams);
    }

    /// Lets go of what `query` holds.
    pub fn release(&self, query: QueryId) {
        self.lock().remove(&query);
    }

    /// Lets go of pins whose time is over.
    pub fn expire(&self) {
        let now = self.clock.now();
        self.lock().retain(|_, pin| pin.until > now);
    }

    /// The pinned rows of exactly the ranges of `scan`, projected.
    ///
    /// # Errors
    /// If the pin has ended, or does not reach so far.
    pub fn rows(&self, scan: &MemtableScan) -> Result<Vec<RecordBatch>, PinError> {
        let pins = self.lock();
        let pin = pins.get(&scan.query).ok_or(PinError::Released { seconds: PIN_SECONDS_MAX })?;
        let mut rows = Vec::new();
        for (stream, range) in scan.ranges.iter().filter(|(_, range)| !range.is_empty()) {
            let (end, batches) = pin.streams.get(stream).ok_or(PinError::Released { seconds: PIN_SECONDS_MAX })?;
            assert!(range.end <= *end, "a scan of stream {stream} {range} goes beyond its pin, which ends at {end}");
            rows.extend(batches.iter().filter_map(|held| slice(held, *range, scan)));
        }
        Ok(rows)
    }
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
