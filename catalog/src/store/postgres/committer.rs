//! What commits: takes all commits that wait, and under the lock that all processes share learns what the others wrote since,
//! resolves its own one by one, and applies the survivors in one transaction.
//!
//! ```text
//!   lock ─> BEGIN ─> learn ─> resolve ─┬─> write, tell, notify ─> COMMIT ─> unlock
//!                                      └─> (none is left) ROLLBACK ─> unlock
//!           └── lost or refused: it did not happen ─┘            └── lost: unknown
//! ```
//!
//! The lock comes before BEGIN, so what is read after it is not older than it. COMMIT and unlock are one message: a process that
//! stops for a while between the two would stop all others with it.
//!
//! **If the connection is lost here:** before COMMIT is sent nothing of the group is there, and nothing ever will be. From then
//! on its commits are unknown (I6) until the next holder of the lock, who gets it only after the server has ended our
//! session, reads the version. The resolver, which may be ahead of that, is thrown away and learns again what happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use vfs::{Clock, Random};

use super::super::group::{Job, gather};
use super::super::resolver::{Decision, Resolver};
use super::super::{KeyRange, Stamp, StoreError};
use super::address::PostgresAddress;
use super::backoff::open_patiently;
use super::fold::Folded;
use super::pool::get_many;
use super::schema::{
    BEGIN, FORGET, LOCK, NOTIFY, PUT_MANY, Purpose, RAISE_VERSION, REMOVE_MANY, REMOVE_RANGES, TELL, VERSION,
    commit_and_unlock, explain, roll_back_and_unlock, version_in,
};
use super::session::{Answer, Call, Param, PgError, Script, Session};
use super::told::{Learned, learn, number, tell};

