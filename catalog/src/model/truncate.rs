//! TRUNCATE: all rows of a table go, in one transaction.

use std::collections::BTreeMap;

use super::{Epoch, Offset, StreamId, TableId, Version};

/// What is to be emptied, and what its maker has made sure of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruncateRequest {
    /// The table.
    pub table: TableId,
    /// The streams of its pipelines that have an owner, each as it was when the owner had no row of it but committed ones.
    pub streams: BTreeMap<StreamId, (Epoch, Offset)>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TruncateOutcome {
    /// The table is empty from this version on; `None` where another TRUNCATE came between, or an earlier attempt of this one.
    Truncated(Option<Version>),
    /// A stream was granted or committed since: look again.
    Moved,
}
