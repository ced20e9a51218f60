//! A worker: one process's share of an ingest warehouse. Holds its tasks, its one WAL and its memory limit, takes the
//! manager's commands, and lets queries read its memtables.
//!
//! Owns the life of tasks (`launch.rs` starts them) and of the WAL (`log_keeper.rs`); decides neither placement nor when a task
//! flushes.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use catalog::{CatalogService, Epoch, NodeId, Pipeline, PipelineId, StreamId, Table, TaskIndex};
use object_store::ObjectStore;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vfs::{Disk, World, planted};
use wal::{WalError, WalSettings};

use super::log_keeper::Log;
use super::memtable::{Held, Memtable, Pinned};
use super::messages::{Heartbeat, Life, OwnedStream, Trouble, TroubleKind, WorkerCommand};
use super::pins::Pins;
use super::source::SourceConnector;
use super::task::{TaskCommand, TaskEnd, TaskStatus};
use crate::memory::{Charge, MemoryBudget};
use crate::read::pin::{MemtableScan, PinError, PinOutcome, PinRefusal, PinRequest, PinStream, QueryId};

/// How often the worker looks after its WAL and its pins.
const HOUSEKEEPING: Duration = Duration::from_millis(200);

/// A worker's validated numbers.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Its lasting name.
    pub node: NodeId,
    /// Where it is reached.
    pub address: String,
    /// The WAL's own numbers.
    pub wal: WalSettings,
    /// Above this many bytes of WAL, intake stops; above 60 % of it, the owner of the oldest record is flushed.
    pub wal_bytes_max: u64,
    /// Bytes that the sources of one task may queue.
    pub source_queue_bytes: u64,
    /// Most payload bytes of one batch.
    pub batch_bytes: u64,
}

/// The world of a worker, and what it talks to.
#[derive(Clone, Debug)]
pub struct WorkerParts {
    /// Clock, randomness and threads.
    pub world: World,
    /// The catalog, by whole requests.
    pub catalog: Arc<dyn CatalogService>,
    /// Where parts go.
    pub objects: Arc<dyn ObjectStore>,
    /// Opens sources.
    pub connector: Arc<dyn SourceConnector>,
    /// The process's memory limit.
    pub budget: Arc<MemoryBudget>,
    /// Where the WAL is.
    pub wal_disk: Arc<dyn Disk>,
}

/// Why a worker does not take a command.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The WAL cannot be opened or was lost; the worker tries again by itself.
    #[error("the write-ahead log cannot be used: {0}")]
    Wal(String),
    /// The source cannot be opened.
    #[error(transparent)]
    Source(#[from] super::source::SourceError),
    /// The pipeline's transform does not fit its table.
    #[error("{0}")]
    Pipeline(String),
    /// The queues of sources alone would leave no memory for rows, so that nothing would ever be taken in.
    #[error(
        "the source queues of all tasks would take {queues} of the {always} bytes of memory that queries can never take, and leave \
         too little for rows: raise memory.limit, lower source.queue_bytes, or give the pipelines fewer tasks"
    )]
    Memory {
        /// Bytes of all queues with this one.
        queues: u64,
        /// What is always ingest's.
        always: u64,
    },
    /// The worker is shutting down.
    #[error("the worker is shutting down")]
    Closed,
}

pub(super) type TaskKey = (PipelineId, TaskIndex);

/// A running task, as its worker holds it.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) inbox: mpsc::Sender<TaskCommand>,
    pub(super) memtable: Arc<Memtable>,
    pub(super) status: Arc<TaskStatus>,
    pub(super) abandon: CancellationToken,
    pub(super) incarnation: u64,
    /// Which of the worker's logs it writes.
    pub(super) log: u64,
    pub(super) queue_bytes: u64,
    /// The streams that it was told to hold, each with the newest epoch.
    pub(super) given: BTreeMap<StreamId, Epoch>,
}

impl Running {
    /// Whether it is the task that a command about this version of the pipeline means.
    pub(super) fn serves(&self, pipeline: &Pipeline) -> bool {
        self.pipeline.fence == pipeline.fence && self.pipeline.settings == pipeline.settings
    }

    /// It is told to hold these as well.
    pub(super) fn give(&mut self, given: impl IntoIterator<Item = (StreamId, Epoch)>) {
        for (stream, epoch) in given {
            let newest = self.given.entry(stream).or_insert(epoch);
            *newest = (*newest).max(epoch);
        }
    }

