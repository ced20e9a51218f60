//! `kafka(…)` and CREATE TABLE … FROM KAFKA, from the text of a statement to its rows, over a scripted broker.

use warehouse::write::source::{MemoryBroker, MemoryRecord};

use crate::sql::fakes::{Client, Front};

const BROKERS: &str = "brokers = 'b:9092'";

/// A topic `clicks` of two partitions.
fn produce(broker: &MemoryBroker) {
    broker.create_topic("clicks", 2);
    for number in 0..6_i64 {
        let payload = format!(
            r#"{{"Id":{number},"kind":"k{}","at":"2013-01-0{}T00:00:00Z","tags":["a"]}}"#,
            number % 2,
            number + 1
        );
        let timestamp_ms = Some(1_356_998_400_000 + number * 1_000);
        let record = MemoryRecord { timestamp_ms, key: Some(b"k".to_vec()), ..MemoryRecord::of(payload) };
        broker.produce("clicks", i32::try_from(number % 2).unwrap(), record);
    }
}

async fn client() -> (Front, Client) {
    let front = Front::new().await;
    produce(&front.broker);
    let client = front.session(1, Some("default")).await;
    (front, client)
}

fn call(arguments: &str) -> String {
    format!("kafka({BROKERS}, topic = 'clicks'{arguments})")
}

#[tokio::test]
async fn a_topic_is_read_like_a_table() {
    let (_front, mut client) = client().await;
    let table = client.ask(&format!("SELECT * FROM {} ORDER BY id LIMIT 1", call(""))).await;
    let names = ["Id", "kind", "at", "tags", "_topic", "_partition", "_offset", "_timestamp", "_key", "_headers"];
    assert_eq!(table.headings, names);
    let first =
        ["0", "k0", "2013-01-01T00:00:00Z", r#"["a"]"#, "clicks", "0", "0", "2013-01-01T00:00:00Z", "k", "NULL"];
    assert_eq!(table.rows, [first]);
    for (sql, rows) in [
        (format!("SELECT count(*), SUM(ID), max(_Offset) FROM {}", call("")), "6 15 2"),
        (format!("SELECT k.id FROM {} AS k WHERE k._partition = 1 AND _offset > 1", call("")), "5"),
        (format!("SELECT kafka.id FROM {} WHERE id = 3", call("")), "3"),
        (format!("WITH c AS (SELECT * FROM {}) SELECT count(*) FROM c a JOIN c b ON a.id = b.id", call("")), "6"),
        (format!("SELECT count(*) FROM {} a, {} b", call(""), call(", from = 2")), "12"),
        (format!("SELECT count(*) FROM {}", call(", from = 1, to = 2")), "2"),
        (format!("SELECT count(*) FROM {}", call(", from = -1")), "2"),
        (format!("SELECT min(id) FROM {}", call(", from = timestamp '2013-01-01 00:00:03'")), "3"),
        (format!("SELECT max(id) FROM {}", call(", to = 'timestamp:2013-01-01T00:00:02Z'")), "1"),
        (format!("SELECT sum(id) FROM {}", call(", from = '0:1,1:2', to = 'latest'")), "11"),
        (
            format!("SELECT id + 1 FROM {} WHERE id = 1", call(", columns = 'id INT, other TEXT', metadata = false")),
            "2",
        ),
        (format!("SELECT length(payload) > 10 FROM {} LIMIT 1", call(", format = 'raw'")), "true"),
        ("SELECT count(*) FROM kafka(brokers => 'b:9092', topics => 'clicks, clicks')".to_owned(), "6"),
        (
            "SELECT count(*) FROM KAFKA (brokers = 'b:9092', topic_pattern = 'c.*', security.protocol = 'plaintext')"
                .to_owned(),
            "6",
        ),
    ] {
        assert_eq!(client.row(&sql).await.join(" "), rows, "{sql}");
    }
    let plan = client.ask(&format!("EXPLAIN SELECT id FROM {} LIMIT 2", call(""))).await;
    let text: String = plan.rows.into_iter().flatten().collect();
    assert!(text.contains("TopicExec: topics=clicks, partitions=2, offsets=6, projection=[Id], limit=2"), "{text}");
}

#[tokio::test]
async fn a_call_that_is_wrong_says_where_and_what_would_be_right() {
    let (front, mut client) = client().await;
    front.broker.create_topic("empty", 1);
    for (sql, words) in [
        ("SELECT * FROM kafka()", "kafka(…): brokers is missing; write brokers = 'host:9092'"),
        ("SELECT * FROM kafka(brokers = 'b')", "topic is missing"),
        ("SELECT * FROM kafka('b', 'clicks')", "'b' is no argument; write name = value"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'none')", "topic \"none\" does not exist at b"),
        (
            "SELECT * FROM kafka(brokers = 'b', topic = 'empty')",
            "there is no record in the range; name them, columns = '",
        ),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', start = 'latest')", "write from = …"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', form = 1)", "did you mean from?"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', from = 'soon')", "from: 'soon' is no position"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', to = 1 + 1)", "to = 1 + 1 is no value"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', format = 'csv')", "there are 'json' and 'raw'"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', columns = 'a')", "column a has no type"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', columns = 'a INT NOT NULL')", "NOT cannot stand there"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', columns = '_offset INT')", "is reserved"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', on_error = 'stop')", "none of 'fail', 'skip', 'null'"),
        ("SELECT * FROM kafka(brokers = 'b', topic = 'clicks', topic = 'clicks')", "topic is given twice"),
        ("SELECT nothing FROM kafka(brokers = 'b', topic = 'clicks')", "Unknown column 'nothing'"),
    ] {
        let (_, message) = client.fail(sql).await;
        assert!(message.contains(words), "{sql}: {message}");
    }
    front.broker.produce("empty", 0, MemoryRecord::of("no json"));
    let sql = "SELECT a FROM kafka(brokers = 'b', topic = 'empty', columns = 'a INT'";
    let (_, message) = client.fail(&format!("{sql})")).await;
    assert!(message.contains("offset 0 of partition 0") && message.contains("on_error = 'null'"), "{message}");
    assert_eq!(client.row(&format!("{sql}, on_error = 'null')")).await, ["NULL"]);
}

