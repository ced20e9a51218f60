//! `kill -9` at random moments during ingest.

use std::path::Path;
use std::time::Duration;

use millrace_tests::{Broker, Ledger, ServerOptions, ServerProcess, events, stores};
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
        let directory = tempfile::tempdir().unwrap();
        kill_one_server(&mut random, round, &server_in(directory.path())).await;
        left -= round;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_with_its_catalog_in_postgres_and_its_parts_on_s3_nothing_is_lost_or_seen_twice() {
    let Some(catalog) = stores::catalog_in_postgres() else { return };
    let directory = tempfile::tempdir().unwrap();
    let s3 = stores::s3(directory.path(), 0).await.unwrap();
    let options = stores::on_s3(server_in(directory.path()), &s3).with("catalog.url", &catalog);
    let mut random = StdRng::seed_from_u64(rand::random());
    kill_one_server(&mut random, kills().min(KILLS_PER_BROKER).div_ceil(3), &options).await;
}

fn server_in(directory: &Path) -> ServerOptions {
    ServerOptions::new(env!("CARGO_BIN_EXE_millrace-under-test"), &directory.join("data"))
}

async fn kill_one_server(random: &mut StdRng, kills: u32, options: &ServerOptions) {
    let broker = Broker::mock("events", PARTITIONS).unwrap();
    let producer = broker.producer(&[]).unwrap();
    let mut ledger = Ledger::default();
    let mut seq = 0;

    let server = ServerProcess::start(options).await.unwrap();
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
        let server = ServerProcess::start(options).await.unwrap();
        let (sent, ()) = tokio::join!(producer.send_all(payloads, &mut ledger), tokio::time::sleep(moment));
        sent.unwrap();
        server.kill().await.unwrap();
        if kill % 10 == 9 {
            check(options, &ledger).await;
        }
    }
    check(options, &ledger).await;
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
