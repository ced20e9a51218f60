//! A session never goes back (I5), and a stream without a reachable owner is waited for, then named.

use std::sync::Arc;
use std::time::Duration;

use catalog::{Epoch, StreamId};
use vfs::{Clock, Moment};

use super::super::errors::ReadError;
use super::super::session::{Freshness, SessionVector};
use super::super::snapshot::SnapshotError;
use super::super::testing::{Shop, gathered, lines, rows_among};

const COUNT: &str = "SELECT count(*) FROM Flights";

fn waited(shop: &Shop) -> Duration {
    shop.clock.now().since(Moment::default())
}

#[tokio::test]
async fn a_paused_pipeline_is_read_without_waiting() {
    let shop = Shop::open().await;
    shop.publish(1, 50);
    shop.commit_all().await;
    // It was drained and let go; the catalog still names the worker as the owner.
    shop.workers.memtable("w1").close(StreamId(1), Epoch(1));
    shop.workers.memtable("w1").close(StreamId(2), Epoch(1));
    shop.publish(3, 10);
    assert_eq!(shop.number(COUNT).await, rows_among(50) + rows_among(10));
    assert!(waited(&shop) < Duration::from_millis(10), "{:?}", waited(&shop));
}

#[tokio::test]
async fn rows_committed_while_their_stream_was_let_go_are_in_the_version_taken_after() {
    let shop = Arc::new(Shop::open().await);
    shop.publish(1, 50);
    let flushed = shop.flush("w1").await.unwrap();
    let other = Arc::clone(&shop);
    shop.workers.before_pin(move || {
        other.commit("w1", flushed);
        other.workers.memtable("w1").close(StreamId(1), Epoch(1));
    });
    assert_eq!(shop.number(COUNT).await, rows_among(50));
}

#[tokio::test]
async fn a_session_waits_for_the_next_owner_to_catch_up() {
    let shop = Arc::new(Shop::open().await);
    shop.publish(1, 50);
    assert_eq!(shop.number(COUNT).await, rows_among(50));
    // The worker loses the stream; the next one has fetched only a part of it again.
    shop.workers.memtable("w1").close(StreamId(1), Epoch(1));
    shop.grant(1, "w2", 2);
    shop.publish(1, 20);
    let fresh = Arc::new(SessionVector::new());
    let query = shop.query_with(COUNT, Freshness::Latest, &fresh);
    let answer = gathered(shop.engine.query(query).await.unwrap()).await.unwrap();
    assert_eq!(lines(&answer), vec![rows_among(20).to_string()], "another session has seen nothing");
    for _ in 0..3 {
        shop.catalog.before_snapshot(|| {});
    }
    let other = Arc::clone(&shop);
    shop.catalog.before_snapshot(move || other.publish(1, 40));
    assert_eq!(shop.number(COUNT).await, rows_among(60));
    assert!(waited(&shop) > Duration::ZERO);
}

#[tokio::test]
async fn a_session_that_would_go_back_gets_a_named_error_in_bounded_time() {
    let shop = Shop::open().await;
    shop.publish(1, 50);
    assert_eq!(shop.number(COUNT).await, rows_among(50));
    shop.workers.memtable("w1").close(StreamId(1), Epoch(1));
    let error = shop.rows_of(COUNT).await.unwrap_err();
    assert!(matches!(&error, ReadError::Snapshot(SnapshotError::Behind { seconds: 10, .. })), "{error}");
    let message = error.to_string();
    for words in ["stream 1 (topic flights, partition 0)", "up to offset 50", "only up to 0", "`Flights`"] {
        assert!(message.contains(words), "{message}");
    }
    let committed = shop.query_with(COUNT, Freshness::Committed, &shop.session);
    assert!(shop.engine.query(committed).await.is_ok(), "each freshness has its own vector");
}

#[tokio::test]
async fn a_stream_that_is_gone_is_not_waited_for() {
    let shop = Shop::open().await;
    shop.publish(1, 50);
    assert_eq!(shop.number(COUNT).await, rows_among(50));
    shop.catalog.forget(StreamId(1));
    assert_eq!(shop.number(COUNT).await, 0);
}

#[tokio::test]
async fn an_owner_that_does_not_answer_is_named_with_its_stream_and_a_way_out() {
    let shop = Shop::open().await;
    shop.publish(3, 50);
    shop.commit_all().await;
    shop.workers.set_reachable("w2", false);
    let error = shop.rows_of(COUNT).await.unwrap_err();
    let message = error.to_string();
    for words in
        ["stream 3 (topic flights, partition 2)", "at w2 does not answer", "waited 10 s", "SET freshness = 'committed'"]
    {
        assert!(message.contains(words), "{message}");
    }
    let query = shop.query_with(COUNT, Freshness::Committed, &shop.session);
    let answer = gathered(shop.engine.query(query).await.unwrap()).await.unwrap();
    assert_eq!(lines(&answer), vec![rows_among(50).to_string()]);
    assert_eq!(shop.workers.pins_held(), 0);
}

#[tokio::test]
async fn a_grant_that_moves_on_is_followed() {
    let shop = Arc::new(Shop::open().await);
    shop.publish(1, 50);
    let other = Arc::clone(&shop);
    shop.workers.before_pin(move || {
        other.workers.memtable("w1").close(StreamId(1), Epoch(1));
        let committed = other.catalog.grant(StreamId(1), "w2", Epoch(2));
        other.workers.take_up(StreamId(1), "w2", Epoch(2), committed);
        other.publish(1, 70);
    });
    assert_eq!(shop.number(COUNT).await, rows_among(70));
}

#[tokio::test]
async fn committed_freshness_leaves_the_memory_out_and_asks_no_worker() {
    let shop = Shop::open().await;
    shop.publish(1, 40);
    shop.commit_all().await;
    shop.publish(1, 40);
    for address in ["w1", "w2"] {
        shop.workers.set_reachable(address, false);
    }
    let query = shop.query_with(COUNT, Freshness::Committed, &shop.session);
    let answer = gathered(shop.engine.query(query).await.unwrap()).await.unwrap();
    assert_eq!(lines(&answer), vec![rows_among(40).to_string()]);
}
