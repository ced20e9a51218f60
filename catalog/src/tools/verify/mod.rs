//! Whether a catalog is sound: every record can be read, what they say of each other agrees, and each table's log is one that
//! the commit rule can have written (I1 to I4).
//!
//! ```text
//!   every key in order ──> Facts: what later questions need of it, not the record
//!          └─ log/… ─────> TableLog: one table's log at a time, folded as a snapshot folds it
//!   all read ───────────> cross: the facts against each other ──> looked up again: tokens, labels, garbage
//! ```
//!
//! A record that cannot be read is missing from the facts, so that further findings may follow from one.
//!
//! In memory are the facts of each table, pipeline and stream, the parts of one table, and eight bytes for each label and each
//! piece of garbage.
//!
//! A catalog that is in use may be verified. What is found is certain if it was read at one version: by one transaction, which
//! reads for 5 s, or because nobody wrote meanwhile. Otherwise [`VerifyReport::is_of_one_version`] is false, and a finding may be
//! a thing seen half before and half after a commit: stop the servers, and verify again.

mod cross;
mod facts;
mod lookup;
mod table_log;

use std::collections::BTreeMap;

use bytes::Bytes;
use vfs::World;

use super::dump::describe;
use super::reader::{Reader, everything};
use crate::CatalogError;
use crate::keys::kind::{Kind, readable};
use crate::store::KvStore;
use facts::Facts;
use table_log::TableLog;

/// So many findings are kept: further ones are counted.
const FINDINGS_KEPT: usize = 1_000;

/// Something that is wrong with a catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key, as a dump shows it.
    pub key: String,
    /// What is wrong with it.
    pub what: String,
    /// What that means for whoever runs it, and what to do.
    pub means: &'static str,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VerifyProgress {
    /// Keys read.
    pub keys: u64,
    /// Tables whose log was read to its end.
    pub tables: u64,
}

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VerifyReport {
    /// How many keys there are.
    pub keys: u64,
    /// How many tables have a log.
    pub tables: u64,
    /// How many keys there are of each type, by its name; `unknown` for those that this program does not know.
    pub counts: BTreeMap<&'static str, u64>,
    /// What is wrong, in the order in which it was found.
    pub findings: Vec<Finding>,
    /// How many findings there are beyond these.
    pub further: u64,
    /// Whether all was read at one version. If not, a finding may be a trace of what was written meanwhile.
    pub is_of_one_version: bool,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, key: impl AsRef<[u8]>, what: impl Into<String>, means: &'static str) {
        if self.findings.len() < FINDINGS_KEPT {
            self.findings.push(Finding { key: readable(key.as_ref()), what: what.into(), means });
        } else {
            self.further += 1;
        }
    }
}

/// Reads everything and says what is wrong. An error means that the store cannot be read; what is wrong with the catalog in it
/// is a finding. A store without a catalog is not sound.
pub async fn verify(
    store: &dyn KvStore,
    world: &World,
    progress: &mut (dyn FnMut(VerifyProgress) + Send),
) -> Result<VerifyReport, CatalogError> {
    let mut reader = Reader::new(store, world, "verifying the catalog");
    let mut verification = Verification::default();
    let mut rest = Some(everything());
    while let Some(page) = reader.next(&mut rest).await? {
        for (key, value) in &page.entries {
            verification.read(key, value);
        }
        progress(verification.progress());
    }
    verification.end_log();
    progress(verification.progress());
    let Verification { mut report, facts, .. } = verification;
    cross::check(&facts, &mut report);
    lookup::check(&mut reader, &facts, &mut report).await?;
    let (stamp, is_of_one_version) = reader.finish().await?;
    cross::check_versions(&facts, stamp, &mut report);
    report.is_of_one_version = is_of_one_version;
    Ok(report)
}

/// What stands in a store besides a catalog that cannot be read.
#[derive(Default)]
struct Verification {
    report: VerifyReport,
    facts: Facts,
    log: Option<TableLog>,
}

impl Verification {
    fn progress(&self) -> VerifyProgress {
        VerifyProgress { keys: self.report.keys, tables: self.report.tables }
    }

    fn read(&mut self, key: &Bytes, value: &Bytes) {
        self.report.keys += 1;
        let kind = Kind::of(key);
        *self.report.counts.entry(kind.map_or("unknown", Kind::name)).or_default() += 1;
        if kind != Some(Kind::Log) {
            self.end_log();
        }
        let Some(kind) = kind else {
            return self.report.find(key, "this program knows no such type of key", UNKNOWN);
        };
        let pieces = match kind.pieces(key) {
            Ok(pieces) => pieces,
            Err(error) => return self.report.find(key, format!("the key cannot be read: {error}"), UNREADABLE),
        };
        let noted = match kind {
            Kind::Log => self.read_log(key, value),
            _ => self.facts.note(kind, &pieces, key, value, &mut self.report),
        };
        match noted {
            Err(error @ CatalogError::UnsupportedFormat { .. }) => {
                self.report.find(key, describe(kind, &error), NEWER);
            }
            Err(error) => self.report.find(key, describe(kind, &error), UNREADABLE),
            Ok(()) => {}
        }
    }

    fn read_log(&mut self, key: &Bytes, value: &Bytes) -> Result<(), CatalogError> {
        let (table, version) = crate::keys::log::deser_key(key)?;
        if self.log.as_ref().is_none_or(|log| log.table() != table) {
            self.end_log();
            self.log = Some(TableLog::new(table, self.facts.is_dropped(table)));
        }
        let log = self.log.as_mut().expect("it was just begun");
        log.add(key, version, value, &mut self.report)
    }

    fn end_log(&mut self) {
        if let Some(log) = self.log.take() {
            self.report.tables += 1;
            self.facts.note_log(log, &mut self.report);
        }
    }
}

const UNKNOWN: &str = "it is of a newer program, or of no program: nothing that this program does uses it. If a newer one has \
    written it, start that one";
const UNREADABLE: &str = "whatever needs it ends with an error that names it: restore the catalog from a copy";
const NEWER: &str = "a newer program has written it: start that one, which reads it";
