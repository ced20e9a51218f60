//! A worker: one process's share of an ingest warehouse. Holds its tasks, its one WAL and its memory limit, takes the
//! manager's commands, and lets queries read its memtables.
//!
//! Owns the life of tasks and of the WAL; decides neither placement nor when a task flushes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::{CatalogService, NodeId, Pipeline, PipelineId, StreamId, Table, TaskIndex, WriterId};
use object_store::ObjectStore;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use vfs::{Disk, World};
use wal::{Wal, WalError, WalSettings};

use super::commit::Committer;
use super::decode::PipelineDecoder;
use super::flush::Flusher;
use super::intake::{IN_FLIGHT_MAX, Intake};
use super::memory::{Charge, MemoryBudget};
use super::memtable::{Held, Memtable, Pinned};
use super::messages::{Heartbeat, OwnedStream, TaskReport, TaskState, WorkerCommand};
use super::pins::Pins;
use super::recovery::Recovered;
use super::source::{SourceConnector, SourceOptions};
use super::task::{Task, TaskCommand, TaskEnd, TaskStatus};
use crate::read::pin::{MemtableScan, PinError, PinOutcome, PinRefusal, PinRequest, PinStream, QueryId};
use arrow::array::RecordBatch;

/// How often the worker looks after its WAL and its pins.
const HOUSEKEEPING: Duration = Duration::from_millis(200);
/// How long a restarted worker keeps logged records of streams that nobody grants to it again.
const RECOVERY_GRACE: Duration = Duration::from_secs(60);
/// How long it waits before it opens another WAL, after one was lost.
const WAL_RETRY: Duration = Duration::from_secs(1);

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
    /// The worker is shutting down.
    #[error("the worker is shutting down")]
    Closed,
}

type TaskKey = (PipelineId, TaskIndex);

/// A running task, as its worker holds it.
#[derive(Debug)]
struct Running {
    pipeline: Arc<Pipeline>,
    inbox: mpsc::Sender<TaskCommand>,
    memtable: Arc<Memtable>,
    status: Arc<TaskStatus>,
    abandon: CancellationToken,
    incarnation: u64,
}

/// The open WAL, and what was in it when it was opened.
#[derive(Clone, Debug)]
struct Log {
    wal: Wal,
    recovered: Arc<Recovered>,
}

