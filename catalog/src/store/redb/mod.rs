//! The embedded default: one `redb` file, one thread that commits in groups, one that reads. Owns the file for as long as it
//! is open; what is in its pages belongs to `redb`, what conflicts to the resolver.
//!
//! ```text
//!  transaction --get, range--> reader thread ---> the published view (a read transaction of redb)
//!       |                                              ^
//!       commit                                         | 3. publish
//!       v                                              |
//!  bounded queue --all that wait--> committer thread --+--> 1. resolve  2. one write transaction, one fsync
//!                                                      +--> 4. wake watches, answer
//! ```
//!
//! **If we die here:** before 2 nothing of the group is in the file, nobody was answered. During 2 `redb` finds either all of
//! the group or none of it at the next open; the callers' answers died with us, so their outcome is unknown to them (I6).
//! After 2 all of it is there. The commit count is written in the same transaction, so no stamp is given twice.

mod committer;
#[cfg(test)]
mod disk;
mod file;
mod patient;
mod view;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use vfs::Clock;

use committer::Committer;
use patient::Patience;
use view::{Reader, RedbSnapshot, View};

use super::group::{self, Job, QUEUE};
use super::transaction::{Commits, OptimisticTransaction, PendingCommit};
use super::watches::Watches;
use super::{KvStore, KvTransaction, Stamp, StoreError, WatchFuture};

/// A store in one file of the local disk. Opened by one process at a time.
#[derive(Debug)]
pub struct RedbStore {
    shared: Arc<Shared>,
    ended: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Shared {
    /// The way to the committer. Taken away to close the store: the committer ends when the queue has no sender left.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    state: Arc<RwLock<State>>,
    reader: Reader,
    watches: Watches,
    patience: Patience,
    clock: Arc<dyn Clock>,
}

/// What new transactions meet.
#[derive(Debug)]
enum State {
    Open(Arc<View>),
    Closed { cause: String },
}

impl RedbStore {
    /// Opens the store at `path`, or makes an empty one there; its directory must exist. Checks the whole file, and repairs
    /// what a crash left behind. Transactions age by `clock`.
    ///
    /// # Errors
    /// `Locked` if another process has it open, `Damaged` if its content is not what was written, `Unavailable` if the disk
    /// refuses.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let place = path.to_owned();
        Self::start(path.display().to_string(), move |patience| file::open(&place, patience), clock).await
    }

    /// Starts the threads over the database that `open` opens, on the committer's thread because opening blocks.
    async fn start(
        place: String,
        open: impl FnOnce(&Patience) -> Result<(::redb::Database, Option<file::Room>), StoreError> + Send + 'static,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE);
        let (opened, opening) = oneshot::channel();
        let (end, ended) = watch::channel(false);
        let watches = Watches::default();
        let (thread_watches, thread_clock, thread_place) = (watches.clone(), Arc::clone(&clock), place.clone());
        let patience = Patience::default();
        let thread_patience = patience.clone();
        let run = move || {
            match open(&thread_patience)
                .and_then(|opened| Committer::new(opened, thread_place, jobs, thread_watches, thread_clock))
            {
                Ok(committer) => {
                    thread_patience.set(true);
                    drop(opened.send(Ok(committer.state())));
                    committer.run(thread_patience);
                }
                Err(error) => drop(opened.send(Err(error))),
            }
            // Nobody listens any more if the store was dropped without being closed.
            let _listener_gone = end.send(true);
        };
        spawn("catalog-commit", run)?;
        let state = opening.await.map_err(|_| StoreError::Damaged {
            place: place.clone(),
            detail: "its pages do not fit together, and reading them stopped the thread that did".to_owned(),
        })??;
        let reader = Reader::start(place)?;
        let shared = Arc::new(Shared { queue: Mutex::new(Some(queue)), state, reader, watches, patience, clock });
        Ok(Self { shared, ended })
    }

    /// As [`KvStore::closed`]: the disk has failed it.
    pub async fn closed(&self) -> String {
        let mut ended = self.ended.clone();
        // An error means that the committer is gone without a word, which ends the wait as well.
        let _ended = ended.wait_for(|ended| *ended).await;
        match self.shared.view() {
            Err(StoreError::Closed { cause }) => cause,
            Ok(_) | Err(_) => "its committing thread has ended".to_owned(),
        }
    }

    /// As [`KvStore::close`], but that a commit which waits for room on a full disk fails: returns once the file is free for another
    /// to open.
    pub async fn close(&self) {
        self.shared.close();
        self.closed().await;
    }
}

impl Drop for RedbStore {
    /// As [`KvStore::close`], without waiting for the file to be free.
    fn drop(&mut self) {
        self.shared.close();
    }
}

/// Starts a thread of the store's own: what blocks on the disk may not stand on the runtime's threads.
fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    let spawned = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    spawned.map(drop).map_err(|error| StoreError::Unavailable { cause: format!("cannot start a thread: {error}") })
}

impl Shared {
    fn close(&self) {
        self.queue().take();
        self.patience.set(false);
        State::close(&self.state, "it was closed in good order");
        self.watches.close();
    }

    fn queue(&self) -> MutexGuard<'_, Option<mpsc::Sender<Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self) -> Result<Arc<View>, StoreError> {
        match &*self.state.read().unwrap_or_else(PoisonError::into_inner) {
            State::Open(view) => Ok(Arc::clone(view)),
            State::Closed { cause } => Err(StoreError::Closed { cause: cause.clone() }),
        }
    }

    fn closed(&self) -> StoreError {
        let ended_unseen = || StoreError::Closed { cause: "its committing thread has ended".to_owned() };
        self.view().err().unwrap_or_else(ended_unseen)
    }
}

impl State {
    /// Shows `view` to new transactions, unless the store has closed.
    fn publish(state: &RwLock<State>, view: View) {
        let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(current) = &mut *state {
            *current = Arc::new(view);
        }
    }

    /// Shows new transactions that the store has closed; the first cause stays.
    fn close(state: &RwLock<State>, cause: &str) {
        let mut state = state.write().unwrap_or_else(PoisonError::into_inner);
        if let State::Open(_) = &*state {
            *state = State::Closed { cause: cause.to_owned() };
        }
    }
}

#[async_trait]
impl KvStore for RedbStore {
    async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError> {
        let clock = Arc::clone(&self.shared.clock);
        let begun = clock.now();
        let snapshot = RedbSnapshot::new(self.shared.view()?, self.shared.reader.clone());
        let commits = Arc::clone(&self.shared) as Arc<dyn Commits>;
        Ok(Box::new(OptimisticTransaction::new(snapshot, commits, clock, begun)))
    }

    fn name(&self) -> &'static str {
        "redb"
    }

    async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError> {
        Ok(self.shared.watches.watch(key))
    }

    async fn closed(&self) -> String {
        RedbStore::closed(self).await
    }

    async fn close(&self) {
        RedbStore::close(self).await;
    }
}

#[async_trait]
impl Commits for Shared {
    async fn submit(&self, pending: PendingCommit) -> Result<Stamp, StoreError> {
        let queue = self.queue().clone();
        group::submit(queue, pending, "thread", || self.closed()).await
    }
}

#[cfg(test)]
mod tests;
