//! INSERT, CREATE TABLE AS SELECT and TRUNCATE, by whole sessions over a catalog and parts in memory.

use crate::mysql::Answer;
use crate::sql::fakes::{Client, Front};

const ITEMS: &str = "CREATE TABLE items (id BIGINT NOT NULL, name VARCHAR(5), price DECIMAL(6, 2) DEFAULT 1.50, small TINYINT UNSIGNED, \
                     at DATETIME, day DATE, ok BOOLEAN NOT NULL DEFAULT TRUE, extra JSON) ORDER BY (id)";

async fn shop() -> (Front, Client) {
    let front = Front::new().await;
    let mut client = front.session(1, Some("default")).await;
    client.ask(ITEMS).await;
    (front, client)
}

async fn done(client: &mut Client, sql: &str) -> (u64, u16, String) {
    match client.session.execute(sql).await {
        Ok(Answer::Done { affected_rows, warnings, info }) => (affected_rows, warnings, info),
        Ok(Answer::Rows { .. }) => panic!("{sql} was answered with rows"),
        Err(error) => panic!("{sql}: {} {}", error.code, error.message),
    }
}

#[tokio::test]
async fn values_are_seen_by_every_session_once_they_are_answered() {
    let (front, mut client) = shop().await;
    let mut other = front.session(2, Some("default")).await;
    let one = done(
        &mut client,
        "INSERT INTO items VALUES (1, 'a', 2.5, 255, '2024-02-29 12:00:00.5', '2024-02-29', false, '{\"a\": [1]}')",
    )
    .await;
    assert_eq!(one, (1, 0, String::new()));
    let row = other.row("SELECT * FROM items").await;
    assert_eq!(row[..4], ["1", "a", "2.50", "255"]);
    assert!(row[4].starts_with("2024-02-29T12:00:00.5") && row[5] == "2024-02-29" && row[6] == "false", "{row:?}");
    assert_eq!(row[7], "{\"a\": [1]}");
    let (rows, _, info) = done(&mut client, "insert items (Name, ID) values ('b', 2), (NULL, 3), (DEFAULT, 4)").await;
    assert_eq!((rows, info.as_str()), (3, "Records: 3  Duplicates: 0  Warnings: 0"));
    let defaults = other.ask("SELECT id, name, price, small, ok FROM items WHERE id > 1 ORDER BY id").await.rows;
    assert_eq!(defaults[0], ["2", "b", "1.50", "NULL", "true"]);
    assert_eq!(defaults[1][1], "NULL");
}

#[tokio::test]
async fn expressions_are_computed_and_stand_beside_literals() {
    let (_front, mut client) = shop().await;
    client.ask("INSERT INTO items (id, name, price, at) VALUES (1 + 1, upper('ab'), 5 * 0.5, NOW()), (3, concat('x', 'y'), DEFAULT, NULL)").await;
    client.ask("INSERT INTO items SET id = (SELECT max(id) FROM items) + 1, name = 'c'").await;
    let rows = client.ask("SELECT id, name, price, at IS NULL FROM items ORDER BY id").await.rows;
    assert_eq!(rows[0], ["2", "AB", "2.50", "false"]);
    assert_eq!(rows[1], ["3", "xy", "1.50", "true"]);
    assert_eq!(rows[2][..2], ["4", "c"]);
}

#[tokio::test]
async fn bytes_that_are_a_text_go_into_one() {
    let (_front, mut client) = shop().await;
    client.ask("INSERT INTO items (id, name) VALUES (1, X'6772c3bc'), (2, 'a'), (3, NULL)").await;
    client.ask("INSERT INTO items (id, name) VALUES (4, X'62'), (5, X'')").await;
    client.ask("INSERT INTO items (id, name) SELECT 6, X'63'").await;
    assert_eq!(client.column("SELECT name FROM items ORDER BY id").await, ["grü", "a", "NULL", "b", "", "c"]);
}

