//! Statements and queries that ask for too much are errors, never the end of the process (I8).

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::catalog::{MemTable, MemorySchemaProvider, SchemaProvider};
use datafusion::sql::sqlparser::ast::{Expr, SelectItem, SetExpr, Statement, Value};
use futures::StreamExt;
use tokio::runtime::Builder;

use super::super::depth::STACK_BYTES;
use super::super::engine::ReadSettings;
use super::super::errors::ReadError;
use super::super::runtime::QueryLimits;
use super::super::testing::{Shop, rows_among};
use crate::memory::{MemoryBudget, MemoryLimits};

fn memory(bytes: u64) -> Arc<MemoryBudget> {
    MemoryBudget::shared(MemoryLimits::of_queries(bytes))
}

#[tokio::test]
async fn a_chain_of_20_000_operators_is_an_error() {
    let shop = Shop::open().await;
    for operator in ["OR", "AND", "+"] {
        let chain = vec!["id = 1"; 20_000].join(&format!(" {operator} "));
        let error = shop.rows_of(&format!("SELECT 1 FROM flights WHERE {chain}")).await.unwrap_err();
        assert!(matches!(error, ReadError::Invalid { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn ten_thousand_parentheses_are_an_error() {
    let shop = Shop::open().await;
    let mut query = shop.query("SELECT 1");
    let Statement::Query(inner) = &mut *query.statement else { panic!("a query") };
    let SetExpr::Select(select) = &mut *inner.body else { panic!("a select") };
    let SelectItem::UnnamedExpr(expression) = &mut select.projection[0] else { panic!("an expression") };
    for _ in 0..10_000 {
        let inside = std::mem::replace(expression, Expr::value(Value::Null));
        *expression = Expr::Nested(Box::new(inside));
    }
    let error = shop.engine.query(query).await.err().unwrap();
    assert!(matches!(error, ReadError::Invalid { .. }), "{error:?}");
}

#[test]
fn the_longest_chains_that_are_let_through_are_answered_on_half_of_the_stack() {
    let run = || Builder::new_current_thread().enable_all().build().unwrap().block_on(the_longest_chains());
    std::thread::Builder::new().stack_size(STACK_BYTES / 2).spawn(run).unwrap().join().unwrap();
}

async fn the_longest_chains() {
    let shop = Shop::open().await;
    shop.publish(1, 50);
    shop.commit_all().await;
    for (operator, rows) in [("OR", 1), ("AND", 0)] {
        let chain: Vec<String> = (0..1_090).map(|at| format!("id = {}", 1_000_000 + at * 60)).collect();
        let sql = format!("SELECT id FROM flights WHERE {}", chain.join(&format!(" {operator} ")));
        assert_eq!(shop.answer(&sql).await.len(), rows, "{operator}");
    }
    let sum = vec!["fare"; 1_090].join(" + ");
    assert_eq!(shop.answer(&format!("SELECT {sum} FROM flights WHERE id = 1000002")).await, ["1090.0"]);
    let union = vec!["SELECT 1"; 250].join(" UNION ALL ");
    assert_eq!(shop.answer(&union).await.len(), 250);
}

#[tokio::test]
async fn a_query_beyond_the_memory_limit_is_an_error_that_says_so() {
    let limits = QueryLimits { memory: memory(64 << 10), spill_directory: None, spill_bytes: 0 };
    let shop = Shop::open_with(ReadSettings { limits, ..ReadSettings::default() }).await;
    shop.publish(1, 20_000);
    let sql = "SELECT count(*) FROM (SELECT id, max(origin) FROM flights GROUP BY id) s";
    let error = shop.rows_of(sql).await.unwrap_err();
    assert!(matches!(error, ReadError::Resources { .. }), "{error:?}");
    assert!(error.to_string().contains("needs more memory"), "{error}");
    assert_eq!(shop.workers.pins_held(), 0);
}

#[tokio::test]
async fn a_query_beyond_the_memory_limit_spills_where_it_may_and_as_much_as_it_may() {
    let directory = std::env::temp_dir().join(format!("millrace-read-spill-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let sql = "SELECT max(r) FROM (SELECT row_number() OVER (ORDER BY fare DESC, id, origin) AS r FROM flights) s";
    let shop = spilling(&directory, 1 << 30).await;
    assert_eq!(shop.number(sql).await, rows_among(200_000));
    let shop = spilling(&directory, 256 << 10).await;
    assert_eq!(shop.rows_of(sql).await.unwrap_err(), ReadError::SpillLimit);
    assert_eq!(shop.workers.pins_held(), 0);
    drop(shop);
    std::fs::remove_dir_all(&directory).unwrap();
}

/// 200,000 rows, and memory for a part of them.
async fn spilling(directory: &std::path::Path, spill_bytes: u64) -> Shop {
    let limits = QueryLimits { memory: memory(8 << 20), spill_directory: Some(directory.to_owned()), spill_bytes };
    let shop = Shop::open_with(ReadSettings { limits, partitions: 2, ..ReadSettings::default() }).await;
    // In batches as a worker's are: a piece of a batch counts with all of the batch's memory, so that one of 200,000 rows
    // would not fit by itself.
    for _ in 0..20 {
        shop.publish(1, 10_000);
    }
    shop
}

#[tokio::test]
async fn what_the_server_says_of_itself_is_seen_while_memory_is_spent() {
    let memory = memory(1 << 20);
    let limits = QueryLimits { memory: Arc::clone(&memory), spill_directory: None, spill_bytes: 0 };
    let shop = Shop::open_with(ReadSettings { limits, ..ReadSettings::default() }).await;
    shop.publish(1, 20);
    assert!(memory.try_take_for_query(1 << 20));
    let names: ArrayRef = Arc::new(StringArray::from(vec!["b", "a"]));
    let rows = RecordBatch::try_from_iter([("name", names)]).unwrap();
    let schema = Arc::new(MemorySchemaProvider::new());
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    schema.register_table("tasks".to_owned(), Arc::new(table)).unwrap();
    let mut query = shop.query("SELECT name FROM system.tasks ORDER BY name");
    query.schemas.insert("system".to_owned(), schema);
    let answer = shop.engine.query(query).await.unwrap();
    assert_eq!(answer.batches.map(|batch| batch.unwrap().num_rows()).collect::<Vec<_>>().await, [2]);
    let error = shop.rows_of("SELECT id FROM flights ORDER BY fare").await.unwrap_err();
    assert!(matches!(error, ReadError::Resources { .. }), "{error:?}");
}
