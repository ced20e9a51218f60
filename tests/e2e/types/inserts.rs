//! The matrix by statements: literals, queries, and parameters of VALUES and of a select list, as text, in their own types and as
//! long data. A value that its type does not take is refused with MySQL's number and the names of column and row, and nothing is
//! inserted.

use server::client::prepared::Parameter;

use super::cases::{KINDS, Kind, LONG, NO_MEMBER, RANGE, Refused, WRONG};
use super::client::Client;
use super::parameters::{Sent, unquoted};
use super::{check, ddl, rows};
use crate::stage::Stage;

/// Copies `table` in both ways that a query fills a table, and checks the copies.
pub async fn copy(stage: &mut Stage, table: &str) {
    stage.sql.run(&ddl(&format!("{table}_selected"))).await.unwrap();
    for statement in [
        format!("INSERT INTO {table}_selected SELECT * FROM {table}"),
        format!("CREATE TABLE {table}_made ORDER BY (id) AS SELECT * FROM {table}"),
    ] {
        stage.sql.run(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error:#}"));
    }
    check(stage, &format!("{table}_selected"), "by INSERT SELECT").await;
    check(stage, &format!("{table}_made"), "by CREATE TABLE AS SELECT").await;
    let types = |table: String| {
        format!(
            "SELECT COLUMN_NAME, COLUMN_TYPE FROM information_schema.COLUMNS WHERE TABLE_NAME = '{table}' ORDER BY ORDINAL_POSITION"
        )
    };
    let declared = stage.sql.rows(&types(format!("{table}_selected"))).await.unwrap();
    let made = stage.sql.rows(&types(format!("{table}_made"))).await.unwrap();
    assert_eq!(made, declared, "the types that the query gave");
    assert_eq!(made.len(), KINDS.len() + 1);
}

/// The literals of a row, in parentheses.
fn literals(row: usize) -> String {
    let values = KINDS.iter().map(|kind| kind.cases.get(row).map_or("NULL", |case| case.sql));
    format!("({row}, {})", values.collect::<Vec<_>>().join(", "))
}

/// The number with which MySQL refuses the value.
fn number(kind: &Kind, refused: &Refused) -> u16 {
    match refused.reason {
        LONG => 1406,
        NO_MEMBER => 1265,
        _ if kind.declared.starts_with("DATE") || kind.declared.starts_with("TIME") => 1292,
        RANGE => 1264,
        _ => 1366,
    }
}

/// Values that are refused and can be written in SQL, each with the place of its column.
fn all_refused() -> impl Iterator<Item = (usize, &'static Kind, &'static Refused)> {
    let of_kind = |(at, kind): (usize, &'static Kind)| kind.refused.iter().map(move |refused| (at, kind, refused));
    KINDS.iter().enumerate().flat_map(of_kind).filter(|(_, _, refused)| !refused.sql.is_empty())
}

/// The words that name the column of a kind, and the row.
fn place(at: usize, row: usize) -> String {
    format!("column 'k{at}' at row {row}")
}

/// What is wrong with the answer to a value that should be refused.
fn complaint(answer: Result<(), String>, number: u16, place: &str, statement: &str) -> Option<String> {
    match answer {
        Ok(()) => Some(format!("taken: {statement}")),
        Err(error) => {
            let says = [&format!("ERROR {number} "), place];
            let is_as_expected = says.iter().all(|words| error.contains(*words));
            (!is_as_expected).then(|| format!("{says:?} are not in {error:?}: {statement}"))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_a_literal_is_seen_as_it_is_and_through_queries() {
    let mut stage = Stage::open().await;
    for table in ["by_literal", "by_literals"] {
        stage.sql.run(&ddl(table)).await.unwrap();
    }
    let all: Vec<String> = (0..rows()).map(literals).collect();
    stage.sql.run(&format!("INSERT INTO by_literals VALUES {}", all.join(", "))).await.unwrap();
    for row in all {
        stage.sql.run(&format!("INSERT INTO by_literal VALUES {row}")).await.unwrap();
    }
    check(&stage, "by_literal", "a statement for each row").await;
    check(&stage, "by_literals", "one statement for all rows").await;
    copy(&mut stage, "by_literals").await;
    let stage = stage.kill_and_start().await;
    for table in ["by_literal", "by_literals", "by_literals_selected", "by_literals_made"] {
        check(&stage, table, "after a kill").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_of_a_parameter_is_seen_as_it_is_however_it_is_sent() {
    let mut stage = Stage::open().await;
    let mut client = Client::connect(stage.server.mysql_port).await;
    let marks = vec!["?"; KINDS.len() + 1].join(", ");
    let sources = [("values", format!("VALUES ({marks})")), ("selected", format!("SELECT {marks}"))];
    let mut tables = Vec::new();
    for ((name, source), sent) in sources.iter().flat_map(|source| Sent::ALL.map(|sent| (source, sent))) {
        let table = format!("by_parameter_{name}_{sent:?}").to_lowercase();
        stage.sql.run(&ddl(&table)).await.unwrap();
        let insert = client.connection.prepare(&format!("INSERT INTO {table} {source}")).await.unwrap();
        assert_eq!(usize::from(insert.parameters), KINDS.len() + 1);
        for row in 0..rows() {
            let value = |kind: &Kind| match kind.cases.get(row) {
                Some(case) => sent.parameter(kind.declared, case.sql),
                None => Parameter::Null,
            };
            let mut values = vec![Parameter::Int(row as i64)];
            values.extend(KINDS.iter().map(value));
            client
                .connection
                .execute(insert, &values)
                .await
                .unwrap_or_else(|error| panic!("row {row} of {table}: {error}"));
        }
        check(&stage, &table, "by parameters").await;
        tables.push(table);
    }
    let stage = stage.kill_and_start().await;
    for table in tables {
        check(&stage, &table, "by parameters, after a kill").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_that_a_type_does_not_take_is_refused_with_its_number_column_and_row() {
    let mut stage = Stage::open().await;
    stage.sql.run(&ddl("refusing")).await.unwrap();
    stage.sql.run("CREATE TABLE loose (id INT NOT NULL, t TEXT, b BLOB) ORDER BY (id)").await.unwrap();
    let mut client = Client::connect(stage.server.mysql_port).await;
    let mut complaints = Vec::new();
    for (id, (at, kind, refused)) in all_refused().enumerate() {
        let number = number(kind, refused);
        let insert = format!("INSERT INTO refusing (id, k{at}) VALUES (1, NULL), (2, {})", refused.sql);
        let answer = stage.sql.run(&insert).await.map_err(|error| format!("{error:#}"));
        complaints.extend(complaint(answer, number, &place(at, 2), &insert));

        for (source, row) in [("VALUES (1, NULL), (2, ?)", 2), ("SELECT 1, ?", 1)] {
            let insert = format!("INSERT INTO refusing (id, k{at}) {source}");
            let prepared = client.connection.prepare(&insert).await.unwrap();
            for sent in Sent::ALL {
                let value = sent.parameter(kind.declared, refused.sql);
                let is_time = matches!(value, Parameter::Date(_) | Parameter::DateTime(..) | Parameter::Time { .. });
                // A day that the calendar does not have is refused when it is read, before any column.
                let place = if is_time && refused.reason == WRONG { "(parameter 1)" } else { &place(at, row) };
                let answer = client.connection.execute(prepared, &[value]).await;
                let answer = answer.map(drop).map_err(|error| error.to_string());
                complaints.extend(complaint(answer, number, place, &format!("{insert}, {sent:?}, {}", refused.sql)));
            }
        }

        let (column, value) = match refused.sql.starts_with("X'") {
            true => ("b", refused.sql.to_owned()),
            false => ("t", format!("'{}'", unquoted(refused.sql))),
        };
        stage.sql.run(&format!("INSERT INTO loose (id, {column}) VALUES ({id}, {value})")).await.unwrap();
        let insert = format!("INSERT INTO refusing (id, k{at}) SELECT id, {column} FROM loose WHERE id = {id}");
        let answer = stage.sql.run(&insert).await.map_err(|error| format!("{error:#}"));
        complaints.extend(complaint(answer, number, &place(at, 1), &format!("{insert}, {}", refused.sql)));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert_eq!(stage.sql.number("SELECT count(*) FROM refusing").await.unwrap(), 0);
}
