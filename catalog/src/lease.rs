//! Leases: a manager's on a pipeline, and a server's on a catalog that several could open. Clocks decide when somebody tries,
//! never whether it succeeds (I10): it succeeds if the lease is still as the asker saw it.

use std::time::Duration;

use futures::FutureExt;
use vfs::planted;

use crate::keys::{self, Nonce, lease::LeaseRecord};
use crate::store::{KvTransaction, Read};
use crate::transaction::Failure;
use crate::{Catalog, CatalogError, Epoch, Lease, LeaseOutcome, LeaseRequest, NodeId, PipelineId};

impl Catalog {
    /// Takes the lease, or renews it if the asker holds it.
    ///
    /// Unknown outcome: run again. The lease carries the nonce of the call that wrote it last; if that is another's, an
    /// earlier attempt of this call is overwritten or can no longer land, and `Changed` is the truth for all attempts.
    pub async fn lease(&self, request: &LeaseRequest) -> Result<LeaseOutcome, CatalogError> {
        let nonce = self.nonce();
        self.settled("taking a lease", |transaction| attempt(transaction, request, nonce).boxed()).await
    }

    /// Takes or renews the lease on the whole catalog, provided that it is still as `seen`. A `duration` of zero gives it up.
    ///
    /// Unknown outcome: as [`Catalog::lease`].
    pub async fn server_lease(
        &self,
        holder: &NodeId,
        seen: Option<&Lease>,
        duration: Duration,
    ) -> Result<LeaseOutcome, CatalogError> {
        let nonce = self.nonce();
        let duration_ms = u64::try_from(duration.as_millis()).expect("an age of the world at most");
        let claim = Claim { holder, seen, duration_ms };
        self.settled("taking the lease on the catalog", |transaction| {
            async move {
                let key = keys::server_lease::ser_key();
                let found = keys::get(transaction, &key, keys::server_lease::deser_value).await?;
                Ok(take(transaction, &key, keys::server_lease::ser_value, claim, found, nonce))
            }
            .boxed()
        })
        .await
    }

    /// The lease on the whole catalog as it stands.
    pub async fn read_server_lease(&self) -> Result<Option<Lease>, CatalogError> {
        let key = &keys::server_lease::ser_key();
        let found = self
            .once("reading the lease on the catalog", |transaction| {
                async move { keys::get(transaction, key, keys::server_lease::deser_value).await }.boxed()
            })
            .await?;
        Ok(found.map(|record| record.lease))
    }

    /// The lease as it stands.
    pub async fn read_lease(&self, pipeline: PipelineId) -> Result<Option<Lease>, CatalogError> {
        let key = &keys::lease::ser_key(pipeline);
        let found = self
            .once("reading a lease", |transaction| {
                async move { keys::get(transaction, key, keys::lease::deser_value).await }.boxed()
            })
            .await?;
        Ok(found.map(|record| record.lease))
    }
}

async fn attempt(
    transaction: &mut dyn KvTransaction,
    request: &LeaseRequest,
    nonce: Nonce,
) -> Result<LeaseOutcome, Failure> {
    let pipeline = keys::pipeline::ser_key(request.pipeline);
    if transaction.get(&pipeline, Read::Serializable).await?.is_none() {
        return Ok(LeaseOutcome::NoPipeline);
    }
    let key = keys::lease::ser_key(request.pipeline);
    let found = keys::get(transaction, &key, keys::lease::deser_value).await?;
    let claim = Claim { holder: &request.holder, seen: request.seen.as_ref(), duration_ms: request.duration_ms };
    Ok(take(transaction, &key, keys::lease::ser_value, claim, found, nonce))
}

/// Who wants a lease, which it saw last, and for how long.
#[derive(Clone, Copy)]
struct Claim<'a> {
    holder: &'a NodeId,
    seen: Option<&'a Lease>,
    duration_ms: u64,
}

/// Writes what becomes of the lease that was `found` under `key`.
fn take(
    transaction: &mut dyn KvTransaction,
    key: &[u8],
    ser_value: fn(&LeaseRecord) -> Vec<u8>,
    claim: Claim<'_>,
    found: Option<LeaseRecord>,
    nonce: Nonce,
) -> LeaseOutcome {
    if let Some(mine) = found.as_ref().filter(|found| found.nonce == nonce) {
        return LeaseOutcome::Held(mine.lease.clone());
    }
    let outcome = next(claim, found.map(|record| record.lease));
    if let LeaseOutcome::Held(lease) = &outcome {
        transaction.set(key, &ser_value(&LeaseRecord { lease: lease.clone(), nonce }));
    }
    outcome
}

/// What becomes of the lease that is `found`. Pure.
fn next(claim: Claim<'_>, found: Option<Lease>) -> LeaseOutcome {
    let Claim { holder, seen, duration_ms } = claim;
    if found.as_ref() != seen && !planted::is("lease-taken-without-compare") {
        return LeaseOutcome::Changed(found);
    }
    let (epoch, renewals) = match seen {
        Some(lease) if lease.holder == *holder => (lease.epoch, lease.renewals + 1),
        Some(lease) => (Epoch(lease.epoch.0 + 1), 0),
        None => (Epoch(1), 0),
    };
    LeaseOutcome::Held(Lease { epoch, holder: holder.clone(), duration_ms, renewals })
}

#[cfg(test)]
mod tests {
    use super::*;
    fn next_of(holder: &str, seen: Option<&Lease>, found: Option<Lease>) -> LeaseOutcome {
        next(Claim { holder: &NodeId(holder.into()), seen, duration_ms: 5_000 }, found)
    }

    fn lease(holder: &str, epoch: u64, renewals: u64) -> Lease {
        Lease { epoch: Epoch(epoch), holder: NodeId(holder.into()), duration_ms: 5_000, renewals }
    }

    #[test]
    fn a_renewal_keeps_the_epoch_and_a_change_of_hands_raises_it() {
        assert_eq!(next_of("a", None, None), LeaseOutcome::Held(lease("a", 1, 0)));
        let held = lease("a", 1, 0);
        assert_eq!(next_of("a", Some(&held), Some(held.clone())), LeaseOutcome::Held(lease("a", 1, 1)));
        assert_eq!(next_of("b", Some(&held), Some(held.clone())), LeaseOutcome::Held(lease("b", 2, 0)));
    }

    #[test]
    fn a_lease_that_changed_since_it_was_seen_is_not_taken() {
        let now = Some(lease("a", 1, 7));
        assert_eq!(next_of("b", Some(&lease("a", 1, 6)), now.clone()), LeaseOutcome::Changed(now));
    }
}
