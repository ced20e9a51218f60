//! Rows that come from clients: TRUNCATE under a running pipeline, and files over HTTP.

use std::collections::BTreeSet;
use std::time::Duration;

use millrace_tests::{Broker, Ledger, Row, ServerOptions, ServerProcess, events};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ALL: &str = "SELECT count(*) FROM events";
const PLACES: &str = "SELECT _stream, _offset FROM events";

async fn start(directory: &tempfile::TempDir) -> (ServerOptions, ServerProcess) {
    let options = ServerOptions::new(env!("CARGO_BIN_EXE_millrace-under-test"), &directory.path().join("data"));
    let server = ServerProcess::start(&options).await.unwrap();
    (options, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_visible_when_a_table_was_truncated_is_gone_for_good_and_what_comes_after_stays() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::mock("events", 2).unwrap();
    let (options, server) = start(&directory).await;
    let mut sql = server.sql().await.unwrap();
    // Nothing is committed by its age: what is visible is in memory and in the log.
    for statement in events::ddl(&broker, "tasks = 2, flush_interval = '1h'") {
        sql.run(&statement).await.unwrap();
    }
    let producer = broker.producer(&[]).unwrap();
    let mut ledger = Ledger::default();
    let send =
        |range: std::ops::Range<i64>| range.map(|seq| ((seq % 2) as i32, events::payload(seq, "a body"))).collect();
    producer.send_all(send(0..500), &mut ledger).await.unwrap();
    server.until(ALL, 500, Duration::from_secs(20)).await.unwrap();
    sql.run("INSERT INTO events VALUES (10000, 'inserted')").await.unwrap();
    sql.run("TRUNCATE TABLE events").await.unwrap();
    assert_eq!(sql.number(ALL).await.unwrap(), 0, "in the same session");
    producer.send_all(send(500..700), &mut ledger).await.unwrap();
    server.until(ALL, 200, Duration::from_secs(20)).await.unwrap();
    let least = "SELECT min(seq) FROM events";
    assert_eq!(sql.number(least).await.unwrap(), 500);
    // Neither the log nor the broker brings the others back.
    server.kill().await.unwrap();
    let server = ServerProcess::start(&options).await.unwrap();
    server.until(ALL, 200, Duration::from_secs(20)).await.unwrap();
    let mut sql = server.sql().await.unwrap();
    assert_eq!(sql.number(least).await.unwrap(), 500);
    assert_eq!(sql.number("SELECT count(*) FROM system.pipelines WHERE state = 'running'").await.unwrap(), 1);
    sql.run("PAUSE PIPELINE events_in").await.unwrap();
    sql.run("INSERT INTO events SELECT seq + 1000, body FROM events").await.unwrap();
    assert_eq!(sql.number(ALL).await.unwrap(), 400);
    let verdicts = sql.rows("SYSTEM VERIFY TABLE events FULL").await.unwrap();
    assert!(verdicts.iter().all(|row| row.iter().flatten().any(|cell| cell == "ok")), "{verdicts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_arrive_while_a_table_is_truncated_are_before_or_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::mock("events", 2).unwrap();
    let (_options, server) = start(&directory).await;
    let mut sql = server.sql().await.unwrap();
    for statement in events::ddl(&broker, "flush_interval = '200ms'") {
        sql.run(&statement).await.unwrap();
    }
    let producer = broker.producer(&[]).unwrap();
    let mut ledger = Ledger::default();
    for round in 0..5_i64 {
        let send = (0..400_i64).map(|n| ((n % 2) as i32, events::payload(round * 400 + n, "a body"))).collect();
        let truncate = async {
            let before: BTreeSet<Row> = sql.rows(PLACES).await.unwrap().into_iter().collect();
            sql.run("TRUNCATE TABLE events").await.unwrap();
            // Whatever was seen before is not seen after it.
            let after = sql.rows(PLACES).await.unwrap();
            assert!(after.iter().all(|row| !before.contains(row)), "round {round}");
        };
        let (sent, ()) = tokio::join!(producer.send_all(send, &mut ledger), truncate);
        sent.unwrap();
    }
    sql.run("TRUNCATE TABLE events").await.unwrap();
    let send = (5_000..5_100_i64).map(|seq| ((seq % 2) as i32, events::payload(seq, "a body"))).collect();
    producer.send_all(send, &mut ledger).await.unwrap();
    // What was not fetched yet when the last one came is after it: no row is lost, and none is there twice.
    server.until("SELECT count(*) FROM events WHERE seq >= 5000", 100, Duration::from_secs(20)).await.unwrap();
    assert_eq!(sql.number("SELECT count(*) - count(DISTINCT seq) FROM events").await.unwrap(), 0);
}

/// The status and the JSON that a PUT is answered with.
async fn put(server: &ServerProcess, path: &str, headers: &str, body: &[u8]) -> (u16, serde_json::Value) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.http_port)).await.unwrap();
    let head = format!(
        "PUT /v1/load/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {answer}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_are_loaded_whole_or_not_at_all_and_once_for_each_label() {
    let directory = tempfile::tempdir().unwrap();
    let (_options, server) = start(&directory).await;
    let mut sql = server.sql().await.unwrap();
    sql.run("CREATE TABLE cities (id INT NOT NULL, name VARCHAR(20) DEFAULT 'nowhere', people BIGINT) ORDER BY (id)")
        .await
        .unwrap();
    let lines = b"{\"id\": 1, \"name\": \"Bern\"}\n\n{\"id\": 2, \"people\": 5, \"more\": true}\r\n{\"id\": 3}";
    let (status, answer) = put(&server, "default/cities?format=ndjson&label=first", "", lines).await;
    assert_eq!((status, &answer["rows"], &answer["label"]), (200, &3.into(), &"first".into()), "{answer}");
    let (status, again) = put(&server, "default/cities?format=ndjson&label=first", "", b"{\"id\": 9}").await;
    assert_eq!((status, &again["rows"], &again["version"]), (409, &answer["rows"], &answer["version"]), "{again}");
    assert_eq!(sql.row("SELECT count(*), max(name) FROM cities").await.unwrap(), ["3", "nowhere"]);

    let csv = b"people,name,ID\n7,\"Basel, the \"\"city\"\"\",4\n,,5\n";
    let (status, answer) = put(&server, "default/cities", "Content-Type: text/csv\r\n", csv).await;
    assert_eq!((status, &answer["rows"]), (200, &2.into()), "{answer}");
    assert_eq!(sql.value("SELECT name FROM cities WHERE id = 4").await.unwrap(), "Basel, the \"city\"");
    assert_eq!(sql.value("SELECT name FROM cities WHERE id = 5").await.unwrap(), "NULL");

    let bad = b"id,name\n6,a\nx,b\n7,c\n";
    let (status, answer) = put(&server, "default/cities?format=csv", "", bad).await;
    assert_eq!((status, &answer["line"]), (422, &3.into()), "{answer}");
    let (status, answer) = put(&server, "default/cities?format=csv&max_errors=1", "", bad).await;
    assert_eq!((status, &answer["rows"], &answer["skipped"]), (200, &2.into(), &1.into()), "{answer}");
    let (status, answer) = put(&server, "default/cities?format=ndjson", "", b"{\"id\": 8}\n{\"id\": \"x\"}\n").await;
    assert_eq!((status, &answer["line"]), (422, &2.into()), "{answer}");
    assert_eq!(sql.number("SELECT count(*) FROM cities").await.unwrap(), 7, "nothing of what was refused");

    for (path, headers, status) in [
        ("default/nosuch?format=csv", "", 404),
        ("default/cities", "", 415),
        ("default/cities?format=csv&lable=x", "", 400),
        ("system/parts?format=csv", "", 403),
        ("default/cities?format=parquet", "", 422),
        ("default/cities?format=csv", "Authorization: Basic cm9vdDp3cm9uZw==\r\n", 401),
    ] {
        let (found, answer) = put(&server, path, headers, b"id\n1\n").await;
        assert!(
            found == status && answer["error"].as_str().is_some_and(|error| error.len() > 10),
            "{path}: {found} {answer}"
        );
    }
}
