//! I8: what a source holds stays under its limit, however much the broker has. Alone in its binary: it measures the process.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

use catalog::StreamId;
use millrace_warehouse::write::source::SourceOptions;

mod source_harness;
use source_harness::{Harness, MockHarness, Reading, TestRecord, options, record};

const QUEUE_BYTES: u64 = 4 << 20;
const PARTITIONS: i32 = 10;

#[tokio::test]
async fn i8_a_paused_source_stops_fetching_at_its_limit() {
    let mock = MockHarness::new();
    let topic = mock.topic("bound", PARTITIONS);
    // As much as the mock keeps: 45 MiB in all, eleven times the limit.
    let records: Vec<TestRecord> = (0..7500).map(|_| record(vec![b'x'; 600])).collect();
    (0..PARTITIONS).for_each(|partition| mock.produce(&topic, partition, &records));
    let mut reading = Reading::open(&mock, &topic, SourceOptions { queue_bytes: QUEUE_BYTES, ..options() }).await;
    reading.source.set_paused(true);
    let before = resident_kib();
    for partition in 0..PARTITIONS {
        reading.add(partition, 0).await;
    }
    reading.until("the first records", |reading| reading.source.queue_bytes() > 0).await;
    reading.until_quiet().await;
    let held = reading.source.queue_bytes();
    assert!(held > QUEUE_BYTES / 4 && held <= QUEUE_BYTES, "{held}");
    let grown = resident_kib().saturating_sub(before);
    println!("holds {held} bytes; the process grew by {grown} KiB");
    // Twice the limit for the allocator's sake; without the bound it is 45 MiB and more.
    assert!(grown < 2 * QUEUE_BYTES / 1024, "grew by {grown} KiB");

    reading.source.set_paused(false);
    let mut most = 0;
    while reading.seen.values().any(|seen| seen.position < 7500) {
        let event = reading.source.next().await;
        reading.absorb(event);
        most = most.max(reading.source.queue_bytes());
    }
    println!("held at most {most} bytes");
    assert!(most <= QUEUE_BYTES, "{most}");
    assert_eq!(reading.seen[&StreamId(0)].records.len(), 7500);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
