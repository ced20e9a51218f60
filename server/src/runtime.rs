//! What statements see and steer of the running process: the manager and the workers behind SQL's seams.
//!
//! Owns the translation only: the rules of pausing and placing are the manager's, the words are SQL's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catalog::{Catalog, KafkaSource, PipelineId, PipelineState, StreamId, TaskIndex};
use vfs::{Clock, Moment, World};
use warehouse::write::messages::{Heartbeat, StreamReport, TaskReport, Trouble};
use warehouse::write::source::SourceConnector;

use crate::manager::Manager;
use crate::settings::Settings;
use crate::sql::seams::{
    PipelineControl, PipelineHealth, PipelineProbe, Resume, Runtime, SettingRow, StreamPosition, TaskRow, WorkerRow,
};

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
        let (mut of_tasks, mut of_streams) = (BTreeMap::new(), BTreeMap::new());
        for task in tasks {
            let key = (task.pipeline, task.task);
            of_tasks.insert(key, rate(self.tasks.get(&key), task.records));
            for stream in &task.streams {
                of_streams.insert(stream.stream, rate(self.streams.get(&stream.stream), stream.visible.0));
            }
        }
        (self.tasks, self.streams) = (of_tasks, of_streams);
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

    fn task_row(&self, worker: &Heartbeat, task: &TaskReport) -> TaskRow {
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let uncommitted_offsets = task.streams.iter().map(|stream| stream.visible.0 - stream.committed.0).sum();
        TaskRow {
            pipeline: task.pipeline,
            task: task.task,
            worker: worker.address.clone(),
            state: task.state.to_string(),
            streams: task.streams.len() as u64,
            memtable_bytes: task.memtable_bytes,
            uncommitted_offsets,
            rows_per_second: rates.tasks.get(&(task.pipeline, task.task)).map_or(0.0, |(_, rate)| *rate),
            last_error: task.trouble.as_ref().map(|trouble| trouble.message.clone()),
            next_retry: None,
        }
    }

    fn position(&self, stream: &StreamReport) -> StreamPosition {
        let now_ms = self.world.clock.wall().0 / 1_000;
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        StreamPosition {
            visible: Some(stream.visible),
            high_watermark: stream.high_watermark,
            lag_records: stream.lag_records(),
            lag_seconds: stream.lag_ms(now_ms).map(|lag| lag as f64 / 1_000.0),
            rows_per_second: rates.streams.get(&stream.stream).map(|(_, rate)| *rate),
        }
    }

    async fn set_state(&self, id: PipelineId, state: PipelineState) -> Result<(), String> {
        let told = |error: catalog::CatalogError| error.to_string();
        let pipeline = self.catalog.pipeline_by_id(id).await.map_err(told)?;
        self.catalog.set_pipeline_state(&pipeline.database, &pipeline.name, state).await.map_err(told)?;
        self.manager.wake();
        Ok(())
    }
}

#[async_trait]
impl Runtime for LocalRuntime {
    async fn tasks(&self) -> Vec<TaskRow> {
        let workers = self.manager.heartbeats().await;
        workers.iter().flat_map(|worker| worker.tasks.iter().map(|task| self.task_row(worker, task))).collect()
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
        let reports = workers.iter().flat_map(|worker| &worker.tasks).flat_map(|task| &task.streams);
        reports.map(|stream| (stream.stream, self.position(stream))).collect()
    }

    async fn pipelines(&self) -> BTreeMap<PipelineId, PipelineHealth> {
        let workers = self.manager.heartbeats().await;
        let mut health: BTreeMap<PipelineId, PipelineHealth> = BTreeMap::new();
        for task in workers.iter().flat_map(|worker| &worker.tasks) {
            let of_it = health.entry(task.pipeline).or_default();
            of_it.state = Some(task.state.to_string());
            let worst: Option<&Trouble> = task.trouble.as_ref();
            of_it.last_error = of_it.last_error.take().or(worst.map(|trouble| trouble.message.clone()));
        }
        for id in self.manager.pipelines() {
            let of_it = health.entry(id).or_default();
            of_it.last_error = of_it.last_error.take().or(self.manager.trouble(id));
        }
        health
    }

    fn settings(&self) -> Vec<SettingRow> {
        self.settings.clone()
    }
}

#[async_trait]
impl PipelineControl for LocalRuntime {
    async fn pause(&self, pipeline: PipelineId) -> Result<(), String> {
        self.set_state(pipeline, PipelineState::Paused).await?;
        self.manager.stopped(pipeline).await
    }

    async fn resume(&self, pipeline: PipelineId, how: Resume) -> Result<(), String> {
        let told = |error: catalog::CatalogError| error.to_string();
        let record = self.catalog.pipeline_by_id(pipeline).await.map_err(told)?;
        // A task that is still ending would report the trouble that paused it once more.
        self.manager.stopped(pipeline).await?;
        self.catalog.resume_pipeline(&record.database, &record.name, how.gaps, how.errors).await.map_err(told)?;
        self.manager.wake();
        Ok(())
    }

    async fn remove(&self, pipeline: PipelineId) -> Result<(), String> {
        self.pause(pipeline).await?;
        let told = |error: catalog::CatalogError| error.to_string();
        let record = self.catalog.pipeline_by_id(pipeline).await.map_err(told)?;
        self.catalog.drop_pipeline(&record.database, &record.name, true).await.map_err(told)
    }
}

#[async_trait]
impl PipelineProbe for LocalRuntime {
    async fn check(&self, source: &KafkaSource) -> Result<(), String> {
        self.connector.topic(source).await.map(|_| ()).map_err(|error| error.to_string())
    }
}
