//! The WAL's bounds. Plain values, validated where they are read.

/// Bounds on what the WAL takes of disk and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalSettings {
    /// A segment that has grown to so many bytes is followed by a new one. Disk comes back segment by segment.
    pub segment_bytes: u64,
    /// Bytes that may be accepted and not yet written (I8); [`crate::Wal::append`] waits for room among them. One record may
    /// be larger: it is accepted alone.
    pub queue_bytes: u64,
    /// Appends that would leave less free disk than this are refused, so that a flush still has room to make some.
    pub disk_reserve_bytes: u64,
}

impl Default for WalSettings {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, queue_bytes: 32 << 20, disk_reserve_bytes: 256 << 20 }
    }
}
