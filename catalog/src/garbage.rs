//! Objects that no version names any more, listed until they are deleted, so that a sweeper that dies leaves none behind.

use futures::FutureExt;
use vfs::planted;

use crate::keys::{
    self,
    garbage::GarbageRecord,
    log::{CommitChunk, LogRecord},
    truncated::TruncatedRecord,
};
use crate::store::{KvTransaction, RangeOptions, Read, scan};
use crate::transaction::Failure;
use crate::{Catalog, CatalogError, TableId, Version};

/// How many log records of a dropped table become garbage in one transaction: at 100 kB each, well within its size.
const RECORDS_IN_A_TRANSACTION: usize = 50;

/// An object that no version names any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    /// The object's name in the store.
    pub path: String,
    /// Since when, in microseconds since 1970. A query that began before may still read it.
    pub since: i64,
}

impl Catalog {
    /// The names of at most `limit` objects that may be deleted now. Each is named until it is forgotten.
    pub async fn garbage(&self, limit: usize) -> Result<Vec<String>, CatalogError> {
        Ok(self.garbage_records(limit).await?.into_iter().map(|garbage| garbage.path).collect())
    }

    /// The same, with since when, for a sweeper that waits for queries to end.
    pub async fn garbage_records(&self, limit: usize) -> Result<Vec<Garbage>, CatalogError> {
        let found = self.list_garbage(limit).await?;
        let is_short = found.len() < limit;
        match is_short && (self.expand_dropped_tables().await? > 0 || self.expand_truncated_tables().await? > 0) {
            true => self.list_garbage(limit).await,
            false => Ok(found),
        }
    }

    /// The object is deleted: it need not be named any more.
    ///
    /// Unknown outcome: run again; what is gone is gone.
    pub async fn forget_garbage(&self, path: &str) -> Result<(), CatalogError> {
        let key = &keys::garbage::ser_key(path);
        self.settled("forgetting a deleted object", |transaction| {
            async move {
                transaction.clear(key);
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn list_garbage(&self, limit: usize) -> Result<Vec<Garbage>, CatalogError> {
        self.once("listing garbage", |transaction| {
            async move {
                let options = RangeOptions { limit, ..RangeOptions::default() };
                let page = transaction.range(keys::garbage::all(), options).await?;
                let garbage = |(key, value): &(bytes::Bytes, bytes::Bytes)| {
                    let GarbageRecord { since } = keys::garbage::deser_value(key, value)?;
                    Ok(Garbage { path: keys::garbage::deser_key(key)?, since })
                };
                page.entries.iter().map(garbage).collect()
            }
            .boxed()
        })
        .await
    }

    /// The same for a truncated table. A part that was made garbage before, and deleted, may be listed once more.
    ///
    /// Unknown outcome: run again; a record that is turned into garbage twice is the same garbage.
    async fn expand_truncated_tables(&self) -> Result<usize, CatalogError> {
        self.settled("turning a truncated table into garbage", |transaction| {
            async move {
                for (key, value) in scan(transaction, keys::truncated::all(), Read::Serializable).await? {
                    let (through, record) = keys::truncated::deser_value(&key, &value)?;
                    if record.done < through {
                        return expand_truncated(transaction, keys::truncated::deser_key(&key)?, through, record).await;
                    }
                }
                Ok(0)
            }
            .boxed()
        })
        .await
    }

    /// Turns some of each dropped table's log into garbage records; answers how many log records it took.
    ///
    /// Unknown outcome: run again; each log record becomes garbage in the transaction that removes it.
    async fn expand_dropped_tables(&self) -> Result<usize, CatalogError> {
        self.settled("turning a dropped table into garbage", |transaction| {
            async move {
                let options = RangeOptions { limit: 1, ..RangeOptions::default() };
                let page = transaction.range(keys::dropped::all(), options).await?;
                let Some((key, value)) = page.entries.first() else { return Ok(0) };
                let since = keys::dropped::deser_value(key, value)?.since;
                expand(transaction, keys::dropped::deser_key(key)?, since).await
            }
            .boxed()
        })
        .await
    }
}

/// Makes the parts of a TRUNCATE's log garbage, some records at a time: those up to its version, after those that are done.
/// The records stay: streams and labels are read from them.
async fn expand_truncated(
    transaction: &mut dyn KvTransaction,
    table: TableId,
    through: Version,
    record: TruncatedRecord,
) -> Result<usize, Failure> {
    let TruncatedRecord { since, done } = record;
    let through = if planted::is("truncate-takes-what-came-after") { Version([u8::MAX; 16]) } else { through };
    let options = RangeOptions { limit: RECORDS_IN_A_TRANSACTION, ..RangeOptions::default() };
    let page = transaction.range(keys::log::between(table, done, through), options).await?;
    let mut last = through;
    for (key, value) in &page.entries {
        if let LogRecord::Commit(CommitChunk { parts_added, .. }) = keys::log::deser_value(key, value)? {
            for part in parts_added {
                transaction
                    .set(&keys::garbage::ser_key(&part.path), &keys::garbage::ser_value(&GarbageRecord { since }));
            }
        }
        (_, last) = keys::log::deser_key(key)?;
    }
    let done = if page.more { last } else { through };
    let value = keys::truncated::ser_value_at(through, &TruncatedRecord { since, done });
    transaction.set(&keys::truncated::ser_key(table), &value);
    Ok(page.entries.len().max(1))
}

async fn expand(transaction: &mut dyn KvTransaction, table: TableId, since: i64) -> Result<usize, Failure> {
    let options = RangeOptions { limit: RECORDS_IN_A_TRANSACTION, ..RangeOptions::default() };
    let page = transaction.range(keys::log::of_table(table), options).await?;
    for (key, value) in &page.entries {
        if let LogRecord::Commit(CommitChunk { parts_added, .. }) = keys::log::deser_value(key, value)? {
            for part in parts_added {
                transaction
                    .set(&keys::garbage::ser_key(&part.path), &keys::garbage::ser_value(&GarbageRecord { since }));
            }
        }
        transaction.clear(key);
    }
    if !page.more {
        transaction.clear(&keys::head::ser_key(table));
        transaction.clear(&keys::dropped::ser_key(table));
    }
    Ok(page.entries.len().max(1))
}
