//! Whole sessions: what clients send when they connect and browse, every SHOW, SET, and what a session remembers.

use warehouse::read::session::Freshness;

use super::fakes::{Client, Front};

const FLIGHTS: &str = "CREATE TABLE flights (
    time_hour TIMESTAMP NOT NULL COMMENT 'scheduled', Origin VARCHAR(3) NOT NULL DEFAULT 'EWR', dest VARCHAR(3), delay INT,
    distance DECIMAL(10,2) DEFAULT 1.5, extra JSON
  ) PARTITION BY day(time_hour) ORDER BY (Origin, time_hour)";
const PIPELINE: &str = "CREATE PIPELINE flights_in INTO flights AS SELECT * FROM KAFKA (brokers = '127.0.0.1:9092', topic = 'flights', \
                        format = 'json', start = 'earliest', 'sasl.username' = 'me', 'sasl.password' = 'secret') \
                        WHERE distance > 0 WITH (tasks = 2, flush_interval = '5s')";

async fn demo() -> (Front, Client) {
    let front = Front::new().await;
    let mut client = front.session(1, None).await;
    for sql in ["CREATE DATABASE demo", "USE demo", FLIGHTS, PIPELINE] {
        client.ask(sql).await;
    }
    (front, client)
}

/// What the MySQL port's real clients were seen to send: reference/mysql_client_traces.log, reference/ecosystem.md 1.3.
const SEEN: &[&str] = &[
    "SET NAMES utf8mb4",
    "SET AUTOCOMMIT = 0",
    "select 1",
    "SET NAMES 'utf8mb4' COLLATE 'utf8mb4_0900_ai_ci'",
    "SET @@session.autocommit = OFF",
    "SELECT VERSION()",
    "SELECT DATABASE()",
    "SELECT @@transaction_isolation",
    "SELECT @@sql_mode",
    "SELECT @@lower_case_table_names",
    "ROLLBACK",
    "SHOW schemas",
    "SHOW FULL TABLES FROM \"demo\"",
    "SHOW FULL TABLES FROM `demo`",
    "SHOW CREATE TABLE \"flights\"",
    "SHOW CREATE TABLE `flights`",
    "show tables",
    "show databases",
    "select @@version_comment limit 1",
    "select DATABASE(), USER() limit 1",
    "select @@character_set_client, @@character_set_connection, @@character_set_server, @@character_set_database limit 1",
    // mysql CLI on connecting
    "SELECT 1 FROM DUAL",
    // Connector/J
    "/* mysql-connector-java-8.0.33 (Revision: 7d6b) */SELECT  @@session.auto_increment_increment AS auto_increment_increment, \
     @@character_set_client AS character_set_client, @@character_set_connection AS character_set_connection, \
     @@character_set_results AS character_set_results, @@character_set_server AS character_set_server, @@collation_server AS \
     collation_server, @@collation_connection AS collation_connection, @@init_connect AS init_connect, @@interactive_timeout AS \
     interactive_timeout, @@license AS license, @@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS \
     max_allowed_packet, @@net_write_timeout AS net_write_timeout, @@performance_schema AS performance_schema, @@sql_mode AS \
     sql_mode, @@system_time_zone AS system_time_zone, @@time_zone AS time_zone, @@transaction_isolation AS \
     transaction_isolation, @@wait_timeout AS wait_timeout",
    "SET character_set_results=NULL",
    "SET character_set_results = NULL",
    "SET autocommit=1",
    "SET sql_mode='ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES'",
    "SET sql_select_limit=DEFAULT",
    "set @@sql_select_limit=DEFAULT",
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SHOW PROCESSLIST",
    "SHOW FULL COLUMNS FROM `flights` FROM `demo`",
    "SHOW KEYS FROM `flights` FROM `demo`",
    "SHOW INDEX FROM flights",
    "SHOW PROCEDURE STATUS WHERE Db = 'demo'",
    "SHOW FUNCTION STATUS WHERE Db = 'demo'",
    // MariaDB Connector/J
    "SET autocommit=1, sql_mode=CONCAT(@@sql_mode,',STRICT_TRANS_TABLES'), session_track_system_variables = \
     CONCAT(@@global.session_track_system_variables,',transaction_isolation')",
    "SELECT @@time_zone, @@system_time_zone",
    "SHOW VARIABLES WHERE Variable_name in ('max_allowed_packet','system_time_zone','time_zone','auto_increment_increment')",
    "SELECT @@READ_ONLY",
    // DBeaver
    "/* ApplicationName=DBeaver 24 */ SHOW PLUGINS",
    "/* ApplicationName=DBeaver 24 */ SHOW ENGINES",
    "SHOW CHARSET",
    "SHOW COLLATION",
    "SHOW VARIABLES LIKE 'lower_case_%'",
    "SHOW GLOBAL STATUS",
    "SELECT * FROM information_schema.TABLES WHERE TABLE_SCHEMA='demo'",
    "SELECT * FROM information_schema.STATISTICS WHERE TABLE_SCHEMA='demo' AND TABLE_NAME='flights' ORDER BY \
     TABLE_NAME,INDEX_NAME,SEQ_IN_INDEX",
    "SELECT * FROM information_schema.KEY_COLUMN_USAGE WHERE TABLE_SCHEMA='demo'",
    "SHOW TABLE STATUS FROM `demo`",
    "SELECT TABLE_NAME, NULL FROM INFORMATION_SCHEMA.VIEWS WHERE TABLE_SCHEMA='demo'",
    // Grafana
    "SELECT DISTINCT TABLE_SCHEMA from information_schema.TABLES where TABLE_TYPE != 'SYSTEM VIEW' ORDER BY TABLE_SCHEMA",
    "SELECT 1500 DIV 60 * 60 AS time_sec",
    // Tableau
    "SET NAMES utf8",
    "SET SQL_AUTO_IS_NULL = 0",
    "SELECT CONNECTION_ID()",
    "SELECT table_name, column_name FROM information_schema.columns WHERE data_type='enum' AND table_schema='demo'",
    "SHOW DATABASES LIKE '%'",
    // QuickSight
    "SHOW FULL TABLES FROM demo LIKE '%'",
    "SHOW FULL TABLES FROM demo WHERE Table_type <> 'VIEW'",
    // Workbench
    "SHOW SESSION STATUS LIKE 'Ssl_cipher'",
    "SET SQL_SAFE_UPDATES=1",
    "SHOW SESSION VARIABLES LIKE 'sql_mode'",
    "SET PROFILING = 0",
    "SET NET_WRITE_TIMEOUT=600",
    "SET sql_mode=(SELECT REPLACE(@@sql_mode,'ONLY_FULL_GROUP_BY',''))",
    // dump tools
    "/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */",
    "/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */",
    "UNLOCK TABLES",
    // Go
    "SELECT @@max_allowed_packet",
];

