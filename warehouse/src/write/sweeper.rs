//! The sweeper: takes uploads that no commit claimed, and objects of dropped tables.
//!
//! The rule (PROTOCOL, "Commit"): it deletes the intent by compare-and-set first, and the file afterwards. A commit that
//! comes later finds its intent missing and is fenced; a commit that came earlier has deleted the intent, and the sweeper
//! finds nothing. Age decides only when it tries, never whether it is right (I7, I10).
//!
//! If the process dies between the two, the file is left without an intent: the claim leaves it on the garbage list in the
//! same transaction, from which it is taken after the file is gone.

use std::sync::Arc;
use std::time::Duration;

use catalog::{Catalog, CatalogError, Garbage};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use vfs::{World, planted};

/// Objects listed at one go.
const GARBAGE_PER_ROUND: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub struct Sweeper {
    /// Where intents and garbage are listed.
    pub catalog: Catalog,
    /// Where the objects are.
    pub objects: Arc<dyn ObjectStore>,
    /// Time.
    pub world: World,
    /// Intents older than this are tried; and objects of dropped tables that were dropped longer ago, so that queries that
    /// began before have ended.
    pub intent_age: Duration,
    /// Labels of INSERTs are forgotten when they are older than this.
    pub label_age: Duration,
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Intents claimed.
    pub intents: u64,
    /// Objects removed.
    pub objects: u64,
}

impl Sweeper {
    /// Sweeps from time to time, until dropped.
    pub async fn run(self) {
        loop {
            match self.sweep().await {
                Ok(Swept { intents: 0, objects: 0 }) => {}
                Ok(swept) => tracing::info!(intents = swept.intents, objects = swept.objects, "swept"),
                Err(error) => tracing::warn!(%error, "the sweeper could not do its work, trying again"),
            }
            self.world.clock.sleep(self.intent_age / 4 + Duration::from_secs(1)).await;
        }
    }

    /// One round. What cannot be deleted does not keep the rest from being.
    ///
    /// # Errors
    /// If the catalog or the store does not answer; what was claimed stays on the garbage list.
    pub async fn sweep(&self) -> Result<Swept, SweepError> {
        self.forget_labels().await?;
        let mut swept = Swept { intents: self.claim().await?, objects: 0 };
        loop {
            let garbage = self.catalog.garbage_records(GARBAGE_PER_ROUND).await?;
            let due = garbage.iter().filter(|garbage| self.is_due(garbage.since));
            let (mut deleted, mut failed) = (0, None);
            for Garbage { path, .. } in due {
                match self.objects.delete(&Path::from(path.as_str())).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {
                        self.catalog.forget_garbage(path).await?;
                        deleted += 1;
                    }
                    Err(error) => {
                        tracing::warn!(path, %error, "an object that nobody needs could not be deleted");
                        failed = Some(error);
                    }
                }
            }
            swept.objects += deleted;
            match failed {
                Some(error) => return Err(error.into()),
                None if deleted == 0 || garbage.len() < GARBAGE_PER_ROUND => return Ok(swept),
                None => {}
            }
        }
    }

    /// Until then the retry of an INSERT is known, whatever else is swept.
    async fn forget_labels(&self) -> Result<(), SweepError> {
        let age = i64::try_from(self.label_age.as_micros()).unwrap_or(i64::MAX);
        let left_before = self.world.clock.wall().0.saturating_sub(age);
        while self.catalog.forget_labels(left_before).await? > 0 {}
        Ok(())
    }

    /// Claims the intents whose time is over; how many it got. One that belongs to a part that was committed is nobody's.
    async fn claim(&self) -> Result<u64, SweepError> {
        let mut claimed = 0;
        for intent in self.catalog.intents().await?.iter().filter(|intent| self.is_due(intent.created)) {
            if planted::is("sweeper-deletes-the-file-first") {
                drop(self.objects.delete(&Path::from(intent.path.as_str())).await);
            }
            // A claim whose outcome is unknown deletes nothing; the next round finds the intent, or the garbage.
            claimed += u64::from(self.catalog.claim_intent(intent).await?);
        }
        Ok(claimed)
    }

    fn is_due(&self, since: i64) -> bool {
        let age = i64::try_from(self.intent_age.as_micros()).unwrap_or(i64::MAX);
        self.world.clock.wall().0.saturating_sub(since) >= age
    }
}

