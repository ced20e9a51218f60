//! Every row is counted once, in each scan of a query, while flushes, commits and moves go on (I1, I3, I4).

use std::sync::Arc;

use super::super::testing::{Shop, rows_among};

/// What a query must see of each stream: a prefix, whole.
const PREFIXES: &str = "SELECT _stream, count(*), max(_offset), sum(id) FROM Flights GROUP BY _stream ORDER BY _stream";

fn expected(stream: u64, offsets: u64) -> String {
    let rows = (0..offsets).filter(|offset| !super::super::testing::is_error(*offset));
    let last = rows.clone().next_back().unwrap();
    let sum: i64 = rows.map(|offset| super::super::testing::id(stream, offset)).sum();
    format!("{stream}|{}|{last}|{sum}", rows_among(offsets))
}

#[tokio::test]
async fn rows_are_counted_once_before_and_after_each_step_of_a_commit() {
    let shop = Shop::open().await;
    assert_eq!(shop.answer(PREFIXES).await, Vec::<String>::new());
    let mut offsets = [0; 3];
    for round in 1..=3 {
        for (stream, more) in [(1, 25), (2, 7), (3, 40)] {
            shop.publish(stream, more);
            offsets[stream as usize - 1] += more;
        }
        let all: Vec<String> = (1..=3).map(|stream| expected(stream, offsets[stream as usize - 1])).collect();
        assert_eq!(shop.answer(PREFIXES).await, all, "round {round}: logged");
        let flushed = shop.flush("w1").await.unwrap();
        assert_eq!(shop.answer(PREFIXES).await, all, "round {round}: parts durable");
        shop.commit_in_catalog(&flushed);
        assert_eq!(shop.answer(PREFIXES).await, all, "round {round}: committed, and the worker has not heard of it");
        shop.workers.memtable("w1").committed(&flushed.0, vfs::Moment::default());
        assert_eq!(shop.answer(PREFIXES).await, all, "round {round}: committed");
        shop.retire("w1");
        assert_eq!(shop.answer(PREFIXES).await, all, "round {round}: retired");
    }
    assert_eq!(shop.workers.pins_held(), 0);
}

#[tokio::test]
async fn a_query_that_planned_before_a_commit_reads_from_memory_what_the_commit_has_moved() {
    let shop = Arc::new(Shop::open().await);
    shop.publish(1, 50);
    let flushed = shop.flush("w1").await.unwrap();
    let other = Arc::clone(&shop);
    // The version is taken before the commit, the pin after it.
    shop.workers.before_pin(move || other.commit("w1", flushed));
    assert_eq!(shop.number("SELECT count(*) FROM Flights").await, rows_among(50));
    assert_eq!(shop.catalog.snapshots(), 1);
}

#[tokio::test]
async fn a_query_whose_rows_have_left_the_memory_is_planned_again() {
    let shop = Arc::new(Shop::open().await);
    shop.publish(1, 50);
    let flushed = shop.flush("w1").await.unwrap();
    let other = Arc::clone(&shop);
    shop.workers.before_pin(move || {
        other.commit("w1", flushed);
        other.retire("w1");
    });
    assert_eq!(shop.number("SELECT count(*) FROM Flights").await, rows_among(50));
    assert_eq!(shop.catalog.snapshots(), 2);
}

#[tokio::test]
async fn a_self_join_sees_one_snapshot() {
    let shop = Arc::new(Shop::open().await);
    shop.publish(1, 30);
    let other = Arc::clone(&shop);
    shop.workers.before_scan(|| {});
    // More rows arrive, and all is committed and retired, between the two scans.
    shop.workers.before_scan(move || other.publish(1, 30));
    let sql = "SELECT count(*), count(b.id), count(a.id) FROM Flights a FULL JOIN Flights b ON a.id = b.id";
    let rows = rows_among(30);
    assert_eq!(shop.answer(sql).await, vec![format!("{rows}|{rows}|{rows}")]);
    assert_eq!(shop.catalog.snapshots(), 1);
    let sql = "SELECT (SELECT count(*) FROM Flights) a, (SELECT count(*) FROM Flights$errors) b, (SELECT max(_offset) FROM Flights) c";
    assert_eq!(shop.answer(sql).await, vec!["54|6|58".to_owned()]);
    assert_eq!(shop.catalog.snapshots(), 2);
}

#[tokio::test]
async fn rows_lost_before_the_first_one_is_sent_are_read_at_a_newer_version() {
    let shop = Arc::new(Shop::open().await);
    shop.publish(1, 50);
    let other = Arc::clone(&shop);
    shop.workers.before_scan(move || other.workers.release_all());
    assert_eq!(shop.number("SELECT count(*) FROM Flights").await, rows_among(50));
    assert_eq!(shop.catalog.snapshots(), 2);
    assert_eq!(shop.workers.pins_held(), 0);
}

#[tokio::test]
async fn pins_end_with_the_last_row_or_with_the_answer() {
    let shop = Shop::open().await;
    shop.publish(1, 50);
    let answer = shop.engine.query(shop.query("SELECT * FROM Flights")).await.unwrap();
    assert_eq!(shop.workers.pins_held(), 2);
    drop(answer);
    assert_eq!(shop.workers.pins_held(), 0);
}

#[tokio::test]
async fn error_rows_are_read_under_the_same_vector() {
    let shop = Shop::open().await;
    shop.publish(1, 40);
    shop.commit_all().await;
    shop.publish(1, 20);
    let sql = "SELECT count(*), min(_offset), max(_offset), max(reason) FROM `flights$errors`";
    assert_eq!(shop.answer(sql).await, vec!["6|9|59|malformed".to_owned()]);
    let all = shop.rows_of("SELECT * FROM flights$errors WHERE _offset = 59").await.unwrap();
    assert_eq!((all.num_rows(), all.num_columns()), (1, 9));
}
