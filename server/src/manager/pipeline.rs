//! The shell of one pipeline's manager: holds its lease, looks at the world, and carries out what [`reconcile`] says.
//!
//! Tasks go on consuming and committing while no manager leads. If the process dies between two steps, the next leader
//! sees the half-done state and goes on from there: every step is a compare-and-set or an idempotent message.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{
    Catalog, CatalogError, Epoch, FinishOutcome, GrantOutcome, GrantRequest, Incident, LeaseOutcome, NodeId, Offset,
    Owner, PartitionIdentity, Pipeline, PipelineChange, PipelineId, StartPosition, StreamId, StreamView, TaskIndex,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use vfs::{Moment, World, planted};
use warehouse::write::failpoint::crash_point;
use warehouse::write::messages::{Heartbeat, Life, OwnedStream, WorkerCommand, WorkerLink};
use warehouse::write::source::{SourceConnector, SourceError, TopicsView};

use super::change::{Remembered, waits_for};
use super::lease::LeaseView;
use super::reconcile::{Begin, Step, View, reconcile};

/// How often the manager looks when nothing wakes it.
const LOOK: Duration = Duration::from_millis(500);
/// How often it asks the broker for the topics: new partitions and new topics are found within 5 s.
const TOPIC_LOOK: Duration = Duration::from_secs(2);

/// What a manager works with.
#[derive(Clone, Debug)]
pub struct ManagerParts {
    /// The catalog.
    pub catalog: Catalog,
    /// The workers.
    pub workers: Arc<dyn WorkerLink>,
    /// Answers questions about topics.
    pub connector: Arc<dyn SourceConnector>,
    /// Clock and randomness.
    pub world: World,
    /// This server's lasting name.
    pub node: NodeId,
}

/// What a manager last had trouble with, for `system.pipelines`.
#[derive(Debug, Default)]
pub struct ManagerStatus {
    trouble: Mutex<Option<String>>,
    waiting: Mutex<Option<String>>,
    retry: Mutex<Option<i64>>,
    /// How many statements hold the pipeline.
    holds: AtomicUsize,
    /// Locked for as long as a look lasts.
    looking: tokio::sync::Mutex<()>,
}

impl ManagerStatus {
    /// The trouble, if there is any.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What a change of the pipeline waits for, if one is under way.
    pub fn waiting(&self) -> Option<String> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When what gave trouble is tried again, in microseconds since 1970.
    pub fn retry(&self) -> Option<i64> {
        *self.retry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_retry(&self, retry: Option<i64>) {
        *self.retry.lock().unwrap_or_else(PoisonError::into_inner) = retry;
    }

    pub(super) fn hold(&self) {
        self.holds.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn let_go(&self) {
        self.holds.fetch_sub(1, Ordering::SeqCst);
    }

    fn is_held(&self) -> bool {
        self.holds.load(Ordering::SeqCst) > 0
    }

    /// Returns once the look that is under way has ended.
    pub(super) async fn between_looks(&self) {
        drop(self.looking.lock().await);
    }

    fn set(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    fn set_waiting(&self, waiting: Option<String>) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }
}

/// The manager of one pipeline.
pub struct PipelineManager {
    parts: ManagerParts,
    id: PipelineId,
    status: Arc<ManagerStatus>,
    wake: Arc<Notify>,
    stop: CancellationToken,
    lease: LeaseView,
    topics: Option<TopicsView>,
    topics_seen: Option<Moment>,
    granted: BTreeMap<StreamId, Moment>,
    remembered: Remembered,
}

/// Who is told of a grant: a task of that very process. One that was started since is granted again.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    address: String,
    life: Life,
    task: TaskIndex,
}

/// Why one look could not be carried out whole. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Link(#[from] warehouse::write::messages::LinkError),
}

