//! The catalog: one value over a store, which everybody in a process shares. What it does stands in the files beside this
//! one, by subject; here is only how it comes to be.

use std::fmt;
use std::sync::Arc;

use vfs::World;

use futures::FutureExt;

use crate::keys::{self, Nonce, database::DatabaseRecord, format::FormatRecord};
use crate::snapshot::SnapshotCache;
use crate::store::{KvStore, KvTransaction, Read, Stamp, transact};
use crate::transaction::{Failure, translate};
use crate::{CatalogError, CatalogId, CatalogIdentity, Version};

/// The database that is there from the start.
const DEFAULT_DATABASE: &str = "default";
/// What is said of a store that a copy has begun to fill.
const HALF_A_COPY: &str = "this store holds a copy of a catalog that was not finished, and cannot be opened: \
    run the copy again (millrace catalog copy --from … --to …), which begins anew, or name another store";
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
    identity: CatalogIdentity,
    snapshots: SnapshotCache,
}

impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").field("store", &self.inner.store.name()).field("era", &self.era()).finish()
    }
}

impl Catalog {
    /// The catalog in `store`; makes it, with the database `default`, where the store is empty.
    ///
    /// `Invalid` if the store holds a copy that has not ended: half a catalog is none.
    ///
    /// Unknown outcome: run again; a catalog that is there is opened, whoever made it.
    pub async fn open(store: Arc<dyn KvStore>, world: World) -> Result<Self, CatalogError> {
        let nonce = Nonce(world.random.next_u64());
        let new = CatalogId(format!("catalog-{:016x}", nonce.0));
        let identity = CatalogIdentity { id: new.clone(), era: FIRST_ERA, copy: None };
        let mut catalog =
            Self { inner: Arc::new(Inner { store, world, identity, snapshots: SnapshotCache::default() }) };
        let new = &new;
        let identity = catalog
            .settled("opening the catalog", |transaction| {
                async move { read_or_create(transaction, new, nonce).await }.boxed()
            })
            .await?;
        Arc::get_mut(&mut catalog.inner).expect("nobody else has it yet").identity = identity;
        Ok(catalog)
    }

    /// Whether a store holds a catalog, or a copy of one that has not ended. Makes none.
    pub async fn is_in(store: &dyn KvStore, world: &World) -> Result<bool, CatalogError> {
        let found = transact(store, world, |transaction| {
            async move {
                for key in [keys::format::ser_key(), keys::copying::ser_key()] {
                    if transaction.get(&key, Read::Snapshot).await?.is_some() {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            .boxed()
        });
        found.await.map(|(found, _)| found).map_err(|failure| translate("looking for a catalog", failure))
    }

    /// Which catalog this is.
    pub fn identity(&self) -> &CatalogIdentity {
        &self.inner.identity
    }

    pub(crate) fn era(&self) -> u32 {
        self.inner.identity.era
    }

    pub(crate) fn store(&self) -> &dyn KvStore {
        self.inner.store.as_ref()
    }

    pub(crate) fn world(&self) -> &World {
        &self.inner.world
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

async fn read_or_create(
    transaction: &mut dyn KvTransaction,
    new: &CatalogId,
    nonce: Nonce,
) -> Result<CatalogIdentity, Failure> {
    if transaction.get(&keys::copying::ser_key(), Read::Serializable).await?.is_some() {
        return Err(CatalogError::invalid(HALF_A_COPY).into());
    }
    let key = keys::format::ser_key();
    let found = keys::get(transaction, &key, keys::format::deser_value).await?;
    if found.is_none() {
        let database = DatabaseRecord { name: DEFAULT_DATABASE.to_owned(), nonce };
        transaction.set(&keys::database::ser_key(DEFAULT_DATABASE), &keys::database::ser_value(&database));
    }
    let FormatRecord { id, era, copy } = found.unwrap_or(FormatRecord { id: None, era: FIRST_ERA, copy: None });
    if id.is_none() {
        let record = FormatRecord { id: Some(new.clone()), era, copy };
        transaction.set(&key, &keys::format::ser_value(&record));
    }
    Ok(CatalogIdentity { id: id.unwrap_or_else(|| new.clone()), era, copy: copy.map(|nonce| nonce.0) })
}
