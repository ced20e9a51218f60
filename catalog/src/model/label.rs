//! Labels: how a client's retry of an INSERT is known again (PROTOCOL, "Streams").

use serde::{Deserialize, Serialize};

use super::Version;

/// A label that a commit leaves. Within its table no two commits leave the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommitLabel {
    /// As the client chose it.
    pub label: String,
    /// How many rows the INSERT had: what its retry is answered with.
    pub rows: u64,
}

/// How the INSERT ended that had the label first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelOutcome {
    /// Its version.
    pub version: Version,
    /// How many rows it had.
    pub rows: u64,
}
