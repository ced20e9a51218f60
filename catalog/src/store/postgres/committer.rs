//! What commits: takes all commits that wait, and under the lock that all processes share learns what the others wrote since,
//! resolves its own one by one, and applies the survivors in one transaction.
//!
//! ```text
//!   lock ─> BEGIN ─> learn ─> resolve ─┬─> write, told, notify ─> COMMIT ─> unlock
//!                                      └─> (none is left) ROLLBACK
//!           └── lost or refused: it did not happen ─┘            └── lost: unknown
//! ```
//!
//! **If the connection is lost here:** before COMMIT is sent nothing of the group is there, and nothing ever will be. From then
//! on its commits are unknown (I6) until the next holder of the lock, who gets it only after the server has ended our
//! session, reads the version. A resolver that was ahead of that is thrown away: whoever read before is too old.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use vfs::{Clock, Random};

use super::super::resolver::{Decision, Resolver};
use super::super::transaction::PendingCommit;
use super::super::{KeyRange, Stamp, StoreError, TRANSACTION_BYTES_LIMIT};
use super::address::PostgresAddress;
use super::fold::Folded;
use super::pool::get_many;
use super::schema::{
    FORGET, LOCK, NOTIFY, PUT_MANY, RAISE_VERSION, REMOVE_MANY, REMOVE_RANGE, TELL, UNLOCK, VERSION, check_server,
    explain, lock_number, version_in,
};
use super::told::{Learned, learn, write};
use super::wire::{Answer, Call, Connection, Param, PgError};

/// The most commits in a group.
const GROUP: usize = 512;
/// A group takes no further commit once it has this many bytes, so that its memory is bounded (I8).
const GROUP_BYTES: usize = 2 * TRANSACTION_BYTES_LIMIT;
/// How many versions lie between two times that old rows of `commits` are forgotten.
const FORGET_EVERY: u64 = 1_024;

/// One commit, and where its answer goes.
#[derive(Debug)]
pub(super) struct Job {
    /// What to commit.
    pub(super) pending: PendingCommit,
    /// Where the answer goes.
    pub(super) answer: oneshot::Sender<Result<Stamp, StoreError>>,
}

/// A commit that the resolver let pass.
struct Survivor {
    job: Job,
    stamp: Stamp,
    written: Vec<KeyRange>,
}

/// Why a group has no certain end, or why the store cannot go on.
enum Failure {
    /// Nothing of it happened.
    NotDone(PgError),
    /// The catalog has fewer commits than this process has seen.
    WentBack { seen: u64, found: u64 },
}

impl From<PgError> for Failure {
    fn from(error: PgError) -> Self {
        Self::NotDone(error)
    }
}

/// Commits for one process.
#[derive(Debug)]
pub(super) struct Committer {
    pub(super) address: PostgresAddress,
    pub(super) random: Arc<dyn Random>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) jobs: mpsc::Receiver<Job>,
    connection: Option<Connection>,
    /// `None` where what it knew may not be what is there.
    resolver: Option<Resolver>,
    /// The newest version that was certainly there.
    seen: u64,
    forgotten: u64,
}

impl Committer {
    /// A committer for a process whose transactions begin at `version` or later.
    pub(super) fn new(
        address: PostgresAddress,
        random: Arc<dyn Random>,
        clock: Arc<dyn Clock>,
        jobs: mpsc::Receiver<Job>,
        version: u64,
    ) -> Self {
        let resolver = Some(Resolver::new(version));
        Self {
            address,
            random,
            clock,
            jobs,
            connection: None,
            resolver,
            seen: version,
            forgotten: version / FORGET_EVERY,
        }
    }

    /// Commits until the store is closed; the cause, if it cannot go on before.
    pub(super) async fn run(&mut self) -> Option<String> {
        while let Some(first) = self.jobs.recv().await {
            let group = self.gather(first);
            if let Err(cause) = self.serve(group).await {
                tracing::error!(catalog = %self.address, %cause, "the catalog store has closed");
                return Some(cause);
            }
        }
        None
    }

    fn gather(&mut self, first: Job) -> Vec<Job> {
        let mut bytes = first.pending.bytes();
        let mut group = vec![first];
        while group.len() < GROUP
            && bytes < GROUP_BYTES
            && let Ok(job) = self.jobs.try_recv()
        {
            bytes += job.pending.bytes();
            group.push(job);
        }
        group
    }

