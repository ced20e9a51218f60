//! What only a real Kafka does: transactions, compaction, retention, codecs, topics that change. Skipped where there is none.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::time::Duration;

use catalog::{Offset, StartPosition, StreamId};
use futures::executor::block_on;
use millrace_warehouse::write::source::{SourceError, SourceOptions};
use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::producer::{BaseProducer, Producer};

mod source_harness;
use source_harness::{
    Harness, Reading, RealHarness, TestRecord, numbered, options, produce_with, producer, record, send, unused_name,
};

const PATIENCE: Duration = Duration::from_secs(60);

fn transactional(kafka: &RealHarness, topic: &str) -> BaseProducer {
    let producer = producer(&kafka.brokers(), &[("transactional.id", topic)]);
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn transaction(producer: &BaseProducer, topic: &str, records: &[TestRecord], commit: bool) {
    producer.begin_transaction().unwrap();
    records.iter().for_each(|record| send(producer, topic, 0, record));
    producer.flush(PATIENCE).unwrap();
    let end = if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) };
    end.unwrap();
}

#[tokio::test]
async fn aborted_records_are_passed_over_and_leave_no_lag() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = kafka.topic("aborted", 1);
    let producer = transactional(&kafka, &topic);
    transaction(&producer, &topic, &[record("a"), record("b")], true);
    transaction(&producer, &topic, &[record("never"), record("never")], false);
    transaction(&producer, &topic, &[record("c")], true);
    transaction(&producer, &topic, &[record("never")], false);
    // Six records, and a control record for each transaction; the last two offsets hold nothing to be read.
    let (end, expected) = (10, ["a", "b", "c"]);
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    reading.add(0, 0).await;
    reading.until_ends(&[end]).await;
    assert_eq!(reading.texts(0), expected);
    reading.until("the same end", |reading| reading.seen[&StreamId(0)].high == Some(end)).await;

    let mut reading = Reading::open(&kafka, &topic, SourceOptions { read_committed: false, ..options() }).await;
    reading.add(0, 0).await;
    reading.until_ends(&[end]).await;
    assert_eq!(reading.texts(0), ["a", "b", "never", "never", "c", "never"]);
}

#[tokio::test]
async fn an_open_transaction_holds_records_back_until_it_ends() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = kafka.topic("open", 1);
    let producer = transactional(&kafka, &topic);
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    reading.add(0, 0).await;
    producer.begin_transaction().unwrap();
    send(&producer, &topic, 0, &record("held"));
    producer.flush(PATIENCE).unwrap();
    kafka.produce(&topic, 0, &[record("behind")]);
    reading.until("lag", |reading| reading.seen[&StreamId(0)].high == Some(2)).await;
    reading.until_quiet().await;
    assert_eq!(reading.seen[&StreamId(0)].position, 0);
    producer.abort_transaction(PATIENCE).unwrap();
    reading.until_ends(&[3]).await;
    assert_eq!(reading.texts(0), ["behind"]);
}

#[tokio::test]
async fn the_holes_of_a_compacted_topic_are_settled() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = unused_name("compacted");
    let settings = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "100"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "100"),
    ];
    kafka.create_with(&topic, 1, &settings);
    let keyed = |key: usize, payload: usize| TestRecord {
        key: Some(key.to_string().into_bytes()),
        ..record(payload.to_string())
    };
    let mut end = 0;
    // Each round ends the segment before it; compaction takes the older values of the same ten keys.
    for round in 0..600 {
        let batch: Vec<TestRecord> = (0..50).map(|number| keyed(number % 10, end as usize + number)).collect();
        kafka.produce(&topic, 0, &batch);
        end += 50;
        let mut reading = Reading::open(&kafka, &topic, options()).await;
        reading.add(0, 0).await;
        reading.until_ends(&[end]).await;
        let records = reading.seen[&StreamId(0)].records.len() as u64;
        // The last value of each key is there, and nothing came twice: checked as it came.
        assert!(reading.texts(0).contains(&(end - 1).to_string()));
        if records < end / 2 {
            return;
        }
        assert!(round < 599, "the broker does not compact");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn retention_that_overtakes_the_position_is_out_of_range() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = unused_name("retention");
    kafka.create_with(&topic, 1, &[("retention.ms", "1"), ("segment.ms", "100")]);
    kafka.produce(&topic, 0, &numbered(100));
    let (connector, source) = (kafka.connector(), kafka.kafka(&topic));
    while connector.watermarks(&source, &topic, 0).await.unwrap().0 < Offset(100) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    reading.add(0, 10).await;
    reading.until("the event", |reading| !reading.out_of_range.is_empty()).await;
    assert_eq!(reading.out_of_range, [(StreamId(0), 10, 100, 100)]);
    assert_eq!(connector.resolve(&source, &topic, 0, &StartPosition::Earliest).await, Ok(Offset(100)));
}

#[tokio::test]
async fn every_codec_is_read() {
    let Some(kafka) = RealHarness::connect() else { return };
    let codecs = ["none", "gzip", "snappy", "lz4", "zstd"];
    let topic = kafka.topic("codecs", 5);
    let records: Vec<TestRecord> = (0..500).map(|number| record(format!("{number:-^300}"))).collect();
    for (partition, codec) in (0..).zip(codecs) {
        produce_with(
            &kafka.brokers(),
            &topic,
            partition,
            &records,
            &[("compression.type", codec), ("linger.ms", "50")],
        );
    }
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    for partition in 0..5 {
        reading.add(partition, 0).await;
    }
    reading.until_ends(&[500; 5]).await;
    let expected = reading.texts(0);
    (1..5).for_each(|partition| assert_eq!(reading.texts(partition), expected, "{}", codecs[partition as usize]));
    assert_eq!(reading.troubles, vec![]);
}

