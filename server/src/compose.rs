//! Where the process is put together: the one file that names concrete types. Everything else receives its world.
//!
//! ```text
//!   MySQL clients ─> Listener ─> sql::Engine ─┬─> ReadEngine ─> parts, memtables
//!                                             └─> Manager ─> Worker ─> Kafka, WAL, parts
//!                               all of them ────> Catalog ─> redb, postgres
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use catalog::Catalog;
use catalog::store::{KvStore, PostgresStore, RedbStore};
use metrics_exporter_prometheus::PrometheusHandle;
use object_store::ObjectStore;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vfs::{
    DurableLocalStore, LocalDisk, MeteredStore, ObjectStoreSettings, World, check_object_store, open_object_store,
};
use wal::WalSettings;
use warehouse::care::retry::ErrorRetry;
use warehouse::care::verify::Verifier;
use warehouse::memory::MemoryBudget;
use warehouse::write::insert::{InsertParts, InsertSettings, Inserts};
use warehouse::write::local::LocalWorkers;
use warehouse::write::source::SourceConnector;
use warehouse::write::source::kafka::KafkaConnector;
use warehouse::write::sweeper::Sweeper;
use warehouse::write::worker::{Worker, WorkerParts, WorkerSettings};

use crate::care::LocalCare;
use crate::data_dir::DataDir;
use crate::http::{HttpServer, install_metrics};
use crate::load::Loads;
use crate::manager::Manager;
use crate::manager::pipeline::ManagerParts;
use crate::mysql::auth::Accounts;
use crate::mysql::handler::SessionFactory;
use crate::mysql::listener::{Listener, ListenerSettings};
use crate::possession::Possessions;
use crate::query::Queries;
use crate::runtime::LocalRuntime;
use crate::seat::Seat;
use crate::settings::{CatalogAddress, Settings};
use crate::sql::accounts::CatalogAccounts;
use crate::sql::{Components, Engine, ServerFacts, SqlSettings};
use crate::stop_signal::StopSignals;
use crate::tables::Tables;

/// The address of the one worker of a process that has no wire.
const LOCAL_WORKER: &str = "local";

/// A running server.
pub struct Node {
    /// Where MySQL clients connect.
    pub mysql_address: SocketAddr,
    /// Where HTTP is.
    pub http_address: SocketAddr,
    /// Opens SQL sessions in this process, without a wire.
    pub sessions: Arc<dyn SessionFactory>,
    /// What goes on in it.
    pub manager: Arc<Manager>,
    /// Its catalog.
    pub catalog: Catalog,
    worker: Arc<Worker>,
    inserts: Arc<Inserts>,
    store: Arc<dyn KvStore>,
    /// Where others could open the catalog as well.
    seat: Option<Seat>,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
    background: Vec<JoinHandle<()>>,
    _data_dir: DataDir,
}

impl Node {
    /// Starts everything in `data_dir`, ports last: whoever can connect can be served.
    ///
    /// # Errors
    /// If a port, the catalog, or the write-ahead log is in the way; the message names it.
    pub async fn start(settings: Settings, data_dir: DataDir, world: World) -> anyhow::Result<Self> {
        let metrics = install_metrics()?;
        let http = TcpListener::bind(settings.http.listen)
            .await
            .with_context(|| format!("cannot listen for HTTP on {}; stop the process that uses the port, or choose another with --http-listen", settings.http.listen))?;
        let http_address = http.local_addr()?;

        let own = CatalogAddress::Redb(data_dir.catalog());
        let address = settings.catalog.url.as_ref().unwrap_or(&own);
        let (objects, place) = Self::objects(&settings, &data_dir, &world).await?;
        let possessions = Possessions::read(&data_dir, &*objects, place).await?;
        let store = open_catalog_store(address, Absent::Made, &world).await?;
        if !Catalog::is_in(&*store, &world).await? {
            possessions.check_new(&address.to_string())?;
        }
        let catalog = Catalog::open(Arc::clone(&store), world.clone()).await?;
        possessions.check(catalog.identity(), *address == own)?;
        let seat = match store.is_shared() {
            true => Some(Seat::take(&catalog, &data_dir.node, &world).await?),
            false => None,
        };
        let doors = Doors { metrics, http, http_address };
        let opened = match possessions.take(catalog.identity()).await {
            Ok(()) => Self::serve(settings, data_dir, world, doors, Stores { store, catalog, objects }).await,
            Err(error) => Err(error),
        };
        match (opened, seat) {
            (Ok(node), seat) => Ok(Self { seat, ..node }),
            (Err(error), None) => Err(error),
            (Err(error), Some(seat)) => {
                seat.leave().await;
                Err(error)
            }
        }
    }

