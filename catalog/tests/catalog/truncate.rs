//! TRUNCATE: what was visible is gone, what is under way is fenced, and streams go on where they stood. Tables without a name.

use std::collections::BTreeMap;

use millrace_catalog::store::CommitFault;
use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, new_table, node, on_every_store, range};

fn request(shop: &Shop, streams: &[(&Granted, u64)]) -> TruncateRequest {
    let stream = |(granted, next): &(&Granted, u64)| (granted.stream, (granted.owner.epoch, Offset(*next)));
    TruncateRequest { table: shop.table.id, streams: streams.iter().map(stream).collect() }
}

async fn truncate(shop: &Shop, streams: &[(&Granted, u64)]) -> TruncateOutcome {
    shop.catalog.truncate_table(&request(shop, streams)).await.unwrap()
}

/// A flush under the table's fence as it is now.
async fn flush(shop: &Shop, granted: &Granted, from: u64, to: u64) -> CommitRequest {
    let table_fence = shop.catalog.table_by_id(shop.table.id).await.unwrap().fence;
    CommitRequest { table_fence, ..shop.flush(0, &[(granted, range(from, to))]).await }
}

#[tokio::test]
async fn a_truncated_table_is_empty_and_its_streams_go_on_where_they_stood() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let first = flush(&shop, &a, 0, 5).await;
        shop.committed(&first).await;
        let held = shop.snapshot().await;
        let under_way = flush(&shop, &a, 5, 9).await;
        let TruncateOutcome::Truncated(Some(version)) = truncate(&shop, &[(&a, 5)]).await else { panic!("it moved") };
        assert_eq!((shop.snapshot().await.version, shop.seen().await), (version, (vec![5], 0)));
        assert_eq!(held.parts.len(), 1, "a snapshot that is held does not change");
        assert_eq!(shop.commit(&under_way).await, CommitOutcome::Fenced(Fenced::Table));
        shop.committed(&flush(&shop, &a, 5, 9).await).await;
        assert_eq!(shop.seen().await, (vec![9], 1));
        let reopened = shop.reopened().await.snapshot(shop.table.id).await.unwrap();
        assert_eq!(reopened.parts.len(), 1, "read anew, the log says the same");
        assert_eq!(reopened.streams[&a.stream].ledger.rows, held.streams[&a.stream].ledger.rows + 4, "I1");
    })
    .await;
}

#[tokio::test]
async fn a_grant_or_a_commit_that_came_between_is_told() {
    on_every_store(async |shop: Shop| {
        let (a, b) = (shop.stream(0).await, shop.stream(1).await);
        assert_eq!(truncate(&shop, &[(&a, 0)]).await, TruncateOutcome::Moved, "b was not looked at");
        shop.committed(&flush(&shop, &a, 0, 5).await).await;
        assert_eq!(truncate(&shop, &[(&a, 0), (&b, 0)]).await, TruncateOutcome::Moved);
        let newer = shop.regrant(b.stream, Some(b.owner.epoch)).await;
        assert_eq!(truncate(&shop, &[(&a, 5), (&b, 0)]).await, TruncateOutcome::Moved);
        assert_eq!(shop.seen().await.1, 1, "nothing was changed");
        assert!(matches!(truncate(&shop, &[(&a, 5), (&newer, 0)]).await, TruncateOutcome::Truncated(Some(_))));
    })
    .await;
}

#[tokio::test]
async fn i7_the_parts_of_before_are_garbage_and_those_of_after_are_not() {
    on_every_store(async |shop: Shop| {
        let a = shop.stream(0).await;
        let mut before = Vec::new();
        for n in 0..120 {
            let request = flush(&shop, &a, n, n + 1).await;
            before.push(request.parts[0].path.clone());
            shop.committed(&request).await;
        }
        truncate(&shop, &[(&a, 120)]).await;
        let after = flush(&shop, &a, 120, 121).await;
        shop.committed(&after).await;
        before.sort();
        let mut found = Vec::new();
        loop {
            let garbage = shop.catalog.garbage(1_000).await.unwrap();
            if garbage.is_empty() {
                break;
            }
            for path in garbage {
                shop.catalog.forget_garbage(&path).await.unwrap();
                found.push(path);
            }
        }
        found.sort();
        assert_eq!(found, before);
        // The next one takes only what came since.
        truncate(&shop, &[(&a, 121)]).await;
        assert_eq!(shop.catalog.garbage(1_000).await.unwrap(), [after.parts[0].path.clone()]);
    })
    .await;
}

