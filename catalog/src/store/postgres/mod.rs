//! A catalog in PostgreSQL, shared by any number of processes: the same resolver as that of `redb`, behind a lock that they
//! share. For those who already run one.
//!
//! ```text
//!  transaction --get, range--> pool: a session each, REPEATABLE READ
//!       |
//!       commit                                             +--> table entries
//!       v                                                  |
//!  bounded queue --all that wait--> committer --lock-------+--> table commits, NOTIFY ──> every process's feed ──> watches
//! ```
//!
//! Versions are counted in the order of commits in the one row of `meta`, which a transaction reads together with the entries:
//! so what it reads is exactly a version. What other processes wrote since is read from `commits` under the lock, before
//! own commits are judged. A pooler in transaction mode in between would lose the lock; each commit raises the version by
//! compare-and-set, so even then none is applied on what it has not seen.
//!
//! **If we die here:** the server ends our sessions, and with them an open transaction and the lock; see `committer`.

mod address;
mod backoff;
mod committer;
mod feed;
mod fold;
mod pool;
mod schema;
mod session;
#[cfg(test)]
mod tests;
mod tls;
mod told;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};
use vfs::{Clock, World};

pub use address::PostgresAddress;
use committer::Committer;
use feed::Feed;
use pool::Pool;
use schema::Purpose;
use session::Session;

use super::group::{self, Job, QUEUE};
use super::transaction::{Commits, OptimisticTransaction, PendingCommit};
use super::watches::Watches;
use super::{KvStore, KvTransaction, Stamp, StoreError, WatchFuture};

/// A store in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    feed: tokio::task::AbortHandle,
    ended: watch::Receiver<bool>,
}

#[derive(Debug)]
struct Shared {
    /// The way to the committer. Taken away to close the store: the committer ends when the queue has no sender left.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    /// Why the store has closed.
    cause: Mutex<Option<String>>,
    pool: Arc<Pool>,
    watches: Watches,
    clock: Arc<dyn Clock>,
}

impl PostgresStore {
    /// Opens the catalog at `address`, and makes its schema where there is none. Transactions age by the world's clock.
    ///
    /// # Errors
    /// `Unavailable` if the server cannot be reached or does not let us in, `Newer` or `Damaged` if its tables are not what this
    /// program makes. None has the password in it.
    pub async fn open(address: PostgresAddress, world: &World) -> Result<Self, StoreError> {
        Self::open_or(address, world, true).await
    }

    /// Opens the catalog at `address`, and makes nothing there.
    ///
    /// # Errors
    /// As [`PostgresStore::open`], and `Unavailable` if there is no such schema, or nothing in it.
    pub async fn open_existing(address: PostgresAddress, world: &World) -> Result<Self, StoreError> {
        Self::open_or(address, world, false).await
    }

    async fn open_or(address: PostgresAddress, world: &World, makes: bool) -> Result<Self, StoreError> {
        let failed = |error| schema::explain(&address, error);
        let session = Session::open(&address, Purpose::Open).await.map_err(failed)?;
        schema::prepare(&session, &address, makes).await?;
        let version = schema::version(&session).await.map_err(failed)?;
        drop(session);

        let watches = Watches::default();
        // It listens before anybody can watch.
        let feed = Feed::open(address.clone(), Arc::clone(&world.random), watches.clone()).await.map_err(failed)?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let pool = Arc::new(Pool::new(address.clone(), Arc::clone(&world.random)));
        let shared = Arc::new(Shared {
            queue: Mutex::new(Some(queue)),
            cause: Mutex::default(),
            pool,
            watches,
            clock: Arc::clone(&world.clock),
        });
        let mut committer = Committer::new(address, Arc::clone(&world.random), Arc::clone(&world.clock), jobs, version);
        let (end, ended) = watch::channel(false);
        let of_committer = Arc::clone(&shared);
        tokio::spawn(async move {
            let cause = committer.run().await;
            of_committer.close(cause.as_deref().unwrap_or("it was closed in good order"));
            // Those still in the queue were never begun, so they did not happen.
            committer.jobs.close();
            while let Some(job) = committer.jobs.recv().await {
                drop(job.answer.send(Err(of_committer.closed())));
            }
            // Nobody listens any more if the store was dropped without being closed.
            let _listener_gone = end.send(true);
        });
        Ok(Self { shared, feed: tokio::spawn(feed.run()).abort_handle(), ended })
    }
}

impl Drop for PostgresStore {
    /// As [`KvStore::close`], without waiting for the commits under way.
    fn drop(&mut self) {
        self.shared.close("it was closed in good order");
        self.feed.abort();
    }
}

impl Shared {
    /// Later calls fail; the first cause stays.
    fn close(&self, cause: &str) {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| cause.to_owned());
        self.queue().take();
        self.pool.close();
        self.watches.close();
    }

    fn queue(&self) -> MutexGuard<'_, Option<mpsc::Sender<Job>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cause(&self) -> Option<String> {
        self.cause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn closed(&self) -> StoreError {
        StoreError::Closed { cause: self.cause().unwrap_or_else(|| "its committing task has ended".to_owned()) }
    }
}

#[async_trait]
impl KvStore for PostgresStore {
    async fn begin(&self) -> Result<Box<dyn KvTransaction>, StoreError> {
        let clock = Arc::clone(&self.shared.clock);
        let begun = clock.now();
        let snapshot = match self.shared.pool.begin().await {
            Ok(snapshot) if self.shared.cause().is_none() => snapshot,
            Ok(_) => return Err(self.shared.closed()),
            Err(_) if self.shared.cause().is_some() => return Err(self.shared.closed()),
            Err(error) => return Err(error),
        };
        let commits = Arc::clone(&self.shared) as Arc<dyn Commits>;
        Ok(Box::new(OptimisticTransaction::new(snapshot, commits, clock, begun)))
    }

    fn name(&self) -> &'static str {
        "postgres"
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn watch(&self, key: &[u8]) -> Result<WatchFuture, StoreError> {
        Ok(self.shared.watches.watch(key))
    }

    async fn closed(&self) -> String {
        let mut ended = self.ended.clone();
        // An error means that the committer is gone without a word, which ends the wait as well.
        let _ended = ended.wait_for(|ended| *ended).await;
        self.shared.cause().unwrap_or_else(|| "its committing task has ended".to_owned())
    }

    async fn close(&self) {
        self.shared.close("it was closed in good order");
        self.feed.abort();
        self.closed().await;
    }
}

#[async_trait]
impl Commits for Shared {
    async fn submit(&self, pending: PendingCommit) -> Result<Stamp, StoreError> {
        let queue = self.queue().clone();
        group::submit(queue, pending, "task", || self.closed()).await
    }
}
