//! Topics that change while they are read: more partitions, and another topic of the same name.

use std::time::{Duration, Instant};

use millrace_tests::{Ledger, RealKafka, events};

use super::assert_every_offset_is_accounted_for;
use crate::stage::Stage;

/// What the issue promises.
const NEW_PARTITIONS_WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_added_partitions_are_visible_within_five_seconds_and_the_others_go_on() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("grown", 1, &[]).await.unwrap();
    let mut stage = Stage::with_events(&broker, "tasks = 2, flush_interval = '300ms'").await;
    let (producer, mut ledger) = (broker.producer(&[]).unwrap(), Ledger::default());
    let payloads =
        |partition: i32, from: i64| (from..from + 50).map(move |seq| (partition, events::payload(seq, "x"))).collect();
    producer.send_all(payloads(0, 0), &mut ledger).await.unwrap();
    stage.until_all_of(&ledger).await;
    let first = "SELECT epoch FROM system.streams WHERE `partition` = 0";
    let epoch = stage.sql.number(first).await.unwrap();

    broker.grow(3).await.unwrap();
    let grown = Instant::now();
    // A producer that knows the old metadata does not know the new partitions.
    let producer = broker.producer(&[]).unwrap();
    for partition in 0..3 {
        producer.send_all(payloads(partition, 100), &mut ledger).await.unwrap();
    }
    stage.until("SELECT count(*) FROM events", 200).await;
    let took = grown.elapsed();
    assert!(took < NEW_PARTITIONS_WITHIN, "the new partitions' rows took {took:?}");
    stage.until_all_of(&ledger).await;
    assert_eq!(stage.sql.number(first).await.unwrap(), epoch, "the first partition's stream was not granted anew");
    let begins = "SELECT count(*) FROM system.streams WHERE start_offset = 0 AND state = 'open'";
    assert_eq!(stage.sql.number(begins).await.unwrap(), 3, "added partitions begin at their earliest offset");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_and_made_again_is_another_stream_and_nothing_is_lost_or_doubled() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("again", 2, &[]).await.unwrap();
    let mut stage = Stage::with_events(&broker, "flush_interval = '300ms'").await;
    let produce = |from: i64, count: i64| {
        let producer = broker.producer(&[]).unwrap();
        async move {
            for seq in from..from + count {
                producer.send((seq % 2) as i32, Some(&events::payload(seq, "x"))).await.unwrap();
            }
        }
    };
    produce(0, 100).await;
    stage.until("SELECT count(*) FROM events", 100).await;

    broker.delete().await.unwrap();
    let trouble = stage.until_says("SELECT last_error FROM system.pipelines", "does not exist").await;
    assert!(trouble.contains(&broker.topic), "{trouble}");
    assert_eq!(stage.sql.number("SELECT count(*) FROM events").await.unwrap(), 100, "what was read stays");

    broker.create(&[]).await.unwrap();
    // More than before: the old positions exist in the new topic too.
    produce(1_000, 300).await;
    stage.until("SELECT count(*) FROM events", 400).await;
    let sum = (0..100).sum::<i64>() + (1_000..1_300).sum::<i64>();
    assert_eq!(
        stage.sql.row("SELECT sum(seq), count(DISTINCT seq) FROM events").await.unwrap(),
        [sum.to_string(), "400".to_owned()]
    );
    let streams = "SELECT count(*), count(DISTINCT incarnation) FROM system.streams";
    assert_eq!(stage.sql.row(streams).await.unwrap(), ["4", "2"]);
    stage.until("SELECT count(*) FROM system.streams WHERE state = 'closed'", 2).await;
    let prefixes = stage.sql.rows("SELECT count(*), max(_offset) + 1 FROM events GROUP BY _stream").await.unwrap();
    assert_eq!(prefixes.len(), 4);
    prefixes.iter().for_each(|row| assert_eq!(row[0], row[1], "I3: each stream is a prefix"));

    stage.until("SELECT sum(committed_offset) FROM system.streams", 400).await;
    let mut stage = stage.kill_and_start().await;
    assert_eq!(stage.sql.number("SELECT count(DISTINCT seq) FROM events").await.unwrap(), 400);
    assert_every_offset_is_accounted_for(&mut stage.sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_made_again_while_the_server_is_down_is_another_stream_too() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("asleep", 1, &[]).await.unwrap();
    let stage = Stage::with_events(&broker, "flush_interval = '1h'").await;
    let producer = broker.producer(&[]).unwrap();
    for seq in 0..20 {
        producer.send(0, Some(&events::payload(seq, "old"))).await.unwrap();
    }
    stage.until("SELECT count(*) FROM events", 20).await;
    let stopped = stage.stop().await;
    broker.delete().await.unwrap();
    broker.create(&[]).await.unwrap();
    let producer = broker.producer(&[]).unwrap();
    for seq in 100..150 {
        producer.send(0, Some(&events::payload(seq, "new"))).await.unwrap();
    }
    let mut stage = stopped.start().await;
    stage.until("SELECT count(*) FROM events", 70).await;
    let by_body =
        stage.sql.rows("SELECT body, count(*), max(_offset) FROM events GROUP BY body ORDER BY body").await.unwrap();
    let by_body: Vec<Vec<&str>> =
        by_body.iter().map(|row| row.iter().map(|cell| cell.as_deref().unwrap()).collect()).collect();
    assert_eq!(by_body, [["new", "50", "49"], ["old", "20", "19"]]);
}
