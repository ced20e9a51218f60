//! A table, a pipeline into it, streams that are granted, and flushes of them that add up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use millrace_catalog::store::contract::ManualClock;
use millrace_catalog::store::{FaultyStore, KvStore, MemoryStore, RedbStore};
use millrace_catalog::*;
use vfs::{Inline, SeededRandom, World};

/// One catalog with what the stories need.
pub(crate) struct Shop {
    pub(crate) catalog: Catalog,
    pub(crate) faults: Arc<FaultyStore>,
    pub(crate) world: World,
    pub(crate) table: Arc<Table>,
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) lease: Lease,
    next: AtomicU64,
}

pub(crate) fn world() -> World {
    World { clock: Arc::new(ManualClock::default()), random: Arc::new(SeededRandom::new(3)), compute: Arc::new(Inline) }
}

/// A catalog in memory, and the clock that it goes by.
pub(crate) async fn with_clock() -> (Shop, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    let world = World { clock: clock.clone(), ..world() };
    (Shop::open(Arc::new(MemoryStore::new(clock.clone())), world).await, clock)
}

/// Runs a story over each store.
pub(crate) async fn on_every_store(story: impl AsyncFn(Shop)) {
    let memory = world();
    story(Shop::open(Arc::new(MemoryStore::new(memory.clock.clone())), memory).await).await;
    let folder = tempfile::tempdir().unwrap();
    let redb = world();
    let store = RedbStore::open(&folder.path().join("catalog.redb"), redb.clock.clone()).await.unwrap();
    let store = Arc::new(store);
    story(Shop::open(store.clone(), redb).await).await;
    store.close().await;
}

/// A catalog in memory, for stories about the catalog's own logic.
pub(crate) async fn in_memory() -> Shop {
    let world = world();
    Shop::open(Arc::new(MemoryStore::new(world.clock.clone())), world).await
}

pub(crate) fn column(name: &str, kind: ColumnType) -> NewColumn {
    NewColumn::new(name, kind, true)
}

pub(crate) fn new_table(name: &str) -> NewTable {
    NewTable {
        database: "default".into(),
        name: name.into(),
        columns: vec![column("ts", ColumnType::TIMESTAMP), column("kind", ColumnType::Text { characters_max: None })],
        partition_by: vec![("ts".into(), PartitionTransform::Day)],
        order_by: vec!["kind".into()],
    }
}

pub(crate) fn new_pipeline(name: &str, table: TableId) -> NewPipeline {
    NewPipeline {
        database: "default".into(),
        name: name.into(),
        table,
        source: KafkaSource {
            brokers: "localhost:9092".into(),
            topics: "clicks".into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: Default::default(),
        },
        projection: "*".into(),
        filter: None,
        settings: PipelineSettings::default(),
    }
}

pub(crate) fn range(start: u64, end: u64) -> OffsetRange {
    OffsetRange::new(Offset(start), Offset(end))
}

impl Shop {
    pub(crate) async fn open(store: Arc<dyn KvStore>, world: World) -> Self {
        let faults = Arc::new(FaultyStore::new(store, world.random.clone()));
        let catalog = Catalog::open(faults.clone(), world.clone()).await.unwrap();
        let table = catalog.create_table(new_table("clicks"), false).await.unwrap();
        let pipeline = catalog.create_pipeline(new_pipeline("clicks_in", table.id), false).await.unwrap();
        let request = LeaseRequest { pipeline: pipeline.id, holder: node("n1"), seen: None, duration_ms: 5_000 };
        let LeaseOutcome::Held(lease) = catalog.lease(&request).await.unwrap() else { panic!("nobody else leads") };
        Self { catalog, faults, world, table, pipeline, lease, next: AtomicU64::new(1) }
    }

    /// The same shop in another store, into which its catalog was copied.
    pub(crate) async fn moved(&self, store: Arc<dyn KvStore>) -> Self {
        let faults = Arc::new(FaultyStore::new(store, self.world.random.clone()));
        let catalog = Catalog::open(faults.clone(), self.world.clone()).await.unwrap();
        let (world, lease) = (self.world.clone(), self.lease.clone());
        let (table, pipeline) = (Arc::clone(&self.table), Arc::clone(&self.pipeline));
        Self { catalog, faults, world, table, pipeline, lease, next: AtomicU64::new(self.fresh() + 1_000_000) }
    }

    /// A number that this shop has not given out before.
    pub(crate) fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn identity(&self, partition: i32) -> PartitionIdentity {
        PartitionIdentity {
            pipeline: self.pipeline.id,
            topic: "clicks".into(),
            incarnation: "i1".into(),
            partition,
            generation: 0,
        }
    }

    /// The stream of that partition, begun at 0 and granted for the first time.
    pub(crate) async fn stream(&self, partition: i32) -> Granted {
        let stream = self.catalog.open_stream(self.identity(partition), Offset(0), self.lease.epoch).await.unwrap();
        self.regrant(stream.id, None).await
    }

