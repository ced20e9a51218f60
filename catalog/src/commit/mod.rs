//! The one atomic commit (PROTOCOL, "Commit"): parts and offsets become visible together or never (I4). Here is the shell
//! that reads and writes; what it decides by stands in `admit.rs`, what it writes in `chunks.rs`.
//!
//! The keys that it reads and writes are those of its own streams, parts and writer, and the two fences, which only DDL
//! writes; the log and the head are written blind. So commits of different tasks of one table share no conflict key, and
//! the cost does not grow with the number of parts, tables or earlier commits.
//!
//! | the process dies | then |
//! |---|---|
//! | before the transaction is sent | nothing happened; the parts have intents, which the sweeper takes |
//! | after it | it happened or not, and the token says which, to the same writer or, by C(s), to the next |

mod admit;
mod check;
mod chunks;
mod rewrite;
#[cfg(test)]
pub(crate) mod sample;

use futures::FutureExt;
use vfs::planted;

use crate::keys::{self, checkpoint::CheckpointRecord, label::LabelRecord};
use crate::store::{KvTransaction, Read};
use crate::transaction::Failure;
use crate::{Catalog, CatalogError, CommitLabel, CommitOutcome, CommitRequest, LabelOutcome, StreamAdvance, TableId};

pub(crate) use check::check_advance;

use admit::{Decision, Standing, StreamStanding, admit};

const OPERATION: &str = "committing a flush";

/// How one transaction of a commit ended, if the store commits it.
enum Ended {
    /// The request was written.
    Applied,
    /// Nothing was.
    As(CommitOutcome),
}

impl Catalog {
    /// One attempt. A conflict of transactions is none of the writer's business and is run again here; a missing answer is
    /// `MaybeCommitted`, and is settled by sending the identical request again, or a void.
    pub(crate) async fn commit_once(&self, request: &CommitRequest) -> Result<CommitOutcome, CatalogError> {
        let wrong =
            |fault| CatalogError::invalid(format!("the commit {} of {}: {fault}", request.token, request.writer));
        check::check(request).map_err(wrong)?;
        let wall = self.wall();
        let chunks = &chunks::encode(request, wall).map_err(wrong)?;
        let last = u16::try_from(chunks.len() - 1).expect("encode counted them");
        let begun = self.world().clock.now();
        let apply = self.stamped_once(OPERATION, |transaction| {
            async move { self.attempt_commit(transaction, request, chunks, wall).await }.boxed()
        });
        let outcome = match apply.await? {
            (Ended::Applied, stamp) => CommitOutcome::Committed(self.version(stamp, last)),
            (Ended::As(outcome), _) => outcome,
        };
        count(&outcome);
        metrics::histogram!("millrace_commit_seconds").record(self.world().clock.now().since(begun).as_secs_f64());
        Ok(outcome)
    }

    async fn attempt_commit(
        &self,
        transaction: &mut dyn KvTransaction,
        request: &CommitRequest,
        chunks: &[Vec<u8>],
        wall: i64,
    ) -> Result<Ended, Failure> {
        let standing = read(transaction, request).await?;
        match admit(&standing, request) {
            Decision::End(outcome) => {
                if matches!(outcome, CommitOutcome::Fenced(_)) && planted::is("refused-commit-advances-offsets") {
                    advance_offsets(transaction, request);
                }
                Ok(Ended::As(outcome))
            }
            Decision::Apply => {
                check_tables(request, &standing)?;
                self.apply(transaction, request, chunks, wall);
                Ok(Ended::Applied)
            }
        }
    }

    /// PROTOCOL's steps 5 and 6.
    fn apply(&self, transaction: &mut dyn KvTransaction, request: &CommitRequest, chunks: &[Vec<u8>], wall: i64) {
        let last = u16::try_from(chunks.len() - 1).expect("encode counted them");
        if !planted::is("sweeper-ignores-what-is-visible") {
            for part in &request.parts {
                transaction.clear(&keys::intent::ser_key(part.id));
            }
        }
        self.append_to_log(transaction, request.table, chunks);
        advance_offsets(transaction, request);
        let token = keys::token::ser_value(self.era(), last, request.token);
        transaction.set_versionstamped_value(&keys::token::ser_key(request.writer), token);
        for CommitLabel { label, rows } in request.labels.iter().filter(|_| !planted::is("label-not-written")) {
            let record = LabelRecord { rows: *rows, wall };
            let value = keys::label::ser_value(self.era(), last, &record);
            transaction.set_versionstamped_value(&keys::label::ser_key(request.table, label), value);
            let age = keys::label_age::ser_key(wall, request.table, label);
            transaction.set(&age, &keys::label_age::ser_value());
        }
    }

