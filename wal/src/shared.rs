//! What the handle and the three tasks of one WAL share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::intake::Intake;
use crate::ledger::Ledger;

/// The state of one WAL, behind small locks that are never held across an await.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) intake: Intake,
    ledger: Mutex<Ledger>,
    /// Wakes the retirer: a segment may have become removable.
    pub(crate) retire: Notify,
    /// No more will be written.
    ended: AtomicBool,
    pub(crate) fsyncs: AtomicU64,
    pub(crate) records: AtomicU64,
}

impl Shared {
    pub(crate) fn new(intake: Intake, ledger: Ledger) -> Self {
        let (fsyncs, records) = (AtomicU64::new(0), AtomicU64::new(0));
        let shared = Self {
            intake,
            ledger: Mutex::new(ledger),
            retire: Notify::new(),
            ended: AtomicBool::new(false),
            fsyncs,
            records,
        };
        shared.with_ledger(|_| ());
        shared
    }

    /// Runs `work` on the ledger, and shows the bytes that it counts from then on.
    pub(crate) fn with_ledger<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        let mut ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut ledger);
        metrics::gauge!("millrace_wal_bytes").set(ledger.bytes() as f64);
        result
    }

    /// As [`Shared::with_ledger`]; lets the retirer see whether a segment may go now.
    pub(crate) fn with_ledger_and_retirer<T>(&self, work: impl FnOnce(&mut Ledger) -> T) -> T {
        let result = self.with_ledger(work);
        self.retire.notify_one();
        result
    }

    /// The writer has ended, so the retirer shall too.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.retire.notify_one();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}
