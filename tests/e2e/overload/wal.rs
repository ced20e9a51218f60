//! The write-ahead log: a flood whose commits are slow and far between, into a log of a few mebibytes.

use std::time::Instant;

use millrace_tests::{Broker, ServerOptions, ServerProcess, events};

use super::flood::Flood;
use super::{deadline, metric};
use crate::stage::{BINARY, Stage};

const LIMIT: u64 = 8 << 20;
const SEGMENT: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_the_log_stays_within_its_limit_under_a_flood_and_lag_drains() {
    let broker = Broker::mock("events", 2).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(BINARY, &directory.path().join("data"))
        .with("wal.bytes_max", &LIMIT.to_string())
        .with("wal.segment_bytes", &SEGMENT.to_string());
    options.failpoints = "flush.before_upload=sleep(500)".to_owned();
    let server = ServerProcess::start(&options).await.unwrap();
    let sql = server.sql().await.unwrap();
    let mut stage = Stage { options, server, sql, directory };
    stage.take_events(&broker, "flush_interval = '1h', flush_bytes = '1GiB', tasks = 2").await;

    // No two bodies alike, so that LZ4 leaves them long.
    let body = |seq: i64| {
        (0..12)
            .map(|n| format!("{:015x}", (seq * 12 + n).wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64)))
            .collect::<String>()
    };
    let flood = Flood::start(&broker, &stage, move |seq| events::payload(seq, &body(seq)[..180])).await;
    let (until, mut peak, mut was_full) = (deadline(), 0, false);
    while Instant::now() < until {
        peak = peak.max(stage.sql.number("SELECT max(wal_bytes) FROM system.workers").await.unwrap() as u64);
        was_full |= metric(&stage.server, "millrace_wal_full").await > 0.0;
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let ledger = flood.end().await;
    println!("{} records; the log had {peak} bytes at the most, its limit is {LIMIT}; full: {was_full}", ledger.len());
    stage.until_all_of(&ledger).await;

    assert!(was_full, "the log was never full: nothing was overloaded");
    // Batches in hand when it is found to be full, and the segment that they begin.
    assert!(peak <= LIMIT + 4 * SEGMENT + (8 << 20), "I8: the log had {peak} bytes, and its limit is {LIMIT}");
    let mut stage = stage.kill_and_start().await;
    stage.until_all_of(&ledger).await;
}