#[tokio::test]
async fn i6_a_truncate_whose_outcome_was_unknown_happens_once() {
    let later = |begins| CommitFault::ApplyLater { begins };
    for fault in [CommitFault::FailBefore, CommitFault::FailAfter, later(Some(1)), later(None)] {
        let shop = in_memory().await;
        let a = shop.stream(0).await;
        shop.committed(&flush(&shop, &a, 0, 5).await).await;
        let before = shop.catalog.table_by_id(shop.table.id).await.unwrap().fence;
        shop.faults.script([fault]);
        assert!(matches!(truncate(&shop, &[(&a, 5)]).await, TruncateOutcome::Truncated(_)), "{fault:?}");
        shop.committed(&flush(&shop, &a, 5, 9).await).await;
        shop.faults.release().await;
        let after = shop.catalog.table_by_id(shop.table.id).await.unwrap().fence;
        assert_eq!((after.0 - before.0, shop.seen().await), (1, (vec![9], 1)), "{fault:?}");
    }
}

#[tokio::test]
async fn a_table_without_a_name_is_seen_by_nobody_until_it_has_it() {
    on_every_store(async |shop: Shop| {
        let table = shop.catalog.create_unnamed_table(new_table("copy"), &node("n1"), 7).await.unwrap();
        assert!(matches!(shop.catalog.table("default", "copy").await, Err(CatalogError::NotFound { .. })));
        assert_eq!(shop.catalog.tables("default").await.unwrap().len(), 1);
        assert_eq!(shop.catalog.unnamed_tables_of_dead(&node("n1"), 7).await, Ok(vec![]), "its process lives");
        assert_eq!(shop.catalog.unnamed_tables_of_dead(&node("n1"), 8).await, Ok(vec![table.id]));
        for _ in 0..2 {
            assert_eq!(shop.catalog.name_table(table.id).await.as_ref(), Ok(&table));
        }
        assert_eq!(shop.catalog.table("default", "copy").await.as_ref(), Ok(&table));
        shop.catalog.drop_unnamed_table(table.id).await.unwrap();
        assert_eq!(shop.catalog.table_by_id(table.id).await.as_ref(), Ok(&table), "one that has a name stays");
        assert_eq!(shop.catalog.unnamed_tables_of_dead(&node("n1"), 8).await, Ok(vec![]));
    })
    .await;
}

#[tokio::test]
async fn a_name_that_was_taken_meanwhile_is_not_given_twice() {
    on_every_store(async |shop: Shop| {
        let taken = shop.catalog.create_unnamed_table(new_table("clicks"), &node("n1"), 7).await;
        assert!(matches!(taken, Err(CatalogError::AlreadyExists { .. })), "{taken:?}");
        let late = shop.catalog.create_unnamed_table(new_table("copy"), &node("n1"), 7).await.unwrap();
        let first = shop.catalog.create_table(new_table("COPY"), false).await.unwrap();
        assert!(matches!(shop.catalog.name_table(late.id).await, Err(CatalogError::AlreadyExists { .. })));
        shop.catalog.drop_unnamed_table(late.id).await.unwrap();
        assert!(matches!(shop.catalog.table_by_id(late.id).await, Err(CatalogError::NotFound { .. })));
        assert_eq!(shop.catalog.table("default", "copy").await.as_ref(), Ok(&first), "the other keeps its name");
        let streams: BTreeMap<_, _> = BTreeMap::new();
        let gone = shop.catalog.truncate_table(&TruncateRequest { table: late.id, streams }).await;
        assert!(matches!(gone, Err(CatalogError::NotFound { .. })), "{gone:?}");
    })
    .await;
}
