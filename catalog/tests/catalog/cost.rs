//! The cost of a commit does not grow with the number of parts, tables or earlier commits.

use std::sync::Arc;

use millrace_catalog::store::MemoryStore;
use millrace_catalog::*;

use crate::counting::{Cost, CountingStore};
use crate::fixture::{Shop, new_table, range, world};

/// What one commit of one stream and one part costs after `commits` earlier ones.
async fn cost_after(shop: &Shop, store: &CountingStore, granted: &Granted, commits: u64) -> Cost {
    let from = shop.snapshot().await.streams[&granted.stream].committed.0;
    for n in from..commits {
        shop.committed(&shop.flush(0, &[(granted, range(n, n + 1))]).await).await;
    }
    // Every number in it has as many digits as in the others that are compared.
    let request = shop.flush(0, &[(granted, range(commits, commits + 1))]).await;
    store.take();
    shop.committed(&request).await;
    store.take()
}

#[tokio::test]
async fn the_cost_of_a_commit_does_not_grow() {
    let world = world();
    let store = Arc::new(CountingStore::new(Arc::new(MemoryStore::new(world.clock.clone()))));
    let shop = Shop::open(store.clone(), world).await;
    let granted = shop.stream(0).await;
    let early = cost_after(&shop, &store, &granted, 10).await;
    for n in 0..50 {
        shop.catalog.create_table(new_table(&format!("t{n}")), false).await.unwrap();
    }
    let late = cost_after(&shop, &store, &granted, 1_000).await;
    assert_eq!((late.keys_read, late.ranges_read, late.keys_written), (early.keys_read, 0, early.keys_written));
    // Offsets have two digits more, in some seven places.
    assert!(late.bytes_written <= early.bytes_written + 32, "{early:?} {late:?}");
    assert_eq!(early.keys_read, 7, "token, void, two fences, owner, offset, intent");
    assert_eq!(early.keys_written, 5, "intent, log, offset, token, head");
    assert!(late.bytes_written < 2_000, "{late:?}");
}
