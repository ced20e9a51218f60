//! A task: one share of a pipeline's partitions. Publishes what its intake logs, decides when to flush, commits, and lets go.
//!
//! ```text
//!            +--------- commands of the manager ---------+
//!            v                                           |
//!  Intake -> [logging: in order, each awaiting its fsync] -> memtable -> Committer -> catalog
//!            ^                                                  |
//!            +---- "no room" (budget, WAL), "you are fenced" ---+
//! ```
//!
//! States: `Running` (with or without trouble), then `Draining` once stopped: the intake has ended, what was logged is
//! published and committed, and the task ends. Owns the order of these steps; each step has its own file.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{NodeId, Offset, Pipeline, StreamId, Table, TaskIndex};
use tokio::sync::{mpsc, watch};
use vfs::World;
use wal::{Record, Wal, WalError};

use super::batch::Batch;
use super::commit::{Committed, Committer};
use super::failpoint::crash_point;
use super::flush_policy::{FlushView, flush_due};
use super::intake::{IN_FLIGHT_MAX, IntakeCommand, IntakeEvent, Logging};
use super::memory::MemoryBudget;
use super::memtable::{Held, Memtable};
use super::messages::{OwnedStream, StreamCondition, StreamReport, TaskReport, TaskState, Trouble};
use super::recovery::{Recovered, adoptable};
use super::source::SourceStream;

/// How often timers are looked at when nothing happens.
const TICK: Duration = Duration::from_millis(50);

/// What a worker asks of a task.
#[derive(Debug)]
pub(super) enum TaskCommand {
    /// Hold these streams.
    Own(Vec<OwnedStream>),
    /// Commit and let go of these.
    Release(Vec<StreamId>),
    /// Commit soon: the WAL needs room.
    Flush,
    /// Commit everything, and end.
    Drain,
}

/// Why a task ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskEnd {
    /// It was drained, or its inbox is gone.
    Drained,
    /// The table or the pipeline is not what it knew, or it cannot go on; the manager decides what comes next.
    Ended(String),
    /// Nothing can be logged any more: the worker needs another WAL.
    WalLost(String),
}

/// What a task has of one stream.
#[derive(Debug)]
struct Stream {
    report: StreamReport,
    incarnation: Arc<str>,
    /// Set when it is to be let go once it is committed.
    releasing: bool,
}

/// See the module.
pub(super) struct Task {
    pub pipeline: Arc<Pipeline>,
    pub table: Arc<Table>,
    pub index: TaskIndex,
    pub node: NodeId,
    pub world: World,
    pub wal: Wal,
    pub recovered: Arc<Recovered>,
    pub budget: Arc<MemoryBudget>,
    pub memtable: Arc<Memtable>,
    pub committer: Arc<Committer>,
    pub commit_trouble: watch::Receiver<Option<String>>,
    pub inbox: mpsc::Receiver<TaskCommand>,
    pub intake: mpsc::Sender<IntakeCommand>,
    pub events: mpsc::Receiver<IntakeEvent>,
    pub status: Arc<TaskStatus>,
}

/// The latest report of a task, read by its worker.
#[derive(Debug)]
pub struct TaskStatus(Mutex<TaskReport>);

impl TaskStatus {
    pub(super) fn new(report: TaskReport) -> Arc<Self> {
        Arc::new(Self(Mutex::new(report)))
    }

    /// The report.
    pub fn get(&self) -> TaskReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, report: TaskReport) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

type Flushing = Pin<Box<dyn Future<Output = Committed> + Send>>;

/// The changing half of a task.
struct Running {
    streams: BTreeMap<StreamId, Stream>,
    logging: VecDeque<Box<Logging>>,
    flushing: Option<Flushing>,
    flush_wanted: bool,
    draining: bool,
    intake_ended: bool,
    trouble: Option<Trouble>,
    report: TaskReport,
}

impl Task {
    /// Runs until it is drained or cannot go on.
    pub(super) async fn run(mut self) -> TaskEnd {
        let report = self.status.get();
        let mut running = Running {
            streams: BTreeMap::new(),
            logging: VecDeque::new(),
            flushing: None,
            flush_wanted: false,
            draining: false,
            intake_ended: false,
            trouble: None,
            report,
        };
        loop {
            if let Err(end) = self.step(&mut running).await {
                return end;
            }
            self.memtable.retire(self.world.clock.now(), !self.budget.has_room());
            self.start_flush(&mut running);
            self.finish_releases(&mut running);
            self.tell(&mut running);
            if running.draining && running.is_empty() && self.memtable.mutable().1.is_none() {
                return TaskEnd::Drained;
            }
        }
    }

