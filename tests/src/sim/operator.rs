//! The simulated operator: pauses and resumes the pipeline as it is wished, settles incidents with the statement that they name, and
//! gives SEEKs and ALTERs, each once. Does what the SQL front does for these statements.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{
    Catalog, CatalogError, ChangeKind, ErrorPolicy, GapPolicy, Offset, Pipeline, PipelineChange, PipelineDefinition,
    PipelineState, StreamId,
};
use server::manager::reconcile::is_stopped;
use server::manager::seek::{SeekTo, resolve};
use vfs::World;
use warehouse::write::messages::{Heartbeat, WorkerLink};
use warehouse::write::source::SourceConnector;

use super::network::Link;
use super::rows::Mark;

/// How often the operator looks.
const LOOK: Duration = Duration::from_millis(250);
/// How long a statement waits for the tasks that still end.
const STOP_WAIT: Duration = Duration::from_secs(3);

/// Whether the pipeline is to run. Clones are the same.
#[derive(Clone, Debug)]
pub struct Wish(Arc<AtomicBool>);

impl Default for Wish {
    fn default() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Wish {
    /// Wishes that it runs, or not.
    pub fn set(&self, runs: bool) {
        self.0.store(runs, Ordering::Relaxed);
    }

    /// Whether it is to run.
    pub fn runs(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A statement about the pipeline that is to be given once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// ALTER PIPELINE … SEEK.
    Seek(SeekTo),
    /// ALTER PIPELINE: so many tasks, flushes of that age, and rows that tell it by this mark.
    Alter(u32, u64, Mark),
}

/// Statements that are to be given. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Statements(Arc<Mutex<VecDeque<Statement>>>);

impl Statements {
    /// Adds one.
    pub fn add(&self, statement: Statement) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(statement);
    }

    fn take(&self) -> Option<Statement> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The operator.
#[derive(Debug)]
pub struct Operator {
    /// Its catalog.
    pub catalog: Catalog,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Its way to the workers.
    pub link: Arc<Link>,
    /// Its way to the broker.
    pub connector: Arc<dyn SourceConnector>,
    /// Its world.
    pub world: World,
    /// Whether the pipeline is to run.
    pub wish: Wish,
    /// What else it is to do.
    pub statements: Statements,
}

impl Operator {
    /// Runs until it is killed.
    pub async fn run(self) {
        loop {
            // A statement that fails is given again, but for those that are given once.
            let _outcome = self.look().await;
            self.world.clock.sleep(LOOK).await;
        }
    }

    async fn look(&self) -> Result<(), CatalogError> {
        let Self { catalog, pipeline, wish, .. } = self;
        let (database, name) = (&pipeline.database, &pipeline.name);
        let now = catalog.pipeline_by_id(pipeline.id).await?;
        let change = catalog.change(pipeline.id).await?.filter(PipelineChange::is_under_way);
        match (&now.state, wish.runs(), change.map(|change| change.kind)) {
            (PipelineState::Running, true, None) => {
                if let Some(statement) = self.statements.take() {
                    self.give(&now, statement).await?;
                }
            }
            // A RESUME takes it back.
            (PipelineState::Running, true, Some(ChangeKind::Pause)) => {
                catalog.resume_pipeline(database, name, None, None).await?;
            }
            (PipelineState::Running, false, None) => {
                catalog.begin_change(pipeline.id, ChangeKind::Pause).await?;
            }
            (PipelineState::Running, _, Some(_)) | (PipelineState::Paused, false, _) => {}
            (PipelineState::PausedByIncident, false, _) => {
                catalog.set_pipeline_state(database, name, PipelineState::Paused).await?;
            }
            (PipelineState::Paused, true, _) => {
                self.until_stopped().await;
                catalog.resume_pipeline(database, name, None, None).await?;
            }
            (PipelineState::PausedByIncident, true, _) => {
                self.until_stopped().await;
                catalog.resume_pipeline(database, name, Some(GapPolicy::Skip), Some(ErrorPolicy::Table)).await?;
            }
        }
        Ok(())
    }

    async fn give(&self, now: &Pipeline, statement: Statement) -> Result<(), CatalogError> {
        let kind = match statement {
            Statement::Seek(to) => {
                let heartbeats = self.heartbeats().await;
                let reports = heartbeats.iter().flat_map(|worker| &worker.tasks).flat_map(|task| &task.streams);
                let visible: BTreeMap<StreamId, Offset> =
                    reports.map(|report| (report.stream, report.visible)).collect();
                // One that cannot be is refused with a sentence.
                let Ok(found) = resolve(&self.catalog, &*self.connector, now, &to, &visible).await else {
                    return Ok(());
                };
                ChangeKind::Seek(found.into_iter().map(|(_, target)| target).collect())
            }
            Statement::Alter(tasks, flush_interval_ms, mark) => {
                let mut altered = PipelineDefinition { projection: mark.projection(), ..PipelineDefinition::of(now) };
                (altered.settings.tasks, altered.settings.flush_interval_ms) = (tasks, flush_interval_ms);
                ChangeKind::Alter(Box::new(altered))
            }
        };
        self.catalog.begin_change(now.id, kind).await.map(drop)
    }

    async fn heartbeats(&self) -> Vec<Heartbeat> {
        let mut heartbeats = Vec::new();
        for address in self.link.addresses() {
            heartbeats.extend(self.link.heartbeat(&address).await);
        }
        heartbeats
    }

    /// Returns when no task of the pipeline is reported any more, or patience ends.
    async fn until_stopped(&self) {
        let began = self.world.clock.now();
        while self.world.clock.now().since(began) < STOP_WAIT {
            if is_stopped(self.pipeline.id, &self.heartbeats().await) {
                return;
            }
            self.world.clock.sleep(Duration::from_millis(40)).await;
        }
    }
}
