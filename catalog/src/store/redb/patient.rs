//! A storage that waits for room on a full disk.
//!
//! `redb` gives up for good at the first write that fails, readers too, and with it the store closes. Disks are filled by others and emptied
//! again: a commit waits for that here, half written as it may be, while what is committed is read. A sync that fails is never tried again:
//! it says nothing about the pages that it was for.

use std::io::{Error, ErrorKind};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use redb::{BackendError, StorageBackend};

/// How long a write waits before it asks a full disk again.
const RETRY: Duration = Duration::from_millis(100);
/// 1 while a commit waits for room.
const WAITS: &str = "millrace_catalog_waits_for_room";

/// Whether writes wait for room, or fail for want of it. They fail until the store is open, whose user is told, and once it is to close.
#[derive(Clone, Debug, Default)]
pub(super) struct Patience(Arc<AtomicBool>);

impl Patience {
    /// Lets writes wait, or no longer.
    pub(super) fn set(&self, waits: bool) {
        self.0.store(waits, SeqCst);
    }

    fn waits(&self) -> bool {
        self.0.load(SeqCst)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Patient<S> {
    storage: S,
    patience: Patience,
}

impl<S: StorageBackend> Patient<S> {
    pub(super) fn new(storage: S, patience: &Patience) -> Self {
        Self { storage, patience: patience.clone() }
    }

    fn with_room(&self, attempt: impl Fn() -> Result<(), Error>) -> Result<(), Error> {
        let mut is_told = false;
        loop {
            match attempt() {
                Err(error) if is_full(&error) && self.patience.waits() => {
                    if !is_told {
                        tracing::warn!(%error, "the disk of the catalog is full: a commit waits until there is room");
                        metrics::gauge!(WAITS).set(1.0);
                    }
                    is_told = true;
                    std::thread::sleep(RETRY);
                }
                outcome => {
                    if is_told {
                        metrics::gauge!(WAITS).set(0.0);
                    }
                    return outcome;
                }
            }
        }
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl<S: StorageBackend> StorageBackend for Patient<S> {
    fn len(&self) -> Result<u64, Error> {
        self.storage.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.storage.read(offset, out)
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.with_room(|| self.storage.set_len(len))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.with_room(|| self.storage.write(offset, data))
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.storage.sync_data()
    }

    fn close(&self) -> Result<(), Error> {
        self.storage.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.storage.query_lock_range(start, end)
    }
}
