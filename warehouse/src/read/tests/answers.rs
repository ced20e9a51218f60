//! What statements mean: names, hidden columns, NULLs, and the words of errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider};

use super::super::errors::{Place, ReadError};
use super::super::testing::{Shop, gathered, lines};

async fn shop() -> Shop {
    let shop = Shop::open().await;
    shop.publish(1, 6);
    shop.commit_all().await;
    shop.publish(2, 2);
    shop
}

async fn heads(shop: &Shop, sql: &str) -> Vec<String> {
    let rows = shop.rows_of(sql).await.unwrap();
    rows.schema().fields().iter().map(|field| field.name().clone()).collect()
}

#[tokio::test]
async fn hidden_columns_can_be_named_and_are_not_part_of_a_star() {
    let shop = shop().await;
    let visible = ["id", "origin", "departs", "fare"];
    assert_eq!(heads(&shop, "SELECT * FROM Flights").await, visible);
    assert_eq!(heads(&shop, "SELECT * FROM Flights WHERE _offset < 3 ORDER BY _stream").await, visible);
    assert_eq!(heads(&shop, "SELECT f.*, f._topic FROM Flights f").await, [visible.as_slice(), &["_topic"]].concat());
    assert_eq!(heads(&shop, "SELECT *, _partition FROM Flights").await, [visible.as_slice(), &["_partition"]].concat());
    assert_eq!(heads(&shop, "SELECT * FROM (SELECT _stream, id FROM Flights) s").await, ["_stream", "id"]);
    assert_eq!(
        heads(&shop, "SELECT * FROM (SELECT *, _offset FROM Flights) s").await,
        [visible.as_slice(), &["_offset"]].concat()
    );
    let twice = [visible.as_slice(), visible.as_slice()].concat();
    assert_eq!(
        heads(&shop, "SELECT * FROM Flights a JOIN Flights b ON a.id = b.id AND a._offset = b._offset").await,
        twice
    );
    assert_eq!(shop.number("SELECT count(*) FROM Flights WHERE _offset >= 0").await, 8);
    assert_eq!(shop.number("SELECT count(*) FROM (SELECT * FROM Flights) s").await, 8);
}

#[tokio::test]
async fn topic_and_partition_come_from_the_stream() {
    let shop = shop().await;
    let sql = "SELECT _topic, _partition, count(*) FROM Flights GROUP BY _topic, _partition ORDER BY 2";
    assert_eq!(shop.answer(sql).await, ["flights|0|6", "flights|1|2"]);
    assert_eq!(
        shop.answer("SELECT id FROM Flights WHERE _partition = 1 AND _topic = 'flights' ORDER BY id").await,
        ["2000000", "2000001"]
    );
}

#[tokio::test]
async fn tables_are_found_in_any_case_and_columns_to_the_letter() {
    let shop = shop().await;
    assert_eq!(shop.number("SELECT count(*) FROM SHOP.fLIGHTS AS f WHERE f.fare >= 0").await, 8);
    let error = shop.rows_of("SELECT ID FROM Flights").await.unwrap_err();
    assert!(matches!(error, ReadError::UnknownColumn { .. }), "{error:?}");
}

#[tokio::test]
async fn null_sorts_first() {
    let shop = shop().await;
    assert_eq!(
        shop.answer("SELECT origin FROM Flights WHERE _stream = 1 ORDER BY origin LIMIT 2").await,
        ["NULL", "EWR"]
    );
    assert_eq!(shop.answer("SELECT origin FROM Flights ORDER BY origin DESC LIMIT 1").await, ["LGA"]);
}

#[tokio::test]
async fn tables_of_other_databases_join_with_ours() {
    let shop = shop().await;
    let ids = RecordBatch::try_from_iter([("ID", Arc::new(Int64Array::from(vec![1_000_001])) as _)]).unwrap();
    let schema = MemorySchemaProvider::new();
    let table = MemTable::try_new(ids.schema(), vec![vec![ids]]).unwrap();
    schema.register_table("Wanted".to_owned(), Arc::new(table)).unwrap();
    let mut query = shop.query("SELECT f.id, origin FROM flights f JOIN System.wanted w ON w.ID = f.id");
    query.schemas = BTreeMap::from([("system".to_owned(), Arc::new(schema) as Arc<dyn SchemaProvider>)]);
    let rows = gathered(shop.engine.query(query.clone()).await.unwrap()).await.unwrap();
    assert_eq!(lines(&rows), ["1000001|JFK"]);
    query.statement = shop.query("SELECT * FROM system.wantd").statement;
    let error = shop.engine.query(query).await.err().unwrap();
    assert_eq!(error.to_string(), "there is no table `system`.`wantd`");
}