    /// Starts everything on stores that are this server's.
    async fn serve(
        settings: Settings,
        data_dir: DataDir,
        world: World,
        doors: Doors,
        stores: Stores,
    ) -> anyhow::Result<Self> {
        let Doors { metrics, http, http_address } = doors;
        let Stores { store, catalog, objects } = stores;
        let accounts = CatalogAccounts::new(catalog.clone(), &settings.mysql.root_password);
        settings.mysql.refuse_an_open_door(accounts.is_root_without_password().await?)?;
        let connector: Arc<dyn SourceConnector> = Arc::new(KafkaConnector::new(Arc::clone(&world.clock)));

        let workers = LocalWorkers::new();
        let memory = MemoryBudget::shared(settings.memory.limits());
        let worker = Self::worker(&settings, &data_dir, &world, &catalog, &objects, &connector, &memory).await?;
        workers.add(LOCAL_WORKER, Arc::clone(&worker));
        let manager = Manager::new(ManagerParts {
            catalog: catalog.clone(),
            workers: Arc::clone(&workers) as _,
            connector: Arc::clone(&connector),
            world: world.clone(),
            node: data_dir.node.clone(),
        });
        let inserts = Self::inserts(&settings, &data_dir, &world, &catalog, &objects, &memory).await?;
        let tables = Tables::new(catalog.clone(), Arc::clone(&manager), Arc::clone(&workers) as _, world.clone());
        let runtime =
            LocalRuntime::new(Arc::clone(&manager), catalog.clone(), Arc::clone(&connector), world.clone(), &settings);
        let spill_limit = settings.query.spill_limit.0;
        let queries =
            Queries::new(&catalog, workers, &objects, &world, Arc::clone(&memory), &data_dir.spill(), spill_limit)?;
        let port = ListenerSettings { max_connections: settings.mysql.connections_max, ..ListenerSettings::default() };
        let facts = ServerFacts {
            connections_max: port.max_connections,
            max_allowed_packet: port.max_allowed_packet,
            login_seconds: port.login_timeout.as_secs(),
            idle_seconds: port.idle_timeout.as_secs(),
            server_version: port.server_version.clone(),
            ..ServerFacts::default()
        };
        let open_at = Arc::clone(&facts.address);
        let sessions: Arc<dyn SessionFactory> = Arc::new(Engine::new(
            Components {
                catalog: catalog.clone(),
                queries,
                inserts: Arc::clone(&inserts),
                tables,
                control: Arc::clone(&runtime) as _,
                care: Arc::new(LocalCare {
                    verifier: Verifier {
                        catalog: catalog.clone(),
                        objects: Arc::clone(&objects),
                        world: world.clone(),
                        memory: Arc::clone(&memory),
                    },
                    retry: ErrorRetry {
                        catalog: catalog.clone(),
                        objects: Arc::clone(&objects),
                        world: world.clone(),
                        memory: Arc::clone(&memory),
                    },
                }),
                probe: Arc::clone(&runtime) as _,
                sources: connector,
                runtime: Arc::clone(&runtime) as _,
                world: world.clone(),
            },
            SqlSettings {
                facts,
                statements: settings.query.limits(),
                root_password: accounts.root_password(),
                ..SqlSettings::default()
            },
        ));

        let accounts: Arc<dyn Accounts> = Arc::new(accounts);
        let stop = CancellationToken::new();
        let listener = Listener::bind(
            settings.mysql.listen,
            Arc::clone(&accounts),
            Arc::clone(&sessions),
            world.clone(),
            port,
            Arc::clone(&memory),
            stop.child_token(),
        )
        .await?;
        let mysql_address = listener.local_addr()?;
        // This process opens one port, so nothing has been there before.
        let _ = open_at.set(mysql_address);
        let loads = Loads {
            catalog: catalog.clone(),
            inserts: Arc::clone(&inserts),
            accounts: Arc::clone(&accounts),
            world: world.clone(),
            directory: data_dir.spill(),
        };
        let http = HttpServer {
            listener: http,
            metrics,
            manager: Arc::clone(&manager),
            memory,
            loads,
            clock: Arc::clone(&world.clock),
            stop: stop.child_token(),
        };
        let sweeper = Sweeper {
            catalog: catalog.clone(),
            objects,
            world,
            intent_age: Duration::from_secs(settings.sweeper.intent_age_seconds),
            label_age: Duration::from_secs(settings.sweeper.label_age_seconds),
        };
        let servers = vec![
            tokio::spawn(Arc::clone(&manager).run()),
            tokio::spawn(listener.run()),
            tokio::spawn(async move {
                if let Err(error) = http.run().await {
                    tracing::error!(%error, "HTTP ended");
                }
            }),
        ];
        let background = vec![tokio::spawn(sweeper.run()), tokio::spawn(runtime.run())];
        Ok(Self {
            mysql_address,
            http_address,
            sessions,
            manager,
            catalog,
            worker,
            inserts,
            store,
            seat: None,
            stop,
            servers,
            background,
            _data_dir: data_dir,
        })
    }