#[tokio::test]
async fn what_clients_were_seen_to_send_is_answered_without_an_error_or_a_warning() {
    let (_front, mut client) = demo().await;
    for sql in SEEN {
        let answer = client.ask(sql).await;
        assert_eq!(answer.warnings, 0, "{sql}");
        let warnings = client.ask("SHOW WARNINGS").await;
        assert!(warnings.rows.is_empty(), "{sql}: {:?}", warnings.rows);
    }
}

#[tokio::test]
async fn columns_are_headed_by_what_was_typed() {
    let (_front, mut client) = demo().await;
    let mut headings = async |sql: &str| client.ask(sql).await.headings;
    assert_eq!(headings("SELECT count(*), COUNT( * ) AS n FROM flights").await, ["count(*)", "n"]);
    assert_eq!(headings("select @@version_comment limit 1").await, ["@@version_comment"]);
    assert_eq!(headings("SELECT 1, 1, ORIGIN, origin FROM flights").await, ["1", "1", "ORIGIN", "origin"]);
    assert_eq!(headings("SELECT f.*, 1+1 FROM flights f").await.last().unwrap(), "1+1");
    assert_eq!(headings("SHOW TABLES").await, ["Tables_in_demo"]);
    assert_eq!(headings("SHOW TABLES LIKE 'f%'").await, ["Tables_in_demo (f%)"]);
    assert_eq!(headings("SHOW FULL TABLES").await, ["Tables_in_demo", "Table_type"]);
    assert_eq!(headings("SHOW DATABASES").await, ["Database"]);
    assert_eq!(headings("DESCRIBE flights").await, ["Field", "Type", "Null", "Key", "Default", "Extra"]);
}

