//! Every form of statement is read; every bad one says where and why.

use catalog::{ColumnType, IntegerWidth, PartitionTransform, Scalar};

use super::*;
use crate::sql::statement::{AlterClauses, AlterPipeline, Name, SeekClause, Setting, Transaction};

fn read(text: &str) -> Statement {
    parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {}", error.message))
}

fn refused(text: &str) -> SqlError {
    match parse(text, &Limits::default()) {
        Ok(statement) => panic!("{text} was read as {statement:?}"),
        Err(error) => error,
    }
}

fn name(text: &str) -> Name {
    match text.split_once('.') {
        Some((database, name)) => Name { database: Some(database.into()), name: name.into() },
        None => Name { database: None, name: text.into() },
    }
}

fn shown(text: &str) -> ShowWhat {
    match read(text) {
        Statement::Show(show) => show.what,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn comments_are_passed_over_and_versioned_ones_opened() {
    assert!(matches!(read("/* app */ -- x\n# y\nSELECT 1;"), Statement::Query(_)));
    assert!(matches!(read("/*!40101 SET NAMES utf8 */;"), Statement::Set(_)));
    assert!(matches!(read("/* ApplicationName=DBeaver */ SHOW PLUGINS"), Statement::Show(_)));
    assert_eq!(refused("/* ping */").code, 1065);
    assert_eq!(refused(" ; ").code, 1065);
}

#[test]
fn one_statement_at_a_time() {
    assert!(matches!(read("SELECT 1;;"), Statement::Query(_)));
    let error = refused("SELECT 1; SELECT 2");
    assert_eq!(error.code, 1064);
    assert!(
        error.message.contains("expected one statement at a time, found SELECT at line 1, column 11"),
        "{}",
        error.message
    );
}

#[test]
fn a_fault_is_shown_with_a_caret_under_it() {
    let error = refused("SELECT a\n  FORM t");
    assert_eq!(error.code, 1064);
    assert!(
        error.message.ends_with("expected FROM, found FORM at line 2, column 3\n    FORM t\n    ^"),
        "{}",
        error.message
    );
    assert!(refused("selec 1").message.contains("expected SELECT, found selec at line 1, column 1"));
    assert!(refused("hello 1").message.contains("a statement, such as SELECT, SHOW or CREATE, found hello"));
    assert!(refused("SELECT 'abc").message.contains("^"));
}

#[test]
fn no_statement_however_deep_or_long_aborts() {
    let deep = |open: &str, close: &str, n: usize| format!("SELECT {}1{}", open.repeat(n), close.repeat(n));
    for text in [
        deep("(", ")", 10_000),
        deep("(SELECT ", ")", 10_000),
        deep("f(", ")", 10_000),
        deep("NOT ", "", 10_000),
        deep("CASE WHEN ", "", 10_000),
        deep("CAST(", " AS INT)", 10_000),
        deep("INTERVAL ", " DAY", 10_000),
        format!("SELECT {}", vec!["a = 1"; 20_000].join(" OR ")),
        format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(20_000)),
        format!("SELECT * FROM {}t{}", "(".repeat(10_000), ")".repeat(10_000)),
        "EXPLAIN ".repeat(10_000) + "SELECT 1",
        format!("CREATE TABLE t (a {}INT{})", "ARRAY<".repeat(10_000), ">".repeat(10_000)),
    ] {
        assert!(parse(&text, &Limits::default()).is_err(), "{}…", &text[..40]);
    }
}

#[test]
fn create_table_in_all_its_clauses() {
    let text = "CREATE TABLE IF NOT EXISTS shop.`Clicks` (
        ts TIMESTAMP NOT NULL, `user id` BIGINT UNSIGNED DEFAULT 7 COMMENT 'who', kind VARCHAR(20) CHARACTER SET utf8mb4
        COLLATE utf8mb4_bin DEFAULT 'view', tags JSON, KEY by_user (`user id`, kind)
      ) ENGINE=InnoDB AUTO_INCREMENT=5 DEFAULT CHARSET=utf8mb4 COMMENT='all of them'
      PARTITION BY (day(ts), kind) ORDER BY (`user id` ASC, ts)";
    let Statement::CreateTable(create) = read(text) else { panic!() };
    assert_eq!((&create.table, create.if_not_exists, create.columns.len()), (&name("shop.Clicks"), true, 4));
    let user = &create.columns[1];
    assert_eq!(user.kind, ColumnType::Integer { width: IntegerWidth::Big, unsigned: true });
    assert_eq!((user.comment.as_str(), user.nullable, create.columns[0].nullable), ("who", true, false));
    assert_eq!(create.columns[2].default, Some(Scalar::Text("view".into())));
    assert_eq!(
        create.partition_by,
        [("ts".to_owned(), PartitionTransform::Day), ("kind".to_owned(), PartitionTransform::Identity)]
    );
    assert_eq!(create.order_by, ["user id", "ts"]);
    assert_eq!(
        create.ignored,
        ["KEY by_user (`user id`, kind)", "ENGINE=InnoDB", "AUTO_INCREMENT=5", "COMMENT='all of them'"]
    );
}