/// Why a round was cut short.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store.
    #[error(transparent)]
    Store(#[from] object_store::Error),
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use catalog::store::MemoryStore;
    use catalog::{
        CatalogService, CommitOutcome, CommitRequest, CommitToken, Epoch, Fenced, GrantOutcome, GrantRequest,
        LeaseOutcome, LeaseRequest, Ledger, NewColumn, NewPipeline, NewTable, NodeId, Offset, OffsetRange, Owner, Part,
        PartId, PartKind, PartStream, PartitionIdentity, Pipeline, StreamAdvance, StreamId, Table, TaskIndex,
        UploadIntent, WriterId,
    };
    use futures::TryStreamExt;
    use object_store::memory::InMemory;
    use vfs::{Fault, FaultyStore, StoreOp};

    use super::*;
    use crate::write::testing::{pipeline, world};

    struct Rig {
        objects: FaultyStore,
        sweeper: Sweeper,
        table: Arc<Table>,
        pipeline: Arc<Pipeline>,
        stream: StreamId,
    }

    impl Rig {
        /// A table with a pipeline that has one stream, granted; intents are swept at any age.
        async fn new() -> Self {
            let world = world();
            let store = Arc::new(MemoryStore::new(Arc::clone(&world.clock)));
            let catalog = Catalog::open(store, world.clone()).await.unwrap();
            let column = NewColumn::new("n", catalog::ColumnType::Boolean, true);
            let (database, name) = ("default".to_owned(), "t".to_owned());
            let new = NewTable { database, name, columns: vec![column], partition_by: vec![], order_by: vec![] };
            let table = catalog.create_table(new, false).await.unwrap();
            let Pipeline { database, name, source, projection, filter, settings, .. } = (*pipeline()).clone();
            let new = NewPipeline { database, name, table: table.id, source, projection, filter, settings };
            let pipeline = catalog.create_pipeline(new, false).await.unwrap();
            let holder = NodeId("m".to_owned());
            let lease = LeaseRequest { pipeline: pipeline.id, holder: holder.clone(), seen: None, duration_ms: 1_000 };
            let LeaseOutcome::Held(lease) = catalog.lease(&lease).await.unwrap() else { panic!("a new lease") };
            let identity = PartitionIdentity {
                pipeline: pipeline.id,
                topic: "t".to_owned(),
                incarnation: String::new(),
                partition: 0,
                generation: 0,
            };
            let stream = catalog.open_stream(identity, Offset(0), lease.epoch).await.unwrap().id;
            let owner = Owner {
                epoch: Epoch(0),
                node: holder,
                address: "m".to_owned(),
                task: TaskIndex(0),
                pipeline_fence: pipeline.fence,
            };
            let grant = GrantRequest { stream, expected: None, manager: lease.epoch, owner };
            assert!(matches!(catalog.grant(&grant).await.unwrap(), GrantOutcome::Granted(_)));
            let objects = FaultyStore::new(Arc::new(InMemory::new()), Arc::clone(&world.clock));
            let sweeper = Sweeper {
                catalog,
                objects: Arc::new(objects.clone()),
                world,
                intent_age: Duration::ZERO,
                label_age: Duration::MAX,
            };
            Self { objects, sweeper, table, pipeline, stream }
        }

        fn writer(&self) -> WriterId {
            WriterId::Task(self.pipeline.id, TaskIndex(0))
        }

        /// A part of one row that is staged and uploaded.
        async fn uploaded(&self, id: u128) -> Part {
            let path = format!("{id:032x}.parquet");
            let created = self.sweeper.world.clock.wall().0;
            let intent = UploadIntent {
                part: PartId(id),
                table: self.table.id,
                path: path.clone(),
                writer: self.writer(),
                created,
            };
            self.sweeper.catalog.stage(&[intent]).await.unwrap();
            self.objects.put(&Path::from(path.as_str()), b"rows".to_vec().into()).await.unwrap();
            let range = OffsetRange::new(Offset(0), Offset(1));
            Part {
                id: PartId(id),
                table: self.table.id,
                schema: self.table.schema,
                kind: PartKind::Rows,
                path,
                bytes: 4,
                rows: 1,
                partition: vec![],
                sort_key: vec![],
                streams: vec![PartStream { stream: self.stream, range, rows: 1 }],
                checksums: catalog::BlockChecksums { block_bytes: 1 << 16, crc32c: vec![0] },
            }
        }

        async fn commit(&self, part: Part) -> CommitOutcome {
            let ledger = Ledger { rows: 1, ..Ledger::default() };
            let range = OffsetRange::new(Offset(0), Offset(1));
            let request = CommitRequest {
                token: CommitToken(9),
                writer: self.writer(),
                table: self.table.id,
                table_fence: self.table.fence,
                pipeline: Some((self.pipeline.id, self.pipeline.fence)),
                schema: self.table.schema,
                streams: vec![StreamAdvance { stream: self.stream, epoch: Epoch(1), range, ledger, gaps: vec![] }],
                parts: vec![part],
                labels: vec![],
            };
            self.sweeper.catalog.commit(&request).await.unwrap()
        }

        async fn objects(&self) -> BTreeSet<String> {
            let found: Vec<_> = self.objects.list(None).try_collect().await.unwrap();
            found.into_iter().map(|object| object.location.to_string()).collect()
        }
    }

    #[tokio::test]
    async fn i7_what_was_committed_stays_and_what_nobody_claimed_goes() {
        let rig = Rig::new().await;
        let (committed, orphan) = (rig.uploaded(1).await, rig.uploaded(2).await);
        assert!(matches!(rig.commit(committed.clone()).await, CommitOutcome::Committed(_)));
        assert_eq!(rig.sweeper.sweep().await.unwrap(), Swept { intents: 1, objects: 1 });
        assert_eq!(rig.objects().await, [committed.path].into());
        assert_eq!(rig.sweeper.sweep().await.unwrap(), Swept::default());
        assert_ne!(rig.objects().await, [orphan.path].into());
    }

    #[tokio::test]
    async fn i7_a_commit_that_comes_after_the_sweeper_is_fenced() {
        let rig = Rig::new().await;
        let part = rig.uploaded(1).await;
        rig.sweeper.sweep().await.unwrap();
        assert_eq!(rig.commit(part).await, CommitOutcome::Fenced(Fenced::Intents(vec![PartId(1)])));
    }

    #[tokio::test]
    async fn a_young_intent_is_left_alone() {
        let mut rig = Rig::new().await;
        rig.sweeper.intent_age = Duration::from_secs(3_600);
        rig.uploaded(1).await;
        assert_eq!(rig.sweeper.sweep().await.unwrap(), Swept::default());
        assert_eq!(rig.objects().await.len(), 1);
    }

    #[tokio::test]
    async fn an_object_that_cannot_be_deleted_keeps_no_other_from_being() {
        let rig = Rig::new().await;
        for id in 1..=5 {
            rig.uploaded(id).await;
        }
        rig.objects.script(StoreOp::Delete, [Fault::ErrorBefore, Fault::Slow(Duration::ZERO), Fault::ErrorAfter]);
        assert!(matches!(rig.sweeper.sweep().await, Err(SweepError::Store(_))));
        assert_eq!(rig.objects().await.len(), 1);
        rig.sweeper.sweep().await.unwrap();
        assert_eq!((rig.objects().await.len(), rig.sweeper.catalog.garbage(10).await.unwrap().len()), (0, 0));
    }

    #[tokio::test]
    async fn a_sweeper_that_dies_after_its_claim_is_followed_by_one_that_deletes() {
        let rig = Rig::new().await;
        rig.uploaded(1).await;
        let intents = rig.sweeper.catalog.intents().await.unwrap();
        assert!(rig.sweeper.catalog.claim_intent(&intents[0]).await.unwrap());
        assert_eq!(rig.sweeper.sweep().await.unwrap(), Swept { intents: 0, objects: 1 });
        assert!(rig.objects().await.is_empty());
    }
}
