//! A manager's lease on a pipeline. Clocks decide when somebody tries, never whether it succeeds (I10): it succeeds if the
//! lease is still as the asker saw it.

use futures::FutureExt;
use vfs::planted;

use crate::keys::{self, Nonce, lease::LeaseRecord};
use crate::store::{KvTransaction, Read};
use crate::transaction::Failure;
use crate::{Catalog, CatalogError, Epoch, Lease, LeaseOutcome, LeaseRequest, PipelineId};

impl Catalog {
    /// Takes the lease, or renews it if the asker holds it.
    ///
    /// Unknown outcome: run again. The lease carries the nonce of the call that wrote it last; if that is another's, an
    /// earlier attempt of this call is overwritten or can no longer land, and `Changed` is the truth for all attempts.
    pub async fn lease(&self, request: &LeaseRequest) -> Result<LeaseOutcome, CatalogError> {
        let nonce = self.nonce();
        self.settled("taking a lease", |transaction| attempt(transaction, request, nonce).boxed()).await
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
    if let Some(mine) = found.as_ref().filter(|found| found.nonce == nonce) {
        return Ok(LeaseOutcome::Held(mine.lease.clone()));
    }
    let outcome = next(request, found.map(|record| record.lease));
    if let LeaseOutcome::Held(lease) = &outcome {
        let record = LeaseRecord { lease: lease.clone(), nonce };
        transaction.set(&key, &keys::lease::ser_value(&record));
    }
    Ok(outcome)
}

/// What becomes of the lease that is `found`. Pure.
fn next(request: &LeaseRequest, found: Option<Lease>) -> LeaseOutcome {
    if found != request.seen && !planted::is("lease-taken-without-compare") {
        return LeaseOutcome::Changed(found);
    }
    let LeaseRequest { holder, duration_ms, .. } = request;
    let (epoch, renewals) = match &request.seen {
        Some(lease) if lease.holder == *holder => (lease.epoch, lease.renewals + 1),
        Some(lease) => (Epoch(lease.epoch.0 + 1), 0),
        None => (Epoch(1), 0),
    };
    LeaseOutcome::Held(Lease { epoch, holder: holder.clone(), duration_ms: *duration_ms, renewals })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NodeId;

    fn request(holder: &str, seen: Option<Lease>) -> LeaseRequest {
        LeaseRequest { pipeline: PipelineId(1), holder: NodeId(holder.into()), seen, duration_ms: 5_000 }
    }

    fn lease(holder: &str, epoch: u64, renewals: u64) -> Lease {
        Lease { epoch: Epoch(epoch), holder: NodeId(holder.into()), duration_ms: 5_000, renewals }
    }

    #[test]
    fn a_renewal_keeps_the_epoch_and_a_change_of_hands_raises_it() {
        assert_eq!(next(&request("a", None), None), LeaseOutcome::Held(lease("a", 1, 0)));
        let held = Some(lease("a", 1, 0));
        assert_eq!(next(&request("a", held.clone()), held.clone()), LeaseOutcome::Held(lease("a", 1, 1)));
        assert_eq!(next(&request("b", held.clone()), held), LeaseOutcome::Held(lease("b", 2, 0)));
    }

    #[test]
    fn a_lease_that_changed_since_it_was_seen_is_not_taken() {
        let now = Some(lease("a", 1, 7));
        let seen = Some(lease("a", 1, 6));
        assert_eq!(next(&request("b", seen), now.clone()), LeaseOutcome::Changed(now));
    }
}
