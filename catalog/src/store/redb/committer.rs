//! The thread that commits: takes all commits that wait, resolves them one by one, applies the survivors in one write
//! transaction with one fsync, and answers all. While it waits for the disk, the next group gathers in the queue.

use std::sync::{Arc, RwLock};

use redb::{Database, Durability, ReadableTable, Table, WriteTransaction};
use tokio::sync::{mpsc, oneshot};
use vfs::Clock;

use super::super::group::{Job, gather};
use super::super::mutation::{Mutation, add_to};
use super::super::resolver::{Decision, Resolver};
use super::super::transaction::PendingCommit;
use super::super::watches::Watches;
use super::super::{KeyRange, Stamp, StoreError};
use super::State;
use super::file::{COMMITS, ENTRIES, META, Room, commits, from_redb};
use super::patient::Patience;
use super::view::View;

/// A commit that the resolver let pass, and its place in the order.
struct Survivor {
    job: Job,
    stamp: Stamp,
}

/// Owns the database: the only one that writes to it, and the last that holds it.
pub(super) struct Committer {
    database: Database,
    room: Option<Room>,
    place: String,
    jobs: mpsc::Receiver<Job>,
    resolver: Resolver,
    state: Arc<RwLock<State>>,
    watches: Watches,
    clock: Arc<dyn Clock>,
}

/// However the thread ends, nobody is left believing that the store is open, and its file is closed without waiting for room.
struct CloseAtEnd {
    state: Arc<RwLock<State>>,
    watches: Watches,
    patience: Patience,
}

impl Drop for CloseAtEnd {
    fn drop(&mut self) {
        self.patience.set(false);
        State::close(&self.state, "its committing thread has ended");
        self.watches.close();
    }
}

impl Committer {
    /// A committer that goes on where the database's last commit left off.
    pub(super) fn new(
        (database, room): (Database, Option<Room>),
        place: String,
        jobs: mpsc::Receiver<Job>,
        watches: Watches,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let last = commits(&database).map_err(|error| from_redb(&place, error))?;
        let view = View::newest(&database, last).map_err(|error| from_redb(&place, error))?;
        let state = Arc::new(RwLock::new(State::Open(Arc::new(view))));
        Ok(Self { database, room, place, jobs, resolver: Resolver::new(last), state, watches, clock })
    }

    /// What new transactions meet, kept current by this committer.
    pub(super) fn state(&self) -> Arc<RwLock<State>> {
        Arc::clone(&self.state)
    }

    /// Commits until the store is closed, or until the disk fails. With `patience` it waits for room on a full one.
    pub(super) fn run(mut self, patience: Patience) {
        let _close = CloseAtEnd { state: Arc::clone(&self.state), watches: self.watches.clone(), patience };
        while let Some(first) = self.jobs.blocking_recv() {
            let group = gather(first, &mut self.jobs);
            let survivors = self.resolve(group);
            if survivors.is_empty() {
                continue;
            }
            if let Err(cause) = self.commit(survivors) {
                tracing::error!(store = %self.place, %cause, "the catalog store has closed: open it again, by a restart");
                self.refuse_the_rest(&cause);
                return;
            }
            if let Some(room) = &mut self.room {
                room.keep();
            }
        }
    }

    /// Decides each commit in the order of the queue, which becomes the order of stamps, and answers those that fail.
    fn resolve(&mut self, group: Vec<Job>) -> Vec<(Survivor, Vec<KeyRange>)> {
        let mut survivors = Vec::with_capacity(group.len());
        for job in group {
            let stamp = self.resolver.next_stamp();
            let written = job.pending.writes.conflict_ranges(stamp);
            match self.resolver.resolve(&job.pending.request(&written), self.clock.now()) {
                Decision::Commit(_) => survivors.push((Survivor { job, stamp }, written)),
                Decision::Conflict => drop(job.answer.send(Err(StoreError::Conflict))),
                Decision::TooOld => drop(job.answer.send(Err(StoreError::TooOld))),
            }
        }
        survivors
    }

    /// Applies the survivors, makes them durable, shows them, and answers. The error is why the store must close: after it the
    /// resolver is ahead of the file, and a failed fsync says nothing about the pages that it was for.
    fn commit(&mut self, survivors: Vec<(Survivor, Vec<KeyRange>)>) -> Result<(), String> {
        metrics::histogram!("millrace_catalog_group_size").record(survivors.len() as f64);
        let version = self.resolver.last();
        let mut answers = Vec::with_capacity(survivors.len());
        let mut written = Vec::new();
        let mut writes = Vec::with_capacity(survivors.len());
        for (Survivor { job, stamp }, ranges) in survivors {
            answers.push((job.answer, stamp));
            writes.push((job.pending, stamp));
            written.extend(ranges);
        }
        let applied = match self.apply(writes, version) {
            Ok(applied) => applied,
            Err(error) => {
                // Not committed, and dropped: the file still has its last commit.
                let cause = format!("cannot write to {}: {error}", self.place);
                State::close(&self.state, &cause);
                fail(answers, &StoreError::Unavailable { cause: cause.clone() });
                return Err(cause);
            }
        };
        if let Err(error) = applied.commit() {
            // The header may or may not have reached the disk; the next open will tell.
            let cause = format!("cannot sync {}: {error}", self.place);
            State::close(&self.state, &cause);
            fail(answers, &StoreError::MaybeCommitted { cause: cause.clone() });
            return Err(cause);
        }
        let shown = View::newest(&self.database, version).map(|view| State::publish(&self.state, view));
        self.watches.fire(&written);
        for (answer, stamp) in answers {
            // Whoever no longer listens has decided to live with not knowing.
            drop(answer.send(Ok(stamp)));
        }
        shown.map_err(|error| format!("cannot read {}: {error}", self.place))
    }

    /// Writes the group into a transaction of the database, not yet committed.
    fn apply(&self, writes: Vec<(PendingCommit, Stamp)>, version: u64) -> Result<WriteTransaction, redb::Error> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            for (pending, stamp) in writes {
                for mutation in pending.writes.into_mutations(stamp) {
                    apply_one(&mut entries, mutation)?;
                }
            }
            transaction.open_table(META)?.insert(COMMITS, version)?;
        }
        Ok(transaction)
    }

    /// Those still in the queue were never begun, so they did not happen.
    fn refuse_the_rest(&mut self, cause: &str) {
        State::close(&self.state, cause);
        self.jobs.close();
        while let Some(job) = self.jobs.blocking_recv() {
            drop(job.answer.send(Err(StoreError::Closed { cause: cause.to_owned() })));
        }
    }
}

fn apply_one(entries: &mut Table<'_, &[u8], &[u8]>, mutation: Mutation) -> Result<(), redb::Error> {
    match mutation {
        Mutation::Set(key, value) => drop(entries.insert(key.as_ref(), value.as_ref())?),
        Mutation::Clear(key) => drop(entries.remove(key.as_ref())?),
        Mutation::Add(key, delta) => {
            let sum = add_to(entries.get(key.as_ref())?.as_ref().map(|value| value.value()), delta);
            entries.insert(key.as_ref(), sum.as_ref())?;
        }
        Mutation::ClearRange(range) => {
            entries.retain_in(range.start.as_ref()..range.end.as_ref(), |_, _| false)?;
        }
    }
    Ok(())
}

fn fail(answers: Vec<(oneshot::Sender<Result<Stamp, StoreError>>, Stamp)>, error: &StoreError) {
    for (answer, _) in answers {
        drop(answer.send(Err(error.clone())));
    }
}
