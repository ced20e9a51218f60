//! What the Postgres store owes beyond the contract, on a real server (`MILLRACE_TEST_POSTGRES`): several processes at once,
//! sessions that end at any moment, errors that say what to do and never the password.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use futures::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vfs::{Inline, OsRandom, Random, SystemClock};

use super::schema::explain;
use super::*;
use crate::store::contract::check_all;
use crate::store::{KeyRange, Read, scan};

static SCHEMAS: AtomicU32 = AtomicU32::new(0);

/// The server's address, or `None` after saying that there is none.
fn server() -> Option<String> {
    let url = std::env::var("MILLRACE_TEST_POSTGRES").ok().filter(|url| !url.is_empty());
    if url.is_none() {
        let required = std::env::var("MILLRACE_TEST_REQUIRE").unwrap_or_default();
        let hint = "skipped: no PostgreSQL (set MILLRACE_TEST_POSTGRES or run tests/components/postgres.sh)";
        assert!(!required.split(',').any(|name| name.trim() == "postgres"), "postgres is required here; {hint}");
        println!("{hint}");
    }
    url
}

fn world(clock: Arc<dyn Clock>) -> World {
    World { clock, random: Arc::new(OsRandom), compute: Arc::new(Inline) }
}

fn system() -> World {
    world(Arc::new(SystemClock::new()))
}

/// Schemas of one test's own, which are gone after it.
struct Schemas {
    server: String,
    made: Mutex<Vec<PostgresAddress>>,
}

impl Schemas {
    fn new() -> Option<Self> {
        server().map(|server| Self { server, made: Mutex::default() })
    }

    fn address(&self) -> PostgresAddress {
        let number = SCHEMAS.fetch_add(1, Relaxed);
        let name = format!("test_{}_{number}_{:08x}", std::process::id(), OsRandom.next_u64() >> 32);
        let address = PostgresAddress::parse(&format!("{}?schema={name}&connections=64", self.server)).unwrap();
        self.made.lock().unwrap().push(address.clone());
        address
    }