#[tokio::test]
async fn names_are_found_in_any_case() {
    let (_front, mut client) = demo().await;
    for sql in [
        "SELECT Time_Hour, `ORIGIN`, flights.Dest FROM FLIGHTS",
        "SELECT demo.flights.origin FROM Demo.Flights",
        "SELECT F.origin, max(f.DELAY) AS Worst FROM flights F GROUP BY f.Origin HAVING worst > 3 ORDER BY WORST",
        "WITH flights AS (SELECT origin AS O FROM flights) SELECT Flights.o FROM flights",
        "SELECT a.origin FROM flights a JOIN flights b USING (Origin) WHERE a.delay IN (SELECT DELAY FROM Flights)",
        "SELECT x.O FROM (SELECT origin o FROM flights) X UNION ALL SELECT dest FROM flights ORDER BY 1",
        "SELECT _stream, _offset FROM flights",
        "SELECT reason, message, _topic FROM `flights$errors`",
        "SELECT count(*) FROM FLIGHTS$ERRORS",
        "SELECT table_name FROM INFORMATION_SCHEMA.Tables WHERE TABLE_schema = 'demo'",
        "EXPLAIN SELECT Origin FROM flights",
    ] {
        client.ask(sql).await;
    }
}

#[tokio::test]
async fn an_unknown_name_is_told_with_the_one_that_was_perhaps_meant() {
    let (front, mut client) = demo().await;
    for (sql, code, words) in [
        ("SELECT * FROM flihgts", 1146, "Table 'demo.flihgts' doesn't exist; did you mean 'flights'?"),
        ("SELECT * FROM dmo.flights", 1049, "Unknown database 'dmo'; did you mean 'demo'?"),
        ("SELECT origni FROM flights", 1054, "Unknown column 'origni' in 'field list'; did you mean 'Origin'?"),
        ("SELECT * FROM system.pipeline", 1146, "did you mean 'pipelines'?"),
        ("SELECT cuont(*) FROM flights", 1305, "FUNCTION cuont does not exist; did you mean 'count'?"),
        ("SELECT a.delay FROM flights a JOIN flights b ON true WHERE delay > 1", 1052, "is ambiguous"),
        ("SHOW COLUMNS FROM nothing", 1146, "Table 'demo.nothing' doesn't exist"),
        ("USE dem", 1049, "did you mean 'demo'?"),
        ("SELECT @@sql_mod", 1193, "Unknown system variable 'sql_mod'; did you mean 'sql_mode'?"),
        ("SELECT 1/0", 1365, "NULLIF"),
        ("SELECT origin FROM flights WHERE", 1064, "found the end of the statement"),
        ("SELECT * FROM kafka(topic = 'x')", 1105, "brokers is missing; write brokers = 'host:9092'"),
    ] {
        let (found, message) = client.fail(sql).await;
        assert!(found == code && message.contains(words), "{sql}: {found} {message}");
        let errors = client.ask("SHOW ERRORS").await.rows;
        assert_eq!(errors, [vec!["Error".to_owned(), code.to_string(), message]], "{sql}");
    }
    let mut homeless = front.session(2, None).await;
    for sql in ["CREATE DATABASE gone", "USE gone", "DROP DATABASE gone"] {
        homeless.ask(sql).await;
    }
    assert_eq!(homeless.fail("SELECT * FROM flights").await.0, 1046);
    assert_eq!(homeless.fail("SHOW TABLES").await.0, 1046);
}

