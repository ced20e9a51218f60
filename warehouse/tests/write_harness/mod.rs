//! A world for the write path: a scripted broker, a disk, a catalog store and an object store that outlive a process, and
//! processes that live in them and die. Time is virtual, so that nothing is waited for in earnest.

#![allow(dead_code, reason = "each test file uses its part")]

mod seen;
mod table;

use std::sync::Arc;
use std::time::Duration;

use catalog::store::{FaultyStore as FaultyCatalogStore, KvStore, MemoryStore};
use catalog::{
    Catalog, Epoch, GrantOutcome, GrantRequest, LeaseOutcome, LeaseRequest, NodeId, Offset, Owner, PartitionIdentity,
    Pipeline, StreamId, Table, TaskIndex,
};
use millrace_warehouse::memory::MemoryBudget;
use millrace_warehouse::write::messages::{OwnedStream, StreamCondition, StreamReport, TaskReport, WorkerCommand};
use millrace_warehouse::write::source::{MemoryBroker, MemoryConnector, MemoryRecord, SourceConnector};
use millrace_warehouse::write::worker::{Worker, WorkerParts, WorkerSettings};
use object_store::memory::InMemory;
use vfs::{Clock, FaultyStore, Inline, MemoryDisk, SeededRandom, SystemClock, VirtualClock, World};
use wal::WalSettings;

pub(crate) use table::Setup;

pub(crate) const TOPIC: &str = "events";
/// The virtual time after which a test has waited long enough.
const PATIENCE: Duration = Duration::from_secs(300);

/// What outlives a process.
#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) broker: MemoryBroker,
    pub(crate) store: Arc<FaultyCatalogStore>,
    pub(crate) parts: Arc<InMemory>,
    setup: Setup,
}

impl Outside {
    /// A broker with an empty topic of `partitions`, and a table and a pipeline as `setup` says.
    pub(crate) fn new(partitions: i32, setup: Setup) -> Self {
        let broker = MemoryBroker::new();
        broker.create_topic(TOPIC, partitions);
        let kv: Arc<dyn KvStore> = Arc::new(MemoryStore::new(Arc::new(SystemClock::new())));
        let store = Arc::new(FaultyCatalogStore::new(kv, Arc::new(SeededRandom::new(2))));
        Self { broker, store, parts: Arc::new(InMemory::new()), setup }
    }