    /// One thing that happens.
    async fn step(&mut self, running: &mut Running) -> Result<(), TaskEnd> {
        let tick = self.world.clock.sleep(TICK);
        tokio::select! {
            biased;
            command = self.inbox.recv(), if !running.draining => match command {
                Some(command) => self.command(command, running).await,
                None => self.command(TaskCommand::Drain, running).await,
            },
            committed = next_commit(&mut running.flushing) => self.committed(committed, running).await,
            outcome = next_durable(&mut running.logging) => self.logged(outcome, running).await,
            event = self.events.recv(), if !running.intake_ended && running.logging.len() < IN_FLIGHT_MAX => {
                self.event(event, running).await
            }
            () = tick => Ok(()),
        }
    }

    async fn command(&mut self, command: TaskCommand, running: &mut Running) -> Result<(), TaskEnd> {
        match command {
            TaskCommand::Own(streams) => {
                for owned in streams {
                    self.own(owned, running).await?;
                }
            }
            TaskCommand::Release(streams) => {
                for id in streams {
                    if let Some(stream) = running.streams.get_mut(&id) {
                        stream.releasing = true;
                        self.ask(IntakeCommand::Remove(id)).await;
                        running.flush_wanted = true;
                    }
                }
            }
            TaskCommand::Flush => running.flush_wanted = true,
            TaskCommand::Drain => {
                running.draining = true;
                running.flush_wanted = true;
                self.ask(IntakeCommand::End).await;
            }
        }
        Ok(())
    }

    /// An intake that is gone has said why in its last event, so a failed send needs no word of its own.
    async fn ask(&self, command: IntakeCommand) {
        drop(self.intake.send(command).await);
    }

    /// Takes a granted stream: adopts what the WAL has of it, and fetches from there.
    async fn own(&mut self, owned: OwnedStream, running: &mut Running) -> Result<(), TaskEnd> {
        let (granted, identity) = (&owned.granted, &owned.stream.identity);
        let id = granted.stream;
        let newest = running.streams.get(&id).map(|stream| stream.report.epoch);
        if newest.is_some_and(|newest| newest >= granted.owner.epoch) {
            return Ok(()); // The same command again, or an older one (I2).
        }
        crash_point("grant.after");
        self.ask(IntakeCommand::Remove(id)).await;
        self.wal.fence(id.0, granted.owner.epoch.0);
        self.memtable.open(id, granted.owner.epoch, granted.committed);
        let topic: Arc<str> = Arc::from(identity.topic.as_str());
        let report = StreamReport {
            stream: id,
            topic: Arc::clone(&topic),
            partition: identity.partition,
            epoch: granted.owner.epoch,
            committed: granted.committed,
            visible: granted.committed,
            high_watermark: None,
            visible_timestamp_ms: None,
            condition: StreamCondition::Owned,
        };
        let incarnation: Arc<str> = Arc::from(identity.incarnation.as_str());
        running.streams.insert(id, Stream { report, incarnation: Arc::clone(&incarnation), releasing: false });
        let position = self.adopt(&owned).await?;
        let stream = SourceStream { stream: id, topic, incarnation, partition: identity.partition, position };
        self.ask(IntakeCommand::Add(stream, granted.owner.epoch)).await;
        Ok(())
    }

    /// Logs adopted batches again under the new epoch, and publishes them; returns where fetching goes on.
    async fn adopt(&self, owned: &OwnedStream) -> Result<Offset, TaskEnd> {
        crash_point("recover.before");
        let granted = &owned.granted;
        let Some(replay) = self.recovered.replay() else { return Ok(granted.committed) };
        let room = (self.budget.limit() / 2).saturating_sub(self.budget.used());
        let (batches, last) = adoptable(&replay, granted, &self.node, &self.pipeline, &self.table, room)
            .map_err(|error| TaskEnd::WalLost(error.to_string()))?;
        let mut position = granted.committed;
        if !batches.is_empty() {
            tracing::info!(stream = granted.stream.0, batches = batches.len(), "adopting logged batches");
        }
        for batch in batches {
            position = batch.range.end;
            let payload = batch.encode(self.pipeline.fence, self.table.schema);
            let record = Record { stream: granted.stream.0, epoch: granted.owner.epoch.0, payload };
            let durable = self.wal.append(record).await.map_err(|error| TaskEnd::WalLost(error.to_string()))?;
            let at = durable.await.map_err(|error| TaskEnd::WalLost(error.to_string()))?;
            let charge = self.budget.charge(batch.bytes());
            self.memtable.publish(granted.owner.epoch, Held { batch, position: at, charge }, self.world.clock.now());
        }
        if let Some(last) = last {
            self.wal.release(granted.stream.0, last);
        }
        crash_point("recover.after");
        Ok(position)
    }