#[tokio::test]
async fn an_error_that_comes_while_rows_flow_is_listed_too() {
    let (_front, mut client) = demo().await;
    let sql = "SELECT 1 / (value - 9999000) FROM generate_series(1, 10000000)";
    let crate::mysql::Answer::Rows { mut stream, .. } = client.session.execute(sql).await.unwrap() else { panic!() };
    assert!(futures::StreamExt::next(&mut stream).await.unwrap().is_ok(), "the first rows are sent");
    drop(stream);
    assert!(client.ask("SHOW ERRORS").await.rows.is_empty());
    let (code, message) = client.fail(sql).await;
    assert_eq!(client.ask("SHOW ERRORS").await.rows, [["Error".to_owned(), code.to_string(), message]]);
    assert_eq!((code, client.row("SELECT @@error_count").await.as_slice()), (1365, ["1".to_owned()].as_slice()));
    client.ask("SELECT 1").await;
    assert!(client.ask("SHOW ERRORS").await.rows.is_empty());
}

#[tokio::test]
async fn every_show_is_answered_and_filtered() {
    let (_front, mut client) = demo().await;
    assert_eq!(client.column("SHOW DATABASES").await, ["default", "demo", "information_schema", "system"]);
    assert_eq!(client.column("SHOW DATABASES LIKE 'DE%'").await, ["default", "demo"]);
    assert_eq!(client.column("SHOW DATABASES WHERE `Database` = 'demo'").await, ["demo"]);
    assert_eq!(client.column("SHOW TABLES FROM demo").await, ["flights"]);
    assert_eq!(client.row("SHOW FULL TABLES LIKE 'fl%'").await, ["flights", "BASE TABLE"]);
    assert!(client.column("SHOW TABLES FROM system").await.contains(&"streams".to_owned()));
    assert_eq!(
        client.column("SHOW COLUMNS FROM flights").await,
        ["time_hour", "Origin", "dest", "delay", "distance", "extra"]
    );
    assert_eq!(client.row("DESC flights 'dist%'").await, ["distance", "decimal(10,2)", "YES", "", "1.50", ""]);
    assert_eq!(client.row("DESC flights origin").await, ["Origin", "varchar(3)", "NO", "MUL", "EWR", ""]);
    assert_eq!(
        client.row("SHOW FULL COLUMNS FROM flights WHERE Field = 'time_hour'").await,
        ["time_hour", "timestamp", "NULL", "NO", "", "NULL", "", "select", "scheduled"]
    );
    assert!(client.column("DESCRIBE flights$errors").await.contains(&"reason".to_owned()));
    let keys = client.ask("SHOW INDEX FROM flights").await.rows;
    assert_eq!(
        keys.iter().map(|row| row[1..5].join(" ")).collect::<Vec<_>>(),
        ["1 ORDER BY 1 Origin", "1 ORDER BY 2 time_hour"]
    );
    assert!(client.ask("SHOW INDEX FROM flights$errors").await.rows.is_empty());
    assert_eq!(client.row("SHOW TABLE STATUS LIKE 'flights'").await[..2], ["flights", "Millrace"]);
    assert_eq!(client.row("SHOW VARIABLES LIKE 'autocommit'").await, ["autocommit", "ON"]);
    assert_eq!(client.column("SHOW VARIABLES WHERE Value = 'latest'").await, ["freshness"]);
    assert_eq!(client.row("SHOW STATUS LIKE 'Threads_connected'").await, ["Threads_connected", "1"]);
    assert_eq!(client.column("SHOW ENGINES").await, ["Millrace"]);
    assert_eq!(client.row("SHOW PROCESSLIST").await[..5], ["1", "root", "127.0.0.1:50123", "demo", "Query"]);
    assert_eq!(client.row("SHOW CREATE DATABASE demo").await[0], "demo");
    for sql in [
        "SHOW WORKERS",
        "SHOW TASKS",
        "SHOW STREAMS",
        "SHOW INCIDENTS",
        "SHOW SETTINGS",
        "SHOW CHARSET",
        "SHOW COLLATION",
        "SHOW PLUGINS",
        "SHOW GRANTS",
        "SHOW TRIGGERS",
        "SHOW EVENTS",
        "SHOW COUNT(*) WARNINGS",
        "SHOW WARNINGS LIKE 'x'",
    ] {
        client.ask(sql).await;
    }
    for table in ["pipelines", "tasks", "workers", "streams", "commits", "parts", "errors", "incidents", "settings"] {
        client.ask(&format!("SELECT * FROM system.{table}")).await;
        client.ask(&format!("SELECT count(*) FROM system.{table} a JOIN system.{table} b ON true")).await;
    }
}

