//! The seam under the catalog: ordered key-value transactions with FoundationDB's semantics, and the stores behind it.
//!
//! A transaction reads one consistent version of the store, buffers its writes, and commits all of them or none. Commits
//! are **strictly serialisable**: each takes its place in one order, given by its [`Stamp`], reads what stood there, and
//! is seen by every transaction begun after it was answered. Conflicts are found optimistically, at the commit: it fails if
//! a range that it read was written by a commit since its read version.
//!
//! Owns: what a transaction is, its limits, its errors, the stores and their contract suite. Does not know what any key
//! or value means.

pub mod contract;
mod error;
mod faulty;
mod group;
mod memory;
mod mutation;
mod postgres;
mod range;
mod redb;
mod resolver;
mod retry;
mod stamp;
mod transaction;
mod versions;
mod watches;
mod writes;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;

pub use error::{CausedByStore, Certainty, StoreError};
pub use faulty::{CommitFault, FaultOdds, FaultyStore};
pub use memory::MemoryStore;
pub use postgres::{PostgresAddress, PostgresStore};
pub use range::KeyRange;
pub use redb::RedbStore;
pub use retry::transact;
pub use stamp::Stamp;

/// The longest key, in bytes.
pub const KEY_BYTES_LIMIT: usize = 10_000;
/// The longest value, in bytes.
pub const VALUE_BYTES_LIMIT: usize = 100_000;
/// The largest transaction, in bytes: keys and values written, and the two ends of each range read or written.
pub const TRANSACTION_BYTES_LIMIT: usize = 10_000_000;
/// The oldest that a transaction may become, from its begin to its commit.
pub const TRANSACTION_AGE_LIMIT: Duration = Duration::from_secs(5);

/// Resolves when the watched key may have changed. Dropping it ends the watch.
pub type WatchFuture = BoxFuture<'static, ()>;

/// An ordered key-value store with transactions.
#[async_trait]
pub trait KvStore: Send + Sync + fmt::Debug {
    /// Begins a transaction at a version that has every commit answered before this call.
    async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError>;

    /// The store's kind, for people: "memory", "redb", "postgres".
    fn name(&self) -> &'static str;

    /// Whether another process may have the same store open at the same time.
    fn is_shared(&self) -> bool {
        false
    }

    /// Watches `key`: the future resolves once its value has changed since this call returned, or the store has closed. It
    /// may resolve though nothing changed, but never misses a change. So: watch, then read, then wait.
    async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError>;

    /// Returns the cause once the store has closed, which it does by itself only where it cannot go on. Whoever runs the store
    /// then ends the process: what is in it is found out by opening it again.
    async fn closed(&self) -> String {
        std::future::pending().await
    }

    /// Closes the store: commits under way are finished and answered, later calls fail with `Closed`, watches wake. Returns
    /// once another may open it.
    async fn close(&self) {}
}

/// One transaction. Dropping it without a commit leaves nothing behind. Dropping the future of [`KvTransaction::commit`]
/// before it resolves leaves the outcome unknown.
///
/// The writing methods cannot fail: a key or a value over its limit, a key that begins with `0xff` (those belong to the
/// store), or another broken rule is answered by the commit.
#[async_trait]
pub trait KvTransaction: Send {
    /// The value of `key` at this transaction's version, with its own writes on top.
    ///
    /// A key whose value this transaction writes with a stamp cannot be read before the commit: [`StoreError::Misuse`].
    async fn get(&mut self, key: &[u8], read: Read) -> Result<Option<Bytes>, StoreError>;

    /// Entries of `range` in key order (or the reverse), with this transaction's own writes on top: at most
    /// `options.limit`, and fewer where a page would grow too large; [`RangePage::more`] tells. A serialisable read
    /// conflicts on the part of the range that the page covers. [`scan`] reads all pages.
    async fn range(&mut self, range: KeyRange, options: RangeOptions) -> Result<RangePage, StoreError>;

    /// Writes `value` under `key`.
    fn set(&mut self, key: &[u8], value: &[u8]);

    /// Removes `key`, whether or not it is there.
    fn clear(&mut self, key: &[u8]);

    /// Removes all keys of `range`.
    fn clear_range(&mut self, range: KeyRange);

    /// Adds `delta` to the little-endian 64-bit integer under `key`, wrapping; a missing key counts as 0, a value of another
    /// length is cut or zero-filled to 8 bytes. Reads nothing, so two adds never conflict.
    fn add(&mut self, key: &[u8], delta: i64);

    /// Writes `value` under the key `prefix + stamp + suffix`, the stamp being that of this commit. Not seen by this
    /// transaction's own reads; a scan over where it will stand is [`StoreError::Misuse`].
    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]);

    /// Writes `before + stamp + after` under `key`, the stamp being that of this commit.
    fn set_versionstamped_value(&mut self, key: &[u8], value: VersionstampedValue);

    /// Makes this transaction conflict with others' writes to `range`, as if it had read it.
    fn add_read_conflict(&mut self, range: KeyRange);

    /// Makes others that read `range` conflict with this transaction, as if it had written it.
    fn add_write_conflict(&mut self, range: KeyRange);

    /// Commits, and answers the stamp; a transaction that wrote nothing always succeeds and answers the stamp that it read at.
    async fn commit(self: Box<Self>) -> Result<Stamp, StoreError>;
}

/// Whether a read can make its transaction conflict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Read {
    /// It can: the commit fails if what was read has been written since.
    #[default]
    Serializable,
    /// It cannot: the value is consistent with the transaction's version, and may be old by the time of the commit.
    Snapshot,
}

/// How to read a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangeOptions {
    /// The most entries to answer.
    pub limit: usize,
    /// From the last key to the first.
    pub reverse: bool,
    /// Whether it can conflict.
    pub read: Read,
}

impl Default for RangeOptions {
    fn default() -> Self {
        Self { limit: 1_000, reverse: false, read: Read::Serializable }
    }
}

/// One page of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangePage {
    /// Keys and values in the order asked for.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Whether the range may have entries beyond the last one here.
    pub more: bool,
}

/// A value that holds the stamp of the commit that writes it: `before + stamp + after`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionstampedValue {
    /// The bytes before the stamp.
    pub before: Bytes,
    /// The bytes after the stamp.
    pub after: Bytes,
}

/// All entries of `range`, page by page, in key order. For ranges known to be small enough to be held in memory.
pub async fn scan(
    transaction: &mut dyn KvTransaction,
    range: KeyRange,
    read: Read,
) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
    let mut entries = Vec::new();
    let mut rest = range;
    loop {
        let page = transaction.range(rest.clone(), RangeOptions { read, ..RangeOptions::default() }).await?;
        entries.extend(page.entries);
        match entries.last() {
            Some((last, _)) if page.more => rest.start = range::successor(last),
            _ => return Ok(entries),
        }
    }
}
