//! Random transactions at once, written down as they went, and judged by a checker that knows nothing of any store.
//!
//! The checker executes the committed transactions one by one in the order of their stamps on a plain map, and demands
//! 1. that each committed transaction read exactly what stands there at its place (strict serialisability);
//! 2. that every transaction, also one that failed, read one version of the store, not older than what had been answered
//!    before it began;
//! 3. that a stamp is higher than all that were answered before its transaction began.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::future::join_all;
use vfs::{Random, SeededRandom};

use super::begin;
use crate::store::{
    KeyRange, KvStore, KvTransaction, RangeOptions, RangePage, Read, Stamp, StoreError, VersionstampedValue,
};

const WORKERS: u64 = 8;
const TRANSACTIONS: usize = 60;
const KEYS: u64 = 10;

type Model = BTreeMap<Bytes, Bytes>;

/// One thing that a transaction did, and what it was answered.
#[derive(Clone, Debug)]
enum Step {
    Get(Bytes, Read, Option<Bytes>),
    Range(KeyRange, RangeOptions, RangePage),
    Set(Bytes, Bytes),
    Clear(Bytes),
    ClearRange(KeyRange),
    Add(Bytes, i64),
    StampedKey(Bytes, Bytes),
    StampedValue(Bytes, Bytes),
}

/// One transaction as it went.
#[derive(Debug)]
struct Observed {
    /// The highest stamp that had been answered to anybody before it began.
    answered_before: Stamp,
    steps: Vec<Step>,
    outcome: Result<Stamp, StoreError>,
}

impl Observed {
    fn writes(&self) -> bool {
        !self.steps.iter().all(|step| matches!(step, Step::Get(..) | Step::Range(..)))
    }
}

/// Runs one random history on an empty store and judges it; the error says what was wrong.
///
/// # Panics
/// If the store fails otherwise than by a conflict.
pub async fn check_history(store: &dyn KvStore, seed: u64) -> Result<(), String> {
    let history = history(store, seed).await;
    let committed = history.iter().filter(|observed| observed.outcome.is_ok()).count();
    let conflicts = history.iter().filter(|observed| observed.outcome == Err(StoreError::Conflict)).count();
    assert_eq!(committed + conflicts, history.len(), "a transaction failed otherwise than by a conflict");
    assert!(committed > history.len() / 10 && conflicts > 0, "a history without both shows nothing: {committed} committed");
    judge(&history)
}

async fn history(store: &dyn KvStore, seed: u64) -> Vec<Observed> {
    let answered = std::sync::Mutex::new(Stamp::default());
    let worker = async |number: u64| {
        let random = SeededRandom::new(seed * WORKERS + number);
        let mut observed = Vec::new();
        for _ in 0..TRANSACTIONS {
            let answered_before = *answered.lock().expect("no worker panicked");
            let transaction = run(store, &random, answered_before).await;
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

async fn run(store: &dyn KvStore, random: &SeededRandom, answered_before: Stamp) -> Observed {
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

fn judge(history: &[Observed]) -> Result<(), String> {
    let mut committed: Vec<(Stamp, &Observed)> = Vec::new();
    for observed in history {
        if let Ok(stamp) = observed.outcome {
            let late_enough = stamp > observed.answered_before || (!observed.writes() && stamp == observed.answered_before);
            if !late_enough {
                return Err(format!("the stamp {stamp} is not above one answered before its begin: {observed:?}"));
            }
            committed.push((stamp, observed));
        }
    }
    committed.sort_by_key(|(stamp, observed)| (*stamp, !observed.writes()));
    let mut states = vec![(Stamp::default(), Model::new())];
    for (stamp, observed) in committed {
        let (last, state) = states.last().expect("the empty store is the first state");
        if observed.writes() && stamp == *last {
            return Err(format!("two commits have the stamp {stamp}"));
        }
        // A transaction that wrote nothing has the stamp of its version, so all that it read must stand there; of another's
        // reads, those that can conflict must still stand where it committed.
        let after = replay(&observed.steps, state, stamp, !observed.writes())
            .map_err(|broken| format!("not serialisable at {stamp}: {broken} in {observed:?}"))?;
        if observed.writes() {
            states.push((stamp, after));
        }
    }
    for observed in history {
        let recent = states.partition_point(|(stamp, _)| *stamp <= observed.answered_before).saturating_sub(1);
        let mut candidates = states[recent..].iter();
        if !candidates.any(|(_, state)| replay(&observed.steps, state, Stamp::default(), true).is_ok()) {
            return Err(format!("did not read one recent version: {observed:?}"));
        }
    }
    Ok(())
}

/// Executes `steps` on `state`; answers the state after them, or which read was answered something else.
fn replay(steps: &[Step], state: &Model, stamp: Stamp, with_snapshot_reads: bool) -> Result<Model, String> {
    let mut state = state.clone();
    let counts = |read: Read| with_snapshot_reads || read == Read::Serializable;
    for step in steps {
        match step {
            Step::Get(key, read, seen) if counts(*read) && state.get(key) != seen.as_ref() => {
                return Err(format!("{key:?} is {:?}, and was read as {seen:?}", state.get(key)));
            }
            Step::Range(range, options, seen) if counts(options.read) && !shows(seen, &page(&state, range, *options)) => {
                return Err(format!("{range:?} holds {:?}, and was read as {seen:?}", page(&state, range, *options)));
            }
            Step::Get(..) | Step::Range(..) => {}
            Step::Set(key, value) => drop(state.insert(key.clone(), value.clone())),
            Step::Clear(key) => drop(state.remove(key)),
            Step::ClearRange(range) => state.retain(|key, _| !range.contains(key)),
            Step::Add(key, delta) => {
                let mut number = [0; 8];
                let value = state.get(key).cloned().unwrap_or_default();
                value.iter().zip(&mut number).for_each(|(byte, place)| *place = *byte);
                let sum = i64::from_le_bytes(number).wrapping_add(*delta);
                state.insert(key.clone(), Bytes::copy_from_slice(&sum.to_le_bytes()));
            }
            Step::StampedKey(key, tail) => {
                state.insert([key.as_ref(), stamp.as_ref(), tail].concat().into(), Bytes::new());
            }
            Step::StampedValue(key, tail) => drop(state.insert(key.clone(), [stamp.as_ref(), tail].concat().into())),
        }
    }
    Ok(state)
}

fn page(state: &Model, range: &KeyRange, options: RangeOptions) -> RangePage {
    let inside = state.iter().filter(|(key, _)| range.contains(key)).map(|(key, value)| (key.clone(), value.clone()));
    let mut entries: Vec<(Bytes, Bytes)> = inside.collect();
    if options.reverse {
        entries.reverse();
    }
    let more = entries.len() > options.limit;
    entries.truncate(options.limit);
    RangePage { entries, more }
}

/// Whether a page that was read shows what stood there. It may promise more where nothing follows, never the reverse.
fn shows(seen: &RangePage, stood: &RangePage) -> bool {
    seen.entries == stood.entries && (seen.more || !stood.more)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use async_trait::async_trait;

    use super::*;
    use crate::store::contract::ManualClock;
    use crate::store::{MemoryStore, WatchFuture};

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
            let observed = history(&store, 1).await;
            assert!(judge(&observed).is_err(), "{breach:?} went unnoticed");
        }
    }
}
