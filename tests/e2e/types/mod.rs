//! The matrix of types: every value of `cases` by every way in, seen through both forms of the protocol, in every
//! place where a row can be. One rendering per value judges all of them.
//!
//! | way in | place |
//! |---|---|
//! | a JSON record | in the memtable; replayed from the log after a kill; in a part |
//! | a literal, as a column's DEFAULT | in a part |
//! | INSERT VALUES, SELECT and CREATE TABLE AS; parameters, and long data (`inserts`) | in a part, before and after a restart |

mod cases;
mod client;
mod inserts;
mod parameters;

use std::fmt::Write as _;

use millrace_tests::Broker;

use crate::stage::Stage;
use cases::{KINDS, Kind};
use client::{Client, Protocol};

/// The most values that a type has, and the row of NULLs behind them.
fn rows() -> usize {
    KINDS.iter().map(|kind| kind.cases.len()).max().unwrap_or_default() + 1
}

/// CREATE TABLE with a column for each type.
fn ddl(table: &str) -> String {
    let columns: Vec<String> = KINDS.iter().enumerate().map(|(at, kind)| format!("k{at} {}", kind.declared)).collect();
    format!("CREATE TABLE {table} (id INT NOT NULL, {}) ORDER BY (id)", columns.join(", "))
}

/// What a client must see of `row`.
fn expected(row: usize) -> Vec<Option<String>> {
    KINDS.iter().map(|kind| kind.cases.get(row).map(|case| case.shown.to_owned())).collect()
}

/// The record of `row`: every second NULL is written, the others are not there.
fn record(row: usize) -> String {
    let mut json = format!("{{\"id\":{row}");
    for (at, kind) in KINDS.iter().enumerate() {
        match kind.cases.get(row) {
            Some(case) => write!(json, ",\"k{at}\":{}", case.json).unwrap(),
            None if at % 2 == 0 => write!(json, ",\"k{at}\":null").unwrap(),
            None => {}
        }
    }
    json.push('}');
    json
}

