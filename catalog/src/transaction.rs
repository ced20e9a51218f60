//! How the catalog runs its transactions, and what becomes of an outcome that nobody knows. Knows no record.
//!
//! **I6.** An unknown outcome is never passed off as another one. [`Catalog::once`] answers it; [`Catalog::settled`] runs the
//! same body again until an attempt has a known end. That is sound because each body given to it reads what it writes, or a nonce beside it: if the earlier attempt landed, the
//! later one sees it and answers what the earlier should have; if it is still on its way, the later one either writes
//! what the earlier has read, so that it can no longer land, or finds that somebody else has.

use std::time::Duration;

use futures::future::BoxFuture;
use vfs::World;

use crate::store::{CausedByStore, KvStore, KvTransaction, Stamp, StoreError, transact};
use crate::{Catalog, CatalogError};

/// How often an unknown outcome is looked into before the caller is told that it is unknown.
const ATTEMPTS: u32 = 8;
/// The pause before the first look; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// Why the body of a transaction ended without one.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The store failed; perhaps the transaction is to be run again.
    Store(StoreError),
    /// The request cannot be carried out.
    Catalog(CatalogError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl CausedByStore for Failure {
    fn store_error(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Catalog(_) => None,
        }
    }
}

impl Catalog {
    /// Runs `body` until it did or did not happen, or nobody knows: for a read, or for a write that its caller settles.
    pub(crate) async fn once<'env, T>(
        &self,
        operation: &'static str,
        body: impl for<'t> FnMut(&'t mut (dyn KvTransaction + 'env)) -> BoxFuture<'t, Result<T, Failure>> + Send,
    ) -> Result<T, CatalogError> {
        self.stamped_once(operation, body).await.map(|(done, _)| done)
    }

    /// [`Catalog::once`], with the stamp of the transaction.
    pub(crate) async fn stamped_once<'env, T>(
        &self,
        operation: &'static str,
        body: impl for<'t> FnMut(&'t mut (dyn KvTransaction + 'env)) -> BoxFuture<'t, Result<T, Failure>> + Send,
    ) -> Result<(T, Stamp), CatalogError> {
        let done = transact(self.store(), self.world(), body).await;
        done.map_err(|failure| translate(operation, failure))
    }

    /// Runs `body` until an attempt has a known end, and answers that. `MaybeCommitted` remains only where the store keeps
    /// giving no answer; then the same call, made again, settles it.
    pub(crate) async fn settled<'env, T>(
        &self,
        operation: &'static str,
        body: impl for<'t> FnMut(&'t mut (dyn KvTransaction + 'env)) -> BoxFuture<'t, Result<T, Failure>> + Send,
    ) -> Result<T, CatalogError> {
        self.stamped_settled(operation, body).await.map(|(done, _)| done)
    }

    /// [`Catalog::settled`], with the stamp of the transaction that ended it.
    pub(crate) async fn stamped_settled<'env, T>(
        &self,
        operation: &'static str,
        body: impl for<'t> FnMut(&'t mut (dyn KvTransaction + 'env)) -> BoxFuture<'t, Result<T, Failure>> + Send,
    ) -> Result<(T, Stamp), CatalogError> {
        settle(self.store(), self.world(), operation, body).await
    }
}

/// [`Catalog::stamped_settled`], for a store that holds no catalog yet.
pub(crate) async fn settle<'env, T>(
    store: &dyn KvStore,
    world: &World,
    operation: &'static str,
    mut body: impl for<'t> FnMut(&'t mut (dyn KvTransaction + 'env)) -> BoxFuture<'t, Result<T, Failure>> + Send,
) -> Result<(T, Stamp), CatalogError> {
    let mut unknown = None;
    let mut pause = FIRST_PAUSE;
    for _ in 0..ATTEMPTS {
        match transact(store, world, &mut body).await {
            Err(Failure::Store(error)) if error.is_maybe_committed() => {
                tracing::warn!(operation, %error, "looking whether it happened");
                unknown = Some(error.to_string());
            }
            // "It did not happen" is true of this attempt only, and must not hide the one before.
            Err(Failure::Store(error)) if unknown.is_some() => {
                return Err(CatalogError::MaybeCommitted { operation, cause: error.to_string() });
            }
            done => return done.map_err(|failure| translate(operation, failure)),
        }
        world.clock.sleep(pause).await;
        pause *= 2;
    }
    let cause = unknown.expect("every pass that came here had no answer");
    Err(CatalogError::MaybeCommitted { operation, cause })
}

/// What the caller of the catalog is to know of the store's error.
pub(crate) fn translate(operation: &'static str, failure: Failure) -> CatalogError {
    let error = match failure {
        Failure::Catalog(error) => return error,
        Failure::Store(error) => error,
    };
    match error {
        StoreError::MaybeCommitted { cause } => CatalogError::MaybeCommitted { operation, cause },
        StoreError::Closed { .. } => CatalogError::Closed,
        StoreError::Damaged { place, detail } => CatalogError::Damaged { key: place, cause: detail },
        StoreError::TooLarge { .. } => CatalogError::invalid(format!("{operation}: {error}")),
        StoreError::Misuse { .. } => CatalogError::invalid(format!("{operation}: {error}; report this defect")),
        StoreError::Conflict
        | StoreError::TooOld
        | StoreError::Unavailable { .. }
        | StoreError::Newer { .. }
        | StoreError::Locked { .. } => CatalogError::Unavailable { operation, cause: error.to_string() },
    }
}
