//! `millrace sql`: what it prints, and how it ends.

use std::process::{Output, Stdio};

use millrace_tests::{ServerOptions, ServerProcess};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::stage::{BINARY, Stage, assert_says};

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