    /// Its inbox, and which of these grants are newer than its own of the same stream; none if there are none.
    fn overtaken_by(
        &self,
        given: &BTreeMap<StreamId, Epoch>,
    ) -> Option<(mpsc::Sender<TaskCommand>, Vec<(StreamId, Epoch)>)> {
        let is_older = |(stream, newer): &(&StreamId, &Epoch)| self.given.get(stream).is_some_and(|own| own < *newer);
        let newer: Vec<_> = given.iter().filter(is_older).map(|(stream, epoch)| (*stream, *epoch)).collect();
        (!newer.is_empty()).then(|| (self.inbox.clone(), newer))
    }

    /// Whether the task holds the stream, or will when it has read its inbox.
    pub(super) fn holds(&self, stream: StreamId) -> bool {
        self.given.get(&stream).is_some_and(|epoch| !self.status.has_let_go(stream, *epoch))
    }
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) log: Option<Log>,
    /// Why the last log was lost, or why the next cannot be opened.
    pub(super) log_trouble: Option<String>,
    pub(super) tasks: BTreeMap<TaskKey, Running>,
    /// Why a task ended otherwise than by being drained; shown by its successor.
    pub(super) ended: BTreeMap<TaskKey, Trouble>,
    pub(super) started: u64,
    /// The newest epoch under which each stream was ever given to this process: the same grant once more is a message that came twice,
    /// or late, and the stream may have been let go since. *(Else rows are shown that nobody can commit.)*
    pub(super) given: BTreeMap<StreamId, Epoch>,
    pub(super) closing: bool,
}

impl State {
    /// Leaves out the grants that came before, or that a newer one has overtaken, whichever task that went to, and whether or not it
    /// still runs (I2). *(Else a message that comes late begins a task that shows what is somebody else's by now, or takes the place of
    /// the task that holds it.)*
    fn not_given_yet(&mut self, mut streams: Vec<OwnedStream>) -> Vec<OwnedStream> {
        streams.retain(|owned| {
            let (stream, epoch) = (owned.granted.stream, owned.granted.owner.epoch);
            let is_new = self.given.get(&stream).is_none_or(|given| *given < epoch);
            if is_new {
                self.given.insert(stream, epoch);
            }
            is_new || planted::is("older-grant-taken")
        });
        streams
    }
}

/// See the module.
#[derive(Debug)]
pub struct Worker {
    pub(super) settings: WorkerSettings,
    pub(super) parts: WorkerParts,
    life: Life,
    pins: Pins,
    pub(super) wal_full: Arc<AtomicBool>,
    state: Mutex<State>,
    pub(super) ends: mpsc::Sender<(TaskKey, u64, TaskEnd)>,
    pub(super) stop: CancellationToken,
    /// The WAL's queue counts in the memory limit.
    _wal_queue: Charge,
}

