//! What the Postgres store owes beyond the contract, on a real server (`MILLRACE_TEST_POSTGRES`): several processes at once,
//! groups, processes that hang, errors that say what to do and never the password.

mod outcomes;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use futures::future::join_all;
use tokio::net::TcpListener;
use vfs::{Inline, OsRandom, Random, SystemClock};

use super::schema::{LOCK, explain};
use super::session::{Call, Param, PgError};
use super::*;
use crate::store::contract::{ManualClock, check_all, check_history};
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
        let Some(first) = made.first() else { return };
        let admin = admin(first).await;
        for address in &made {
            run(&admin, &format!("DROP SCHEMA IF EXISTS \"{}\" CASCADE", address.schema)).await;
        }
    }
}

async fn admin(address: &PostgresAddress) -> Session {
    Session::open(address, Purpose::Test).await.unwrap()
}

async fn run(admin: &Session, sql: &str) -> Vec<Vec<String>> {
    let script = admin.script(sql).await;
    assert_eq!(script.failure, None, "{sql}");
    script.rows
}

/// The one number that `sql` answers.
async fn number(admin: &Session, sql: &str) -> u64 {
    run(admin, sql).await[0][0].parse().unwrap()
}

async fn open(address: &PostgresAddress) -> PostgresStore {
    PostgresStore::open(address.clone(), &system()).await.unwrap()
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

#[tokio::test]
async fn what_is_sent_is_encrypted_where_the_address_asks_for_it_and_the_server_proves_who_it_is() {
    let Some(schemas) = Schemas::new() else { return };
    let Some(authority) = std::env::var("MILLRACE_TEST_POSTGRES_CA").ok().filter(|path| !path.is_empty()) else {
        let required = std::env::var("MILLRACE_TEST_REQUIRE").unwrap_or_default();
        assert!(!required.split(',').any(|name| name.trim() == "postgres"), "MILLRACE_TEST_POSTGRES_CA is not set");
        println!(
            "skipped: the PostgreSQL has no certificate (set MILLRACE_TEST_POSTGRES_CA or run tests/components/postgres.sh)"
        );
        return;
    };
    let plain = schemas.address();
    let with = |options: &str| {
        PostgresAddress::parse(&format!("{}?schema={}&{options}", schemas.server, plain.schema)).unwrap()
    };
    const IS_ENCRYPTED: &str = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let clear = open(&plain).await;
    put(&clear, b"k", b"v").await.unwrap();
    assert_eq!(run(&admin(&plain).await, IS_ENCRYPTED).await, [["false"]]);

    let encrypted = with(&format!("sslmode=verify-full&sslrootcert={authority}"));
    assert_eq!(run(&admin(&encrypted).await, IS_ENCRYPTED).await, [["true"]]);
    let store = open(&encrypted).await;
    put(&store, b"l", b"v").await.unwrap();
    assert_eq!(all(&store).await.len(), 2);

    let unknown = PostgresStore::open(with("sslmode=require"), &system()).await.unwrap_err().to_string();
    assert!(unknown.contains("certificate"), "this machine's authorities do not vouch for it: {unknown}");
    let elsewhere = format!("{}?sslrootcert={authority}", schemas.server.replace("127.0.0.1", "localhost"));
    let error =
        PostgresStore::open(PostgresAddress::parse(&elsewhere).unwrap(), &system()).await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "the certificate is of another name: {error}");
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
        let store = open(&address).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_of_two_processes_are_serialisable() {
    const SEEDS: std::ops::Range<u64> = 100..124;
    let Some(schemas) = Schemas::new() else { return };
    for seed in SEEDS {
        let address = schemas.address();
        let stores = [open(&address).await, open(&address).await];
        let both = InTurn(stores.into(), AtomicUsize::default());
        if let Err(broken) = check_history(&both, seed).await {
            panic!("seed {seed}: {broken}");
        }
        // What both have read and written goes through each of them alone.
        let [first, second] = [all(&both.0[0]).await, all(&both.0[1]).await];
        assert_eq!(first, second, "seed {seed}");
    }
    schemas.drop_all().await;
}

/// Commits that wait are applied together, in one transaction of Postgres.
#[tokio::test]
async fn commits_that_wait_for_the_lock_become_one_group() {
    const COMMITS: u8 = 20;
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    // A clock that stands still: logging in twenty times takes a slow machine seconds.
    let store = PostgresStore::open(address.clone(), &world(Arc::new(ManualClock::default()))).await.unwrap();
    let holder = admin(&address).await;
    holder.call(Call::new(LOCK, [Param::Number(holder.lock_number())])).await.unwrap();
    let begun = (0..COMMITS).map(async |n| {
        let mut writer = store.begin().await.unwrap();
        writer.set(&[n], b"v");
        writer
    });
    let commits = join_all(join_all(begun).await.into_iter().map(|writer| writer.commit()));
    let release = async {
        let look = admin(&address).await;
        const WAITING: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid IN \
             (SELECT pid FROM pg_stat_activity WHERE application_name = current_setting('application_name'))";
        let waiting =
            WAITING.replace("current_setting('application_name')", &format!("'millrace commit {}'", address.schema));
        while number(&look, &waiting).await == 0 {}
        drop(holder);
    };
    let (stamps, ()) = futures::join!(commits, release);
    let stamps: Result<Vec<Stamp>, StoreError> = stamps.into_iter().collect();
    assert!(stamps.unwrap().is_sorted(), "the order of the queue is that of the stamps");
    let look = admin(&address).await;
    assert_eq!(number(&look, "SELECT version FROM meta").await, u64::from(COMMITS));
    let groups = number(&look, "SELECT count(*) FROM commits").await;
    assert!(groups <= 2, "{COMMITS} commits in {groups} groups");
    drop(store);
    schemas.drop_all().await;
}

/// A process that stops between two steps of a commit holds the others up for seconds, not for ever.
#[tokio::test]
async fn a_process_that_hangs_in_a_commit_loses_the_lock() {
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    let store = open(&address).await;
    let hanging = Session::open(&address, Purpose::Commit).await.unwrap();
    let lock = Param::Number(hanging.lock_number());
    let begun = hanging.run(vec![Call::new(LOCK, [lock]), Call::new(schema::BEGIN, [])]).await;
    assert!(begun.iter().all(Result::is_ok), "{begun:?}");
    let began = tokio::time::Instant::now();
    // Those who wait become too old, which is certain, and the next are in time.
    while let Err(error) = put(&store, b"k", b"v").await {
        assert_eq!(error, StoreError::TooOld);
    }
    assert!(began.elapsed().as_secs() < 15, "held up for {:?}", began.elapsed());
    let late = hanging.call(Call::new(schema::VERSION, [])).await;
    assert!(matches!(&late, Err(PgError::Lost(cause)) if cause.contains("idle-in-transaction")), "{late:?}");
    drop(store);
    schemas.drop_all().await;
}

/// A process that commits again after others made thousands of commits judges its own as if it had seen each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_far_behind_conflicts_with_what_was_written_since_its_reads_alone() {
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    let (seldom, often) = (open(&address).await, open(&address).await);
    put(&seldom, b"k", b"0").await.unwrap();
    let groups = "INSERT INTO commits (first, last, starts, ends) SELECT n, n, ARRAY['x'::bytea], ARRAY[''::bytea] FROM \
                  generate_series(2, 5000) AS n; UPDATE meta SET version = 5000";
    run(&admin(&address).await, groups).await;
    for (key, conflict) in [(&b"k"[..], true), (b"other", false)] {
        let mut reader = seldom.begin().await.unwrap();
        assert!(reader.get(b"k", Read::Serializable).await.unwrap().is_some());
        reader.set(b"mine", b"");
        put(&often, key, b"1").await.unwrap();
        let outcome = reader.commit().await;
        assert_eq!(outcome.err(), conflict.then_some(StoreError::Conflict));
    }
    // What is no longer told makes old readers too old, and nobody else.
    let mut reader = seldom.begin().await.unwrap();
    assert!(reader.get(b"k", Read::Serializable).await.unwrap().is_some());
    reader.set(b"mine", b"");
    put(&often, b"other", b"2").await.unwrap();
    run(&admin(&address).await, "DELETE FROM commits").await;
    assert_eq!(reader.commit().await, Err(StoreError::TooOld));
    put(&seldom, b"k", b"2").await.unwrap();
    drop((seldom, often));
    schemas.drop_all().await;
}

