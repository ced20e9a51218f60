//! Snapshots while commits go on.

use std::sync::Arc;

use millrace_catalog::store::{KeyRange, KvStore, KvTransaction, MemoryStore, Read, scan};
use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, on_every_store, range, world};

#[tokio::test]
async fn a_snapshot_that_is_held_stays_as_it_was() {
    let shop = in_memory().await;
    let granted = shop.stream(0).await;
    let before = shop.snapshot().await;
    shop.committed(&shop.flush(0, &[(&granted, range(0, 9))]).await).await;
    let after = shop.snapshot().await;
    assert_eq!((before.parts.len(), before.streams[&granted.stream].committed), (0, Offset(0)));
    assert_eq!((after.parts.len(), after.streams[&granted.stream].committed), (1, Offset(9)));
    assert!(after.version > before.version);
    let again = shop.snapshot().await;
    assert!(
        Arc::ptr_eq(&after.parts, &again.parts) && Arc::ptr_eq(&after.streams, &again.streams),
        "nothing is copied"
    );
}

#[tokio::test]
async fn a_fold_record_by_record_is_the_fold_at_once() {
    on_every_store(async |shop: Shop| {
        let mut granted = shop.stream(0).await;
        for n in 0..30 {
            shop.committed(&shop.flush(0, &[(&granted, range(n, n + 1))]).await).await;
            if n % 7 == 0 {
                granted = shop.regrant(granted.stream, Some(granted.owner.epoch)).await;
            }
            shop.snapshot().await;
        }
        let (bit_by_bit, at_once) =
            (shop.snapshot().await, shop.reopened().await.snapshot(shop.table.id).await.unwrap());
        assert_eq!((bit_by_bit.version, bit_by_bit.parts), (at_once.version, at_once.parts));
        assert_eq!(bit_by_bit.streams, at_once.streams);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_readers_see_prefixes_of_each_stream_while_commits_go_on() {
    let shop = Arc::new(in_memory().await);
    let granted = shop.stream(0).await;
    let stream = granted.stream;
    let writer = tokio::spawn({
        let shop = shop.clone();
        async move {
            for n in 0..200 {
                shop.committed(&shop.flush(0, &[(&granted, range(n, n + 1))]).await).await;
            }
        }
    });
    let mut last = Version::ZERO;
    while !writer.is_finished() {
        let snapshot = shop.snapshot().await;
        let committed = snapshot.streams[&stream].committed.0;
        assert_eq!(snapshot.parts.len() as u64, committed, "parts and offsets of one commit are seen together (I4)");
        assert!(snapshot.version >= last);
        last = snapshot.version;
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
    assert_eq!(shop.seen().await, (vec![200], 200));
}

#[tokio::test]
async fn a_watch_wakes_for_a_commit_after_it_was_made() {
    on_every_store(async |shop: Shop| {
        let granted = shop.stream(0).await;
        let watch = shop.catalog.watch(shop.table.id).await.unwrap();
        let request = shop.flush(0, &[(&granted, range(0, 9))]).await;
        let (_, version) = tokio::join!(watch.changed(), shop.committed(&request));
        assert_eq!(shop.snapshot().await.version, version);
    })
    .await;
}

#[tokio::test]
async fn commits_are_listed_newest_first_and_only_as_many_as_asked_for() {
    on_every_store(async |shop: Shop| {
        let mut granted = shop.stream(0).await;
        let mut versions = Vec::new();
        for n in 0..12 {
            versions.insert(0, shop.committed(&shop.flush(0, &[(&granted, range(n, n + 1))]).await).await);
            granted = shop.regrant(granted.stream, Some(granted.owner.epoch)).await;
        }
        for limit in [0, 1, 5, 12, 100] {
            let listed = shop.catalog.commits(shop.table.id, limit).await.unwrap();
            let listed: Vec<Version> = listed.iter().map(|commit| commit.version).collect();
            assert_eq!(listed, versions[..limit.min(12)]);
        }
    })
    .await;
}

/// Does something to the newest record of the log that no catalog does.
async fn tamper(shop: &Shop, with: impl Fn(&mut dyn KvTransaction, &[u8])) {
    let mut transaction = shop.faults.begin().await.unwrap();
    let log = scan(transaction.as_mut(), KeyRange::prefix(b"log/"), Read::Serializable).await.unwrap();
    let (newest, _) = log.last().unwrap();
    with(transaction.as_mut(), newest);
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_damaged_log_is_named_and_never_passed_over() {
    on_every_store(async |shop: Shop| {
        let granted = shop.stream(0).await;
        shop.committed(&shop.flush(0, &[(&granted, range(0, 9))]).await).await;
        tamper(&shop, |transaction, key| transaction.set(key, b"\x01{\"Commit\":")).await;
        let error = shop.snapshot_error().await;
        assert!(matches!(&error, CatalogError::Damaged { key, .. } if key.starts_with("log/")), "{error}");
        tamper(&shop, |transaction, key| transaction.set(key, b"\x09{}")).await;
        let error = shop.snapshot_error().await;
        assert!(matches!(error, CatalogError::UnsupportedFormat { found: 9, newest: 1, .. }), "{error}");
        tamper(&shop, |transaction, key| transaction.clear(key)).await;
        let error = shop.snapshot_error().await;
        assert!(matches!(&error, CatalogError::Damaged { key, .. } if key.starts_with("head/")), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_catalog_of_a_newer_program_is_not_opened() {
    let world = world();
    let store = MemoryStore::new(world.clock.clone());
    let mut transaction = store.begin().await.unwrap();
    transaction.set(b"format", b"\x02{}");
    transaction.commit().await.unwrap();
    let error = Catalog::open(Arc::new(store), world).await.unwrap_err();
    assert_eq!(error, CatalogError::UnsupportedFormat { key: "format".into(), found: 2, newest: 1 });
}
