//! One table's log, record by record: folded as a snapshot folds it (which proves I2 and I3), and added up beside that (I1, I4).

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::VerifyReport;
use super::facts::hash;
use crate::commit::check_advance;
use crate::keys;
use crate::keys::log::{CommitChunk, LogRecord};
use crate::snapshot::Fold;
use crate::{CatalogError, Part, PartKind, StreamId, StreamView, TableId, Version, WriterId};

const BROKEN: &str = "queries of the table and commits that look at it end with an error: restore the catalog from a copy, or \
    drop the table";
const LEDGER: &str = "rows of the table are missing or are there twice: SYSTEM VERIFY TABLE … FULL tells which offsets; \
    load them again, or restore the catalog from a copy";

/// A log that is being read.
pub(super) struct TableLog {
    table: TableId,
    /// `None` for a dropped table, of which the beginning may be gone, and after a record that does not fit.
    fold: Option<Fold>,
    last: Version,
    truncations: Vec<Version>,
    commit: Option<CommitSums>,
}

/// What a log came to.
pub(super) struct LogSummary {
    /// The version of its newest record.
    pub(super) last: Version,
    /// Where the table was emptied.
    pub(super) truncations: Vec<Version>,
    /// All its streams; none if it could not be folded.
    pub(super) streams: Vec<StreamView>,
    /// Whether it could be.
    pub(super) is_folded: bool,
    /// What is visible at its end.
    pub(super) parts: Arc<Vec<Arc<Part>>>,
}

/// The chunks of one commit, added up.
struct CommitSums {
    key: Vec<u8>,
    version: Version,
    writer: WriterId,
    streams: BTreeMap<StreamId, Sums>,
}

/// Rows and error rows of one stream: by the ledger of the commit, and by its parts. Wide enough for any numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    said: (u128, u128),
    held: (u128, u128),
}

impl TableLog {
    pub(super) fn new(table: TableId, is_dropped: bool) -> Self {
        let fold = (!is_dropped).then(Fold::default);
        Self { table, fold, last: Version::ZERO, truncations: Vec::new(), commit: None }
    }

    pub(super) fn table(&self) -> TableId {
        self.table
    }

    /// Adds the next record. The error says why it cannot be read.
    pub(super) fn add(
        &mut self,
        key: &[u8],
        version: Version,
        value: &[u8],
        report: &mut VerifyReport,
    ) -> Result<(), CatalogError> {
        if self.commit.as_ref().is_some_and(|commit| !commit.version.same_commit(version)) {
            self.end_commit(report);
        }
        self.last = version;
        let record = match keys::log::deser_value(key, value) {
            Ok(record) => record,
            Err(error) => {
                // Without it the rest does not add up, and that is said once.
                (self.fold, self.commit) = (None, None);
                return Err(error);
            }
        };
        if let LogRecord::Truncated { .. } = record {
            self.truncations.push(version);
        }
        let Some(fold) = &mut self.fold else { return Ok(()) };
        let folded = check_record(self.table, &record).and_then(|()| {
            if let LogRecord::Commit(chunk) = &record {
                self.commit.get_or_insert_with(|| CommitSums::new(key, version, chunk.writer)).add(chunk);
            }
            fold.apply(version, record)
        });
        if let Err(fault) = folded {
            report.find(key, format!("it does not follow from the log before it: {fault}"), BROKEN);
            (self.fold, self.commit) = (None, None);
        }
        Ok(())
    }

    fn end_commit(&mut self, report: &mut VerifyReport) {
        let Some(CommitSums { key, streams, .. }) = self.commit.take() else { return };
        for (stream, Sums { said, held }) in streams {
            if said != held {
                let what = format!(
                    "its ledger says {} rows and {} error rows of stream {stream}, and its parts hold {} and {} (I1)",
                    said.0, said.1, held.0, held.1
                );
                report.find(&key, what, LEDGER);
            }
        }
    }