#[tokio::test]
async fn show_pipelines_tells_how_they_do_and_hides_secrets() {
    let (front, mut client) = demo().await;
    let row = client.row("SELECT name, table_name, state, topic, tasks FROM system.pipelines").await;
    assert_eq!(row, ["flights_in", "demo.flights", "starting", "flights", "2"]);
    assert_eq!(client.column("SHOW PIPELINES FROM demo LIKE 'flights%'").await, ["1"]);
    assert_eq!(
        client.row("SELECT pipeline, worker, state FROM system.tasks").await,
        ["demo.flights_in", "node-a", "running"]
    );
    let text = client.row("SHOW CREATE PIPELINE flights_in").await[1].clone();
    assert!(!text.contains("secret") && text.contains("'sasl.password' = '***'"), "{text}");
    client.ask("PAUSE PIPELINE flights_in").await;
    assert_eq!(client.column("SELECT state FROM system.pipelines").await, ["paused"]);
    assert_eq!(client.ask("PAUSE PIPELINE demo.flights_in").await.warnings, 1);
    client.ask("RESUME PIPELINE Flights_In").await;
    client.ask("DROP PIPELINE flights_in").await;
    assert_eq!(*front.control.asked.lock().unwrap(), ["pause", "resume", "drop"]);
    assert_eq!(client.ask("DROP PIPELINE IF EXISTS flights_in").await.warnings, 1);
    assert_eq!(client.fail("PAUSE PIPELINE flights_in").await.0, 1305);
}

#[tokio::test]
async fn what_show_create_prints_makes_the_same_again() {
    let (front, mut client) = demo().await;
    let text = client.row("SHOW CREATE TABLE flights").await[1].clone();
    // SQLAlchemy reads columns from lines that begin with two spaces and a backtick, options from `) `, and stumbles over
    // PARTITION in that line.
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "CREATE TABLE `flights` (");
    assert_eq!(lines[1], "  `time_hour` timestamp NOT NULL COMMENT 'scheduled',");
    assert_eq!(lines[2], "  `Origin` varchar(3) NOT NULL DEFAULT 'EWR',");
    assert_eq!(lines[3], "  `dest` varchar(3) DEFAULT NULL,");
    assert_eq!(
        lines[7..],
        [
            ") ENGINE=Millrace DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin ORDER BY (`Origin`, `time_hour`)",
            "PARTITION BY day(`time_hour`)"
        ]
    );
    client.ask("CREATE DATABASE other").await;
    client.ask("USE other").await;
    let made = client.ask(&text).await;
    assert_eq!(made.warnings, 0);
    let (first, second) =
        (front.catalog.table("demo", "flights").await.unwrap(), front.catalog.table("other", "flights").await.unwrap());
    assert_eq!(
        (&first.columns, &first.partition_by, &first.order_by),
        (&second.columns, &second.partition_by, &second.order_by)
    );
    let pipeline = client.row("SHOW CREATE PIPELINE demo.flights_in").await[1].clone();
    client.ask(&pipeline.replace("INTO `flights`", "INTO other.flights")).await;
    let (first, second) = (
        front.catalog.pipeline("demo", "flights_in").await.unwrap(),
        front.catalog.pipeline("other", "flights_in").await.unwrap(),
    );
    assert_eq!(
        (&first.settings, &first.projection, &first.filter),
        (&second.settings, &second.projection, &second.filter)
    );
    assert_eq!((&first.source.topics, &first.source.start), (&second.source.topics, &second.source.start));
}

