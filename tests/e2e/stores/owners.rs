//! Who may use a store: one catalog its parts, one server a catalog, one catalog a write-ahead log.

use std::time::Duration;

use millrace_tests::stores::catalog_in_postgres;
use millrace_tests::{Broker, Ledger, ServerProcess};

use super::{POSTGRES, send};
use crate::stage::{Stage, Stopped, assert_says};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_and_the_parts_of_another_catalog_are_refused_and_stay_as_they_were() {
    let stage = Stage::open().await;
    let stopped = stage.stop().await;
    let at = |name: &str| stopped.directory.path().join(name).display().to_string();
    let refused = async |settings: &[(&str, String)]| {
        let options = settings.iter().fold(stopped.options.clone(), |options, (name, value)| options.with(name, value));
        Stopped { options, directory: tempfile::tempdir().unwrap() }.refusal().await
    };
    // Named too early, before it was copied there.
    let empty = format!("redb:{}", at("other.redb"));
    let said = refused(&[("catalog.url", empty.clone())]).await;
    assert_says(&said, &["there is no catalog at redb:", "the data directory", "millrace catalog copy"]);

    // A catalog of its own, and what belongs to the first.
    let mut other =
        stopped.options.clone().with("catalog.url", &empty).with("object_store.url", &format!("file:{}", at("parts")));
    other.data_dir = at("other-data").into();
    other.log = at("other-log").into();
    let other = Stopped { options: other, directory: tempfile::tempdir().unwrap() }.start().await;
    assert!(std::path::Path::new(&at("other.redb")).exists() && !other.options.data_dir.join("catalog.redb").exists());
    other.stop().await;
    let said = refused(&[("catalog.url", empty)]).await;
    assert_says(&said, &["data directory", "belongs to another catalog", "--data-dir"]);
    let said = refused(&[("object_store.url", format!("file:{}", at("parts")))]).await;
    assert_says(&said, &["/parts holds the parts of another catalog", "prefix of its own"]);

    stopped.start().await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_in_postgres_has_one_server_and_another_machine_goes_on_where_it_ended() {
    let Some(catalog) = catalog_in_postgres() else { return };
    let _up = POSTGRES.read().await;
    let broker = Broker::mock("events", 1).unwrap();
    let mut ledger = Ledger::default();
    let directory = tempfile::tempdir().unwrap();
    let parts = format!("file:{}", directory.path().join("parts").display());
    let stores = [("catalog.url", catalog.as_str()), ("object_store.url", parts.as_str())];
    let mut first = Stage::open_with(&stores).await;
    first.take_events(&broker, "flush_interval = '1s'").await;
    send(&broker, &mut ledger, 1_000).await;
    first.until_all_of(&ledger).await;

    let second = tempfile::tempdir().unwrap();
    let mut options = first.options.clone();
    options.data_dir = second.path().join("data");
    options.log = second.path().join("log");
    let second = Stopped { options, directory: second };
    assert_says(&second.refusal().await, &["another server serves this catalog", "stop that server"]);

    // Asked to stop it commits what is visible before it leaves; who waits for it has it at once.
    let (stopped, mut second) = tokio::join!(first.stop(), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        loop {
            match ServerProcess::start(&second.options).await {
                Ok(server) => break second.with(server).await,
                Err(error) => assert_says(&format!("{error:#}"), &["another server serves this catalog"]),
            }
        }
    });
    drop(stopped);
    second.until_all_of(&ledger).await;
    send(&broker, &mut ledger, 500).await;
    second.until_all_of(&ledger).await;

    // Killed, with all that its machine had: what was not committed is fetched again.
    let Stopped { mut options, directory: gone } = second.kill().await;
    let third = tempfile::tempdir().unwrap();
    options.data_dir = third.path().join("data");
    options.log = third.path().join("log");
    drop(gone);
    let mut third = Stopped { options, directory: third }.start().await;
    send(&broker, &mut ledger, 500).await;
    third.until_all_of(&ledger).await;
    third.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    third.prove_events().await;
    third.stop().await;
}
