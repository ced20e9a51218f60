//! A store that counts what is asked of it: what the cost of a commit is measured with.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use millrace_catalog::store::{
    KeyRange, KvStore, KvTransaction, RangeOptions, RangePage, Read, Stamp, StoreError, VersionstampedValue,
    WatchFuture,
};

/// What was asked since the last [`CountingStore::take`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) keys_read: usize,
    pub(crate) ranges_read: usize,
    pub(crate) keys_written: usize,
    pub(crate) bytes_written: usize,
}

#[derive(Debug)]
pub(crate) struct CountingStore {
    inner: Arc<dyn KvStore>,
    cost: Arc<Mutex<Cost>>,
}

impl CountingStore {
    pub(crate) fn new(inner: Arc<dyn KvStore>) -> Self {
        Self { inner, cost: Arc::default() }
    }

    pub(crate) fn take(&self) -> Cost {
        std::mem::take(&mut self.cost.lock().unwrap())
    }
}

#[async_trait]
impl KvStore for CountingStore {
    async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError> {
        let inner = self.inner.begin().await?;
        Ok(Box::new(CountingTransaction { inner, cost: Arc::clone(&self.cost) }))
    }

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError> {
        self.inner.watch(key).await
    }
}

struct CountingTransaction {
    inner: Box<dyn KvTransaction>,
    cost: Arc<Mutex<Cost>>,
}

impl CountingTransaction {
    fn written(&self, bytes: usize) {
        let mut cost = self.cost.lock().unwrap();
        cost.keys_written += 1;
        cost.bytes_written += bytes;
    }
}

#[async_trait]
impl KvTransaction for CountingTransaction {
    async fn get(&mut self, key: &[u8], read: Read) -> Result<Option<Bytes>, StoreError> {
        self.cost.lock().unwrap().keys_read += 1;
        self.inner.get(key, read).await
    }

    async fn range(&mut self, range: KeyRange, options: RangeOptions) -> Result<RangePage, StoreError> {
        self.cost.lock().unwrap().ranges_read += 1;
        self.inner.range(range, options).await
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.written(key.len() + value.len());
        self.inner.set(key, value);
    }

    fn clear(&mut self, key: &[u8]) {
        self.written(key.len());
        self.inner.clear(key);
    }

    fn clear_range(&mut self, range: KeyRange) {
        self.written(range.start.len() + range.end.len());
        self.inner.clear_range(range);
    }

    fn add(&mut self, key: &[u8], delta: i64) {
        self.written(key.len() + 8);
        self.inner.add(key, delta);
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        self.written(prefix.len() + Stamp::BYTES + suffix.len() + value.len());
        self.inner.set_versionstamped_key(prefix, suffix, value);
    }

    fn set_versionstamped_value(&mut self, key: &[u8], value: VersionstampedValue) {
        self.written(key.len() + value.before.len() + Stamp::BYTES + value.after.len());
        self.inner.set_versionstamped_value(key, value);
    }

    fn add_read_conflict(&mut self, range: KeyRange) {
        self.inner.add_read_conflict(range);
    }

    fn add_write_conflict(&mut self, range: KeyRange) {
        self.inner.add_write_conflict(range);
    }

    async fn commit(self: Box<Self>) -> Result<Stamp, StoreError> {
        self.inner.commit().await
    }
}
