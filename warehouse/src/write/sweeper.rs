//! The sweeper: takes uploads that no commit claimed, and objects of dropped tables.
//!
//! The rule (PROTOCOL, "Commit"): it deletes the intent by compare-and-set first, and the file afterwards. A commit that
//! comes later finds its intent missing and is fenced; a commit that came earlier has deleted the intent, and the sweeper
//! finds nothing. Age decides only when it tries, never whether it is right (I7, I10).
//!
//! If the process dies between the two, the file is left without an intent: the claim leaves it on the garbage list in the
//! same transaction, from which it is taken after the file is gone.

use std::sync::Arc;
use std::time::Duration;

use catalog::{Catalog, CatalogError, Garbage};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use vfs::World;

/// Objects listed at one go.
const GARBAGE_PER_ROUND: usize = 1_000;

/// See the module.
#[derive(Debug)]
pub struct Sweeper {
    /// Where intents and garbage are listed.
    pub catalog: Catalog,
    /// Where the objects are.
    pub objects: Arc<dyn ObjectStore>,
    /// Time.
    pub world: World,
    /// Intents older than this are tried; and objects of dropped tables that were dropped longer ago, so that queries that
    /// began before have ended.
    pub intent_age: Duration,
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Intents claimed.
    pub intents: u64,
    /// Objects removed.
    pub objects: u64,
}

impl Sweeper {
    /// Sweeps from time to time, until dropped.
    pub async fn run(self) {
        loop {
            match self.sweep().await {
                Ok(Swept { intents: 0, objects: 0 }) => {}
                Ok(swept) => tracing::info!(intents = swept.intents, objects = swept.objects, "swept"),
                Err(error) => tracing::warn!(%error, "the sweeper could not do its work, trying again"),
            }
            self.world.clock.sleep(self.intent_age / 4 + Duration::from_secs(1)).await;
        }
    }

    /// One round. What cannot be deleted does not keep the rest from being.
    ///
    /// # Errors
    /// If the catalog or the store does not answer; what was claimed stays on the garbage list.
    pub async fn sweep(&self) -> Result<Swept, SweepError> {
        let mut swept = Swept { intents: self.claim().await?, objects: 0 };
        loop {
            let garbage = self.catalog.garbage_records(GARBAGE_PER_ROUND).await?;
            let due = garbage.iter().filter(|garbage| self.is_due(garbage.since));
            let (mut deleted, mut failed) = (0, None);
            for Garbage { path, .. } in due {
                match self.objects.delete(&Path::from(path.as_str())).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {
                        self.catalog.forget_garbage(path).await?;
                        deleted += 1;
                    }
                    Err(error) => {
                        tracing::warn!(path, %error, "an object that nobody needs could not be deleted");
                        failed = Some(error);
                    }
                }
            }
            swept.objects += deleted;
            match failed {
                Some(error) => return Err(error.into()),
                None if deleted == 0 || garbage.len() < GARBAGE_PER_ROUND => return Ok(swept),
                None => {}
            }
        }
    }

    /// Claims the intents whose time is over; how many it got. One that belongs to a part that was committed is nobody's.
    async fn claim(&self) -> Result<u64, SweepError> {
        let mut claimed = 0;
        for intent in self.catalog.intents().await?.iter().filter(|intent| self.is_due(intent.created)) {
            // A claim whose outcome is unknown deletes nothing; the next round finds the intent, or the garbage.
            claimed += u64::from(self.catalog.claim_intent(intent).await?);
        }
        Ok(claimed)
    }

    fn is_due(&self, since: i64) -> bool {
        let age = i64::try_from(self.intent_age.as_micros()).unwrap_or(i64::MAX);
        self.world.clock.wall().0.saturating_sub(since) >= age
    }
}

/// Why a round was cut short.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The catalog.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// The store.
    #[error(transparent)]
    Store(#[from] object_store::Error),
}
