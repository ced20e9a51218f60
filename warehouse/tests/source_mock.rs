//! What goes wrong between a source and its brokers, on librdkafka's mock cluster.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::time::Duration;

use catalog::{KafkaSource, Offset, StreamId};
use millrace_warehouse::write::source::{SourceConnector, SourceError, SourceEvent, SourceStream};
use rdkafka_sys::{RDKafkaApiKey, rd_kafka_resp_err_t};

mod source_harness;
use source_harness::{Harness, MockHarness, Reading, TestRecord, numbered, options, record};

/// A port on which nobody listens.
const NOBODY: &str = "127.0.0.1:1";

#[tokio::test]
async fn an_outage_is_told_and_reading_goes_on_where_it_was() {
    let mock = MockHarness::new();
    let topic = mock.topic("outage", 2);
    (0..2).for_each(|partition| mock.produce(&topic, partition, &numbered(100)));
    let mut reading = Reading::open(&mock, &topic, options()).await;
    for partition in 0..2 {
        reading.add(partition, 0).await;
    }
    reading.until_ends(&[100, 100]).await;
    for round in 1..=2 {
        reading.troubles.clear();
        mock.cluster.broker_down(-1).unwrap();
        reading.until("the trouble", |reading| !reading.troubles.is_empty()).await;
        let SourceError::Unreachable { brokers, .. } = &reading.troubles[0] else { panic!("{:?}", reading.troubles) };
        assert_eq!(*brokers, mock.brokers());
        mock.cluster.broker_up(-1).unwrap();
        (0..2).for_each(|partition| mock.produce(&topic, partition, &numbered(100)));
        reading.until_ends(&[100 * (round + 1); 2]).await;
    }
    assert_eq!(reading.seen[&StreamId(0)].records.len(), 300);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_named_with_the_reason() {
    let mock = MockHarness::new();
    let kafka = KafkaSource { brokers: NOBODY.to_owned(), ..mock.kafka("t") };
    let connector = mock.connector();
    for error in [
        connector.topic(&kafka).await.unwrap_err(),
        connector.watermarks(&kafka, "t", 0).await.unwrap_err(),
        next_trouble(&*connector, &kafka).await,
    ] {
        let SourceError::Unreachable { brokers, cause } = &error else { panic!("{error:?}") };
        assert_eq!(brokers, NOBODY);
        assert!(cause.contains("refused"), "{cause}");
    }
}

#[tokio::test]
async fn a_login_that_the_broker_does_not_take_is_an_error_within_seconds() {
    let mock = MockHarness::new();
    let topic = mock.topic("login", 1);
    let mut kafka = mock.kafka(&topic);
    for (name, value) in [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", "ann"),
        ("sasl.password", "hunter2"),
    ] {
        kafka.properties.insert(name.to_owned(), value.to_owned());
    }
    let connector = mock.connector();
    for error in [connector.topic(&kafka).await.unwrap_err(), next_trouble(&*connector, &kafka).await] {
        let text = error.to_string();
        assert!(text.contains(&mock.brokers()) && text.contains("check"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn a_setting_that_librdkafka_refuses_is_refused_at_once() {
    let mock = MockHarness::new();
    let mut kafka = mock.kafka("t");
    kafka.properties.insert("security.protocol".to_owned(), "CARRIER_PIGEON".to_owned());
    let error = mock.connector().open(&kafka, options()).await.unwrap_err();
    assert!(matches!(&error, SourceError::Fatal { cause, .. } if cause.contains("security.protocol")), "{error}");
}

#[tokio::test]
async fn no_fetch_error_loses_or_repeats_a_record() {
    let mock = MockHarness::new();
    let topic = mock.topic("errors", 1);
    let mut reading = Reading::open(&mock, &topic, options()).await;
    reading.add(0, 0).await;
    use rd_kafka_resp_err_t::*;
    for (round, error) in [
        RD_KAFKA_RESP_ERR__TRANSPORT,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
        RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID,
        RD_KAFKA_RESP_ERR_UNKNOWN,
    ]
    .into_iter()
    .enumerate()
    {
        mock.cluster.request_errors(RDKafkaApiKey::Fetch, &[error; 3]);
        mock.produce(&topic, 0, &numbered(10));
        reading.until_ends(&[10 * (round as u64 + 1)]).await;
    }
}

#[tokio::test]
async fn a_stream_at_the_first_record_goes_on_though_another_position_was_out_of_range() {
    let mock = MockHarness::new();
    let topic = mock.topic("first", 1);
    let mut reading = Reading::open(&mock, &topic, options()).await;
    reading.add(0, 0).await;
    mock.cluster.request_errors(RDKafkaApiKey::Fetch, &[rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE]);
    mock.produce(&topic, 0, &numbered(10));
    reading.until_ends(&[10]).await;
    assert!(reading.out_of_range.is_empty(), "{:?}", reading.out_of_range);
}

#[tokio::test]
async fn records_that_were_never_read_and_are_gone_are_out_of_range() {
    let mock = MockHarness::new();
    let topic = mock.topic("gone", 1);
    // The mock keeps the last 5 MiB of a partition.
    let large: Vec<TestRecord> = (0..800).map(|_| record(vec![b'x'; 10_000])).collect();
    mock.produce(&topic, 0, &large);
    let mut reading = Reading::open(&mock, &topic, options()).await;
    reading.add(0, 0).await;
    reading.until("the event", |reading| !reading.out_of_range.is_empty()).await;
    let (_, wanted, low, high) = reading.out_of_range[0];
    assert_eq!((wanted, high), (0, 800));
    assert!(0 < low && low < 800, "{low}");
    reading.add(0, low).await;
    reading.until_ends(&[800]).await;
}

#[tokio::test]
async fn a_source_that_is_dropped_gives_its_threads_back() {
    let mock = MockHarness::new();
    let topic = mock.topic("dropped", 1);
    mock.produce(&topic, 0, &numbered(10));
    let before = reader_threads();
    for _ in 0..5 {
        let mut reading = Reading::open(&mock, &topic, options()).await;
        reading.add(0, 0).await;
        reading.until_ends(&[10]).await;
    }
    let started = tokio::time::Instant::now();
    while reader_threads() > before {
        assert!(started.elapsed() < Duration::from_secs(30), "{} threads, {before} before", reader_threads());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Threads of this process that read the topic of the test above.
fn reader_threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("read-dropped")).count()
}

/// The first trouble of a source that reads partition 0.
async fn next_trouble(connector: &dyn SourceConnector, kafka: &KafkaSource) -> SourceError {
    let mut source = connector.open(kafka, options()).await.unwrap();
    let stream = SourceStream {
        stream: StreamId(0),
        topic: kafka.topics.to_string().into(),
        incarnation: "".into(),
        partition: 0,
        position: Offset(0),
    };
    source.add(stream).await.unwrap();
    let trouble = async {
        loop {
            if let SourceEvent::Trouble(error) = source.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(15), trouble).await.expect("trouble within seconds")
}
