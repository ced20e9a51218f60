//! Statements: many more than may run at a time, while records flow.

use std::time::{Duration, Instant};

use millrace_tests::{Broker, Sql, events};

use super::flood::Flood;
use super::{deadline, metric};
use crate::stage::{Stage, assert_says};

const RUNNING_MAX: &str = "2";
const CLIENTS: usize = 24;
const SLOW: &str =
    "SELECT count(*) FROM events a JOIN events b ON a.seq % 100 = b.seq % 100 WHERE a.seq < 2000 AND b.seq < 2000";

async fn ask(mut sql: Sql, until: Instant) -> (u64, u64) {
    let (mut answered, mut refused) = (0, 0);
    while Instant::now() < until {
        match sql.number(SLOW).await {
            Ok(_) => answered += 1,
            Err(error) => {
                assert_says(&format!("{error:#}"), &["Too many statements", "query.statements_max", "KILL QUERY"]);
                refused += 1;
            }
        }
    }
    (answered, refused)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_more_statements_than_may_run_wait_or_are_refused_and_operators_see_it() {
    let broker = Broker::mock("events", 1).unwrap();
    let settings = [("query.statements_max", RUNNING_MAX), ("query.statements_wait_seconds", "1")];
    let mut stage = Stage::open_with(&settings).await;
    stage.take_events(&broker, "flush_interval = '300ms'").await;
    let flood = Flood::start(&broker, &stage, |seq| events::payload(seq, "while everybody asks")).await;

    let until = deadline();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(tokio::spawn(ask(stage.server.sql().await.unwrap(), until)));
    }
    let mut waited = 0.0_f64;
    while Instant::now() < until {
        // What an operator asks does not stand in the queue.
        stage.sql.run("SHOW FULL PROCESSLIST").await.unwrap();
        stage.sql.run("SELECT * FROM system.pipelines").await.unwrap();
        assert!(metric(&stage.server, "millrace_statements_running").await <= 2.0);
        waited = waited.max(metric(&stage.server, "millrace_statements_waiting").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut answered, mut refused) = (0, 0);
    for client in clients {
        let (of_it, not) = client.await.unwrap();
        (answered, refused) = (answered + of_it, refused + not);
    }
    let ledger = flood.end().await;
    println!("{} records; {answered} answered, {refused} refused, {waited} waited at a time", ledger.len());
    assert!(answered > 0 && waited > 0.0, "nothing was overloaded");
    assert_eq!(metric(&stage.server, "millrace_statements_running").await, 0.0);
    stage.until_all_of(&ledger).await;
}
