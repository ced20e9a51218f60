//! A table's channel: what is in flight shares a commit. While one commit is on its way the next group gathers, so that the rows of a
//! commit grow with the clients, and the commits of a second do not.
//!
//! ```text
//!   INSERTs ─> [inbox] ── all that is there ──> [group] ─> parts ─> commit ──> each is answered
//!                                                  ^                  │ a label was known: without that INSERT, again
//!                                                  └──────────────────┘ truncated, closed by another, uploads swept: anew
//! ```
//!
//! The channel is opened with the first group, and closed when nothing came for a while, or the server stops. A group whose commit
//! did not happen is written again under other names and another token; one whose commit has no answer is sent unchanged until it has (I6).

use std::sync::Arc;

use arrow::array::RecordBatch;
use catalog::{
    CatalogError, Channel, CommitLabel, CommitOutcome, CommitRequest, CommitToken, Conflict, Fenced, LabelOutcome,
    Ledger, OffsetRange, Part, StreamAdvance, Table, TableId, Version, WriterId, commit_settled,
};
use tokio::sync::{mpsc, oneshot};
use vfs::planted;

use super::error::InsertError;
use super::labels::LabelClaim;
use super::rows::{placed, together};
use super::uploads::Uploads;
use super::{InsertParts, Inserted, Inserts};
use crate::memory::Charge;
use crate::write::failpoint::crash_point;

/// INSERTs that wait for a channel's next commit; more wait before the door.
const WAITING_MAX: usize = 1_024;
/// How often a group is written anew when something comes between.
const ATTEMPTS: usize = 8;

pub(super) type Inbox = mpsc::Sender<Pending>;

/// An INSERT that waits for its commit.
#[derive(Debug)]
pub(super) struct Pending {
    /// Whose columns the rows have.
    pub(super) table: Arc<Table>,
    pub(super) rows: RecordBatch,
    pub(super) label: Option<LabelClaim>,
    pub(super) charge: Charge,
    pub(super) answer: oneshot::Sender<Result<Inserted, InsertError>>,
}

impl Pending {
    fn end(self, end: Result<Inserted, InsertError>) {
        // The label is free before the client hears of it: what it sends next must not wait for what it has.
        drop(self.label);
        // A client that has gone away asks again under its label, if it cares.
        drop(self.answer.send(end));
    }

    fn committed(self, version: Version) {
        let rows = self.rows.num_rows() as u64;
        self.end(Ok(Inserted { version: Some(version), rows, repeated: false }));
    }
}

/// See the module.
pub(super) struct ChannelTask {
    inserts: Arc<Inserts>,
    table: TableId,
    inbox: mpsc::Receiver<Pending>,
    open: Option<Open>,
}

/// The channel while it is open.
struct Open {
    channel: Channel,
    uploads: Uploads,
}

/// How one attempt at a group ended, if it was not refused.
enum Attempt {
    /// Each is answered.
    Done,
    /// What is left of it is to be tried again.
    Again(&'static str),
    /// One commit cannot hold it.
    Halve,
}

impl ChannelTask {
    pub(super) fn new(inserts: Arc<Inserts>, table: TableId) -> (Inbox, Self) {
        let (sender, inbox) = mpsc::channel(WAITING_MAX);
        (sender, Self { inserts, table, inbox, open: None })
    }

    /// Runs until nothing came for a while, or the server stops.
    pub(super) async fn run(mut self) {
        let clock = Arc::clone(&self.inserts.parts.world.clock);
        loop {
            let first = tokio::select! {
                biased;
                first = self.inbox.recv() => first,
                () = clock.sleep(self.inserts.settings.idle), if !self.inbox.is_closed() => {
                    // What is on its way at this moment is still taken; who comes later begins another channel.
                    self.inbox.close();
                    continue;
                }
            };
            let Some(first) = first else { break };
            let group = self.gather(first);
            self.commit(group).await;
        }
        if let Some(Open { channel, .. }) = self.open.take() {
            self.inserts.close(self.table, &channel.identity).await;
        }
    }

