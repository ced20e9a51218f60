//! This server's lease on a catalog that others could open as well. Servers do not share the work of one catalog yet: a second one
//! would take the streams from the first, and could not answer about rows that only the first has in memory.
//!
//! Nothing depends on it but peace: whoever works on after it was lost is fenced by the epochs (I10).
//!
//! **If we die here:** the next process of this node takes the lease at once; another node when it has run out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use catalog::{Catalog, CatalogError, Lease, LeaseOutcome, NodeId};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use vfs::{Clock, World};

/// For how long it is taken.
const DURATION: Duration = Duration::from_secs(10);
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(3);
/// Between a node and its process, in the name of a holder.
const PROCESS: char = '#';

/// The lease, renewed until it is left or lost.
#[derive(Debug)]
pub struct Seat {
    lost: watch::Receiver<Option<String>>,
    leave: CancellationToken,
    keeper: JoinHandle<()>,
}

/// Who renews it.
struct Keeper {
    catalog: Catalog,
    /// The node and the process: two of one name, as a machine and its clone, are told apart.
    holder: NodeId,
    clock: Arc<dyn Clock>,
    lease: Lease,
    lost: watch::Sender<Option<String>>,
    leave: CancellationToken,
}

impl Seat {
    /// Takes the lease. One that another node holds is watched for as long as it was taken for, by this process's own clock; an
    /// earlier process of the same node is dead, since it had the data directory, and if it lives nevertheless it is told.
    ///
    /// # Errors
    /// If another server renews it meanwhile, or the catalog cannot be asked.
    pub async fn take(catalog: &Catalog, node: &NodeId, world: &World) -> anyhow::Result<Self> {
        let clock = Arc::clone(&world.clock);
        let mut seen = catalog.read_server_lease().await?;
        if let Some(lease) = seen.as_ref().filter(|lease| is_anothers(lease, node)) {
            let wait = Duration::from_millis(lease.duration_ms);
            tracing::info!(
                "{} has served this catalog: waiting {} s to see whether it still does",
                lease.holder,
                wait.as_secs()
            );
            clock.sleep(wait).await;
            let now = catalog.read_server_lease().await?;
            if now != seen {
                refuse(node, now.as_ref())?;
                seen = now;
            }
        }
        let holder = NodeId(format!("{node}{PROCESS}{:08x}", world.random.next_u64() >> 32));
        let lease = match catalog.server_lease(&holder, seen.as_ref(), DURATION).await? {
            LeaseOutcome::Held(lease) => lease,
            LeaseOutcome::Changed(now) => {
                refuse(node, now.as_ref())?;
                bail!("another server was started on this catalog at the same moment, and has ended: start again")
            }
            LeaseOutcome::NoPipeline => bail!("the lease on the catalog asks for no pipeline: report this defect"),
        };
        let (lost, of_server) = watch::channel(None);
        let leave = CancellationToken::new();
        let keeper = Keeper { catalog: catalog.clone(), holder, clock, lease, lost, leave: leave.clone() };
        Ok(Self { lost: of_server, leave, keeper: tokio::spawn(keeper.run()) })
    }

    /// Returns, with the reason, when the lease is lost.
    pub async fn lost(&self) -> String {
        let mut lost = self.lost.clone();
        let reason = match lost.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        match reason {
            Some(reason) => reason,
            // The catalog has closed, and whoever closed it says why.
            None => std::future::pending().await,
        }
    }

    /// Gives it up, so that the next need not wait.
    pub async fn leave(self) {
        self.leave.cancel();
        // It ends by its token; one that panicked has said so.
        drop(self.keeper.await);
    }
}

impl Keeper {
    async fn run(mut self) {
        loop {
            tokio::select! {
                biased;
                () = self.leave.cancelled() => break,
                () = self.clock.sleep(RENEW) => {}
            }
            match self.renew(DURATION).await {
                Ok(true) => {}
                Ok(false) => {
                    self.lost.send_replace(Some("another server serves the catalog now".to_owned()));
                    return;
                }
                Err(CatalogError::Closed) => return,
                Err(error) => tracing::warn!(%error, "cannot renew the lease on the catalog"),
            }
        }
        if let Err(error) = self.renew(Duration::ZERO).await {
            tracing::warn!(%error, "cannot give up the lease on the catalog: the next server waits for its end");
        }
    }

    /// Takes it anew; `false` if it is another's.
    async fn renew(&mut self, duration: Duration) -> Result<bool, CatalogError> {
        loop {
            match self.catalog.server_lease(&self.holder, Some(&self.lease), duration).await? {
                LeaseOutcome::Held(lease) => {
                    self.lease = lease;
                    return Ok(true);
                }
                // A renewal that was not answered has arrived after all.
                LeaseOutcome::Changed(Some(now)) if now.holder == self.holder => self.lease = now,
                LeaseOutcome::Changed(_) | LeaseOutcome::NoPipeline => return Ok(false),
            }
        }
    }
}

/// Whether a lease is of another node, and has not been given up.
fn is_anothers(lease: &Lease, node: &NodeId) -> bool {
    lease.holder.0.rsplit_once(PROCESS).is_none_or(|(of, _)| of != node.0) && lease.duration_ms > 0
}

/// An error if another node holds the lease.
fn refuse(node: &NodeId, lease: Option<&Lease>) -> anyhow::Result<()> {
    match lease.filter(|lease| is_anothers(lease, node)) {
        None => Ok(()),
        Some(lease) => Err(anyhow::anyhow!("{} renews its lease", lease.holder)).context(
            "another server serves this catalog, and several cannot share one yet: stop that server, or name another catalog (of \
             Postgres: another schema)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use catalog::store::MemoryStore;
    use vfs::{Inline, SeededRandom, VirtualClock};

    use super::*;

    /// A catalog in virtual time.
    async fn catalog() -> (Catalog, World) {
        let world = World {
            clock: Arc::new(VirtualClock::new()),
            random: Arc::new(SeededRandom::new(1)),
            compute: Arc::new(Inline),
        };
        (Catalog::open(Arc::new(MemoryStore::new(Arc::clone(&world.clock))), world.clone()).await.unwrap(), world)
    }

    async fn take(catalog: &(Catalog, World), node: &str) -> anyhow::Result<Seat> {
        Seat::take(&catalog.0, &NodeId(node.to_owned()), &catalog.1).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_server_is_refused_while_the_first_renews() {
        let catalog = catalog().await;
        let first = take(&catalog, "a").await.unwrap();
        let error = format!("{:#}", take(&catalog, "b").await.unwrap_err());
        assert!(error.contains("another server serves this catalog") && error.contains("renews"), "{error}");
        tokio::time::timeout(2 * DURATION, first.lost()).await.expect_err("it keeps it");
        first.leave().await;
        let begun = tokio::time::Instant::now();
        take(&catalog, "b").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO, "what was given up is free at once");
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_server_is_replaced_when_its_lease_has_run_out() {
        let catalog = catalog().await;
        let dead = take(&catalog, "a").await.unwrap();
        dead.keeper.abort();
        let begun = tokio::time::Instant::now();
        take(&catalog, "b").await.unwrap();
        assert_eq!(begun.elapsed(), DURATION);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_process_of_a_node_does_not_wait_and_one_that_lives_on_is_told() {
        let catalog = catalog().await;
        let elder = take(&catalog, "a").await.unwrap();
        let begun = tokio::time::Instant::now();
        let next = take(&catalog, "a").await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(elder.lost().await.contains("another server"));
        elder.leave().await;
        tokio::time::timeout(2 * DURATION, next.lost()).await.expect_err("what the elder leaves is its own");
    }
}
