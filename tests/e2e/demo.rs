//! `millrace demo`: the README's first command.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::stage::{BINARY, assert_says};

const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_commits_every_flight_and_ends_when_it_is_told_to() {
    let mut command = Command::new(BINARY);
    command.args(["demo", "--exit-when-done", "--mysql-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]);
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("the demo ends").unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert_says(&said, &["336776 records committed", "topic flights, 4 partitions", "first was queryable after"]);
}
