//! Waiting for a change without asking again and again.

use std::fmt;

use crate::keys;
use crate::store::WatchFuture;
use crate::{Catalog, CatalogError, TableId, transaction};

/// Wakes when what is watched has changed since the watch was made, so: watch, then read, then wait. It may wake without a
/// change, and when the catalog is closed, but never misses one. Dropping it ends the watch.
#[must_use = "a watch does nothing until it is waited for"]
pub struct Watch(WatchFuture);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

impl Watch {
    /// Returns once there may have been a change. Dropping the returned future ends the watch.
    pub async fn changed(self) {
        self.0.await;
    }
}

impl Catalog {
    /// Watches a table's head: commits, grants, and streams that are opened or closed.
    pub async fn watch(&self, table: TableId) -> Result<Watch, CatalogError> {
        self.watch_key("watching a table", &keys::head::ser_key(table)).await
    }

    /// Watches all pipelines: which there are, and whether each is meant to run.
    pub async fn watch_pipelines(&self) -> Result<Watch, CatalogError> {
        self.watch_key("watching the pipelines", &keys::pipelines_changed::ser_key()).await
    }

    async fn watch_key(&self, operation: &'static str, key: &[u8]) -> Result<Watch, CatalogError> {
        let watch = self.store().watch(key).await;
        watch.map(Watch).map_err(|error| transaction::translate(operation, error.into()))
    }
}
