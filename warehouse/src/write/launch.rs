//! Starting a task: its source, its intake, its committer, and the watch over its end.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use catalog::{Epoch, Pipeline, StreamId, Table, WriterId};
use futures::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use wal::{Replay, Wal};

use super::commit::Committer;
use super::decode::PipelineDecoder;
use super::flush::Flusher;
use super::intake::{IN_FLIGHT_MAX, Intake};
use super::log_keeper::Log;
use super::memtable::Memtable;
use super::messages::{TaskReport, TaskState, Trouble};
use super::source::SourceOptions;
use super::task::{Task, TaskCommand, TaskEnd, TaskStatus};
use super::trouble::Told;
use super::worker::{Running, TaskKey, Worker, WorkerError};
use crate::memory::Charge;

/// Where a task's commands go, and the replayed log to adopt from while recovery lasts.
pub(super) type Started = (mpsc::Sender<TaskCommand>, Option<Arc<Replay>>);

/// What becomes of a task that is about to begin.
enum Admitted {
    /// It begins, as the so-manieth of its worker.
    Begins(u64),
    /// It runs already: this is its inbox.
    RunsAlready(mpsc::Sender<TaskCommand>),
}

impl Worker {
    pub(super) async fn start(
        &self,
        key: TaskKey,
        pipeline: Arc<Pipeline>,
        table: Arc<Table>,
        given: BTreeMap<StreamId, Epoch>,
    ) -> Result<Started, WorkerError> {
        let log = self.log()?;
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
        let queue_bytes = source.queue_bytes_max();
        let memtable = Memtable::new();
        let (trouble, commit_trouble) = watch::channel(None);
        let (inbox, inbox_receiver) = mpsc::channel(16);
        let (intake, commands) = mpsc::channel(16);
        let (events, events_receiver) = mpsc::channel(IN_FLIGHT_MAX);
        let intake_side = Intake {
            pipeline: Arc::clone(&pipeline),
            table: Arc::clone(&table),
            source,
            decoder: Some(decoder),
            wal: log.wal.clone(),
            budget: Arc::clone(&self.parts.budget),
            wal_full: Arc::clone(&self.wal_full),
            world: self.parts.world.clone(),
            commands,
            events,
            streams: BTreeMap::new(),
            resting: None,
            refused: None,
            troubled: None,
        };
        let status = TaskStatus::new(self.first_report(key));
        let task = Task {
            committer: Arc::new(self.committer(key, &pipeline, &table, &memtable, &log.wal, trouble)),
            pipeline: Arc::clone(&pipeline),
            table,
            index: key.1,
            node: self.settings.node.clone(),
            world: self.parts.world.clone(),
            wal: log.wal.clone(),
            budget: Arc::clone(&self.parts.budget),
            wal_full: Arc::clone(&self.wal_full),
            memtable: Arc::clone(&memtable),
            commit_trouble,
            inbox: inbox_receiver,
            intake,
            events: events_receiver,
            status: Arc::clone(&status),
        };
        let abandon = CancellationToken::new();
        let running = Running {
            pipeline,
            inbox: inbox.clone(),
            memtable,
            status,
            abandon: abandon.clone(),
            incarnation: 0,
            log: log.number,
            queue_bytes,
            given,
        };
        let incarnation = match self.admit(key, running)? {
            Admitted::Begins(incarnation) => incarnation,
            Admitted::RunsAlready(inbox) => return Ok((inbox, log.replay())),
        };
        let queue = self.parts.budget.charge(queue_bytes);
        let ends = self.ends.clone();
        tokio::spawn(async move {
            let end = run(task, intake_side, abandon, queue).await;
            // The worker is gone: nobody is left who would want to know.
            drop(ends.send((key, incarnation, end)).await);
        });
        Ok((inbox, log.replay()))
    }

    /// Enters a task among the running ones, in place of one of an older version, unless something came between.
    fn admit(&self, key: TaskKey, mut running: Running) -> Result<Admitted, WorkerError> {
        let mut state = self.state();
        if state.closing {
            return Err(WorkerError::Closed);
        }
        if state.log.as_ref().is_none_or(|log| log.number != running.log) {
            return Err(WorkerError::Wal("it was lost and is being replaced".to_owned()));
        }
        // Another command has begun it while the source was opened. It goes on, with the streams that it holds.
        if let Some(other) = state.tasks.get_mut(&key).filter(|other| other.serves(&running.pipeline)) {
            other.give(running.given);
            return Ok(Admitted::RunsAlready(other.inbox.clone()));
        }
        let others =
            state.tasks.iter().filter(|(other, _)| **other != key).map(|(_, task)| task.queue_bytes).sum::<u64>();
        let (queues, always) = (others + running.queue_bytes, self.parts.budget.always_ingest());
        if !self.parts.budget.leaves_room(queues + self.settings.wal.queue_bytes) {
            return Err(WorkerError::Memory { queues, always });
        }
        state.started += 1;
        running.incarnation = state.started;
        let incarnation = running.incarnation;
        // Of an earlier version of the pipeline: all that was visible of it is committed, and nothing more can be (I2).
        let (fence, mut stale) = (running.pipeline.fence, Vec::new());
        for (other, task) in &state.tasks {
            if other.0 == key.0 && *other != key && task.pipeline.fence < fence {
                task.abandon.cancel();
                stale.push(*other);
            }
        }
        stale.iter().for_each(|other| drop(state.tasks.remove(other)));
        if let Some(before) = state.tasks.insert(key, running) {
            before.abandon.cancel();
        }
        Ok(Admitted::Begins(incarnation))
    }

    fn log(&self) -> Result<Log, WorkerError> {
        let state = self.state();
        let trouble = || state.log_trouble.clone().unwrap_or_else(|| "it is being replaced".to_owned());
        state.log.clone().ok_or_else(|| WorkerError::Wal(trouble()))
    }

    fn first_report(&self, key: TaskKey) -> TaskReport {
        let trouble: Option<Trouble> = self.state().ended.get(&key).cloned();
        TaskReport {
            pipeline: key.0,
            task: key.1,
            state: TaskState::Running,
            streams: Vec::new(),
            trouble,
            stall: None,
            records: 0,
            payload_bytes: 0,
            unknown_fields: 0,
            memtable_bytes: 0,
            commits: 0,
            last_commit: None,
            started: self.parts.world.clock.wall().0,
        }
    }

    fn committer(
        &self,
        key: TaskKey,
        pipeline: &Arc<Pipeline>,
        table: &Arc<Table>,
        memtable: &Arc<Memtable>,
        wal: &Wal,
        trouble: watch::Sender<Option<Told>>,
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
            budget: Arc::clone(&self.parts.budget),
            world: self.parts.world.clone(),
            trouble,
        }
    }
}

/// Runs a task and its intake until the task ends, is abandoned, or panics: then, too, its worker must hear of it, or its streams
/// would seem to be held for ever.
async fn run(task: Task, intake: Intake, abandon: CancellationToken, _queue: Charge) -> TaskEnd {
    let intake = tokio::spawn(intake.run());
    let end = tokio::select! {
        biased;
        () = abandon.cancelled() => TaskEnd::Ended("it was abandoned".to_owned()),
        end = AssertUnwindSafe(task.run()).catch_unwind() => {
            end.unwrap_or_else(|_| TaskEnd::Ended("a check of its own failed; the log has more".to_owned()))
        }
    };
    intake.abort();
    // It ends as it was aborted, or had ended before.
    drop(intake.await);
    end
}
