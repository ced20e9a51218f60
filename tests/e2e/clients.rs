//! Clients that people use connect without flags, run queries, and browse databases, tables and columns.

use std::path::{Path, PathBuf};

use millrace_tests::require;
use tokio::process::Command;

use crate::stage::Stage;

const PASSWORD: &str = "correct horse";
const HINT: &str = "skipped: no MySQL clients (run tests/components/clients.sh)";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

/// Runs a client's script against a server that wants a password.
async fn run(command: &mut Command) {
    let directory = tempfile::tempdir().unwrap();
    let options = millrace_tests::ServerOptions::new(crate::stage::BINARY, &directory.path().join("data"))
        .with("mysql.root_password", PASSWORD);
    let server = millrace_tests::ServerProcess::start(&options).await.unwrap();
    let output = command.args(["127.0.0.1", &server.mysql_port.to_string(), "root", PASSWORD]).output().await.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    server.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pymysql_sqlalchemy_and_the_connector_of_mysql_work_without_flags() {
    let Some(python) = require("clients", "MILLRACE_TEST_PYTHON", HINT) else { return };
    run(Command::new(python).arg(script("python_clients.py"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_mariadb_command_line_works_without_flags() {
    let Some(mariadb) = require("clients", "MILLRACE_TEST_MARIADB", HINT) else { return };
    let folder = Path::new(&mariadb).parent().map(Path::to_owned).unwrap_or_default();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    run(Command::new(script("mariadb_cli.sh")).env("PATH", path)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_of_node_prepares_on_the_server() {
    let Some(check) = require("clients", "MILLRACE_TEST_NODE", HINT) else { return };
    run(Command::new("node").arg(check)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_of_go_prepares_on_the_server() {
    let Some(client) = require("clients", "MILLRACE_TEST_GO", HINT) else { return };
    run(&mut Command::new(client)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_of_java_works_without_flags_and_with_those_that_people_set() {
    let Some(client) = require("clients", "MILLRACE_TEST_JAVA", HINT) else { return };
    run(&mut Command::new(client)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sessions_do_not_share_their_variables() {
    let mut stage = Stage::open().await;
    let mut other = stage.server.sql().await.unwrap();
    stage.sql.run("SET freshness = 'committed', @mine = 7").await.unwrap();
    assert_eq!(stage.sql.row("SELECT @@freshness, @mine").await.unwrap(), ["committed", "7"]);
    assert_eq!(other.row("SELECT @@freshness, @mine").await.unwrap(), ["latest", "NULL"]);
}
