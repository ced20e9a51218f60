//! A store that fails on purpose, around one that does not: for tests and simulations. Each commit gets one of the four
//! outcomes that a commit over a network can have. Owns the faults; the truth stays in the inner store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use vfs::Random;

use super::{
    KeyRange, KvStore, KvTransaction, RangeOptions, RangePage, Read, Stamp, StoreError, VersionstampedValue,
    WatchFuture,
};

/// What happens to one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitFault {
    /// It ends as the inner store says.
    None,
    /// It never reaches the inner store: `Unavailable`.
    FailBefore,
    /// It reaches the inner store, and its answer is lost: `MaybeCommitted`.
    FailAfter,
    /// It is answered `MaybeCommitted` at once and reaches the inner store later, if it still can by then.
    ApplyLater {
        /// At the how-manieth begin from now; with `None`, only at [`FaultyStore::release`].
        begins: Option<u32>,
    },
}

/// How often each fault happens by chance, in commits of a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultOdds {
    /// [`CommitFault::FailBefore`].
    pub fail_before: u32,
    /// [`CommitFault::FailAfter`].
    pub fail_after: u32,
    /// [`CommitFault::ApplyLater`], within the next eight begins.
    pub apply_later: u32,
}

/// A store with faults in its commits. Transactions that write nothing never fail.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn KvStore>,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    random: Arc<dyn Random>,
    state: Mutex<PlanState>,
}

#[derive(Default)]
struct PlanState {
    script: VecDeque<CommitFault>,
    odds: FaultOdds,
    held: Vec<Held>,
}

/// A commit that was answered and is yet to arrive.
struct Held {
    begins: Option<u32>,
    transaction: Box<dyn KvTransaction>,
}

impl std::fmt::Debug for PlanState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { script, odds, held } = self;
        f.debug_struct("PlanState").field("script", script).field("odds", odds).field("held", &held.len()).finish()
    }
}

impl FaultyStore {
    /// `inner`, without faults until some are asked for.
    pub fn new(inner: Arc<dyn KvStore>, random: Arc<dyn Random>) -> Self {
        Self { inner, plan: Arc::new(Plan { random, state: Mutex::default() }) }
    }

    /// Gives the next commits these outcomes, in order; those after them follow the odds.
    pub fn script(&self, faults: impl IntoIterator<Item = CommitFault>) {
        self.plan.lock().script.extend(faults);
    }

    /// Sets how often commits fail by chance; `FaultOdds::default()` is never.
    pub fn set_odds(&self, odds: FaultOdds) {
        self.plan.lock().odds = odds;
    }

    /// How many commits have been answered and are yet to arrive.
    pub fn held(&self) -> usize {
        self.plan.lock().held.len()
    }

    /// Lets all held commits arrive now, in the order in which they were made.
    pub async fn release(&self) {
        let held = std::mem::take(&mut self.plan.lock().held);
        arrive(held).await;
    }
}

/// Commits what was held. It may conflict or be too old by now: then it did not happen, which its `MaybeCommitted` allows.
async fn arrive(held: Vec<Held>) {
    for late in held {
        if let Err(error) = late.transaction.commit().await {
            tracing::debug!(%error, "a late commit did not happen");
        }
    }
}

impl Plan {
    fn lock(&self) -> MutexGuard<'_, PlanState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> CommitFault {
        let mut state = self.lock();
        if let Some(fault) = state.script.pop_front() {
            return fault;
        }
        let FaultOdds { fail_before, fail_after, apply_later } = state.odds;
        if fail_before + fail_after + apply_later == 0 {
            return CommitFault::None;
        }
        let draw = u32::try_from(self.random.next_u64() % 1000).expect("below a thousand");
        if draw < fail_before {
            CommitFault::FailBefore
        } else if draw < fail_before + fail_after {
            CommitFault::FailAfter
        } else if draw < fail_before + fail_after + apply_later {
            let begins = u32::try_from(self.random.next_u64() % 8 + 1).expect("at most eight");
            CommitFault::ApplyLater { begins: Some(begins) }
        } else {
            CommitFault::None
        }
    }

    /// Counts one begin, and takes out what it lets arrive.
    fn due(&self) -> Vec<Held> {
        let mut state = self.lock();
        for held in &mut state.held {
            held.begins = held.begins.map(|begins| begins.saturating_sub(1));
        }
        state.held.extract_if(.., |held| held.begins == Some(0)).collect()
    }
}

#[async_trait]
impl KvStore for FaultyStore {
    async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError> {
        let due = self.plan.due();
        arrive(due).await;
        let inner = self.inner.begin().await?;
        Ok(Box::new(FaultyTransaction { inner, plan: Arc::clone(&self.plan), writes: false }))
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError> {
        self.inner.watch(key).await
    }
}

struct FaultyTransaction {
    inner: Box<dyn KvTransaction>,
    plan: Arc<Plan>,
    writes: bool,
}

impl FaultyTransaction {
    fn writing(&mut self) -> &mut dyn KvTransaction {
        self.writes = true;
        self.inner.as_mut()
    }
}

#[async_trait]
impl KvTransaction for FaultyTransaction {
    async fn get(&mut self, key: &[u8], read: Read) -> Result<Option<Bytes>, StoreError> {
        self.inner.get(key, read).await
    }

