//! TRUNCATE, as a process carries it out: the pipelines into the table are held, so that all that is visible is committed and nothing
//! more is taken in; then the catalog empties the table, in one transaction that compares what was found; then the pipelines go on.
//!
//! The hold is this process's own, and ends with it: a pipeline is never left paused. Nothing is risked by a process that dies in
//! between, for either the transaction happened or it did not.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catalog::{
    Catalog, CatalogError, CatalogService, PipelineId, StreamState, TableId, TableSnapshot, TruncateOutcome,
    TruncateRequest,
};
use vfs::World;
use warehouse::read::pin::MemtableReader;
use warehouse::read::session::{Freshness, SessionVector};
use warehouse::read::snapshot::SnapshotTaker;

use crate::manager::{Hold, Manager};
use crate::sql::seams::TableControl;

/// How often is looked again when something came between.
const ATTEMPTS: usize = 50;
/// The pause before that.
const PAUSE: Duration = Duration::from_millis(20);
/// How long owners may take to answer.
const PIN_WAIT: Duration = Duration::from_secs(10);

/// See the module.
pub struct Tables {
    catalog: Catalog,
    manager: Arc<Manager>,
    snapshots: SnapshotTaker,
    world: World,
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

impl Tables {
    /// The tables of this catalog, whose rows in memory `memtables` shows.
    pub fn new(catalog: Catalog, manager: Arc<Manager>, memtables: Arc<dyn MemtableReader>, world: World) -> Arc<Self> {
        let service: Arc<dyn CatalogService> = Arc::new(catalog.clone());
        let snapshots = SnapshotTaker::new(service, memtables, world.clone(), PIN_WAIT);
        Arc::new(Self { catalog, manager, snapshots, world })
    }

    /// The table as it is while no owner has a row of it but committed ones; `None` while one has.
    async fn without_memory(&self, table: TableId) -> Result<Option<TableSnapshot>, String> {
        let pins = self.snapshots.begin();
        let pinned = self.snapshots.pin(table, Freshness::Latest, &SessionVector::new(), &pins).await;
        let pinned = pinned.map_err(|error| error.to_string())?;
        Ok(pinned.memory.is_empty().then_some(pinned.snapshot))
    }

    async fn attempt(&self, table: TableId) -> Result<bool, String> {
        let Some(snapshot) = self.without_memory(table).await? else { return Ok(false) };
        let mut streams = BTreeMap::new();
        for (id, view) in snapshot.streams.iter() {
            if view.stream.state == StreamState::Open
                && !view.stream.is_channel()
                && let Some(owner) = &view.owner
            {
                streams.insert(*id, (owner.epoch, view.committed));
            }
        }
        match self.catalog.truncate_table(&TruncateRequest { table, streams }).await {
            Ok(TruncateOutcome::Truncated(_)) => Ok(true),
            Ok(TruncateOutcome::Moved) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[async_trait]
impl TableControl for Tables {
    async fn truncate(&self, table: TableId) -> Result<(), String> {
        let told = |error: CatalogError| error.to_string();
        let mut held: BTreeMap<PipelineId, Hold> = BTreeMap::new();
        for _ in 0..ATTEMPTS {
            // Each time: one may have been made meanwhile.
            for pipeline in self.catalog.pipelines().await.map_err(told)?.iter().filter(|it| it.table == table) {
                if let Entry::Vacant(free) = held.entry(pipeline.id) {
                    free.insert(self.manager.hold(pipeline.id).await);
                    self.manager.stopped(pipeline.id).await?;
                }
            }
            if self.attempt(table).await? {
                return Ok(());
            }
            self.world.clock.sleep(PAUSE).await;
        }
        Err("the table was not truncated: its pipelines were granted or made anew all the time; try again".to_owned())
    }
}
