//! The task that removes segments that nobody needs. Owns no decision: [`crate::ledger::Ledger::removable`] has it.

use std::sync::Arc;

use vfs::Disk;

use crate::segment;
use crate::shared::Shared;

/// Removes segments, oldest first, one at a time: each removal is durable before the next, so that a crash leaves no hole.
#[derive(Debug)]
pub(crate) struct Retirer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) shared: Arc<Shared>,
}

impl Retirer {
    pub(crate) async fn run(self) {
        loop {
            self.shared.retire.notified().await;
            self.remove_unneeded().await;
            if self.shared.has_ended() {
                return;
            }
        }
    }

    async fn remove_unneeded(&self) {
        while let Some(number) = self.shared.with_ledger(|ledger| ledger.removable()) {
            let file = segment::file_name(number);
            if let Err(error) = self.disk.remove(&file).await {
                // It stays in the ledger, and is tried again when something else is released.
                tracing::warn!(%error, "a WAL segment that is not needed any more could not be removed");
                return;
            }
            self.shared.with_ledger(|ledger| ledger.removed(number));
            tracing::debug!(file, "a WAL segment was removed");
        }
    }
}
