//! Parts on S3: the main job, a store that errs, a store that is away.

use std::path::Path;
use std::time::Duration;

use millrace_tests::stores::{on_s3, s3};
use millrace_tests::{Broker, Ledger, ServerOptions};
use vfs::s3_server::{S3Fault, S3Op};

use super::send;
use crate::stage::{BINARY, Stopped, assert_says};

fn server_in(directory: &Path) -> ServerOptions {
    ServerOptions::new(BINARY, &directory.join("data"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_go_to_s3_and_every_row_is_once_over_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let store = s3(directory.path(), 0).await.unwrap();
    let broker = Broker::mock("events", 1).unwrap();
    let mut ledger = Ledger::default();
    let mut stage = Stopped { options: on_s3(server_in(directory.path()), &store), directory }.start().await;
    stage.take_events(&broker, "flush_interval = '200ms'").await;
    send(&broker, &mut ledger, 1_000).await;
    stage.until_all_of(&ledger).await;
    stage = stage.kill_and_start().await;
    send(&broker, &mut ledger, 500).await;
    stage.until_all_of(&ledger).await;
    stage.sql.run("INSERT INTO events (seq, body) VALUES (-1, 'by hand')").await.unwrap();
    assert_eq!(stage.sql.number("SELECT count(*) FROM events WHERE seq = -1").await.unwrap(), 1);
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    stage.prove_events().await;
    assert!(store.requests(S3Op::Put) > 0 && store.requests(S3Op::Get) > 0);
    let stopped = stage.stop().await;
    assert!(!stopped.options.data_dir.join("objects").exists(), "nothing of it is in the data directory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_errs_and_loses_its_replies_costs_nothing_but_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = s3(directory.path(), 0).await.unwrap();
    let broker = Broker::mock("events", 1).unwrap();
    let mut ledger = Ledger::default();
    let mut stage = Stopped { options: on_s3(server_in(directory.path()), &store), directory }.start().await;
    stage.take_events(&broker, "flush_interval = '100ms'").await;
    for _ in 0..10 {
        store.script(S3Op::Put, [S3Fault::SlowDown, S3Fault::ReplyLost, S3Fault::PreconditionAfterSuccess]);
        store.script(S3Op::Get, [S3Fault::InternalError, S3Fault::TruncatedBody(100), S3Fault::Reset]);
        send(&broker, &mut ledger, 100).await;
        stage.until_all_of(&ledger).await;
    }
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    stage.until_all_of(&ledger).await;
    stage.prove_events().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_store_is_away_rows_are_visible_and_they_are_committed_when_it_is_back() {
    const AWAY: Duration = Duration::from_secs(8);
    let directory = tempfile::tempdir().unwrap();
    let store = s3(directory.path(), 0).await.unwrap();
    let port = store.port();
    let folder = directory.path().to_owned();
    let broker = Broker::mock("events", 1).unwrap();
    let mut ledger = Ledger::default();
    let mut stage = Stopped { options: on_s3(server_in(directory.path()), &store), directory }.start().await;
    stage.take_events(&broker, "flush_interval = '200ms'").await;
    store.stop().await;
    send(&broker, &mut ledger, 1_000).await;
    stage.until_all_of(&ledger).await;
    tokio::time::sleep(AWAY).await;
    send(&broker, &mut ledger, 1_000).await;
    stage.until_all_of(&ledger).await;
    let committed = "SELECT count(*) FROM events";
    stage.sql.run("SET freshness = 'committed'").await.unwrap();
    assert_eq!(stage.sql.number(committed).await.unwrap(), 0, "there is nowhere to put a part");
    // Killed in between, it has them in its log.
    let stopped = stage.kill().await;
    let _store = s3(&folder, port).await.unwrap();
    let mut stage = stopped.start().await;
    stage.until_all_of(&ledger).await;
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    stage.sql.run("SET freshness = 'committed'").await.unwrap();
    assert_eq!(stage.sql.number(committed).await.unwrap(), ledger.len() as i64);
    stage.prove_events().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_used_is_named_at_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let store = s3(directory.path(), 0).await.unwrap();
    let options = on_s3(server_in(directory.path()), &store);
    for (setting, value, words) in [
        ("object_store.url", store.url("no-such-bucket"), &["no-such-bucket", "bucket"][..]),
        ("object_store.secret_access_key", "hunter2".to_owned(), &["bucket", "key"][..]),
        ("object_store.url", "s3://bucket?endpoint=http://127.0.0.1:1".to_owned(), &["allow_http"][..]),
        ("object_store.url", "ftp://bucket".to_owned(), &["s3://"][..]),
    ] {
        let stopped =
            Stopped { options: options.clone().with(setting, &value), directory: tempfile::tempdir().unwrap() };
        let refusal = stopped.refusal().await;
        assert_says(&refusal, words);
        assert!(!refusal.contains("hunter2"), "{refusal}");
    }
}
