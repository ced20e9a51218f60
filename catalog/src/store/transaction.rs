//! The transaction of every store of ours: buffers writes, lays them over what the store's snapshot holds, remembers what
//! was read, and hands all of it to the store's committer. A store brings a [`Snapshot`] and a [`Commits`].

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use vfs::{Clock, Moment};

use super::mutation::add_to;
use super::range::successor;
use super::resolver::Request;
use super::writes::{Own, WriteSet};
use super::{
    KEY_BYTES_LIMIT, KeyRange, KvTransaction, RangeOptions, RangePage, Read, Stamp, StoreError, TRANSACTION_AGE_LIMIT,
    TRANSACTION_BYTES_LIMIT, VersionstampedValue,
};

/// About how many bytes of entries a page holds at most.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// One version of a store, which stays as it is for as long as this lives.
#[async_trait]
pub(super) trait Snapshot: Send + Sync {
    /// Which version: that of the last commit in it.
    fn version(&self) -> u64;
    /// The value of `key`.
    async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;
    /// Up to `limit` entries of `range` (and no more than [`PAGE_BYTES`] of them, but at least one), from its start or, if
    /// `reverse`, from its end.
    async fn page(&self, range: &KeyRange, limit: usize, reverse: bool) -> Result<RangePage, StoreError>;
}

/// Where a store takes commits.
#[async_trait]
pub(super) trait Commits: fmt::Debug + Send + Sync {
    /// Resolves `pending`, applies it, and answers its stamp once it is durable and seen by new transactions.
    async fn submit(&self, pending: PendingCommit) -> Result<Stamp, StoreError>;
}

/// A transaction that has been handed over for its commit.
#[derive(Debug)]
pub(super) struct PendingCommit {
    read_version: u64,
    begun: Moment,
    reads: Vec<KeyRange>,
    /// What it writes.
    pub(super) writes: WriteSet,
}

impl PendingCommit {
    /// The question to the resolver; `writes` are the conflict ranges under the stamp that it would get.
    pub(super) fn request<'a>(&'a self, writes: &'a [KeyRange]) -> Request<'a> {
        Request { read_version: self.read_version, begun: self.begun, reads: &self.reads, writes }
    }

    /// Its size as FoundationDB counts it.
    pub(super) fn bytes(&self) -> usize {
        self.writes.bytes() + self.reads.iter().map(KeyRange::bytes).sum::<usize>()
    }
}

/// A transaction over one snapshot of a store.
pub(super) struct OptimisticTransaction<S> {
    snapshot: S,
    commits: Arc<dyn Commits>,
    clock: Arc<dyn Clock>,
    begun: Moment,
    reads: BTreeSet<KeyRange>,
    writes: WriteSet,
}

impl<S: Snapshot> OptimisticTransaction<S> {
    /// A transaction that reads `snapshot`, begun at `begun`, which must not be later than when the snapshot was current.
    pub(super) fn new(snapshot: S, commits: Arc<dyn Commits>, clock: Arc<dyn Clock>, begun: Moment) -> Self {
        Self { snapshot, commits, clock, begun, reads: BTreeSet::new(), writes: WriteSet::default() }
    }

    fn check_age(&self) -> Result<(), StoreError> {
        if self.clock.now().since(self.begun) > TRANSACTION_AGE_LIMIT {
            return Err(StoreError::TooOld);
        }
        Ok(())
    }

    fn note_read(&mut self, range: KeyRange, read: Read) {
        if read == Read::Serializable && !range.is_empty() {
            self.reads.insert(range);
        }
    }

    fn read_stamp(&self) -> Stamp {
        Stamp::from_count(self.snapshot.version())
    }

    /// Reads pages of the store and lays the own writes over them, until the page asked for is full or the range is read.
    /// A page of the store may vanish whole under a cleared range, so one is not always enough.
    async fn merged_page(&self, range: &KeyRange, options: RangeOptions) -> Result<RangePage, StoreError> {
        let mut page = RangePage::default();
        let mut page_bytes = 0;
        let mut rest = range.clone();
        loop {
            let stored = self.snapshot.page(&rest, options.limit - page.entries.len(), options.reverse).await?;
            let settled = settle(&mut rest, &stored, options.reverse);
            let mut entries = stored.entries;
            if options.reverse {
                entries.reverse();
            }
            let mut merged = self.writes.overlay(&settled, entries);
            if options.reverse {
                merged.reverse();
            }
            page_bytes += merged.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>();
            page.entries.extend(merged);
            if page.entries.len() > options.limit {
                page.entries.truncate(options.limit);
                page.more = true;
                return Ok(page);
            }
            let full = page.entries.len() == options.limit || page_bytes >= PAGE_BYTES;
            if full || !stored.more {
                page.more = stored.more;
                return Ok(page);
            }
        }
    }
}