#[tokio::test]
async fn variables_are_what_they_were_set_to() {
    let (_front, mut client) = demo().await;
    client.ask("SET autocommit = OFF, @a = 1 + 2, sql_mode = concat(@@sql_mode, ',PIPES_AS_CONCAT')").await;
    assert_eq!(client.row("SELECT @@autocommit, @a, @never").await, ["0", "3", "NULL"]);
    assert!(client.row("SELECT @@sql_mode").await[0].ends_with(",PIPES_AS_CONCAT"));
    assert_eq!(client.row("SELECT 'a' || 'b'").await, ["ab"]);
    client.ask("SET sql_mode = DEFAULT").await;
    assert_eq!(client.row("SELECT (1 = 1) || (1 = 2)").await, ["true"]);
    assert_eq!(client.ask("SET NAMES latin1").await.warnings, 1, "it is told that it has no effect");
    assert_eq!(client.row("SHOW VARIABLES LIKE 'character_set_client'").await[1], "latin1");
    assert_eq!(client.row("SHOW GLOBAL VARIABLES LIKE 'character_set_client'").await[1], "utf8mb4");
    assert_eq!(
        client.row("SELECT @@global.character_set_client, @@session.character_set_client").await,
        ["utf8mb4", "latin1"]
    );
    assert_eq!(
        client.row("SELECT type, effect FROM system.variables WHERE name = 'autocommit'").await,
        ["boolean", "none"]
    );
    assert_eq!(
        client.row("SELECT value, effect FROM system.variables WHERE name = 'max_prepared_stmt_count'").await,
        ["1024", "read only"]
    );
    client.ask("SET sql_select_limit = 2").await;
    assert_eq!(client.ask("SELECT value FROM generate_series(1, 9)").await.rows.len(), 2);
    assert_eq!(client.ask("SELECT value FROM generate_series(1, 9) LIMIT 3").await.rows.len(), 3);
    assert!(client.ask("SHOW VARIABLES").await.rows.len() > 50, "a SHOW is no SELECT of the client's");
    client.ask("SET sql_select_limit = DEFAULT").await;
    for sql in ["SET GLOBAL autocommit = 0", "SET @@global.autocommit = 0", "SET PERSIST autocommit = 0"] {
        assert_eq!(client.fail(sql).await.0, 1235, "{sql}");
    }
    client.ask("SET freshness = committed").await;
    assert_eq!(client.row("SELECT @@session.freshness").await, ["committed"]);
    client.session.reset().await;
    assert_eq!(client.row("SELECT @@freshness, @@autocommit, @a").await, ["latest", "1", "NULL"]);
}

#[tokio::test]
async fn an_unknown_variable_is_a_warning_to_set_and_an_error_to_read() {
    let (_front, mut client) = demo().await;
    assert_eq!(client.ask("SET freshnes = 'latest', autocommit = 1").await.warnings, 1);
    assert_eq!(
        client.ask("SHOW WARNINGS").await.rows,
        [["Warning", "1193", "Unknown system variable 'freshnes'; did you mean 'freshness'?"]]
    );
    assert_eq!(client.row("SELECT @@warning_count").await, ["1"]);
    assert_eq!(client.row("SHOW COUNT(*) WARNINGS").await, ["1"]);
    client.ask("SELECT 1").await;
    assert!(client.ask("SHOW WARNINGS").await.rows.is_empty());
    assert_eq!(client.fail("SET freshness = 'newest'").await.0, 1231);
    assert_eq!(client.fail("SET version = '9'").await.0, 1238);
    assert_eq!(client.ask("SET time_zone = '+02:00'").await.warnings, 1);
}

