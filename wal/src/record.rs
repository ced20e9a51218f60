//! What goes into the log and comes out of it, and where in the log it is.

use std::fmt;

use bytes::Bytes;

/// Where a record is: positions of one WAL are ordered as its records are, also across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WalPosition {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

impl fmt::Display for WalPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// What is appended. The epoch is the right to do so (I2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose record it is.
    pub stream: u64,
    /// The epoch under which the stream was granted to the writer.
    pub epoch: u64,
    /// Bytes that mean nothing to the WAL.
    pub payload: Bytes,
}

/// A record read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replayed {
    /// Whose record it is.
    pub stream: u64,
    /// The epoch under which it was appended; not necessarily the stream's newest.
    pub epoch: u64,
    /// Where it is: what [`crate::Wal::release`] takes.
    pub position: WalPosition,
    /// The bytes that were appended.
    pub payload: Bytes,
}