#[tokio::test]
async fn errors_say_what_where_and_what_to_do() {
    let shop = shop().await;
    let error = shop.rows_of("SELECT 1 FROM flihgts").await.unwrap_err();
    assert!(matches!(error, ReadError::UnknownTable { .. }), "{error:?}");
    assert_eq!(error.to_string(), "there is no table `shop`.`flihgts`; did you mean `Flights`?");
    let error = shop.rows_of("SELECT\n  orgin FROM flights").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no column `orgin` here; there are `id`, `origin`, `departs`, `fare`");
    assert_eq!(error.place(), Some(Place { line: 2, column: 3 }));
    let error = shop.rows_of("SELECT f.orgin FROM flights f").await.unwrap_err();
    assert!(error.to_string().starts_with("there is no column `f.orgin` here"), "{error}");
    let error = shop.rows_of("SELECT lowr(origin) FROM flights").await.unwrap_err();
    assert!(matches!(&error, ReadError::UnknownFunction { name, .. } if name == "lowr"), "{error:?}");
    let error = shop.rows_of("SELECT origin, count(*) FROM flights").await.unwrap_err();
    assert!(matches!(error, ReadError::Invalid { .. }), "{error:?}");
    let error = shop.rows_of("SELECT id FROM flights a JOIN flights b ON a.id = b.id").await.unwrap_err();
    assert!(matches!(&error, ReadError::AmbiguousColumn { name, .. } if name == "id"), "{error:?}");
    let error = shop.rows_of("SELECT fare / (fare - fare), 1 / (id - id) FROM flights").await.unwrap_err();
    assert_eq!(error, ReadError::DivisionByZero);
    let error = shop.rows_of("SELECT CAST('x' AS INT) + id FROM flights").await.unwrap_err();
    assert!(matches!(error, ReadError::Value { .. }), "{error:?}");
    for sql in [
        "SELECT 1 FROM flihgts",
        "SELECT lowr(origin) FROM flights",
        "SELECT origin, count(*) FROM flights",
        "SELECT CAST('x' AS INT) + id FROM flights",
        "SELECT origin + departs FROM flights",
        "SELECT abs('a', 2)",
        "SELECT 1/0",
        "SELECT id FROM flights WHERE origin = (SELECT id, fare FROM flights)",
        "SELECT sum(origin) FROM flights",
        "SELECT id FROM flights UNION SELECT id, fare FROM flights",
        "SELECT * FROM flights GROUP BY 1",
    ] {
        let message = match shop.rows_of(sql).await {
            Ok(rows) => panic!("{sql}: {:?}", lines(&rows)),
            Err(error) => error.to_string(),
        };
        for word in
            ["Int64", "Utf8", "Float64", "Arrow", "DataFusion", "Internal", "planning:", "Timestamp(", "backtrace"]
        {
            assert!(!message.contains(word), "{sql}: {message}");
        }
    }
}

#[tokio::test]
async fn nothing_but_queries_is_carried_out() {
    let shop = shop().await;
    for sql in [
        "CREATE TABLE x AS SELECT 1",
        "INSERT INTO flights (id) VALUES (1)",
        "DROP TABLE flights",
        "SET a = 1",
        "SELECT 1 INTO x",
        "EXPLAIN DROP TABLE flights",
        "DELETE FROM flights",
        "EXPLAIN ANALYZE INSERT INTO flights (id) VALUES (1)",
    ] {
        let error = shop.rows_of(sql).await.unwrap_err();
        assert!(matches!(error, ReadError::Unsupported { .. } | ReadError::Invalid { .. }), "{sql}: {error:?}");
    }
    for sql in ["SELECT * FROM '/etc/passwd'", "SELECT * FROM `file:///etc/passwd`", "SELECT * FROM `/etc/passwd`"] {
        let error = shop.rows_of(sql).await.unwrap_err();
        assert!(matches!(error, ReadError::UnknownTable { .. } | ReadError::Invalid { .. }), "{sql}: {error:?}");
    }
}

#[tokio::test]
async fn explain_analyze_tells_what_was_read() {
    let shop = shop().await;
    let plan = shop.answer("EXPLAIN ANALYZE SELECT * FROM flights").await.join("\n");
    assert!(plan.contains("output_rows=2") && plan.contains("parts=1/1") && plan.contains("bytes_scanned"), "{plan}");
}
