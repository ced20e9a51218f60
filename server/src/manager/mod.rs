//! The manager: decides which tasks run where, and never touches data. Every server runs one; the catalog's lease on each
//! pipeline decides which server leads it.
//!
//! [`lease`], [`placement`], [`reconcile`] and [`change`] are pure decisions; [`pipeline`] is the shell that carries them out.

pub mod change;
pub mod lease;
pub mod pipeline;
pub mod placement;
pub mod reconcile;
pub mod seek;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::{CatalogError, ChangeState, CutOver, PipelineChange, PipelineId};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use warehouse::write::messages::Heartbeat;

use pipeline::{ManagerParts, ManagerStatus, PipelineManager};
use reconcile::is_stopped;

/// How often the set of pipelines is looked at when nothing wakes the manager.
const LOOK: Duration = Duration::from_secs(1);
/// How long a statement waits for a pipeline to stop.
const STOP_WAIT: Duration = Duration::from_secs(60);

struct Managed {
    status: Arc<ManagerStatus>,
    wake: Arc<Notify>,
    task: JoinHandle<()>,
}

/// While it lives, no task of its pipeline runs by this server's will. It dies with its process, so no pipeline stays held.
#[derive(Debug)]
pub struct Hold {
    status: Arc<ManagerStatus>,
    wake: Arc<Notify>,
}

impl Hold {
    fn new(status: Arc<ManagerStatus>, wake: Arc<Notify>) -> Self {
        status.hold();
        wake.notify_one();
        Self { status, wake }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.status.let_go();
        self.wake.notify_one();
    }
}

/// The managers of all pipelines that this server may lead.
pub struct Manager {
    parts: ManagerParts,
    managed: Mutex<BTreeMap<PipelineId, Managed>>,
    wake: Notify,
    stop: CancellationToken,
}

impl Manager {
    /// A manager of no pipeline yet.
    pub fn new(parts: ManagerParts) -> Arc<Self> {
        let (managed, wake, stop) = (Mutex::default(), Notify::new(), CancellationToken::new());
        Arc::new(Self { parts, managed, wake, stop })
    }