/// Where the lock does not hold, as behind a pooler in transaction mode, no commit is applied on what it has not seen.
#[tokio::test]
async fn without_the_lock_the_version_alone_keeps_commits_apart() {
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    let store = open(&address).await;
    put(&store, b"k", b"1").await.unwrap();
    let (left, right) = (admin(&address).await, admin(&address).await);
    run(&left, schema::BEGIN).await;
    let raise = || Call::new(schema::RAISE_VERSION, [Param::Number(1), Param::Number(2)]);
    assert_eq!(left.call(raise()).await.unwrap().done, 1);
    let (second, _) = futures::join!(right.call(raise()), run(&left, "COMMIT"));
    assert_eq!(second.unwrap().done, 0);
    drop(store);
    schemas.drop_all().await;
}

#[tokio::test]
async fn what_is_in_the_way_is_named_with_the_next_step_and_without_the_password() {
    let Some(schemas) = Schemas::new() else { return };
    let address = schemas.address();
    let password = schemas.server.split([':', '@']).nth(2).unwrap().to_owned();
    let changed = |change: &dyn Fn(&mut PostgresAddress)| {
        let mut changed = address.clone();
        change(&mut changed);
        changed
    };
    let fail = async |address: PostgresAddress| PostgresStore::open(address, &system()).await.unwrap_err();
    let store = open(&address).await;
    put(&store, b"k", b"v").await.unwrap();

    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let unreachable = fail(changed(&|address| address.port = nobody)).await;
    let (_, place) = schemas.server.split_once('@').unwrap();
    let wrong = format!("postgres://millrace:hunter2@{place}?schema={}", address.schema);
    let wrong = fail(PostgresAddress::parse(&wrong).unwrap()).await;
    let absent = fail(changed(&|address| address.database = "absent".into())).await;
    let admin = admin(&address).await;
    run(&admin, "UPDATE meta SET format = 2").await;
    let newer = fail(address.clone()).await;
    run(&admin, "ALTER TABLE commits RENAME TO theirs").await;
    let alien = fail(address.clone()).await;
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
    run(&admin, "ALTER TABLE theirs RENAME TO commits; UPDATE meta SET format = 1, version = 0").await;
    let back = put(&store, b"k", b"v").await;
    assert!(matches!(&back, Err(StoreError::Closed { cause }) if cause.contains("older")), "{back:?}");
    assert!(store.closed().await.contains("older"), "whoever runs the store hears of it");
    let error = explain(&address, PgError::Refused { code: "53300".into(), message: "too many".into() });
    assert!(error.to_string().contains("connections="), "{error}");
    drop(store);
    schemas.drop_all().await;
}

#[tokio::test]
async fn transactions_wait_for_a_session_where_all_are_in_use() {
    let Some(schemas) = Schemas::new() else { return };
    let mut address = schemas.address();
    address.connections = 2;
    let store = open(&address).await;
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
