//! Insert channels and labels: a process's own stream, and the retries that it knows again.

use millrace_catalog::store::CommitFault;
use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, node, on_every_store, range};

const LATER: CommitFault = CommitFault::ApplyLater { begins: None };

fn identity(number: u64) -> ChannelIdentity {
    ChannelIdentity { node: node("n1"), process: 77, number }
}

async fn open(shop: &Shop, number: u64) -> Channel {
    shop.catalog.open_channel(shop.table.id, &identity(number)).await.unwrap()
}

/// A commit of rows `from..to` of a channel, in one part whose intent is there.
async fn insert(shop: &Shop, channel: &Channel, from: u64, to: u64, labels: &[&str]) -> CommitRequest {
    let range = range(from, to);
    let stream = channel.stream;
    let rows = range.offsets();
    let part = shop.part(vec![PartStream { stream, range, rows }]);
    let ledger = Ledger { rows, ..Ledger::default() };
    let request = CommitRequest {
        token: CommitToken(u128::from(shop.fresh())),
        writer: WriterId::Channel(stream),
        table: shop.table.id,
        table_fence: shop.catalog.table_by_id(shop.table.id).await.unwrap().fence,
        pipeline: None,
        schema: shop.table.schema,
        streams: vec![StreamAdvance { stream, epoch: channel.epoch, range, ledger, gaps: vec![] }],
        parts: vec![part],
        labels: labels.iter().map(|label| CommitLabel { label: (*label).to_owned(), rows }).collect(),
    };
    shop.stage(&request).await;
    request
}

#[tokio::test]
async fn a_channel_is_opened_once_and_committed_to_like_any_stream() {
    on_every_store(async |shop: Shop| {
        let channel = open(&shop, 0).await;
        assert_eq!(open(&shop, 0).await, channel, "asked again, it is the same");
        assert_ne!(open(&shop, 1).await.stream, channel.stream);
        let version = shop.committed(&insert(&shop, &channel, 0, 5, &[]).await).await;
        let snapshot = shop.snapshot().await;
        let view = &snapshot.streams[&channel.stream];
        assert_eq!((snapshot.version, view.committed, snapshot.parts.len()), (version, Offset(5), 1));
        assert!(view.stream.is_channel() && view.ledger.rows == 5);
        assert!(shop.catalog.streams(shop.pipeline.id).await.unwrap().is_empty(), "it is no stream of the pipeline");
    })
    .await;
}

#[tokio::test]
async fn i2_nothing_is_committed_to_a_channel_once_it_is_closed() {
    on_every_store(async |shop: Shop| {
        for closer in [ChannelCloser::Itself, ChannelCloser::Another] {
            let channel = open(&shop, 3).await;
            shop.committed(&insert(&shop, &channel, 0, 5, &[]).await).await;
            let late = insert(&shop, &channel, 5, 6, &[]).await;
            for _ in 0..2 {
                shop.catalog.close_channel(shop.table.id, &channel.identity, closer).await.unwrap();
            }
            assert_eq!(shop.commit(&late).await, CommitOutcome::Fenced(Fenced::Streams(vec![channel.stream])));
            let snapshot = shop.snapshot().await;
            let view = &snapshot.streams[&channel.stream];
            assert_eq!((view.stream.state, view.owner.clone(), view.committed), (StreamState::Closed, None, Offset(5)));
        }
    })
    .await;
}

#[tokio::test]
async fn i6_a_process_that_was_held_for_dead_still_learns_how_its_commit_ended() {
    let shop = in_memory().await;
    let channel = open(&shop, 0).await;
    let request = insert(&shop, &channel, 0, 5, &[]).await;
    shop.faults.script([CommitFault::FailAfter]);
    assert!(matches!(shop.catalog.commit(&request).await, Err(CatalogError::MaybeCommitted { .. })));
    shop.catalog.close_channel(shop.table.id, &channel.identity, ChannelCloser::Another).await.unwrap();
    let settled = commit_settled(&shop.catalog, &shop.world, &request).await;
    assert!(matches!(settled, Ok(CommitOutcome::Committed(_))), "{settled:?}");
}

#[tokio::test]
async fn the_channels_of_dead_processes_are_found_as_long_as_they_are_open() {
    on_every_store(async |shop: Shop| {
        let channel = open(&shop, 0).await;
        let dead = async |process| shop.catalog.channels_of_dead(&node("n1"), process).await.unwrap();
        assert!(dead(77).await.is_empty(), "this process lives");
        assert_eq!(dead(78).await, [(shop.table.id, channel.identity.clone())]);
        assert!(shop.catalog.channels_of_dead(&node("n2"), 78).await.unwrap().is_empty(), "another server's");
        shop.catalog.close_channel(shop.table.id, &channel.identity, ChannelCloser::Another).await.unwrap();
        assert!(dead(78).await.is_empty());
    })
    .await;
}

#[tokio::test]
async fn opening_and_closing_a_channel_through_every_fault_ends_as_asked() {
    for fault in [CommitFault::FailBefore, CommitFault::FailAfter, LATER, CommitFault::ApplyLater { begins: Some(1) }] {
        let shop = in_memory().await;
        shop.faults.script([fault]);
        let channel = open(&shop, 0).await;
        shop.faults.release().await;
        shop.committed(&insert(&shop, &channel, 0, 5, &[]).await).await;
        shop.faults.script([fault]);
        shop.catalog.close_channel(shop.table.id, &channel.identity, ChannelCloser::Itself).await.unwrap();
        shop.faults.release().await;
        assert_eq!(shop.snapshot().await.streams.len(), 1, "{fault:?}: opened once, and shown for its part");
        let again = open(&shop, 0).await;
        assert_ne!(again.stream, channel.stream, "{fault:?}: what is closed is never opened again");
    }
}

