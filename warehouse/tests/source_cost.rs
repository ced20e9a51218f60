//! What reading costs: CPU time for each byte of payload, of the reader's thread and of librdkafka's. A measurement, to be
//! run by hand: `cargo test --release … --test source_cost -- --ignored --nocapture`.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::collections::BTreeMap;

use catalog::{Offset, StreamId};
use millrace_warehouse::write::source::{SourceEvent, SourceOptions, SourceStream};

mod source_harness;
use source_harness::{Harness, MockHarness, TestRecord, options, record};

const PARTITIONS: i32 = 8;
const RECORDS: usize = 7500;
const RECORD_BYTES: usize = 600;
const ROUNDS: u64 = 30;

#[tokio::test]
#[ignore = "a measurement"]
async fn nanoseconds_of_cpu_for_each_byte() {
    let mock = MockHarness::new();
    let topic = mock.topic("cost", PARTITIONS);
    let records: Vec<TestRecord> = (0..RECORDS).map(|_| record(vec![b'x'; RECORD_BYTES])).collect();
    (0..PARTITIONS).for_each(|partition| mock.produce(&topic, partition, &records));
    let others = threads();
    let wide = SourceOptions { queue_bytes: 64 << 20, batch_bytes: 4 << 20, ..options() };
    let mut source = mock.connector().open(&mock.kafka(&topic), wide).await.unwrap();
    let (mut bytes, mut batches) = (0, 0);
    for _ in 0..ROUNDS {
        let mut missing = 0;
        for partition in 0..PARTITIONS {
            let stream = SourceStream {
                stream: StreamId(partition as u64),
                topic: topic.as_str().into(),
                incarnation: "".into(),
                partition,
                position: Offset(0),
            };
            source.add(stream).await.unwrap();
            missing += RECORDS;
        }
        while missing > 0 {
            if let SourceEvent::Fetched(fetched) = source.next().await {
                missing -= fetched.records.len();
                bytes += fetched.records.bytes() as u64;
                batches += 1;
            }
        }
    }
    let mut total = 0;
    for (id, (name, nanoseconds)) in threads() {
        if !others.contains_key(&id) && (name.starts_with("read-") || name.starts_with("rdk:")) {
            println!("{name:16} {:6.3} ns/byte", nanoseconds as f64 / bytes as f64);
            total += nanoseconds;
        }
    }
    println!("{:16} {:6.3} ns/byte over {bytes} bytes in {batches} batches", "all", total as f64 / bytes as f64);
}

/// Name and CPU time of each thread of this process.
fn threads() -> BTreeMap<String, (String, u64)> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let of_one = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?.trim().to_owned();
        let times = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanoseconds = times.split_whitespace().next()?.parse().ok()?;
        Some((task.file_name().to_string_lossy().into_owned(), (name, nanoseconds)))
    };
    tasks.filter_map(of_one).collect()
}
