//! The catalog: one value over a store, which everybody in a process shares. What it does stands in the files beside this
//! one, by subject; here is only how it comes to be.

use std::fmt;
use std::sync::Arc;

use vfs::World;

use futures::FutureExt;

use crate::keys::{self, Nonce, database::DatabaseRecord, format::FormatRecord};
use crate::snapshot::SnapshotCache;
use crate::store::{KvStore, KvTransaction, Stamp};
use crate::transaction::Failure;
use crate::{CatalogError, Version};

/// The database that is there from the start.
const DEFAULT_DATABASE: &str = "default";
/// The era of a catalog that was never copied or restored.
const FIRST_ERA: u32 = 1;

/// The catalog, over any store. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn KvStore>,
    world: World,
    era: u32,
    snapshots: SnapshotCache,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("store", &self.inner.store.name()).field("era", &self.inner.era).finish()
    }
}

impl Catalog {
    /// The catalog in `store`; makes it, with the database `default`, where the store is empty.
    ///
    /// Unknown outcome: run again; a catalog that is there is opened, whoever made it.
    pub async fn open(store: Arc<dyn KvStore>, world: World) -> Result<Self, CatalogError> {
        let inner = Inner { store, world, era: FIRST_ERA, snapshots: SnapshotCache::default() };
        let mut catalog = Self { inner: Arc::new(inner) };
        let nonce = catalog.nonce();
        let record = catalog
            .settled("opening the catalog", |transaction| {
                async move { read_or_create(transaction, nonce).await }.boxed()
            })
            .await?;
        Arc::get_mut(&mut catalog.inner).expect("nobody else has it yet").era = record.era;
        Ok(catalog)
    }

    pub(crate) fn store(&self) -> &dyn KvStore {
        self.inner.store.as_ref()
    }

    pub(crate) fn world(&self) -> &World {
        &self.inner.world
    }

    pub(crate) fn era(&self) -> u32 {
        self.inner.era
    }

    pub(crate) fn snapshots(&self) -> &SnapshotCache {
        &self.inner.snapshots
    }

    /// The wall clock, for people.
    pub(crate) fn wall(&self) -> i64 {
        self.world().clock.wall().0
    }

    /// What one call marks its writes with, to know them again.
    pub(crate) fn nonce(&self) -> Nonce {
        Nonce(self.world().random.next_u64())
    }

    /// The version of record `number` of the commit that got `stamp`.
    pub(crate) fn version(&self, stamp: Stamp, number: u16) -> Version {
        Version::new(self.era(), stamp, number)
    }
}

async fn read_or_create(transaction: &mut dyn KvTransaction, nonce: Nonce) -> Result<FormatRecord, Failure> {
    let key = keys::format::ser_key();
    if let Some(record) = keys::get(transaction, &key, keys::format::deser_value).await? {
        return Ok(record);
    }
    let record = FormatRecord { era: FIRST_ERA };
    transaction.set(&key, &keys::format::ser_value(&record));
    let database = DatabaseRecord { name: DEFAULT_DATABASE.to_owned(), nonce };
    transaction.set(&keys::database::ser_key(DEFAULT_DATABASE), &keys::database::ser_value(&database));
    Ok(record)
}
