//! The stage of a history: what outlives processes (broker, catalog store, object store, disks, network), and the processes
//! that live on it. Owns how a process is started and killed; not when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::store::{FaultyStore, KvStore, MemoryStore};
use catalog::{Catalog, NodeId, Pipeline, StreamView, Table};
use object_store::ObjectStore;
use server::manager::Manager;
use server::manager::pipeline::ManagerParts;
use server::tables::Tables;
use tokio::sync::mpsc;
use vfs::{MemoryDisk, SeededRandom, Unsynced, World};
use warehouse::memory::MemoryBudget;
use warehouse::read::snapshot::SnapshotTaker;
use warehouse::write::insert::{InsertParts, Inserts};
use warehouse::write::source::MemoryConnector;
use warehouse::write::sweeper::Sweeper;
use warehouse::write::worker::{Worker, WorkerParts, WorkerSettings};

use super::catalog_store::{ProcessStore, StoreWeather};
use super::check::{Violation, check_log};
use super::clock::SharedClock;
use super::disk::ProcessDisk;
use super::draw::Draw;
use super::network::Network;
use super::objects::Objects;
use super::operator::{Operator, Statements, Wish};
use super::parts::Parts;
use super::plan::Plan;
use super::process::Process;
use super::query::{Answers, Order, Reader};
use super::script::Script;
use super::server::{Request, Server, Told};

/// Requests that wait for a server that does not read them yet.
const REQUESTS: usize = 64;
/// How long a query waits for its owners.
const QUERY_PATIENCE: Duration = Duration::from_millis(1_500);

/// What went wrong where nobody was asked: each with its invariant. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<Vec<(&'static str, String)>>>);

impl Troubles {
    /// Adds one.
    pub fn add(&self, invariant: &'static str, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((invariant, text));
    }

    /// Takes the first.
    pub fn take(&self) -> Option<(&'static str, String)> {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!troubles.is_empty()).then(|| troubles.remove(0))
    }
}

/// A worker's process, with its disk.
#[derive(Debug)]
pub struct WorkerProcess {
    /// The process.
    pub process: Process,
    /// Its disk, which outlives it.
    pub disk: MemoryDisk,
}

/// See the module.
#[derive(Debug)]
pub struct Stage {
    /// What the history is like.
    pub plan: Plan,
    /// The history's time.
    pub now: Duration,
    /// What was produced.
    pub script: Script,
    /// The catalog's store as it is, without faults: for the checkers.
    pub truth: Arc<MemoryStore>,
    /// The same, with faults.
    pub store: Arc<FaultyStore>,
    /// The way to it.
    pub store_weather: StoreWeather,
    /// The object store.
    pub objects: Objects,
    /// The network.
    pub network: Network,
    /// The workers.
    pub workers: Vec<WorkerProcess>,
    /// The managers.
    pub managers: Vec<Process>,
    /// Readers and the operator.
    pub client: Process,
    /// The checkers' own process, which no fault meets.
    pub observer: Process,
    /// The checkers' catalog.
    pub catalog: Catalog,
    /// The table.
    pub table: Arc<Table>,
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Where orders for each reader go.
    pub orders: Vec<mpsc::Sender<Order>>,
    /// What the operator is to bring about.
    pub wish: Wish,
    /// What else it is to do.
    pub statements: Statements,
    /// Where requests of clients to each server go, which is the process of its manager.
    pub requests: Vec<mpsc::Sender<Request>>,
    /// What they were told.
    pub told: Told,
    /// What readers were answered.
    pub answers: Answers,
    /// What was read of parts.
    pub parts: Parts,
    /// What went wrong in a process.
    pub troubles: Troubles,
    observer_world: World,
    clock: SharedClock,
    seed: u64,
}