#[tokio::test]
async fn what_does_not_fit_is_told_in_mysqls_numbers_with_column_and_row_and_nothing_is_inserted() {
    let (_front, mut client) = shop().await;
    for (sql, code, words) in [
        ("INSERT INTO items (id, small) VALUES (1, 1), (2, 256)", 1264, "column 'small' at row 2"),
        ("INSERT INTO items (id, small) VALUES (1, -1)", 1264, "column 'small' at row 1"),
        ("INSERT INTO items (id, name) VALUES (1, 'abcdef')", 1406, "column 'name' at row 1"),
        ("INSERT INTO items (id) VALUES (1), (2), ('x')", 1366, "Incorrect integer value for column 'id' at row 3"),
        ("INSERT INTO items (id, name) VALUES (1, 'a'), (2, X'61ff')", 1366, "column 'name' at row 2: \\xFF at byte 1"),
        ("INSERT INTO items (id, name) VALUES (1, X'616263646566')", 1406, "column 'name' at row 1"),
        ("INSERT INTO items (id, name) SELECT 1, X'ff'", 1366, "column 'name' at row 1"),
        ("INSERT INTO items (id, at) VALUES (1, 'noon')", 1292, "Incorrect datetime value for column 'at' at row 1"),
        ("INSERT INTO items (id, extra) VALUES (1, '{')", 3140, "column 'extra'"),
        ("INSERT INTO items (id) VALUES (NULL)", 1048, "Column 'id' cannot be null"),
        ("INSERT INTO items (id, ok) VALUES (1, NULL)", 1048, "Column 'ok'"),
        ("INSERT INTO items (name) VALUES ('a')", 1364, "Field 'id' doesn't have a default value"),
        ("INSERT INTO items (id, name) VALUES (1, 'a'), (2)", 1136, "row 2"),
        ("INSERT INTO items VALUES (1)", 1136, "1 values for 8 columns"),
        ("INSERT INTO items (id, naem) VALUES (1, 'a')", 1054, "did you mean 'name'?"),
        ("INSERT INTO items (id, ID) VALUES (1, 1)", 1110, "specified twice"),
        ("INSERT INTO items (id) SELECT 1, 2", 1136, "2 values for 1 columns"),
        ("INSERT INTO items (id, name) SELECT value, 'abcdef' FROM generate_series(1, 3)", 1406, "at row 1"),
        ("INSERT INTO itmes VALUES (1)", 1146, "did you mean 'items'?"),
        ("INSERT INTO `items$errors` VALUES (1)", 1288, "only pipelines write it"),
        ("INSERT INTO system.parts VALUES (1)", 1044, "made by the server"),
        ("INSERT INTO items (id) VALUES (nosuch(1))", 1305, "nosuch"),
        ("INSERT INTO items WITH LABEL '' (id) VALUES (1)", 1105, "at least one character"),
        ("INSERT IGNORE INTO items (id) VALUES (1)", 1235, "leave IGNORE out"),
        ("INSERT INTO items (id) VALUES (1) ON DUPLICATE KEY UPDATE id = 2", 1235, "ON DUPLICATE KEY"),
        ("REPLACE INTO items (id) VALUES (1)", 1235, "use INSERT"),
        ("INSERT INTO items (id) VALUES (1), (2", 1064, "expected"),
        ("INSERT INTO items (id)", 1064, "VALUES (…) or SELECT"),
    ] {
        let (found, message) = client.fail(sql).await;
        assert!(found == code && message.contains(words), "{sql}: {found} {message}");
    }
    assert_eq!(client.row("SELECT count(*) FROM items").await, ["0"]);
}

#[tokio::test]
async fn a_time_out_of_its_types_range_is_an_incorrect_one_as_in_mysql() {
    let (_front, mut client) = shop().await;
    client.ask("CREATE TABLE clocks (moment DATETIME(0), span TIME, year YEAR)").await;
    for (sql, code, words) in [
        (
            "INSERT INTO clocks (moment) VALUES ('9999-12-31 23:59:59.5')",
            1292,
            "datetime value for column 'moment' at row 1",
        ),
        ("INSERT INTO clocks (span) VALUES ('1:00'), ('839:00:00')", 1292, "time value for column 'span' at row 2"),
        ("INSERT INTO clocks (year) VALUES (2156)", 1264, "Out of range value for column 'year' at row 1"),
    ] {
        let (found, message) = client.fail(sql).await;
        assert!(found == code && message.contains(words), "{sql}: {found} {message}");
    }
}

#[tokio::test]
async fn a_query_fills_a_table_and_may_read_the_one_that_it_fills() {
    let (_front, mut client) = shop().await;
    let (rows, _, _) = done(&mut client, "INSERT INTO items (id, name, small) SELECT value, concat('n', value % 3), value % 256 FROM generate_series(1, 20000)").await;
    assert_eq!(rows, 20_000);
    assert_eq!(
        client.row("SELECT count(*), sum(id), count(DISTINCT name) FROM items").await,
        ["20000", "200010000", "3"]
    );
    assert_eq!(
        done(&mut client, "INSERT INTO items SELECT * FROM items WHERE id <= 5").await.0,
        5,
        "as of when it began"
    );
    assert_eq!(client.row("SELECT count(*) FROM items").await, ["20005"]);
    assert_eq!(done(&mut client, "INSERT INTO items SELECT * FROM items WHERE id < 0").await.0, 0);
    let (code, _) =
        client.fail("INSERT INTO items (id, small) SELECT value, value FROM generate_series(1, 20000)").await;
    assert_eq!((code, client.row("SELECT count(*) FROM items").await), (1264, vec!["20005".to_owned()]));
}