impl PipelineManager {
    /// A manager that does not lead yet.
    pub fn new(
        parts: ManagerParts,
        id: PipelineId,
        status: Arc<ManagerStatus>,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) -> Self {
        let (lease, topics, topics_seen, granted) = (LeaseView::default(), None, None, BTreeMap::new());
        let remembered = Remembered::default();
        Self { parts, id, status, wake, stop, lease, topics, topics_seen, granted, remembered }
    }

    /// Runs until it is stopped or its pipeline is gone.
    pub async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(Look::Gone) => return,
                Ok(Look::Done(trouble)) => {
                    if trouble.is_none() {
                        self.status.set_retry(None);
                    }
                    self.status.set(trouble);
                }
                Err(error) => {
                    tracing::warn!(pipeline = self.id.0, %error, "the pipeline's manager could not do its work, trying again");
                    self.status.set_retry(Some(self.parts.world.clock.wall().0 + LOOK.as_micros() as i64));
                    self.status.set(Some(error.to_string()));
                }
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = self.parts.world.clock.sleep(LOOK) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<Look, LookError> {
        let status = Arc::clone(&self.status);
        let _looking = status.looking.lock().await;
        let pipeline = match self.parts.catalog.pipeline_by_id(self.id).await {
            Ok(pipeline) => pipeline,
            Err(CatalogError::NotFound { .. }) => return Ok(Look::Gone),
            Err(error) => return Err(error.into()),
        };
        let Some(epoch) = self.lead().await? else { return Ok(Look::Done(None)) };
        let trouble = self.look_at_topics(&pipeline).await;
        let change = self.parts.catalog.change(self.id).await?.filter(PipelineChange::is_under_way);
        let streams = self.parts.catalog.streams(self.id).await?;
        let workers = self.heartbeats().await;
        let of_it = workers.iter().flat_map(|worker| &worker.tasks).filter(|task| task.pipeline == self.id);
        of_it.flat_map(|task| &task.streams).for_each(|report| self.remembered.note(report));
        let now = self.parts.world.clock.now();
        if let Some(change) = &change {
            self.remembered.note_change(change.id, now);
        }
        let view = View {
            pipeline: &pipeline,
            is_held: status.is_held(),
            topics: self.topics.as_ref(),
            streams: &streams,
            workers: &workers,
            change: change.as_ref(),
            remembered: &self.remembered,
            granted: &self.granted,
            now,
        };
        let steps = reconcile(&view);
        self.status.set_waiting(change.as_ref().and_then(|change| waits_for(&view, change)));
        let (opens, others): (Vec<Step>, Vec<Step>) =
            steps.into_iter().partition(|step| matches!(step, Step::Open { .. }));
        self.open(opens, &pipeline, epoch).await?;
        let mut owned: BTreeMap<Holder, Vec<OwnedStream>> = BTreeMap::new();
        for step in others {
            if let (Step::Floors { .. } | Step::Finish { .. }, Some(change)) = (&step, &change) {
                self.change(step, change, &pipeline, epoch, &streams).await?;
                continue;
            }
            self.take(step, &pipeline, epoch, &streams, &mut owned).await?;
        }
        if owned.is_empty() {
            return Ok(Look::Done(trouble));
        }
        // Read behind the grants: a TRUNCATE that came before them is seen here, and one that comes after them finds new owners and
        // begins anew. *(Else a task shows rows under a fence that lets it commit none of them.)*
        let table = self.parts.catalog.table_by_id(pipeline.table).await?;
        for (Holder { address, life, task }, streams) in owned {
            let (pipeline, table) = (Arc::clone(&pipeline), Arc::clone(&table));
            let command = WorkerCommand::Own { life, pipeline, table, task, streams };
            self.parts.workers.command(&address, command).await?;
        }
        Ok(Look::Done(trouble))
    }

