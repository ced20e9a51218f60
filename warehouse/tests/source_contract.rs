//! The contract of sources, run on the scripted broker, on librdkafka's mock cluster, and on a real Kafka where there is one.

// A test that cannot go on fails: that is what unwrap is for here.
#![allow(clippy::unwrap_used, unreachable_pub)]

use std::sync::Arc;

use catalog::{KafkaSource, Offset, OffsetRange, StartPosition, StreamId, Topics};
use millrace_warehouse::write::source::{
    RangeReader, SourceError, SourceEvent, SourceOptions, SourceStream, TopicRange,
};
use vfs::SystemClock;

mod source_harness;
use source_harness::{
    Harness, MemoryHarness, MockHarness, Reading, RealHarness, TestRecord, numbered, options, record, unused_name,
};

macro_rules! contract {
    ($($rule:ident)*) => {
        mod on_memory {
            $(#[tokio::test] async fn $rule() { super::$rule(&super::MemoryHarness::default()).await; })*
        }
        mod on_mock {
            $(#[tokio::test] async fn $rule() { super::$rule(&super::MockHarness::new()).await; })*
        }
        mod on_kafka {
            $(#[tokio::test] async fn $rule() {
                if let Some(kafka) = super::RealHarness::connect() { super::$rule(&kafka).await; }
            })*
        }
    };
}

contract! {
    every_record_is_handed_out_once_in_order
    nothing_below_the_position_is_handed_out
    a_removed_stream_is_silent_and_begins_anew_where_it_is_told
    while_paused_no_record_is_handed_out
    what_is_produced_later_comes_too
    a_cancelled_next_loses_nothing
    batches_keep_to_their_bytes
    a_record_above_the_limit_is_cut_and_keeps_its_length
    keys_and_headers_come_only_when_asked_for
    a_null_payload_is_a_record
    the_high_watermark_is_told
    a_position_behind_the_end_is_out_of_range
    start_positions_are_resolved_to_offsets
    a_missing_topic_is_a_named_error
    a_topic_is_shown_with_its_partitions
    one_stream_of_many_can_be_added_while_others_run
    several_topics_are_shown_by_name_or_by_pattern
    one_source_reads_the_same_partition_of_several_topics
    a_bounded_range_ends_where_it_was_told_to
}

async fn every_record_is_handed_out_once_in_order(harness: &dyn Harness) {
    let topic = harness.topic("once", 3);
    (0..3).for_each(|partition| harness.produce(&topic, partition, &numbered(2000)));
    let mut reading = Reading::open(harness, &topic, options()).await;
    for partition in 0..3 {
        reading.add(partition, 0).await;
    }
    reading.until_ends(&[2000; 3]).await;
    let expected: Vec<String> = (0..2000).map(|number: usize| number.to_string()).collect();
    (0..3).for_each(|partition| assert_eq!(reading.texts(partition), expected));
    assert_eq!(reading.troubles, vec![]);
}

async fn nothing_below_the_position_is_handed_out(harness: &dyn Harness) {
    let topic = harness.topic("from", 1);
    // One batch at the broker, of which a fetch from the middle returns the whole.
    harness.produce(&topic, 0, &numbered(10));
    let mut reading = Reading::open(harness, &topic, options()).await;
    reading.add(0, 7).await;
    reading.until_ends(&[10]).await;
    assert_eq!(reading.texts(0), ["7", "8", "9"]);
}

async fn a_removed_stream_is_silent_and_begins_anew_where_it_is_told(harness: &dyn Harness) {
    let topic = harness.topic("removed", 2);
    (0..2).for_each(|partition| harness.produce(&topic, partition, &numbered(500)));
    let mut reading = Reading::open(harness, &topic, options()).await;
    reading.add(0, 0).await;
    reading.add(1, 0).await;
    reading.until_ends(&[500, 500]).await;
    reading.source.remove(StreamId(0)).await;
    reading.seen.remove(&StreamId(0));
    (0..2).for_each(|partition| harness.produce(&topic, partition, &numbered(500)));
    reading.until("the other stream", |reading| reading.seen[&StreamId(1)].position >= 1000).await;
    // Back to what was handed out before, and once more while it runs.
    for position in [250, 100, 900] {
        reading.add(0, position).await;
    }
    reading.until_ends(&[1000, 1000]).await;
    assert_eq!(reading.seen[&StreamId(0)].records.len(), 100);
    reading.add(0, 400).await;
    reading.until_ends(&[1000, 1000]).await;
    assert_eq!(reading.seen[&StreamId(0)].records.len(), 600);
}

async fn while_paused_no_record_is_handed_out(harness: &dyn Harness) {
    let topic = harness.topic("paused", 1);
    harness.produce(&topic, 0, &numbered(100));
    let mut reading = Reading::open(harness, &topic, options()).await;
    reading.source.set_paused(true);
    reading.add(0, 0).await;
    reading.until_quiet().await;
    assert_eq!(reading.seen[&StreamId(0)].position, 0);
    reading.source.set_paused(false);
    reading.until_ends(&[100]).await;
    reading.source.set_paused(true);
    harness.produce(&topic, 0, &numbered(100));
    reading.until_quiet().await;
    assert_eq!(reading.seen[&StreamId(0)].position, 100);
    reading.source.set_paused(false);
    reading.until_ends(&[200]).await;
}

async fn what_is_produced_later_comes_too(harness: &dyn Harness) {
    let topic = harness.topic("later", 1);
    let mut reading = Reading::open(harness, &topic, options()).await;
    reading.add(0, 0).await;
    for round in 1..=3 {
        harness.produce(&topic, 0, &numbered(10));
        reading.until_ends(&[round * 10]).await;
        reading.until_quiet().await;
    }
    assert_eq!(reading.seen[&StreamId(0)].records.len(), 30);
}

async fn a_cancelled_next_loses_nothing(harness: &dyn Harness) {
    let topic = harness.topic("cancelled", 1);
    harness.produce(&topic, 0, &numbered(3000));
    let small = SourceOptions { batch_bytes: 256, ..options() };
    let mut reading = Reading::open(harness, &topic, small).await;
    reading.add(0, 0).await;
    while reading.seen[&StreamId(0)].position < 3000 {
        // Polled once and dropped; then polled until it is ready.
        let event = tokio::select! {
            biased;
            event = reading.source.next() => Some(event),
            () = std::future::ready(()) => None,
        };
        match event {
            Some(event) => reading.absorb(event),
            None => {
                let event = reading.source.next().await;
                reading.absorb(event);
            }
        }
    }
    assert_eq!(reading.seen[&StreamId(0)].records.len(), 3000);
}

async fn batches_keep_to_their_bytes(harness: &dyn Harness) {
    let topic = harness.topic("batches", 1);
    let records: Vec<TestRecord> = (0..400).map(|_| record(vec![b'x'; 1000])).collect();
    harness.produce(&topic, 0, &records);
    let mut reading = Reading::open(harness, &topic, SourceOptions { batch_bytes: 10_000, ..options() }).await;
    reading.add(0, 0).await;
    reading.until_ends(&[400]).await;
    let largest = reading.seen[&StreamId(0)].largest_batch;
    assert!((1000..=11_000).contains(&largest), "{largest}");
}

async fn a_record_above_the_limit_is_cut_and_keeps_its_length(harness: &dyn Harness) {
    let topic = harness.topic("large", 1);
    harness.produce(&topic, 0, &[record(vec![b'x'; 200_000]), record("small")]);
    let mut reading = Reading::open(harness, &topic, SourceOptions { max_record_bytes: 100_000, ..options() }).await;
    reading.add(0, 0).await;
    reading.until_ends(&[2]).await;
    let seen = &reading.seen[&StreamId(0)];
    assert_eq!(seen.lengths, [200_000, 5]);
    assert_eq!(seen.records[&0].as_ref().unwrap().len(), 64 << 10);
    assert_eq!(seen.records[&1].as_ref().unwrap(), b"small");
}

async fn keys_and_headers_come_only_when_asked_for(harness: &dyn Harness) {
    let topic = harness.topic("keys", 1);
    let full = TestRecord {
        key: Some(b"k".to_vec()),
        header: Some(("h", "v")),
        timestamp_ms: Some(1_700_000_000_123),
        ..record("p")
    };
    harness.produce(&topic, 0, &[full, record("bare")]);
    for asked in [false, true] {
        let mut reading =
            Reading::open(harness, &topic, SourceOptions { keys: asked, headers: asked, ..options() }).await;
        reading.add(0, 0).await;
        reading.until_ends(&[2]).await;
        let seen = &reading.seen[&StreamId(0)];
        assert_eq!(seen.keys, [asked.then(|| b"k".to_vec()), None]);
        assert_eq!(seen.headers, [asked.then(|| br#"{"h":"v"}"#.to_vec()), None]);
        assert_eq!(seen.timestamps[0], Some(1_700_000_000_123));
    }
}

async fn a_null_payload_is_a_record(harness: &dyn Harness) {
    let topic = harness.topic("null", 1);
    harness.produce(&topic, 0, &[TestRecord { key: Some(b"k".to_vec()), ..TestRecord::default() }, record("")]);
    let mut reading = Reading::open(harness, &topic, options()).await;
    reading.add(0, 0).await;
    reading.until_ends(&[2]).await;
    let seen = &reading.seen[&StreamId(0)];
    assert_eq!((&seen.records[&0], &seen.records[&1]), (&None, &Some(Vec::new())));
}

async fn the_high_watermark_is_told(harness: &dyn Harness) {
    let topic = harness.topic("high", 1);
    harness.produce(&topic, 0, &numbered(5));
    let mut reading = Reading::open(harness, &topic, options()).await;
    reading.source.set_paused(true);
    reading.add(0, 0).await;
    reading.until("the first end", |reading| reading.seen[&StreamId(0)].high == Some(5)).await;
    reading.source.set_paused(false);
    harness.produce(&topic, 0, &numbered(5));
    reading.until("the second end", |reading| reading.seen[&StreamId(0)].high == Some(10)).await;
}

async fn a_position_behind_the_end_is_out_of_range(harness: &dyn Harness) {
    let topic = harness.topic("behind", 1);
    harness.produce(&topic, 0, &numbered(5));
    let mut reading = Reading::open(harness, &topic, options()).await;
    reading.add(0, 50).await;
    reading.until("the event", |reading| !reading.out_of_range.is_empty()).await;
    assert_eq!(reading.out_of_range, [(StreamId(0), 50, 0, 5)]);
    harness.produce(&topic, 0, &numbered(100));
    reading.until_quiet().await;
    assert_eq!(reading.seen[&StreamId(0)].position, 50, "nothing more comes by itself");
    reading.add(0, 50).await;
    reading.until_ends(&[105]).await;
}

async fn start_positions_are_resolved_to_offsets(harness: &dyn Harness) {
    let topic = harness.topic("start", 1);
    harness.produce(&topic, 0, &numbered(5));
    let (connector, kafka) = (harness.connector(), harness.kafka(&topic));
    for (start, offset) in [
        (StartPosition::Earliest, 0),
        (StartPosition::Latest, 5),
        (StartPosition::Offset(3), 3),
        (StartPosition::Offset(5), 5),
        // In the year 2200, after the last record.
        (StartPosition::TimestampMillis(7_258_118_400_000), 5),
    ] {
        assert_eq!(connector.resolve(&kafka, &topic, 0, &start).await, Ok(Offset(offset)), "{start:?}");
    }
    let error = connector.resolve(&kafka, &topic, 0, &StartPosition::Offset(6)).await.unwrap_err().to_string();
    for part in ["offset 6", "partition 0", topic.as_str(), "0 up to 5", "'earliest'"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    assert_eq!(connector.watermarks(&kafka, &topic, 0).await, Ok((Offset(0), Offset(5))));
    let error = connector.watermarks(&kafka, &topic, 9).await.unwrap_err();
    assert!(matches!(error, SourceError::Fatal { .. }), "{error}");
}

async fn a_missing_topic_is_a_named_error(harness: &dyn Harness) {
    let topic = unused_name("missing");
    let error = harness.connector().topic(&harness.kafka(&topic)).await.unwrap_err();
    assert_eq!(error, SourceError::TopicMissing { topic, brokers: harness.brokers() });
}

async fn a_topic_is_shown_with_its_partitions(harness: &dyn Harness) {
    let topic = harness.topic("shown", 3);
    let (connector, kafka) = (harness.connector(), harness.kafka(&topic));
    let view = connector.topic(&kafka).await.unwrap();
    assert_eq!(view.partitions, [0, 1, 2]);
    assert_ne!(view.incarnation, "");
    assert_eq!(connector.topic(&kafka).await.unwrap(), view, "it does not change by itself");
}

async fn one_stream_of_many_can_be_added_while_others_run(harness: &dyn Harness) {
    let topic = harness.topic("added", 8);
    (0..8).for_each(|partition| harness.produce(&topic, partition, &numbered(300)));
    let mut reading = Reading::open(harness, &topic, options()).await;
    for partition in 0..8 {
        reading.add(partition, 0).await;
        let event = reading.source.next().await;
        assert!(!matches!(event, SourceEvent::Trouble(_)), "{event:?}");
        reading.absorb(event);
    }
    reading.until_ends(&[300; 8]).await;
}

async fn several_topics_are_shown_by_name_or_by_pattern(harness: &dyn Harness) {
    let base = unused_name("many");
    let name = |end: &str| format!("{base}_{end}");
    for (end, partitions) in [("a", 1), ("b", 3), ("other", 1)] {
        harness.create_topic(&name(end), partitions);
    }
    let connector = harness.connector();
    let of = |topics| KafkaSource { topics, ..harness.kafka("t") };
    let list = of(Topics::List(vec![name("a"), name("b"), name("none")]));
    let view = connector.topics(&list).await.unwrap();
    let shown: Vec<(&String, usize)> = view.found.iter().map(|(name, view)| (name, view.partitions.len())).collect();
    assert_eq!(shown, [(&name("a"), 1), (&name("b"), 3)]);
    assert_eq!(view.missing, [name("none")]);
    assert_ne!(view.found[&name("a")].incarnation, view.found[&name("b")].incarnation);
    let missing = SourceError::TopicMissing { topic: name("none"), brokers: harness.brokers() };
    assert_eq!(view.whole(&list), Err(missing));

    let pattern = of(Topics::Pattern { pattern: format!("{base}_.") });
    let matched: Vec<String> = connector.topics(&pattern).await.unwrap().found.into_keys().collect();
    assert_eq!(matched, [name("a"), name("b")], "the whole name is matched");
    harness.create_topic(&name("c"), 1);
    let later = connector.topics(&pattern).await.unwrap();
    assert_eq!(later.found.len(), 3, "one made later is found");
    let none = of(Topics::Pattern { pattern: format!("{base}_nothing") });
    let error = connector.topics(&none).await.unwrap().whole(&none).unwrap_err().to_string();
    assert!(error.contains("no topic at") && error.contains("matches"), "{error}");
}

async fn one_source_reads_the_same_partition_of_several_topics(harness: &dyn Harness) {
    let topics = [harness.topic("first", 1), harness.topic("second", 1)];
    harness.produce(&topics[0], 0, &numbered(300));
    harness.produce(&topics[1], 0, &numbered(500));
    let kafka = KafkaSource { topics: Topics::List(topics.to_vec()), ..harness.kafka("t") };
    let connector = harness.connector();
    let view = connector.topics(&kafka).await.unwrap();
    let mut reading = Reading::open(harness, &topics[0], options()).await;
    reading.source = connector.open(&kafka, options()).await.unwrap();
    for (number, topic) in (0..).zip(&topics) {
        let wanted = SourceStream {
            stream: StreamId(number),
            topic: Arc::from(topic.as_str()),
            incarnation: Arc::from(view.found[topic].incarnation.as_str()),
            partition: 0,
            position: Offset(0),
        };
        reading.source.add(wanted).await.unwrap();
        reading.seen.insert(StreamId(number), source_harness::Seen::default());
    }
    reading.until_ends(&[300, 500]).await;
    assert_eq!(reading.seen[&StreamId(0)].records.len(), 300);
    assert_eq!(reading.seen[&StreamId(1)].records.len(), 500);
    reading.source.remove(StreamId(0)).await;
    harness.produce(&topics[0], 0, &numbered(10));
    harness.produce(&topics[1], 0, &numbered(10));
    reading.until("the other goes on", |reading| reading.seen[&StreamId(1)].position == 510).await;
    assert_eq!(reading.seen[&StreamId(0)].position, 300);
}

async fn a_bounded_range_ends_where_it_was_told_to(harness: &dyn Harness) {
    let topic = harness.topic("range", 2);
    (0..2).for_each(|partition| harness.produce(&topic, partition, &numbered(400)));
    let (connector, kafka) = (harness.connector(), harness.kafka(&topic));
    let incarnation: Arc<str> = Arc::from(connector.topic(&kafka).await.unwrap().incarnation.as_str());
    let range = |partition, start, end| TopicRange {
        topic: Arc::from(topic.as_str()),
        incarnation: Arc::clone(&incarnation),
        partition,
        range: OffsetRange::new(Offset(start), Offset(end)),
    };
    // Two ranges of one partition, one of the other, and one that is empty.
    let ranges = [range(0, 10, 20), range(0, 390, 400), range(1, 0, 250), range(1, 300, 300)];
    let source = connector.open(&kafka, options()).await.unwrap();
    let mut reader = RangeReader::new(source, &ranges, Arc::new(SystemClock::new()));
    let mut seen: Vec<(i32, u64)> = Vec::new();
    while let Some(piece) = reader.next().await.unwrap() {
        assert_eq!(*piece.topic, *topic);
        seen.extend(piece.records.iter().map(|record| (piece.partition, record.offset)));
    }
    seen.sort_unstable();
    let expected: Vec<(i32, u64)> =
        (10..20).chain(390..400).map(|offset| (0, offset)).chain((0..250).map(|offset| (1, offset))).collect();
    assert_eq!(seen, expected);
    assert_eq!(connector.committed_end(&kafka, &topic, 0).await, Ok(Offset(400)));
}
