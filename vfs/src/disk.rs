//! The seam of the local directory: what the WAL needs of a disk, and what it may count on after a crash.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{DiskError, FileView};

/// One name in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskEntry {
    /// The file's name, without the directory.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

/// A flat local directory. Each obligation below is what recovery counts on; the contract suite checks it.
#[async_trait]
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates an empty file that must not exist yet; its name is durable when this returns.
    async fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>, DiskError>;
    /// A view of the whole file as it is now. The caller must not truncate or remove it while the view lives.
    async fn view(&self, name: &str) -> Result<FileView, DiskError>;
    /// All files, sorted by name.
    async fn list(&self) -> Result<Vec<DiskEntry>, DiskError>;
    /// Cuts the file to `bytes`, durably.
    async fn truncate(&self, name: &str, bytes: u64) -> Result<(), DiskError>;
    /// Removes the file, durably. A missing file is success: the caller may be repeating itself after a crash.
    async fn remove(&self, name: &str) -> Result<(), DiskError>;
    /// Bytes that an ordinary process could still write here.
    async fn free_bytes(&self) -> Result<u64, DiskError>;
}

/// An open file that only grows.
#[async_trait]
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Writes `bytes` at the end, as it is now (a [`Disk::truncate`] by name may have moved it). Not durable until [`DiskFile::sync`] returns; after a crash any prefix, or garbage of the
    /// same length, may be there. Callers do not overlap their appends.
    async fn append(&self, bytes: Bytes) -> Result<(), DiskError>;
    /// Makes all that was appended before this call durable. May run while a later append runs. After an error nothing is
    /// known of the bytes, and the call must never be retried: the kernel reports a lost write once.
    async fn sync(&self) -> Result<(), DiskError>;
}
