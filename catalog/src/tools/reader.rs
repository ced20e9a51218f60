//! Reads a store page by page, however large it is, and knows whether all that it read was of one version.
//!
//! A transaction reads one version for 5 s. As long as one is enough, what is written meanwhile does not matter. After it another
//! goes on from the same place; a transaction that writes nothing commits with the stamp that it read at, and equal stamps are
//! one version, because stamps count commits.

use std::time::Duration;

use bytes::Bytes;
use vfs::World;

use crate::CatalogError;
use crate::store::{KeyRange, KvStore, KvTransaction, RangeOptions, RangePage, Read, Stamp, StoreError};
use crate::transaction::{Failure, translate};

/// How long a page is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after the first failed attempt, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A store that is being read.
pub(super) struct Reader<'a> {
    store: &'a dyn KvStore,
    world: &'a World,
    operation: &'static str,
    transaction: Option<Box<dyn KvTransaction>>,
    stamp: Option<Stamp>,
    still: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(store: &'a dyn KvStore, world: &'a World, operation: &'static str) -> Self {
        Self { store, world, operation, transaction: None, stamp: None, still: true }
    }

    /// The entries at the start of `range`, as many as one read yields.
    pub(super) async fn page(&mut self, range: &KeyRange) -> Result<RangePage, CatalogError> {
        self.settled_page(range).await.map_err(|error| translate(self.operation, Failure::Store(error)))
    }

    /// The next page of `rest`, which is shortened by it; `None` at the end.
    pub(super) async fn next(&mut self, rest: &mut Option<KeyRange>) -> Result<Option<RangePage>, CatalogError> {
        let Some(range) = rest.take() else { return Ok(None) };
        let page = self.page(&range).await?;
        if let Some((last, _)) = page.entries.last().filter(|_| page.more) {
            let start = KeyRange::single(last).end;
            *rest = Some(KeyRange { start, end: range.end });
        }
        Ok(Some(page))
    }

    /// The value of `key`.
    pub(super) async fn get(&mut self, key: &[u8]) -> Result<Option<Bytes>, CatalogError> {
        let page = self.page(&KeyRange::single(key)).await?;
        Ok(page.entries.into_iter().next().map(|(_, value)| value))
    }

    /// Ends the reading. Answers the stamp that it read at, and whether that was one.
    pub(super) async fn finish(mut self) -> Result<(Stamp, bool), CatalogError> {
        // So that there is a stamp, also of a reader that has read nothing since it was renewed.
        self.page(&KeyRange::single(b"")).await?;
        self.let_go().await.map_err(|error| translate(self.operation, Failure::Store(error)))?;
        Ok((self.stamp.expect("a transaction has ended"), self.still))
    }

    /// Goes on in another transaction, which sees what was written since this one began.
    pub(super) async fn renew(&mut self) -> Result<(), CatalogError> {
        self.let_go().await.map_err(|error| translate(self.operation, Failure::Store(error)))
    }

    async fn settled_page(&mut self, range: &KeyRange) -> Result<RangePage, StoreError> {
        let since = self.world.clock.now();
        let (mut pause, longest) = PAUSES;
        loop {
            match self.try_page(range).await {
                Err(StoreError::TooOld) => self.let_go().await?,
                Err(error) if error.is_retryable() && self.world.clock.now().since(since) < PATIENCE => {
                    self.let_go().await?;
                    self.world.clock.sleep(pause).await;
                    pause = (pause * 2).min(longest);
                }
                done => return done,
            }
        }
    }

    async fn try_page(&mut self, range: &KeyRange) -> Result<RangePage, StoreError> {
        if self.transaction.is_none() {
            self.transaction = Some(self.store.begin().await?);
        }
        let transaction = self.transaction.as_mut().expect("it was just begun");
        transaction.range(range.clone(), RangeOptions { read: Read::Snapshot, ..RangeOptions::default() }).await
    }

    /// Ends the transaction, and notes at which stamp it read.
    async fn let_go(&mut self) -> Result<(), StoreError> {
        let Some(transaction) = self.transaction.take() else { return Ok(()) };
        let stamp = transaction.commit().await?;
        self.still &= self.stamp.is_none_or(|first| first == stamp);
        self.stamp = Some(stamp);
        Ok(())
    }
}

/// Everything that a store holds.
pub(super) fn everything() -> KeyRange {
    KeyRange::prefix(b"")
}