#[tokio::test]
async fn partitions_that_are_added_are_read_while_the_others_go_on() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = kafka.topic("grown", 1);
    let (connector, source) = (kafka.connector(), kafka.kafka(&topic));
    let before = connector.topic(&source).await.unwrap();
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    reading.add(0, 0).await;
    kafka.produce(&topic, 0, &numbered(10));
    reading.until_ends(&[10]).await;
    block_on(kafka.admin().create_partitions([&NewPartitions::new(&topic, 3)], &AdminOptions::new())).unwrap()[0]
        .as_ref()
        .unwrap();
    kafka.wait_for_partitions(&topic, 3);
    let after = connector.topic(&source).await.unwrap();
    assert_eq!(after.partitions, [0, 1, 2]);
    assert_eq!(after.incarnation, before.incarnation, "growing is not a new incarnation");
    (0..3).for_each(|partition| kafka.produce(&topic, partition, &numbered(10)));
    reading.add(1, 0).await;
    reading.add(2, 0).await;
    reading.until_ends(&[20, 10, 10]).await;
    assert_eq!((reading.troubles, reading.changed), (vec![], vec![]));
}

fn delete(kafka: &RealHarness, topic: &str) {
    block_on(kafka.admin().delete_topics(&[topic], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
}

#[tokio::test]
async fn nothing_of_a_topic_made_again_is_read_into_the_old_stream() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = kafka.topic("again", 1);
    let (connector, source) = (kafka.connector(), kafka.kafka(&topic));
    kafka.produce(&topic, 0, &[record("old"), record("old")]);
    let before = connector.topic(&source).await.unwrap();
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    reading.add(0, 0).await;
    reading.until_ends(&[2]).await;
    delete(&kafka, &topic);
    kafka.create_topic(&topic, 1);
    // The old position exists in the new incarnation, so the broker alone would let it be read on.
    let new: Vec<TestRecord> = (0..50).map(|_| record("new")).collect();
    kafka.produce(&topic, 0, &new);
    reading.until("the change", |reading| !reading.changed.is_empty()).await;
    reading.until_quiet().await;
    assert_eq!(reading.texts(0), ["old", "old"]);
    let after = connector.topic(&source).await.unwrap();
    assert_ne!(after.incarnation, before.incarnation);

    // A stream of the new incarnation, and one of the old that is added too late.
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    reading.add(0, 0).await;
    reading.until_ends(&[50]).await;
    let mut late = Reading::open(&kafka, &topic, options()).await;
    late.pretend_incarnation(&before.incarnation);
    late.add(0, 2).await;
    late.until("the change", |reading| !reading.changed.is_empty()).await;
    late.until_quiet().await;
    assert_eq!(late.texts(0), Vec::<String>::new());
    let found = &late.changed[0].1;
    assert!(found.contains(&topic) && found.contains(&after.incarnation), "{found}");
}

#[tokio::test]
async fn a_topic_that_is_deleted_is_told() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = kafka.topic("deleted", 1);
    kafka.produce(&topic, 0, &[record("old")]);
    let mut reading = Reading::open(&kafka, &topic, options()).await;
    reading.add(0, 0).await;
    reading.until_ends(&[1]).await;
    delete(&kafka, &topic);
    reading.until("the change", |reading| !reading.changed.is_empty()).await;
    let error = kafka.connector().topic(&kafka.kafka(&topic)).await.unwrap_err();
    assert!(matches!(error, SourceError::TopicMissing { .. }), "{error}");
}

#[tokio::test]
async fn a_time_is_resolved_to_the_first_record_that_is_not_older() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = kafka.topic("times", 1);
    let at = |millis: i64| TestRecord { timestamp_ms: Some(1_700_000_000_000 + millis), ..record("x") };
    kafka.produce(&topic, 0, &[at(0), at(10), at(20)]);
    let (connector, source) = (kafka.connector(), kafka.kafka(&topic));
    for (millis, offset) in [(-5, 0), (0, 0), (1, 1), (10, 1), (20, 2), (21, 3)] {
        let start = StartPosition::TimestampMillis(1_700_000_000_000 + millis);
        assert_eq!(connector.resolve(&source, &topic, 0, &start).await, Ok(Offset(offset)), "{millis}");
    }
}

#[tokio::test]
async fn a_record_larger_than_the_queue_is_read() {
    let Some(kafka) = RealHarness::connect() else { return };
    let topic = unused_name("huge");
    kafka.create_with(&topic, 1, &[("max.message.bytes", "33554432")]);
    kafka.produce(&topic, 0, &[record("before"), record(vec![b'x'; 20 << 20]), record("after")]);
    let small = SourceOptions { queue_bytes: 1 << 20, max_record_bytes: 16 << 20, ..options() };
    let mut reading = Reading::open(&kafka, &topic, small).await;
    reading.add(0, 0).await;
    reading.until_ends(&[3]).await;
    let seen = &reading.seen[&StreamId(0)];
    assert_eq!(seen.lengths, [6, 20 << 20, 5]);
    assert_eq!(seen.records[&1].as_ref().unwrap().len(), 64 << 10);
}
