//! The store for tests and simulations: everything in one process's memory, gone with it. Has no threads and never waits,
//! so that a run follows from its seed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use vfs::Clock;

use super::resolver::{Decision, Resolver};
use super::transaction::{Commits, OptimisticTransaction, PendingCommit, Snapshot};
use super::versions::VersionedMap;
use super::watches::Watches;
use super::{KeyRange, KvStore, KvTransaction, RangePage, Stamp, StoreError, WatchFuture};

/// A store in memory.
#[derive(Debug)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    watches: Watches,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct State {
    resolver: Resolver,
    map: VersionedMap,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    /// An empty store, whose transactions age by `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let state = Mutex::new(State { resolver: Resolver::new(0), map: VersionedMap::default() });
        Self { shared: Arc::new(Shared { state, watches: Watches::default(), clock }) }
    }
}

#[async_trait]
impl KvStore for MemoryStore {
    async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError> {
        let clock = Arc::clone(&self.shared.clock);
        let begun = clock.now();
        let version = {
            let mut state = self.shared.lock();
            let version = state.resolver.last();
            state.map.hold(version);
            version
        };
        let snapshot = MemorySnapshot { shared: Arc::clone(&self.shared), version };
        let commits = Arc::clone(&self.shared) as Arc<dyn Commits>;
        Ok(Box::new(OptimisticTransaction::new(snapshot, commits, clock, begun)))
    }

    fn name(&self) -> &'static str {
        "memory"
    }

    async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError> {
        Ok(self.shared.watches.watch(key))
    }
}

#[async_trait]
impl Commits for Shared {
    async fn submit(&self, pending: PendingCommit) -> Result<Stamp, StoreError> {
        let (stamp, written) = {
            let mut state = self.lock();
            let stamp = state.resolver.next_stamp();
            let written = pending.writes.conflict_ranges(stamp);
            match state.resolver.resolve(&pending.request(&written), self.clock.now()) {
                Decision::Conflict => return Err(StoreError::Conflict),
                Decision::TooOld => return Err(StoreError::TooOld),
                Decision::Commit(version) => state.map.apply(pending.writes.into_mutations(stamp), version),
            }
            (stamp, written)
        };
        self.watches.fire(&written);
        Ok(stamp)
    }
}

struct MemorySnapshot {
    shared: Arc<Shared>,
    version: u64,
}

impl Drop for MemorySnapshot {
    fn drop(&mut self) {
        self.shared.lock().map.release(self.version);
    }
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    fn version(&self) -> u64 {
        self.version
    }

    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.shared.lock().map.get(key, self.version))
    }

    async fn page(&self, range: &KeyRange, limit: usize, reverse: bool) -> Result<RangePage, StoreError> {
        Ok(self.shared.lock().map.page(range, limit, reverse, self.version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::check_all;

    #[tokio::test]
    async fn memory_keeps_the_contract() {
        check_all(async |clock| Arc::new(MemoryStore::new(clock)) as Arc<dyn KvStore>).await;
    }

    #[tokio::test]
    async fn a_dropped_transaction_lets_its_version_go() {
        let store = MemoryStore::new(Arc::new(vfs::SystemClock::new()));
        let idle = store.begin().await.unwrap();
        for n in 0..100_u8 {
            let mut writer = store.begin().await.unwrap();
            writer.set(b"k", &[n]);
            writer.commit().await.unwrap();
        }
        let histories = || store.shared.lock().map.versions();
        assert_eq!(histories(), 100, "an open transaction holds what it may still read");
        drop(idle);
        let mut writer = store.begin().await.unwrap();
        writer.set(b"k", b"last");
        writer.commit().await.unwrap();
        assert_eq!(histories(), 1);
    }
}
