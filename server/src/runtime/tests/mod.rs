//! A whole process without its ports: manager, worker and control over a scripted broker, in virtual time; and what outlives its death.

mod care;
mod change;
mod incidents;
mod seek;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use catalog::store::{FaultyStore, KvStore, MemoryStore};
use catalog::{
    Catalog, CatalogService, ColumnType, IntegerWidth, KafkaSource, NewColumn, NewPipeline, NewTable, NodeId, Offset,
    PartKind, Pipeline, PipelineSettings, RecordFormat, StartPosition, StreamId, StreamState, Topics,
};
use object_store::memory::InMemory;
use vfs::{Clock, Inline, MemoryDisk, SeededRandom, SystemClock, VirtualClock, World};
use wal::WalSettings;
use warehouse::care::verify::{Depth, Verifier};
use warehouse::memory::{MemoryBudget, MemoryLimits};
use warehouse::read::whole_part as part;
use warehouse::write::local::LocalWorkers;
use warehouse::write::source::{MemoryBroker, MemoryConnector, MemoryRecord};
use warehouse::write::worker::{Worker, WorkerParts, WorkerSettings};

use super::LocalRuntime;
use crate::manager::Manager;
use crate::manager::pipeline::ManagerParts;
use crate::settings::Settings;

const TOPIC: &str = "events";
/// The virtual time after which a test has waited long enough.
const PATIENCE: Duration = Duration::from_secs(300);

/// As much as what is no query needs here.
fn memory() -> Arc<MemoryBudget> {
    MemoryBudget::shared(MemoryLimits::of_queries(1 << 30))
}

/// What outlives a process.
struct Stage {
    broker: MemoryBroker,
    /// What the pipeline reads.
    topics: Topics,
    store: Arc<FaultyStore>,
    objects: Arc<InMemory>,
}

impl Stage {
    fn new(partitions: i32) -> Self {
        let broker = MemoryBroker::new();
        broker.create_topic(TOPIC, partitions);
        let kv: Arc<dyn KvStore> = Arc::new(MemoryStore::new(Arc::new(SystemClock::new())));
        let store = Arc::new(FaultyStore::new(kv, Arc::new(SeededRandom::new(2))));
        Self { broker, topics: TOPIC.into(), store, objects: Arc::new(InMemory::new()) }
    }

