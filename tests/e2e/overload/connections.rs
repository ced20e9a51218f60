//! Connections: many more clients than are let in, while records flow.

use std::time::{Duration, Instant};

use millrace_tests::{Broker, Sql, events};

use super::flood::Flood;
use super::{deadline, metric};
use crate::stage::{SOON, Stage, assert_says};

const MAX: usize = 24;
const CLIENTS: usize = 96;

/// Comes and goes until `until`; how often it was let in and turned away.
async fn come_and_go(port: u16, until: Instant) -> (u64, u64) {
    let (mut let_in, mut turned_away) = (0, 0);
    while Instant::now() < until {
        match Sql::connect(port).await {
            Ok(mut sql) => {
                assert_eq!(sql.number("SELECT 1").await.unwrap(), 1, "who was let in is served");
                let_in += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => {
                assert_says(&format!("{error:#}"), &["Too many connections"]);
                turned_away += 1;
            }
        }
    }
    (let_in, turned_away)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i8_more_clients_than_are_let_in_are_turned_away_and_nobody_else_notices() {
    let broker = Broker::mock("events", 1).unwrap();
    let mut stage = Stage::open_with(&[("mysql.connections_max", &MAX.to_string())]).await;
    stage.take_events(&broker, "flush_interval = '300ms'").await;
    let flood = Flood::start(&broker, &stage, |seq| events::payload(seq, "while clients push at the door")).await;

    let until = deadline();
    let port = stage.server.mysql_port;
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(come_and_go(port, until))).collect();
    let mut looked = 0;
    while Instant::now() < until {
        // A session that was there before goes on as if nothing were.
        let connected = stage.sql.number("SELECT count(*) FROM information_schema.processlist").await.unwrap();
        assert!(connected <= MAX as i64, "{connected} sessions, and {MAX} are let in");
        looked += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (mut let_in, mut turned_away) = (0, 0);
    for client in clients {
        let (inside, outside) = client.await.unwrap();
        (let_in, turned_away) = (let_in + inside, turned_away + outside);
    }
    let ledger = flood.end().await;
    println!("{} records; {let_in} let in, {turned_away} turned away, looked {looked} times", ledger.len());
    assert!(let_in > 0 && turned_away > 0);
    assert!(metric(&stage.server, "millrace_connections_refused_total").await as u64 >= turned_away);

    // Those who left have made room again.
    millrace_tests::eventually("a client is let in again", SOON, async || Sql::connect(port).await.map(|_| ())).await;
    stage.until_all_of(&ledger).await;
}