#[tokio::test]
async fn an_insert_with_a_label_is_answered_like_the_first_one_with_it() {
    let (_front, mut client) = shop().await;
    assert_eq!(done(&mut client, "INSERT INTO items WITH LABEL load_1 (id) VALUES (1), (2)").await.0, 2);
    let (rows, warnings, _) = done(&mut client, "INSERT INTO items WITH LABEL load_1 (id) VALUES (1), (2)").await;
    assert_eq!((rows, warnings), (2, 1));
    assert!(client.column("SHOW WARNINGS").await[0].contains("Note"));
    client.ask("SET insert_label = 'load_2'").await;
    for (expected, rows) in [(1, 3), (1, 4)] {
        // The variable is for one INSERT: the second has no label.
        assert_eq!(done(&mut client, "INSERT INTO items (id) VALUES (3)").await.0, expected);
        assert_eq!(client.row("SELECT count(*) FROM items").await, [rows.to_string()]);
    }
    client.ask("SET insert_label = 'load_2'").await;
    assert_eq!(
        done(&mut client, "INSERT INTO items (id) SELECT value FROM generate_series(1, 9)").await.0,
        1,
        "as the first"
    );
    assert_eq!(client.row("SELECT count(*) FROM items").await, ["4"]);
}

#[tokio::test]
async fn a_table_made_of_a_query_is_there_whole_or_not_at_all() {
    let (front, mut client) = shop().await;
    client.ask("INSERT INTO items (id, name) VALUES (1, 'a'), (2, 'b')").await;
    let (rows, _, _) = done(&mut client, "CREATE TABLE copy PARTITION BY day(at) ORDER BY (id) AS SELECT id, name, price, small, at, day, ok, extra, count(*) OVER () AS n FROM items").await;
    assert_eq!(rows, 2);
    let ddl = client.row("SHOW CREATE TABLE copy").await[1].clone();
    for words in [
        "`id` bigint NOT NULL",
        "`name` varchar(5)",
        "`price` decimal(6,2)",
        "tinyint unsigned",
        "`extra` json",
        "`n` bigint",
    ] {
        assert!(ddl.to_ascii_lowercase().contains(&words.to_ascii_lowercase()), "{words}: {ddl}");
    }
    assert_eq!(client.row("SELECT count(*), max(n) FROM copy").await, ["2", "2"]);
    assert_eq!(done(&mut client, "CREATE TABLE named (a BIGINT, b TEXT) AS SELECT id, name FROM items").await.0, 2);
    assert_eq!(client.column("SELECT a FROM named ORDER BY a").await, ["1", "2"]);
    for (sql, code) in [
        ("CREATE TABLE bad AS SELECT CAST(name AS INT) AS n FROM items", 1105),
        ("CREATE TABLE bad (a TINYINT) AS SELECT id * 1000 AS a FROM items", 1264),
        ("CREATE TABLE bad (a BIGINT) AS SELECT id, name FROM items", 1136),
        ("CREATE TABLE bad AS SELECT NULL AS n", 1235),
        ("CREATE TABLE copy AS SELECT 1 AS a", 1050),
    ] {
        assert_eq!(client.fail(sql).await.0, code, "{sql}");
    }
    assert_eq!(client.column("SHOW TABLES").await, ["copy", "items", "named"]);
    assert_eq!(done(&mut client, "CREATE TABLE IF NOT EXISTS copy AS SELECT 1 AS a").await.1, 1);
    // What was begun and failed is dropped, though not by the statement itself.
    let node = catalog::NodeId("node-a".into());
    while !front.catalog.unnamed_tables_of_dead(&node, 0).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_truncated_table_is_empty_and_takes_rows_again() {
    let (_front, mut client) = shop().await;
    client.ask("INSERT INTO items (id) VALUES (1), (2)").await;
    assert_eq!(done(&mut client, "TRUNCATE TABLE items").await.0, 0);
    assert_eq!(client.row("SELECT count(*) FROM items").await, ["0"]);
    client.ask("INSERT INTO items (id) VALUES (3)").await;
    assert_eq!(client.column("SELECT id FROM items").await, ["3"]);
    assert_eq!(client.fail("TRUNCATE nosuch").await.0, 1146);
    assert_eq!(client.fail("TRUNCATE `items$errors`").await.0, 1288);
}