/// Splits off the part of `rest` about which a page of the store says everything, and leaves what is still to be read.
fn settle(rest: &mut KeyRange, stored: &RangePage, reverse: bool) -> KeyRange {
    let whole = rest.clone();
    match stored.entries.last() {
        Some((last, _)) if stored.more && reverse => {
            rest.end = last.clone();
            KeyRange { start: last.clone(), end: whole.end }
        }
        Some((last, _)) if stored.more => {
            rest.start = successor(last);
            KeyRange { start: whole.start, end: rest.start.clone() }
        }
        _ => whole,
    }
}

/// The part of `range` that `page` covers.
fn covered(range: KeyRange, page: &RangePage, reverse: bool) -> KeyRange {
    match page.entries.last() {
        Some((last, _)) if page.more && reverse => KeyRange { start: last.clone(), end: range.end },
        Some((last, _)) if page.more => KeyRange { start: range.start, end: successor(last) },
        _ => range,
    }
}

#[async_trait]
impl<S: Snapshot> KvTransaction for OptimisticTransaction<S> {
    async fn get(&mut self, key: &[u8], read: Read) -> Result<Option<Bytes>, StoreError> {
        self.check_age()?;
        if key.len() > KEY_BYTES_LIMIT {
            return Err(StoreError::TooLarge { what: "key", bytes: key.len(), limit: KEY_BYTES_LIMIT });
        }
        let added = match self.writes.own(key) {
            Own::Known(value) => return Ok(value),
            Own::Unreadable => return Err(unreadable()),
            Own::Added(delta) => Some(delta),
            Own::Untouched => None,
        };
        let stored = self.snapshot.get(key).await?;
        self.note_read(KeyRange::single(key), read);
        match added {
            Some(delta) => Ok(Some(add_to(stored.as_deref(), delta))),
            None => Ok(stored),
        }
    }

    async fn range(&mut self, range: KeyRange, options: RangeOptions) -> Result<RangePage, StoreError> {
        self.check_age()?;
        if options.limit == 0 {
            return Err(StoreError::Misuse { what: "a range is read with a limit of at least one entry".to_owned() });
        }
        if range.is_empty() {
            return Ok(RangePage::default());
        }
        if !self.writes.can_scan(&range, self.read_stamp()) {
            return Err(unreadable());
        }
        let page = self.merged_page(&range, options).await?;
        self.note_read(covered(range, &page, options.reverse), options.read);
        Ok(page)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        self.writes.set(key, value);
    }

    fn clear(&mut self, key: &[u8]) {
        self.writes.clear(key);
    }

    fn clear_range(&mut self, range: KeyRange) {
        self.writes.clear_range(range);
    }

    fn add(&mut self, key: &[u8], delta: i64) {
        self.writes.add(key, delta);
    }

    fn set_versionstamped_key(&mut self, prefix: &[u8], suffix: &[u8], value: &[u8]) {
        self.writes.set_versionstamped_key(prefix, suffix, value);
    }

    fn set_versionstamped_value(&mut self, key: &[u8], value: VersionstampedValue) {
        self.writes.set_versionstamped_value(key, value);
    }

    fn add_read_conflict(&mut self, range: KeyRange) {
        self.note_read(range, Read::Serializable);
    }

    fn add_write_conflict(&mut self, range: KeyRange) {
        self.writes.add_conflict(range);
    }

    async fn commit(self: Box<Self>) -> Result<Stamp, StoreError> {
        if let Some(error) = self.writes.broken() {
            return Err(error.clone());
        }
        if self.writes.is_empty() {
            return Ok(self.read_stamp());
        }
        let started = self.clock.now();
        let clock = Arc::clone(&self.clock);
        let outcome = self.hand_over().await;
        let label = outcome.as_ref().map_or_else(StoreError::label, |_| "committed");
        metrics::counter!("millrace_catalog_commits_total", "outcome" => label).increment(1);
        metrics::histogram!("millrace_catalog_commit_seconds").record(clock.now().since(started).as_secs_f64());
        outcome
    }
}

impl<S: Snapshot> OptimisticTransaction<S> {
    async fn hand_over(self) -> Result<Stamp, StoreError> {
        self.check_age()?;
        let read_version = self.snapshot.version();
        let reads = self.reads.into_iter().collect();
        let pending = PendingCommit { read_version, begun: self.begun, reads, writes: self.writes };
        let bytes = pending.bytes();
        if bytes > TRANSACTION_BYTES_LIMIT {
            return Err(StoreError::TooLarge { what: "transaction", bytes, limit: TRANSACTION_BYTES_LIMIT });
        }
        // The old version is let go before the commit is waited for, so that the store can free its pages.
        drop(self.snapshot);
        self.commits.submit(pending).await
    }
}

fn unreadable() -> StoreError {
    StoreError::Misuse { what: "what this transaction writes with a stamp cannot be read before its commit".to_owned() }
}
