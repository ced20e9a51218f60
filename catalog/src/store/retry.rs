//! Runs a transaction until it commits, or until running it again would be wrong or useless.

use std::time::Duration;

use futures::future::BoxFuture;
use vfs::{Random, World};

use super::{CausedByStore, KvStore, KvTransaction, Stamp, StoreError};

/// How long a transaction is tried again, from its first attempt.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause after the first failed attempt.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
/// The longest pause after any.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Runs `body` in a transaction and commits it; answers the body's value and the commit's stamp.
///
/// Tried again, with growing random pauses, while the error says that the attempt did not happen and that another may
/// succeed: `Conflict`, `TooOld`, `Unavailable`. So `body` may run several times and must have no effect but its
/// transaction. An error of `body` that does not come from the store ends it at once, with nothing committed.
///
/// **I6:** `MaybeCommitted` ends it at once and is what the caller gets. Trying again here could apply the transaction twice,
/// and a later, definite error would hide that the first attempt may have happened. Only the caller knows its token.
/// Dropping the returned future leaves the outcome unknown as well.
///
/// The body is a closure that boxes its future and borrows what it needs by shared reference; `'env` is how long that lives.
/// (An async closure would read better, but the compiler cannot yet show that its future is `Send`, and so it could not be
/// called from behind an `async_trait` or be spawned.)
///
/// ```
/// # use std::sync::Arc;
/// # use futures::FutureExt;
/// # use millrace_catalog::store::{KvStore, MemoryStore, Read, StoreError, transact};
/// # async fn rename(store: &dyn KvStore, world: &vfs::World, new: &str) -> Result<(), StoreError> {
/// let (old, _stamp) = transact(store, world, |transaction| {
///     async move {
///         let old = transaction.get(b"name", Read::Serializable).await?;
///         transaction.set(b"name", new.as_bytes());
///         Ok::<_, StoreError>(old)
///     }
///     .boxed()
/// })
/// .await?;
/// # drop(old);
/// # Ok(())
/// # }
/// ```
pub async fn transact<'env, T, E>(
    store: &dyn KvStore,
    world: &World,
    mut body: impl for<'t> FnMut(&'t mut (dyn KvTransaction + 'env)) -> BoxFuture<'t, Result<T, E>> + Send,
) -> Result<(T, Stamp), E>
where
    E: From<StoreError> + CausedByStore,
{
    let started = world.clock.now();
    let mut longest_pause = FIRST_PAUSE;
    loop {
        let error = match attempt(store, &mut body).await {
            Ok(committed) => return Ok(committed),
            Err(error) => error,
        };
        let retryable = error.store_error().is_some_and(StoreError::is_retryable);
        if !retryable || world.clock.now().since(started) >= PATIENCE {
            return Err(error);
        }
        world.clock.sleep(jittered(longest_pause, world.random.as_ref())).await;
        longest_pause = (longest_pause * 2).min(LONGEST_PAUSE);
    }
}

async fn attempt<'env, T, E: From<StoreError>>(
    store: &dyn KvStore,
    mut body: impl for<'t> FnMut(&'t mut (dyn KvTransaction + 'env)) -> BoxFuture<'t, Result<T, E>> + Send,
) -> Result<(T, Stamp), E> {
    let mut transaction = store.begin().await?;
    let value = body(transaction.as_mut()).await?;
    let stamp = transaction.commit().await?;
    Ok((value, stamp))
}

/// Between half of `longest` and all of it: apart enough that two who met do not meet again, and never nothing.
pub(super) fn jittered(longest: Duration, random: &dyn Random) -> Duration {
    let half = longest / 2;
    let nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(random.next_u64() % (nanos + 1))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use futures::FutureExt;
    use vfs::{Inline, SeededRandom};

    use super::*;
    use crate::store::contract::ManualClock;
    use crate::store::{CommitFault, FaultyStore, MemoryStore, Read};

    fn world() -> (World, FaultyStore) {
        let clock = Arc::new(ManualClock::default());
        let random = Arc::new(SeededRandom::new(7));
        let store = FaultyStore::new(Arc::new(MemoryStore::new(clock.clone())), random.clone());
        (World { clock, random, compute: Arc::new(Inline) }, store)
    }

    async fn count_up(store: &FaultyStore, world: &World, attempts: &AtomicU32) -> Result<(), StoreError> {
        let counted = transact(store, world, |transaction| {
            async move {
                attempts.fetch_add(1, Relaxed);
                transaction.get(b"n", Read::Serializable).await?;
                transaction.add(b"n", 1);
                Ok::<(), StoreError>(())
            }
            .boxed()
        });
        counted.await.map(|_| ())
    }

    #[tokio::test]
    async fn what_did_not_happen_is_tried_again_until_it_happens() {
        let (world, store) = world();
        store.script([CommitFault::FailBefore, CommitFault::FailBefore]);
        let attempts = AtomicU32::new(0);
        count_up(&store, &world, &attempts).await.unwrap();
        assert_eq!(attempts.into_inner(), 3);
    }

    #[tokio::test]
    async fn what_may_have_happened_is_never_tried_again() {
        let (world, store) = world();
        store.script([CommitFault::FailBefore, CommitFault::FailAfter]);
        let attempts = AtomicU32::new(0);
        assert!(count_up(&store, &world, &attempts).await.unwrap_err().is_maybe_committed());
        assert_eq!(attempts.into_inner(), 2);
        let n = store.begin().await.unwrap().get(b"n", Read::Snapshot).await.unwrap();
        assert_eq!(n.as_deref(), Some(1_i64.to_le_bytes().as_slice()));
    }

    #[tokio::test]
    async fn patience_ends_with_the_last_error() {
        let (world, store) = world();
        store.script(std::iter::repeat_n(CommitFault::FailBefore, 1_000));
        let attempts = AtomicU32::new(0);
        let ended = count_up(&store, &world, &attempts).await;
        assert!(matches!(ended, Err(StoreError::Unavailable { .. })));
        let attempts = attempts.into_inner();
        assert!((50..200).contains(&attempts), "{attempts} attempts in thirty seconds");
    }

    #[tokio::test]
    async fn its_future_can_be_spawned_from_behind_a_seam() {
        #[async_trait::async_trait]
        trait Counter: Send + Sync {
            async fn count(&self, by: &[i64]) -> Result<i64, StoreError>;
        }
        struct Counting(World, FaultyStore);
        #[async_trait::async_trait]
        impl Counter for Counting {
            async fn count(&self, by: &[i64]) -> Result<i64, StoreError> {
                let counted = transact(&self.1, &self.0, |transaction| {
                    async move {
                        by.iter().for_each(|delta| transaction.add(b"n", *delta));
                        transaction.get(b"n", Read::Serializable).await
                    }
                    .boxed()
                });
                let sum = counted.await?.0.expect("it was just added to");
                Ok(i64::from_le_bytes(sum.as_ref().try_into().expect("eight bytes")))
            }
        }
        let (world, store) = world();
        let counter: Arc<dyn Counter> = Arc::new(Counting(world, store));
        let counted = tokio::spawn(async move { counter.count(&[1, 2]).await });
        assert_eq!(counted.await.unwrap(), Ok(3));
    }
}