#[test]
fn partition_by_and_order_by_need_no_parentheses_and_come_in_any_order() {
    let Statement::CreateTable(create) = read("CREATE TABLE t (a INT, b DATE) ORDER BY a, b PARTITION BY a, month(b)")
    else {
        panic!()
    };
    assert_eq!(create.order_by, ["a", "b"]);
    assert_eq!(
        create.partition_by,
        [("a".to_owned(), PartitionTransform::Identity), ("b".to_owned(), PartitionTransform::Month)]
    );
}

#[test]
fn what_a_table_cannot_have_is_refused_with_what_to_do_instead() {
    for (text, code, words) in [
        ("CREATE TABLE t (a INT PRIMARY KEY)", 1235, "PRIMARY KEY: it is not built yet"),
        ("CREATE TABLE t (a INT, PRIMARY KEY (a))", 1235, "sort the rows with ORDER BY"),
        ("CREATE TABLE t (a INT, UNIQUE KEY k (a))", 1235, "UNIQUE KEY: it is not built yet"),
        ("CREATE TABLE t (a INT) UNIQUE KEY (a)", 1235, "UNIQUE KEY: it is not built yet"),
        ("CREATE TABLE t (a INT AUTO_INCREMENT)", 1235, "`_stream` and `_offset` name each row"),
        ("CREATE TABLE t (a INT, b INT AS (a + 1))", 1235, "in the SELECT of the pipeline"),
        ("CREATE TABLE t (a SET('x'))", 1235, "use ARRAY<VARCHAR(n)>"),
        ("CREATE TABLE t (a TINYINT DEFAULT 500)", 1067, "500 is not between -128 and 127"),
        ("CREATE TABLE t (a TIMESTAMP DEFAULT CURRENT_TIMESTAMP)", 1067, "take the time from the record"),
        ("CREATE TABLE t (a INT NOT NULL DEFAULT NULL)", 1067, "it is NOT NULL"),
        (
            "CREATE TABLE t (a INT) PARTITION BY RANGE (a) (PARTITION p VALUES LESS THAN (1))",
            1235,
            "PARTITION BY day(column)",
        ),
        ("CREATE TABLE t (a INT) ORDER BY a DESC", 1064, "parts are sorted ascending"),
        ("CREATE TABLE t LIKE u", 1235, "SHOW CREATE TABLE"),
        ("CREATE TEMPORARY TABLE t (a INT)", 1235, "use WITH name AS"),
        ("CREATE OR REPLACE TABLE t (a INT)", 1235, "DROP it first"),
        ("CREATE TABLE t (a INT", 1064, "a comma or ), found the end"),
        ("CREATE TABLE t (a WHATEVER)", 1235, "there are BOOLEAN"),
        ("CREATE TABLE t (a INT) SORTED", 1064, "PARTITION BY, ORDER BY"),
    ] {
        let error = refused(text);
        assert!(error.code == code && error.message.contains(words), "{text}: {} {}", error.code, error.message);
    }
}