#[tokio::test]
async fn a_label_is_committed_once_however_it_is_sent_again() {
    on_every_store(async |shop: Shop| {
        let (a, b) = (open(&shop, 0).await, open(&shop, 1).await);
        let first = insert(&shop, &a, 0, 5, &["load-1"]).await;
        let version = shop.committed(&first).await;
        assert_eq!(shop.commit(&first).await, CommitOutcome::Committed(version), "the same request: its token tells");
        let outcome = LabelOutcome { version, rows: 5 };
        assert_eq!(shop.catalog.label(shop.table.id, "load-1").await, Ok(Some(outcome)));
        assert_eq!(shop.catalog.label(shop.table.id, "load-2").await, Ok(None));
        // Another process, or this one after its death: what it shares the commit with is not committed either.
        let retry = insert(&shop, &b, 0, 7, &["load-1", "load-2"]).await;
        let known = Conflict::Labels(vec![("load-1".to_owned(), outcome)]);
        assert_eq!(shop.commit(&retry).await, CommitOutcome::Conflict(known));
        assert_eq!(shop.snapshot().await.streams[&b.stream].committed, Offset(0));
        shop.committed(&insert(&shop, &b, 0, 2, &["load-2"]).await).await;
    })
    .await;
}

#[tokio::test]
async fn i6_of_two_commits_with_one_label_one_happens_whatever_is_unknown_of_the_other() {
    for fault in [CommitFault::FailAfter, LATER, CommitFault::ApplyLater { begins: Some(1) }] {
        let shop = in_memory().await;
        let (a, b) = (open(&shop, 0).await, open(&shop, 1).await);
        let first = insert(&shop, &a, 0, 5, &["x"]).await;
        shop.faults.script([fault]);
        assert!(matches!(shop.catalog.commit(&first).await, Err(CatalogError::MaybeCommitted { .. })));
        // Its process dies; the client asks another.
        let retry = insert(&shop, &b, 0, 5, &["x"]).await;
        let second = commit_settled(&shop.catalog, &shop.world, &retry).await.unwrap();
        shop.faults.release().await;
        let snapshot = shop.snapshot().await;
        let committed = [&a, &b].map(|channel| snapshot.streams[&channel.stream].committed.0);
        assert_eq!(committed.iter().sum::<u64>(), 5, "{fault:?} {second:?}");
        let outcome = shop.catalog.label(shop.table.id, "x").await.unwrap().unwrap();
        assert_eq!((outcome.rows, snapshot.parts.len()), (5, 1), "{fault:?}");
    }
}

#[tokio::test]
async fn labels_are_forgotten_by_their_age_and_with_their_table() {
    on_every_store(async |shop: Shop| {
        let channel = open(&shop, 0).await;
        shop.committed(&insert(&shop, &channel, 0, 5, &["a", "b"]).await).await;
        let left = shop.world.clock.wall().0;
        assert_eq!(shop.catalog.forget_labels(left - 1).await, Ok(0), "younger than that");
        assert_eq!(shop.catalog.forget_labels(i64::MAX).await, Ok(2));
        assert_eq!(shop.catalog.forget_labels(i64::MAX).await, Ok(0));
        shop.committed(&insert(&shop, &channel, 5, 6, &["a"]).await).await;
        shop.catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        shop.catalog.drop_table("default", "clicks", false).await.unwrap();
        assert_eq!(shop.catalog.label(shop.table.id, "a").await, Ok(None));
        assert_eq!(shop.catalog.forget_labels(i64::MAX).await, Ok(1), "its age is left, and goes");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_table_takes_its_channels_along() {
    on_every_store(async |shop: Shop| {
        let channel = open(&shop, 0).await;
        let request = insert(&shop, &channel, 0, 5, &[]).await;
        shop.catalog.drop_pipeline("default", "clicks_in", false).await.unwrap();
        shop.catalog.drop_table("default", "clicks", false).await.unwrap();
        assert_eq!(shop.commit(&request).await, CommitOutcome::Fenced(Fenced::Table));
        let gone = shop.catalog.open_channel(shop.table.id, &identity(1)).await;
        assert!(matches!(gone, Err(CatalogError::NotFound { .. })), "{gone:?}");
        assert!(shop.catalog.channels_of_dead(&node("n1"), 0).await.unwrap().is_empty());
        shop.catalog.close_channel(shop.table.id, &channel.identity, ChannelCloser::Itself).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn i7_an_intent_that_was_renewed_is_not_claimed_by_who_saw_it_old() {
    let shop = in_memory().await;
    let channel = open(&shop, 0).await;
    let request = insert(&shop, &channel, 0, 5, &[]).await;
    let old = shop.catalog.intents().await.unwrap();
    shop.world.clock.sleep(std::time::Duration::from_secs(1)).await;
    shop.catalog.renew(&[request.parts[0].id, PartId(99)]).await.unwrap();
    let young = shop.catalog.intents().await.unwrap();
    assert!(young.len() == 1 && young[0].created > old[0].created, "one that is gone is not brought back");
    assert_eq!(shop.catalog.claim_intent(&old[0]).await, Ok(false));
    shop.committed(&request).await;
}