    async fn drop_all(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        let mut admin = Connection::open(&made[0], "test", &OsRandom).await.unwrap();
        for address in made {
            // Sessions that are just ending may still hold a lock on the tables.
            end_sessions(&mut admin, &address, "").await;
            admin.batch(&format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", address.schema)).await.unwrap();
        }
    }
}

/// Ends the sessions of `address` that were opened for `purpose`; how many.
async fn end_sessions(admin: &mut Connection, address: &PostgresAddress, purpose: &str) -> i64 {
    const END: &str = "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity \
                       WHERE application_name LIKE convert_from($1::bytea, 'UTF8') AND pid <> pg_backend_pid()";
    let pattern = format!("millrace {purpose}% {}", address.schema);
    let ended = admin.call(wire::Call::new(END, [wire::Param::Bytes(pattern.into())])).await;
    ended.unwrap().number(0).unwrap()
}

async fn put(store: &dyn KvStore, key: &[u8], value: &[u8]) -> Result<Stamp, StoreError> {
    let mut writer = store.begin().await?;
    writer.set(key, value);
    writer.commit().await
}

async fn all(store: &dyn KvStore) -> Vec<(Bytes, Bytes)> {
    let mut reader = store.begin().await.unwrap();
    scan(reader.as_mut(), KeyRange::prefix(b""), Read::Snapshot).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_keeps_the_contract() {
    let Some(schemas) = Schemas::new() else { return };
    check_all(async |clock| {
        let store = PostgresStore::open(schemas.address(), &world(clock)).await;
        Arc::new(store.unwrap()) as Arc<dyn KvStore>
    })
    .await;
    schemas.drop_all().await;
}

/// Two processes' stores over one catalog: each transaction begins at the next of them, and watches at the first.
#[derive(Debug)]
struct InTurn(Vec<PostgresStore>, AtomicUsize);

#[async_trait]
impl KvStore for InTurn {
    async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError> {
        self.0[self.1.fetch_add(1, Relaxed) % self.0.len()].begin().await
    }
    fn name(&self) -> &'static str {
        "postgres, twice"
    }
    async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError> {
        self.0[0].watch(key).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_at_once_keep_the_contract_as_one() {
    let Some(schemas) = Schemas::new() else { return };
    check_all(async |clock| {
        let (address, world) = (schemas.address(), world(clock));
        let (first, second) =
            futures::join!(PostgresStore::open(address.clone(), &world), PostgresStore::open(address, &world));
        Arc::new(InTurn(vec![first.unwrap(), second.unwrap()], AtomicUsize::default())) as Arc<dyn KvStore>
    })
    .await;
    schemas.drop_all().await;
}

#[tokio::test]
async fn a_reopened_store_has_its_data_and_gives_higher_stamps() {
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    let mut last = Stamp::default();
    for n in 0..4_u8 {
        let store = PostgresStore::open(address.clone(), &system()).await.unwrap();
        assert_eq!(all(&store).await.len(), usize::from(n));
        assert_eq!(store.begin().await.unwrap().commit().await, Ok(last), "the store is where it was");
        let stamp = put(&store, &[n], b"v").await.unwrap();
        assert!(last < stamp);
        last = stamp;
        let watching = store.watch(b"k").await.unwrap();
        store.close().await;
        watching.await;
        assert!(matches!(store.begin().await.map(drop), Err(StoreError::Closed { .. })));
    }
    schemas.drop_all().await;
}

/// What became of the commits of one writer, each of which writes a key of its own, appends to a log and counts.
#[derive(Debug, Default)]
struct Outcomes {
    done: Vec<(u64, Stamp)>,
    not_done: Vec<u64>,
    unknown: Vec<u64>,
}

async fn count(store: &dyn KvStore, number: u64) -> Result<Stamp, StoreError> {
    let mut writer = store.begin().await?;
    // Read, so that it also conflicts: what is counted twice or lost would show.
    let before = writer.get(b"count", Read::Serializable).await?;
    let before = before.map_or(0, |count| u64::from_le_bytes(count.as_ref().try_into().unwrap()));
    writer.set(b"count", &(before + 1).to_le_bytes());
    writer.set(&[b"own/", number.to_be_bytes().as_slice()].concat(), b"");
    writer.set_versionstamped_key(b"log/", b"", &number.to_be_bytes());
    writer.commit().await
}

impl Outcomes {
    fn note(&mut self, number: u64, outcome: Result<Stamp, StoreError>) {
        match outcome {
            Ok(stamp) => self.done.push((number, stamp)),
            Err(error) if error.is_maybe_committed() => self.unknown.push(number),
            Err(error) => {
                assert!(error.is_retryable(), "it did not happen, and can be tried again: {error}");
                self.not_done.push(number);
            }
        }
    }

    /// Compares with what is there; how many of the unknown had landed.
    async fn check(&self, store: &dyn KvStore) -> usize {
        let mut reader = store.begin().await.unwrap();
        let log = scan(reader.as_mut(), KeyRange::prefix(b"log/"), Read::Snapshot).await.unwrap();
        let own = scan(reader.as_mut(), KeyRange::prefix(b"own/"), Read::Snapshot).await.unwrap();
        let counted = reader.get(b"count", Read::Snapshot).await.unwrap();
        let counted = counted.map_or(0, |count| u64::from_le_bytes(count.as_ref().try_into().unwrap()));
        assert_eq!((counted, own.len()), (log.len() as u64, log.len()), "half a commit, or one twice");
        let number = |value: &Bytes| u64::from_be_bytes(value.as_ref().try_into().unwrap());
        for (done, stamp) in &self.done {
            let key = [b"log/", stamp.as_ref()].concat();
            assert!(log.iter().any(|(at, value)| *at == key && number(value) == *done), "an answered commit is lost");
        }
        assert!(!log.iter().any(|(_, value)| self.not_done.contains(&number(value))), "what did not happen is there");
        log.iter().filter(|(_, value)| self.unknown.contains(&number(value))).count()
    }
}

async fn commits_there(admin: &mut Connection) -> u64 {
    schema::version(admin).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_ended_at_any_moment_lose_nothing_and_double_nothing() {
    const ROUNDS: usize = 30;
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    let stores = [
        PostgresStore::open(address.clone(), &system()).await.unwrap(),
        PostgresStore::open(address.clone(), &system()).await.unwrap(),
    ];
    let (next, over) = (AtomicUsize::default(), std::sync::atomic::AtomicBool::new(false));
    let writer = async |store: &PostgresStore| {
        let mut outcomes = Outcomes::default();
        while !over.load(Relaxed) {
            let number = next.fetch_add(1, Relaxed) as u64;
            outcomes.note(number, count(store, number).await);
        }
        outcomes
    };
    let killer = async {
        let mut admin = Connection::open(&address, "test", &OsRandom).await.unwrap();
        let mut ended = 0;
        for round in 0..ROUNDS {
            // Each kind of session in turn; those for commits more often.
            let purpose = ["commit", "read", "commit", "watch"][round % 4];
            ended += end_sessions(&mut admin, &address, purpose).await;
            let before = commits_there(&mut admin).await;
            while commits_there(&mut admin).await <= before {
                tokio::task::yield_now().await;
            }
        }
        assert!(ended as usize >= ROUNDS / 2, "only {ended} sessions were there to be ended");
        over.store(true, Relaxed);
    };
    let writers = join_all(stores.iter().cycle().take(6).map(writer));
    let (outcomes, ()) = futures::join!(writers, killer);
    for outcomes in &outcomes {
        outcomes.check(&stores[0]).await;
    }
    assert!(outcomes.iter().any(|outcomes| !outcomes.done.is_empty()));
    // A watch that was made before all of that still wakes.
    let watching = stores[1].watch(b"own").await.unwrap();
    put(&stores[0], b"own", b"").await.unwrap();
    watching.await;
    drop(stores);
    schemas.drop_all().await;
}

/// Stands between a store and the server, and cuts the connection that commits at a chosen moment.
#[derive(Debug, Default)]
struct Cut {
    /// After so many requests on connections that commit; 0: never.
    after: AtomicUsize,
    /// Whether the last of them still reaches the server.
    forwards: std::sync::atomic::AtomicBool,
}

impl Cut {
    async fn between(self: Arc<Self>, listener: TcpListener, server: (String, u16)) {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            tokio::spawn(Arc::clone(&self).relay(client, server.clone()));
        }
    }

    async fn relay(self: Arc<Self>, mut client: TcpStream, server: (String, u16)) {
        let mut server = TcpStream::connect(server).await.unwrap();
        let (mut asked, mut answered) = (vec![0; 1 << 16], vec![0; 1 << 16]);
        let mut commits = None;
        loop {
            tokio::select! {
                read = client.read(&mut asked) => {
                    let Ok(length @ 1..) = read else { return };
                    let asked = &asked[..length];
                    let is_commit = *commits.get_or_insert_with(|| asked.windows(15).any(|name| name == b"millrace commit"));
                    // A login is a start and two answers; only what comes after it counts.
                    let counts = is_commit && !matches!(asked[0], 0 | b'p');
                    let cut = counts && self.after.try_update(Relaxed, Relaxed, |left| left.checked_sub(1)) == Ok(1);
                    if !cut || self.forwards.load(Relaxed) {
                        server.write_all(asked).await.unwrap();
                    }
                    if cut {
                        return;
                    }
                }
                read = server.read(&mut answered) => {
                    let Ok(length @ 1..) = read else { return };
                    if client.write_all(&answered[..length]).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The connection is cut at each request of a commit, before the server has it and after: the store never claims to know what it
/// does not, and what it says is so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_during_a_commit_leaves_it_unknown_and_never_wrongly_answered() {
    let Some(schemas) = Schemas::new() else { return };
    let direct = schemas.address();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut address = direct.clone();
    let server = (std::mem::replace(&mut address.host, "127.0.0.1".into()), direct.port);
    address.port = listener.local_addr().unwrap().port();
    let cut = Arc::new(Cut::default());
    let relay = tokio::spawn(Arc::clone(&cut).between(listener, server));
    let through = PostgresStore::open(address, &system()).await.unwrap();
    let beside = PostgresStore::open(direct, &system()).await.unwrap();
    let mut outcomes = Outcomes::default();
    let mut number = 0;
    for forwards in [false, true] {
        for after in 1..=6 {
            cut.forwards.store(forwards, Relaxed);
            cut.after.store(after, Relaxed);
            while cut.after.load(Relaxed) > 0 {
                number += 1;
                outcomes.note(number, count(&through, number).await);
            }
            // Whatever became of it, others go on, and so does the store itself.
            number += 1;
            put(&beside, b"beside", &[0]).await.unwrap();
            while count(&through, number).await.is_err() {}
            outcomes.done.push((number, through.begin().await.unwrap().commit().await.unwrap()));
        }
    }
    assert!(outcomes.not_done.len() >= 4, "{outcomes:?}");
    let landed = outcomes.check(&beside).await;
    assert!(landed > 0 && landed < outcomes.unknown.len(), "{landed} had landed of {:?}", outcomes.unknown);
    relay.abort();
    drop((through, beside));
    schemas.drop_all().await;
}

#[tokio::test]
async fn what_is_in_the_way_is_named_with_the_next_step_and_without_the_password() {
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    let password = address.password().unwrap().to_owned();
    let changed = |change: &dyn Fn(&mut PostgresAddress)| {
        let mut changed = address.clone();
        change(&mut changed);
        changed
    };
    let open = async |address: PostgresAddress| PostgresStore::open(address, &system()).await.unwrap_err();
    let store = PostgresStore::open(address.clone(), &system()).await.unwrap();
    put(&store, b"k", b"v").await.unwrap();

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let unreachable = open(changed(&|address| address.port = nobody)).await;
    let wrong = open(address.clone().with_password("hunter2".into())).await;
    let absent = open(changed(&|address| address.database = "absent".into())).await;
    let mut admin = Connection::open(&address, "test", &OsRandom).await.unwrap();
    admin.batch("UPDATE meta SET format = 2").await.unwrap();
    let newer = open(address.clone()).await;
    admin.batch("ALTER TABLE commits RENAME TO theirs").await.unwrap();
    let alien = open(address.clone()).await;
    for (error, words) in [
        (&unreachable, "is it running"),
        (&wrong, "pg_hba.conf"),
        (&absent, "CREATE DATABASE"),
        (&newer, "start the newer program"),
        (&alien, "tables of another program"),
    ] {
        let error = error.to_string();
        assert!(error.contains(words) && error.contains("postgres://"), "{error}");
        assert!(!error.contains(&password) && !error.contains("hunter2"), "{error}");
    }
    assert!(matches!(newer, StoreError::Newer { found: 2, newest: 1, .. }));
    admin.batch("ALTER TABLE theirs RENAME TO commits; UPDATE meta SET format = 1, version = 0").await.unwrap();
    let back = put(&store, b"k", b"v").await;
    assert!(matches!(&back, Err(StoreError::Closed { cause }) if cause.contains("older")), "{back:?}");
    assert!(store.closed().await.contains("older"), "whoever runs the store hears of it");
    let error = explain(&address, wire::PgError::Refused { code: "53300".into(), message: "too many".into() });
    assert!(error.to_string().contains("connections="), "{error}");
    drop(store);
    schemas.drop_all().await;
}

#[tokio::test]
async fn transactions_wait_for_a_session_where_all_are_in_use() {
    let Some(schemas) = Schemas::new() else { return };
    let mut address = schemas.address();
    address.connections = 2;
    let store = PostgresStore::open(address, &system()).await.unwrap();
    let (first, _second) = (store.begin().await.unwrap(), store.begin().await.unwrap());
    let third = async { store.begin().await.unwrap().commit().await.unwrap() };
    let freeing = async {
        tokio::task::yield_now().await;
        drop(first);
    };
    futures::join!(third, freeing);
    drop(_second);
    drop(store);
    schemas.drop_all().await;
}