    /// Answers all of `group`. The error is why the store must close.
    async fn serve(&mut self, group: Vec<Job>) -> Result<(), String> {
        let (before, survivors) = match self.lock().await {
            Ok(before) => (before, self.resolve(group)),
            Err(failure) => return self.give_up(failure, group.into_iter().map(|job| job.answer)),
        };
        if survivors.is_empty() {
            return match self.unlock("ROLLBACK").await {
                Ok(_) => Ok(()),
                Err(error) => self.give_up(error.into(), std::iter::empty()),
            };
        }
        metrics::histogram!("millrace_catalog_group_size").record(survivors.len() as f64);
        let after = self.resolver.as_ref().expect("it has just resolved").last();
        let (answers, writes) = take_apart(survivors);
        if let Err(error) = self.apply(writes, before, after).await {
            return self.give_up(error.into(), answers.into_iter().map(|(answer, _)| answer));
        }
        let outcome = match self.unlock("COMMIT").await {
            // Postgres answers so where something before had failed: then it is a defect, but a certain one.
            Ok(done) if done == "COMMIT" => Ok(()),
            Ok(done) => Err(StoreError::Unavailable { cause: format!("{}: it answered {done}", self.address) }),
            // The server goes on, so it has decided: against it.
            Err(error @ PgError::Refused { .. }) => Err(explain(&self.address, error)),
            Err(PgError::Lost(cause)) => {
                Err(StoreError::MaybeCommitted { cause: format!("{}: during COMMIT: {cause}", self.address) })
            }
        };
        match &outcome {
            Ok(()) => self.seen = after,
            Err(error) => {
                tracing::warn!(catalog = %self.address, %error, "a commit has failed");
                self.start_over();
            }
        }
        for (answer, stamp) in answers {
            // Whoever no longer listens has decided to live with not knowing.
            drop(answer.send(outcome.clone().map(|()| stamp)));
        }
        Ok(())
    }