    /// All that waits, within the bytes that one commit may have.
    fn gather(&mut self, first: Pending) -> Vec<Pending> {
        let mut bytes = first.charge.bytes();
        let mut group = vec![first];
        while bytes < self.inserts.settings.group_bytes {
            let Ok(next) = self.inbox.try_recv() else { break };
            bytes += next.charge.bytes();
            group.push(next);
        }
        group
    }

    async fn commit(&mut self, group: Vec<Pending>) {
        let mut groups = vec![group];
        while let Some(mut group) = groups.pop() {
            let mut between = "";
            let mut attempts = 0;
            let end = loop {
                attempts += 1;
                match self.attempt(&mut group).await {
                    Ok(Attempt::Done) => break None,
                    Ok(Attempt::Again(what)) if attempts < ATTEMPTS => between = what,
                    Ok(Attempt::Again(what)) => break Some(InsertError::try_again(what)),
                    Ok(Attempt::Halve) => {
                        let rest = group.split_off(group.len() / 2);
                        groups.push(rest);
                    }
                    Err(error) => break Some(error),
                }
                tracing::debug!(table = self.table.0, between, "a group of INSERTs is written again");
            };
            if let Some(error) = end {
                group.into_iter().for_each(|pending| pending.end(Err(error.clone())));
            }
        }
    }

    async fn attempt(&mut self, group: &mut Vec<Pending>) -> Result<Attempt, InsertError> {
        let inserts = Arc::clone(&self.inserts);
        if self.open.is_none() {
            let table = Arc::clone(&group.first().expect("a group has an INSERT").table);
            self.open = Some(inserts.open(table).await?);
        }
        let open = self.open.as_mut().expect("it was opened");
        let table = Arc::clone(&open.uploads.flusher.table);
        for old in extract(group, |pending| pending.table.schema != table.schema) {
            old.end(Err(InsertError::try_again("the table has other columns now")));
        }
        if group.is_empty() {
            return Ok(Attempt::Done);
        }
        let rows = together(&table, group.iter().map(|pending| &pending.rows))?;
        let _copy = inserts.parts.budget.charge(group.iter().map(|pending| pending.charge.bytes()).sum());
        let (rows, mut range) = placed(&table, &rows, open.channel.stream, open.channel.next);
        let mut parts = Vec::new();
        if rows.num_rows() == 0 {
            // Labels alone: the commit has to advance over something.
            range.end.0 += 1;
        } else {
            match open.uploads.write(vec![rows]).await {
                Err(InsertError::TooManyParts { .. }) if group.len() > 1 => return Ok(Attempt::Halve),
                written => parts = written?,
            }
        }
        let labels = group.iter().filter_map(|pending| label_of(pending.label.as_ref(), pending.rows.num_rows()));
        let request = request(&inserts.parts, &table, &open.channel, range, parts, labels.collect());
        if planted::is("insert-answered-before-its-commit") {
            let version = inserts.parts.catalog.snapshot(self.table).await?.version;
            group.drain(..).for_each(|pending| pending.committed(version));
        }
        let outcome = match settle(&inserts.parts, &request).await {
            Ok(outcome) => outcome,
            Err(error) => {
                // Nobody knows where the channel stands. It stays as it is, for the token tells; another is opened.
                self.open = None;
                return Err(error);
            }
        };
        match outcome {
            CommitOutcome::Committed(version) => {
                open.channel.next = range.end;
                count(group.len() as u64, range.offsets());
                group.drain(..).for_each(|pending| pending.committed(version));
                crash_point("insert.after_answer");
                Ok(Attempt::Done)
            }
            CommitOutcome::Conflict(Conflict::Labels(known)) => {
                answer_known(group, &known);
                Ok(if group.is_empty() { Attempt::Done } else { Attempt::Again("labels were known already") })
            }
            CommitOutcome::Fenced(Fenced::Intents(_)) => {
                Ok(Attempt::Again("the sweeper took the uploads before their commit"))
            }
            CommitOutcome::Fenced(Fenced::Table) | CommitOutcome::Conflict(Conflict::Schema(_)) => {
                open.uploads.flusher.table = inserts.parts.catalog.snapshot(self.table).await?.table;
                Ok(Attempt::Again("the table was truncated or changed"))
            }
            CommitOutcome::Fenced(Fenced::Streams(_)) | CommitOutcome::Conflict(Conflict::Offsets(_)) => {
                // Its every commit has a known end, so nothing of it need be kept.
                if let Some(Open { channel, .. }) = self.open.take() {
                    inserts.close(self.table, &channel.identity).await;
                }
                Ok(Attempt::Again("another process held this one for dead and closed its channel"))
            }
            CommitOutcome::Fenced(Fenced::Pipeline | Fenced::Void) => {
                Err(InsertError::try_again("its commit was voided"))
            }
        }
    }
}

impl Inserts {
    async fn open(self: &Arc<Self>, table: Arc<Table>) -> Result<Open, InsertError> {
        let (channel, uploads) = self.open_uploads(&table).await?;
        Ok(Open { channel, uploads })
    }