impl Stage {
    /// A stage with all of its processes running.
    pub fn new(seed: u64, plan: Plan, planted: Option<&'static str>) -> Self {
        let clock = SharedClock::default();
        let truth = Arc::new(MemoryStore::new(Arc::new(clock.clone())));
        let random = Arc::new(SeededRandom::new(Draw::new(seed, "catalog faults").bits()));
        let store = Arc::new(FaultyStore::new(Arc::clone(&truth) as Arc<dyn KvStore>, random));
        let mut observer = Process::new("see", seed, None);
        let observer_world = observer.start(Duration::ZERO);
        let (catalog, table, pipeline) = observer.block_on(async {
            let catalog =
                Catalog::open(Arc::clone(&truth) as _, observer_world.clone()).await.expect("a store without faults");
            let table = catalog.create_table(plan.table(), false).await.expect("a new table");
            let pipeline = catalog.create_pipeline(plan.pipeline(table.id), false).await.expect("a new pipeline");
            (catalog, table, pipeline)
        });
        let name = |prefix: &str, number: usize| format!("{prefix}{number}");
        let addresses: Vec<String> = (0..plan.workers).map(|number| name("w", number)).collect();
        let worker = |address: &String| WorkerProcess {
            process: Process::new(address.clone(), seed, planted),
            disk: MemoryDisk::new(),
        };
        let mut stage = Self {
            script: Script::new(plan.partitions, plan.filters),
            network: Network::new(Draw::new(seed, "network"), plan.weather(), &addresses),
            workers: addresses.iter().map(worker).collect(),
            managers: (0..plan.managers).map(|number| Process::new(name("m", number), seed, planted)).collect(),
            client: Process::new("q", seed, planted),
            store_weather: StoreWeather::default(),
            objects: Objects::new(),
            orders: Vec::new(),
            wish: Wish::default(),
            statements: Statements::default(),
            requests: Vec::new(),
            told: Told::default(),
            answers: Answers::default(),
            parts: Parts::default(),
            troubles: Troubles::default(),
            now: Duration::ZERO,
            plan,
            truth,
            store,
            observer,
            observer_world,
            catalog,
            table,
            pipeline,
            clock,
            seed,
        };
        (0..stage.workers.len()).for_each(|number| stage.start_worker(number));
        stage.requests = stage.managers.iter().map(|_| mpsc::channel(1).0).collect();
        (0..stage.managers.len()).for_each(|number| stage.start_manager(number));
        stage.start_client();
        stage
    }

    /// Sets the time.
    pub fn set_time(&mut self, now: Duration) {
        self.now = now;
        self.script.now = now;
        self.clock.set(now);
    }

    fn way_to_store(&self, process: &str, world: &World) -> Arc<dyn KvStore> {
        Arc::new(ProcessStore {
            inner: Arc::clone(&self.store) as _,
            process: process.to_owned(),
            clock: Arc::clone(&world.clock),
            weather: self.store_weather.clone(),
            draw: Draw::new(self.seed ^ world.random.next_u64(), "catalog delays"),
        })
    }

    fn way_to_objects(&self, world: &World) -> Arc<dyn ObjectStore> {
        let draw = Draw::new(self.seed ^ world.random.next_u64(), "object faults");
        self.objects.of(Arc::clone(&world.clock), draw)
    }