    fn produce(&self, partition: i32, seqs: std::ops::Range<i64>) {
        for seq in seqs {
            self.produce_text(partition, &format!(r#"{{"seq": {seq}}}"#));
        }
    }

    fn produce_text(&self, partition: i32, text: &str) {
        let record = MemoryRecord { timestamp_ms: Some(1_700_000_000_000), ..MemoryRecord::of(text) };
        self.broker.produce(TOPIC, partition, record);
    }

    /// One life of a process named `node`, with its log on `disk`: all that it started dies with it.
    fn live<T>(&self, node: &str, disk: &MemoryDisk, run: impl AsyncFnOnce(Process<'_>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { run(Process::begin(self, node, disk).await).await })
    }
}

struct Process<'a> {
    stage: &'a Stage,
    world: World,
    catalog: Catalog,
    control: Arc<LocalRuntime>,
    pipeline: Arc<Pipeline>,
}

impl<'a> Process<'a> {
    async fn begin(stage: &'a Stage, node: &str, disk: &MemoryDisk) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let world = World { clock: Arc::clone(&clock), random: Arc::new(vfs::OsRandom), compute: Arc::new(Inline) };
        let catalog = Catalog::open(Arc::clone(&stage.store) as _, world.clone()).await.unwrap();
        let pipeline = pipeline(&catalog, &stage.topics).await;
        let connector = Arc::new(MemoryConnector::new(stage.broker.clone(), clock));
        let parts = WorkerParts {
            world: world.clone(),
            catalog: Arc::new(catalog.clone()),
            objects: Arc::clone(&stage.objects) as _,
            connector: Arc::clone(&connector) as _,
            budget: MemoryBudget::new(1 << 30),
            wal_disk: Arc::new(disk.clone()),
        };
        let settings = WorkerSettings {
            node: NodeId(node.to_owned()),
            address: node.to_owned(),
            wal: WalSettings { segment_bytes: 32 << 10, queue_bytes: 1 << 20, disk_reserve_bytes: 0 },
            wal_bytes_max: 64 << 20,
            source_queue_bytes: 1 << 20,
            batch_bytes: 2 << 10,
        };
        let workers = LocalWorkers::new();
        workers.add(node, Worker::open(parts, settings).await.unwrap());
        let manager = Manager::new(ManagerParts {
            catalog: catalog.clone(),
            workers,
            connector: Arc::clone(&connector) as _,
            world: world.clone(),
            node: NodeId("server".to_owned()),
        });
        tokio::spawn(Arc::clone(&manager).run());
        let settings = Settings::default();
        let control = LocalRuntime::new(manager, catalog.clone(), connector, world.clone(), &settings);
        Self { stage, world, catalog, control, pipeline }
    }

    async fn pass(&self, time: Duration) {
        self.world.clock.sleep(time).await;
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let begin = self.world.clock.now();
        while !condition().await {
            let waited = self.world.clock.now().since(begin);
            assert!(waited < PATIENCE, "waited in vain for {what}");
            self.pass(Duration::from_millis(5)).await;
        }
    }

    /// How far each partition is shown by its open stream.
    async fn visible(&self) -> BTreeMap<i32, u64> {
        let streams = self.catalog.streams(self.pipeline.id).await.unwrap();
        let shown = self.control.visible().await;
        let open = streams.iter().filter(|view| view.stream.state == StreamState::Open);
        let visible = |id: StreamId, committed: Offset| shown.get(&id).copied().unwrap_or(committed).max(committed).0;
        open.map(|view| (view.stream.partition().partition, visible(view.stream.id, view.committed))).collect()
    }

    async fn until_visible(&self, ends: &[(i32, u64)]) {
        let ends: BTreeMap<i32, u64> = ends.iter().copied().collect();
        self.until(&format!("{ends:?} to be visible"), async || self.visible().await == ends).await;
    }

    async fn until_committed(&self, ends: &[(i32, u64)]) {
        let ends: BTreeMap<i32, u64> = ends.iter().copied().collect();
        let committed = async || -> BTreeMap<i32, u64> {
            let streams = self.catalog.streams(self.pipeline.id).await.unwrap();
            let open = streams.iter().filter(|view| view.stream.state == StreamState::Open);
            open.map(|view| (view.stream.partition().partition, view.committed.0)).collect()
        };
        self.until(&format!("{ends:?} to be committed"), async || committed().await == ends).await;
    }

    /// Every committed row: stream, offset and kind.
    async fn rows(&self) -> BTreeMap<(StreamId, u64), String> {
        let snapshot = self.catalog.snapshot(self.pipeline.table).await.unwrap();
        let mut rows = BTreeMap::new();
        for of in snapshot.parts.iter().filter(|part| part.kind == PartKind::Rows) {
            let bytes = part::fetch(&*self.stage.objects, of).await.unwrap();
            for batch in part::rows(of, bytes, None).unwrap() {
                let numbers = |name| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values();
                let kinds = batch.column_by_name("kind").unwrap().as_string::<i32>();
                for (row, (stream, offset)) in numbers("_stream").iter().zip(numbers("_offset")).enumerate() {
                    let key = (StreamId(*stream as u64), *offset as u64);
                    assert_eq!(rows.insert(key, kinds.value(row).to_owned()), None, "I1: {key:?} is there twice");
                }
            }
        }
        rows
    }

    /// I1: the whole table is proved, from its log and from its files.
    async fn verify(&self) {
        let (catalog, objects) = (self.catalog.clone(), Arc::clone(&self.stage.objects) as _);
        let verifier = Verifier { catalog, objects, world: self.world.clone(), memory: memory() };
        let verdicts = verifier.verify(self.pipeline.table, Depth::Full, &|_| {}).await.unwrap();
        let damaged: Vec<_> = verdicts.iter().filter(|verdict| !verdict.faults.is_empty()).collect();
        assert!(damaged.is_empty(), "{damaged:?}");
    }
}

async fn pipeline(catalog: &Catalog, topics: &Topics) -> Arc<Pipeline> {
    let bigint = ColumnType::Integer { width: IntegerWidth::Big, unsigned: false };
    let table = NewTable {
        database: "default".to_owned(),
        name: "events".to_owned(),
        columns: vec![
            NewColumn::new("seq", bigint, false),
            NewColumn::new("kind", ColumnType::Text { characters_max: None }, true),
        ],
        partition_by: Vec::new(),
        order_by: vec!["seq".to_owned()],
    };
    let table = catalog.create_table(table, true).await.unwrap();
    let source = KafkaSource {
        brokers: "script".to_owned(),
        topics: topics.clone(),
        format: RecordFormat::Json,
        start: StartPosition::Earliest,
        properties: BTreeMap::new(),
    };
    let new = NewPipeline {
        database: "default".to_owned(),
        name: "events_in".to_owned(),
        table: table.id,
        source,
        projection: "seq, 'one' AS kind".to_owned(),
        filter: None,
        settings: PipelineSettings { flush_interval_ms: 3_600_000, ..PipelineSettings::default() },
    };
    catalog.create_pipeline(new, true).await.unwrap()
}
