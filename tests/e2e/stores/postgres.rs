//! The catalog in Postgres, while its server is restarted and killed.

use std::process::Command;
use std::time::Duration;

use millrace_tests::stores::catalog_in_postgres;
use millrace_tests::{Broker, Ledger, require};

use super::{POSTGRES, send};
use crate::stage::{Stage, assert_says};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ingest_goes_on_over_restarts_and_kills_of_postgres() {
    let Some(catalog) = catalog_in_postgres() else { return };
    let hint = "skipped: the PostgreSQL cannot be stopped (set MILLRACE_TEST_POSTGRES_CONTROL or run tests/components/postgres.sh)";
    let Some(control) = require("postgres", "MILLRACE_TEST_POSTGRES_CONTROL", hint) else { return };
    let _alone = POSTGRES.write().await;
    let steer = |verb: &str| assert!(Command::new(&control).arg(verb).status().unwrap().success(), "{control} {verb}");
    let broker = Broker::mock("events", 1).unwrap();
    let mut ledger = Ledger::default();
    let mut stage = Stage::open_with(&[("catalog.url", &catalog)]).await;
    stage.take_events(&broker, "flush_interval = '200ms'").await;
    for round in 0..4 {
        send(&broker, &mut ledger, 300).await;
        tokio::task::block_in_place(|| match round % 2 {
            0 => steer("restart"),
            _ => {
                steer("kill");
                std::thread::sleep(Duration::from_secs(2));
                steer("start");
            }
        });
        send(&broker, &mut ledger, 300).await;
        stage.until_all_of(&ledger).await;
        stage = if round == 2 { stage.kill_and_start().await } else { stage };
    }
    stage.until_all_of(&ledger).await;
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    stage.prove_events().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_that_does_not_let_us_in_is_named_without_the_password() {
    let Some(catalog) = catalog_in_postgres() else { return };
    let _up = POSTGRES.read().await;
    let wrong = catalog.replacen(":only-for-tests@", ":hunter2@", 1);
    let stage = Stage::open().await;
    let mut stopped = stage.stop().await;
    stopped.options = stopped.options.with("catalog.url", &wrong);
    let refusal = stopped.refusal().await;
    assert_says(&refusal, &["cannot open the catalog postgres://", "password"]);
    assert!(!refusal.contains("hunter2"), "{refusal}");
}
