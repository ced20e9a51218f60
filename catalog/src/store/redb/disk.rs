//! A disk in memory for the tests of the embedded store: counts and holds fsyncs, fails on demand, forgets in a crash.

use std::io::{Error, ErrorKind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;
use vfs::Random;

/// What the disk refuses to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// To sync, from now on.
    Sync,
    /// To write, for want of room.
    Write,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct TestDisk(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    content: Mutex<Content>,
    syncs: AtomicU64,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Since the last sync, in order.
    unsynced: Vec<Change>,
    fault: Fault,
    refused: u64,
    syncs_left: Option<u64>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(at(*length), 0),
            Self::Write(offset, data) => {
                let end = at(*offset) + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[at(*offset)..end].copy_from_slice(data);
            }
        }
    }
}

fn at(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

/// Holds every sync until it is opened.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
    reached: AtomicBool,
}

impl Gate {
    /// Returns once a sync is held.
    pub(super) async fn reached(&self) {
        while !self.reached.load(SeqCst) {
            tokio::task::yield_now().await;
        }
    }

    /// Lets all syncs pass.
    pub(super) fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut closed = self.closed.lock().unwrap();
        while *closed {
            self.reached.store(true, SeqCst);
            closed = self.opened.wait(closed).unwrap();
        }
    }
}

impl TestDisk {
    /// How many syncs there have been.
    pub(super) fn syncs(&self) -> u64 {
        self.0.syncs.load(SeqCst)
    }

    /// Holds every sync from now on.
    pub(super) fn hold_syncs(&self) -> Arc<Gate> {
        *self.0.gate.closed.lock().unwrap() = true;
        Arc::clone(&self.0.gate)
    }

    /// What to refuse from now on.
    pub(super) fn set_fault(&self, fault: Fault) {
        self.content().fault = fault;
    }

    /// How many writes found no room.
    pub(super) fn refused(&self) -> u64 {
        self.content().refused
    }

    /// Lets `syncs` more succeed, and then none.
    pub(super) fn fail_syncs_after(&self, syncs: u64) {
        self.content().syncs_left = Some(syncs);
    }

    /// The disk as it may be after a power cut: what was synced, and any part of what was not.
    pub(super) fn after_crash(&self, random: &dyn Random) -> Self {
        let content = self.content();
        let mut survived = content.durable.clone();
        for change in &content.unsynced {
            match (random.next_u64() % 3, change) {
                (0, _) => {}
                (1, Change::Write(offset, data)) => {
                    let torn = at(random.next_u64()) % (data.len() + 1);
                    Change::Write(*offset, data[..torn].to_vec()).apply(&mut survived);
                }
                (_, change) => change.apply(&mut survived),
            }
        }
        let after = Self::default();
        *after.content() = Content { now: survived.clone(), durable: survived, ..Content::default() };
        after
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: Change) -> Result<(), Error> {
        let mut content = self.content();
        if content.fault == Fault::Write {
            content.refused += 1;
            return Err(Error::new(ErrorKind::StorageFull, "no room on the disk"));
        }
        change.apply(&mut content.now);
        content.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for TestDisk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.content().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let content = self.content();
        let bytes = content.now.get(at(offset)..at(offset) + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| Error::from(ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.change(Change::Length(len))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.change(Change::Write(offset, data.to_vec()))
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.0.syncs.fetch_add(1, SeqCst);
        self.0.gate.pass();
        let mut content = self.content();
        if content.fault == Fault::Sync || content.syncs_left == Some(0) {
            return Err(Error::other("the disk lost power"));
        }
        content.syncs_left = content.syncs_left.map(|left| left - 1);
        let Content { durable, unsynced, .. } = &mut *content;
        unsynced.drain(..).for_each(|change| change.apply(durable));
        Ok(())
    }
}
