//! Grants: a stream goes to a worker under a new epoch, by compare-and-set, in a transaction that reads the manager's own
//! epoch too (PROTOCOL, "Epochs, leases, grants"). From then on no commit under an older epoch succeeds (I2).

use futures::FutureExt;
use vfs::planted;

use crate::keys::{self, log::LogRecord, owner::OwnerRecord};
use crate::store::KvTransaction;
use crate::transaction::Failure;
use crate::{
    Catalog, CatalogError, Epoch, GrantOutcome, GrantRequest, Granted, Owner, Stream, StreamId, StreamState, Version,
};

/// How one transaction of a grant ended, if the store commits it.
enum Ended {
    /// This was written.
    Written(OwnerRecord),
    /// Nothing was.
    As(GrantOutcome),
}

impl Catalog {
    /// Grants a stream. The owner's `epoch` and `pipeline_fence` are set by the grant: one above the newest, and the
    /// pipeline's as it is.
    ///
    /// Unknown outcome: run again. The grant carries a nonce, so that the newest grant is known to be this call's or
    /// another's. If it is another's, an earlier attempt of this call is either overwritten or can no longer land, as it
    /// compared an epoch that is gone: `EpochChanged` is then the truth for all attempts.
    pub async fn grant(&self, request: &GrantRequest) -> Result<GrantOutcome, CatalogError> {
        let nonce = self.nonce();
        let outcome = match self
            .stamped_settled("granting a stream", |transaction| {
                async move { self.attempt_grant(transaction, request, nonce).await }.boxed()
            })
            .await?
        {
            (Ended::As(outcome), _) => outcome,
            (Ended::Written(record), stamp) => {
                GrantOutcome::Granted(granted(request.stream, record, self.version(stamp, 0)))
            }
        };
        Ok(outcome)
    }

    async fn attempt_grant(
        &self,
        transaction: &mut dyn KvTransaction,
        request: &GrantRequest,
        nonce: keys::Nonce,
    ) -> Result<Ended, Failure> {
        let stream = request.stream;
        let record = keys::get(transaction, &keys::stream::ser_key(stream), keys::stream::deser_value).await?;
        // An insert channel belongs to its process for ever, so for a manager there is none to grant.
        let record = record.filter(|record| record.state == StreamState::Open && !record.is_channel());
        let Some(record) = record else {
            return Ok(Ended::As(GrantOutcome::Closed));
        };
        let newest = keys::get(transaction, &keys::owner::ser_key(stream), keys::owner::deser_value).await?;
        if let Some((version, mine)) = newest.clone().filter(|(_, found)| found.nonce == nonce) {
            return Ok(Ended::As(GrantOutcome::Granted(granted(stream, mine, version))));
        }
        let previous = newest.map(|(_, found)| found.owner);
        if let Some(refused) = refusal(transaction, request, &record, previous.as_ref()).await? {
            return Ok(Ended::As(refused));
        }
        self.write_grant(transaction, request, &record, previous, nonce).await
    }

    async fn write_grant(
        &self,
        transaction: &mut dyn KvTransaction,
        request: &GrantRequest,
        record: &Stream,
        previous: Option<Owner>,
        nonce: keys::Nonce,
    ) -> Result<Ended, Failure> {
        let stream = request.stream;
        let fence = keys::pipeline_fence::ser_key(record.partition().pipeline);
        let fence = keys::get(transaction, &fence, keys::pipeline_fence::deser_value).await?;
        // Read so that it conflicts: a commit of the previous owner that lands first moves where this one begins.
        let checkpoint = keys::checkpoint::ser_key(stream);
        let checkpoint = keys::get(transaction, &checkpoint, keys::checkpoint::deser_value).await?;
        let (Some(pipeline_fence), Some(checkpoint)) = (fence, checkpoint) else {
            return Ok(Ended::As(GrantOutcome::Closed));
        };
        let raised = u64::from(previous.is_none() || !planted::is("grant-keeps-the-epoch"));
        let epoch = Epoch(previous.as_ref().map_or(0, |owner| owner.epoch.0) + raised);
        let owner = Owner { epoch, pipeline_fence, ..request.owner.clone() };
        let granted = LogRecord::Grant { stream, owner: owner.clone() };
        self.append_to_log(transaction, record.table, &[keys::log::ser_value(&granted)]);
        let record = OwnerRecord { owner, previous, committed: checkpoint.next, nonce };
        let value = keys::owner::ser_value(self.era(), 0, &record);
        transaction.set_versionstamped_value(&keys::owner::ser_key(stream), value);
        Ok(Ended::Written(record))
    }
}

async fn refusal(
    transaction: &mut dyn KvTransaction,
    request: &GrantRequest,
    record: &Stream,
    previous: Option<&Owner>,
) -> Result<Option<GrantOutcome>, Failure> {
    let lease = keys::lease::ser_key(record.partition().pipeline);
    let lease = keys::get(transaction, &lease, keys::lease::deser_value).await?;
    if lease.map(|record| record.lease.epoch) != Some(request.manager) {
        return Ok(Some(GrantOutcome::NotLeader));
    }
    let newest = previous.map(|owner| owner.epoch);
    Ok((newest != request.expected).then_some(GrantOutcome::EpochChanged(newest)))
}

fn granted(stream: StreamId, record: OwnerRecord, version: Version) -> Granted {
    let OwnerRecord { owner, previous, committed, .. } = record;
    Granted { stream, owner, previous, committed, version }
}
