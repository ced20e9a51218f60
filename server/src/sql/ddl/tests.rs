//! What DDL does to the catalog, and what it says when it cannot.

use crate::sql::fakes::Front;

#[tokio::test]
async fn databases_come_and_go() {
    let front = Front::new().await;
    let mut client = front.session(1, None).await;
    client.ask("CREATE DATABASE Shop").await;
    assert_eq!(client.fail("CREATE DATABASE shop").await.0, 1007);
    assert_eq!(client.ask("CREATE DATABASE IF NOT EXISTS SHOP").await.warnings, 1);
    client.ask("USE shop").await;
    assert_eq!(client.row("SELECT DATABASE()").await, ["Shop"]);
    client.ask("CREATE TABLE t (a INT)").await;
    client.ask("CREATE TABLE u (a INT)").await;
    let (code, message) = client.fail("DROP DATABASE shop").await;
    let words = "Can't drop database 'shop': database `shop` still has the tables `t`, `u`: drop them first, \
                 DROP TABLE `shop`.`t`; DROP TABLE `shop`.`u`";
    assert_eq!((code, message.as_str()), (1010, words));
    client.ask("DROP TABLE t, u").await;
    client.ask("DROP DATABASE shop").await;
    assert_eq!(client.row("SELECT DATABASE()").await, ["NULL"]);
    assert_eq!(client.fail("DROP DATABASE shop").await.0, 1008);
    assert_eq!(client.ask("DROP DATABASE IF EXISTS shop").await.warnings, 1);
    for sql in ["CREATE DATABASE system", "DROP DATABASE information_schema", "CREATE TABLE system.t (a INT)"] {
        assert_eq!(client.fail(sql).await.0, 1044, "{sql}");
    }
}

#[tokio::test]
async fn tables_come_and_go() {
    let front = Front::new().await;
    let mut client = front.session(1, Some("default")).await;
    let made = client.ask("CREATE TABLE t (a INT, b DATE) ENGINE=InnoDB PARTITION BY month(b) ORDER BY (a)").await;
    assert_eq!(made.warnings, 1);
    assert!(client.row("SHOW WARNINGS").await[2].contains("'ENGINE=InnoDB' was read and has no effect"));
    assert_eq!(client.fail("CREATE TABLE T (a INT)").await.0, 1050);
    assert_eq!(client.ask("CREATE TABLE IF NOT EXISTS T (a INT)").await.warnings, 1);
    let (code, message) = client.fail("DROP TABLE t, nothing").await;
    assert_eq!((code, message.as_str()), (1051, "Unknown table 'default.nothing'"));
    assert!(front.catalog.table("default", "t").await.is_ok(), "nothing was dropped");
    assert_eq!(client.ask("DROP TABLE IF EXISTS t, nothing").await.warnings, 1);
    assert!(front.catalog.table("default", "t").await.is_err());
    for (sql, words) in [
        ("CREATE TABLE t (a INT) ORDER BY (b)", "ORDER BY names `b`"),
        ("CREATE TABLE t (amount INT) ORDER BY (amonut)", "did you mean `amount`?"),
        ("CREATE TABLE t (a TEXT) PARTITION BY a", "give the column a length, as in VARCHAR(100)"),
        ("CREATE TABLE t (a INT) PARTITION BY day(a)", "DATE, DATETIME or TIMESTAMP"),
        ("CREATE TABLE t (a INT, A INT)", "is there twice"),
        ("CREATE TABLE t (_stream INT)", "is reserved"),
        ("CREATE TABLE t$errors (a INT)", "holds a `$`"),
        ("CREATE TABLE nowhere.t (a INT)", "Unknown database 'nowhere'"),
    ] {
        let (_, message) = client.fail(sql).await;
        assert!(message.contains(words), "{sql}: {message}");
    }
}

#[tokio::test]
async fn a_pipeline_is_checked_before_it_is_made() {
    let front = Front::new().await;
    let mut client = front.session(1, Some("default")).await;
    client.ask("CREATE TABLE t (a INT NOT NULL, b VARCHAR(5))").await;
    let with = |select: &str, source: &str, rest: &str| {
        format!("CREATE PIPELINE p INTO t AS SELECT {select} FROM KAFKA ({source}) {rest}")
    };
    let good = "brokers = 'b:1', topic = 'x', format = 'json'";
    for (sql, words) in [
        (with("*", "topic = 'x', format = 'json'", ""), "KAFKA: brokers is missing; write brokers = 'host:9092'"),
        (with("*", "brokers = 'b:1', topic = 'missing', format = 'json'", ""), "topic \"missing\" does not exist"),
        (with("*", good, "WITH (flush_byte = '1MiB')"), "did you mean flush_bytes?"),
        (with("nonsense(a) AS a", good, ""), "nonsense"),
        (with("b", good, ""), "a"),
        (with("*", &format!("{good}, bootstrap = 'x'"), ""), "there is no setting bootstrap"),
        (with("*", good, "").replace("INTO t", "INTO tt"), "Table 'default.tt' doesn't exist"),
    ] {
        let (_, message) = client.fail(&sql).await;
        assert!(message.contains(words), "{sql}: {message}");
    }
    assert!(front.catalog.pipelines().await.unwrap().is_empty());
    client.ask(&with("a, upper(b) AS b", good, "WHERE a > 0 ON GAP SKIP")).await;
    assert_eq!(client.fail(&with("*", good, "")).await.0, 1050);
    assert_eq!(client.ask(&with("*", good, "").replace("PIPELINE", "PIPELINE IF NOT EXISTS")).await.warnings, 1);
    let (_, message) = client.fail("DROP TABLE t").await;
    assert!(message.contains('p'), "{message}");
}