    /// A grant that must succeed.
    pub(crate) async fn regrant(&self, stream: StreamId, expected: Option<Epoch>) -> Granted {
        match self.catalog.grant(&self.grant_request(stream, expected)).await.unwrap() {
            GrantOutcome::Granted(granted) => granted,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn grant_request(&self, stream: StreamId, expected: Option<Epoch>) -> GrantRequest {
        let owner = Owner {
            epoch: Epoch(0),
            node: node("n1"),
            address: "127.0.0.1:9031".into(),
            task: TaskIndex(0),
            pipeline_fence: Fence(0),
        };
        GrantRequest { stream, expected, manager: self.lease.epoch, owner }
    }

    /// A flush of these offsets of these streams by a task: every offset a row, all in one part, staged; under another part id if
    /// nobody knows whether the first was.
    pub(crate) async fn flush(&self, task: u32, ranges: &[(&Granted, OffsetRange)]) -> CommitRequest {
        loop {
            let request = self.unstaged_flush(task, ranges);
            match self.catalog.stage(&self.intents(&request)).await {
                Err(CatalogError::MaybeCommitted { .. }) => {}
                staged => {
                    staged.unwrap();
                    return request;
                }
            }
        }
    }

    pub(crate) fn unstaged_flush(&self, task: u32, ranges: &[(&Granted, OffsetRange)]) -> CommitRequest {
        let mut request = self.empty_flush(task, ranges);
        for advance in &mut request.streams {
            let ledger = Ledger { rows: advance.range.offsets(), ..Ledger::default() };
            advance.ledger = ledger;
        }
        let covered = |advance: &StreamAdvance| PartStream {
            stream: advance.stream,
            range: advance.range,
            rows: advance.range.offsets(),
        };
        request.parts = vec![self.part(request.streams.iter().map(covered).collect())];
        request
    }

    /// A flush of which every offset was filtered: no part.
    pub(crate) fn empty_flush(&self, task: u32, ranges: &[(&Granted, OffsetRange)]) -> CommitRequest {
        let advance = |&(granted, range): &(&Granted, OffsetRange)| StreamAdvance {
            stream: granted.stream,
            epoch: granted.owner.epoch,
            range,
            ledger: Ledger { filtered: range.offsets(), ..Ledger::default() },
            gaps: Vec::new(),
        };
        let mut streams: Vec<StreamAdvance> = ranges.iter().map(advance).collect();
        streams.sort_by_key(|advance| advance.stream);
        CommitRequest {
            token: CommitToken(u128::from(self.fresh())),
            writer: WriterId::Task(self.pipeline.id, TaskIndex(task)),
            table: self.table.id,
            table_fence: self.table.fence,
            pipeline: Some((self.pipeline.id, self.pipeline.fence)),
            schema: self.table.schema,
            streams,
            parts: Vec::new(),
            labels: Vec::new(),
        }
    }

    pub(crate) fn part(&self, streams: Vec<PartStream>) -> Part {
        let id = PartId(u128::from(self.fresh()));
        Part {
            id,
            table: self.table.id,
            schema: self.table.schema,
            kind: PartKind::Rows,
            path: format!("3f/{}/{id}.parquet", self.table.id),
            bytes: 1_000,
            rows: streams.iter().map(|covered| covered.rows).sum(),
            partition: vec![Scalar::Date(15_706)],
            sort_key: vec![SortKeyRange { min: Scalar::Text("a".into()), max: None }],
            streams,
            checksums: BlockChecksums { block_bytes: 1 << 20, crc32c: vec![1] },
        }
    }

    pub(crate) fn intents(&self, request: &CommitRequest) -> Vec<UploadIntent> {
        request.parts.iter().map(|part| intent(request.writer, part)).collect()
    }

    pub(crate) async fn stage(&self, request: &CommitRequest) {
        self.catalog.stage(&self.intents(request)).await.unwrap();
    }

    pub(crate) async fn commit(&self, request: &CommitRequest) -> CommitOutcome {
        self.catalog.commit(request).await.unwrap()
    }

    /// A commit that must succeed.
    pub(crate) async fn committed(&self, request: &CommitRequest) -> Version {
        match self.commit(request).await {
            CommitOutcome::Committed(version) => version,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn snapshot(&self) -> TableSnapshot {
        self.catalog.snapshot(self.table.id).await.unwrap()
    }

    /// Why there is no snapshot.
    pub(crate) async fn snapshot_error(&self) -> CatalogError {
        self.reopened().await.snapshot(self.table.id).await.unwrap_err()
    }

    /// What of the table can be seen: how far each stream is committed, and how many parts there are.
    pub(crate) async fn seen(&self) -> (Vec<u64>, usize) {
        let snapshot = self.snapshot().await;
        (snapshot.streams.values().map(|view| view.committed.0).collect(), snapshot.parts.len())
    }

    /// The same catalog, opened again: nothing remembered.
    pub(crate) async fn reopened(&self) -> Catalog {
        Catalog::open(self.faults.clone(), self.world.clone()).await.unwrap()
    }
}

pub(crate) fn node(name: &str) -> NodeId {
    NodeId(name.into())
}

pub(crate) fn intent(writer: WriterId, part: &Part) -> UploadIntent {
    UploadIntent { part: part.id, table: part.table, path: part.path.clone(), writer, created: 7 }
}