#[test]
fn create_pipeline_keeps_its_select_as_typed() {
    let text = "CREATE PIPELINE IF NOT EXISTS clicks_in INTO shop.clicks AS
      SELECT ts, lower( kind ) AS kind /* all */, user_id FROM KAFKA (brokers = 'a:1,b:2', topic = 'clicks', format = json,
        start = 5, 'security.protocol' = 'PLAINTEXT', client.id = \"me\")
      WHERE user_id > 0 AND kind <> 'it''s' ON GAP SKIP WITH (tasks = 4, flush_bytes = 256MiB, flush_interval = '60s');";
    let Statement::CreatePipeline(create) = read(text) else { panic!() };
    assert_eq!(
        (&create.pipeline, &create.table, create.if_not_exists),
        (&name("clicks_in"), &name("shop.clicks"), true)
    );
    assert_eq!(create.projection, "ts, lower( kind ) AS kind /* all */, user_id");
    assert_eq!(create.filter.as_deref(), Some("user_id > 0 AND kind <> 'it''s'"));
    let pairs = |map: &std::collections::BTreeMap<String, String>| {
        map.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(
        pairs(&create.source),
        ["brokers=a:1,b:2", "client.id=me", "format=json", "security.protocol=PLAINTEXT", "start=5", "topic=clicks"]
    );
    assert_eq!(pairs(&create.settings), ["flush_bytes=256MiB", "flush_interval=60s", "on_gap=skip", "tasks=4"]);
    let Statement::CreatePipeline(star) = read("CREATE PIPELINE p INTO t AS SELECT * FROM KAFKA (topic = 'x')") else {
        panic!()
    };
    assert_eq!((star.projection.as_str(), star.filter), ("*", None));
}

#[test]
fn a_pipeline_that_cannot_be_read_says_where() {
    for (text, words) in [
        ("CREATE PIPELINE p AS SELECT 1", "expected INTO, found AS at line 1, column 19"),
        ("CREATE PIPELINE p INTO t AS SELECT a FROM b", "expected KAFKA, found b"),
        ("CREATE PIPELINE p INTO t AS SELECT a FROM KAFKA (topic 'x')", "expected =, found 'x'"),
        ("CREATE PIPELINE p INTO t AS SELECT a FROM KAFKA (topic = )", "a value in quotes, or a number"),
        ("CREATE PIPELINE p INTO t AS SELECT a FROM KAFKA (topic = 'x', topic = 'y')", "topic only once"),
        (
            "CREATE PIPELINE p INTO t AS SELECT a FROM KAFKA (topic = 'x') GROUP BY a",
            "expected end of statement, found GROUP",
        ),
        ("PAUSE p", "expected PIPELINE, found p"),
    ] {
        let message = refused(text).message;
        assert!(message.contains(words), "{text}: {message}");
    }
}

#[test]
fn the_other_statements_of_ours() {
    assert_eq!(read("PAUSE PIPELINE a.b"), Statement::PausePipeline(name("a.b")));
    let resume = |how: &[(&str, &str)]| {
        let how = how.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Statement::ResumePipeline { pipeline: name("p"), how }
    };
    assert_eq!(read("resume pipeline p"), resume(&[]));
    assert_eq!(read("RESUME PIPELINE p ON GAP SKIP"), resume(&[("on_gap", "skip")]));
    assert_eq!(read("RESUME PIPELINE p ON ERROR TABLE"), resume(&[("errors", "table")]));
    assert_eq!(read("DROP PIPELINE IF EXISTS p"), Statement::DropPipeline { pipeline: name("p"), if_exists: true });
    assert_eq!(
        read("DROP TABLE IF EXISTS a, b.c"),
        Statement::DropTable { tables: vec![name("a"), name("b.c")], if_exists: true }
    );
    let create = Statement::CreateDatabase { name: "d".into(), if_not_exists: true };
    assert_eq!(read("CREATE DATABASE IF NOT EXISTS `d` DEFAULT CHARACTER SET utf8mb4"), create);
    assert_eq!(read("DROP SCHEMA d"), Statement::DropDatabase { name: "d".into(), if_exists: false });
    assert_eq!(read("USE `d`"), Statement::Use("d".into()));
    assert_eq!(read("KILL QUERY 7"), Statement::Kill { query_only: true, connection: 7 });
    assert_eq!(read("KILL 7"), Statement::Kill { query_only: false, connection: 7 });
    for (text, step) in [
        ("BEGIN", Transaction::Begin),
        ("START TRANSACTION READ ONLY", Transaction::Begin),
        ("COMMIT AND CHAIN", Transaction::Commit),
        ("ROLLBACK", Transaction::Rollback),
        ("ROLLBACK WORK", Transaction::Rollback),
        ("ROLLBACK TO SAVEPOINT s", Transaction::RollbackTo),
    ] {
        assert_eq!(read(text), Statement::Transaction(step), "{text}");
    }
    for text in ["SAVEPOINT s", "UNLOCK TABLES", "LOCK TABLES t READ"] {
        assert_eq!(read(text), Statement::Nothing, "{text}");
    }
}

#[test]
fn show_in_all_its_nouns() {
    assert_eq!(shown("SHOW schemas"), ShowWhat::Databases);
    assert_eq!(shown("SHOW FULL TABLES FROM \"demo\""), ShowWhat::Tables { full: true, database: Some("demo".into()) });
    assert_eq!(shown("SHOW TABLES IN demo LIKE 'f%'"), ShowWhat::Tables { full: false, database: Some("demo".into()) });
    assert_eq!(shown("SHOW TABLE STATUS WHERE Name = 't'"), ShowWhat::TableStatus { database: None });
    assert_eq!(shown("SHOW FULL FIELDS FROM t FROM d"), ShowWhat::Columns { full: true, table: name("d.t") });
    assert_eq!(shown("DESC d.t"), ShowWhat::Columns { full: false, table: name("d.t") });
    assert_eq!(shown("EXPLAIN t"), ShowWhat::Columns { full: false, table: name("t") });
    assert_eq!(shown("SHOW KEYS FROM `t` FROM `d`"), ShowWhat::Indexes { table: name("d.t") });
    assert_eq!(shown("SHOW CREATE TABLE \"t\""), ShowWhat::CreateTable(name("t")));
    assert_eq!(shown("SHOW CREATE PIPELINE p"), ShowWhat::CreatePipeline(name("p")));
    assert_eq!(shown("SHOW PIPELINES FROM d LIKE 'x'"), ShowWhat::Pipelines { database: Some("d".into()) });
    assert_eq!(shown("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('a', 'b')"), ShowWhat::Variables { global: true });
    assert_eq!(shown("SHOW SESSION STATUS LIKE 'Ssl_cipher'"), ShowWhat::Status { global: false });
    assert_eq!(shown("SHOW COUNT(*) WARNINGS"), ShowWhat::CountWarnings);
    assert_eq!(shown("SHOW WARNINGS LIMIT 10"), ShowWhat::Warnings);
    assert_eq!(shown("SHOW CHARACTER SET"), ShowWhat::Charset);
    assert_eq!(shown("SHOW FULL PROCESSLIST"), ShowWhat::ProcessList { full: true });
    assert_eq!(shown("SHOW PROCEDURE STATUS WHERE Db = 'x'"), ShowWhat::Routines);
    for (text, what) in [("TASKS", ShowWhat::Tasks), ("WORKERS", ShowWhat::Workers), ("STREAMS", ShowWhat::Streams)] {
        assert_eq!(shown(&format!("SHOW {text}")), what);
    }
    assert!(refused("SHOW EVERYTHING").message.contains("DATABASES, TABLES, COLUMNS"));
}

#[test]
fn set_in_all_its_forms() {
    let settings = |text: &str| match read(text) {
        Statement::Set(settings) => settings,
        other => panic!("{text}: {other:?}"),
    };
    let names = |text: &str| {
        settings(text)
            .into_iter()
            .map(|setting| match setting {
                Setting::Variable { name, value } => format!("{name}={value}"),
                Setting::User { name, value } => format!("@{name}={value}"),
                other => format!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(names("SET AUTOCOMMIT = 0"), ["autocommit=0"]);
    assert_eq!(
        names("SET @@session.autocommit = OFF, SESSION sql_mode := 'x', @@x=1"),
        ["autocommit=OFF", "sql_mode='x'", "x=1"]
    );
    assert_eq!(names("SET sql_select_limit=DEFAULT"), ["sql_select_limit=DEFAULT"]);
    assert_eq!(names("SET @a = 1 + 2, @`b` := 'x'"), ["@a=1 + 2", "@b='x'"]);
    assert_eq!(
        names("SET autocommit=1, sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')"),
        ["autocommit=1", "sql_mode=concat(@@sql_mode, ',STRICT_TRANS_TABLES')"]
    );
    let names_of = |charset: &str, collation: Option<&str>| {
        vec![Setting::Names { charset: Some(charset.into()), collation: collation.map(str::to_owned) }]
    };
    assert_eq!(settings("SET NAMES utf8mb4"), names_of("utf8mb4", None));
    let with_collation = "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_0900_ai_ci'";
    assert_eq!(settings(with_collation), names_of("utf8mb4", Some("utf8mb4_0900_ai_ci")));
    assert_eq!(settings("SET CHARACTER SET utf8"), names_of("utf8", None));
    assert_eq!(
        settings("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY"),
        [Setting::Isolation("READ-COMMITTED"), Setting::ReadOnly(true)]
    );
    assert!(refused("SET autocommit").message.contains("expected =, found the end of the statement"));
}

#[test]
fn what_is_not_built_names_the_alternative() {
    for (text, words) in [
        ("REPLACE INTO t VALUES (1)", "use INSERT"),
        ("LOAD DATA INFILE 'x' INTO TABLE t", "PUT /v1/load"),
        ("UPDATE t SET a = 1", "rows stay as they came"),
        ("ALTER TABLE t ADD COLUMN b INT", "create a new table"),
        ("DELETE FROM t", "TRUNCATE TABLE"),
        ("GRANT ALL ON *.* TO x", "may do everything"),
    ] {
        let Statement::Unsupported { what, instead } = read(text) else { panic!("{text}") };
        assert!(
            instead.contains(words) && text.starts_with(what.split(' ').next().unwrap()),
            "{text}: {what}; {instead}"
        );
    }
}

fn alter(text: &str) -> AlterPipeline {
    match read(text) {
        Statement::AlterPipeline(alter) => *alter,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_seek_goes_to_a_word_a_moment_or_offsets_of_partitions() {
    let seek = |text: &str| match alter(text).what {
        AlterClauses::Seek(seek) => seek,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(seek("ALTER PIPELINE p SEEK TO EARLIEST"), SeekClause::Earliest);
    assert_eq!(seek("alter pipeline d.p seek to latest;"), SeekClause::Latest);
    let moment = SeekClause::Timestamp("2026-01-31 12:00:00".into());
    assert_eq!(seek("ALTER PIPELINE p SEEK TO TIMESTAMP '2026-01-31 12:00:00'"), moment);
    let only = SeekClause::Offsets([(None, [(0, 100), (3, 7)].into())].into());
    assert_eq!(seek("ALTER PIPELINE p SEEK TO OFFSETS (0: 100, 3: 7)"), only);
    assert_eq!(seek("ALTER PIPELINE p SEEK TO OFFSETS (0 = 100, 3 = 7)"), only);
    let (clicks, views) =
        ((Some("clicks".into()), [(0, 10), (1, 20)].into()), (Some("my.views".into()), [(0, 5)].into()));
    let several = SeekClause::Offsets([clicks, views].into());
    assert_eq!(seek("ALTER PIPELINE p SEEK TO OFFSETS (clicks: 0 = 10, 1:20, 'my.views': 0 = 5)"), several);
    assert!(alter("EXPLAIN ALTER PIPELINE p SEEK TO LATEST").explain);
    for (text, words) in [
        ("ALTER PIPELINE p SEEK TO 5", "EARLIEST, LATEST, TIMESTAMP"),
        ("ALTER PIPELINE p SEEK TO OFFSETS (0: 1, 0: 2)", "partition 0 only once"),
        ("ALTER PIPELINE p SEEK TO OFFSETS ('a': 0 = 1, 'b': 0 = 1, 'a': 0 = 2)", "partition 0 only once"),
        ("ALTER PIPELINE p SEEK TO OFFSETS ('a' 0 = 1)", ":"),
        ("ALTER PIPELINE p SEEK TO OFFSETS ()", "expected"),
        ("ALTER PIPELINE p SEEK TO OFFSETS 5", "("),
        ("ALTER PIPELINE p", "SEEK TO, AS SELECT, SET"),
    ] {
        let error = refused(text);
        assert!(error.code == 1064 && error.message.contains(words), "{text}: {}", error.message);
    }
}

#[test]
fn an_alter_takes_its_clauses_as_they_were_typed() {
    let clauses = |text: &str| match alter(text).what {
        AlterClauses::Definition(clauses) => *clauses,
        other => panic!("{text}: {other:?}"),
    };
    let all = clauses(
        "ALTER PIPELINE p AS SELECT a, lower(b) AS b FROM KAFKA WHERE a > 1 SET (tasks = 4) ON ERROR PAUSE \
         SOURCE ('sasl.password' = 'x')",
    );
    assert_eq!(all.select, Some(("a, lower(b) AS b".into(), Some("a > 1".into()))));
    assert_eq!(all.settings, [("errors".into(), "pause".into()), ("tasks".into(), "4".into())].into());
    assert_eq!(all.source, [("sasl.password".into(), "x".into())].into());
    assert_eq!(clauses("ALTER PIPELINE p AS SELECT *").select, Some(("*".into(), None)));
    let twice = refused("ALTER PIPELINE p SET (on_gap = skip) ON GAP PAUSE");
    assert!(twice.message.contains("on_gap only once"), "{}", twice.message);
    let source = refused("ALTER PIPELINE p AS SELECT * FROM KAFKA (topic = 'x')");
    assert!(source.message.contains("SOURCE (…) changes it"), "{}", source.message);
}

#[test]
fn tables_are_verified_and_error_rows_retried() {
    let name = |name: &str| Name { database: None, name: name.into() };
    assert_eq!(read("SYSTEM VERIFY TABLE t"), Statement::VerifyTable { table: name("t"), full: false });
    assert_eq!(read("system verify table t full"), Statement::VerifyTable { table: name("t"), full: true });
    assert_eq!(read("RETRY ERRORS FOR p"), Statement::RetryErrors { pipeline: name("p"), condition: None });
    let Statement::RetryErrors { condition: Some(_), .. } = read("RETRY ERRORS FOR p WHERE reason = 'x'") else {
        panic!("it has a condition")
    };
    assert!(refused("SYSTEM FLUSH LOGS").message.contains("VERIFY"));
}

#[test]
fn several_statements_are_told_apart_by_their_tokens() {
    let cut = |text: &str| -> Vec<String> {
        statements(text, &Limits::default()).into_iter().map(|range| text[range].trim().to_owned()).collect()
    };
    assert_eq!(
        cut("SELECT 1; SELECT 'a;b' ; -- c;\n/* ; */ SELECT `;`;;"),
        ["SELECT 1", "SELECT 'a;b'", "-- c;\n/* ; */ SELECT `;`"]
    );
    assert_eq!(cut("SELECT 'grüße;'; SELECT 2"), ["SELECT 'grüße;'", "SELECT 2"]);
    assert_eq!(cut("SELECT 1"), ["SELECT 1"]);
    assert_eq!(cut(" ; "), [";"]);
    assert_eq!(cut("SELECT 1; SELECT 'never closed"), ["SELECT 1", "SELECT 'never closed"]);
    assert_eq!(cut("SET @a = 'x\\';'; SELECT 1"), ["SET @a = 'x\\';'", "SELECT 1"]);
}

#[test]
fn a_parameter_stands_for_a_value_in_a_prepared_statement_only() {
    let limits = Limits::default();
    let error = refused("SELECT ?");
    assert_eq!((error.code, error.message.contains("line 1, column 8")), (1064, true), "{}", error.message);
    assert_eq!(parse_prepared("SELECT ?, '?', `?`, ? -- ?", &limits).unwrap().1, 2);
    for wrong in ["CREATE DATABASE ?", "SELECT ?7", "SHOW TABLES LIKE ?", "USE ?", "SELECT * FROM ?"] {
        assert_eq!(parse_prepared(wrong, &limits).unwrap_err().code, 1064, "{wrong}");
    }
    let many = format!("SELECT {}", vec!["?"; 65_536].join(","));
    assert_eq!(parse_prepared(&many, &limits).unwrap_err().code, 1390);
}

#[test]
fn users_are_named_in_every_way_and_their_passwords_never_shown() {
    use super::super::statement::Account;
    for text in ["app", "'app'", "`app`", "app@'%'", "'app'@'%'", "`app`@`%`", "\"app\"@\"%\"", "'app'@''"] {
        let statement = read(&format!("CREATE USER IF NOT EXISTS {text} IDENTIFIED BY 'hunter2' REQUIRE NONE"));
        assert!(!format!("{statement:?}").contains("hunter2"));
        let Statement::CreateUser { users, if_not_exists: true } = statement else { panic!("{text}") };
        assert_eq!(users[0].account, Account::Named("app".into()), "{text}");
    }
    assert_eq!(refused("CREATE USER app@localhost").code, 1235);
    assert_eq!(refused("CREATE USER app IDENTIFIED WITH sha256_password BY 'x'").code, 1524);
    assert!(matches!(read("ALTER USER CURRENT_USER() IDENTIFIED BY 'x'"), Statement::AlterUser { .. }));
    assert!(matches!(read("ALTER USER user IDENTIFIED BY 'x'"), Statement::AlterUser { .. }));
    assert!(matches!(read("SET PASSWORD = 'x'"), Statement::AlterUser { .. }));
    assert!(matches!(read("SET PASSWORD FOR 'app'@'%' = 'x'"), Statement::AlterUser { .. }));
    assert!(matches!(read("DROP USER IF EXISTS a, b"), Statement::DropUser { if_exists: true, .. }));
    for wrong in
        ["ALTER USER app IDENTIFIED BY 'hunter2' x", "CREATE USER app IDENTIFIED BY 'hunter2", "SET PASSWORD 'hunter2'"]
    {
        let error = refused(wrong);
        assert!(error.code == 1064 && !error.message.contains("hunter2"), "{}", error.message);
    }
    assert_eq!(shown("SHOW GRANTS FOR app"), ShowWhat::Grants(Account::Named("app".into())));
    assert_eq!(shown("SHOW GRANTS"), ShowWhat::Grants(Account::Current));
}