#[derive(Debug, Default)]
struct State {
    log: Option<Log>,
    tasks: BTreeMap<TaskKey, Running>,
    started: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Worker {
    settings: WorkerSettings,
    parts: WorkerParts,
    pins: Pins,
    wal_full: Arc<AtomicBool>,
    state: Mutex<State>,
    ends: mpsc::Sender<(TaskKey, u64, TaskEnd)>,
    stop: CancellationToken,
    /// The WAL's queue counts in the memory limit.
    _wal_queue: Charge,
}

impl Worker {
    /// Opens the WAL and starts the worker.
    ///
    /// # Errors
    /// If the WAL is damaged or cannot be opened: nothing is replayed past damage, so a person must look.
    pub async fn open(parts: WorkerParts, settings: WorkerSettings) -> Result<Arc<Self>, WalError> {
        let log = Self::open_log(&parts, &settings).await?;
        let (ends, ended) = mpsc::channel(64);
        let wal_queue = parts.budget.charge(settings.wal.queue_bytes);
        let worker = Arc::new(Self {
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

    async fn open_log(parts: &WorkerParts, settings: &WorkerSettings) -> Result<Log, WalError> {
        let disk = Arc::clone(&parts.wal_disk);
        let (wal, replay) = Wal::open(disk, settings.wal, parts.world.clone()).await?;
        Ok(Log { wal, recovered: Arc::new(Recovered::new(replay)) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop that looks after WAL, pins and tasks that ended.
    async fn run(self: Arc<Self>, mut ended: mpsc::Receiver<(TaskKey, u64, TaskEnd)>) {
        let clock = Arc::clone(&self.parts.world.clock);
        let mut recovery_ends = Some(clock.now().after(RECOVERY_GRACE));
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                Some((key, incarnation, end)) = ended.recv() => self.task_ended(key, incarnation, end).await,
                () = clock.sleep(HOUSEKEEPING) => {}
            }
            self.pins.expire();
            self.look_after_wal();
            if recovery_ends.is_some_and(|end| clock.now() >= end) {
                recovery_ends = None;
                self.end_recovery();
            }
        }
    }

    /// Records of streams that were not granted to this node again are somebody else's now, or fetched again.
    fn end_recovery(&self) {
        let state = self.state();
        let held: Vec<StreamId> = state.tasks.values().flat_map(|task| task.memtable.cursors().into_keys()).collect();
        let Some(log) = &state.log else { return };
        let Some(replay) = log.recovered.end() else { return };
        for stream in replay.streams().keys().filter(|stream| !held.contains(&StreamId(**stream))) {
            log.wal.forget(*stream);
        }
    }

    fn look_after_wal(&self) {
        let state = self.state();
        let Some(log) = &state.log else { return };
        let stats = log.wal.stats();
        metrics::gauge!("millrace_wal_bytes").set(stats.bytes_on_disk as f64);
        metrics::gauge!("millrace_memory_used_bytes").set(self.parts.budget.used() as f64);
        self.wal_full.store(stats.bytes_on_disk >= self.settings.wal_bytes_max, Ordering::Relaxed);
        if stats.bytes_on_disk < self.settings.wal_bytes_max / 10 * 6 {
            return;
        }
        let Some((stream, _)) = stats.oldest_needed else { return };
        let owner = state.tasks.values().find(|task| task.memtable.cursors().contains_key(&StreamId(stream)));
        match owner {
            // A full inbox means that the task is busy with something that ends in a flush or in its end.
            Some(task) => drop(task.inbox.try_send(TaskCommand::Flush)),
            None => log.wal.forget(stream),
        }
    }

    async fn task_ended(&self, key: TaskKey, incarnation: u64, end: TaskEnd) {
        {
            let mut state = self.state();
            if state.tasks.get(&key).is_some_and(|task| task.incarnation == incarnation) {
                state.tasks.remove(&key);
            }
        }
        match end {
            TaskEnd::Drained => tracing::info!(pipeline = key.0.0, task = key.1.0, "task ended"),
            TaskEnd::Ended(cause) => tracing::warn!(pipeline = key.0.0, task = key.1.0, cause, "task ended"),
            TaskEnd::WalLost(cause) => self.replace_wal(cause).await,
        }
    }

    /// A failed fsync is never retried: every stream is given up, and another WAL is opened for the next grants. Rows that
    /// were visible are fetched again from the committed offsets, or adopted from what the old WAL still holds.
    async fn replace_wal(&self, cause: String) {
        let (old, tasks) = {
            let mut state = self.state();
            (state.log.take(), std::mem::take(&mut state.tasks))
        };
        let Some(old) = old else { return };
        tracing::error!(cause, "the write-ahead log is lost; giving up all streams and opening another");
        metrics::counter!("millrace_wal_lost_total").increment(1);
        for task in tasks.values() {
            task.abandon.cancel();
        }
        drop(old);
        while !self.stop.is_cancelled() {
            match Self::open_log(&self.parts, &self.settings).await {
                Ok(log) => {
                    self.state().log = Some(log);
                    return;
                }
                Err(error) => tracing::error!(%error, "the write-ahead log cannot be opened, trying again"),
            }
            self.parts.world.clock.sleep(WAL_RETRY).await;
        }
    }

    /// Takes a command. Taken is not done: the heartbeat tells what came of it.
    ///
    /// # Errors
    /// If a task would have to be started and cannot be.
    pub async fn command(&self, command: WorkerCommand) -> Result<(), WorkerError> {
        match command {
            WorkerCommand::Own { pipeline, table, task, streams } => self.own(pipeline, table, task, streams).await,
            WorkerCommand::Release { pipeline, streams } => {
                self.tell_tasks(pipeline, |_| TaskCommand::Release(streams.clone())).await;
                Ok(())
            }
            WorkerCommand::Stop { pipeline } => {
                self.tell_tasks(pipeline, |_| TaskCommand::Drain).await;
                Ok(())
            }
            WorkerCommand::Abandon { pipeline } => {
                let mut state = self.state();
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

    async fn tell_tasks(&self, pipeline: PipelineId, command: impl Fn(TaskIndex) -> TaskCommand) {
        let inboxes: Vec<_> = {
            let state = self.state();
            let of_it = state.tasks.iter().filter(|(key, _)| key.0 == pipeline);
            of_it.map(|(key, task)| (key.1, task.inbox.clone())).collect()
        };
        for (task, inbox) in inboxes {
            // A task that is gone has nothing left to do.
            drop(inbox.send(command(task)).await);
        }
    }

    async fn own(
        &self, pipeline: Arc<Pipeline>, table: Arc<Table>, task: TaskIndex, streams: Vec<OwnedStream>,
    ) -> Result<(), WorkerError> {
        if self.stop.is_cancelled() {
            return Err(WorkerError::Closed);
        }
        let key = (pipeline.id, task);
        let running = {
            let state = self.state();
            let same = |running: &&Running| running.pipeline.fence == pipeline.fence && running.pipeline.settings == pipeline.settings;
            state.tasks.get(&key).filter(same).map(|running| running.inbox.clone())
        };
        let inbox = match running {
            Some(inbox) => inbox,
            None => self.start(key, pipeline, table).await?,
        };
        // A task that ended meanwhile is missing from the next heartbeat, and the manager grants again.
        drop(inbox.send(TaskCommand::Own(streams)).await);
        Ok(())
    }

    async fn start(
        &self, key: TaskKey, pipeline: Arc<Pipeline>, table: Arc<Table>,
    ) -> Result<mpsc::Sender<TaskCommand>, WorkerError> {
        let log = self.state().log.clone().ok_or_else(|| WorkerError::Wal("it was lost and is being replaced".to_owned()))?;
        let decoder = PipelineDecoder::new(Arc::clone(&table), Arc::clone(&pipeline))
            .map_err(|error| WorkerError::Pipeline(error.to_string()))?;
        let options = SourceOptions {
            read_committed: pipeline.settings.read_committed,
            queue_bytes: self.settings.source_queue_bytes,
            batch_bytes: self.settings.batch_bytes,
            max_record_bytes: pipeline.settings.max_record_bytes,
            keys: decoder.needs_keys(),
            headers: decoder.needs_headers(),
        };
        let source = self.parts.connector.open(&pipeline.source, options).await?;
        let queue = self.parts.budget.charge(source.queue_bytes_max());
        let memtable = Memtable::new();
        let (trouble, commit_trouble) = watch::channel(None);
        let (inbox, inbox_receiver) = mpsc::channel(16);
        let (intake, intake_receiver) = mpsc::channel(16);
        let (events, events_receiver) = mpsc::channel(IN_FLIGHT_MAX);
        let world = self.parts.world.clone();
        let intake_side = Intake {
            pipeline: Arc::clone(&pipeline),
            table: Arc::clone(&table),
            source,
            decoder: Some(decoder),
            wal: log.wal.clone(),
            budget: Arc::clone(&self.parts.budget),
            wal_full: Arc::clone(&self.wal_full),
            world: world.clone(),
            commands: intake_receiver,
            events,
            streams: BTreeMap::new(),
            troubled: false,
        };
        let status = TaskStatus::new(TaskReport {
            pipeline: key.0,
            task: key.1,
            state: TaskState::Running,
            streams: Vec::new(),
            trouble: None,
            records: 0,
            payload_bytes: 0,
            memtable_bytes: 0,
            commits: 0,
            last_commit: None,
            started: world.clock.wall().0,
        });
        let task = Task {
            committer: Arc::new(self.committer(key, &pipeline, &table, &memtable, &log.wal, trouble)),
            pipeline: Arc::clone(&pipeline),
            table,
            index: key.1,
            node: self.settings.node.clone(),
            world,
            wal: log.wal,
            recovered: log.recovered,
            budget: Arc::clone(&self.parts.budget),
            memtable: Arc::clone(&memtable),
            commit_trouble,
            inbox: inbox_receiver,
            intake,
            events: events_receiver,
            status: Arc::clone(&status),
        };
        let abandon = CancellationToken::new();
        let incarnation = {
            let mut state = self.state();
            state.started += 1;
            let incarnation = state.started;
            let running =
                Running { pipeline, inbox: inbox.clone(), memtable, status, abandon: abandon.clone(), incarnation };
            if let Some(before) = state.tasks.insert(key, running) {
                before.abandon.cancel();
            }
            incarnation
        };
        let ends = self.ends.clone();
        tokio::spawn(async move {
            let _queue = queue;
            let intake = tokio::spawn(intake_side.run());
            let end = tokio::select! {
                biased;
                () = abandon.cancelled() => TaskEnd::Ended("it was abandoned".to_owned()),
                end = task.run() => end,
            };
            intake.abort();
            // The worker is gone: nobody is left who would want to know.
            drop(ends.send((key, incarnation, end)).await);
        });
        Ok(inbox)
    }

    fn committer(
        &self, key: TaskKey, pipeline: &Arc<Pipeline>, table: &Arc<Table>, memtable: &Arc<Memtable>, wal: &Wal,
        trouble: watch::Sender<Option<String>>,
    ) -> Committer {
        let writer = WriterId::Task(key.0, key.1);
        let flusher = Flusher {
            table: Arc::clone(table),
            writer,
            objects: Arc::clone(&self.parts.objects),
            catalog: Arc::clone(&self.parts.catalog),
            world: self.parts.world.clone(),
        };
        Committer {
            pipeline: Arc::clone(pipeline),
            table: Arc::clone(table),
            writer,
            flusher,
            catalog: Arc::clone(&self.parts.catalog),
            memtable: Arc::clone(memtable),
            wal: wal.clone(),
            world: self.parts.world.clone(),
            trouble,
        }
    }

    /// How the worker is.
    pub fn heartbeat(&self) -> Heartbeat {
        let state = self.state();
        Heartbeat {
            node: self.settings.node.clone(),
            address: self.settings.address.clone(),
            tasks: state.tasks.values().map(|task| task.status.get()).collect(),
            memory_used: self.parts.budget.used(),
            memory_limit: self.parts.budget.limit(),
            wal_bytes: state.log.as_ref().map_or(0, |log| log.wal.stats().bytes_on_disk),
        }
    }

    /// Holds the rows of these streams from their committed offsets on, all of them or none.
    pub fn pin(&self, request: &PinRequest) -> PinOutcome {
        let memtables: Vec<Arc<Memtable>> = self.state().tasks.values().map(|task| Arc::clone(&task.memtable)).collect();
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

    /// Drains all tasks: what is visible is committed. Returns when they have ended.
    pub async fn shut_down(&self) {
        let inboxes: Vec<_> = self.state().tasks.values().map(|task| task.inbox.clone()).collect();
        for inbox in inboxes {
            drop(inbox.send(TaskCommand::Drain).await);
        }
        while !self.state().tasks.is_empty() {
            self.parts.world.clock.sleep(Duration::from_millis(10)).await;
        }
        self.stop.cancel();
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
