//! Offsets without a record: aborted transactions, control records, compaction. They are skipped, counted, and leave no lag.

use std::time::Duration;

use millrace_tests::{Broker, NewRecord, Producer, RealKafka, events};
use rdkafka::producer::Producer as _;

use super::assert_every_offset_is_accounted_for;
use crate::stage::{SOON, Stage};

/// One transaction of these events; whether it is committed.
pub(super) async fn transaction(producer: &Producer, seqs: std::ops::Range<i64>, commit: bool) {
    producer.producer.begin_transaction().unwrap();
    for seq in seqs {
        producer.send(0, Some(&events::payload(seq, "in a transaction"))).await.unwrap();
    }
    let client = producer.producer.clone();
    let end = move || if commit { client.commit_transaction(SOON) } else { client.abort_transaction(SOON) };
    tokio::task::spawn_blocking(end).await.unwrap().unwrap();
}

pub(super) async fn transactional(broker: &Broker) -> Producer {
    let producer = broker.producer(&[("transactional.id", &broker.topic)]).unwrap();
    let client = producer.producer.clone();
    tokio::task::spawn_blocking(move || client.init_transactions(SOON)).await.unwrap().unwrap();
    producer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_of_aborted_transactions_are_never_rows_and_leave_no_lag() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("aborted", 1, &[]).await.unwrap();
    let mut stage = Stage::with_events(&broker, "flush_interval = '200ms'").await;
    let producer = transactional(&broker).await;
    transaction(&producer, 0..20, true).await;
    transaction(&producer, 1_000..1_030, false).await;
    transaction(&producer, 20..30, true).await;
    transaction(&producer, 2_000..2_005, false).await;

    stage.until("SELECT count(*) FROM events", 30).await;
    // 65 records, and a control record for each of the four transactions.
    stage.until("SELECT sum(committed_offset) FROM system.streams", 69).await;
    stage.until("SELECT sum(lag_records) FROM system.streams", 0).await;
    let ledger = stage.sql.row("SELECT sum(`rows`), sum(errors), sum(skipped) FROM system.streams").await.unwrap();
    assert_eq!(ledger, ["30", "0", "39"]);
    assert_eq!(stage.sql.number("SELECT sum(seq) FROM events").await.unwrap(), 30 * 29 / 2);

    let mut stage = stage.kill_and_start().await;
    assert_eq!(stage.sql.number("SELECT sum(seq) FROM events").await.unwrap(), 30 * 29 / 2);
    assert_every_offset_is_accounted_for(&mut stage.sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uncommitted_records_are_rows_only_where_the_pipeline_says_so() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("uncommitted", 1, &[]).await.unwrap();
    let mut stage = Stage::with_events(&broker, "read_committed = false").await;
    let producer = transactional(&broker).await;
    transaction(&producer, 0..5, false).await;
    transaction(&producer, 5..10, true).await;
    stage.until("SELECT count(*) FROM events", 10).await;
    assert_eq!(stage.sql.number("SELECT sum(seq) FROM events").await.unwrap(), 45);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_holes_of_a_compacted_topic_are_skipped_and_counted() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
    ];
    let broker = kafka.topic("compacted", 1, &settings).await.unwrap();
    let producer = broker.producer(&[]).unwrap();
    let mut seq = 0;
    // Each round ends the segment before it, and compaction takes the older values of the same ten keys.
    for round in 0..200 {
        for _ in 0..50 {
            let key = Some((seq % 10).to_string().into_bytes());
            let payload = Some(events::payload(seq, "keyed"));
            producer.send_record(&NewRecord { key, payload, ..NewRecord::default() }).await.unwrap();
            seq += 1;
        }
        tokio::time::sleep(Duration::from_millis(150)).await;
        if compacted(&broker, seq).await {
            break;
        }
        assert!(round < 199, "the broker does not compact");
    }
}

/// Takes the topic from its start into a new server, and checks it. Whether it was compacted.
async fn compacted(broker: &Broker, produced: i64) -> bool {
    let mut stage = Stage::with_events(broker, "flush_interval = '100ms'").await;
    stage.until("SELECT sum(committed_offset) FROM system.streams", produced).await;
    let keys = "SELECT count(DISTINCT seq % 10), max(seq) FROM events";
    assert_eq!(
        stage.sql.row(keys).await.unwrap(),
        ["10".to_owned(), (produced - 1).to_string()],
        "the last of each key is there"
    );
    assert_eq!(stage.sql.number("SELECT count(*) FROM events WHERE seq <> _offset").await.unwrap(), 0);
    assert_every_offset_is_accounted_for(&mut stage.sql).await;
    stage.sql.number("SELECT sum(skipped) FROM system.streams").await.unwrap() > produced / 2
}
