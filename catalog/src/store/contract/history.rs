//! Random transactions at once, written down as they went, for the checker to judge.

use bytes::Bytes;
use futures::future::join_all;
use vfs::{Random, SeededRandom};

use super::begin;
use super::checker::{Observed, Step, judge};
use crate::store::{KeyRange, KvStore, KvTransaction, RangeOptions, Read, Stamp, StoreError, VersionstampedValue};

const WORKERS: u64 = 8;
const TRANSACTIONS: usize = 60;
const KEYS: u64 = 10;

/// Runs one random history on an empty store and judges it; the error says what was wrong.
///
/// # Panics
/// If the store fails otherwise than by a conflict.
pub async fn check_history(store: &dyn KvStore, seed: u64) -> Result<(), String> {
    let history = history(store, seed, false).await;
    let committed = history.iter().filter(|observed| observed.outcome.is_ok()).count();
    let conflicts = history.iter().filter(|observed| observed.outcome == Err(StoreError::Conflict)).count();
    assert_eq!(committed + conflicts, history.len(), "a transaction failed otherwise than by a conflict");
    assert!(
        committed > history.len() / 10 && conflicts > 0,
        "a history without both shows nothing: {committed} committed"
    );
    judge(&history)
}

/// Lets random transactions run. `marked`: each that writes also leaves its stamp under a key of its own, [`marker`].
pub(super) async fn history(store: &dyn KvStore, seed: u64, marked: bool) -> Vec<Observed> {
    let answered = std::sync::Mutex::new(Stamp::default());
    let worker = async |number: u64| {
        let random = SeededRandom::new(seed * WORKERS + number);
        let mut observed = Vec::new();
        for n in 0..TRANSACTIONS {
            let mark = marked.then(|| marker(number * TRANSACTIONS as u64 + n as u64));
            let answered_before = *answered.lock().expect("no worker panicked");
            let transaction = run(store, &random, answered_before, mark).await;
            if let Ok(stamp) = transaction.outcome {
                let mut highest = answered.lock().expect("no worker panicked");
                *highest = stamp.max(*highest);
            }
            observed.push(transaction);
        }
        observed
    };
    join_all((0..WORKERS).map(worker)).await.into_iter().flatten().collect()
}

/// Where transaction `number` leaves its stamp: beside all that random transactions read.
pub(super) fn marker(number: u64) -> Bytes {
    Bytes::from(format!("marker/{number:08}"))
}

async fn run(store: &dyn KvStore, random: &SeededRandom, answered_before: Stamp, mark: Option<Bytes>) -> Observed {
    let mut transaction = begin(store).await;
    let mut steps = Vec::new();
    let read_only = below(random, 5) == 0;
    for _ in 0..=below(random, 6) {
        steps.push(step(transaction.as_mut(), random, read_only).await);
        for _ in 0..below(random, 3) {
            tokio::task::yield_now().await;
        }
    }
    if !read_only && below(random, 3) == 0 {
        // Last, because what holds a stamp cannot be read before the commit.
        steps.push(stamped(transaction.as_mut(), random));
    }
    if let Some(key) = mark.filter(|_| !read_only) {
        transaction.set_versionstamped_value(&key, VersionstampedValue::default());
        steps.push(Step::StampedValue(key, Bytes::new()));
    }
    Observed { answered_before, steps, outcome: transaction.commit().await }
}

async fn step(transaction: &mut dyn KvTransaction, random: &SeededRandom, read_only: bool) -> Step {
    let read = if below(random, 4) == 0 { Read::Snapshot } else { Read::Serializable };
    let key = random_key(random);
    match below(random, if read_only { 5 } else { 10 }) {
        0..=2 => {
            let value = transaction.get(&key, read).await.expect("a key is read");
            Step::Get(key, read, value)
        }
        3..=4 => {
            let limit = usize::try_from(below(random, 5) + 1).expect("a small number");
            let options = RangeOptions { limit, reverse: below(random, 2) == 0, read };
            let range = random_range(random);
            let page = transaction.range(range.clone(), options).await.expect("a range is read");
            Step::Range(range, options, page)
        }
        5..=6 => {
            let value = Bytes::copy_from_slice(&random.next_u64().to_le_bytes());
            transaction.set(&key, &value);
            Step::Set(key, value)
        }
        7 => {
            transaction.clear(&key);
            Step::Clear(key)
        }
        8 => {
            let range = random_range(random);
            transaction.clear_range(range.clone());
            Step::ClearRange(range)
        }
        _ => {
            transaction.add(&key, 3);
            Step::Add(key, 3)
        }
    }
}

