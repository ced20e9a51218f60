//! A process's way to the catalog's store: slow, cut off, or such that commits of rows lose their answers. Between a transaction's
//! begin and its commit, and before its answer, time passes, so that those of others come between. What the outcome of other commits
//! is decides the faulty store below.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use catalog::store::{
    KeyRange, KvStore, KvTransaction, RangeOptions, RangePage, Read, Stamp, StoreError, VersionstampedValue,
    WatchFuture,
};
use vfs::Clock;

use super::draw::Draw;

/// How the way to the store is, for all processes. Clones are the same.
#[derive(Clone, Default)]
pub struct StoreWeather {
    conditions: Arc<Mutex<Conditions>>,
    /// Commits that are still on their way, whether or not who sent them still lives.
    late: Arc<Mutex<Vec<Box<dyn KvTransaction>>>>,
}

impl fmt::Debug for StoreWeather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreWeather({:?})", self.lock())
    }
}

#[derive(Clone, Debug, Default)]
struct Conditions {
    /// The longest time that one way of a commit takes, in milliseconds; 0 is fair weather.
    slow_ms: u64,
    /// Who does not reach the store.
    cut: Option<String>,
    /// Whose commits to a table's log end otherwise, and how.
    rows: Option<(String, RowsFault)>,
}

/// What becomes of the commits that a process makes to a table's log. All else that it asks of the store is answered: so the answer
/// that it waits for is the one that matters most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsFault {
    /// They happen, and their answers come when the fault is over.
    Unheard,
    /// They are lost on their way: none happens, and nobody can say so.
    Lost,
    /// They are on their way until [`StoreWeather::arrive`], and nobody is told of them. Who sent them may be dead by then.
    Late,
}

impl StoreWeather {
    fn lock(&self) -> MutexGuard<'_, Conditions> {
        self.conditions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self) -> Conditions {
        self.lock().clone()
    }

    /// Makes commits slow; 0 ends it.
    pub fn set_slow(&self, slow_ms: u64) {
        self.lock().slow_ms = slow_ms;
    }

    /// Cuts one process off, or nobody.
    pub fn set_cut(&self, who: Option<String>) {
        self.lock().cut = who;
    }

    /// Lets one process's commits of rows end otherwise, or nobody's.
    pub fn set_rows(&self, fault: Option<(String, RowsFault)>) {
        self.lock().rows = fault;
    }

    /// Lets the commits arrive that are on their way. One that conflicts by now did not happen.
    pub async fn arrive(&self) {
        let late = std::mem::take(&mut *self.late.lock().unwrap_or_else(PoisonError::into_inner));
        for transaction in late {
            drop(transaction.commit().await);
        }
    }

    fn rows_of(&self, process: &str) -> Option<RowsFault> {
        self.get().rows.filter(|(whose, _)| whose == process).map(|(_, fault)| fault)
    }
}

/// The store as one process reaches it.
#[derive(Debug)]
pub struct ProcessStore {
    /// The store.
    pub inner: Arc<dyn KvStore>,
    /// Whose this is.
    pub process: String,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// The way there.
    pub weather: StoreWeather,
    /// Draws delays.
    pub draw: Draw,
}

impl ProcessStore {
    fn delay(&self) -> Duration {
        let slow_ms = self.weather.get().slow_ms;
        if slow_ms > 0 {
            self.draw.millis(0, slow_ms)
        } else if self.draw.happens(500) {
            self.draw.millis(0, 8)
        } else {
            Duration::ZERO
        }
    }
}

#[async_trait]
impl KvStore for ProcessStore {
    async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError> {
        if self.weather.get().cut.as_ref() == Some(&self.process) {
            self.clock.sleep(Duration::from_millis(30)).await;
            return Err(StoreError::Unavailable { cause: "the store is out of reach".to_owned() });
        }
        let inner = self.inner.begin().await?;
        let (there, back) = (self.delay(), self.delay());
        let (clock, process, weather) = (Arc::clone(&self.clock), self.process.clone(), self.weather.clone());
        Ok(Box::new(Delayed { inner, writes: false, appends: false, clock, process, weather, there, back }))
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError> {
        self.inner.watch(key).await
    }
}

/// A transaction whose commit takes time on its way there and back.
struct Delayed {
    inner: Box<dyn KvTransaction>,
    writes: bool,
    /// Whether it appends to a log: only there does a key get the commit's stamp.
    appends: bool,
    clock: Arc<dyn Clock>,
    process: String,
    weather: StoreWeather,
    there: Duration,
    back: Duration,
}

impl Delayed {
    fn writing(&mut self) -> &mut dyn KvTransaction {
        self.writes = true;
        self.inner.as_mut()
    }
}

#[async_trait]
impl KvTransaction for Delayed {
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
        self.appends = true;
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
        let Self { inner, writes, appends, clock, process, weather, there, back } = *self;
        if !writes {
            return inner.commit().await;
        }
        if !there.is_zero() {
            clock.sleep(there).await;
        }
        if appends && weather.rows_of(&process) == Some(RowsFault::Lost) {
            return Err(StoreError::MaybeCommitted { cause: "neither the commit nor an answer arrived".to_owned() });
        }
        if appends && weather.rows_of(&process) == Some(RowsFault::Late) {
            weather.late.lock().unwrap_or_else(PoisonError::into_inner).push(inner);
            while weather.rows_of(&process) == Some(RowsFault::Late) {
                clock.sleep(Duration::from_millis(30)).await;
            }
            return Err(StoreError::MaybeCommitted { cause: "the answer was lost".to_owned() });
        }
        let outcome = inner.commit().await;
        while appends && weather.rows_of(&process) == Some(RowsFault::Unheard) {
            clock.sleep(Duration::from_millis(30)).await;
        }
        if !back.is_zero() {
            clock.sleep(back).await;
        }
        outcome
    }
}
