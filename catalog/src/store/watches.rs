//! Who waits for which key to change. A store fires the ranges of each commit after new transactions can see it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{KeyRange, WatchFuture};

/// All watches of one store.
#[derive(Clone, Debug, Default)]
pub(super) struct Watches(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    next: u64,
    closed: bool,
    waiting: BTreeMap<(Bytes, u64), oneshot::Sender<()>>,
}

/// Takes the watch out of the registry when its future is dropped, so that abandoned watches cost nothing.
struct Registration {
    watches: Watches,
    place: (Bytes, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.watches.lock().waiting.remove(&self.place);
    }
}

impl Watches {
    /// Watches `key` from now on.
    pub(super) fn watch(&self, key: &[u8]) -> WatchFuture {
        let (sender, receiver) = oneshot::channel();
        let mut registry = self.lock();
        let place = (Bytes::copy_from_slice(key), registry.next);
        registry.next += 1;
        // Once the store has closed, the sender is dropped here, which resolves the future.
        if !registry.closed {
            registry.waiting.insert(place.clone(), sender);
        }
        drop(registry);
        let registration = Registration { watches: self.clone(), place };
        Box::pin(async move {
            let _registration = registration;
            // An error says that the store has closed, which resolves the watch as well.
            let _fired_or_closed = receiver.await;
        })
    }

    /// Resolves the watches of all keys in `ranges`.
    pub(super) fn fire(&self, ranges: &[KeyRange]) {
        let mut registry = self.lock();
        if registry.waiting.is_empty() {
            return;
        }
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            let inside = registry.waiting.range((range.start.clone(), 0)..(range.end.clone(), 0));
            let fired: Vec<(Bytes, u64)> = inside.map(|(place, _)| place.clone()).collect();
            for place in fired {
                registry.waiting.remove(&place);
            }
        }
    }

    /// Resolves all watches, and every later one at once.
    pub(super) fn close(&self) {
        let mut registry = self.lock();
        registry.closed = true;
        registry.waiting.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_watch_fires_for_its_key_alone_and_once_the_store_closes() {
        let watches = Watches::default();
        let (mut a, mut b) = (watches.watch(b"a"), watches.watch(b"b"));
        watches.fire(&[KeyRange::single(b"a")]);
        assert!((&mut a).now_or_never().is_some() && (&mut b).now_or_never().is_none());
        watches.close();
        assert!(b.now_or_never().is_some() && watches.watch(b"c").now_or_never().is_some());
    }

    #[test]
    fn an_abandoned_watch_leaves_nothing_behind() {
        let watches = Watches::default();
        drop(watches.watch(b"a"));
        assert!(watches.lock().waiting.is_empty());
    }
}