    fn managed(&self) -> MutexGuard<'_, BTreeMap<PipelineId, Managed>> {
        self.managed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts and ends the manager of each pipeline as pipelines come and go. Runs until stopped.
    pub async fn run(self: Arc<Self>) {
        loop {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "cannot read the pipelines, trying again");
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                () = self.wake.notified() => {}
                () = self.parts.world.clock.sleep(LOOK) => {}
            }
        }
        let managed = std::mem::take(&mut *self.managed());
        for (_, managed) in managed {
            // It ends by the same token; its outcome is nothing that anybody waits for.
            drop(managed.task.await);
        }
    }

    async fn look(&self) -> Result<(), CatalogError> {
        let pipelines = self.parts.catalog.pipelines().await?;
        let mut managed = self.managed();
        managed.retain(|_, managed| !managed.task.is_finished());
        for pipeline in pipelines {
            managed.entry(pipeline.id).or_insert_with(|| self.begin(pipeline.id));
        }
        Ok(())
    }

    /// Holds a pipeline: until what is returned is dropped, this server's manager of it lets none of its tasks run, though its record
    /// says that it is meant to. Returns once every look that did not know of it has ended.
    pub async fn hold(&self, pipeline: PipelineId) -> Hold {
        let (status, wake) = {
            let mut managed = self.managed();
            let managed = managed.entry(pipeline).or_insert_with(|| self.begin(pipeline));
            (Arc::clone(&managed.status), Arc::clone(&managed.wake))
        };
        let hold = Hold::new(status, wake);
        hold.status.between_looks().await;
        hold
    }

    fn begin(&self, pipeline: PipelineId) -> Managed {
        let (status, wake) = (Arc::new(ManagerStatus::default()), Arc::new(Notify::new()));
        let (parts, stop) = (self.parts.clone(), self.stop.child_token());
        let one = PipelineManager::new(parts, pipeline, Arc::clone(&status), Arc::clone(&wake), stop);
        Managed { status, wake, task: tokio::spawn(one.run()) }
    }

    /// Looks at once: a statement has changed something.
    pub fn wake(&self) {
        self.wake.notify_one();
        for managed in self.managed().values() {
            managed.wake.notify_one();
        }
    }

    /// What the manager of a pipeline has trouble with.
    pub fn trouble(&self, pipeline: PipelineId) -> Option<String> {
        self.managed().get(&pipeline).and_then(|managed| managed.status.trouble())
    }

    /// The pipelines that have a manager here.
    pub fn pipelines(&self) -> Vec<PipelineId> {
        self.managed().keys().copied().collect()
    }

    /// The workers that answer.
    pub async fn heartbeats(&self) -> Vec<Heartbeat> {
        let mut heartbeats = Vec::new();
        for address in self.parts.workers.addresses() {
            heartbeats.extend(self.parts.workers.heartbeat(&address).await);
        }
        heartbeats
    }

    /// When the manager of a pipeline tries again what gave it trouble, in microseconds since 1970.
    pub fn retry(&self, pipeline: PipelineId) -> Option<i64> {
        self.managed().get(&pipeline).and_then(|managed| managed.status.retry())
    }

    /// What the change of a pipeline that is under way waits for.
    pub fn waiting(&self, pipeline: PipelineId) -> Option<String> {
        self.managed().get(&pipeline).and_then(|managed| managed.status.waiting())
    }

    /// Returns once a change has happened, with where it cut each stream.
    ///
    /// # Errors
    /// If that takes longer than a minute: the message says what it waits for; it goes on. If it was given up.
    pub async fn changed(&self, pipeline: PipelineId, change: &PipelineChange) -> Result<Vec<CutOver>, String> {
        let clock = &self.parts.world.clock;
        let until = clock.now().after(STOP_WAIT);
        let word = change.kind.word();
        loop {
            let found = self.parts.catalog.change(pipeline).await.map_err(|error| error.to_string())?;
            match found.filter(|found| found.id == change.id).map(|found| found.state) {
                Some(ChangeState::UnderWay) => {}
                Some(ChangeState::Done { cuts, .. }) => return Ok(cuts),
                Some(ChangeState::GivenUp) => {
                    return Err(format!("the {word} was given up by RESUME PIPELINE; nothing has changed"));
                }
                None => {
                    return Err(format!(
                        "the pipeline was changed again, or dropped, before this {word} was answered: SHOW CREATE PIPELINE shows \
                         what it is now"
                    ));
                }
            }
            if clock.now() >= until {
                let told = [self.waiting(pipeline), self.trouble(pipeline)].into_iter().flatten().collect::<Vec<_>>();
                let elsewhere = || vec!["another server leads the pipeline, and has it in hand".to_owned()];
                return Err(format!(
                    "the {word} is still under way after {} s, and goes on; it waits for this: {}. RESUME PIPELINE gives it up",
                    STOP_WAIT.as_secs(),
                    if told.is_empty() { elsewhere() } else { told }.join("; ")
                ));
            }
            self.wake();
            clock.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Returns once no task of the pipeline runs any more: all that was visible of it is committed.
    ///
    /// # Errors
    /// If that takes longer than a minute: the message says what the tasks wait for.
    pub async fn stopped(&self, pipeline: PipelineId) -> Result<(), String> {
        let clock = &self.parts.world.clock;
        let until = clock.now().after(STOP_WAIT);
        loop {
            let heartbeats = self.heartbeats().await;
            if is_stopped(pipeline, &heartbeats) {
                return Ok(());
            }
            if clock.now() >= until {
                let tasks = heartbeats.iter().flat_map(|heartbeat| &heartbeat.tasks);
                let trouble = tasks.filter(|task| task.pipeline == pipeline).find_map(|task| task.trouble.clone());
                let waits = trouble.map_or("its last commit".to_owned(), |trouble| trouble.message);
                return Err(format!(
                    "the pipeline is still stopping after {} s, and goes on stopping; it waits for: {waits}",
                    STOP_WAIT.as_secs()
                ));
            }
            self.wake();
            clock.sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends all managers. Tasks go on.
    pub fn stop(&self) {
        self.stop.cancel();
    }
}
