//! Queries over topics of the scripted broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::util::display::array_value_to_string;
use catalog::{ColumnType, IntegerWidth, KafkaSource, Offset, RecordFormat, StartPosition, Topics};
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use vfs::SystemClock;

use super::*;
use crate::read::errors::ReadError;
use crate::write::source::{MemoryBroker, MemoryConnector, MemoryRecord};

const BIG: ColumnType = ColumnType::Integer { width: IntegerWidth::Big, unsigned: false };

fn query() -> TopicQuery {
    TopicQuery {
        kafka: KafkaSource {
            brokers: "script".to_owned(),
            topics: "t".into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: BTreeMap::new(),
        },
        format: PayloadFormat::Json,
        from: Position::Earliest,
        to: Position::Latest,
        columns: None,
        on_error: OnError::Fail,
        metadata: true,
        read_committed: true,
        max_record_bytes: 1 << 20,
    }
}

fn named(columns: &[(&str, ColumnType)]) -> TopicQuery {
    let column = |(name, kind): &(&str, ColumnType)| TopicColumn {
        name: (*name).to_owned(),
        field: (*name).to_owned(),
        kind: kind.clone(),
    };
    TopicQuery { columns: Some(columns.iter().map(column).collect()), ..query() }
}

/// A topic `t` of two partitions, with `count` records `{"n": …}` in each.
fn broker(count: usize) -> MemoryBroker {
    let broker = MemoryBroker::new();
    broker.create_topic("t", 2);
    for number in 0..count {
        for partition in 0..2 {
            broker.produce("t", partition, MemoryRecord::of(format!(r#"{{"n":{number}}}"#)));
        }
    }
    broker
}

async fn open(broker: &MemoryBroker, query: TopicQuery) -> TopicTable {
    let clock = Arc::new(SystemClock::new());
    let connector = Arc::new(MemoryConnector::new(broker.clone(), clock.clone()));
    TopicTable::open(connector, clock, query).await.unwrap()
}

fn session(table: TopicTable) -> SessionContext {
    let session = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    session.register_table("k", Arc::new(table)).unwrap();
    session
}

async fn try_ask(session: &SessionContext, sql: &str) -> Result<Vec<Vec<String>>, ReadError> {
    let rows = session.sql(sql).await?.collect().await?;
    let cell = |batch: &RecordBatch, row, column: usize| match batch.column(column).is_null(row) {
        true => "NULL".to_owned(),
        false => array_value_to_string(batch.column(column), row).unwrap(),
    };
    let of = |batch: &RecordBatch| -> Vec<Vec<String>> {
        (0..batch.num_rows()).map(|row| (0..batch.num_columns()).map(|at| cell(batch, row, at)).collect()).collect()
    };
    Ok(rows.iter().flat_map(of).collect())
}

async fn ask(broker: &MemoryBroker, query: TopicQuery, sql: &str) -> Vec<Vec<String>> {
    try_ask(&session(open(broker, query).await), sql).await.unwrap()
}

#[tokio::test]
async fn a_topic_shows_its_fields_and_what_kafka_tells() {
    let broker = MemoryBroker::new();
    broker.create_topic("t", 1);
    let record = MemoryRecord {
        timestamp_ms: Some(1_357_034_400_123),
        key: Some(b"k1".to_vec()),
        headers: Some(br#"{"h":"v"}"#.to_vec()),
        ..MemoryRecord::of(r#"{"a":1,"when":"2013-01-01","more":[1,2]}"#)
    };
    broker.produce("t", 0, record);
    broker.produce("t", 0, MemoryRecord { key: Some(vec![0, 255]), ..MemoryRecord::of(r#"{"a":2}"#) });
    let rows = ask(&broker, query(), "SELECT * FROM k ORDER BY _offset").await;
    let first = ["1", "2013-01-01", "[1,2]", "t", "0", "0", "2013-01-01T10:00:00.123Z", "k1", r#"{"h":"v"}"#];
    assert_eq!(rows[0], first);
    assert_eq!(rows[1], ["2", "NULL", "NULL", "t", "0", "1", "NULL", "0x00ff", "NULL"]);
    let raw = TopicQuery { format: PayloadFormat::Raw, metadata: false, ..query() };
    assert_eq!(ask(&broker, raw, "SELECT * FROM k WHERE payload LIKE '%2}'").await, [[r#"{"a":2}"#]]);
}

#[tokio::test]
async fn what_is_produced_after_the_query_began_is_not_part_of_it() {
    let broker = broker(3);
    let session = session(open(&broker, query()).await);
    broker.produce("t", 0, MemoryRecord::of(r#"{"n":99}"#));
    let twice = "SELECT count(*), max(n), (SELECT count(*) FROM k) AS again FROM k";
    assert_eq!(try_ask(&session, twice).await.unwrap(), [["6", "2", "6"]], "each scan reads the same");
}

#[tokio::test]
async fn a_range_is_given_by_offsets_by_partition_by_time_or_from_the_end() {
    let broker = broker(0);
    for number in 0..10_i64 {
        let timestamp_ms = Some(1_000_000 + number * 1_000);
        broker.produce("t", 0, MemoryRecord { timestamp_ms, ..MemoryRecord::of(format!(r#"{{"n":{number}}}"#)) });
    }
    broker.produce("t", 1, MemoryRecord { timestamp_ms: Some(0), ..MemoryRecord::of(r#"{"n":100}"#) });
    let only = |partition: i32, offset: u64| Position::Partitions(BTreeMap::from([(partition, offset)]));
    for (from, to, expected) in [
        (Position::Offset(7), Position::Latest, "7 8 9"),
        (Position::Offset(7), Position::Offset(9), "7 8"),
        (Position::Offset(3), Position::Offset(2), ""),
        (Position::Offset(5_000), Position::Latest, ""),
        (Position::BeforeEnd(1), Position::Latest, "9 100"),
        (Position::Latest, Position::Latest, ""),
        (Position::TimestampMillis(1_004_500), Position::TimestampMillis(1_007_000), "5 6"),
        (only(0, 8), Position::Latest, "8 9 100"),
        (Position::Earliest, only(0, 2), "0 1 100"),
    ] {
        let query = TopicQuery { from: from.clone(), to: to.clone(), ..named(&[("n", BIG)]) };
        let rows = ask(&broker, query, "SELECT n FROM k ORDER BY n").await;
        let shown: Vec<String> = rows.into_iter().map(|mut row| row.remove(0)).collect();
        assert_eq!(shown.join(" "), expected, "{from:?} to {to:?}");
    }
}

#[tokio::test]
async fn ranges_end_behind_holes_and_what_retention_took_is_not_there() {
    let broker = broker(5);
    broker.skip("t", 0, 3);
    broker.expire("t", 1, Offset(4));
    let query = TopicQuery { from: Position::Offset(1), ..named(&[("n", BIG)]) };
    assert_eq!(ask(&broker, query, "SELECT count(*), sum(n) FROM k").await, [["5", "14"]]);
}

/// The leaf of a plan.
fn leaf(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    plan.children().first().map_or_else(|| Arc::clone(plan), |child| leaf(child))
}

fn fetched(plan: &Arc<dyn ExecutionPlan>) -> usize {
    leaf(plan).metrics().unwrap().sum_by_name("fetched_records").unwrap().as_usize()
}

#[tokio::test]
async fn a_limit_does_not_read_the_topic() {
    let broker = broker(100_000);
    let session = session(open(&broker, named(&[("n", BIG)])).await);
    let plan = session.sql("SELECT n FROM k LIMIT 10").await.unwrap().create_physical_plan().await.unwrap();
    let rows = collect(Arc::clone(&plan), session.task_ctx()).await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    let limited = fetched(&plan);
    assert!((10..60_000).contains(&limited), "{limited} of 200,000 records were fetched");
    let plan = session.sql("SELECT n FROM k").await.unwrap().create_physical_plan().await.unwrap();
    collect(Arc::clone(&plan), session.task_ctx()).await.unwrap();
    assert_eq!(fetched(&plan), 200_000);
}

#[tokio::test]
async fn only_the_partitions_and_offsets_that_where_names_are_fetched() {
    let broker = broker(1_000);
    let session = session(open(&broker, named(&[("n", BIG)])).await);
    let sql = "SELECT n FROM k WHERE _partition = 1 AND _offset >= 990 AND n % 2 = 0";
    let plan = session.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    let rows = collect(Arc::clone(&plan), session.task_ctx()).await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 5);
    assert_eq!(fetched(&plan), 10);
}

#[tokio::test]
async fn a_record_that_cannot_become_a_row_fails_is_left_out_or_has_nulls() {
    let broker = MemoryBroker::new();
    broker.create_topic("t", 1);
    for payload in [r#"{"n":1,"m":1}"#, r#"{"n":"two","m":2}"#, "[3]", r#"{"n":4,"m":"four"}"#, r#"{"n":5,"m":5}"#] {
        broker.produce("t", 0, MemoryRecord::of(payload));
    }
    let with = |on_error| TopicQuery { on_error, ..named(&[("n", BIG), ("m", BIG)]) };
    let failing = session(open(&broker, with(OnError::Fail)).await);
    let error = try_ask(&failing, "SELECT n FROM k").await.unwrap_err().to_string();
    for part in ["offset 1", "partition 0", "\"t\"", "field \"n\"", "on_error = 'skip'"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let rows = ask(&broker, with(OnError::Skip), "SELECT n, m FROM k ORDER BY _offset").await;
    assert_eq!(rows, [["1", "1"], ["5", "5"]]);
    let counted = ask(&broker, with(OnError::Skip), "SELECT count(*) FROM k").await;
    assert_eq!(counted, [["2"]], "what is left out does not depend on what is asked for");
    let rows = ask(&broker, with(OnError::Null), "SELECT n, m, _offset FROM k ORDER BY _offset").await;
    assert_eq!(rows, [["1", "1", "0"], ["NULL", "2", "1"], ["NULL", "NULL", "2"], ["4", "NULL", "3"], ["5", "5", "4"]]);
}

#[tokio::test]
async fn several_topics_are_one_table_and_an_empty_one_says_what_to_do() {
    let broker = broker(2);
    broker.create_topic("u", 1);
    broker.produce("u", 0, MemoryRecord::of(r#"{"n":7}"#));
    let mut several = query();
    several.kafka.topics = Topics::Pattern { pattern: "[tu]".to_owned() };
    let rows = ask(&broker, several, "SELECT _topic, count(*) FROM k GROUP BY _topic ORDER BY 1").await;
    assert_eq!(rows, [["t", "4"], ["u", "1"]]);

    let (clock, connector) =
        (Arc::new(SystemClock::new()), Arc::new(MemoryConnector::new(broker, Arc::new(SystemClock::new()))));
    let empty = TopicQuery { from: Position::Latest, ..query() };
    let error = TopicTable::open(connector.clone(), clock.clone(), empty).await.unwrap_err().to_string();
    assert!(error.contains("there is no record in the range") && error.contains("columns = 'a BIGINT"), "{error}");
    let mut missing = query();
    missing.kafka.topics = "none".into();
    let error = TopicTable::open(connector, clock, missing).await.unwrap_err().to_string();
    assert!(error.contains("\"none\" does not exist"), "{error}");
}

#[tokio::test]
async fn a_topic_made_again_meanwhile_ends_the_query() {
    let broker = broker(10);
    let session = session(open(&broker, named(&[("n", BIG)])).await);
    broker.create_topic("t", 2);
    let error = try_ask(&session, "SELECT n FROM k").await.unwrap_err().to_string();
    assert!(error.contains("made again"), "{error}");
}
