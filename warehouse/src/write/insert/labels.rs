//! Labels in flight: of two INSERTs with one label in a process, the later waits for the end of the earlier. Between processes, and
//! after a death, the commit itself decides; this only spares the work, and answers instead of failing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catalog::{ChannelService, LabelOutcome, TableId};
use tokio::sync::watch;

use super::error::InsertError;

type Key = (TableId, String);

/// The labels of INSERTs that have begun and not ended.
#[derive(Debug, Default)]
pub(super) struct Labels {
    in_flight: Mutex<BTreeMap<Key, watch::Receiver<()>>>,
}

/// A label, held until the end of its INSERT is known.
#[derive(Debug)]
pub(super) struct LabelClaim {
    labels: Arc<Labels>,
    key: Key,
    /// Those who wait see it go.
    _held: watch::Sender<()>,
}

/// What became of the wish for a label.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is this INSERT's.
    Claim(LabelClaim),
    /// An earlier INSERT had it, and ended so.
    Before(LabelOutcome),
}

impl LabelClaim {
    pub(super) fn label(&self) -> &str {
        &self.key.1
    }
}

impl Drop for LabelClaim {
    fn drop(&mut self) {
        self.labels.in_flight().remove(&self.key);
    }
}

impl Labels {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    fn in_flight(&self) -> MutexGuard<'_, BTreeMap<Key, watch::Receiver<()>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The label, once nobody else in this process holds it, or how its first INSERT ended.
    pub(super) async fn take(
        self: &Arc<Self>,
        catalog: &dyn ChannelService,
        table: TableId,
        label: &str,
    ) -> Result<Taken, InsertError> {
        let key = (table, label.to_owned());
        let claim = loop {
            let (held, watched) = watch::channel(());
            let mut other = {
                let mut in_flight = self.in_flight();
                match in_flight.get(&key) {
                    Some(other) => other.clone(),
                    None => {
                        in_flight.insert(key.clone(), watched);
                        break LabelClaim { labels: Arc::clone(self), key: key.clone(), _held: held };
                    }
                }
            };
            // Nothing is ever sent: it returns when the holder is gone.
            drop(other.changed().await);
        };
        match catalog.label(table, label).await? {
            Some(outcome) => Ok(Taken::Before(outcome)),
            None => Ok(Taken::Claim(claim)),
        }
    }
}
