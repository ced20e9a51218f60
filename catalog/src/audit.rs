//! A table's log as it stands, record by record, for whoever wants to prove it rather than to use it: a record that cannot be read is
//! told with its place, and does not end the reading.

use futures::FutureExt;

use crate::ddl;
use crate::keys::{self, log::LogRecord};
use crate::store::{RangeOptions, Read};
use crate::{
    Catalog, CatalogError, Epoch, ErrorsMoved, Offset, Part, PartId, Stream, StreamAdvance, StreamId, TableId, Version,
};

/// What a record of the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditRecord {
    /// A stream was opened.
    Opened(Stream),
    /// Streams were closed.
    Closed(Vec<StreamId>),
    /// A stream was granted under this epoch.
    Granted(StreamId, Epoch),
    /// Every part before this is gone.
    Truncated,
    /// A commit, or as much of it as one record holds.
    Commit {
        /// Streams that it advances.
        advances: Vec<StreamAdvance>,
        /// Parts that become visible.
        added: Vec<Part>,
        /// Parts that no longer are.
        removed: Vec<PartId>,
        /// Error rows that are none any more.
        moved: Vec<ErrorsMoved>,
    },
}

/// One record of the log, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its key, as errors show it.
    pub place: String,
    /// Its version; `None` where the key itself cannot be read.
    pub version: Option<Version>,
    /// What it says, or why it cannot be read.
    pub record: Result<AuditRecord, String>,
}

/// Some records of the log, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The records.
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Version>,
}

impl Catalog {
    /// The version of the newest record of a table's log: where an audit ends.
    pub async fn audit_head(&self, table: TableId) -> Result<Version, CatalogError> {
        let key = &keys::head::ser_key(table);
        self.once("reading a table's head", |transaction| {
            async move {
                ddl::table::require(transaction, table).await?;
                let head = keys::get(transaction, key, keys::head::deser_value).await?;
                Ok(head.unwrap_or(Version::ZERO))
            }
            .boxed()
        })
        .await
    }

    /// The records after `after`, up to and with `through`, as many as one read yields.
    pub async fn audit(&self, table: TableId, after: Version, through: Version) -> Result<AuditPage, CatalogError> {
        let range = &keys::log::between(table, after, through);
        let page = self
            .once("reading a table's log", |transaction| {
                async move {
                    let options = RangeOptions { read: Read::Snapshot, ..RangeOptions::default() };
                    Ok(transaction.range(range.clone(), options).await?)
                }
                .boxed()
            })
            .await?;
        let entries: Vec<AuditEntry> = page.entries.iter().map(|(key, value)| entry(key, value)).collect();
        let last = entries.last().and_then(|entry| entry.version);
        Ok(AuditPage { next: last.filter(|last| page.more && *last < through), entries })
    }

    /// How far a stream is committed by its own key, which commits compare; `None` where there is none.
    pub async fn audit_checkpoint(&self, stream: StreamId) -> Result<Option<Offset>, CatalogError> {
        let key = &keys::checkpoint::ser_key(stream);
        self.once("reading a stream's offset", |transaction| {
            async move {
                let found = keys::get(transaction, key, keys::checkpoint::deser_value).await?;
                Ok(found.map(|found| found.next))
            }
            .boxed()
        })
        .await
    }
}

fn entry(key: &[u8], value: &[u8]) -> AuditEntry {
    let version = keys::log::deser_key(key).ok().map(|(_, version)| version);
    let record = keys::log::deser_value(key, value).map(|record| match record {
        LogRecord::StreamOpened(stream) => AuditRecord::Opened(stream),
        LogRecord::StreamsClosed(streams) => AuditRecord::Closed(streams),
        LogRecord::Grant { stream, owner } => AuditRecord::Granted(stream, owner.epoch),
        LogRecord::Truncated { .. } => AuditRecord::Truncated,
        LogRecord::Commit(chunk) => AuditRecord::Commit {
            advances: chunk.advances,
            added: chunk.parts_added,
            removed: chunk.parts_removed,
            moved: chunk.moved,
        },
    });
    AuditEntry { place: keys::show(key), version, record: record.map_err(|error| error.to_string()) }
}
