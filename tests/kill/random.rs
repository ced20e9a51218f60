//! `kill -9` at random moments during ingest.

use std::time::Duration;

use millrace_tests::{Broker, Ledger, ServerOptions, ServerProcess, events};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Kills against one broker: together their records fit into what the mock keeps of a partition, 5 MiB.
const KILLS_PER_BROKER: u32 = 30;
const RECORDS_PER_KILL: i64 = 2_000;
const PARTITIONS: i32 = 4;

fn kills() -> u32 {
    std::env::var("MILLRACE_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(30)
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_is_lost_and_nothing_is_seen_twice() {
    let seed: u64 =
        std::env::var("MILLRACE_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(rand::random);
    println!("MILLRACE_TEST_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut left = kills();
    while left > 0 {
        let round = left.min(KILLS_PER_BROKER);
        kill_one_server(&mut random, round).await;
        left -= round;
    }
}

async fn kill_one_server(random: &mut StdRng, kills: u32) {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::mock("events", PARTITIONS).unwrap();
    let options = ServerOptions::new(env!("CARGO_BIN_EXE_millrace-under-test"), &directory.path().join("data"));
    let producer = broker.producer(&[]).unwrap();
    let mut ledger = Ledger::default();
    let mut seq = 0;

    let server = ServerProcess::start(&options).await.unwrap();
    let mut sql = server.sql().await.unwrap();
    for statement in events::ddl(&broker, "tasks = 2, flush_bytes = '64KiB', flush_interval = '150ms'") {
        sql.run(&statement).await.unwrap();
    }
    server.kill().await.unwrap();

    for kill in 0..kills {
        let payloads = (0..RECORDS_PER_KILL).map(|_| {
            seq += 1;
            (random.random_range(0..PARTITIONS), events::random_payload(random, seq, 50))
        });
        let payloads = payloads.collect();
        let moment = Duration::from_millis(random.random_range(0..700));
        let server = ServerProcess::start(&options).await.unwrap();
        let (sent, ()) = tokio::join!(producer.send_all(payloads, &mut ledger), tokio::time::sleep(moment));
        sent.unwrap();
        server.kill().await.unwrap();
        if kill % 10 == 9 {
            check(&options, &ledger).await;
        }
    }
    check(&options, &ledger).await;
}

/// A server started again sees exactly what was produced, from memory and parts, and then from parts alone.
async fn check(options: &ServerOptions, ledger: &Ledger) {
    let server = ServerProcess::start(options).await.unwrap();
    let all = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM `events$errors`)";
    server.until(all, ledger.len() as i64, Duration::from_secs(60)).await.unwrap();
    let mut sql = server.sql().await.unwrap();
    ledger.check(&events::seen(&mut sql).await.unwrap()).unwrap();
    sql.run("PAUSE PIPELINE events_in").await.unwrap();
    sql.run("SET freshness = 'committed'").await.unwrap();
    ledger.check(&events::seen(&mut sql).await.unwrap()).unwrap();
    sql.run("RESUME PIPELINE events_in").await.unwrap();
    server.kill().await.unwrap();
}
