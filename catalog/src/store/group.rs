//! The queue before a store's one committer: commits that wait for it together become one group, with one wait for the disk or the
//! server.

use tokio::sync::{mpsc, oneshot};

use super::transaction::PendingCommit;
use super::{Stamp, StoreError, TRANSACTION_BYTES_LIMIT};

/// How many commits may wait for the committer; further ones wait for a place.
pub(super) const QUEUE: usize = 1024;
/// The most commits in a group.
const GROUP: usize = 512;
/// A group takes no further commit once it has this many bytes, so that its memory is bounded (I8).
const GROUP_BYTES: usize = 2 * TRANSACTION_BYTES_LIMIT;

/// One commit, and where its answer goes.
#[derive(Debug)]
pub(super) struct Job {
    /// What to commit.
    pub(super) pending: PendingCommit,
    /// Where the answer goes.
    pub(super) answer: oneshot::Sender<Result<Stamp, StoreError>>,
}

/// Hands `pending` to the `committer` ("task", "thread") behind `queue`, and waits for its answer. Without a queue, or refused by
/// it, the commit was never seen: `closed` says why.
pub(super) async fn submit(
    queue: Option<mpsc::Sender<Job>>,
    pending: PendingCommit,
    committer: &str,
    closed: impl Fn() -> StoreError,
) -> Result<Stamp, StoreError> {
    let queue = queue.ok_or_else(&closed)?;
    let (answer, answered) = oneshot::channel();
    queue.send(Job { pending, answer }).await.map_err(|_| closed())?;
    // The committer of a store that closes ends when no sender is left.
    drop(queue);
    let unanswered =
        |_| StoreError::MaybeCommitted { cause: format!("the committing {committer} ended before its answer") };
    answered.await.map_err(unanswered)?
}

/// The group of `first`: what waits behind it, as far as it goes into one.
pub(super) fn gather(first: Job, jobs: &mut mpsc::Receiver<Job>) -> Vec<Job> {
    let mut bytes = first.pending.bytes();
    let mut group = vec![first];
    while group.len() < GROUP
        && bytes < GROUP_BYTES
        && let Ok(job) = jobs.try_recv()
    {
        bytes += job.pending.bytes();
        group.push(job);
    }
    group
}
