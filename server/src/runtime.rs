//! What statements see and steer of the running process: the manager and the workers behind SQL's seams.
//!
//! Owns the translation only: the rules of pausing and placing are the manager's, the words are SQL's.

mod control;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catalog::{Catalog, KafkaSource, Pipeline, PipelineId, StreamId, TaskIndex};
use vfs::{Clock, Moment, World};
use warehouse::write::messages::{Heartbeat, Retry, StreamReport, TaskReport, Trouble};
use warehouse::write::source::SourceConnector;

use crate::hints;
use crate::manager::Manager;
use crate::settings::Settings;
use crate::sql::seams::{PipelineHealth, PipelineProbe, Runtime, SettingRow, StreamPosition, TaskRow, WorkerRow};

/// How often rates are measured.
const SAMPLE: Duration = Duration::from_secs(1);

/// The process, as statements see it.
pub struct LocalRuntime {
    manager: Arc<Manager>,
    catalog: Catalog,
    connector: Arc<dyn SourceConnector>,
    world: World,
    settings: Vec<SettingRow>,
    rates: Mutex<Rates>,
}

/// Counters at two moments, and so rates.
#[derive(Debug, Default)]
struct Rates {
    at: Option<Moment>,
    tasks: BTreeMap<(PipelineId, TaskIndex), (u64, f64)>,
    bytes: BTreeMap<(PipelineId, TaskIndex), (u64, f64)>,
    streams: BTreeMap<StreamId, (u64, f64)>,
}

impl Rates {
    fn sample(&mut self, heartbeats: &[Heartbeat], clock: &dyn Clock) {
        let now = clock.now();
        let seconds = self.at.map_or(0.0, |at| now.since(at).as_secs_f64());
        self.at = Some(now);
        let rate = |before: Option<&(u64, f64)>, count: u64| {
            let grown = before.map_or(0, |(before, _)| count.saturating_sub(*before));
            (count, if seconds > 0.0 { grown as f64 / seconds } else { 0.0 })
        };
        let tasks = heartbeats.iter().flat_map(|worker| &worker.tasks);
        let (mut of_tasks, mut of_bytes, mut of_streams) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for task in tasks {
            let key = (task.pipeline, task.task);
            of_tasks.insert(key, rate(self.tasks.get(&key), task.records));
            of_bytes.insert(key, rate(self.bytes.get(&key), task.payload_bytes));
            for stream in &task.streams {
                of_streams.insert(stream.stream, rate(self.streams.get(&stream.stream), stream.visible.0));
            }
        }
        (self.tasks, self.bytes, self.streams) = (of_tasks, of_bytes, of_streams);
    }
}

impl std::fmt::Debug for LocalRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalRuntime").finish_non_exhaustive()
    }
}

impl LocalRuntime {
    /// The process of this manager.
    pub fn new(
        manager: Arc<Manager>,
        catalog: Catalog,
        connector: Arc<dyn SourceConnector>,
        world: World,
        settings: &Settings,
    ) -> Arc<Self> {
        let (settings, rates) = (settings.rows(), Mutex::default());
        Arc::new(Self { manager, catalog, connector, world, settings, rates })
    }

    /// Measures rates, until dropped.
    pub async fn run(self: Arc<Self>) {
        loop {
            let heartbeats = self.manager.heartbeats().await;
            self.rates.lock().unwrap_or_else(PoisonError::into_inner).sample(&heartbeats, &*self.world.clock);
            self.world.clock.sleep(SAMPLE).await;
        }
    }

    fn task_row(&self, pipeline: Option<&Pipeline>, worker: &Heartbeat, task: &TaskReport) -> TaskRow {
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (task.pipeline, task.task);
        let uncommitted_offsets = task.streams.iter().map(|stream| stream.visible.0 - stream.committed.0).sum();
        let now = self.world.clock.wall().0;
        let lags = || task.streams.iter().filter_map(StreamReport::lag_records);
        let seconds = task.streams.iter().filter_map(|stream| stream.lag_ms(now / 1_000)).max();
        TaskRow {
            pipeline: task.pipeline,
            task: task.task,
            worker: worker.address.clone(),
            state: task.state.to_string(),
            streams: task.streams.len() as u64,
            memtable_bytes: task.memtable_bytes,
            uncommitted_offsets,
            lag_records: (lags().count() > 0).then(|| lags().sum()),
            lag_seconds: seconds.map(|millis| millis as f64 / 1_000.0),
            rows_per_second: rates.tasks.get(&key).map_or(0.0, |(_, rate)| *rate),
            bytes_per_second: rates.bytes.get(&key).map_or(0.0, |(_, rate)| *rate),
            last_error: task.trouble.as_ref().map(|trouble| trouble.message.clone()),
            next_retry: task.trouble.as_ref().and_then(|trouble| retry_at(trouble, now)),
            hint: pipeline.and_then(|pipeline| hints::task(pipeline, task)),
        }
    }

