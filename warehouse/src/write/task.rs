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
//! published and committed, and the task ends. Owns the order of these steps; each step has its own file: `takeover.rs` begins
//! with granted streams, `logged.rs` publishes.
//!
//! The task never waits for its intake: each fills the other's bounded channel, and two that wait for each other wait for ever.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{Epoch, NodeId, Pipeline, StreamId, Table, TaskIndex};
use tokio::sync::{mpsc, watch};
use vfs::{World, planted};
use wal::{Replay, Wal, WalError, WalPosition};

use super::commit::{Committed, Committer};
use super::flush_policy::{FlushView, flush_due};
use super::intake::{DISK_FULL_RETRY, IN_FLIGHT_MAX, IntakeCommand, IntakeEvent, Logging};
use super::memtable::Memtable;
use super::messages::{
    OwnedStream, Retry, Stall, StreamCondition, StreamReport, TaskReport, TaskState, Trouble, TroubleKind,
};
use super::trouble::Told;
use crate::memory::MemoryBudget;

/// How often timers are looked at when nothing happens.
const TICK: Duration = Duration::from_millis(50);

/// What a worker asks of a task.
#[derive(Debug)]
pub(super) enum TaskCommand {
    /// Hold these streams, and adopt what the log of the process before has of them.
    Own(Vec<OwnedStream>, Option<Arc<Replay>>),
    /// These went to another task of this worker, under these epochs: what is held of them under an older one is fenced.
    Overtaken(Vec<(StreamId, Epoch)>),
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

/// Whether a stream is to stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stay {
    /// It is.
    Kept,
    /// It is to be let go; the intake may still have batches of it.
    Leaving,
    /// It is to be let go, and the intake hands out nothing more of it.
    Last,
}

/// What a task has of one stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) report: StreamReport,
    pub(super) incarnation: Arc<str>,
    pub(super) stay: Stay,
    /// Whether it is being fetched again from the end of what is logged, after a batch that the log did not take.
    pub(super) refetching: bool,
    /// The last of its logged records that are not published, and that no later commit will release.
    pub(super) debris: Option<WalPosition>,
}

/// See the module.
pub(super) struct Task {
    pub pipeline: Arc<Pipeline>,
    pub table: Arc<Table>,
    pub index: TaskIndex,
    pub node: NodeId,
    pub world: World,
    pub wal: Wal,
    pub budget: Arc<MemoryBudget>,
    /// Set while the WAL is over its limit.
    pub wal_full: Arc<AtomicBool>,
    pub memtable: Arc<Memtable>,
    pub committer: Arc<Committer>,
    pub commit_trouble: watch::Receiver<Option<Told>>,
    pub inbox: mpsc::Receiver<TaskCommand>,
    pub intake: mpsc::Sender<IntakeCommand>,
    pub events: mpsc::Receiver<IntakeEvent>,
    pub status: Arc<TaskStatus>,
}

/// The latest report of a task, read by its worker.
#[derive(Debug)]
pub(super) struct TaskStatus(Mutex<TaskReport>);

impl TaskStatus {
    pub(super) fn new(report: TaskReport) -> Arc<Self> {
        Arc::new(Self(Mutex::new(report)))
    }

    /// The report.
    pub(super) fn get(&self) -> TaskReport {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the task holds the stream under this epoch no more.
    pub(super) fn has_let_go(&self, stream: StreamId, epoch: Epoch) -> bool {
        let report = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_it = report.streams.iter().find(|report| report.stream == stream && report.epoch >= epoch);
        of_it.is_some_and(|it| matches!(it.condition, StreamCondition::Lost { .. } | StreamCondition::Released))
    }

    fn set(&self, report: TaskReport) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = report;
    }
}

type Flushing = Pin<Box<dyn Future<Output = Committed> + Send>>;

/// The changing half of a task.
pub(super) struct Running {
    pub(super) streams: BTreeMap<StreamId, Stream>,
    /// What the intake is to be asked, when it has room for it.
    pub(super) asks: VecDeque<IntakeCommand>,
    logging: VecDeque<Box<Logging>>,
    flushing: Option<Flushing>,
    pub(super) flush_wanted: bool,
    listening: bool,
    draining: bool,
    intake_ended: bool,
    trouble: Option<Trouble>,
    /// What the log refused a batch for, until it takes one.
    pub(super) log_trouble: Option<Trouble>,
    commit_trouble: Option<Trouble>,
    /// Why the task of this share ended before; until this one has committed, it may end so too.
    ended_before: Option<Trouble>,
    report: TaskReport,
}

impl Task {
    /// Runs until it is drained or cannot go on.
    pub(super) async fn run(mut self) -> TaskEnd {
        let report = self.status.get();
        let mut running = Running {
            streams: BTreeMap::new(),
            asks: VecDeque::new(),
            logging: VecDeque::new(),
            flushing: None,
            flush_wanted: false,
            listening: true,
            draining: false,
            intake_ended: false,
            trouble: None,
            log_trouble: None,
            commit_trouble: None,
            ended_before: report.trouble.clone(),
            report,
        };
        loop {
            if let Err(end) = self.step(&mut running).await {
                return end;
            }
            // Rows that are kept for readers only must not make the others be flushed before their time.
            self.memtable.retire(self.world.clock.now(), self.budget.is_pressed());
            self.finish_releases(&mut running);
            self.start_flush(&mut running);
            self.tell(&mut running);
            let is_committed = self.memtable.mutable().1.is_none() || planted::is("drain-without-commit");
            if running.draining && running.is_empty() && is_committed {
                return TaskEnd::Drained;
            }
        }
    }