    /// Appends records to a table's log and moves its head, both blind. The head never stands between two of them.
    pub(crate) fn append_to_log(&self, transaction: &mut dyn KvTransaction, table: TableId, values: &[Vec<u8>]) {
        let before_stamp = keys::log::ser_key_before_stamp(table, self.era());
        let mut last = None;
        for (value, number) in values.iter().zip(0_u16..) {
            transaction.set_versionstamped_key(&before_stamp, &keys::log::ser_key_after_stamp(number), value);
            last = Some(number);
        }
        let last = last.expect("something is appended");
        assert_eq!(usize::from(last) + 1, values.len(), "the records of one commit are numbered in two bytes");
        transaction.set_versionstamped_value(&keys::head::ser_key(table), keys::head::ser_value(self.era(), last));
    }
}

fn advance_offsets(transaction: &mut dyn KvTransaction, request: &CommitRequest) {
    for StreamAdvance { stream, range, .. } in &request.streams {
        let checkpoint = CheckpointRecord { next: range.end, table: request.table };
        transaction.set(&keys::checkpoint::ser_key(*stream), &keys::checkpoint::ser_value(&checkpoint));
    }
}

/// Reads what [`admit`] judges, in its order.
async fn read(transaction: &mut dyn KvTransaction, request: &CommitRequest) -> Result<Standing, Failure> {
    let slot = keys::get(transaction, &keys::token::ser_key(request.writer), keys::token::deser_value).await?;
    let void = keys::void::ser_key(request.writer, request.token);
    let voided = transaction.get(&void, Read::Serializable).await?.is_some();
    let table = keys::table_fence::ser_key(request.table);
    let table = keys::get(transaction, &table, keys::table_fence::deser_value).await?;
    let pipeline = match request.pipeline {
        Some((pipeline, _)) => {
            keys::get(transaction, &keys::pipeline_fence::ser_key(pipeline), keys::pipeline_fence::deser_value).await?
        }
        None => None,
    };
    let mut labels = Vec::new();
    for CommitLabel { label, .. } in &request.labels {
        let key = keys::label::ser_key(request.table, label);
        if let Some((version, LabelRecord { rows, .. })) =
            keys::get(transaction, &key, keys::label::deser_value).await?
        {
            labels.push((label.clone(), LabelOutcome { version, rows }));
        }
    }
    let mut streams = Vec::with_capacity(request.streams.len());
    for StreamAdvance { stream, .. } in &request.streams {
        let owner = keys::get(transaction, &keys::owner::ser_key(*stream), keys::owner::deser_value).await?;
        let checkpoint = keys::checkpoint::ser_key(*stream);
        let checkpoint = keys::get(transaction, &checkpoint, keys::checkpoint::deser_value).await?;
        streams.push(StreamStanding { epoch: owner.map(|(_, record)| record.owner.epoch), checkpoint });
    }
    let mut intents_missing = Vec::new();
    for part in &request.parts {
        if transaction.get(&keys::intent::ser_key(part.id), Read::Serializable).await?.is_none() {
            intents_missing.push(part.id);
        }
    }
    Ok(Standing { slot, voided, table, pipeline, labels, streams, intents_missing })
}

/// A stream's rows go to one table for ever: another one is a defect of the writer.
fn check_tables(request: &CommitRequest, standing: &Standing) -> Result<(), CatalogError> {
    let elsewhere = |found: &StreamStanding| found.checkpoint.is_some_and(|it| it.table != request.table);
    match request.streams.iter().zip(&standing.streams).find(|(_, found)| elsewhere(found)) {
        Some((advance, _)) => Err(CatalogError::invalid(format!(
            "the commit {} of {}: stream {} does not go to table {}",
            request.token, request.writer, advance.stream, request.table
        ))),
        None => Ok(()),
    }
}

fn count(outcome: &CommitOutcome) {
    let outcome = match outcome {
        CommitOutcome::Committed(_) => "committed",
        CommitOutcome::Fenced(_) => "fenced",
        CommitOutcome::Conflict(_) => "conflict",
    };
    metrics::counter!("millrace_commits_total", "outcome" => outcome).increment(1);
}
