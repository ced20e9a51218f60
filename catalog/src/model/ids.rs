//! Ids, offsets, epochs and versions: newtypes, so that one cannot stand where another is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// One table, for ever: a table dropped and made again has another id.
    TableId(u64)
);
number!(
    /// One pipeline, for ever.
    PipelineId(u64)
);
number!(
    /// What offsets belong to: one incarnation of one partition of one pipeline, or an insert channel.
    StreamId(u64)
);
number!(
    /// One version of a table's columns.
    SchemaId(u32)
);
number!(
    /// A column of a table, for ever; also its Parquet field id. Never reused.
    ColumnId(i32)
);
number!(
    /// Raised by each grant of a stream and of a manager's lease; checked by each commit and WAL append (I2).
    Epoch(u64)
);
number!(
    /// A value that only DDL raises; a commit names the one that it knows, so that it is fenced by a DROP.
    Fence(u64)
);
number!(
    /// The position of one record in its stream. Offsets rise, and may skip.
    Offset(u64)
);
number!(
    /// Which share of its pipeline a task is, counted from 0.
    TaskIndex(u32)
);

/// A catalog's lasting name: made with it at random, and kept by its copies. By it a server knows whose parts an object store
/// holds, and whose rows a write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CatalogId(pub String);

impl fmt::Display for CatalogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which catalog a store holds. Two with the same identity are one: whatever belongs to it, a write-ahead log or parts, belongs to
/// the other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CatalogIdentity {
    /// Its lasting name, which its copies have too.
    pub id: CatalogId,
    /// How often it was copied, counted from 1: what its versions begin with.
    pub era: u32,
    /// Which copy it is, made at random: two copies of one catalog are of the same era, and go different ways. `None` for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<u64>,
}

impl fmt::Display for CatalogIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, era, copy } = self;
        write!(f, "{id} era {era}")?;
        copy.map_or(Ok(()), |copy| write!(f, " copy {copy:016x}"))
    }
}

/// A worker's lasting name: made once, kept in its data directory, so that it knows its own WAL again after a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub String);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! wide {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
            }
        }
    };
}

wide!(
    /// One part: random, so that two workers never make the same name.
    PartId
);
wide!(
    /// One attempt to commit one thing; the same for every retry of it (I6).
    CommitToken
);

/// Offsets `start..end` of one stream: start inclusive, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OffsetRange {
    /// The first offset in the range.
    pub start: Offset,
    /// The first offset after the range.
    pub end: Offset,
}

impl OffsetRange {
    /// The range `start..end`.
    ///
    /// # Panics
    /// If it would end before it starts.
    pub fn new(start: Offset, end: Offset) -> Self {
        assert!(start <= end, "offset range {start}..{end} ends before it starts");
        Self { start, end }
    }

    /// How many offsets lie in it, whether or not each was a record.
    pub fn offsets(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether no offset lies in it.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `offset` lies in it.
    pub fn contains(self, offset: Offset) -> bool {
        self.start <= offset && offset < self.end
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// What a commit yields: an opaque, ordered position in a table's log (PROTOCOL, "Versions and the table log"):
/// era (4 bytes), the store's stamp (10 bytes), number within the commit (2 bytes). Shown as hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Version(pub [u8; 16]);

impl Version {
    /// Before the first record of any log.
    pub const ZERO: Self = Self([0; 16]);
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 16];
        hex::decode_to_slice(&text, &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}
