//! Steering a pipeline that runs, on the real binary: an ALTER under load, one whose process is killed, a hint while something is in
//! the way, and the proof of the table afterwards.

use std::time::Duration;

use millrace_tests::{Broker, Producer};

use crate::stage::{Stage, assert_says};

const ALTER: &str = "ALTER PIPELINE numbers_in AS SELECT n, 2 AS version SET (tasks = 2)";
/// Rows that another version has decoded than the recorded cut-over says.
const DECODED_OTHERWISE: &str = "SELECT count(*) FROM numbers JOIN system.pipeline_versions AS cuts ON numbers._stream = cuts.stream_id \
                                 WHERE (numbers.version = 1) <> (numbers._offset < cuts.cut_over)";

async fn take_numbers(stage: &mut Stage, broker: &Broker) {
    stage.sql.run("CREATE TABLE numbers (n INT NOT NULL, version INT)").await.unwrap();
    let pipeline = format!(
        "CREATE PIPELINE numbers_in INTO numbers AS SELECT n, 1 AS version FROM KAFKA (brokers = '{}', topic = '{}', \
         format = 'json') WITH (flush_interval = '1h')",
        broker.bootstrap, broker.topic
    );
    stage.sql.run(&pipeline).await.unwrap();
}

/// So many records to each of two partitions, with a little rest between them.
async fn produce(producer: Producer, count: i64) {
    for n in 0..count {
        let payload = format!(r#"{{"n":{n}}}"#);
        for partition in 0..2 {
            producer.send(partition, Some(payload.as_bytes())).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn assert_proved(stage: &mut Stage, rows: i64) {
    assert_eq!(stage.sql.number("SELECT count(*) FROM numbers").await.unwrap(), rows);
    stage.sql.run("PAUSE PIPELINE numbers_in").await.unwrap();
    assert_eq!(
        stage.sql.number("SELECT count(*) FROM numbers").await.unwrap(),
        rows,
        "PAUSE committed what was visible"
    );
    assert_eq!(stage.sql.number(DECODED_OTHERWISE).await.unwrap(), 0);
    for verdict in stage.sql.rows("SYSTEM VERIFY TABLE numbers FULL").await.unwrap() {
        assert_eq!(verdict[9].as_deref(), Some("ok"), "{verdict:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alter_under_load_cuts_each_stream_where_it_says() {
    let broker = Broker::mock("numbers", 2).unwrap();
    let mut stage = Stage::open().await;
    take_numbers(&mut stage, &broker).await;
    let load = tokio::spawn(produce(broker.producer(&[]).unwrap(), 1_000));
    stage.until("SELECT count(*) >= 400 FROM numbers", 1).await;
    let cuts = stage.sql.rows(ALTER).await.unwrap();
    assert_eq!(cuts.len(), 2, "a row a stream: {cuts:?}");
    for cut in &cuts {
        let recorded =
            format!("SELECT cut_over FROM system.pipeline_versions WHERE stream_id = {}", cut[0].as_deref().unwrap());
        assert_eq!(Some(stage.sql.value(&recorded).await.unwrap()), cut[3], "the statement tells what is recorded");
    }
    load.await.unwrap();
    stage.until("SELECT count(*) FROM numbers", 2_000).await;
    stage.until("SELECT count(*) FROM system.tasks", 2).await;
    assert!(stage.sql.number("SELECT count(*) FROM numbers WHERE version = 2").await.unwrap() > 0);
    assert_proved(&mut stage, 2_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alter_whose_process_is_killed_goes_on_at_the_next_start() {
    let broker = Broker::mock("numbers", 2).unwrap();
    let mut stage = Stage::open().await;
    take_numbers(&mut stage, &broker).await;
    let load = tokio::spawn(produce(broker.producer(&[]).unwrap(), 500));
    stage.until("SELECT count(*) >= 200 FROM numbers", 1).await;
    let mut other = stage.server.sql().await.unwrap();
    let altering = tokio::spawn(async move { other.rows(ALTER).await });
    stage.until("SELECT count(*) FROM system.pipelines WHERE state <> 'starting'", 1).await;
    let mut stage = stage.kill_and_start().await;
    // Answered before the kill, or cut off by it.
    let _answer = altering.await.unwrap();
    load.await.unwrap();
    stage.until("SELECT count(*) FROM numbers", 1_000).await;
    stage.until("SELECT count(*) FROM system.pipelines WHERE state = 'running'", 1).await;
    if stage.sql.number("SELECT count(*) FROM system.pipeline_versions").await.unwrap() == 0 {
        // The kill came before the statement had begun.
        stage.sql.run(ALTER).await.unwrap();
    }
    assert_proved(&mut stage, 1_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_shown_with_the_next_retry_and_a_hint() {
    let broker = Broker::mock("numbers", 2).unwrap();
    let mut stage = Stage::open().await;
    take_numbers(&mut stage, &broker).await;
    produce(broker.producer(&[]).unwrap(), 5).await;
    stage.until("SELECT count(*) FROM numbers", 10).await;
    drop(broker);
    stage.until("SELECT count(*) FROM system.tasks WHERE last_error IS NOT NULL", 1).await;
    let task = stage.sql.row("SELECT last_error, hint, next_retry IS NOT NULL, state FROM system.tasks").await.unwrap();
    assert_says(&task[0], &["no broker of"]);
    assert_says(&task[1], &["by itself", "what is visible stays visible"]);
    assert_eq!(task[2], "1", "it is said when it is tried again");
    // A PAUSE needs no broker.
    stage.sql.run("PAUSE PIPELINE numbers_in").await.unwrap();
    let pipeline = stage.sql.row("SELECT state, hint FROM system.pipelines").await.unwrap();
    assert_eq!(pipeline, ["paused", "RESUME PIPELINE default.numbers_in"]);
    assert_eq!(stage.sql.number("SELECT sum(committed_offset) FROM system.streams").await.unwrap(), 10);
}
