//! What can go wrong outside, in the words of the place where it went wrong.

use std::path::PathBuf;

/// A failed operation on a local directory.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}: {source}")]
pub struct DiskError {
    /// What was tried, as a verb: "append to", "sync", "open".
    pub operation: &'static str,
    /// Where.
    pub path: PathBuf,
    /// Why it failed.
    #[source]
    pub source: std::io::Error,
}

impl DiskError {
    /// Whether the disk (or a quota) has no room left: the one disk error after which waiting helps.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
    }
}

/// Why a data directory could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("the data directory {path} is in use by another process{}: stop that process, or name another --data-dir", holder.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Held {
        /// The directory.
        path: PathBuf,
        /// The process id that the holder wrote into the lock file, if it could be read.
        holder: Option<u32>,
    },
    /// The lock file could not be made or read.
    #[error("cannot lock the data directory {path}: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}