#[tokio::test]
async fn a_query_is_asked_at_the_sessions_freshness_and_remembers_what_it_saw() {
    let (front, mut client) = demo().await;
    client.ask("SELECT 1").await;
    client.ask("SET freshness = 'committed'").await;
    client.ask("SELECT 2").await;
    let asked = front.queries.asked.lock().unwrap().clone();
    assert!(asked.ends_with(&[Freshness::Latest, Freshness::Committed]), "{asked:?}");
}

#[tokio::test]
async fn kill_query_ends_what_another_session_reads() {
    let (front, mut client) = demo().await;
    let mut other = front.session(2, Some("demo")).await;
    let crate::mysql::Answer::Rows { mut stream, .. } = other.session.execute("SELECT 1").await.unwrap() else {
        panic!()
    };
    assert_eq!(client.column("SELECT id FROM information_schema.processlist WHERE info = 'SELECT 1'").await, ["2"]);
    client.ask("KILL QUERY 2").await;
    let error = futures::StreamExt::next(&mut stream).await.unwrap().unwrap_err();
    assert_eq!(error.code, 1317);
    drop(stream);
    other.ask("SELECT 2").await;
    client.ask("KILL 2").await;
    assert_eq!(other.fail("SELECT 3").await.0, 1927);
    assert_eq!(client.fail("KILL 99").await.0, 1094);
}

#[tokio::test]
async fn a_statement_ends_at_its_time_limit() {
    let (_front, mut client) = demo().await;
    client.ask("SET statement_timeout = '1ms'").await;
    let slow =
        "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b WHERE a.value = -b.value * 7";
    let (code, message) = client.fail(slow).await;
    assert_eq!((code, message.contains("time of 1ms exceeded")), (3024, true), "{message}");
}

#[tokio::test]
async fn a_session_begins_in_the_database_of_its_login() {
    let (front, _client) = demo().await;
    let mut client = front.session(5, Some("DEMO")).await;
    assert_eq!(client.row("SELECT DATABASE(), CONNECTION_ID(), CURRENT_USER()").await, ["demo", "5", "root@127.0.0.1"]);
    let login = crate::mysql::Login {
        user: "root".into(),
        database: Some("dmo".into()),
        connection_id: 6,
        peer: "x:1".into(),
        attributes: std::collections::BTreeMap::new(),
    };
    use crate::mysql::SessionFactory;
    let Err(refused) = front.engine.open(login).await else { panic!("opened") };
    assert_eq!((refused.code, refused.message.as_str()), (1049, "Unknown database 'dmo'; did you mean 'demo'?"));
    assert!(client.session.statistics().starts_with("Uptime: "));
}

#[test]
fn the_longest_chain_that_is_let_through_is_planned_and_run() {
    // On a thread such as the server has.
    let run =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(the_longest_chain());
    std::thread::Builder::new().stack_size(warehouse::read::engine::STACK_BYTES).spawn(run).unwrap().join().unwrap();
}

async fn the_longest_chain() {
    let (_front, mut client) = demo().await;
    let chain = vec!["delay = 1"; 490].join(" OR ");
    client.ask(&format!("SELECT count(*) FROM flights WHERE {chain}")).await;
    let sum = vec!["1"; 990].join(" + ");
    assert_eq!(client.row(&format!("SELECT {sum}")).await, ["990"]);
    let deep = format!("SELECT {}1{}", "(".repeat(90), ")".repeat(90));
    assert_eq!(client.row(&deep).await, ["1"]);
    let unions = vec!["SELECT 1"; 290].join(" UNION ALL ");
    assert_eq!(client.ask(&unions).await.rows.len(), 290);
    let long = format!("SELECT count(*) FROM flights WHERE delay IN ({})", vec!["1"; 20_000].join(","));
    client.ask(&long).await;
}
