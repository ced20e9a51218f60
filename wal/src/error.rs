//! What can go wrong in the WAL, told apart where a caller acts differently.

use std::sync::Arc;

use vfs::DiskError;

use crate::segment;

/// A failed operation on the WAL. Cheap to clone, because one failure is told to many waiters.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
    /// The stream has been granted anew (I2): drop its rows, never retry.
    #[error("stream {stream} is fenced: a newer grant, of epoch {newest}, owns it; this writer must drop it")]
    Fenced {
        /// The stream.
        stream: u64,
        /// The newest epoch that this WAL knows for it.
        newest: u64,
    },
    /// An fsync failed. Nothing is known of the bytes that it covered, and a second fsync would lie, so the log takes nothing
    /// more: this error is every waiter's and every later append's, until the process opens the WAL again.
    #[error(
        "the write-ahead log can no longer be trusted with new rows: {0}; check the disk, then restart this process"
    )]
    SyncFailed(#[source] Arc<DiskError>),
    /// The record was not appended, because the disk has no room. The log stays usable, and waiting helps.
    #[error(
        "the disk of the write-ahead log is full or below its reserve: free some of it, or wait for a flush to do so"
    )]
    DiskFull,
    /// Bytes that had been made durable are not what was written.
    #[error("the write-ahead log is damaged: segment {} at byte {at}: {reason}; restore that file, or move the whole \
             directory away to go on without what it holds", segment::file_name(*segment))]
    Damaged {
        /// The number of the segment.
        segment: u64,
        /// Where in it.
        at: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The segment was written by a release that this one does not know.
    #[error("the write-ahead log's segment {} has format version {version}, which this release cannot read: start the \
             release that wrote it, and let it flush and close", segment::file_name(*segment))]
    UnsupportedFormat {
        /// The number of the segment.
        segment: u64,
        /// Its format's version.
        version: u32,
    },
    /// The payload is larger than a record may be.
    #[error(
        "a record of {bytes} bytes is larger than the write-ahead log takes ({limit} bytes): append smaller batches"
    )]
    TooLarge {
        /// The payload's length.
        bytes: u64,
        /// The largest length.
        limit: u64,
    },
    /// The disk failed in another way. After a failed write the log takes nothing more, as after a failed fsync.
    #[error("the write-ahead log cannot use its disk: {0}")]
    Disk(#[source] Arc<DiskError>),
    /// The WAL was closed before the record was written.
    #[error("the write-ahead log is closed")]
    Closed,
}

impl From<DiskError> for WalError {
    fn from(error: DiskError) -> Self {
        Self::Disk(Arc::new(error))
    }
}