    /// Starts a worker's process on what its disk holds.
    pub fn start_worker(&mut self, number: usize) {
        let address = self.workers[number].process.name().to_owned();
        let world = self.workers[number].process.start(self.now);
        let handle = self.workers[number].process.handle().expect("it was started");
        let store = self.way_to_store(&address, &world);
        let objects = self.way_to_objects(&world);
        let connector = Arc::new(MemoryConnector::new(self.script.broker().clone(), Arc::clone(&world.clock)));
        let budget = MemoryBudget::new(self.plan.memory);
        let settings = WorkerSettings {
            node: NodeId(address.clone()),
            address: address.clone(),
            wal: self.plan.wal,
            wal_bytes_max: self.plan.wal_bytes_max,
            source_queue_bytes: self.plan.batch_bytes,
            batch_bytes: self.plan.batch_bytes,
        };
        let (disk, network, troubles) =
            (self.workers[number].disk.clone(), self.network.clone(), self.troubles.clone());
        self.network.attach(&address, None, Some(handle.clone()));
        handle.spawn(async move {
            let catalog = Arc::new(open_catalog(store, &world).await);
            loop {
                let draw = Draw::new(world.random.next_u64(), "syncs");
                let wal_disk = Arc::new(ProcessDisk { inner: disk.clone(), clock: Arc::clone(&world.clock), draw });
                let (world, catalog, objects) = (world.clone(), Arc::clone(&catalog) as _, Arc::clone(&objects));
                let (connector, budget) = (Arc::clone(&connector) as _, Arc::clone(&budget));
                let clock = Arc::clone(&world.clock);
                let parts = WorkerParts { world, catalog, objects, connector, budget, wal_disk };
                match Worker::open(parts, settings.clone()).await {
                    Ok(worker) => return network.opened(&address, worker),
                    Err(error @ wal::WalError::Damaged { .. }) => {
                        return troubles.add("I9", format!("{address} cannot open its log: {error}"));
                    }
                    Err(_) => clock.sleep(Duration::from_millis(300)).await,
                }
            }
        });
    }

    /// Kills a worker's process; with `unsynced`, its machine loses its power.
    pub fn kill_worker(&mut self, number: usize, unsynced: Option<Unsynced>) {
        if let Err(violation) = self.check_log(number) {
            self.troubles.add(violation.invariant, violation.message);
        }
        let worker = &mut self.workers[number];
        self.network.attach(worker.process.name(), None, None);
        worker.process.kill();
        if let Some(unsynced) = unsynced {
            worker.disk.crash(unsynced);
        }
    }

    /// The worker that owns the newest stream of a partition.
    pub fn owner_of(&mut self, partition: i32) -> Option<usize> {
        let (catalog, pipeline, incarnation) = (self.catalog.clone(), self.pipeline.id, self.script.incarnation());
        let streams = self.observer.block_on(catalog.streams(pipeline)).ok()?;
        let is_of_it = |view: &&StreamView| {
            let identity = view.stream.partition();
            identity.incarnation == incarnation && identity.partition == partition
        };
        let newest = streams.iter().filter(is_of_it).max_by_key(|view| view.stream.partition().generation)?;
        let address = &newest.owner.as_ref()?.address;
        self.workers.iter().position(|worker| worker.process.name() == address)
    }

    /// Lets the commits arrive that are late.
    pub fn let_late_rows_arrive(&mut self) {
        let weather = self.store_weather.clone();
        self.observer.block_on(weather.arrive());
    }

    /// Compares what a worker shows with what its disk would keep.
    ///
    /// # Errors
    /// If it shows what a power loss would take.
    pub fn check_log(&mut self, number: usize) -> Result<(), Violation> {
        let WorkerProcess { process, disk } = &self.workers[number];
        let Some(shown) = self.network.worker(process.name()).map(|worker| worker.heartbeat()) else { return Ok(()) };
        let (catalog, pipeline, settings) = (self.catalog.clone(), self.pipeline.id, self.plan.wal);
        let (left, world) = (disk.after_power_loss(), self.observer_world.clone());
        self.observer.block_on(async {
            let Ok(streams) = catalog.streams(pipeline).await else { return Ok(()) };
            check_log(&shown, &streams, left, settings, world).await
        })
    }

    /// The manager that leads the pipeline.
    pub fn leader(&mut self) -> Option<usize> {
        let (catalog, pipeline) = (self.catalog.clone(), self.pipeline.id);
        let lease = self.observer.block_on(catalog.read_lease(pipeline)).ok()??;
        self.managers.iter().position(|manager| manager.name() == lease.holder.0)
    }