    /// The object store, and where it is, for people.
    async fn objects(
        settings: &Settings,
        data_dir: &DataDir,
        world: &World,
    ) -> anyhow::Result<(Arc<dyn ObjectStore>, String)> {
        let Some(address) = &settings.object_store.url else {
            let local = DurableLocalStore::open(data_dir.objects()).await?;
            let objects = MeteredStore::new(Arc::new(local), Arc::clone(&world.clock));
            return Ok((Arc::new(objects), data_dir.objects().display().to_string()));
        };
        let credentials = settings.object_store.credentials();
        let objects = open_object_store(address, &credentials, ObjectStoreSettings::default(), world).await?;
        check_object_store(&*objects).await?;
        Ok((objects, address.to_string()))
    }

    /// What INSERTs go through, once what an earlier process of this server left of them is put away.
    async fn inserts(
        settings: &Settings,
        data_dir: &DataDir,
        world: &World,
        catalog: &Catalog,
        objects: &Arc<dyn ObjectStore>,
        budget: &Arc<MemoryBudget>,
    ) -> anyhow::Result<Arc<Inserts>> {
        let parts = InsertParts {
            world: world.clone(),
            catalog: Arc::new(catalog.clone()),
            objects: Arc::clone(objects),
            budget: Arc::clone(budget),
            node: data_dir.node.clone(),
        };
        let intent_age = Duration::from_secs(settings.sweeper.intent_age_seconds);
        let renew = (intent_age / 10).min(InsertSettings::default().renew);
        let inserts = Inserts::new(parts, InsertSettings { renew, ..InsertSettings::default() });
        // The data directory has one process at a time, so all others of this server are dead.
        let dead = catalog.channels_of_dead(inserts.node(), inserts.process()).await?;
        inserts.close_dead(&dead).await?;
        for table in catalog.unnamed_tables_of_dead(inserts.node(), inserts.process()).await? {
            catalog.drop_unnamed_table(table).await?;
        }
        Ok(inserts)
    }

