//! Retention that overtakes the position: a named gap, never a silent one.

use millrace_tests::{Broker, RealKafka, events};

use super::assert_every_offset_is_accounted_for;
use crate::stage::{Stage, assert_says};

async fn produce(broker: &Broker, seqs: std::ops::Range<i64>) {
    let producer = broker.producer(&[]).unwrap();
    for seq in seqs {
        producer.send(0, Some(&events::payload(seq, "to expire"))).await.unwrap();
    }
}

/// A pipeline that has read and committed 10 records, is paused, and finds the next 20 gone.
async fn overtaken(broker: &Broker, settings: &str) -> Stage {
    let mut stage = Stage::with_events(broker, settings).await;
    produce(broker, 0..10).await;
    stage.until("SELECT count(*) FROM events", 10).await;
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    produce(broker, 10..35).await;
    broker.expire(0, 30).await.unwrap();
    stage.sql.run("RESUME PIPELINE events_in").await.unwrap();
    stage
}

async fn assert_gap_is_in_the_ledger(stage: &mut Stage) {
    stage.until("SELECT sum(committed_offset) FROM system.streams", 35).await;
    let ledger = stage.sql.row("SELECT sum(`rows`), sum(expired), sum(skipped) FROM system.streams").await.unwrap();
    assert_eq!(ledger, ["15", "20", "0"]);
    let offsets = stage.sql.row("SELECT sum(_offset), count(*) FROM events WHERE _offset >= 30").await.unwrap();
    assert_eq!(offsets, [(30 + 31 + 32 + 33 + 34).to_string(), "5".to_owned()]);
    assert_every_offset_is_accounted_for(&mut stage.sql).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_expired_unread_pause_the_pipeline_until_its_statement_settles_it() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("expired", 1, &[]).await.unwrap();
    let mut stage = overtaken(&broker, "flush_interval = '200ms'").await;
    stage.until_says("SELECT state FROM system.pipelines", "paused by incident").await;
    let incident = stage.sql.row("SELECT kind, lost_from, lost_to, cause, settle FROM system.incidents").await.unwrap();
    assert_eq!(incident[..3], ["expired", "10", "30"]);
    assert_says(&incident[3], &["retention", "partition 0", &broker.topic, "20 records"]);
    assert_eq!(stage.sql.number("SELECT count(*) FROM events").await.unwrap(), 10);

    // The incident outlives the server.
    let mut stage = stage.kill_and_start().await;
    assert_eq!(stage.sql.value("SELECT state FROM system.pipelines").await.unwrap(), "paused by incident");
    stage.sql.run(&incident[4]).await.unwrap();
    stage.until("SELECT count(*) FROM events", 15).await;
    assert_gap_is_in_the_ledger(&mut stage).await;
    assert_eq!(stage.sql.number("SELECT count(settled) FROM system.incidents").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_on_gap_skip_the_pipeline_goes_on_with_the_gap_in_the_ledger() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("skipped", 1, &[]).await.unwrap();
    let mut stage = overtaken(&broker, "flush_interval = '200ms', on_gap = 'skip'").await;
    stage.until("SELECT count(*) FROM events", 15).await;
    assert_gap_is_in_the_ledger(&mut stage).await;
    assert_eq!(stage.sql.number("SELECT count(*) FROM system.incidents").await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_before_the_pipeline_began_is_no_gap() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("before", 1, &[]).await.unwrap();
    produce(&broker, 0..10).await;
    broker.expire(0, 7).await.unwrap();
    let mut stage = Stage::with_events(&broker, "flush_interval = '200ms'").await;
    stage.until("SELECT count(*) FROM events", 3).await;
    let row = stage.sql.row("SELECT start_offset, expired FROM system.streams").await.unwrap();
    assert_eq!(row, ["7", "0"]);
}