    /// Starts a manager's process: the manager, a sweeper, and what clients ask a server for, if there are some.
    pub fn start_manager(&mut self, number: usize) {
        let node = self.managers[number].name().to_owned();
        let world = self.managers[number].start(self.now);
        let handle = self.managers[number].handle().expect("it was started");
        let store = self.way_to_store(&node, &world);
        let objects = self.way_to_objects(&world);
        let connector = Arc::new(MemoryConnector::new(self.script.broker().clone(), Arc::clone(&world.clock)));
        let workers = self.network.link(&node, Arc::clone(&world.clock));
        let intent_age = self.plan.intent_age;
        let (requests, inbox) = mpsc::channel(REQUESTS);
        self.requests[number] = requests;
        let (inserts, table, told, memory) = (self.plan.inserts, self.table.id, self.told.clone(), self.plan.memory);
        handle.spawn(async move {
            let catalog = open_catalog(store, &world).await;
            let sweeper = Sweeper {
                catalog: catalog.clone(),
                objects: Arc::clone(&objects),
                world: world.clone(),
                intent_age,
                label_age: Duration::MAX,
            };
            tokio::spawn(sweeper.run());
            let node = NodeId(node);
            let (parts_catalog, parts_world) = (catalog.clone(), world.clone());
            let (managed, memtables) = (Arc::clone(&workers) as _, workers);
            let parts = ManagerParts {
                catalog: parts_catalog,
                workers: managed,
                connector,
                world: parts_world,
                node: node.clone(),
            };
            let manager = Manager::new(parts);
            if let Some(settings) = inserts {
                let parts = InsertParts {
                    world: world.clone(),
                    catalog: Arc::new(catalog.clone()),
                    objects,
                    budget: MemoryBudget::new(memory),
                    node,
                };
                let inserts = Inserts::new(parts, settings);
                let tables = Tables::new(catalog.clone(), Arc::clone(&manager), memtables, world.clone());
                tokio::spawn(Server { catalog, inserts, tables, table, world, told }.run(inbox));
            }
            manager.run().await;
        });
    }

    /// Starts the readers and the operator.
    pub fn start_client(&mut self) {
        let world = self.client.start(self.now);
        let handle = self.client.handle().expect("it was started");
        let store = self.way_to_store("q", &world);
        let objects = self.way_to_objects(&world);
        let link = self.network.link("q", Arc::clone(&world.clock));
        let (mut orders, mut inboxes) = (Vec::new(), Vec::new());
        for number in 0..self.plan.readers {
            let (order, inbox) = mpsc::channel(1);
            orders.push(order);
            inboxes.push((number, inbox));
        }
        self.orders = orders;
        let truth = Arc::clone(&self.objects.inner) as Arc<dyn ObjectStore>;
        let (table, parts, answers) = (self.table.id, self.parts.clone(), self.answers.clone());
        let (pipeline, wish, statements) = (Arc::clone(&self.pipeline), self.wish.clone(), self.statements.clone());
        let connector = Arc::new(MemoryConnector::new(self.script.broker().clone(), Arc::clone(&world.clock)));
        handle.spawn(async move {
            let catalog = open_catalog(store, &world).await;
            let service: Arc<dyn catalog::CatalogService> = Arc::new(catalog.clone());
            for (number, inbox) in inboxes {
                let reader = Reader {
                    number,
                    snapshots: SnapshotTaker::new(
                        Arc::clone(&service),
                        Arc::clone(&link) as _,
                        world.clone(),
                        QUERY_PATIENCE,
                    ),
                    table,
                    objects: Arc::clone(&objects),
                    truth: Arc::clone(&truth),
                    parts: parts.clone(),
                    world: world.clone(),
                    answers: answers.clone(),
                };
                tokio::spawn(reader.run(inbox));
            }
            Operator { catalog, pipeline, link, connector, world, wish, statements }.run().await;
        });
    }
}

/// A process's catalog; waits for the store.
async fn open_catalog(store: Arc<dyn KvStore>, world: &World) -> Catalog {
    loop {
        match Catalog::open(Arc::clone(&store), world.clone()).await {
            Ok(catalog) => return catalog,
            Err(_) => world.clock.sleep(Duration::from_millis(100)).await,
        }
    }
}