    /// Takes the lock, begins a transaction, and brings the resolver up to what is there. Answers its version.
    async fn lock(&mut self) -> Result<u64, Failure> {
        let lock = Param::Number(lock_number(&self.address.schema));
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let mut connection = Connection::open(&self.address, "commit", &*self.random).await?;
                check_server(&mut connection).await?;
                self.connection.insert(connection)
            }
        };
        // The lock comes before BEGIN, and what is read after it is not older than it.
        let calls = [Call::new(LOCK, [lock]), Call::new("BEGIN", []), Call::new(VERSION, [])];
        let answers = connection.run(&calls).await.into_iter().collect::<Result<Vec<Answer>, PgError>>()?;
        let version = version_in(&answers[2])?;
        if version < self.seen {
            return Err(Failure::WentBack { seen: self.seen, found: version });
        }
        if let Some(resolver) = &mut self.resolver
            && version > resolver.last()
        {
            match learn(connection, resolver.last(), version).await? {
                Learned::All(commits) => {
                    commits.iter().for_each(|written| resolver.observe(written, self.clock.now()));
                }
                Learned::Gap => self.resolver = None,
            }
        }
        let resolver = self.resolver.get_or_insert_with(|| Resolver::new(version));
        assert_eq!(resolver.last(), version, "what was learned is not what is there");
        self.seen = version;
        Ok(version)
    }

    /// Decides each commit in the order of the queue, which becomes the order of stamps, and answers those that fail.
    fn resolve(&mut self, group: Vec<Job>) -> Vec<Survivor> {
        let resolver = self.resolver.as_mut().expect("the lock was taken");
        let mut survivors = Vec::with_capacity(group.len());
        for job in group {
            let stamp = resolver.next_stamp();
            let written = job.pending.writes.conflict_ranges(stamp);
            let request = job.pending.request(&written);
            // A version that is not there: it was read from a server that is no longer the one that is asked.
            if request.read_version > resolver.last() {
                drop(job.answer.send(Err(StoreError::TooOld)));
                continue;
            }
            match resolver.resolve(&request, self.clock.now()) {
                Decision::Commit(_) => survivors.push(Survivor { job, stamp, written }),
                Decision::Conflict => drop(job.answer.send(Err(StoreError::Conflict))),
                Decision::TooOld => drop(job.answer.send(Err(StoreError::TooOld))),
            }
        }
        survivors
    }

    /// Writes the group in the transaction, which is not committed yet.
    async fn apply(&mut self, writes: Writes, before: u64, after: u64) -> Result<(), PgError> {
        let connection = self.connection.as_mut().expect("the lock was taken");
        let number = |version: u64| Param::Number(i64::try_from(version).expect("fewer commits than 2^63"));
        let added_to = writes.folded.added_to();
        let stood = if added_to.is_empty() { BTreeMap::new() } else { get_many(connection, added_to).await? };
        let mut calls = vec![Call::new(RAISE_VERSION, [number(before), number(after)])];
        for range in &writes.folded.cleared {
            calls.push(Call::new(REMOVE_RANGE, [&range.start, &range.end].map(|end| Param::Bytes(end.clone()))));
        }
        let (gone, keys, values) = writes.folded.finish(&stood);
        if !gone.is_empty() {
            calls.push(Call::new(REMOVE_MANY, [Param::List(gone)]));
        }
        if !keys.is_empty() {
            calls.push(Call::new(PUT_MANY, [Param::List(keys), Param::List(values)]));
        }
        calls.push(Call::new(TELL, [number(before + 1), number(after), Param::Bytes(write(&writes.written))]));
        calls.push(Call::new(NOTIFY, []));
        if after / FORGET_EVERY > self.forgotten {
            self.forgotten = after / FORGET_EVERY;
            calls.push(Call::new(FORGET, [number(before)]));
        }
        let answers = connection.run(&calls).await.into_iter().collect::<Result<Vec<Answer>, PgError>>()?;
        if answers[0].done != "UPDATE 1" {
            let cause =
                "another process committed in spite of the lock: is there a pooler in transaction mode in between?";
            return Err(PgError::Lost(cause.to_owned()));
        }
        Ok(())
    }

    /// Ends the transaction by `how` and gives the lock back; what the server says of the former.
    async fn unlock(&mut self, how: &'static str) -> Result<String, PgError> {
        let lock = Param::Number(lock_number(&self.address.schema));
        let connection = self.connection.as_mut().expect("the lock was taken");
        let mut answers = connection.run(&[Call::new(how, []), Call::new(UNLOCK, [lock])]).await;
        let unlocked = answers.pop().expect("an answer for each call");
        if !unlocked.is_ok_and(|answer| answer.number(0) == Some(1)) {
            // The lock goes with the session at the latest.
            self.connection = None;
        }
        answers.pop().expect("an answer for each call").map(|answer| answer.done)
    }

    /// Nothing of a group happened: with the connection the server ends its transaction and its lock.
    fn give_up(
        &mut self,
        failure: Failure,
        answers: impl Iterator<Item = oneshot::Sender<Result<Stamp, StoreError>>>,
    ) -> Result<(), String> {
        self.start_over();
        let (error, closing) = match failure {
            Failure::NotDone(error) => (explain(&self.address, error), Ok(())),
            Failure::WentBack { seen, found } => {
                let cause = format!(
                    "{}: it has {found} commits, and this process has seen {seen}: it was restored to an older state, or \
                     another server answers now",
                    self.address
                );
                (StoreError::Closed { cause: cause.clone() }, Err(cause))
            }
        };
        answers.for_each(|answer| drop(answer.send(Err(error.clone()))));
        closing
    }

    fn start_over(&mut self) {
        self.connection = None;
        self.resolver = None;
    }
}

/// What a group writes.
struct Writes {
    folded: Folded,
    written: Vec<Vec<KeyRange>>,
}

type Waiting = (oneshot::Sender<Result<Stamp, StoreError>>, Stamp);

fn take_apart(survivors: Vec<Survivor>) -> (Vec<Waiting>, Writes) {
    let mut answers = Vec::with_capacity(survivors.len());
    let mut writes = Writes { folded: Folded::default(), written: Vec::with_capacity(survivors.len()) };
    for Survivor { job, stamp, written } in survivors {
        job.pending.writes.into_mutations(stamp).for_each(|mutation| writes.folded.push(mutation));
        writes.written.push(written);
        answers.push((job.answer, stamp));
    }
    (answers, writes)
}