/// How many versions lie between two times that old rows of `commits` are forgotten.
const FORGET_EVERY: u64 = 1_024;
/// Further behind, a resolver passes over what only transactions that have long ended could conflict with: while it learns, it
/// holds the lock.
const BEHIND: u64 = 1_024;

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
    session: Option<Session>,
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
        Self { address, random, clock, jobs, session: None, resolver, seen: version, forgotten: version / FORGET_EVERY }
    }

    /// Commits until the store is closed; the cause, if it cannot go on before.
    pub(super) async fn run(&mut self) -> Option<String> {
        while let Some(first) = self.jobs.recv().await {
            let group = gather(first, &mut self.jobs);
            if let Err(cause) = self.serve(group).await {
                tracing::error!(catalog = %self.address, %cause, "the catalog store has closed");
                return Some(cause);
            }
        }
        None
    }

    /// Answers all of `group`. The error is why the store must close.
    async fn serve(&mut self, group: Vec<Job>) -> Result<(), String> {
        let oldest = group.iter().map(|job| job.pending.request(&[]).read_version).min().unwrap_or_default();
        let (before, survivors) = match self.lock(oldest).await {
            Ok(before) => (before, self.resolve(group)),
            Err(failure) => return self.give_up(failure, group.into_iter().map(|job| job.answer)),
        };
        if survivors.is_empty() {
            self.unlock().await;
            return Ok(());
        }
        metrics::histogram!("millrace_catalog_group_size").record(survivors.len() as f64);
        let after = self.resolver.as_ref().expect("it has just resolved").last();
        let (answers, writes) = take_apart(survivors);
        if let Err(error) = self.apply(writes, before, after).await {
            return self.give_up(error.into(), answers.into_iter().map(|(answer, _)| answer));
        }
        let outcome = self.commit(after).await;
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

    /// Takes the lock, begins a transaction, and brings the resolver up to what is there. Answers its version. `oldest`: the
    /// oldest version at which somebody read whose commit is to be judged.
    async fn lock(&mut self, oldest: u64) -> Result<u64, Failure> {
        let version = match self.session.take() {
            Some(kept) => match begin(&kept).await {
                // It was idle, and may have died with its server since. Nothing was written yet.
                Err(PgError::Lost(_)) => self.lock_anew().await?,
                begun => self.keep(kept, begun)?,
            },
            None => self.lock_anew().await?,
        };
        if version < self.seen {
            return Err(Failure::WentBack { seen: self.seen, found: version });
        }
        let known = self.resolver.as_ref().map(Resolver::last).filter(|last| last + BEHIND >= version);
        let resolver = match known {
            Some(_) => self.resolver.take().expect("it is there"),
            None => Resolver::new(oldest.max(self.resolver.as_ref().map_or(0, Resolver::last)).min(version)),
        };
        self.resolver = Some(self.catch_up(resolver, version).await?);
        self.seen = version;
        Ok(version)
    }

    async fn lock_anew(&mut self) -> Result<u64, PgError> {
        let session = open_patiently(&self.address, Purpose::Commit, &self.random).await?;
        let begun = begin(&session).await;
        self.keep(session, begun)
    }

    fn keep(&mut self, session: Session, begun: Result<u64, PgError>) -> Result<u64, PgError> {
        self.session = Some(session);
        begun
    }

    /// `resolver`, having seen all that was committed up to `version`.
    async fn catch_up(&self, mut resolver: Resolver, version: u64) -> Result<Resolver, PgError> {
        if version > resolver.last() {
            match learn(self.session(), resolver.last(), version).await? {
                Learned::All(groups) => {
                    groups.iter().for_each(|told| resolver.observe(&told.written, told.last, self.clock.now()));
                }
                Learned::Gap => resolver = Resolver::new(version),
            }
        }
        assert_eq!(resolver.last(), version, "what was learned is not what is there");
        Ok(resolver)
    }

    fn session(&self) -> &Session {
        self.session.as_ref().expect("the lock was taken")
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
        let added_to = writes.folded.added_to();
        let stood = if added_to.is_empty() { BTreeMap::new() } else { get_many(self.session(), added_to).await? };
        let mut calls = vec![Call::new(RAISE_VERSION, [number(before), number(after)])];
        let (starts, ends): (Vec<_>, Vec<_>) =
            writes.folded.cleared.iter().map(|range| (range.start.clone(), range.end.clone())).unzip();
        if !starts.is_empty() {
            calls.push(Call::new(REMOVE_RANGES, [Param::List(starts), Param::List(ends)]));
        }
        let (gone, keys, values) = writes.folded.finish(&stood);
        if !gone.is_empty() {
            calls.push(Call::new(REMOVE_MANY, [Param::List(gone)]));
        }
        if !keys.is_empty() {
            calls.push(Call::new(PUT_MANY, [Param::List(keys), Param::List(values)]));
        }
        let [starts, ends] = tell(writes.written);
        calls.push(Call::new(TELL, [number(before + 1), number(after), starts, ends]));
        calls.push(Call::new(NOTIFY, []));
        if after / FORGET_EVERY > self.forgotten {
            self.forgotten = after / FORGET_EVERY;
            calls.push(Call::new(FORGET, [number(before)]));
        }
        let answers = self.session().run(calls).await.into_iter().collect::<Result<Vec<Answer>, PgError>>()?;
        if answers[0].done != 1 {
            let cause =
                "another process committed in spite of the lock: is there a pooler in transaction mode in between?";
            return Err(PgError::Lost(cause.to_owned()));
        }
        Ok(())
    }

    /// Ends the transaction and gives the lock back. That the version is `after` proves that it was committed: a server answers a
    /// COMMIT of what it has rolled back as if nothing were wrong.
    async fn commit(&mut self, after: u64) -> Result<(), StoreError> {
        let session = self.session.take().expect("the lock was taken");
        let Script { done, rows, failure } = session.script(&commit_and_unlock(session.lock_number())).await;
        let found = rows.first().and_then(|row| row.first()?.parse::<u64>().ok());
        match (found, failure) {
            (Some(found), failure) if found >= after => {
                // Without an answer to the unlock, the lock goes with the session.
                self.session = failure.is_none().then_some(session);
                Ok(())
            }
            // The lock was still ours, so nobody else can have put it back.
            (Some(_), _) => Err(StoreError::Unavailable { cause: format!("{}: it rolled back", self.address) }),
            // The server goes on, so it has decided: against it.
            (None, Some(error @ PgError::Refused { .. })) if done == 0 => Err(explain(&self.address, error)),
            (None, failure) => {
                let cause =
                    failure.map_or_else(|| "its table meta has lost its row".to_owned(), |error| error.to_string());
                Err(StoreError::MaybeCommitted { cause: format!("{}: during COMMIT: {cause}", self.address) })
            }
        }
    }

    /// Gives up the transaction, in which nothing was written, and the lock.
    async fn unlock(&mut self) {
        if let Some(session) = self.session.take() {
            let Script { failure, .. } = session.script(&roll_back_and_unlock(session.lock_number())).await;
            self.session = failure.is_none().then_some(session);
        }
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
        self.session = None;
        self.resolver = None;
    }
}

/// Takes the lock, waiting for whoever has it, and begins a transaction; the version that it finds.
async fn begin(session: &Session) -> Result<u64, PgError> {
    let lock = Param::Number(session.lock_number());
    let calls = vec![Call::new(LOCK, [lock]), Call::new(BEGIN, []), Call::new(VERSION, [])];
    let answers = session.run(calls).await.into_iter().collect::<Result<Vec<Answer>, PgError>>()?;
    version_in(&answers[2])
}

/// What a group writes.
struct Writes {
    folded: Folded,
    written: Vec<KeyRange>,
}

type Waiting = (oneshot::Sender<Result<Stamp, StoreError>>, Stamp);

fn take_apart(survivors: Vec<Survivor>) -> (Vec<Waiting>, Writes) {
    let mut answers = Vec::with_capacity(survivors.len());
    let mut writes = Writes { folded: Folded::default(), written: Vec::new() };
    for Survivor { job, stamp, written } in survivors {
        job.pending.writes.into_mutations(stamp).for_each(|mutation| writes.folded.push(mutation));
        writes.written.extend(written);
        answers.push((job.answer, stamp));
    }
    (answers, writes)
}
