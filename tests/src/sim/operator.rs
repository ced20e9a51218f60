//! The simulated operator: pauses and resumes the pipeline as it is wished, and settles incidents with the statement that they
//! name. Does what the SQL front does for these statements.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catalog::{Catalog, CatalogError, ErrorPolicy, GapPolicy, Pipeline, PipelineState};
use server::manager::reconcile::is_stopped;
use vfs::World;
use warehouse::write::messages::WorkerLink;

use super::network::Link;

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

/// Runs until it is killed.
pub async fn run(catalog: Catalog, pipeline: Arc<Pipeline>, link: Arc<Link>, world: World, wish: Wish) {
    loop {
        // A statement that fails is given again.
        let _outcome = look(&catalog, &pipeline, &link, &world, &wish).await;
        world.clock.sleep(LOOK).await;
    }
}

async fn look(
    catalog: &Catalog,
    pipeline: &Pipeline,
    link: &Link,
    world: &World,
    wish: &Wish,
) -> Result<(), CatalogError> {
    let (database, name) = (&pipeline.database, &pipeline.name);
    let state = catalog.pipeline_by_id(pipeline.id).await?.state.clone();
    match (state, wish.runs()) {
        (PipelineState::Running, true) | (PipelineState::Paused, false) => {}
        (PipelineState::Running | PipelineState::PausedByIncident, false) => {
            catalog.set_pipeline_state(database, name, PipelineState::Paused).await?;
        }
        (PipelineState::Paused, true) => {
            until_stopped(pipeline, link, world).await;
            catalog.resume_pipeline(database, name, None, None).await?;
        }
        (PipelineState::PausedByIncident, true) => {
            until_stopped(pipeline, link, world).await;
            catalog.resume_pipeline(database, name, Some(GapPolicy::Skip), Some(ErrorPolicy::Table)).await?;
        }
    }
    Ok(())
}

/// Returns when no task of the pipeline is reported any more, or patience ends.
async fn until_stopped(pipeline: &Pipeline, link: &Link, world: &World) {
    let began = world.clock.now();
    while world.clock.now().since(began) < STOP_WAIT {
        let mut heartbeats = Vec::new();
        for address in link.addresses() {
            heartbeats.extend(link.heartbeat(&address).await);
        }
        if is_stopped(pipeline.id, &heartbeats) {
            return;
        }
        world.clock.sleep(Duration::from_millis(40)).await;
    }
}