/// Every row of `table` through both forms of the protocol.
async fn check(stage: &Stage, table: &str, place: &str) {
    let columns: Vec<String> = (0..KINDS.len()).map(|at| format!("k{at}")).collect();
    let query = format!("SELECT {} FROM {table} ORDER BY id", columns.join(", "));
    let mut client = Client::connect(stage.server.mysql_port).await;
    let mut wrong = Vec::new();
    for protocol in Protocol::ALL {
        let found = client.rows(&query, protocol).await;
        assert_eq!(found.len(), rows(), "{table}, {place}, {protocol:?}");
        for (row, found) in found.iter().enumerate() {
            for (at, (found, expected)) in found.iter().zip(expected(row)).enumerate() {
                if !protocol.agrees(found.as_deref(), expected.as_deref()) {
                    let Kind { declared, .. } = KINDS[at];
                    wrong.push(format!("{declared}, row {row}, {protocol:?}: {found:?}, and should be {expected:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{table}, {place}:\n{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_a_record_is_seen_as_it_is_in_memory_after_a_replay_and_in_a_part() {
    let broker = Broker::mock("values", 1).unwrap();
    let mut stage = Stage::open().await;
    stage.sql.run(&ddl("by_record")).await.unwrap();
    let pipeline = format!(
        "CREATE PIPELINE values_in INTO by_record AS SELECT * FROM KAFKA (brokers = '{}', topic = 'values', format = 'json') \
         WITH (flush_interval = '1h')",
        broker.bootstrap
    );
    stage.sql.run(&pipeline).await.unwrap();
    let producer = broker.producer(&[]).unwrap();
    for row in 0..rows() {
        producer.send(0, Some(record(row).as_bytes())).await.unwrap();
    }
    let count = rows() as i64;
    let total = "SELECT (SELECT count(*) FROM by_record) + (SELECT count(*) FROM `by_record$errors`)";
    stage.until(total, count).await;
    assert_eq!(stage.sql.rows("SELECT message FROM `by_record$errors`").await.unwrap(), Vec::<Vec<_>>::new());
    check(&stage, "by_record", "in the memtable").await;

    let mut stage = stage.kill_and_start().await;
    stage.until(total, count).await;
    assert_eq!(stage.sql.number("SELECT count(*) FROM system.parts").await.unwrap(), 0);
    check(&stage, "by_record", "replayed").await;

    stage.sql.run("PAUSE PIPELINE values_in").await.unwrap();
    assert_eq!(stage.sql.number("SELECT sum(`rows`) FROM system.parts").await.unwrap(), count);
    check(&stage, "by_record", "in a part").await;
    inserts::copy(&mut stage, "by_record").await;
    let stage = stage.stop().await.start().await;
    for table in ["by_record", "by_record_selected", "by_record_made"] {
        check(&stage, table, "in a part after a restart").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_that_a_type_does_not_take_is_an_error_row_with_its_reason() {
    let broker = Broker::mock("values", 1).unwrap();
    let mut stage = Stage::open().await;
    stage.sql.run(&ddl("by_record")).await.unwrap();
    let pipeline = format!(
        "CREATE PIPELINE values_in INTO by_record AS SELECT * FROM KAFKA (brokers = '{}', topic = 'values', format = 'json') \
         WITH (flush_interval = '200ms')",
        broker.bootstrap
    );
    stage.sql.run(&pipeline).await.unwrap();
    let producer = broker.producer(&[]).unwrap();
    let mut expected = Vec::new();
    for (at, kind) in KINDS.iter().enumerate() {
        for refused in kind.refused {
            let record = format!("{{\"id\":1,\"k{at}\":{}}}", refused.json);
            producer.send(0, Some(record.as_bytes())).await.unwrap();
            expected.push((kind.declared, refused.json, refused.reason));
        }
    }
    stage.until("SELECT count(*) FROM `by_record$errors`", expected.len() as i64).await;
    let found = stage.sql.rows("SELECT reason, message FROM `by_record$errors` ORDER BY _offset").await.unwrap();
    for (found, (declared, json, reason)) in found.iter().zip(expected) {
        assert_eq!(found[0].as_deref(), Some(reason), "{json} as {declared}: {found:?}");
    }
    assert_eq!(stage.sql.number("SELECT count(*) FROM by_record").await.unwrap(), 0);
}

/// Columns that can have a DEFAULT, by their place among all.
fn defaulted() -> impl Iterator<Item = (usize, &'static Kind)> {
    let is_nested = |declared: &str| declared.starts_with("ARRAY") || declared.starts_with("MAP");
    KINDS.iter().enumerate().filter(move |(_, kind)| !is_nested(kind.declared))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_literal_that_a_default_is_fills_a_record_that_says_nothing() {
    let broker = Broker::mock("values", 1).unwrap();
    let mut stage = Stage::open().await;
    broker.producer(&[]).unwrap().send(0, Some(b"{}")).await.unwrap();
    for row in 0..rows() - 1 {
        let columns: Vec<(usize, &Kind)> = defaulted().filter(|(_, kind)| row < kind.cases.len()).collect();
        let clause = |(at, kind): &(usize, &Kind)| format!("k{at} {} DEFAULT {}", kind.declared, kind.cases[row].sql);
        let clauses: Vec<String> = columns.iter().map(clause).collect();
        stage.sql.run(&format!("CREATE TABLE by_default_{row} ({})", clauses.join(", "))).await.unwrap();
        // What SHOW CREATE TABLE prints makes the same table again.
        let shown = stage.sql.row(&format!("SHOW CREATE TABLE by_default_{row}")).await.unwrap().remove(1);
        stage.sql.run(&format!("DROP TABLE by_default_{row}")).await.unwrap();
        stage.sql.run(&shown).await.unwrap();
        let pipeline = format!(
            "CREATE PIPELINE values_{row} INTO by_default_{row} AS SELECT * FROM KAFKA (brokers = '{}', topic = 'values', \
             format = 'json') WITH (flush_interval = '100ms')",
            broker.bootstrap
        );
        stage.sql.run(&pipeline).await.unwrap();
        stage.until(&format!("SELECT count(*) FROM by_default_{row}"), 1).await;
        let query = format!(
            "SELECT {} FROM by_default_{row}",
            columns.iter().map(|(at, _)| format!("k{at}")).collect::<Vec<_>>().join(", ")
        );
        let found = Client::connect(stage.server.mysql_port).await.rows(&query, Protocol::Text).await.remove(0);
        for ((_, kind), found) in columns.iter().zip(found) {
            let case = kind.cases[row];
            assert_eq!(found.as_deref(), Some(case.shown), "{} DEFAULT {}", kind.declared, case.sql);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_literal_that_a_type_does_not_take_is_no_default() {
    let mut stage = Stage::open().await;
    for (_, kind) in defaulted() {
        for refused in kind.refused.iter().filter(|refused| !refused.sql.is_empty()) {
            let create = format!("CREATE TABLE refused (c {} DEFAULT {})", kind.declared, refused.sql);
            let error = stage.sql.error(&create).await.unwrap();
            assert!(error.contains("1067") && error.contains("'c'"), "{create}: {error}");
        }
    }
}
