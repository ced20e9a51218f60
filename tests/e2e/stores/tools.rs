//! `millrace catalog`: looked into, checked, moved to another store, and gone on with there.

use std::path::Path;

use millrace_tests::stores::catalog_in_postgres;
use millrace_tests::{Broker, Ledger};
use tokio::process::Command;

use super::{POSTGRES, send};
use crate::stage::{BINARY, Stage, assert_says};

/// Runs `millrace catalog …`: whether it succeeded, and what it wrote to standard output and standard error.
async fn run(arguments: &[&str]) -> (bool, String, String) {
    let mut command = Command::new(BINARY);
    let output = command.arg("catalog").args(arguments).env_remove("MILLRACE_DATA_DIR").output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

fn redb(path: &Path) -> String {
    format!("redb:{}", path.display())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_catalog_moves_to_postgres_and_back_and_every_row_is_once() {
    let Some(there) = catalog_in_postgres() else { return };
    let _up = POSTGRES.read().await;
    let broker = Broker::mock("events", 2).unwrap();
    let mut ledger = Ledger::default();
    let mut stage = Stage::with_events(&broker, "flush_interval = '200ms'").await;
    send(&broker, &mut ledger, 500).await;
    stage.until_all_of(&ledger).await;
    stage.sql.run("CREATE USER eve IDENTIFIED BY 'a secret of eve'").await.unwrap();

    let here = redb(&stage.options.data_dir.join("catalog.redb"));
    let (done, _, said) = run(&["verify", "--catalog", &here]).await;
    assert!(!done, "a server has it open");
    assert_says(&said, &["in use by another process", &here]);

    // Killed, so that its log holds rows that the copy has not.
    send(&broker, &mut ledger, 200).await;
    stage.until_all_of(&ledger).await;
    let mut stopped = stage.kill().await;
    let (done, said, errors) = run(&["verify", "--data-dir", &stopped.options.data_dir.display().to_string()]).await;
    assert!(done && said.contains("all agree"), "{said}{errors}");
    let (done, dumped, errors) = run(&["dump", "--catalog", &here]).await;
    assert!(done, "{errors}");
    assert!(dumped.lines().count() > 10 && dumped.lines().all(|line| line.starts_with("{\"key\":")), "{dumped}");
    assert!(dumped.contains("user/eve") && !dumped.contains("a secret of eve"), "{dumped}");
    let (_, offsets, _) = run(&["dump", "--catalog", &here, "--prefix", "offset/"]).await;
    assert_eq!(offsets.lines().count(), 2, "{offsets}");

    let (done, said, errors) = run(&["copy", "--from", &here, "--to", &there]).await;
    assert!(done && said.contains("as era 2") && !said.contains("only-for-tests"), "{said}{errors}");
    let (done, _, said) = run(&["copy", "--from", &here, "--to", &there]).await;
    assert!(!done && said.contains("finished copy of this catalog"), "{said}");
    let (done, said, errors) = run(&["verify", "--catalog", &there]).await;
    assert!(done && said.contains("all agree"), "{said}{errors}");

    let settings = stopped.options.clone();
    stopped.options = settings.clone().with("catalog.url", &there);
    let mut stage = stopped.start().await;
    stage.until_all_of(&ledger).await;
    send(&broker, &mut ledger, 300).await;
    stage.until_all_of(&ledger).await;
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    stage.prove_events().await;
    stage.sql.run("RESUME PIPELINE events_in").await.unwrap();
    assert!(stage.options.data_dir.join("wal-of-era-1").exists(), "the log of before the copy is not replayed");
    let mut stopped = stage.stop().await;

    // The one that it was copied from does not have the parts any more.
    stopped.options = settings.clone();
    assert_says(&stopped.refusal().await, &["era 1", "era 2", "another copy has been started"]);

    let back = redb(&stopped.directory.path().join("back.redb"));
    let (done, said, errors) = run(&["copy", "--from", &there, "--to", &back]).await;
    assert!(done && said.contains("as era 3"), "{said}{errors}");
    stopped.options = settings.with("catalog.url", &back);
    let mut stage = stopped.start().await;
    send(&broker, &mut ledger, 300).await;
    stage.until_all_of(&ledger).await;
    stage.sql.run("PAUSE PIPELINE events_in").await.unwrap();
    stage.prove_events().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_with_a_catalog_is_said_and_makes_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let absent = directory.path().join("absent.redb");
    let copied = directory.path().join("copied.redb");
    if let Some(nowhere) = catalog_in_postgres() {
        let _up = POSTGRES.read().await;
        let (done, _, said) = run(&["verify", "--catalog", &nowhere]).await;
        assert!(!done);
        assert_says(&said, &["there is no catalog in the schema", "is its name right?"]);
        let (done, _, said) = run(&["dump", "--catalog", &nowhere]).await;
        assert!(!done && said.contains("there is no catalog"), "looking made one: {said}");
    }
    let (not_there, target) = (redb(&absent), redb(&copied));
    for (arguments, words) in [
        (vec!["verify"], &["which catalog?", "--data-dir"][..]),
        (vec!["dump", "--catalog", "mysql://me:hunter2@h/d"], &["none of the stores", "redb:PATH"][..]),
        (vec!["verify", "--catalog", &not_there], &["there is no catalog", "no such file"][..]),
        (vec!["copy", "--from", &not_there, "--to", &target], &["there is no catalog", "no such file"][..]),
        (vec!["copy", "--from", &target, "--to", &target], &["are the same"][..]),
    ] {
        let (done, _, said) = run(&arguments).await;
        assert!(!done && !said.contains("hunter2"), "{said}");
        assert_says(&said, words);
    }
    assert!(!absent.exists() && !copied.exists());
}