    /// Produces records `{"seq": from…}` to one partition.
    pub(crate) fn produce(&self, partition: i32, seqs: std::ops::Range<i64>) {
        for seq in seqs {
            self.produce_text(partition, &format!(r#"{{"seq": {seq}, "kind": "kind-{}"}}"#, seq % 3));
        }
    }

    pub(crate) fn produce_text(&self, partition: i32, text: &str) {
        let record = MemoryRecord { timestamp_ms: Some(1_700_000_000_000), ..MemoryRecord::of(text) };
        self.broker.produce(TOPIC, partition, record);
    }

    /// One life of a process: `run` in a runtime of its own, with which everything that it started dies.
    pub(crate) fn live<T>(&self, run: impl AsyncFnOnce(Life<'_>) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { run(Life::begin(self).await).await })
    }
}

/// A process, and the manager's part in it.
pub(crate) struct Life<'a> {
    pub(crate) outside: &'a Outside,
    pub(crate) world: World,
    pub(crate) catalog: Catalog,
    pub(crate) objects: FaultyStore,
    pub(crate) table: Arc<Table>,
    pub(crate) pipeline: Arc<Pipeline>,
    connector: MemoryConnector,
    manager: Epoch,
}

impl<'a> Life<'a> {
    async fn begin(outside: &'a Outside) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(VirtualClock::new());
        let world = World { clock: Arc::clone(&clock), random: Arc::new(vfs::OsRandom), compute: Arc::new(Inline) };
        let catalog = Catalog::open(Arc::clone(&outside.store) as _, world.clone()).await.unwrap();
        let (table, pipeline) = outside.setup.make(&catalog).await;
        let seen = catalog.read_lease(pipeline.id).await.unwrap();
        let request =
            LeaseRequest { pipeline: pipeline.id, holder: NodeId("manager".to_owned()), seen, duration_ms: 10_000 };
        let LeaseOutcome::Held(lease) = catalog.lease(&request).await.unwrap() else { panic!("nobody else leads") };
        let connector = MemoryConnector::new(outside.broker.clone(), Arc::clone(&clock));
        let objects = FaultyStore::new(Arc::clone(&outside.parts) as _, clock);
        Self { outside, world, catalog, objects, table, pipeline, connector, manager: lease.epoch }
    }

    /// A worker with its log on `disk`.
    pub(crate) async fn worker(&self, node: &str, disk: &MemoryDisk) -> Arc<Worker> {
        self.worker_with(node, disk, MemoryBudget::new(1 << 30), |_| {}).await
    }

    pub(crate) async fn worker_with(
        &self,
        node: &str,
        disk: &MemoryDisk,
        budget: Arc<MemoryBudget>,
        change: impl FnOnce(&mut WorkerSettings),
    ) -> Arc<Worker> {
        let parts = WorkerParts {
            world: self.world.clone(),
            catalog: Arc::new(self.catalog.clone()),
            objects: Arc::new(self.objects.clone()),
            connector: Arc::new(self.connector.clone()),
            budget,
            wal_disk: Arc::new(disk.clone()),
        };
        let mut settings = WorkerSettings {
            node: NodeId(node.to_owned()),
            address: node.to_owned(),
            wal: WalSettings { segment_bytes: 32 << 10, queue_bytes: 1 << 20, disk_reserve_bytes: 0 },
            wal_bytes_max: 64 << 20,
            source_queue_bytes: 1 << 20,
            batch_bytes: 2 << 10,
        };
        change(&mut settings);
        Worker::open(parts, settings).await.unwrap()
    }

    /// The stream of a partition; opened at offset 0 if there is none.
    pub(crate) async fn stream(&self, partition: i32) -> StreamId {
        let view = self.connector.topic(&self.pipeline.source).await.unwrap();
        let identity = PartitionIdentity {
            pipeline: self.pipeline.id,
            topic: TOPIC.to_owned(),
            incarnation: view.incarnation,
            partition,
            generation: 0,
        };
        self.catalog.open_stream(identity, Offset(0), self.manager).await.unwrap().id
    }

    /// Grants the streams of these partitions to a worker's task, and tells nobody.
    pub(crate) async fn grant(&self, node: &str, task: u32, partitions: &[i32]) -> Vec<OwnedStream> {
        let mut owned = Vec::new();
        for partition in partitions {
            let stream = self.stream(*partition).await;
            let views = self.catalog.streams(self.pipeline.id).await.unwrap();
            let view = views.iter().find(|view| view.stream.id == stream).unwrap();
            let expected = view.owner.as_ref().map(|owner| owner.epoch);
            let owner = Owner {
                epoch: Epoch(0),
                node: NodeId(node.to_owned()),
                address: node.to_owned(),
                task: TaskIndex(task),
                pipeline_fence: self.pipeline.fence,
            };
            let request = GrantRequest { stream, expected, manager: self.manager, owner };
            let GrantOutcome::Granted(granted) = self.catalog.grant(&request).await.unwrap() else { panic!("refused") };
            owned.push(OwnedStream { stream: Arc::clone(&view.stream), granted });
        }
        owned
    }

    /// The command that makes this process of a worker hold granted streams.
    pub(crate) fn own(&self, worker: &Worker, task: u32, streams: Vec<OwnedStream>) -> WorkerCommand {
        let (pipeline, table) = (Arc::clone(&self.pipeline), Arc::clone(&self.table));
        WorkerCommand::Own { life: worker.heartbeat().life, pipeline, table, task: TaskIndex(task), streams }
    }

    /// Grants, and tells the worker.
    pub(crate) async fn give(&self, worker: &Worker, node: &str, task: u32, partitions: &[i32]) {
        let streams = self.grant(node, task, partitions).await;
        worker.command(self.own(worker, task, streams)).await.unwrap();
    }

    pub(crate) async fn release(&self, worker: &Worker, partition: i32) {
        let streams = vec![self.stream(partition).await];
        worker.command(WorkerCommand::Release { pipeline: self.pipeline.id, streams }).await.unwrap();
    }

    pub(crate) async fn stop(&self, worker: &Worker) {
        worker.command(WorkerCommand::Stop { pipeline: self.pipeline.id }).await.unwrap();
    }

    /// Gives again what the worker does not hold, as a manager does.
    pub(crate) async fn give_missing(&self, worker: &Worker, node: &str, task: u32, partitions: &[i32]) {
        let mut missing = Vec::new();
        for partition in partitions {
            let id = self.stream(*partition).await;
            let reports: Vec<StreamReport> =
                worker.heartbeat().tasks.into_iter().flat_map(|task| task.streams).collect();
            let held = |report: &StreamReport| report.stream == id && report.condition == StreamCondition::Owned;
            if !reports.iter().any(held) {
                missing.push(*partition);
            }
        }
        if !missing.is_empty() {
            let streams = self.grant(node, task, &missing).await;
            // A worker without a log refuses, and is asked again.
            let _refused = worker.command(self.own(worker, task, streams)).await;
        }
    }

    /// The offset up to which a partition is committed.
    pub(crate) async fn committed(&self, partition: i32) -> u64 {
        let stream = self.stream(partition).await;
        let views = self.catalog.streams(self.pipeline.id).await.unwrap();
        views.iter().find(|view| view.stream.id == stream).unwrap().committed.0
    }

    /// Waits until all of these partitions are committed up to these offsets.
    pub(crate) async fn until_committed(&self, ends: &[(i32, u64)]) {
        self.until("the commits", async || {
            for (partition, end) in ends {
                let committed = self.committed(*partition).await;
                assert!(committed <= *end, "partition {partition} is committed up to {committed}, beyond its end");
                if committed < *end {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// The report of a partition's newest epoch at a worker.
    pub(crate) async fn report(&self, worker: &Worker, partition: i32) -> Option<StreamReport> {
        let id = self.stream(partition).await;
        let reports = worker.heartbeat().tasks.into_iter().flat_map(|task| task.streams);
        reports.filter(|report| report.stream == id).max_by_key(|report| report.epoch)
    }

    /// Waits until a worker shows a partition up to this offset.
    pub(crate) async fn until_visible(&self, worker: &Worker, partition: i32, end: u64) {
        self.until(&format!("offset {end} of partition {partition} to be visible"), async || {
            self.report(worker, partition).await.is_some_and(|report| report.visible.0 == end)
        })
        .await;
    }

    /// Waits for a condition, in virtual time.
    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let begin = self.world.clock.now();
        while !condition().await {
            let waited = self.world.clock.now().since(begin);
            assert!(waited < PATIENCE, "waited in vain for {what}");
            self.pass(Duration::from_millis(5)).await;
        }
    }

    /// Lets virtual time pass.
    pub(crate) async fn pass(&self, time: Duration) {
        self.world.clock.sleep(time).await;
    }

    pub(crate) fn task(&self, worker: &Worker) -> Option<TaskReport> {
        worker.heartbeat().tasks.into_iter().next()
    }
}
