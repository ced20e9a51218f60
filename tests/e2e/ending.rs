//! A statement that is ended lets go of all that it held, whoever ends it: its client, by going away; another session, by KILL
//! QUERY or by KILL.

use std::path::Path;
use std::time::Duration;

use millrace_tests::{ServerOptions, ServerProcess, Sql};

use crate::stage::BINARY;

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