#[tokio::test]
async fn topics_are_listed_with_how_much_is_in_them() {
    let (front, mut client) = client().await;
    front.broker.create_topic("other", 1);
    let list = client.ask(&format!("SELECT * FROM kafka_topics({BROKERS})")).await;
    assert_eq!(list.headings, ["topic", "partition", "earliest", "latest", "records"]);
    let shown: Vec<String> = list.rows.iter().map(|row| row.join(" ")).collect();
    assert_eq!(shown, ["clicks 0 0 3 3", "clicks 1 0 3 3", "other 0 0 0 0"]);
    let show = client.ask("SHOW TOPICS FROM 'b:9092'").await;
    assert_eq!(show.headings, ["topic", "partitions", "records"]);
    let shown: Vec<String> = show.rows.iter().map(|row| row.join(" ")).collect();
    assert_eq!(shown, ["clicks 2 6", "other 1 0"]);
    for (sql, rows) in [
        ("SHOW TOPICS FROM 'b:9092' LIKE 'oth%'", "other 1 0"),
        ("SHOW TOPICS IN KAFKA (brokers = 'b:9092', security.protocol = 'plaintext') WHERE records > 0", "clicks 2 6"),
        ("SELECT latest FROM KAFKA_TOPICS(brokers => 'b', topics => 'clicks') t WHERE t.`partition` = 1", "3"),
        ("SELECT count(*) FROM kafka_topics(brokers = 'b', topic_pattern = 'none_.*')", "0"),
        ("SELECT count(*) FROM kafka(brokers = 'b', topic = 'clicks') k, kafka_topics(brokers = 'b') t", "18"),
    ] {
        assert_eq!(client.row(sql).await.join(" "), rows, "{sql}");
    }
    for (sql, words) in [
        ("SHOW TOPICS", "FROM 'host:9092' or FROM KAFKA (…)"),
        ("SHOW TOPICS FROM KAFKA (topic = 'clicks')", "kafka_topics(…): brokers is missing"),
        (
            "SELECT * FROM kafka_topics(brokers = 'b', topic = 'none')",
            "kafka_topics(…): topic \"none\" does not exist at b",
        ),
        ("SELECT * FROM kafka_topics('b')", "kafka_topics(…): 'b' is no argument"),
        ("SELECT * FROM kafka_topics(brokers = 'b', format = 'raw')", "format is a pipeline's"),
        ("SELECT * FROM kafka_topics(broker = 'b')", "did you mean brokers?"),
    ] {
        let (_, message) = client.fail(sql).await;
        assert!(message.contains(words), "{sql}: {message}");
    }
}

const TABLE: &str = "CREATE TABLE clicks FROM KAFKA (brokers = 'b:9092', topic = 'clicks') PARTITION BY day(at) \
                     ORDER BY (id) WITH (flush_interval = '1s')";