    fn position(&self, pipeline: Option<&Pipeline>, stream: &StreamReport) -> StreamPosition {
        let now_ms = self.world.clock.wall().0 / 1_000;
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        StreamPosition {
            visible: Some(stream.visible),
            high_watermark: stream.high_watermark,
            lag_records: stream.lag_records(),
            lag_seconds: stream.lag_ms(now_ms).map(|lag| lag as f64 / 1_000.0),
            rows_per_second: rates.streams.get(&stream.stream).map(|(_, rate)| *rate),
            hint: pipeline.and_then(|pipeline| hints::condition(pipeline, &stream.condition)),
        }
    }

    /// The pipelines by id; none where the catalog does not answer: what is shown then lacks their hints.
    async fn known_pipelines(&self) -> BTreeMap<PipelineId, Arc<Pipeline>> {
        let pipelines = self.catalog.pipelines().await.unwrap_or_default();
        pipelines.into_iter().map(|pipeline| (pipeline.id, pipeline)).collect()
    }
}

/// When trouble is tried again, at the latest.
fn retry_at(trouble: &Trouble, now: i64) -> Option<i64> {
    match trouble.retry? {
        Retry::At(at) => Some(at),
        Retry::Within(millis) => i64::try_from(millis).ok().map(|millis| now + millis * 1_000),
    }
}

#[async_trait]
impl Runtime for LocalRuntime {
    async fn tasks(&self) -> Vec<TaskRow> {
        let pipelines = self.known_pipelines().await;
        let workers = self.manager.heartbeats().await;
        let tasks = workers.iter().flat_map(|worker| worker.tasks.iter().map(move |task| (worker, task)));
        let row = |(worker, task): (&Heartbeat, &TaskReport)| {
            self.task_row(pipelines.get(&task.pipeline).map(Arc::as_ref), worker, task)
        };
        tasks.map(row).collect()
    }

    async fn workers(&self) -> Vec<WorkerRow> {
        let row = |worker: Heartbeat| WorkerRow {
            node: worker.node.to_string(),
            address: worker.address,
            state: "live".to_owned(),
            tasks: worker.tasks.len() as u64,
            memory_bytes: worker.memory_used,
            memory_limit_bytes: worker.memory_limit,
            wal_bytes: worker.wal_bytes,
            heartbeat: Some(self.world.clock.wall().0),
        };
        self.manager.heartbeats().await.into_iter().map(row).collect()
    }

    async fn streams(&self) -> BTreeMap<StreamId, StreamPosition> {
        let workers = self.manager.heartbeats().await;
        let pipelines = self.known_pipelines().await;
        let mut positions = BTreeMap::new();
        for task in workers.iter().flat_map(|worker| &worker.tasks) {
            let pipeline = pipelines.get(&task.pipeline).map(Arc::as_ref);
            positions.extend(task.streams.iter().map(|stream| (stream.stream, self.position(pipeline, stream))));
        }
        positions
    }

    async fn pipelines(&self) -> BTreeMap<PipelineId, PipelineHealth> {
        let workers = self.manager.heartbeats().await;
        let mut health: BTreeMap<PipelineId, PipelineHealth> = BTreeMap::new();
        let pipelines = self.known_pipelines().await;
        for (worker, task) in workers.iter().flat_map(|worker| worker.tasks.iter().map(move |task| (worker, task))) {
            let of_it = health.entry(task.pipeline).or_default();
            of_it.state = Some(task.state.to_string());
            let row = self.task_row(pipelines.get(&task.pipeline).map(Arc::as_ref), worker, task);
            of_it.last_error = of_it.last_error.take().or(row.last_error);
            of_it.next_retry = of_it.next_retry.max(row.next_retry);
            of_it.hint = of_it.hint.take().or(row.hint);
            of_it.bytes_per_second += row.bytes_per_second;
            of_it.unknown_fields += task.unknown_fields;
        }
        for id in self.manager.pipelines() {
            let of_it = health.entry(id).or_default();
            of_it.next_retry = of_it.next_retry.max(self.manager.retry(id));
            of_it.last_error = of_it.last_error.take().or(self.manager.trouble(id));
            // What a change waits for comes first: it is what somebody waits for.
            of_it.hint = self.manager.waiting(id).or(of_it.hint.take());
        }
        health
    }

    fn settings(&self) -> Vec<SettingRow> {
        self.settings.clone()
    }
}

#[async_trait]
impl PipelineProbe for LocalRuntime {
    async fn check(&self, source: &KafkaSource) -> Result<(), String> {
        let view = self.connector.topics(source).await.and_then(|view| view.whole(source));
        view.map(|_| ()).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
