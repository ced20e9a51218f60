//! A broker that stops, is killed, and comes back.

use std::time::Duration;

use millrace_tests::{Ledger, RealKafka, events};

use crate::stage::{Stage, assert_says};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_restarts_or_is_killed_costs_no_row_and_doubles_none() {
    let Some(kafka) = RealKafka::alone().await else { return };
    let broker = kafka.topic("restart", 3, &[]).await.unwrap();
    let mut stage = Stage::with_events(&broker, "tasks = 2, flush_interval = '300ms'").await;
    // What the broker has not acknowledged before it died, the producer sends again, once.
    let producer = broker.producer(&[("enable.idempotence", "true"), ("message.timeout.ms", "120000")]).unwrap();
    let mut ledger = Ledger::default();
    let payloads =
        |from: i64| (from..from + 600).map(|seq| ((seq % 3) as i32, events::payload(seq, "x"))).collect::<Vec<_>>();

    producer.send_all(payloads(0), &mut ledger).await.unwrap();
    let (sent, restarted) = tokio::join!(producer.send_all(payloads(600), &mut ledger), kafka.steer("restart"));
    sent.unwrap();
    restarted.unwrap();
    stage.server.until(crate::stage::ALL_EVENTS, 1_200, Duration::from_secs(60)).await.unwrap();
    stage.until_all_of(&ledger).await;

    kafka.steer("kill").await.unwrap();
    let trouble = stage.until_says("SELECT last_error FROM system.pipelines", "answers").await;
    assert_says(&trouble, &[&kafka.bootstrap, "trying again"]);
    assert_eq!(stage.sql.number("SELECT count(*) FROM events").await.unwrap(), 1_200);
    kafka.steer("start").await.unwrap();
    producer.send_all(payloads(1_200), &mut ledger).await.unwrap();
    stage.server.until(crate::stage::ALL_EVENTS, 1_800, Duration::from_secs(60)).await.unwrap();
    stage.until_all_of(&ledger).await;
    let mut stage = stage.kill_and_start().await;
    stage.until_all_of(&ledger).await;
}