    async fn event(&mut self, event: Option<IntakeEvent>, running: &mut Running) -> Result<(), TaskEnd> {
        match event {
            Some(IntakeEvent::Logging(logging)) => {
                running.report.records += logging.batch.ledger.offsets() - logging.batch.ledger.skipped;
                running.report.payload_bytes += logging.payload_bytes;
                running.logging.push_back(logging);
            }
            Some(IntakeEvent::HighWatermark(stream, offset)) => {
                if let Some(stream) = running.streams.get_mut(&stream) {
                    stream.report.high_watermark = Some(offset);
                }
            }
            Some(IntakeEvent::Condition(stream, epoch, condition)) => {
                if let Some(stream) = running.streams.get_mut(&stream).filter(|stream| stream.report.epoch == epoch) {
                    stream.report.condition = condition;
                    // What is visible is committed before anybody decides how to go on.
                    running.flush_wanted = true;
                }
            }
            Some(IntakeEvent::Trouble(trouble)) => running.trouble = self.trouble(trouble, running.trouble.take()),
            Some(IntakeEvent::WalLost(cause)) => return Err(TaskEnd::WalLost(cause)),
            Some(IntakeEvent::Ended) => running.intake_ended = true,
            None => return Err(TaskEnd::Ended("its intake ended unexpectedly".to_owned())),
        }
        Ok(())
    }

    fn trouble(&self, now: Option<(String, bool)>, before: Option<Trouble>) -> Option<Trouble> {
        let (message, lasting) = now?;
        match before {
            Some(before) if before.message == message => Some(before),
            _ => {
                tracing::warn!(pipeline = self.pipeline.name, task = self.index.0, message, "a task has trouble");
                Some(Trouble { message, since: self.world.clock.wall().0, lasting })
            }
        }
    }

    /// The oldest batch on its way into the log has arrived there, or has not.
    async fn logged(
        &mut self, (logging, outcome): (Box<Logging>, Result<wal::WalPosition, WalError>), running: &mut Running,
    ) -> Result<(), TaskEnd> {
        let Logging { batch, epoch, newest_timestamp_ms, .. } = *logging;
        let stream = batch.stream;
        match outcome {
            Ok(position) => {
                crash_point("log.after");
                self.publish(batch, epoch, position, newest_timestamp_ms, running);
                Ok(())
            }
            // Not logged. What follows it in the queue has a hole before it and is dropped; fetch again from the hole.
            Err(WalError::DiskFull) => self.refetch(stream, epoch, running).await,
            Err(error @ WalError::Fenced { .. }) => {
                self.lose(stream, error.to_string(), running).await;
                Ok(())
            }
            Err(error) => Err(TaskEnd::WalLost(error.to_string())),
        }
    }

    fn publish(
        &self, batch: Batch, epoch: catalog::Epoch, position: wal::WalPosition, newest: Option<i64>, running: &mut Running,
    ) {
        let (id, range) = (batch.stream, batch.range);
        let held = running.streams.get_mut(&id).filter(|stream| stream.report.epoch == epoch);
        let expected = self.memtable.cursors().get(&id).map(|cursors| cursors.logged);
        let Some(stream) = held.filter(|_| expected == Some(range.start)) else {
            // Fenced, let go, or behind a batch that the full disk refused: the next owner, or this one, fetches it again.
            self.wal.release(id.0, position);
            return;
        };
        let charge = self.budget.charge(batch.bytes());
        let now = self.world.clock.now();
        if self.memtable.publish(epoch, Held { batch, position, charge }, now) {
            stream.report.visible = range.end;
            if let Some(newest) = newest {
                stream.report.visible_timestamp_ms = Some(newest);
                let age_ms = (self.world.clock.wall().0 / 1_000 - newest).max(0);
                metrics::histogram!("millrace_visible_latency_seconds").record(age_ms as f64 / 1_000.0);
            }
        }
        crash_point("memtable.after");
    }

    async fn refetch(&self, id: StreamId, epoch: catalog::Epoch, running: &mut Running) -> Result<(), TaskEnd> {
        let Some(stream) = running.streams.get(&id).filter(|stream| stream.report.epoch == epoch) else { return Ok(()) };
        let Some(cursors) = self.memtable.cursors().get(&id).copied() else { return Ok(()) };
        let report = &stream.report;
        let again = SourceStream {
            stream: id,
            topic: Arc::clone(&report.topic),
            incarnation: Arc::clone(&stream.incarnation),
            partition: report.partition,
            position: cursors.logged,
        };
        self.ask(IntakeCommand::Add(again, epoch)).await;
        Ok(())
    }