    pub(super) fn finish(mut self, report: &mut VerifyReport) -> LogSummary {
        self.end_commit(report);
        let Self { table, fold, last, truncations, .. } = self;
        let is_folded = fold.is_some();
        let fold = fold.unwrap_or_default();
        let (streams, parts) = (fold.streams(), fold.parts());
        for StreamView { stream, committed, ledger, .. } in &streams {
            let offsets = committed.0 - stream.start.0;
            if ledger.offsets() != offsets {
                let accounted = ledger.offsets();
                let what = format!(
                    "stream {} stands {offsets} offsets after its start, and its ledger accounts for {accounted} (I1)",
                    stream.id
                );
                report.find(keys::log::ser_key(table, last), what, LEDGER);
            }
        }
        let mut seen = HashSet::new();
        for part in parts.iter().filter(|part| !seen.insert(hash(part.id))) {
            let what = format!("part {} is visible twice (I1)", part.id);
            report.find(keys::log::ser_key(table, last), what, LEDGER);
        }
        LogSummary { last, truncations, streams, is_folded, parts }
    }
}

impl CommitSums {
    fn new(key: &[u8], version: Version, writer: WriterId) -> Self {
        Self { key: key.to_vec(), version, writer, streams: BTreeMap::new() }
    }

    fn add(&mut self, chunk: &CommitChunk) {
        for advance in &chunk.advances {
            let said = &mut self.streams.entry(advance.stream).or_default().said;
            *said = (said.0 + u128::from(advance.ledger.rows), said.1 + u128::from(advance.ledger.errors));
        }
        for moved in &chunk.moved {
            self.streams.entry(moved.stream).or_default().said.0 += u128::from(moved.rows);
        }
        // What a rewrite keeps of the error rows was an error row before, and is not said again.
        let is_rewrite = matches!(self.writer, WriterId::Rewrite(_));
        for part in &chunk.parts_added {
            for covered in &part.streams {
                let held = &mut self.streams.entry(covered.stream).or_default().held;
                match part.kind {
                    PartKind::Rows => held.0 += u128::from(covered.rows),
                    PartKind::Errors if is_rewrite => {}
                    PartKind::Errors => held.1 += u128::from(covered.rows),
                }
            }
        }
    }
}

/// What must hold of a record by itself, so that it can be folded.
fn check_record(table: TableId, record: &LogRecord) -> Result<(), String> {
    match record {
        LogRecord::Commit(chunk) => {
            chunk.advances.iter().try_for_each(check_advance)?;
            chunk.parts_added.iter().try_for_each(|part| check_part(table, part))?;
            match chunk.moved.iter().find(|moved| moved.rows.checked_add(moved.filtered).is_none()) {
                Some(moved) => Err(format!("more error rows of stream {} are moved than there can be", moved.stream)),
                None => Ok(()),
            }
        }
        LogRecord::StreamOpened(stream) if stream.table != table => {
            Err(format!("stream {} goes into table {}", stream.id, stream.table))
        }
        LogRecord::StreamOpened(_)
        | LogRecord::Grant { .. }
        | LogRecord::StreamsClosed(_)
        | LogRecord::Truncated { .. } => Ok(()),
    }
}

fn check_part(table: TableId, part: &Part) -> Result<(), String> {
    if part.table != table {
        return Err(format!("part {} is one of table {}", part.id, part.table));
    }
    for covered in &part.streams {
        let range = covered.range;
        if range.start >= range.end || covered.rows > range.offsets() {
            return Err(format!("part {} has {} rows of stream {} in {range}", part.id, covered.rows, covered.stream));
        }
    }
    let rows: u128 = part.streams.iter().map(|covered| u128::from(covered.rows)).sum();
    match rows == u128::from(part.rows) {
        true => Ok(()),
        false => Err(format!("part {} has {} rows, and {rows} of its streams", part.id, part.rows)),
    }
}
