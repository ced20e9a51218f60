//! The seam between a query's coordinator and the owners of its streams (PROTOCOL, "Snapshots and memtable reads").
//!
//! The coordinator takes version V with C(s) and the owner of each stream, and pins each owner, which answers E(s). Every
//! scan of the query then reads parts at V and exactly `[C(s), E(s))` from the owner. Typed requests only, so that the
//! same seam carries them over a wire.

use std::collections::BTreeMap;
use std::fmt;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use catalog::{Epoch, Offset, OffsetRange, PartKind, StreamId};
/// The rows of a scan.
pub use datafusion::execution::SendableRecordBatchStream;

/// One query, at all of its owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u128);

/// A stream as the coordinator saw it at version V.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinStream {
    /// The stream.
    pub stream: StreamId,
    /// The owner's epoch at V; another one at the owner means: plan again.
    pub epoch: Epoch,
    /// C(s): rows from here on must come from memory.
    pub committed: Offset,
}

/// "Hold what you have of these streams from C(s) on, and tell me where it ends."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinRequest {
    /// The query.
    pub query: QueryId,
    /// The streams of one owner.
    pub streams: Vec<PinStream>,
}

/// Why an owner does not serve a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinRefusal {
    /// It holds the stream, but under another epoch or no longer from C(s) on: plan again at a newer version.
    PlanAgain,
    /// It holds nothing of the stream: it has let it go after committing all that was visible, has given it up, or has not
    /// taken it up yet. What it ever showed and did not commit is not visible to anybody now, so a version read after this
    /// answer, at which the stream's epoch is still the same, is whole without its memory.
    NotHeld,
}

/// What an owner answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinOutcome {
    /// Held; E(s) of each stream: the end of what is logged and published.
    Pinned(BTreeMap<StreamId, Offset>),
    /// None is held, because of these.
    Refused(BTreeMap<StreamId, PinRefusal>),
}

/// "Give me the rows of exactly these ranges."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemtableScan {
    /// The query, which has pinned them.
    pub query: QueryId,
    /// `[C(s), E(s))` of each stream.
    pub ranges: BTreeMap<StreamId, OffsetRange>,
    /// Rows or error rows.
    pub kind: PartKind,
    /// Indexes into the storage schema (or the error schema).
    pub projection: Vec<usize>,
}

/// Why an owner could not be read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PinError {
    /// It does not answer.
    #[error("the worker at {address} does not answer: {cause}; its streams are being granted to another, try again")]
    Unreachable {
        /// The worker.
        address: String,
        /// Why.
        cause: String,
    },
    /// The pin was dropped, because the query was too slow or memory ran out.
    #[error("the rows in memory that this query had pinned were released after {seconds} s; run it again")]
    Released {
        /// How long it was held.
        seconds: u64,
    },
}

/// Reads the memtables of workers, by their addresses.
#[async_trait]
pub trait MemtableReader: Send + Sync + fmt::Debug {
    /// Pins streams at one owner. A pin is per query and owner; a second one of the same query adds to it.
    async fn pin(&self, address: &str, request: PinRequest) -> Result<PinOutcome, PinError>;
    /// Streams the rows of pinned ranges, each exactly once, in `schema`: the scan's projection of the storage schema.
    async fn scan(
        &self,
        address: &str,
        schema: SchemaRef,
        scan: MemtableScan,
    ) -> Result<SendableRecordBatchStream, PinError>;
    /// Releases the query's pin at that owner. Best effort: a pin also ends by its time.
    fn unpin(&self, address: &str, query: QueryId);
}
