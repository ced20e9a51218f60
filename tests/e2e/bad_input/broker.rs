//! A broker that is not there, a topic that is not there: at CREATE PIPELINE, and later.

use millrace_tests::{Broker, Ledger, events};

use crate::stage::{Stage, assert_says};

/// An address at which nobody listens.
fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn create(brokers: &str, topic: &str) -> String {
    format!(
        "CREATE PIPELINE p INTO t AS SELECT * FROM KAFKA (brokers = '{brokers}', topic = '{topic}', format = 'json')"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_on_a_broker_or_a_topic_that_is_not_there_is_refused() {
    let broker = Broker::mock("flights", 1).unwrap();
    let mut stage = Stage::open().await;
    stage.sql.run("CREATE TABLE t (a INT)").await.unwrap();
    let nobody = nobody();
    let error = stage.sql.error(&create(&nobody, "flights")).await.unwrap();
    assert_says(&error, &[&nobody, "answers", "check that it runs"]);
    let error = stage.sql.error(&create(&broker.bootstrap, "flihgts")).await.unwrap();
    assert_says(&error, &["\"flihgts\" does not exist", &broker.bootstrap, "create it, or correct the name"]);
    assert_eq!(stage.sql.rows("SHOW PIPELINES").await.unwrap().len(), 0, "nothing is left of a refused pipeline");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_goes_away_is_named_and_what_it_has_is_read_when_it_is_back() {
    let broker = Broker::mock("events", 2).unwrap();
    let mut stage = Stage::with_events(&broker, "flush_interval = '200ms'").await;
    let (producer, mut ledger) = (broker.producer(&[]).unwrap(), Ledger::default());
    let payloads = |from: i64| (from..from + 50).map(|seq| ((seq % 2) as i32, events::payload(seq, "x"))).collect();
    producer.send_all(payloads(0), &mut ledger).await.unwrap();
    stage.until_all_of(&ledger).await;

    broker.as_mock().unwrap().reach(false).unwrap();
    let trouble = stage.until_says("SELECT last_error FROM system.pipelines", "answers").await;
    assert_says(&trouble, &[&broker.bootstrap, "check that it runs", "trying again"]);
    assert_eq!(stage.sql.number("SELECT count(*) FROM events").await.unwrap(), 50, "queries go on");

    broker.as_mock().unwrap().reach(true).unwrap();
    producer.send_all(payloads(50), &mut ledger).await.unwrap();
    stage.until_all_of(&ledger).await;
    stage.until("SELECT count(*) FROM system.pipelines WHERE last_error IS NULL", 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_gone_later_is_named_and_read_on_when_it_is_back() {
    let broker = Broker::mock("events", 1).unwrap();
    let mut stage = Stage::with_events(&broker, "flush_interval = '200ms'").await;
    let (producer, mut ledger) = (broker.producer(&[]).unwrap(), Ledger::default());
    let payloads = |from: i64| (from..from + 50).map(|seq| (0, events::payload(seq, "x"))).collect();
    producer.send_all(payloads(0), &mut ledger).await.unwrap();
    stage.until_all_of(&ledger).await;

    broker.as_mock().unwrap().hide_topic("events", true).unwrap();
    let trouble = stage.until_says("SELECT last_error FROM system.pipelines", "does not exist").await;
    assert_says(&trouble, &["\"events\"", &broker.bootstrap, "create it, or correct the name"]);

    broker.as_mock().unwrap().hide_topic("events", false).unwrap();
    stage.until("SELECT count(*) FROM system.pipelines WHERE last_error IS NULL", 1).await;
    producer.send_all(payloads(50), &mut ledger).await.unwrap();
    stage.until_all_of(&ledger).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_without_its_broker_answers_queries_and_reads_on_later() {
    let broker = Broker::mock("events", 1).unwrap();
    let stage = Stage::with_events(&broker, "flush_interval = '1h'").await;
    let (producer, mut ledger) = (broker.producer(&[]).unwrap(), Ledger::default());
    let payloads = |from: i64| (from..from + 50).map(|seq| (0, events::payload(seq, "x"))).collect();
    producer.send_all(payloads(0), &mut ledger).await.unwrap();
    stage.until("SELECT count(*) FROM events", 50).await;

    broker.as_mock().unwrap().reach(false).unwrap();
    let mut stage = stage.kill_and_start().await;
    // What was visible comes back from the write-ahead log, without the broker.
    stage.until("SELECT count(*) FROM events", 50).await;
    let trouble = stage.until_says("SELECT last_error FROM system.pipelines", "answers").await;
    assert_says(&trouble, &[&broker.bootstrap]);

    broker.as_mock().unwrap().reach(true).unwrap();
    producer.send_all(payloads(50), &mut ledger).await.unwrap();
    stage.until_all_of(&ledger).await;
}