impl Worker {
    /// Opens the WAL and starts the worker.
    ///
    /// # Errors
    /// If the WAL is damaged or cannot be opened: nothing is replayed past damage, so a person must look.
    pub async fn open(parts: WorkerParts, settings: WorkerSettings) -> Result<Arc<Self>, WalError> {
        let log = Log::open(&parts, &settings, 1).await?;
        let (ends, ended) = mpsc::channel(64);
        let wal_queue = parts.budget.charge(settings.wal.queue_bytes);
        let worker = Arc::new(Self {
            life: Life(parts.world.random.next_u64()),
            pins: Pins::new(Arc::clone(&parts.world.clock)),
            wal_full: Arc::default(),
            state: Mutex::new(State { log: Some(log), ..State::default() }),
            ends,
            stop: CancellationToken::new(),
            settings,
            parts,
            _wal_queue: wal_queue,
        });
        tokio::spawn(Arc::clone(&worker).run(ended));
        Ok(worker)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop that looks after WAL, pins and tasks that ended.
    async fn run(self: Arc<Self>, mut ended: mpsc::Receiver<(TaskKey, u64, TaskEnd)>) {
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Some((key, incarnation, end)) = ended.recv() => self.task_ended(key, incarnation, end).await,
                () = self.parts.world.clock.sleep(HOUSEKEEPING) => {}
            }
            self.pins.expire();
            self.pins.relieve(&self.parts.budget);
            self.look_after_log();
        }
    }

    async fn task_ended(&self, key: TaskKey, incarnation: u64, end: TaskEnd) {
        let log = {
            let mut state = self.state();
            // One that was abandoned, or went down with its log, is no longer there, and has nothing more to say.
            let Some(task) = state.tasks.get(&key).filter(|task| task.incarnation == incarnation) else { return };
            let log = task.log;
            state.tasks.remove(&key);
            match &end {
                TaskEnd::Drained => drop(state.ended.remove(&key)),
                TaskEnd::Ended(cause) | TaskEnd::WalLost(cause) => {
                    let (message, since) =
                        (format!("the task ended, and began anew: {cause}"), self.parts.world.clock.wall().0);
                    state.ended.insert(
                        key,
                        Trouble { message, since, lasting: false, kind: TroubleKind::Restart, retry: None },
                    );
                }
            }
            log
        };
        match end {
            TaskEnd::Drained => tracing::info!(pipeline = key.0.0, task = key.1.0, "task ended"),
            TaskEnd::Ended(cause) => tracing::warn!(pipeline = key.0.0, task = key.1.0, cause, "task ended"),
            TaskEnd::WalLost(cause) => self.replace_log(log, cause).await,
        }
    }

    /// Takes a command. Taken is not done: the heartbeat tells what came of it.
    ///
    /// A grant that was made to an earlier process of this worker begins nothing, late or repeated: which epochs that one was given, and
    /// what it had shown under them, this one does not know (I2). *(Else it shows and logs once more, under the same epoch, what the other
    /// has logged, from the committed offset of then, with what the broker has there by now.)*
    ///
    /// # Errors
    /// If a task would have to be started and cannot be.
    pub async fn command(&self, command: WorkerCommand) -> Result<(), WorkerError> {
        match command {
            WorkerCommand::Own { life, .. } if life != self.life => {
                tracing::info!("a grant to the process before this one is passed over");
                Ok(())
            }
            WorkerCommand::Own { pipeline, table, task, streams, .. } => self.own(pipeline, table, task, streams).await,
            WorkerCommand::Release { pipeline, streams } => {
                self.tell_tasks(pipeline, || TaskCommand::Release(streams.clone())).await;
                Ok(())
            }
            WorkerCommand::Stop { pipeline } => {
                self.tell_tasks(pipeline, || TaskCommand::Drain).await;
                Ok(())
            }
            WorkerCommand::Abandon { pipeline } => {
                let mut state = self.state();
                state.ended.retain(|key, _| key.0 != pipeline);
                let keys: Vec<TaskKey> = state.tasks.keys().filter(|key| key.0 == pipeline).copied().collect();
                for key in keys {
                    if let Some(task) = state.tasks.remove(&key) {
                        task.abandon.cancel();
                    }
                }
                Ok(())
            }
        }
    }

    async fn tell_tasks(&self, pipeline: PipelineId, command: impl Fn() -> TaskCommand) {
        let inboxes: Vec<_> = {
            let state = self.state();
            state.tasks.iter().filter(|(key, _)| key.0 == pipeline).map(|(_, task)| task.inbox.clone()).collect()
        };
        for inbox in inboxes {
            // A task that is gone has nothing left to do.
            drop(inbox.send(command()).await);
        }
    }

    async fn own(
        &self,
        pipeline: Arc<Pipeline>,
        table: Arc<Table>,
        task: TaskIndex,
        streams: Vec<OwnedStream>,
    ) -> Result<(), WorkerError> {
        let key = (pipeline.id, task);
        let (streams, given, running, overtaken) = {
            let mut state = self.state();
            if state.closing {
                return Err(WorkerError::Closed);
            }
            let streams = state.not_given_yet(streams);
            if streams.is_empty() {
                return Ok(());
            }
            let epoch_of = |of: &OwnedStream| (of.granted.stream, of.granted.owner.epoch);
            let given: BTreeMap<StreamId, Epoch> = streams.iter().map(epoch_of).collect();
            let replay = state.log.as_ref().and_then(Log::replay);
            let running = state.tasks.get_mut(&key).filter(|running| running.serves(&pipeline)).map(|running| {
                running.give(given.clone());
                (running.inbox.clone(), replay)
            });
            let is_untold = planted::is("wal-append-without-fence");
            let others = state.tasks.iter().filter(|(other, _)| **other != key && !is_untold).map(|(_, task)| task);
            let overtaken: Vec<_> = others.filter_map(|task| task.overtaken_by(&given)).collect();
            (streams, given, running, overtaken)
        };
        // Before anything of the newer grant is shown. A task that is gone has nothing more to lose.
        for (inbox, streams) in overtaken {
            drop(inbox.send(TaskCommand::Overtaken(streams)).await);
        }
        let (inbox, replay) = match running {
            Some(running) => running,
            None => self.start(key, pipeline, table, given).await?,
        };
        // A task that ended meanwhile is missing from the next heartbeat, and the manager grants again.
        drop(inbox.send(TaskCommand::Own(streams, replay)).await);
        Ok(())
    }

    /// How the worker is.
    pub fn heartbeat(&self) -> Heartbeat {
        let state = self.state();
        Heartbeat {
            node: self.settings.node.clone(),
            address: self.settings.address.clone(),
            life: self.life,
            tasks: state.tasks.values().map(|task| task.status.get()).collect(),
            memory_used: self.parts.budget.used(),
            memory_limit: self.parts.budget.limit(),
            wal_bytes: state.log.as_ref().map_or(0, |log| log.wal.stats().bytes_on_disk),
            pinned_queries: self.pins.queries(),
        }
    }

    /// Holds the rows of these streams from their committed offsets on, all of them or none.
    pub fn pin(&self, request: &PinRequest) -> PinOutcome {
        let memtables: Vec<Arc<Memtable>> =
            self.state().tasks.values().map(|task| Arc::clone(&task.memtable)).collect();
        let mut held = BTreeMap::new();
        let mut refused = BTreeMap::new();
        for wanted in &request.streams {
            match pin_one(&memtables, wanted) {
                Pinned::Rows { end, batches } => drop(held.insert(wanted.stream, (end, batches))),
                Pinned::PlanAgain => drop(refused.insert(wanted.stream, PinRefusal::PlanAgain)),
                Pinned::NotHeld => drop(refused.insert(wanted.stream, PinRefusal::NotHeld)),
            }
        }
        if !refused.is_empty() {
            return PinOutcome::Refused(refused);
        }
        let ends = held.iter().map(|(stream, (end, _)): (&StreamId, &(_, Vec<Arc<Held>>))| (*stream, *end)).collect();
        self.pins.hold(request.query, held);
        PinOutcome::Pinned(ends)
    }

    /// The pinned rows of a scan.
    ///
    /// # Errors
    /// If the pin has ended.
    pub fn scan(&self, scan: &MemtableScan) -> Result<Vec<RecordBatch>, PinError> {
        self.pins.rows(scan)
    }

    /// Lets go of what a query holds.
    pub fn unpin(&self, query: QueryId) {
        self.pins.release(query);
    }

    /// Drains all tasks: what is visible is committed. Returns when they have ended and the WAL is closed. Takes nothing more.
    pub async fn shut_down(&self) {
        let inboxes: Vec<_> = {
            let mut state = self.state();
            // Else a manager that misses the drained streams would grant them to this worker again, for ever.
            state.closing = true;
            state.tasks.values().map(|task| task.inbox.clone()).collect()
        };
        for inbox in inboxes {
            drop(inbox.send(TaskCommand::Drain).await);
        }
        while !self.state().tasks.is_empty() {
            self.parts.world.clock.sleep(Duration::from_millis(10)).await;
        }
        self.stop.cancel();
        let log = self.state().log.take();
        if let Some(Err(error)) = close(log).await {
            tracing::warn!(%error, "the write-ahead log was not closed in order");
        }
    }
}

async fn close(log: Option<Log>) -> Option<Result<(), WalError>> {
    match log {
        Some(log) => Some(log.wal.close().await),
        None => None,
    }
}

/// Looks for a stream in the memtables of all tasks: rows first, then a task that holds it otherwise.
fn pin_one(memtables: &[Arc<Memtable>], wanted: &PinStream) -> Pinned {
    let mut answer = Pinned::NotHeld;
    for memtable in memtables {
        match memtable.pin(wanted.stream, wanted.epoch, wanted.committed) {
            Pinned::NotHeld => {}
            Pinned::PlanAgain => answer = Pinned::PlanAgain,
            rows @ Pinned::Rows { .. } => return rows,
        }
    }
    answer
}
