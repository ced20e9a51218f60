//! Streams: opened once with a start that is never resolved again, closed for ever (PROTOCOL, "Streams").

use std::sync::Arc;

use futures::FutureExt;
use vfs::planted;

use crate::ddl::{self, next_id};
use crate::keys::{self, checkpoint::CheckpointRecord, counter::Counter, log::LogRecord};
use crate::store::{KvTransaction, Read, scan};
use crate::transaction::Failure;
use crate::{
    Catalog, CatalogError, Epoch, Offset, PartitionIdentity, PipelineId, Stream, StreamId, StreamIdentity, StreamState,
    StreamView,
};

impl Catalog {
    /// The stream of that identity, closed or not; opens it at `start` if there is none. One that is there keeps the start
    /// that it was opened with. *(Else `latest`, resolved again after a crash, loses rows.)*
    ///
    /// `NotLeader` if the manager's epoch is not the newest. Unknown outcome: run again; the identity finds the stream.
    pub async fn open_stream(
        &self,
        identity: PartitionIdentity,
        start: Offset,
        manager: Epoch,
    ) -> Result<Arc<Stream>, CatalogError> {
        let mut opened = self.open_streams(&[(identity, start)], manager).await?;
        Ok(opened.pop().expect("one stream for one identity"))
    }

    /// Opens several streams of one pipeline, all of them or none: [`Catalog::open_stream`] for each. The partitions that a
    /// topic has when its pipeline begins are opened together. *(Else a death in between leaves some to be found later,
    /// which begin at their earliest offset, and not at the pipeline's start.)*
    pub async fn open_streams(
        &self,
        streams: &[(PartitionIdentity, Offset)],
        manager: Epoch,
    ) -> Result<Vec<Arc<Stream>>, CatalogError> {
        self.settled("opening streams", |transaction| self.attempt_open_streams(transaction, streams, manager).boxed())
            .await
    }

    async fn attempt_open_streams(
        &self,
        transaction: &mut dyn KvTransaction,
        streams: &[(PartitionIdentity, Offset)],
        manager: Epoch,
    ) -> Result<Vec<Arc<Stream>>, Failure> {
        let (mut all, mut opened) = (Vec::with_capacity(streams.len()), Vec::new());
        for (identity, start) in streams {
            let by_identity = keys::stream_of_identity::ser_key(identity);
            if let Some(id) = keys::get(transaction, &by_identity, keys::stream_of_identity::deser_value).await? {
                all.push(Arc::new(require(transaction, id).await?));
                continue;
            }
            let table = ddl::pipeline::require(transaction, identity.pipeline).await?.table;
            require_leader(transaction, identity.pipeline, manager).await?;
            let id = StreamId(next_id(transaction, Counter::Stream).await?);
            let stream = Stream {
                id,
                identity: StreamIdentity::Partition(identity.clone()),
                table,
                start: *start,
                state: StreamState::Open,
            };
            transaction.set(&by_identity, &keys::stream_of_identity::ser_value(id));
            transaction.set(&keys::stream::ser_key(id), &keys::stream::ser_value(&stream));
            let checkpoint = CheckpointRecord { next: *start, table };
            transaction.set(&keys::checkpoint::ser_key(id), &keys::checkpoint::ser_value(&checkpoint));
            opened.push((table, keys::log::ser_value(&LogRecord::StreamOpened(stream.clone()))));
            all.push(Arc::new(stream));
        }
        if let Some((table, _)) = opened.first() {
            let table = *table;
            let records: Vec<_> = opened.into_iter().map(|(_, record)| record).collect();
            self.append_to_log(transaction, table, &records);
        }
        Ok(all)
    }

    /// Closes a stream: nothing will ever be committed to it any more. One that is closed, or gone with its pipeline, is
    /// success.
    ///
    /// `NotLeader` if the manager's epoch is not the newest. Unknown outcome: run again; what is closed stays closed.
    pub async fn close_stream(&self, stream: StreamId, manager: Epoch) -> Result<(), CatalogError> {
        let key = &keys::stream::ser_key(stream);
        self.settled("closing a stream", |transaction| {
            async move {
                let Some(mut record) = keys::get(transaction, key, keys::stream::deser_value).await? else {
                    return Ok(());
                };
                if record.state == StreamState::Closed {
                    return Ok(());
                }
                let Some(partition) = record.identity.partition() else {
                    let what = "an insert channel is closed by its process, not by a manager: report this defect";
                    return Err(CatalogError::invalid(format!("stream {stream}: {what}")).into());
                };
                require_leader(transaction, partition.pipeline, manager).await?;
                record.state = StreamState::Closed;
                transaction.set(key, &keys::stream::ser_value(&record));
                // Without an owner no epoch is the newest, and every commit is fenced (I2).
                if !planted::is("closed-stream-keeps-its-owner") {
                    transaction.clear(&keys::owner::ser_key(stream));
                }
                let closed = LogRecord::StreamsClosed(vec![stream]);
                self.append_to_log(transaction, record.table, &[keys::log::ser_value(&closed)]);
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// All streams of a pipeline, also the closed ones, by id, as of all commits answered before this call.
    pub async fn streams(&self, pipeline: PipelineId) -> Result<Vec<StreamView>, CatalogError> {
        let table = self.pipeline_by_id(pipeline).await?.table;
        let streams = self.fold_to_head(table).await?.streams();
        let is_of = |view: &StreamView| view.stream.identity.partition().is_some_and(|it| it.pipeline == pipeline);
        Ok(streams.into_iter().filter(is_of).collect())
    }
}

/// The transaction fails, now or at its commit, unless the manager leads the pipeline.
pub(crate) async fn require_leader(
    transaction: &mut dyn KvTransaction,
    pipeline: PipelineId,
    manager: Epoch,
) -> Result<(), Failure> {
    let lease = keys::get(transaction, &keys::lease::ser_key(pipeline), keys::lease::deser_value).await?;
    match lease {
        Some(record) if record.lease.epoch == manager => Ok(()),
        _ => Err(CatalogError::NotLeader { pipeline }.into()),
    }
}

pub(crate) async fn require(transaction: &mut dyn KvTransaction, id: StreamId) -> Result<Stream, Failure> {
    let key = keys::stream::ser_key(id);
    keys::get(transaction, &key, keys::stream::deser_value).await?.ok_or_else(|| {
        CatalogError::Damaged {
            key: keys::show(&key),
            cause: "the stream's identity is there, and not its record".into(),
        }
        .into()
    })
}

/// Removes all that is kept of a pipeline's streams outside the table's log, and answers which they were.
pub(crate) async fn erase_all_of(
    transaction: &mut dyn KvTransaction,
    pipeline: PipelineId,
) -> Result<Vec<StreamId>, Failure> {
    let identities = keys::stream_of_identity::of_pipeline(pipeline);
    let mut streams = Vec::new();
    for (key, value) in scan(transaction, identities.clone(), Read::Serializable).await? {
        streams.push(keys::stream_of_identity::deser_value(&key, &value)?);
    }
    transaction.clear_range(identities);
    for stream in &streams {
        transaction.clear(&keys::stream::ser_key(*stream));
        transaction.clear(&keys::checkpoint::ser_key(*stream));
        transaction.clear(&keys::owner::ser_key(*stream));
    }
    Ok(streams)
}
