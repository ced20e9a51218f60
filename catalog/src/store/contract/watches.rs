//! A watch may wake for nothing, and never sleeps through a change.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join;

use super::{begin, committed, put, value};
use crate::store::{KeyRange, KvStore, KvTransaction, VersionstampedValue, WatchFuture};

/// How long a missed change is waited for before the check gives up.
const HANG: Duration = Duration::from_secs(60);

pub(super) async fn check(store: &dyn KvStore) {
    every_kind_of_write(store).await;
    watch_read_wait(store).await;
}

async fn every_kind_of_write(store: &dyn KvStore) {
    type Write = fn(&mut dyn KvTransaction);
    let kinds: [(&str, Write); 5] = [
        ("set", |writer| writer.set(b"watch/k", b"v")),
        ("clear", |writer| writer.clear(b"watch/k")),
        ("add", |writer| writer.add(b"watch/k", 1)),
        ("clear_range", |writer| writer.clear_range(KeyRange::prefix(b"watch/"))),
        ("versionstamped value", |writer| {
            writer.set_versionstamped_value(b"watch/k", VersionstampedValue::default());
        }),
    ];
    for (kind, write) in kinds {
        let before = value(store, b"watch/k").await;
        let (first, second) = (watch(store).await, watch(store).await);
        let mut writer = begin(store).await;
        write(writer.as_mut());
        committed(writer).await;
        changed(first, kind).await;
        changed(second, kind).await;
        assert_ne!(value(store, b"watch/k").await, before, "{kind}: the change is seen once the watch wakes");
    }
}

/// The way a watch is meant to be used: one who watches, reads and waits sees a counter reach its end, whatever the timing.
async fn watch_read_wait(store: &dyn KvStore) {
    const END: u8 = 100;
    put(store, b"watch/k", &[0]).await;
    let writer = async {
        for n in 1..=END {
            put(store, b"watch/k", &[n]).await;
            for _ in 0..n % 4 {
                tokio::task::yield_now().await;
            }
        }
    };
    let watcher = async {
        loop {
            let watching = watch(store).await;
            if value(store, b"watch/k").await == Some(Bytes::copy_from_slice(&[END])) {
                break;
            }
            changed(watching, "watch, read, wait").await;
        }
    };
    join(watcher, writer).await;
}

async fn watch(store: &dyn KvStore) -> WatchFuture {
    store.watch(b"watch/k").await.expect("a key is watched")
}

async fn changed(watching: WatchFuture, rule: &str) {
    assert!(tokio::time::timeout(HANG, watching).await.is_ok(), "a watch slept through a change: {rule}");
}
