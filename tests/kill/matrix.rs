//! The kill matrix: the process dies before and after each step of the record's path, each row of DESIGN's table.

use std::path::Path;
use std::time::Duration;

use millrace_tests::{Broker, Ledger, ServerOptions, ServerProcess, events, stores};
use rand::SeedableRng;
use rand::rngs::StdRng;
use warehouse::write::failpoint::CRASH_POINTS;

/// At the first hit the step is being done for the first time; at the third, others of its kind were done before.
const HITS: &[u32] = &[1, 3];

/// Points that a process passes only when it finds something logged by an earlier one, or is granted streams: a few times.
fn passes_often(point: &str) -> bool {
    !point.starts_with("recover") && !point.starts_with("grant")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_before_or_after_any_step_loses_nothing_and_doubles_nothing() {
    for point in CRASH_POINTS {
        for hit in HITS {
            if *hit == 1 || passes_often(point) {
                println!("dying at {point}, hit {hit}");
                let directory = tempfile::tempdir().unwrap();
                die_at(point, *hit, server_in(directory.path())).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_at_any_step_loses_and_doubles_nothing_of_a_catalog_in_postgres_and_parts_on_s3() {
    for point in CRASH_POINTS {
        println!("dying at {point}");
        let Some(catalog) = stores::catalog_in_postgres() else { return };
        let directory = tempfile::tempdir().unwrap();
        let s3 = stores::s3(directory.path(), 0).await.unwrap();
        die_at(point, 1, stores::on_s3(server_in(directory.path()), &s3).with("catalog.url", &catalog)).await;
    }
}

fn server_in(directory: &Path) -> ServerOptions {
    ServerOptions::new(env!("CARGO_BIN_EXE_millrace-under-test"), &directory.join("data"))
}

async fn die_at(point: &str, hit: u32, mut options: ServerOptions) {
    let broker = Broker::mock("events", 2).unwrap();
    let producer = broker.producer(&[]).unwrap();
    let (mut ledger, mut random) = (Ledger::default(), StdRng::seed_from_u64(7));
    let mut payloads = |from: i64| -> Vec<(i32, Vec<u8>)> {
        (from..from + 500).map(|seq| ((seq % 2) as i32, events::random_payload(&mut random, seq, 20))).collect()
    };

    let server = ServerProcess::start(&options).await.unwrap();
    let mut sql = server.sql().await.unwrap();
    for statement in events::ddl(&broker, "flush_bytes = '16KiB', flush_interval = '100ms'") {
        sql.run(&statement).await.unwrap();
    }
    producer.send_all(payloads(0), &mut ledger).await.unwrap();
    server.until(ALL, ledger.len() as i64, Duration::from_secs(20)).await.unwrap();
    server.kill().await.unwrap();

    options.failpoints = if hit == 1 { format!("{point}=return") } else { format!("{point}={}*off->return", hit - 1) };
    // It may die so early that it is never ready.
    if let Ok(mut server) = ServerProcess::start(&options).await {
        let mut from = 500;
        let died = loop {
            producer.send_all(payloads(from), &mut ledger).await.unwrap();
            from += 500;
            if server.died(Duration::from_millis(300)).await.unwrap() {
                break true;
            }
            if from > 20_000 {
                break false;
            }
        };
        assert!(died, "the server never reached {point} {hit} times");
    }

    options.failpoints.clear();
    let server = ServerProcess::start(&options).await.unwrap();
    server.until(ALL, ledger.len() as i64, Duration::from_secs(20)).await.unwrap();
    let mut sql = server.sql().await.unwrap();
    ledger
        .check(&events::seen(&mut sql).await.unwrap())
        .unwrap_or_else(|faults| panic!("{point}, hit {hit}: {faults}"));
    server.kill().await.unwrap();
}

const ALL: &str = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM `events$errors`)";
