//! A worker's disk as its process reaches it: a sync takes time, now and then a long one, so that there is something that is written
//! and not yet durable.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use vfs::{Clock, Disk, DiskEntry, DiskError, DiskFile, FileView, MemoryDisk};

use super::draw::Draw;

/// The disk as one process reaches it.
#[derive(Clone, Debug)]
pub struct ProcessDisk {
    /// The disk itself.
    pub inner: MemoryDisk,
    /// The process's clock.
    pub clock: Arc<dyn Clock>,
    /// Draws how long a sync takes.
    pub draw: Draw,
}

#[derive(Debug)]
struct ProcessFile {
    inner: Arc<dyn DiskFile>,
    disk: ProcessDisk,
}

#[async_trait]
impl Disk for ProcessDisk {
    async fn create(&self, name: &str) -> Result<Arc<dyn DiskFile>, DiskError> {
        let inner = self.inner.create(name).await?;
        Ok(Arc::new(ProcessFile { inner, disk: self.clone() }))
    }

    async fn view(&self, name: &str) -> Result<FileView, DiskError> {
        self.inner.view(name).await
    }

    async fn list(&self) -> Result<Vec<DiskEntry>, DiskError> {
        self.inner.list().await
    }

    async fn truncate(&self, name: &str, bytes: u64) -> Result<(), DiskError> {
        self.inner.truncate(name, bytes).await
    }

    async fn remove(&self, name: &str) -> Result<(), DiskError> {
        self.inner.remove(name).await
    }

    async fn free_bytes(&self) -> Result<u64, DiskError> {
        self.inner.free_bytes().await
    }
}

#[async_trait]
impl DiskFile for ProcessFile {
    async fn append(&self, bytes: Bytes) -> Result<(), DiskError> {
        self.inner.append(bytes).await
    }

    async fn sync(&self) -> Result<(), DiskError> {
        let wait = match self.disk.draw.number(0, 100) {
            0..30 => Duration::ZERO,
            30..95 => self.disk.draw.millis(0, 4),
            _ => self.disk.draw.millis(0, 80),
        };
        if !wait.is_zero() {
            self.disk.clock.sleep(wait).await;
        }
        self.inner.sync().await
    }
}