    async fn range(&mut self, range: KeyRange, options: RangeOptions) -> Result<RangePage, StoreError> {
        self.inner.range(range, options).await
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.writing().set(key, value);
    }

    fn clear(&mut self, key: &[u8]) {
        self.writing().clear(key);
    }

    fn clear_range(&mut self, range: KeyRange) {
        self.writing().clear_range(range);
    }

    fn add(&mut self, key: &[u8], delta: i64) {
        self.writing().add(key, delta);
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        self.writing().set_versionstamped_key(prefix, suffix, value);
    }

    fn set_versionstamped_value(&mut self, key: &[u8], value: VersionstampedValue) {
        self.writing().set_versionstamped_value(key, value);
    }

    fn add_read_conflict(&mut self, range: KeyRange) {
        self.inner.add_read_conflict(range);
    }

    fn add_write_conflict(&mut self, range: KeyRange) {
        self.writing().add_write_conflict(range);
    }

    async fn commit(self: Box<Self>) -> Result<Stamp, StoreError> {
        let fault = if self.writes { self.plan.next_fault() } else { CommitFault::None };
        match fault {
            CommitFault::None => self.inner.commit().await,
            CommitFault::FailBefore => Err(StoreError::Unavailable { cause: "a fault before the commit".to_owned() }),
            CommitFault::FailAfter => match self.inner.commit().await {
                // What the inner store refused is refused: losing an answer makes nothing happen.
                Ok(_) | Err(StoreError::MaybeCommitted { .. }) => Err(maybe("a fault after the commit")),
                Err(error) => Err(error),
            },
            CommitFault::ApplyLater { begins } => {
                self.plan.lock().held.push(Held { begins, transaction: self.inner });
                Err(maybe("the commit is on its way"))
            }
        }
    }
}

fn maybe(cause: &str) -> StoreError {
    StoreError::MaybeCommitted { cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    use vfs::{SeededRandom, SystemClock};

    use super::*;
    use crate::store::MemoryStore;

    fn store() -> FaultyStore {
        FaultyStore::new(Arc::new(MemoryStore::new(Arc::new(SystemClock::new()))), Arc::new(SeededRandom::new(1)))
    }

    async fn write(store: &FaultyStore, value: &[u8]) -> Result<Stamp, StoreError> {
        let mut transaction = store.begin().await.unwrap();
        transaction.set(b"k", value);
        transaction.commit().await
    }

    async fn read(store: &FaultyStore) -> Option<Bytes> {
        store.begin().await.unwrap().get(b"k", Read::Serializable).await.unwrap()
    }

    #[tokio::test]
    async fn without_faults_it_keeps_the_contract() {
        let make = async |clock| {
            let inner = Arc::new(MemoryStore::new(clock));
            Arc::new(FaultyStore::new(inner, Arc::new(SeededRandom::new(1)))) as Arc<dyn KvStore>
        };
        crate::store::contract::check_all(make).await;
    }

    #[tokio::test]
    async fn each_scripted_outcome_is_what_it_says() {
        let store = store();
        let later = CommitFault::ApplyLater { begins: None };
        store.script([CommitFault::FailBefore, CommitFault::FailAfter, later, CommitFault::None]);
        assert!(matches!(write(&store, b"1").await, Err(StoreError::Unavailable { .. })));
        assert_eq!(read(&store).await, None);
        assert!(write(&store, b"2").await.unwrap_err().is_maybe_committed());
        assert_eq!(read(&store).await.as_deref(), Some(&b"2"[..]));
        assert!(write(&store, b"3").await.unwrap_err().is_maybe_committed());
        assert_eq!((read(&store).await.as_deref(), store.held()), (Some(&b"2"[..]), 1));
        write(&store, b"4").await.unwrap();
        store.release().await;
        assert_eq!(read(&store).await.as_deref(), Some(&b"3"[..]), "it arrived after a later commit");
    }

    #[tokio::test]
    async fn a_late_commit_arrives_at_the_begin_that_was_named() {
        let store = store();
        store.script([CommitFault::ApplyLater { begins: Some(2) }]);
        assert!(write(&store, b"1").await.unwrap_err().is_maybe_committed());
        assert_eq!(read(&store).await, None);
        assert_eq!(read(&store).await.as_deref(), Some(&b"1"[..]));
    }

    #[tokio::test]
    async fn a_late_commit_whose_reads_have_changed_does_not_happen() {
        let store = store();
        store.script([CommitFault::ApplyLater { begins: None }, CommitFault::None]);
        let mut late = store.begin().await.unwrap();
        assert_eq!(late.get(b"k", Read::Serializable).await.unwrap(), None);
        late.set(b"k", b"late");
        assert!(late.commit().await.unwrap_err().is_maybe_committed());
        write(&store, b"first").await.unwrap();
        store.release().await;
        assert_eq!(read(&store).await.as_deref(), Some(&b"first"[..]));
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_faults() {
        let mut runs = Vec::new();
        for _ in 0..2 {
            let store = store();
            store.set_odds(FaultOdds { fail_before: 200, fail_after: 200, apply_later: 200 });
            let mut outcomes = Vec::new();
            for n in 0..100 {
                outcomes.push(write(&store, &[n]).await);
            }
            assert!(
                outcomes.iter().any(Result::is_ok) && outcomes.iter().filter(|outcome| outcome.is_err()).count() > 30
            );
            runs.push(outcomes);
        }
        assert_eq!(runs[0], runs[1]);
    }
}
