//! One file's bytes as a slice, mapped or in memory, so that readers are the same code on a real disk and in a simulation.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Mmap, MmapOptions};

/// A view of a whole file, as it was when the view was made. Clones share it.
#[derive(Clone)]
pub struct FileView(Source);

#[derive(Clone)]
enum Source {
    Mapped(Arc<Mmap>),
    Memory(Bytes),
}

impl FileView {
    /// Maps the file as it is now. A file that is cut while it is mapped kills the process on the next read of the lost pages,
    /// which is why [`crate::Disk::view`] obliges its caller to neither cut nor remove it.
    #[allow(unsafe_code)]
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        if file.metadata()?.len() == 0 {
            return Ok(Self(Source::Memory(Bytes::new()))); // The kernel refuses to map nothing.
        }
        // SAFETY: the mapping is read-only and private to this process's data directory, which `DirectoryLock` keeps other
        // processes out of; within this process files only grow while a view lives, and a mapping does not show growth.
        let map = unsafe { MmapOptions::new().map(file)? };
        Ok(Self(Source::Mapped(Arc::new(map))))
    }
}

impl From<Bytes> for FileView {
    fn from(bytes: Bytes) -> Self {
        Self(Source::Memory(bytes))
    }
}

impl Deref for FileView {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Mapped(map) => map,
            Source::Memory(bytes) => bytes,
        }
    }
}

impl AsRef<[u8]> for FileView {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for FileView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.0 {
            Source::Mapped(_) => "mapped",
            Source::Memory(_) => "memory",
        };
        write!(f, "FileView({kind}, {} bytes)", self.len())
    }
}
