//! Where a pipeline begins: resolved once, kept in the catalog, and the same after any restart.

use millrace_tests::{Broker, NewRecord, RealKafka, events};

use crate::stage::{Stage, assert_says};

const MOMENT_MS: i64 = 1_700_000_000_000;

/// Ten records, a second apart.
async fn ten(broker: &Broker) {
    let producer = broker.producer(&[]).unwrap();
    for seq in 0..10 {
        let (payload, timestamp_ms) = (Some(events::payload(seq, "x")), Some(MOMENT_MS + seq * 1_000));
        producer.send_record(&NewRecord { payload, timestamp_ms, ..NewRecord::default() }).await.unwrap();
    }
}

async fn begin(broker: &Broker, start: &str) -> Stage {
    let mut stage = Stage::open().await;
    let [table, pipeline] = events::ddl(broker, "flush_interval = '1h'");
    stage.sql.run(&table).await.unwrap();
    stage.sql.run(&pipeline.replace("start = 'earliest'", &format!("start = {start}"))).await.unwrap();
    stage
}

async fn assert_rows(stage: &mut Stage, seqs: std::ops::Range<i64>) {
    stage.until("SELECT count(*) FROM events", seqs.end - seqs.start).await;
    assert_eq!(stage.sql.number("SELECT coalesce(sum(seq), 0) FROM events").await.unwrap(), seqs.sum::<i64>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_begins_at_the_offset_or_the_time_that_it_was_told() {
    let Some(kafka) = RealKafka::shared().await else { return };
    // Its records are years old, and retention goes by their time.
    let settings = [("message.timestamp.type", "CreateTime"), ("retention.ms", "-1")];
    let broker = kafka.topic("start", 1, &settings).await.unwrap();
    ten(&broker).await;
    let later = format!("'timestamp:{}'", MOMENT_MS + 6_500);
    for (start, first) in
        [("'earliest'", 0), ("4", 4), ("'4'", 4), (later.as_str(), 7), ("'timestamp:2023-11-14 22:13:29'", 9)]
    {
        let mut stage = begin(&broker, start).await;
        assert_rows(&mut stage, first..10).await;
        assert_eq!(stage.sql.number("SELECT start_offset FROM system.streams").await.unwrap(), first, "{start}");
        let mut stage = stage.kill_and_start().await;
        assert_rows(&mut stage, first..10).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_is_resolved_once_and_a_kill_does_not_move_it() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("latest", 1, &[("retention.ms", "-1")]).await.unwrap();
    ten(&broker).await;
    let stage = begin(&broker, "'latest'").await;
    // Once the stream is there its start is, in the catalog; what comes now is read, whoever dies.
    stage.until("SELECT count(*) FROM system.streams WHERE start_offset = 10", 1).await;
    let stopped = stage.kill().await;
    let producer = broker.producer(&[]).unwrap();
    for seq in 10..15 {
        producer.send(0, Some(&events::payload(seq, "x"))).await.unwrap();
    }
    let mut stage = stopped.start().await;
    assert_rows(&mut stage, 10..15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_that_does_not_exist_is_named() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("beyond", 1, &[("retention.ms", "-1")]).await.unwrap();
    ten(&broker).await;
    let mut stage = begin(&broker, "99").await;
    let trouble = stage.until_says("SELECT last_error FROM system.pipelines", "offset 99").await;
    assert_says(&trouble, &["partition 0", &broker.topic, "0 up to 10", "'earliest' or 'latest'"]);
}
