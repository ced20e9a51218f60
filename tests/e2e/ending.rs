//! A statement that is ended lets go of all that it held, whoever ends it: its client, by going away; another session, by KILL
//! QUERY or by KILL.

mod stages;

use std::path::Path;
use std::time::Duration;

use millrace_tests::{Broker, Ledger, ServerOptions, ServerProcess, Sql, events};

use crate::stage::{BINARY, Stage};

/// It spills from its first second on, and never comes to its end.
const ENDLESS: &str = "SELECT a.value * 7919 % 1000003 AS x, repeat('x', 200) AS y \
                       FROM generate_series(1, 1000000) a, generate_series(1, 1000000) b ORDER BY x, y";
const LISTED: &str = "SELECT ID FROM information_schema.processlist WHERE INFO LIKE 'SELECT a.value%'";

fn files_in(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => files_in(&path),
        _ => 1,
    };
    entries.flatten().map(count).sum()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < patience, "not within a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Begins the endless statement in a session of its own; returns once it spills, with the number of its connection.
async fn begin(server: &ServerProcess, spill: &Path, watcher: &mut Sql) -> (i64, tokio::task::JoinHandle<String>) {
    let mut session = server.sql().await.unwrap();
    let running = tokio::spawn(async move {
        let (_, error) = session.rows_until_error(ENDLESS).await;
        format!("{:#}", error.unwrap())
    });
    until("it spills", async || files_in(spill) > 0).await;
    (watcher.number(LISTED).await.unwrap(), running)
}

/// Nothing of it is left: neither its files nor its place in the list of what runs. And queries have their memory again.
async fn assert_gone(spill: &Path, watcher: &mut Sql, how: &str) {
    until(how, async || files_in(spill) == 0 && watcher.rows(LISTED).await.unwrap().is_empty()).await;
    let sorted = "SELECT count(*) FROM (SELECT value, row_number() OVER (ORDER BY value % 1009, value) AS n \
                  FROM generate_series(1, 300000)) AS s WHERE n > 0";
    assert_eq!(watcher.number(sorted).await.unwrap(), 300_000, "{how}");
    assert_eq!(files_in(spill), 0, "{how}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_ends_a_statement_its_memory_and_its_spilled_files_are_let_go_of() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let options = ServerOptions::new(BINARY, &data_dir).with("memory.query_limit", "64MiB");
    let server = ServerProcess::start(&options).await.unwrap();
    let spill = data_dir.join("spill");
    let mut watcher = server.sql().await.unwrap();

    let (_, running) = begin(&server, &spill, &mut watcher).await;
    running.abort();
    assert_gone(&spill, &mut watcher, "its client went away").await;

    let (connection, running) = begin(&server, &spill, &mut watcher).await;
    watcher.run(&format!("KILL QUERY {connection}")).await.unwrap();
    let said = running.await.unwrap();
    assert!(said.contains("1317"), "{said}");
    assert_gone(&spill, &mut watcher, "KILL QUERY").await;

    let (connection, running) = begin(&server, &spill, &mut watcher).await;
    watcher.run(&format!("KILL {connection}")).await.unwrap();
    running.await.unwrap();
    assert_gone(&spill, &mut watcher, "KILL").await;
    let connected = format!("SELECT ID FROM information_schema.processlist WHERE ID = {connection}");
    until("the connection is closed", async || watcher.rows(&connected).await.unwrap().is_empty()).await;
    server.kill().await.unwrap();
}

/// It computes between two rows for as long as it is let.
const BUSY: &str =
    "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a.value * b.value % 7 = 8";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i9_queries_that_compute_on_every_thread_hold_up_neither_the_intake_nor_whoever_ends_them() {
    let broker = Broker::mock("events", 1).unwrap();
    let mut stage = Stage::with_events(&broker, "flush_interval = '300ms'").await;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let mut busy = Vec::new();
    for _ in 0..=threads {
        let mut session = stage.server.sql().await.unwrap();
        busy.push(tokio::spawn(async move { format!("{:#}", session.rows_until_error(BUSY).await.1.unwrap()) }));
    }
    let listed =
        "SELECT ID FROM information_schema.processlist WHERE INFO LIKE 'SELECT count(*) FROM generate_series%'";
    until("all of them run", async || stage.sql.rows(listed).await.unwrap().len() == threads + 1).await;

    // While they do, records become visible and are committed.
    let (producer, mut ledger) = (broker.producer(&[]).unwrap(), Ledger::default());
    let payloads = (0..500).map(|seq| (0, events::payload(seq, "meanwhile"))).collect();
    producer.send_all(payloads, &mut ledger).await.unwrap();
    stage.until("SELECT coalesce(sum(committed_offset), 0) FROM system.streams", 500).await;
    let still = stage.sql.rows(listed).await.unwrap();
    assert_eq!(still.len(), threads + 1, "they ended by themselves: nothing was held up");
    for row in still {
        stage.sql.run(&format!("KILL QUERY {}", row[0].as_deref().unwrap())).await.unwrap();
    }
    for session in busy {
        let said = session.await.unwrap();
        assert!(said.contains("1317"), "{said}");
    }
    stage.until_all_of(&ledger).await;
}
