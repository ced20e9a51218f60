//! Memory: a flood that outruns slow uploads, beside queries that sort and join more than fits, under one small limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use millrace_tests::{Broker, ServerOptions, ServerProcess, Sql, events};

use super::flood::Flood;
use super::{deadline, metric};
use crate::stage::{BINARY, Stage, assert_says};

const LIMIT: u64 = 160 << 20;
/// Queries that want more than they get: they spill, or are told so.
const GREEDY: [&str; 2] = [
    "SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY body, seq) AS n FROM events) s WHERE n > 0",
    "SELECT count(*) FROM events a JOIN events b ON a.body = b.body AND a._stream = b._stream AND a._offset = b._offset",
];

/// The most that a process has had resident, in bytes.
fn resident_peak(server: &ServerProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Asks for too much, again and again; how often that was answered and refused.
async fn ask(mut sql: Sql, query: &'static str, end: Arc<AtomicBool>) -> (u64, u64) {
    let (mut answered, mut refused) = (0, 0);
    while !end.load(Ordering::Relaxed) {
        match sql.number(query).await {
            Ok(_) => answered += 1,
            Err(error) => {
                assert_says(&format!("{error:#}"), &["memory"]);
                refused += 1;
            }
        }
    }
    (answered, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_memory_holds_under_a_flood_and_greedy_queries_and_lag_drains() {
    let broker = Broker::mock("events", 2).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(BINARY, &directory.path().join("data"))
        .with("memory.limit", &LIMIT.to_string())
        .with("memory.ingest_limit", "112MiB")
        .with("memory.query_limit", "80MiB")
        .with("source.queue_bytes", "4MiB")
        .with("wal.queue_bytes", "4MiB");
    options.failpoints = "flush.before_upload=sleep(300)".to_owned();
    let server = ServerProcess::start(&options).await.unwrap();
    let sql = server.sql().await.unwrap();
    let mut stage = Stage { options, server, sql, directory };
    let program = resident_peak(&stage.server);
    stage.take_events(&broker, "flush_interval = '1h', flush_bytes = '1GiB'").await;

    let flood = Flood::start(&broker, &stage, |seq| events::payload(seq, &format!("{:-^180}", seq % 9_973))).await;
    let end = Arc::new(AtomicBool::new(false));
    let mut asking = Vec::new();
    for query in GREEDY {
        asking.push(tokio::spawn(ask(stage.server.sql().await.unwrap(), query, Arc::clone(&end))));
    }
    let (until, mut peak) = (deadline(), 0.0_f64);
    while Instant::now() < until {
        peak = peak.max(metric(&stage.server, "millrace_memory_used_bytes").await);
        stage.sql.run("SHOW TASKS").await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    end.store(true, Ordering::Relaxed);
    let ledger = flood.end().await;
    let mut asked = Vec::new();
    for asking in asking {
        asked.push(asking.await.unwrap());
    }
    let resident = resident_peak(&stage.server) - program;
    println!(
        "{} records; peak charged {peak}, resident {resident} of {LIMIT}; queries (answered, refused): {asked:?}",
        ledger.len()
    );
    stage.until_all_of(&ledger).await;

    assert_eq!(metric(&stage.server, "millrace_memory_limit_bytes").await as u64, LIMIT);
    assert!(peak <= LIMIT as f64 * 1.1, "I8: {peak} bytes were charged, and the limit is {LIMIT}");
    // What the allocator holds beside what was asked of it, the engine's plans and buffers, and the test's own noise.
    assert!(resident <= LIMIT * 2, "I8: {resident} bytes were resident beside the program, and the limit is {LIMIT}");
    assert_eq!(
        metric(&stage.server, "millrace_query_memory_bytes").await as u64,
        0,
        "no query holds anything any more"
    );
}