    async fn worker(
        settings: &Settings,
        data_dir: &DataDir,
        world: &World,
        catalog: &Catalog,
        objects: &Arc<dyn ObjectStore>,
        connector: &Arc<dyn SourceConnector>,
        memory: &Arc<MemoryBudget>,
    ) -> anyhow::Result<Arc<Worker>> {
        let parts = WorkerParts {
            world: world.clone(),
            catalog: Arc::new(catalog.clone()),
            objects: Arc::clone(objects),
            connector: Arc::clone(connector),
            budget: Arc::clone(memory),
            wal_disk: Arc::new(LocalDisk::open(data_dir.wal()).await?),
        };
        let worker = WorkerSettings {
            node: data_dir.node.clone(),
            address: LOCAL_WORKER.to_owned(),
            wal: WalSettings {
                segment_bytes: settings.wal.segment_bytes.0,
                queue_bytes: settings.wal.queue_bytes.0,
                disk_reserve_bytes: settings.wal.disk_reserve.0,
            },
            wal_bytes_max: settings.wal.bytes_max.0,
            source_queue_bytes: settings.source.queue_bytes.0,
            batch_bytes: settings.source.batch_bytes.0,
        };
        Worker::open(parts, worker).await.with_context(|| {
            format!(
                "cannot use the write-ahead log in {}. Nothing that was committed is in danger. If the log cannot be \
                 restored, move that directory away: what it held beyond the last commit is fetched from Kafka again",
                data_dir.wal().display()
            )
        })
    }

    /// Returns when the process is asked to stop.
    ///
    /// # Errors
    /// If the catalog's store cannot go on, or the catalog is served by another: nothing can be committed or planned any more, so
    /// the process should end. What was committed is safe, what was visible is in the write-ahead log, and the next start finds
    /// out the rest.
    pub async fn until_stopped(&self, signals: &mut StopSignals) -> anyhow::Result<()> {
        let unseated = async {
            match &self.seat {
                Some(seat) => seat.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = signals.next() => Ok(()),
            cause = self.store.closed() => Err(anyhow::anyhow!(
                "the catalog had to close: {cause}. Nothing that was committed or visible is lost. See to what stores it, then start \
                 again"
            )),
            cause = unseated => Err(anyhow::anyhow!(
                "{cause}: this one ends. Nothing is lost; what was visible and not committed, the other fetches from Kafka"
            )),
        }
    }

    /// Stops: no more clients, no more grants; what is visible is committed; then the catalog is closed.
    pub async fn stop(self) {
        self.stop.cancel();
        self.manager.stop();
        self.inserts.shut_down().await;
        self.worker.shut_down().await;
        for server in self.servers {
            // Each ends by its token; one that panicked has said so.
            drop(server.await);
        }
        for task in self.background {
            task.abort();
        }
        if let Some(seat) = self.seat {
            seat.leave().await;
        }
        self.store.close().await;
    }
}

/// What the world comes in by.
struct Doors {
    metrics: PrometheusHandle,
    http: TcpListener,
    http_address: SocketAddr,
}

/// What outlives the process.
struct Stores {
    store: Arc<dyn KvStore>,
    catalog: Catalog,
    objects: Arc<dyn ObjectStore>,
}

/// What becomes of a store that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It is made.
    Made,
    /// It is an error.
    Refused,
}

/// Opens the store of a catalog.
///
/// # Errors
/// If it cannot be reached, is in use, or is not a catalog's: the message names it, without a password.
pub async fn open_catalog_store(
    address: &CatalogAddress,
    absent: Absent,
    world: &World,
) -> anyhow::Result<Arc<dyn KvStore>> {
    let cannot_open = || format!("cannot open the catalog {address}");
    Ok(match address {
        CatalogAddress::Redb(path) => {
            if absent == Absent::Refused && !path.exists() {
                bail!("there is no catalog {address}: no such file");
            }
            Arc::new(RedbStore::open(path, Arc::clone(&world.clock)).await.with_context(cannot_open)?)
        }
        CatalogAddress::Postgres(address) => {
            let opened = match absent {
                Absent::Made => PostgresStore::open(address.clone(), world).await,
                Absent::Refused => PostgresStore::open_existing(address.clone(), world).await,
            };
            Arc::new(opened.with_context(cannot_open)?)
        }
    })
}
