//! A file on its way to being an object: written and synced under a name that no reader sees, then named in one step.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use object_store::PutMode;

use crate::directory;

/// Where objects are staged, under the store's root. Never listed.
pub(super) const FOLDER: &str = ".staging";

/// The staging folder of one store, and which directories of the store are known to be durable.
#[derive(Debug)]
pub(super) struct Staging {
    root: PathBuf,
    next: AtomicU64,
    /// Directories whose names, and those of their parents, this process has synced. One entry per directory, not per object.
    durable: Mutex<BTreeSet<PathBuf>>,
}

impl Staging {
    /// Opens the staging folder under `root` and removes what dead processes left in it.
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let folder = root.join(FOLDER);
        directory::create_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            remove_if_abandoned(&entry?.path())?;
        }
        Ok(Self { root, next: AtomicU64::new(0), durable: Mutex::default() })
    }

    /// A new, empty staged file.
    pub(super) fn create(&self) -> io::Result<StagedFile> {
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            // Names end like those that `LocalFileSystem` keeps out of its listings.
            let path = self.root.join(FOLDER).join(format!("{}-{number}#0", std::process::id()));
            let file = match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                // Another process of the same id, on another machine or in another container.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
                other => other?,
            };
            // The lock tells other processes that the file's maker lives. Losing it to one that is just opening the folder
            // means that the file is gone.
            match file.try_lock() {
                Ok(()) => return Ok(StagedFile { path, file }),
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// Makes `staged` the object `target`; data and name are durable when this returns. With [`PutMode::Create`] the error is
    /// `AlreadyExists` if the name was taken, and the object there is durable all the same.
    pub(super) fn publish(&self, staged: StagedFile, target: &Path, mode: &PutMode) -> io::Result<()> {
        staged.file.sync_all()?;
        let parent = target.parent().ok_or(ErrorKind::InvalidInput)?;
        self.make_durable(parent)?;
        let named = match mode {
            PutMode::Create => fs::hard_link(&staged.path, target),
            PutMode::Overwrite | PutMode::Update(_) => fs::rename(&staged.path, target),
        };
        match named {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.known().clear(); // Somebody removed the directory under us; the next attempt makes it again.
                Err(error)
            }
            // Also when the name was taken: who took it may have died before this, and our caller may be about to count on it.
            named => directory::sync(parent).and(named),
        }
    }

    /// Makes `directory` and its parents, down from the root, and their names durable, once per process.
    pub(super) fn make_durable(&self, directory: &Path) -> io::Result<()> {
        if directory == self.root || self.known().contains(directory) {
            return Ok(());
        }
        if let Some(parent) = directory.parent() {
            self.make_durable(parent)?;
        }
        directory::create(directory)?;
        self.known().insert(directory.to_owned());
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeSet<PathBuf>> {
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An unpublished file; removed when dropped, whether it was given a second name by then or not.
#[derive(Debug)]
pub(super) struct StagedFile {
    path: PathBuf,
    pub(super) file: File,
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Absent after a rename. Any other failure leaves a file that the next opening of the store removes.
        let _ = fs::remove_file(&self.path);
    }
}

fn remove_if_abandoned(path: &Path) -> io::Result<()> {
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    match file.try_lock() {
        Ok(()) => fs::remove_file(path),
        Err(TryLockError::WouldBlock) => Ok(()), // Its maker lives: another process on the same directory.
        Err(TryLockError::Error(error)) => Err(error),
    }
}
