//! `kafka(…)` over what only a real Kafka has: transactions, retention, times. And nothing is moved by it.

use millrace_tests::{Broker, NewRecord, RealKafka, events};
use rdkafka::producer::Producer as _;

use super::holes::{transaction, transactional};
use crate::stage::{SOON, Stage};

fn call(broker: &Broker, arguments: &str) -> String {
    format!("kafka(brokers = '{}', topic = '{}'{arguments})", broker.bootstrap, broker.topic)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_that_ends_in_control_records_or_before_an_open_transaction_ends() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("asked", 1, &[]).await.unwrap();
    let mut stage = Stage::open().await;
    let producer = transactional(&broker).await;
    transaction(&producer, 0..20, true).await;
    transaction(&producer, 1_000..1_030, false).await;
    // 20 rows and a control record, 30 aborted records and a control record: the last row is far from the end.
    let sums = |arguments: &str| format!("SELECT count(*), sum(seq) FROM {}", call(&broker, arguments));
    let columns = ", columns = 'seq BIGINT'";
    assert_eq!(stage.sql.row(&sums(columns)).await.unwrap(), ["20", "190"]);
    let to = format!("{columns}, from = 10, to = 21");
    assert_eq!(stage.sql.row(&sums(&to)).await.unwrap(), ["10", "145"], "the range's last offset is a control record");
    let all = format!("{columns}, read_committed = false");
    assert_eq!(stage.sql.row(&sums(&all)).await.unwrap()[0], "50");

    producer.producer.begin_transaction().unwrap();
    for seq in 20..25 {
        producer.send(0, Some(&events::payload(seq, "open"))).await.unwrap();
    }
    assert_eq!(stage.sql.row(&sums(columns)).await.unwrap(), ["20", "190"], "an open transaction is not waited for");
    let client = producer.producer.clone();
    tokio::task::spawn_blocking(move || client.commit_transaction(SOON)).await.unwrap().unwrap();
    assert_eq!(stage.sql.row(&sums(columns)).await.unwrap(), ["25", "300"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ranges_are_told_by_time_and_what_retention_took_is_not_there() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("times", 2, &[("retention.ms", "-1")]).await.unwrap();
    let producer = broker.producer(&[]).unwrap();
    let start = 1_700_000_000_000_i64;
    for seq in 0..40_i64 {
        let (payload, timestamp_ms) = (Some(events::payload(seq, "timed")), Some(start + seq * 1_000));
        let partition = (seq % 2) as i32;
        producer.send_record(&NewRecord { partition, payload, timestamp_ms, ..NewRecord::default() }).await.unwrap();
    }
    let mut stage = Stage::open().await;
    // 2023-11-14 22:13:20 is the first record's second.
    let between = ", from = timestamp '2023-11-14 22:13:30', to = timestamp '2023-11-14 22:13:40'";
    let sql = format!("SELECT count(*), min(seq), max(seq), min(_timestamp) FROM {}", call(&broker, between));
    assert_eq!(stage.sql.row(&sql).await.unwrap()[..3], ["10", "10", "19"]);
    broker.expire(0, 15).await.unwrap();
    let sql = format!("SELECT _partition, count(*) FROM {} GROUP BY 1 ORDER BY 1", call(&broker, ", from = 5"));
    let rows = stage.sql.rows(&sql).await.unwrap();
    let counts: Vec<&str> = rows.iter().map(|row| row[1].as_deref().unwrap()).collect();
    assert_eq!(counts, ["5", "15"]);
    let sql = format!("SELECT count(*) FROM {}", call(&broker, ", from = 0, to = 15"));
    assert_eq!(stage.sql.number(&sql).await.unwrap(), 15, "all of partition 0's is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_is_made_from_a_topic_and_filled_and_kafka_shows_the_same_rows() {
    let Some(kafka) = RealKafka::shared().await else { return };
    let broker = kafka.topic("inferred", 3, &[]).await.unwrap();
    let producer = broker.producer(&[]).unwrap();
    for number in 0..3_000_i64 {
        let payload = format!(
            r#"{{"id":{number},"name":"n{number}","price":{}.5,"at":"2024-01-01T00:00:00.{:03}Z","odd":{}}}"#,
            number % 7,
            number % 1_000,
            if number % 2 == 0 { "null" } else { "true" }
        );
        producer.send((number % 3) as i32, Some(payload.as_bytes())).await.unwrap();
    }
    let mut stage = Stage::open().await;
    let source = format!("brokers = '{}', topic = '{}'", broker.bootstrap, broker.topic);
    let create = format!("CREATE TABLE shop FROM KAFKA ({source}) PARTITION BY day(at) ORDER BY (id)");
    let dry = stage.sql.rows(&format!("EXPLAIN {create}")).await.unwrap();
    let types: Vec<&str> = dry.iter().filter_map(|row| row[2].as_deref()).collect();
    assert_eq!(types, ["bigint", "text", "double", "timestamp", "tinyint(1)"]);
    assert!(stage.sql.rows("SHOW TABLES").await.unwrap().is_empty(), "EXPLAIN changes nothing");
    assert_eq!(stage.sql.rows(&create).await.unwrap(), dry);
    stage.until("SELECT count(*) FROM shop", 3_000).await;
    let sums = |table: &str| format!("SELECT count(*), sum(id), sum(price), count(odd), max(at) FROM {table}");
    let of_table = stage.sql.row(&sums("shop")).await.unwrap();
    assert_eq!(stage.sql.row(&sums(&call(&broker, ""))).await.unwrap(), of_table);
    let missing = "SELECT count(*) FROM (SELECT id FROM {} EXCEPT SELECT id FROM shop) AS missing";
    assert_eq!(stage.sql.number(&missing.replace("{}", &call(&broker, ""))).await.unwrap(), 0);
}
