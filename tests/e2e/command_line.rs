//! What the commands print, and how they end.

use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use millrace_tests::{Broker, Ledger, ServerOptions, ServerProcess, events};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use crate::small_disk::{SmallDisk, stage_on};
use crate::stage::{BINARY, Stage, Stopped, assert_says};

async fn sql(port: u16, arguments: &[&str], stdin: &str) -> Output {
    let mut command = Command::new(BINARY);
    command.args(["sql", "--port", &port.to_string()]).args(arguments).env_remove("MILLRACE_PASSWORD");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A client that has its statements from its flags does not read on.
    drop(child.stdin.take().unwrap().write_all(stdin.as_bytes()).await);
    child.wait_with_output().await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_the_command_line_are_answered_by_a_table_and_its_time() {
    let stage = Stage::open().await;
    let output = sql(stage.server.mysql_port, &["-e", "SELECT 1 AS one, 'x' AS letter"], "").await;
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_says(&printed, &["│ one ┆ letter │", "│   1 ┆ x      │", "1 row in ", " s\n"]);

    let output = sql(stage.server.mysql_port, &["-e", "CREATE DATABASE shop; SHOW DATABASES LIKE 'sh%'"], "").await;
    assert_says(&text(&output.stdout), &["OK in ", "shop", "1 row in "]);

    let output = sql(stage.server.mysql_port, &["-e", "SELECT 7 AS n, NULL AS nothing\\G"], "").await;
    assert_says(&text(&output.stdout), &["n: 7", "nothing: NULL"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_of_standard_input_run_until_the_first_error() {
    let stage = Stage::open().await;
    let statements = "SELECT 1;\n-- a comment\nSELECT nonsense;\nSELECT 3;\n";
    let output = sql(stage.server.mysql_port, &["--format", "tsv"], statements).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "1\n1\n");
    assert_says(&text(&output.stderr), &["ERROR 1054 (42S22)", "nonsense"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_and_an_absent_server_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let options = ServerOptions::new(BINARY, &directory.path().join("data")).with("mysql.root_password", "secret");
    let server = ServerProcess::start(&options).await.unwrap();
    let output = sql(server.mysql_port, &["--password", "wrong", "-e", "SELECT 1"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert_says(&text(&output.stderr), &["ERROR 1045 (28000)", "Access denied for user 'root'", "using password: YES"]);
    let output = sql(server.mysql_port, &["-e", "SELECT 1"], "").await;
    assert_says(&text(&output.stderr), &["ERROR 1045 (28000)", "using password: NO"]);
    let output = sql(server.mysql_port, &["--password", "secret", "-e", "SELECT 1"], "").await;
    assert!(output.status.success(), "{}", text(&output.stderr));

    let port = server.mysql_port;
    server.kill().await.unwrap();
    let output = sql(port, &["-e", "SELECT 1"], "").await;
    assert_eq!(output.status.code(), Some(1));
    assert_says(
        &text(&output.stderr),
        &["cannot connect to Millrace at 127.0.0.1", "millrace standalone --data-dir", "--port"],
    );
}

/// Logs to a full disk are lost, and nothing but they: a task that could not say what it met ended of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_log_cannot_be_written_takes_events_in_and_stops_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = ServerOptions::new(BINARY, &directory.path().join("data"));
    options.log = "/dev/full".into();
    options.environment.push(("MILLRACE_LOG".to_owned(), "debug".to_owned()));
    let mut stage = Stopped { options, directory }.start().await;
    let broker = Broker::mock("events", 1).unwrap();
    let mut ledger = Ledger::default();
    let payloads: Vec<(i32, Vec<u8>)> = (0..1_000).map(|seq| (0, events::payload(seq, "said to nobody"))).collect();
    broker.producer(&[]).unwrap().send_all(payloads, &mut ledger).await.unwrap();
    stage.take_events(&broker, "flush_interval = '100ms'").await;
    stage.until_all_of(&ledger).await;
    stage.until("SELECT count(*) FROM system.pipelines WHERE last_error IS NULL", 1).await;
    stage.server.stop().await.unwrap();
}

/// As a pipe into `head` does: what a server would say in its last moments is no reason not to commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_nobody_reads_stops_in_good_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut server = Command::new(BINARY)
        .args(["standalone", "--mysql-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory.path().join("data"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().expect("it becomes ready").contains("http") {}
    drop(lines);
    kill_process(Pid::from_raw(server.id().unwrap() as i32).unwrap(), Signal::TERM).unwrap();
    let status = server.wait().await.unwrap();
    assert!(status.success(), "{status}");
}

/// Nobody has to wait for a disk to be emptied: what is visible is in the log, and the next start goes on with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_a_server_that_cannot_commit_and_nothing_is_lost() {
    let mounted = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(mounted.path()) else { return };
    let broker = Broker::mock("events", 1).unwrap();
    let mut stage = stage_on(&disk, tempfile::tempdir().unwrap()).await;
    stage.take_events(&broker, "flush_interval = '1h'").await;
    let mut ledger = Ledger::default();
    let mut random = StdRng::seed_from_u64(16);
    // More than the last corner of a full disk takes.
    let payloads: Vec<(i32, Vec<u8>)> =
        (0..20_000).map(|seq| (0, events::random_payload(&mut random, seq, 0))).collect();
    broker.producer(&[]).unwrap().send_all(payloads, &mut ledger).await.unwrap();
    stage.until_all_of(&ledger).await;
    let filler = disk.fill(0);
    let Stage { options, mut server, sql, directory } = stage;
    drop(sql);
    let (began, mut signals) = (Instant::now(), 0);
    loop {
        server.ask_to_stop().unwrap();
        signals += 1;
        if server.died(Duration::from_millis(500)).await.unwrap() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "it does not end");
    }
    assert!(signals > 1, "it could not commit");
    std::fs::remove_file(filler).unwrap();
    Stopped { options, directory }.start().await.until_all_of(&ledger).await;
}