    /// A new channel into the table, and what writes its parts.
    pub(super) async fn open_uploads(&self, table: &Arc<Table>) -> Result<(Channel, Uploads), InsertError> {
        let channel = self.parts.catalog.open_channel(table.id, &self.identity()).await?;
        crash_point("insert.channel_opened");
        let uploads = Uploads {
            flusher: self.flusher(table, &channel),
            budget: Arc::clone(&self.parts.budget),
            world: self.parts.world.clone(),
            wait: self.settings.store_wait,
        };
        Ok((channel, uploads))
    }
}

/// Takes out of `group` those that `is_one` says.
fn extract(group: &mut Vec<Pending>, is_one: impl Fn(&Pending) -> bool) -> Vec<Pending> {
    let (taken, left) = std::mem::take(group).into_iter().partition(is_one);
    *group = left;
    taken
}

/// Those whose label an earlier commit left are retries of that.
fn answer_known(group: &mut Vec<Pending>, known: &[(String, LabelOutcome)]) {
    let outcome = |pending: &Pending| {
        let label = pending.label.as_ref()?.label();
        known.iter().find(|(known, _)| known == label).map(|(_, outcome)| *outcome)
    };
    for retry in extract(group, |pending| outcome(pending).is_some()) {
        let before = Inserted::before(outcome(&retry).expect("only those were taken out"));
        retry.end(Ok(before));
    }
}

pub(super) fn label_of(claim: Option<&LabelClaim>, rows: usize) -> Option<CommitLabel> {
    claim.map(|claim| CommitLabel { label: claim.label().to_owned(), rows: rows as u64 })
}

/// The commit of `parts`, whose rows are those of `range`, but where there are none.
pub(super) fn request(
    with: &InsertParts,
    table: &Table,
    channel: &Channel,
    range: OffsetRange,
    parts: Vec<Part>,
    mut labels: Vec<CommitLabel>,
) -> CommitRequest {
    labels.sort();
    let rows = parts.iter().map(|part| part.rows).sum();
    let ledger = Ledger { rows, filtered: range.offsets() - rows, ..Ledger::default() };
    let (stream, epoch) = (channel.stream, channel.epoch);
    CommitRequest {
        token: CommitToken(with.world.random.next_u128()),
        writer: WriterId::Channel(stream),
        table: table.id,
        table_fence: table.fence,
        pipeline: None,
        schema: table.schema,
        streams: vec![StreamAdvance { stream, epoch, range, ledger, gaps: Vec::new() }],
        parts,
        labels,
    }
}

/// Sends the commit until its end is known.
pub(super) async fn settle(parts: &InsertParts, request: &CommitRequest) -> Result<CommitOutcome, InsertError> {
    crash_point("insert.before_commit");
    if planted::is("insert-unknown-taken-as-failure") {
        return parts.catalog.commit(request).await.map_err(InsertError::from);
    }
    let outcome = commit_settled(&*parts.catalog, &parts.world, request).await;
    crash_point("insert.after_commit");
    outcome.map_err(|error| match error {
        CatalogError::Invalid { message } => InsertError::Failed { cause: message },
        error => InsertError::Unknown { cause: error.to_string() },
    })
}

pub(super) fn count(inserts: u64, rows: u64) {
    metrics::counter!("millrace_insert_commits_total").increment(1);
    metrics::counter!("millrace_inserts_total").increment(inserts);
    metrics::counter!("millrace_inserted_rows_total").increment(rows);
}
