//! Snapshots: a table as of all commits answered before the call. The newest fold of each table is kept, and only the
//! records since are read; a snapshot that is held never changes.
//!
//! The head is read strictly. Then the log up to it is read page by page, each page in a transaction of its own, so that
//! none grows old however long the log is: records up to a head that was seen never change.

mod fold;

pub(crate) use fold::Fold;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use vfs::planted;

use crate::ddl;
use crate::keys;
use crate::store::{RangeOptions, RangePage, Read};
use crate::{Catalog, CatalogError, Table, TableId, TableSnapshot, Version};

const OPERATION: &str = "reading a table's log";

/// The newest fold of each table that was asked for.
#[derive(Debug, Default)]
pub(crate) struct SnapshotCache {
    tables: Mutex<BTreeMap<TableId, Arc<Slot>>>,
}

/// One table's: whoever reads its log holds the lock, so that a record is read once.
type Slot = tokio::sync::Mutex<Cached>;

#[derive(Debug, Default)]
struct Cached {
    /// Between calls at a version of the log, though perhaps within a commit, if a reader was dropped: never handed out
    /// but at the head.
    fold: Fold,
    /// What was made of the fold at its version.
    newest: Option<TableSnapshot>,
    /// The table's record as it was read last, and what it says: most snapshots find it as it was.
    definition: Option<(Bytes, Arc<Table>)>,
}

impl Cached {
    /// What `value` says, the table's record.
    fn definition(&mut self, table: TableId, value: Bytes) -> Result<Arc<Table>, CatalogError> {
        match &self.definition {
            Some((known, definition)) if *known == value => Ok(Arc::clone(definition)),
            _ => {
                let record = keys::table::deser_value(&keys::table::ser_key(table), &value)?;
                let definition = Arc::new(record.table);
                self.definition = Some((value, Arc::clone(&definition)));
                Ok(definition)
            }
        }
    }
}

impl SnapshotCache {
    fn slot(&self, table: TableId) -> Arc<Slot> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(tables.entry(table).or_default())
    }

    fn forget(&self, table: TableId) {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).remove(&table);
    }
}

impl Catalog {
    pub(crate) async fn snapshot_at_head(&self, table: TableId) -> Result<TableSnapshot, CatalogError> {
        let slot = self.snapshots().slot(table);
        let mut cached = slot.lock().await;
        if let Some(newest) = cached.newest.as_ref().filter(|_| planted::is("snapshot-from-cache")) {
            return Ok(newest.clone());
        }
        let definition = self.catch_up(&mut cached, table).await?;
        let version = cached.fold.version();
        if let Some(newest) = cached.newest.as_ref().filter(|it| it.version == version && it.table == definition) {
            return Ok(newest.clone());
        }
        let snapshot = TableSnapshot {
            version,
            table: definition,
            parts: cached.fold.parts(),
            streams: Arc::new(cached.fold.vector()),
        };
        cached.newest = Some(snapshot.clone());
        Ok(snapshot)
    }

    /// The fold itself, for what a snapshot leaves out.
    pub(crate) async fn fold_to_head(&self, table: TableId) -> Result<Fold, CatalogError> {
        let slot = self.snapshots().slot(table);
        let mut cached = slot.lock().await;
        self.catch_up(&mut cached, table).await?;
        Ok(cached.fold.clone())
    }

    /// Brings the fold to the head as it is now. Dropped on the way, it leaves the fold at a record, to go on from there.
    async fn catch_up(&self, cached: &mut Cached, table: TableId) -> Result<Arc<Table>, CatalogError> {
        let caught_up = self.try_catch_up(cached, table).await;
        if matches!(caught_up, Err(CatalogError::NotFound { .. })) {
            self.snapshots().forget(table);
        }
        caught_up
    }

    async fn try_catch_up(&self, cached: &mut Cached, table: TableId) -> Result<Arc<Table>, CatalogError> {
        let (value, head) = self.head(table).await?;
        let definition = cached.definition(table, value)?;
        while cached.fold.version() < head {
            let page = self.log_page(table, cached.fold.version(), head).await?;
            // Lets go of the list that the last snapshot shares, so that it grows in place if nobody else holds it.
            cached.newest = None;
            for (key, value) in &page.entries {
                if let Err(error) = apply(&mut cached.fold, key, value) {
                    cached.fold = Fold::default();
                    return Err(error);
                }
            }
            if page.entries.is_empty() {
                let cause = format!("the log ends at {}, before its head {head}", cached.fold.version());
                return Err(CatalogError::Damaged { key: keys::show(&keys::head::ser_key(table)), cause });
            }
        }
        Ok(definition)
    }

    /// The table's record and the version of the newest one of its log, as of now.
    async fn head(&self, table: TableId) -> Result<(Bytes, Version), CatalogError> {
        let key = &keys::head::ser_key(table);
        self.once(OPERATION, |transaction| {
            async move {
                let value = ddl::table::require_value(transaction, table).await?;
                let head = keys::get(transaction, key, keys::head::deser_value).await?;
                Ok((value, head.unwrap_or(Version::ZERO)))
            }
            .boxed()
        })
        .await
    }

    async fn log_page(&self, table: TableId, after: Version, through: Version) -> Result<RangePage, CatalogError> {
        let range = &keys::log::between(table, after, through);
        self.once(OPERATION, |transaction| {
            async move {
                // As long as the table is there its log is whole: only then does the sweeper take it.
                ddl::table::require_value(transaction, table).await?;
                let options = RangeOptions { read: Read::Snapshot, ..RangeOptions::default() };
                Ok(transaction.range(range.clone(), options).await?)
            }
            .boxed()
        })
        .await
    }
}

fn apply(fold: &mut Fold, key: &Bytes, value: &Bytes) -> Result<(), CatalogError> {
    let (_, version) = keys::log::deser_key(key)?;
    let record = keys::log::deser_value(key, value)?;
    fold.apply(version, record).map_err(|cause| CatalogError::Damaged { key: keys::show(key), cause })
}
