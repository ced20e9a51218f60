//! `kill -9` while clients insert: each INSERT that was answered is there exactly once, each that was not is there once after it was
//! sent again under its label, and none is there in part.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_tests::{ServerOptions, ServerProcess, Sql};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use warehouse::write::failpoint::INSERT_CRASH_POINTS;

const CLIENTS: u64 = 8;
const TABLE: &str = "CREATE TABLE notes (insert_id BIGINT NOT NULL, n INT NOT NULL, at DATETIME) PARTITION BY day(at) ORDER BY (insert_id)";

/// The INSERTs that were begun, each with its rows. Numbers are never used again.
#[derive(Default)]
struct Sent {
    next: AtomicU64,
    open: std::sync::Mutex<BTreeMap<u64, u64>>,
    answered: std::sync::Mutex<BTreeMap<u64, u64>>,
}

impl Sent {
    fn statement(&self, id: u64, rows: u64) -> String {
        let row = |n: u64| format!("({id}, {n}, '2024-02-{:02} 00:00:00')", 1 + (id + n) % 5);
        let rows: Vec<String> = (0..rows).map(row).collect();
        format!("INSERT INTO notes WITH LABEL insert_{id} VALUES {}", rows.join(", "))
    }

    async fn insert(&self, sql: &mut Sql, id: u64, rows: u64) -> anyhow::Result<()> {
        sql.run(&self.statement(id, rows)).await?;
        self.open.lock().unwrap().remove(&id);
        self.answered.lock().unwrap().insert(id, rows);
        Ok(())
    }
}

/// Inserts until the server is gone.
async fn client(port: u16, sent: Arc<Sent>, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let Ok(mut sql) = Sql::connect(port).await else { return };
    loop {
        let (id, rows) = (sent.next.fetch_add(1, Ordering::Relaxed), random.random_range(1..4));
        sent.open.lock().unwrap().insert(id, rows);
        if sent.insert(&mut sql, id, rows).await.is_err() {
            return;
        }
    }
}

fn begin(port: u16, sent: &Arc<Sent>, seed: u64) -> Vec<tokio::task::JoinHandle<()>> {
    (0..CLIENTS).map(|n| tokio::spawn(client(port, Arc::clone(sent), seed * CLIENTS + n))).collect()
}

/// Sends each that was not answered once more, and once more again, and counts the rows of each.
async fn check(options: &ServerOptions, sent: &Sent) {
    let server = ServerProcess::start(options).await.unwrap();
    let mut sql = server.sql().await.unwrap();
    let open: Vec<(u64, u64)> = sent.open.lock().unwrap().iter().map(|(id, rows)| (*id, *rows)).collect();
    for (id, rows) in open {
        for _ in 0..2 {
            sent.insert(&mut sql, id, rows).await.unwrap();
        }
    }
    let found = sql.rows("SELECT insert_id, count(*), count(DISTINCT n) FROM notes GROUP BY insert_id").await.unwrap();
    let number = |cell: &Option<String>| cell.as_ref().unwrap().parse::<u64>().unwrap();
    let found: BTreeMap<u64, (u64, u64)> =
        found.iter().map(|row| (number(&row[0]), (number(&row[1]), number(&row[2])))).collect();
    let expected: BTreeMap<u64, (u64, u64)> =
        sent.answered.lock().unwrap().iter().map(|(id, rows)| (*id, (*rows, *rows))).collect();
    assert_eq!(found, expected);
    server.kill().await.unwrap();
}

async fn prepared(directory: &tempfile::TempDir) -> ServerOptions {
    let options = ServerOptions::new(env!("CARGO_BIN_EXE_millrace-under-test"), &directory.path().join("data"));
    let server = ServerProcess::start(&options).await.unwrap();
    server.sql().await.unwrap().run(TABLE).await.unwrap();
    server.kill().await.unwrap();
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_each_insert_is_there_once_or_is_sent_again() {
    let seed: u64 =
        std::env::var("MILLRACE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("MILLRACE_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let options = prepared(&directory).await;
    let sent = Arc::new(Sent::default());
    let kills: u32 = std::env::var("MILLRACE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(15);
    for kill in 0..kills {
        let server = ServerProcess::start(&options).await.unwrap();
        let clients = begin(server.mysql_port, &sent, u64::from(kill));
        tokio::time::sleep(Duration::from_millis(random.random_range(0..600))).await;
        server.kill().await.unwrap();
        for client in clients {
            client.await.unwrap();
        }
        if kill % 5 == 4 {
            check(&options, &sent).await;
        }
    }
    check(&options, &sent).await;
    assert!(!sent.answered.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_before_or_after_any_step_of_an_insert_loses_nothing_and_doubles_nothing() {
    for point in INSERT_CRASH_POINTS {
        for hit in [1, 3] {
            // A channel is opened once.
            if hit > 1 && *point == "insert.channel_opened" {
                continue;
            }
            println!("dying at {point}, hit {hit}");
            let directory = tempfile::tempdir().unwrap();
            let mut options = prepared(&directory).await;
            let sent = Arc::new(Sent::default());
            options.failpoints =
                if hit == 1 { format!("{point}=return") } else { format!("{point}={}*off->return", hit - 1) };
            let mut server = ServerProcess::start(&options).await.unwrap();
            let clients = begin(server.mysql_port, &sent, hit);
            assert!(
                server.died(Duration::from_secs(60)).await.unwrap(),
                "the server never reached {point} {hit} times"
            );
            for client in clients {
                client.await.unwrap();
            }
            options.failpoints.clear();
            check(&options, &sent).await;
        }
    }
}