    /// One thing that happens.
    async fn step(&mut self, running: &mut Running) -> Result<(), TaskEnd> {
        let (clock, intake) = (Arc::clone(&self.world.clock), self.intake.clone());
        tokio::select! {
            biased;
            command = self.inbox.recv(), if running.listening => match command {
                Some(command) => self.command(command, running).await,
                None => {
                    running.listening = false;
                    self.command(TaskCommand::Drain, running).await
                }
            },
            room = intake.reserve(), if !running.asks.is_empty() => {
                // An intake that is gone has said why in its last event, so a failed send needs no word of its own.
                if let (Some(command), Ok(room)) = (running.asks.pop_front(), room) {
                    room.send(command);
                }
                Ok(())
            }
            committed = next_commit(&mut running.flushing) => self.committed(committed, running),
            (logging, outcome) = next_durable(&mut running.logging) => self.logged(*logging, outcome, running),
            event = self.events.recv(), if !running.intake_ended && running.logging.len() < IN_FLIGHT_MAX => {
                self.event(event, running)
            }
            () = clock.sleep(TICK) => Ok(()),
        }
    }

    async fn command(&mut self, command: TaskCommand, running: &mut Running) -> Result<(), TaskEnd> {
        match command {
            // It ends: the manager misses the streams in the next heartbeat, and grants them again.
            TaskCommand::Own(..) if running.draining => {}
            TaskCommand::Own(streams, replay) => self.own(streams, replay, running).await?,
            TaskCommand::Overtaken(streams) => {
                for (id, newer) in streams {
                    let held = running.streams.get(&id).map(|stream| stream.report.epoch);
                    if let Some(epoch) = held.filter(|epoch| *epoch < newer) {
                        self.lose(id, epoch, "it was granted to another task of this worker".to_owned(), running);
                    }
                }
            }
            TaskCommand::Release(streams) => {
                for id in streams {
                    let Some(stream) = running.streams.get_mut(&id).filter(|stream| stream.stay == Stay::Kept) else {
                        continue;
                    };
                    stream.stay = Stay::Leaving;
                    running.asks.push_back(IntakeCommand::Release(id, stream.report.epoch));
                    running.flush_wanted = true;
                }
            }
            TaskCommand::Flush => running.flush_wanted = true,
            TaskCommand::Drain => {
                if !running.draining {
                    running.draining = true;
                    running.asks.push_back(IntakeCommand::End);
                }
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Option<IntakeEvent>, running: &mut Running) -> Result<(), TaskEnd> {
        match event {
            Some(IntakeEvent::Logging(logging)) => {
                let ledger = logging.batch.ledger;
                running.report.records += ledger.rows + ledger.errors + ledger.filtered;
                running.report.payload_bytes += logging.payload_bytes;
                running.report.unknown_fields += logging.unknown_fields;
                metrics::counter!("millrace_unknown_fields_total").increment(logging.unknown_fields);
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
            Some(IntakeEvent::Removed(stream, epoch)) => {
                let leaving = running.streams.get_mut(&stream).filter(|stream| stream.stay == Stay::Leaving);
                if let Some(stream) = leaving.filter(|stream| stream.report.epoch == epoch) {
                    stream.stay = Stay::Last;
                }
            }
            Some(IntakeEvent::Trouble(trouble)) => running.trouble = self.trouble(trouble, running.trouble.take()),
            Some(IntakeEvent::DiskFull(message)) => self.disk_is_full(message, running),
            Some(IntakeEvent::WalLost(cause)) => return Err(TaskEnd::WalLost(cause)),
            Some(IntakeEvent::Ended) => running.intake_ended = true,
            None => return Err(TaskEnd::Ended("its intake ended unexpectedly; the log has more".to_owned())),
        }
        Ok(())
    }

    /// What is logged is committed, so that its place on the disk becomes free.
    pub(super) fn disk_is_full(&self, message: String, running: &mut Running) {
        let retry = self.world.clock.wall().0 + DISK_FULL_RETRY.as_micros() as i64;
        let told = Told::passing(TroubleKind::Disk, message, Some(Retry::At(retry)));
        running.log_trouble = self.trouble(Some(told), running.log_trouble.take());
        running.flush_wanted = true;
    }

    fn trouble(&self, now: Option<Told>, before: Option<Trouble>) -> Option<Trouble> {
        let now = now?;
        if before.as_ref().is_none_or(|before| before.message != now.message) {
            let message = &now.message;
            tracing::warn!(pipeline = self.pipeline.name, task = self.index.0, message, "a task has trouble");
        }
        Some(now.since(before, self.world.clock.wall().0))
    }

    pub(super) fn lose(&self, id: StreamId, epoch: Epoch, cause: String, running: &mut Running) {
        // Records of a newer epoch stand behind these.
        if let Some(last) = self.memtable.close(id, epoch) {
            self.wal.release(id.0, last);
        }
        // It may have been granted to this very task again, under a newer epoch.
        let Some(stream) = running.streams.get_mut(&id).filter(|stream| stream.report.epoch == epoch) else { return };
        tracing::warn!(stream = id.0, epoch = epoch.0, cause, "a stream is lost");
        stream.report.condition = StreamCondition::Lost { cause };
        running.asks.push_back(IntakeCommand::Remove(id));
    }

    fn start_flush(&self, running: &mut Running) {
        if running.flushing.is_some() {
            return;
        }
        let (bytes, since) = self.memtable.mutable();
        if since.is_none() || (running.draining && planted::is("drain-without-commit")) {
            running.flush_wanted = false;
            return;
        }
        let settings = &self.pipeline.settings;
        let view = FlushView {
            bytes,
            age: since.map(|since| self.world.clock.now().since(since)).unwrap_or_default(),
            bytes_max: settings.flush_bytes,
            age_max: Duration::from_millis(settings.flush_interval_ms),
            memory_pressed: self.budget.is_pressed(),
            memory_spent: !self.budget.has_room(),
            wanted: running.flush_wanted || (running.draining && running.is_quiet()),
        };
        let Some(reason) = flush_due(view) else { return };
        running.flush_wanted = false;
        let Some(frozen) = self.memtable.freeze() else { return };
        tracing::debug!(pipeline = self.pipeline.name, ?reason, bytes, "flush");
        let committer = Arc::clone(&self.committer);
        running.flushing = Some(Box::pin(async move { committer.commit(frozen).await }));
    }

    fn committed(&mut self, committed: Committed, running: &mut Running) -> Result<(), TaskEnd> {
        running.flushing = None;
        for (stream, lost) in committed.lost {
            self.lose(stream, lost.epoch, lost.cause, running);
        }
        if let Some(cause) = committed.ended {
            return Err(TaskEnd::Ended(cause));
        }
        if committed.version.is_some() {
            running.ended_before = None;
            running.report.commits += 1;
            running.report.last_commit = Some(self.world.clock.wall().0);
        }
        Ok(())
    }

    /// Streams that were to be let go, and are committed up to their end, are let go. What no commit will release any more is
    /// released.
    fn finish_releases(&self, running: &mut Running) {
        let ends = |stream: &Stream| stream.stay != Stay::Kept || stream.report.condition != StreamCondition::Owned;
        let busy = |stream: &Stream| ends(stream) || stream.debris.is_some();
        if running.flushing.is_some() || !running.streams.values().any(busy) {
            return;
        }
        let Running { streams, logging, flush_wanted, .. } = running;
        for (id, stream) in streams.iter_mut().filter(|(_, stream)| busy(stream)) {
            if logging.iter().any(|logging| logging.batch.stream == *id) {
                continue;
            }
            let cursors = self.memtable.cursors_of(*id);
            if cursors.is_some_and(|cursors| cursors.committed != cursors.logged) {
                *flush_wanted |= ends(stream);
                continue;
            }
            if let Some(position) = stream.debris.take() {
                self.wal.release(id.0, position);
            }
            if stream.stay == Stay::Last {
                if let Some(cursors) = cursors {
                    (stream.report.committed, stream.report.visible) = (cursors.committed, cursors.logged);
                }
                self.memtable.close(*id, stream.report.epoch);
                if stream.report.condition == StreamCondition::Owned {
                    stream.report.condition = StreamCondition::Released;
                }
            }
        }
    }

    /// Shows the worker how the task is.
    pub(super) fn tell(&self, running: &mut Running) {
        let cursors = self.memtable.cursors();
        for (id, stream) in &mut running.streams {
            if let Some(cursors) = cursors.get(id) {
                stream.report.committed = cursors.committed;
                stream.report.visible = cursors.logged;
            }
        }
        let waiting = self.commit_trouble.borrow().clone();
        running.commit_trouble = self.trouble(waiting, running.commit_trouble.take());
        let of_its_parts = [&running.trouble, &running.log_trouble, &running.commit_trouble];
        let trouble = of_its_parts.into_iter().find_map(Option::as_ref);
        let stall = if self.wal_full.load(Ordering::Relaxed) {
            Some(Stall::Log)
        } else {
            (!self.budget.has_room()).then_some(Stall::Memory)
        };
        running.report.state = if running.draining {
            TaskState::Draining
        } else if trouble.is_some() || stall.is_some() {
            TaskState::Stalled
        } else {
            TaskState::Running
        };
        running.report.trouble = trouble.or(running.ended_before.as_ref()).cloned();
        running.report.stall = stall;
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
async fn next_durable(logging: &mut VecDeque<Box<Logging>>) -> (Box<Logging>, Result<WalPosition, WalError>) {
    let Some(head) = logging.front_mut() else { return std::future::pending().await };
    let outcome = (&mut head.durable).await;
    let head = logging.pop_front().expect("the head was there before its fsync");
    (head, outcome)
}