    /// Holds or takes the lease; the epoch under which this process leads, if it does.
    async fn lead(&mut self) -> Result<Option<Epoch>, LookError> {
        let now = self.parts.world.clock.now();
        let Some(request) = self.lease.request(self.id, &self.parts.node, now) else {
            if self.lease.epoch().is_none() {
                let lease = self.parts.catalog.read_lease(self.id).await?;
                self.lease.observe(lease, false, now);
            }
            return Ok(self.lease.epoch());
        };
        match self.parts.catalog.lease(&request).await? {
            LeaseOutcome::Held(lease) => self.lease.observe(Some(lease), true, now),
            LeaseOutcome::Changed(lease) => self.lease.observe(lease, false, now),
            LeaseOutcome::NoPipeline => self.lease.observe(None, false, now),
        }
        Ok(self.lease.epoch())
    }

    /// Asks the broker from time to time. A broker that is away is trouble, not an end: the tasks go on by themselves.
    async fn look_at_topics(&mut self, pipeline: &Pipeline) -> Option<String> {
        let now = self.parts.world.clock.now();
        if self.topics_seen.is_some_and(|seen| now.since(seen) < TOPIC_LOOK) {
            return self.status.trouble();
        }
        self.topics_seen = Some(now);
        match self.parts.connector.topics(&pipeline.source).await {
            Ok(topics) => {
                // One of several that is not there is trouble; the others go on.
                let trouble = topics.clone().whole(&pipeline.source).err().map(|error| error.to_string());
                self.topics = Some(topics);
                trouble
            }
            Err(error) => {
                self.topics = None;
                self.status.set_retry(Some(self.parts.world.clock.wall().0 + TOPIC_LOOK.as_micros() as i64));
                Some(error.to_string())
            }
        }
    }

    async fn heartbeats(&self) -> Vec<Heartbeat> {
        let mut heartbeats = Vec::new();
        for address in self.parts.workers.addresses() {
            match self.parts.workers.heartbeat(&address).await {
                Ok(heartbeat) => heartbeats.push(heartbeat),
                Err(error) => tracing::warn!(%error, "a worker gives no heartbeat"),
            }
        }
        heartbeats
    }

    /// Opens streams, all of them or none: a death in between must not leave partitions of the pipeline's start to be taken
    /// for new ones.
    async fn open(&mut self, opens: Vec<Step>, pipeline: &Arc<Pipeline>, manager: Epoch) -> Result<(), LookError> {
        let mut streams = Vec::new();
        for step in opens {
            let Step::Open { topic, incarnation, partition, generation, begin } = step else { continue };
            let start = self.resolve(pipeline, &topic, partition, begin).await?;
            let pipeline = pipeline.id;
            streams.push((PartitionIdentity { pipeline, topic, incarnation, partition, generation }, start));
        }
        if streams.is_empty() {
            return Ok(());
        }
        for stream in self.parts.catalog.open_streams(&streams, manager).await? {
            let (of, start) = (stream.partition(), stream.start.0);
            let (topic, partition) = (&of.topic, of.partition);
            tracing::info!(pipeline = pipeline.name, topic, partition, stream = stream.id.0, start, "stream opened");
        }
        // Granting them needs another look, and there is no reason to wait for it.
        self.wake.notify_one();
        Ok(())
    }