#[tokio::test]
async fn a_table_from_a_topic_is_made_with_its_pipeline_and_shows_what_it_chose() {
    let (front, mut client) = client().await;
    let dry = client.ask(&format!("EXPLAIN {TABLE}")).await;
    assert!(front.catalog.table("default", "clicks").await.is_err(), "EXPLAIN changes nothing");
    assert!(front.catalog.pipelines().await.unwrap().is_empty());
    let made = client.ask(TABLE).await;
    assert_eq!(made, dry, "and tells the same");
    assert_eq!(made.headings, ["what", "name", "type", "nullable", "sample", "why"]);
    let columns: Vec<String> = made.rows[..4].iter().map(|row| row[..5].join(" ")).collect();
    assert_eq!(
        columns,
        [
            "column Id bigint YES 0",
            "column kind text YES k0",
            "column at timestamp YES 2013-01-01T00:00:00Z",
            r#"column tags json YES ["a"]"#
        ]
    );
    assert_eq!(made.rows[0][5], "whole numbers in all 6 records");
    let (table, pipeline) = (&made.rows[4], &made.rows[5]);
    assert_eq!((table[0].as_str(), table[1].as_str()), ("table", "default.clicks"));
    assert_eq!((pipeline[0].as_str(), pipeline[1].as_str()), ("pipeline", "default.clicks_in"));
    assert_eq!(client.row("SHOW CREATE TABLE clicks").await[1], table[5]);
    assert_eq!(client.row("SHOW CREATE PIPELINE clicks_in").await[1], pipeline[5]);
    let record = front.catalog.pipeline("default", "clicks_in").await.unwrap();
    assert_eq!((record.projection.as_str(), record.settings.flush_interval_ms), ("*", 1_000));

    assert_eq!(client.fail(TABLE).await.0, 1050);
    let again = TABLE.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS");
    assert_eq!(client.ask(&again).await.warnings, 1);
    // What was printed makes the same again.
    client.ask("DROP PIPELINE clicks_in").await;
    client.ask("DROP TABLE clicks").await;
    client.ask(&table[5]).await;
    client.ask(&pipeline[5]).await;
    assert_eq!(client.row("SHOW CREATE TABLE clicks").await[1], table[5]);
    assert_eq!(client.row("SHOW CREATE PIPELINE clicks_in").await[1], pipeline[5]);
}

#[tokio::test]
async fn a_table_from_a_topic_is_made_whole_or_not_at_all() {
    let (front, mut client) = client().await;
    front.broker.create_topic("empty", 1);
    let from = |topic: &str, rest: &str| format!("CREATE TABLE t FROM KAFKA ({BROKERS}, topic = '{topic}') {rest}");
    client.ask("CREATE TABLE other (id BIGINT)").await;
    client
        .ask(&format!(
            "CREATE PIPELINE t_in INTO other AS SELECT * FROM KAFKA ({BROKERS}, topic = 'x', format = 'json')"
        ))
        .await;
    for (sql, words) in [
        (from("clicks", ""), "pipeline 't_in' already exists"),
        (from("empty", "WITH (pipeline = 'p')"), "empty has no record yet, so its columns cannot be told; name them"),
        (from("missing", "WITH (pipeline = 'p')"), "does not exist"),
        (from("clicks", "ORDER BY (nothing) WITH (pipeline = 'p')"), "ORDER BY names `nothing`"),
        (from("clicks", "WITH (pipeline = 'p', tasks = 0)"), "tasks: 0 is not between"),
        (from("clicks", "WITH (pipeline = '')"), "the pipeline name `` is empty"),
        (format!("EXPLAIN {}", from("clicks", "ORDER BY (nothing) WITH (pipeline = 'p')")), "ORDER BY names `nothing`"),
    ] {
        let (_, message) = client.fail(&sql).await;
        assert!(message.contains(words), "{sql}: {message}");
        assert!(front.catalog.table("default", "t").await.is_err(), "{sql}");
        assert!(front.catalog.pipeline("default", "p").await.is_err(), "{sql}");
    }
    let given = "CREATE TABLE t (id BIGINT, kind VARCHAR(10) NOT NULL) FROM KAFKA (brokers = 'b', topic = 'empty') \
                 ON GAP SKIP WITH (pipeline = 'p')";
    let made = client.ask(given).await;
    assert_eq!(made.rows[1][..4].join(" "), "column kind varchar(10) NO");
    assert_eq!(made.rows[1][5], "as given");
    assert!(made.rows[3][5].contains("on_gap = 'skip'"), "{made:?}");
    // A start at the end has nothing to look at yet; what lies before it says what will come.
    let latest = "CREATE TABLE u FROM KAFKA (brokers = 'b', topic = 'clicks', start = 'latest')";
    assert_eq!(client.ask(latest).await.rows.len(), 6);
}

#[tokio::test]
async fn fields_that_cannot_be_columns_are_selected_under_other_names() {
    let (front, mut client) = client().await;
    front.broker.create_topic("odd", 1);
    front.broker.produce("odd", 0, MemoryRecord::of(r#"{"a":1," b`":2,"_offset":3}"#));
    let made = client.ask("CREATE TABLE odd FROM KAFKA (brokers = 'b', topic = 'odd')").await;
    let pipeline = front.catalog.pipeline("default", "odd_in").await.unwrap();
    assert_eq!(pipeline.projection, "*, ` b``` AS `b```");
    let notes: Vec<&str> = made.rows.iter().filter(|row| row[0] == "note").map(|row| row[5].as_str()).collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert_eq!(client.row("SELECT `b```, a, _offset FROM kafka(brokers = 'b', topic = 'odd')").await, ["2", "1", "0"]);
}
