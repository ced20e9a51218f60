//! The stamp of a commit: where it stands in the order of all commits of its store.

use std::fmt;

/// Ten bytes that order commits: FoundationDB's versionstamp, or elsewhere a counter in commit order. Never reused, also
/// not after the store was closed, killed or opened again; opaque otherwise.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub [u8; Stamp::BYTES]);

impl Stamp {
    /// How many bytes a stamp has.
    pub const BYTES: usize = 10;

    /// The stamp of the `count`-th commit of a store that counts: eight bytes big-endian, then two of zero.
    pub(super) fn from_count(count: u64) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&count.to_be_bytes());
        Self(bytes)
    }
}

impl AsRef<[u8]> for Stamp {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_order_as_bytes_in_the_order_of_their_counts() {
        let stamps: Vec<Stamp> = [0, 1, 255, 256, u64::MAX].map(Stamp::from_count).to_vec();
        assert!(stamps.is_sorted());
        assert_eq!(Stamp::from_count(258).to_string(), "00000000000001020000");
    }
}