    async fn take(
        &mut self,
        step: Step,
        pipeline: &Arc<Pipeline>,
        manager: Epoch,
        streams: &[StreamView],
        owned: &mut BTreeMap<Holder, Vec<OwnedStream>>,
    ) -> Result<(), LookError> {
        match step {
            Step::Open { .. } | Step::Floors { .. } | Step::Finish { .. } => {}
            Step::Grant { stream, expected, place } => {
                let Heartbeat { node, life, .. } = self.parts.workers.heartbeat(&place.address).await?;
                let owner = Owner {
                    epoch: Epoch(0),
                    node,
                    address: place.address.clone(),
                    task: place.task,
                    pipeline_fence: pipeline.fence,
                };
                let request = GrantRequest { stream, expected, manager, owner };
                self.granted.insert(stream, self.parts.world.clock.now());
                if let GrantOutcome::Granted(mut granted) = self.parts.catalog.grant(&request).await? {
                    let known = streams.iter().find(|known| known.stream.id == stream);
                    let record = Arc::clone(&known.expect("steps concern streams of the view").stream);
                    if granted.committed == record.start && planted::is("start-resolved-twice") {
                        let identity = record.partition();
                        granted.committed =
                            self.resolve(pipeline, &identity.topic, identity.partition, Begin::AtStart).await?;
                    }
                    let holder = Holder { address: place.address, life, task: place.task };
                    let to = owned.entry(holder).or_default();
                    to.push(OwnedStream { stream: record, granted });
                }
            }
            Step::Release { address, streams } => {
                let command = WorkerCommand::Release { pipeline: pipeline.id, streams };
                self.parts.workers.command(&address, command).await?;
            }
            Step::Close { stream } => self.parts.catalog.close_stream(stream, manager).await?,
            Step::Stop { address } => {
                self.parts.workers.command(&address, WorkerCommand::Stop { pipeline: pipeline.id }).await?;
            }
            Step::Incident { stream, kind, gap, cause, settle } => {
                tracing::error!(pipeline = pipeline.name, stream = stream.0, cause, settle, "the pipeline is paused");
                let opened = self.parts.world.clock.wall().0;
                let incident = Incident {
                    number: 0,
                    pipeline: pipeline.id,
                    stream: Some(stream),
                    kind,
                    gap,
                    cause,
                    settle,
                    opened,
                    settled: None,
                    settled_by: None,
                };
                self.parts.catalog.open_incident(incident).await?;
            }
        }
        Ok(())
    }

    /// The steps that are about the change that is under way.
    async fn change(
        &mut self,
        step: Step,
        change: &PipelineChange,
        pipeline: &Pipeline,
        manager: Epoch,
        streams: &[StreamView],
    ) -> Result<(), LookError> {
        match step {
            Step::Floors { streams: asked } => {
                let mut floors = Vec::new();
                for view in streams.iter().filter(|view| asked.contains(&view.stream.id)) {
                    let PartitionIdentity { topic, partition, .. } = view.stream.partition();
                    let (_, high) = self.parts.connector.watermarks(&pipeline.source, topic, *partition).await?;
                    floors.push((view.stream.id, high));
                }
                crash_point("change.before_floors");
                self.parts.catalog.set_floors(self.id, change.id, &floors, manager).await?;
                crash_point("change.after_floors");
                // Granting them needs another look, and there is no reason to wait for it.
                self.wake.notify_one();
            }
            Step::Finish { drained } => {
                crash_point("change.before_finish");
                let outcome = self.parts.catalog.finish_change(self.id, change.id, manager, &drained).await?;
                tracing::info!(pipeline = pipeline.name, change = change.kind.word(), ?outcome, "all is drained");
                if let FinishOutcome::Done(_) = outcome {
                    crash_point("change.after_finish");
                    // Tasks of before have nothing left to do, wherever they are.
                    for address in self.parts.workers.addresses() {
                        let stop = WorkerCommand::Stop { pipeline: self.id };
                        if let Err(error) = self.parts.workers.command(&address, stop).await {
                            tracing::warn!(%error, "a worker was not told to stop its tasks; they are fenced");
                        }
                    }
                    self.remembered.note_drained(&drained);
                    self.granted.clear();
                    self.status.set_waiting(None);
                    self.wake.notify_one();
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn resolve(
        &self,
        pipeline: &Pipeline,
        topic: &str,
        partition: i32,
        begin: Begin,
    ) -> Result<Offset, LookError> {
        let start = match begin {
            Begin::AtStart => pipeline.source.start.clone(),
            Begin::AtEarliest => StartPosition::Earliest,
            Begin::At(offset) => {
                let (low, high) = self.parts.connector.watermarks(&pipeline.source, topic, partition).await?;
                return Ok(offset.clamp(low, high));
            }
        };
        Ok(self.parts.connector.resolve(&pipeline.source, topic, partition, &start).await?)
    }
}

/// How a look ended.
enum Look {
    /// Done, perhaps with trouble.
    Done(Option<String>),
    /// The pipeline is gone.
    Gone,
}
