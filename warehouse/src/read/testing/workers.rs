//! Workers with real memtables and real pins, without tasks, WAL or sources.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::{Epoch, Offset, StreamId};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use vfs::Clock;

use crate::read::pin::{MemtableReader, MemtableScan, PinError, PinOutcome, PinRefusal, PinRequest, QueryId};
use crate::write::memtable::{Memtable, Pinned};
use crate::write::pins::Pins;

/// What a test does right before a pin or a scan.
type Step = Box<dyn FnOnce() + Send>;

/// The workers, by address.
pub(in crate::read) struct FakeWorkers {
    clock: Arc<dyn Clock>,
    workers: Mutex<BTreeMap<String, Arc<FakeWorker>>>,
    unreachable: Mutex<BTreeSet<String>>,
    before_pin: Mutex<VecDeque<Step>>,
    before_scan: Mutex<VecDeque<Step>>,
    /// Pins that were asked for and not released.
    held: Mutex<BTreeSet<(String, QueryId)>>,
    scanned: Mutex<Vec<MemtableScan>>,
}

struct FakeWorker {
    memtable: Arc<Memtable>,
    pins: Pins,
}

impl fmt::Debug for FakeWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeWorkers")
    }
}

fn step(steps: &Mutex<VecDeque<Step>>) {
    let step = steps.lock().unwrap().pop_front();
    if let Some(step) = step {
        step();
    }
}

impl FakeWorkers {
    pub(in crate::read) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            workers: Mutex::default(),
            unreachable: Mutex::default(),
            before_pin: Mutex::default(),
            before_scan: Mutex::default(),
            held: Mutex::default(),
            scanned: Mutex::default(),
        })
    }

    fn at(&self, address: &str) -> Result<Arc<FakeWorker>, PinError> {
        let gone = || PinError::Unreachable { address: address.to_owned(), cause: "connection refused".to_owned() };
        if self.unreachable.lock().unwrap().contains(address) {
            return Err(gone());
        }
        self.workers.lock().unwrap().get(address).cloned().ok_or_else(gone)
    }

    /// The memtable at `address`.
    pub(in crate::read) fn memtable(&self, address: &str) -> Arc<Memtable> {
        Arc::clone(&self.workers.lock().unwrap()[address].memtable)
    }

    /// A worker takes up a stream that was granted to it.
    pub(in crate::read) fn take_up(&self, stream: StreamId, address: &str, epoch: Epoch, committed: Offset) {
        let mut workers = self.workers.lock().unwrap();
        let worker = workers.entry(address.to_owned()).or_insert_with(|| {
            Arc::new(FakeWorker { memtable: Memtable::new(), pins: Pins::new(Arc::clone(&self.clock)) })
        });
        worker.memtable.open(stream, epoch, committed);
    }

    /// Where a stream is held, under which epoch, and up to where.
    pub(in crate::read) fn held(&self, stream: StreamId) -> (String, Epoch, Offset) {
        let workers = self.workers.lock().unwrap();
        let of = |(address, worker): (&String, &Arc<FakeWorker>)| {
            let cursors = worker.memtable.cursors().get(&stream).copied()?;
            Some((address.clone(), cursors.epoch, cursors.logged))
        };
        workers.iter().filter_map(of).max_by_key(|(_, epoch, _)| *epoch).unwrap()
    }

    /// Cuts a worker off, or lets it answer again.
    pub(in crate::read) fn set_reachable(&self, address: &str, reachable: bool) {
        let mut unreachable = self.unreachable.lock().unwrap();
        let _ = if reachable { unreachable.remove(address) } else { unreachable.insert(address.to_owned()) };
    }

    /// Does `step` right before a coming pin, one step each.
    pub(in crate::read) fn before_pin(&self, step: impl FnOnce() + Send + 'static) {
        self.before_pin.lock().unwrap().push_back(Box::new(step));
    }

    /// Does `step` right before a coming scan, one step each.
    pub(in crate::read) fn before_scan(&self, step: impl FnOnce() + Send + 'static) {
        self.before_scan.lock().unwrap().push_back(Box::new(step));
    }

    /// Every pin at once is let go of, as if their time was over.
    pub(in crate::read) fn release_all(&self) {
        for (address, query) in self.held.lock().unwrap().iter() {
            self.workers.lock().unwrap()[address].pins.release(*query);
        }
    }

    /// How many pins are held.
    pub(in crate::read) fn pins_held(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    /// The scans so far.
    pub(in crate::read) fn take_scans(&self) -> Vec<MemtableScan> {
        std::mem::take(&mut self.scanned.lock().unwrap())
    }
}

#[async_trait]
impl MemtableReader for FakeWorkers {
    async fn pin(&self, address: &str, request: PinRequest) -> Result<PinOutcome, PinError> {
        step(&self.before_pin);
        let worker = self.at(address)?;
        let (mut held, mut refused) = (BTreeMap::new(), BTreeMap::new());
        for wanted in &request.streams {
            match worker.memtable.pin(wanted.stream, wanted.epoch, wanted.committed) {
                Pinned::Rows { end, batches } => drop(held.insert(wanted.stream, (end, batches))),
                Pinned::PlanAgain => drop(refused.insert(wanted.stream, PinRefusal::PlanAgain)),
                Pinned::NotHeld => drop(refused.insert(wanted.stream, PinRefusal::NotHeld)),
            }
        }
        if !refused.is_empty() {
            return Ok(PinOutcome::Refused(refused));
        }
        let ends = held.iter().map(|(stream, (end, _))| (*stream, *end)).collect();
        worker.pins.hold(request.query, held);
        self.held.lock().unwrap().insert((address.to_owned(), request.query));
        Ok(PinOutcome::Pinned(ends))
    }

    async fn scan(
        &self,
        address: &str,
        schema: SchemaRef,
        scan: MemtableScan,
    ) -> Result<SendableRecordBatchStream, PinError> {
        step(&self.before_scan);
        let rows = self.at(address)?.pins.rows(&scan)?;
        self.scanned.lock().unwrap().push(scan);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(rows.into_iter().map(Ok)))))
    }

    fn unpin(&self, address: &str, query: QueryId) {
        if let Some(worker) = self.workers.lock().unwrap().get(address) {
            worker.pins.release(query);
        }
        self.held.lock().unwrap().remove(&(address.to_owned(), query));
    }
}