fn stamped(transaction: &mut dyn KvTransaction, random: &SeededRandom) -> Step {
    let key = random_key(random);
    let tail = Bytes::copy_from_slice(&random.next_u64().to_be_bytes());
    if below(random, 2) == 0 {
        transaction.set_versionstamped_key(&key, &tail, b"");
        Step::StampedKey(key, tail)
    } else {
        transaction.set_versionstamped_value(&key, VersionstampedValue { before: Bytes::new(), after: tail.clone() });
        Step::StampedValue(key, tail)
    }
}

fn below(random: &SeededRandom, limit: u64) -> u64 {
    random.next_u64() % limit
}

fn random_key(random: &SeededRandom) -> Bytes {
    Bytes::from(format!("h/{}", below(random, KEYS)))
}

fn random_range(random: &SeededRandom) -> KeyRange {
    let (a, b) = (random_key(random), random_key(random));
    // Never empty: whether the clear of an empty range counts as a write is left to the store.
    KeyRange { start: a.clone().min(b.clone()), end: [a.max(b).as_ref(), b"\0"].concat().into() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::store::contract::ManualClock;
    use crate::store::{MemoryStore, RangePage, WatchFuture};

    /// Which rule a store breaks.
    #[derive(Clone, Copy, Debug)]
    enum Breach {
        /// Nothing that was read ever conflicts, so transactions lose updates and skew.
        ReadsDoNotConflict,
        /// Ranges do not conflict, so phantoms appear.
        RangesDoNotConflict,
        /// Each read sees the newest version.
        ReadsAreTorn,
    }

    #[derive(Debug)]
    struct Broken(Arc<MemoryStore>, Breach);

    struct BrokenTransaction(Box<dyn KvTransaction>, Arc<MemoryStore>, Breach);

    #[async_trait]
    impl KvStore for Broken {
        async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError> {
            Ok(Box::new(BrokenTransaction(self.0.begin().await?, Arc::clone(&self.0), self.1)))
        }
        fn name(&self) -> &'static str {
            "broken"
        }
        async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError> {
            self.0.watch(key).await
        }
    }

    #[async_trait]
    impl KvTransaction for BrokenTransaction {
        async fn get(&mut self, key: &[u8], read: Read) -> Result<Option<Bytes>, StoreError> {
            match self.2 {
                Breach::ReadsDoNotConflict => self.0.get(key, Read::Snapshot).await,
                Breach::RangesDoNotConflict => self.0.get(key, read).await,
                Breach::ReadsAreTorn => self.1.begin().await?.get(key, read).await,
            }
        }
        async fn range(&mut self, range: KeyRange, options: RangeOptions) -> Result<RangePage, StoreError> {
            let read = if matches!(self.2, Breach::ReadsAreTorn) { options.read } else { Read::Snapshot };
            self.0.range(range, RangeOptions { read, ..options }).await
        }
        fn set(&mut self, key: &[u8], value: &[u8]) {
            self.0.set(key, value);
        }
        fn clear(&mut self, key: &[u8]) {
            self.0.clear(key);
        }
        fn clear_range(&mut self, range: KeyRange) {
            self.0.clear_range(range);
        }
        fn add(&mut self, key: &[u8], delta: i64) {
            self.0.add(key, delta);
        }
        fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
            self.0.set_versionstamped_key(prefix, suffix, value);
        }
        fn set_versionstamped_value(&mut self, key: &[u8], value: VersionstampedValue) {
            self.0.set_versionstamped_value(key, value);
        }
        fn add_read_conflict(&mut self, range: KeyRange) {
            self.0.add_read_conflict(range);
        }
        fn add_write_conflict(&mut self, range: KeyRange) {
            self.0.add_write_conflict(range);
        }
        async fn commit(self: Box<Self>) -> Result<Stamp, StoreError> {
            self.0.commit().await
        }
    }

    #[tokio::test]
    async fn the_checker_finds_a_store_that_is_not_serialisable() {
        for breach in [Breach::RangesDoNotConflict, Breach::ReadsAreTorn, Breach::ReadsDoNotConflict] {
            let store = Broken(Arc::new(MemoryStore::new(Arc::new(ManualClock::default()))), breach);
            let observed = history(&store, 1, false).await;
            assert!(judge(&observed).is_err(), "{breach:?} went unnoticed");
        }
    }
}
