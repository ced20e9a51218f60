//! TRUNCATE: one transaction after which no part of the table is visible.
//!
//! It takes away what was visible when it happened, rows in the memory of owners included. So its maker first sees to it that no
//! owner has any: all that was visible is committed, and nothing more is taken in. What it found it says in the request, and the
//! transaction compares it: a grant or a commit that came between is `Moved`. The table's fence is raised, so that whatever was
//! under way and is not committed yet, an INSERT or an owner that was held for dead, is fenced and begins anew under the new one.
//! Offsets stay: what is produced afterwards follows where the streams stood.

use std::collections::BTreeMap;

use futures::FutureExt;
use vfs::planted;

use crate::ddl;
use crate::keys::{self, checkpoint::CheckpointRecord, log::LogRecord, truncated::TruncatedRecord};
use crate::store::{KvTransaction, Read, scan};
use crate::transaction::Failure;
use crate::{
    Catalog, CatalogError, Epoch, Fence, Offset, StreamId, TableId, TruncateOutcome, TruncateRequest, Version,
};

/// How one transaction ended, if the store commits it.
enum Ended {
    /// This was written.
    Written,
    /// Nothing was.
    As(TruncateOutcome),
}

impl Catalog {
    /// Empties a table. Its parts become garbage bit by bit, as the sweeper asks for it.
    ///
    /// `NotFound` if it is gone. Unknown outcome: run again; the fence, read before the first attempt, tells whether it happened.
    pub async fn truncate_table(&self, request: &TruncateRequest) -> Result<TruncateOutcome, CatalogError> {
        let since = self.wall();
        let fence = self.table_by_id(request.table).await?.fence;
        let truncate = self.stamped_settled("truncating a table", |transaction| {
            async move { self.attempt_truncate(transaction, request, fence, since).await }.boxed()
        });
        Ok(match truncate.await? {
            (Ended::As(outcome), _) => outcome,
            (Ended::Written, stamp) => TruncateOutcome::Truncated(Some(self.version(stamp, 0))),
        })
    }

    async fn attempt_truncate(
        &self,
        transaction: &mut dyn KvTransaction,
        request: &TruncateRequest,
        fence: Fence,
        since: i64,
    ) -> Result<Ended, Failure> {
        let table = request.table;
        let mut record = ddl::table::require_record(transaction, table).await?;
        if record.table.fence != fence {
            return Ok(Ended::As(TruncateOutcome::Truncated(None)));
        }
        if owned(transaction, table).await? != request.streams {
            return Ok(Ended::As(TruncateOutcome::Moved));
        }
        for stream in request.streams.keys().filter(|_| planted::is("truncate-moves-offsets")) {
            let back = CheckpointRecord { next: Offset(0), table };
            transaction.set(&keys::checkpoint::ser_key(*stream), &keys::checkpoint::ser_value(&back));
        }
        record.table.fence = Fence(fence.0 + 1);
        ddl::table::write_record(transaction, &record);
        let key = keys::truncated::ser_key(table);
        let before = keys::get(transaction, &key, keys::truncated::deser_value).await?;
        let done = before.map_or(Version::ZERO, |(_, record)| record.done);
        transaction.set_versionstamped_value(
            &key,
            keys::truncated::ser_value(self.era(), 0, &TruncatedRecord { since, done }),
        );
        let truncated = LogRecord::Truncated { wall: since };
        self.append_to_log(transaction, table, &[keys::log::ser_value(&truncated)]);
        Ok(Ended::Written)
    }
}

/// The streams of the table's pipelines that have an owner. The transaction conflicts with each grant and commit of them.
async fn owned(
    transaction: &mut dyn KvTransaction,
    table: TableId,
) -> Result<BTreeMap<StreamId, (Epoch, Offset)>, Failure> {
    let mut owned = BTreeMap::new();
    for (key, _) in scan(transaction, keys::pipeline_of_table::of_table(table), Read::Serializable).await? {
        let (_, pipeline) = keys::pipeline_of_table::deser_key(&key)?;
        let identities = keys::stream_of_identity::of_pipeline(pipeline);
        for (key, value) in scan(transaction, identities, Read::Serializable).await? {
            let stream = keys::stream_of_identity::deser_value(&key, &value)?;
            let owner = keys::get(transaction, &keys::owner::ser_key(stream), keys::owner::deser_value).await?;
            let checkpoint = keys::checkpoint::ser_key(stream);
            let checkpoint = keys::get(transaction, &checkpoint, keys::checkpoint::deser_value).await?;
            if let (Some((_, record)), Some(checkpoint)) = (owner, checkpoint) {
                owned.insert(stream, (record.owner.epoch, checkpoint.next));
            }
        }
    }
    Ok(owned)
}