    async fn lose(&self, id: StreamId, cause: String, running: &mut Running) {
        self.memtable.close(id);
        self.ask(IntakeCommand::Remove(id)).await;
        if let Some(stream) = running.streams.get_mut(&id) {
            tracing::warn!(stream = id.0, epoch = stream.report.epoch.0, cause, "a stream is lost");
            stream.report.condition = StreamCondition::Lost { cause };
        }
    }

    fn start_flush(&self, running: &mut Running) {
        if running.flushing.is_some() || (running.draining && !running.is_quiet()) {
            return;
        }
        let (bytes, since) = self.memtable.mutable();
        let settings = &self.pipeline.settings;
        let view = FlushView {
            bytes,
            age: since.map(|since| self.world.clock.now().since(since)).unwrap_or_default(),
            bytes_max: settings.flush_bytes,
            age_max: Duration::from_millis(settings.flush_interval_ms),
            memory_pressed: self.budget.is_pressed(),
            memory_spent: !self.budget.has_room(),
            wanted: running.flush_wanted,
        };
        if since.is_none() {
            running.flush_wanted &= !running.logging.is_empty();
            return;
        }
        let Some(reason) = flush_due(view) else { return };
        let Some(frozen) = self.memtable.freeze() else { return };
        // Somebody waits for what is still being logged as well: look again after this flush.
        running.flush_wanted &= !running.logging.is_empty();
        tracing::debug!(pipeline = self.pipeline.name, ?reason, bytes, "flush");
        let committer = Arc::clone(&self.committer);
        running.flushing = Some(Box::pin(async move { committer.commit(frozen).await }));
    }

    async fn committed(&mut self, committed: Committed, running: &mut Running) -> Result<(), TaskEnd> {
        running.flushing = None;
        for (stream, cause) in committed.lost {
            self.lose(stream, cause, running).await;
        }
        if let Some(cause) = committed.ended {
            return Err(TaskEnd::Ended(cause));
        }
        if committed.version.is_some() {
            running.report.commits += 1;
            running.report.last_commit = Some(self.world.clock.wall().0);
        }
        Ok(())
    }

    /// Streams that were to be let go, and are committed up to their end, are let go.
    fn finish_releases(&self, running: &mut Running) {
        if running.flushing.is_some() || !running.logging.is_empty() {
            return;
        }
        let cursors = self.memtable.cursors();
        for (id, stream) in running.streams.iter_mut().filter(|(_, stream)| stream.releasing) {
            let done = cursors.get(id).is_none_or(|cursors| cursors.committed == cursors.logged);
            if done && stream.report.condition == StreamCondition::Owned {
                stream.report.condition = StreamCondition::Released;
                self.memtable.close(*id);
            }
        }
    }

    fn tell(&self, running: &mut Running) {
        let cursors = self.memtable.cursors();
        for (id, stream) in &mut running.streams {
            if let Some(cursors) = cursors.get(id) {
                stream.report.committed = cursors.committed;
                stream.report.visible = cursors.logged;
            }
        }
        let waiting = self.commit_trouble.borrow().clone();
        let waiting = waiting.map(|message| Trouble { message, since: self.world.clock.wall().0, lasting: false });
        let trouble = running.trouble.clone().or(waiting);
        running.report.state = if running.draining {
            TaskState::Draining
        } else if trouble.is_some() || !self.budget.has_room() {
            TaskState::Stalled
        } else {
            TaskState::Running
        };
        running.report.trouble = trouble;
        running.report.memtable_bytes = self.memtable.mutable().0;
        running.report.streams = running.streams.values().map(|stream| stream.report.clone()).collect();
        self.status.set(running.report.clone());
    }
}

impl Running {
    /// Whether nothing is on its way into the log any more.
    fn is_quiet(&self) -> bool {
        self.intake_ended && self.logging.is_empty()
    }

    fn is_empty(&self) -> bool {
        self.is_quiet() && self.flushing.is_none()
    }
}

async fn next_commit(flushing: &mut Option<Flushing>) -> Committed {
    match flushing {
        Some(flushing) => flushing.await,
        None => std::future::pending().await,
    }
}

/// Awaits the oldest batch's fsync: batches become visible in the order in which they were appended (I3).
async fn next_durable(
    logging: &mut VecDeque<Box<Logging>>,
) -> (Box<Logging>, Result<wal::WalPosition, WalError>) {
    let Some(head) = logging.front_mut() else { return std::future::pending().await };
    let outcome = (&mut head.durable).await;
    let head = logging.pop_front().expect("the head was there before its fsync");
    (head, outcome)
}
