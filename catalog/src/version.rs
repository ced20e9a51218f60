//! The parts of a version: era, stamp, number (PROTOCOL, "Versions and the table log"). Everybody else sees 16 opaque bytes.

use crate::Version;
use crate::store::Stamp;

impl Version {
    /// Record `number` of the commit that got `stamp`, in an era of this catalog.
    pub fn new(era: u32, stamp: Stamp, number: u16) -> Self {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&era.to_be_bytes());
        bytes[4..14].copy_from_slice(stamp.as_ref());
        bytes[14..].copy_from_slice(&number.to_be_bytes());
        Self(bytes)
    }

    /// How often the catalog had been copied or restored.
    pub fn era(self) -> u32 {
        u32::from_be_bytes(self.0[..4].try_into().expect("4 of 16 bytes"))
    }

    /// Where its commit stands in the order of all commits of the era.
    pub fn stamp(self) -> Stamp {
        Stamp(self.0[4..14].try_into().expect("10 of 16 bytes"))
    }

    /// Which record of its commit it is.
    pub fn number(self) -> u16 {
        u16::from_be_bytes(self.0[14..].try_into().expect("2 of 16 bytes"))
    }

    /// Whether both are records of one commit, and so become visible together (I4).
    pub fn same_commit(self, other: Self) -> bool {
        self.0[..14] == other.0[..14]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_version_gives_back_its_parts_and_its_text(era: u32, stamp: [u8; 10], number: u16) {
            let version = Version::new(era, Stamp(stamp), number);
            prop_assert_eq!((version.era(), version.stamp(), version.number()), (era, Stamp(stamp), number));
            let text = serde_json::to_string(&version).unwrap();
            prop_assert_eq!(text.len(), 34);
            prop_assert_eq!(serde_json::from_str::<Version>(&text).unwrap(), version);
        }

        #[test]
        fn versions_order_by_era_then_stamp_then_number(
            a: (u32, [u8; 10], u16), b: (u32, [u8; 10], u16)
        ) {
            let [left, right] = [a, b].map(|(era, stamp, number)| Version::new(era, Stamp(stamp), number));
            prop_assert_eq!(left.cmp(&right), a.cmp(&b));
            prop_assert_eq!(left.same_commit(right), (a.0, a.1) == (b.0, b.1));
            prop_assert_eq!(left.to_string().cmp(&right.to_string()), a.cmp(&b));
        }
    }
}
