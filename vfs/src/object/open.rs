//! Opens an object store by its address, with all that stands around it.

use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use object_store::{Error, ObjectStore};

use super::address::{ObjectStoreAddress, Place};
use super::cloud::{CloudStore, Patience};
use super::credentials::{Environment, ObjectStoreCredentials, process_environment};
use super::durable::DurableLocalStore;
use super::metered::{MeteredPieces, MeteredStore};
use super::retrying::{RetrySettings, RetryingStore};
use super::splitting::{SplitSettings, SplittingStore};
use super::trouble::Trouble;
use crate::{DiskError, World};

/// How a store in a cloud is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectStoreSettings {
    /// How long one attempt of a request may take, from connecting to the last byte of the answer. A body that takes longer is fetched
    /// on from where it was.
    pub request_timeout: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How often a request is tried.
    pub retry: RetrySettings,
    /// How large objects go up.
    pub split: SplitSettings,
}

impl Default for ObjectStoreSettings {
    /// A minute for a request: a piece of 8 MiB goes up at 1.2 Mbit/s, four at a time at 5.
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(5),
            retry: RetrySettings::default(),
            split: SplitSettings::default(),
        }
    }
}

/// Why an object store cannot be used. No secret is in it.
#[derive(Debug, thiserror::Error)]
pub enum ObjectStoreError {
    /// The local directory.
    #[error(transparent)]
    Local(#[from] DiskError),
    /// The cloud's store, or what was said of it: place, cause and next step.
    #[error("the object store {0}")]
    Cloud(String),
}

impl From<Error> for ObjectStoreError {
    fn from(error: Error) -> Self {
        // What the library says around an explanation says nothing more.
        Self::Cloud(Trouble::of(&error).map_or_else(|| error.to_string(), ToString::to_string))
    }
}

/// Opens the store at `address`. A local directory is counted; a cloud's store is counted, repeats what fails by chance, and
/// takes large objects in pieces: `Splitting(Retrying(Metered(cloud)))`. Nothing is sent: see [`check_object_store`].
///
/// # Errors
/// If the directory cannot be made, or the credentials are half given.
pub async fn open_object_store(
    address: &ObjectStoreAddress,
    credentials: &ObjectStoreCredentials,
    settings: ObjectStoreSettings,
    world: &World,
) -> Result<Arc<dyn ObjectStore>, ObjectStoreError> {
    let patience = Patience { request: settings.request_timeout, connect: settings.connect_timeout };
    let environment: Environment<'_> = &process_environment;
    let cloud = match &address.0 {
        Place::File(path) => {
            let local = DurableLocalStore::open(path).await?;
            return Ok(Arc::new(MeteredStore::new(Arc::new(local), Arc::clone(&world.clock))));
        }
        Place::S3(place) => CloudStore::s3(place, credentials, patience, environment, &world.clock)?,
        Place::Gcs(bucket) => CloudStore::gcs(bucket, credentials, patience)?,
        Place::Azure { container, account } => CloudStore::azure(container, account.as_deref(), credentials, patience)?,
    };
    let cloud = Arc::new(cloud);
    let metered = MeteredStore::new(Arc::clone(&cloud) as _, Arc::clone(&world.clock));
    let pieces = MeteredPieces::new(cloud, Arc::clone(&world.clock));
    let retrying = RetryingStore::new(Arc::new(metered), settings.retry, world.clone()).with_marks();
    Ok(Arc::new(SplittingStore::new(retrying, Arc::new(pieces), settings.split)))
}

/// Asks the store for the beginning of a listing: a wrong bucket, key, region or endpoint is told now, with place, cause and next
/// step, and not by the first part. Writes nothing, so that it cannot tell whether writing is allowed.
///
/// # Errors
/// What is wrong; a store that is away is waited for as long as its retries last.
pub async fn check_object_store(store: &dyn ObjectStore) -> Result<(), ObjectStoreError> {
    store.list(None).try_next().await?;
    Ok(())
}
