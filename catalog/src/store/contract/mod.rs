//! What every store must do, as checks that a store's tests call. Knows the seam alone, no store.

mod checker;
mod clock;
mod conflicts;
mod history;
mod limits;
mod order;
mod scans;
mod unknown;
mod watches;
mod writes;

use std::sync::Arc;

use bytes::Bytes;
use vfs::Clock;

use super::{KvStore, KvTransaction, Read, Stamp, StoreError};

pub use clock::ManualClock;
pub use history::check_history;

/// Runs every check, each on a fresh, empty store that `make` makes, whose transactions must age by the clock given.
///
/// # Panics
/// If the store breaks a rule.
pub async fn check_all(make: impl AsyncFn(Arc<dyn Clock>) -> Arc<dyn KvStore>) {
    let store = async || make(Arc::new(ManualClock::default())).await;
    conflicts::check(store().await.as_ref()).await;
    writes::check(store().await.as_ref()).await;
    order::check(store().await.as_ref()).await;
    watches::check(store().await.as_ref()).await;
    limits::check_sizes(store().await.as_ref()).await;
    let clock = Arc::new(ManualClock::default());
    limits::check_age(make(clock.clone()).await.as_ref(), &clock).await;
    scans::check_pages(store().await.as_ref()).await;
    scans::check_long_keys(store().await.as_ref()).await;
    scans::check_many_keys(store().await.as_ref()).await;
    for seed in 0..8 {
        if let Err(broken) = check_history(store().await.as_ref(), seed).await {
            panic!("seed {seed}: {broken}");
        }
    }
    for seed in 0..4 {
        if let Err(broken) = unknown::check_history(store().await, seed).await {
            panic!("unknown outcomes, seed {seed}: {broken}");
        }
    }
}

async fn begin(store: &dyn KvStore) -> Box<dyn KvTransaction> {
    store.begin().await.expect("a transaction begins")
}

async fn get(transaction: &mut dyn KvTransaction, key: &[u8]) -> Option<Bytes> {
    transaction.get(key, Read::Serializable).await.expect("a key is read")
}

async fn value(store: &dyn KvStore, key: &[u8]) -> Option<Bytes> {
    get(begin(store).await.as_mut(), key).await
}

async fn put(store: &dyn KvStore, key: &[u8], value: &[u8]) -> Stamp {
    let mut transaction = begin(store).await;
    transaction.set(key, value);
    committed(transaction).await
}

async fn committed(transaction: Box<dyn KvTransaction>) -> Stamp {
    transaction.commit().await.expect("the transaction commits")
}

async fn conflicts(transaction: Box<dyn KvTransaction>, rule: &str) {
    assert_eq!(transaction.commit().await, Err(StoreError::Conflict), "must conflict: {rule}");
}

async fn commits(transaction: Box<dyn KvTransaction>, rule: &str) {
    if let Err(error) = transaction.commit().await {
        panic!("must commit: {rule}: {error}");
    }
}
