//! `max_record_bytes`: a flood in which most bytes are records above it.

use std::time::{Duration, Instant};

use millrace_tests::{Broker, events};

use super::flood::Flood;
use super::{deadline, metric};
use crate::stage::Stage;

/// One in this many is too large.
const LARGE_IN: i64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_a_flood_of_records_above_their_limit_is_kept_as_error_rows_within_memory() {
    let broker = Broker::mock("events", 2).unwrap();
    let settings = [
        ("memory.limit", "160MiB"),
        ("memory.ingest_limit", "112MiB"),
        ("memory.query_limit", "80MiB"),
        ("source.queue_bytes", "4MiB"),
        ("wal.queue_bytes", "4MiB"),
    ];
    let mut stage = Stage::open_with(&settings).await;
    stage.take_events(&broker, "flush_interval = '2s', max_record_bytes = '8KiB'").await;
    let payload = |seq: i64| match seq % LARGE_IN {
        0 => events::payload(seq, &"x".repeat(48 << 10)),
        _ => events::payload(seq, "a good one between large ones"),
    };
    let flood = Flood::start(&broker, &stage, payload).await;
    let (until, mut peak) = (deadline(), 0.0_f64);
    while Instant::now() < until {
        peak = peak.max(metric(&stage.server, "millrace_ingest_memory_bytes").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ledger = flood.end().await;
    stage.until_all_of(&ledger).await;
    let large =
        stage.sql.number("SELECT count(*) FROM `events$errors` WHERE reason = 'record_too_large'").await.unwrap();
    println!("{} records, {large} of them too large; ingest held {peak} bytes at the most", ledger.len());
    assert!(large > 0 && peak <= f64::from(112 << 20), "I8: {peak} bytes");
    let counted = metric(&stage.server, "millrace_error_rows_total{reason=\"record_too_large\"}").await;
    assert!(counted as i64 >= large, "the metric has {counted}");
}
