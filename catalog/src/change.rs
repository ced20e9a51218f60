//! PAUSE, SEEK and ALTER of a pipeline, each in three steps (PROTOCOL, "Streams"): the wish is written; the manager has all that is
//! visible committed; one transaction makes it so, from exactly there.
//!
//! | step | now guaranteed | if the process dies here |
//! |---|---|---|
//! | begun | the wish is in the catalog, and nothing has changed | the next look of a manager goes on with it |
//! | floors set | what a dead owner may have shown lies below them | as above |
//! | drained | every stream's visible rows are committed, as they were decoded | looked at again; whoever went on is drained again |
//! | finished | the cut of each stream is recorded, and what was before it is fenced | it is done |
//!
//! The last step compares each stream's epoch and committed offset with what its owner reported when it let it go, and the manager's
//! own epoch: so nothing can have become visible in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::FutureExt;
use vfs::planted;

use crate::ddl::{self, next_id};
use crate::keys::{self, checkpoint::CheckpointRecord, counter::Counter, log::LogRecord};
use crate::store::{KvTransaction, Read, scan};
use crate::streams::require_leader;
use crate::transaction::Failure;
use crate::{
    Catalog, CatalogError, ChangeId, ChangeKind, ChangeState, CutOver, DrainedStream, Epoch, Fence, FinishOutcome,
    Offset, PartitionIdentity, Pipeline, PipelineChange, PipelineDefinition, PipelineId, PipelineState,
    PipelineVersion, SeekTarget, Stream, StreamId, StreamIdentity, StreamState,
};

impl Catalog {
    /// Writes down what a pipeline is to become. It happens once its manager has drained the streams.
    ///
    /// `Invalid` while another change is under way. Unknown outcome: run again; the change's id, drawn by this call, is found.
    pub async fn begin_change(
        &self,
        pipeline: PipelineId,
        kind: ChangeKind,
    ) -> Result<Arc<PipelineChange>, CatalogError> {
        let new = &PipelineChange {
            id: ChangeId(self.nonce().0),
            pipeline,
            kind,
            floors: BTreeMap::new(),
            begun: self.wall(),
            state: ChangeState::UnderWay,
        };
        let change = self
            .settled("beginning a change of a pipeline", |transaction| {
                async move {
                    let record = ddl::pipeline::require(transaction, pipeline).await?;
                    if let ChangeKind::Alter(definition) = &new.kind {
                        ddl::pipeline::check_definition(&record.database, &record.name, definition)?;
                    }
                    match read(transaction, pipeline).await? {
                        Some(found) if found.id == new.id => return Ok(found),
                        Some(found) if found.is_under_way() => return Err(is_under_way(&record, &found).into()),
                        _ => {}
                    }
                    self.write_change(transaction, &record, new)?;
                    Ok(new.clone())
                }
                .boxed()
            })
            .await?;
        Ok(Arc::new(change))
    }

    /// The last change of a pipeline, under way or not.
    pub async fn change(&self, pipeline: PipelineId) -> Result<Option<PipelineChange>, CatalogError> {
        self.once("looking up a change of a pipeline", |transaction| {
            async move { read(transaction, pipeline).await }.boxed()
        })
        .await
    }

    /// Notes below which offsets an owner that is gone may have shown rows. An offset that is noted stays.
    ///
    /// `NotLeader` if the manager's epoch is not the newest. Unknown outcome: run again; what is noted stays.
    pub async fn set_floors(
        &self,
        pipeline: PipelineId,
        change: ChangeId,
        floors: &[(StreamId, Offset)],
        manager: Epoch,
    ) -> Result<(), CatalogError> {
        self.settled("noting what was shown", |transaction| {
            async move {
                let record = ddl::pipeline::require(transaction, pipeline).await?;
                require_leader(transaction, pipeline, manager).await?;
                let Some(mut found) = read(transaction, pipeline).await?.filter(|found| found.id == change) else {
                    return Ok(());
                };
                for (stream, offset) in floors {
                    found.floors.entry(*stream).or_insert(*offset);
                }
                if found.is_under_way() {
                    self.write_change(transaction, &record, &found)?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Makes a change happen, provided that every open stream of the pipeline is among `drained`, and is as it says.
    ///
    /// `NotLeader` if the manager's epoch is not the newest. Unknown outcome: run again; a change that is done says so.
    pub async fn finish_change(
        &self,
        pipeline: PipelineId,
        change: ChangeId,
        manager: Epoch,
        drained: &[DrainedStream],
    ) -> Result<FinishOutcome, CatalogError> {
        let now = self.wall();
        self.settled("changing a pipeline", |transaction| {
            self.attempt_finish(transaction, pipeline, change, manager, drained, now).boxed()
        })
        .await
    }

    async fn attempt_finish(
        &self,
        transaction: &mut dyn KvTransaction,
        pipeline: PipelineId,
        change: ChangeId,
        manager: Epoch,
        drained: &[DrainedStream],
        now: i64,
    ) -> Result<FinishOutcome, Failure> {
        let Some(mut found) = read(transaction, pipeline).await?.filter(|found| found.id == change) else {
            return Ok(FinishOutcome::Gone);
        };
        match found.state {
            ChangeState::Done { cuts, .. } => return Ok(FinishOutcome::Done(cuts)),
            ChangeState::GivenUp => return Ok(FinishOutcome::Gone),
            ChangeState::UnderWay => {}
        }
        require_leader(transaction, pipeline, manager).await?;
        let streams = all_streams(transaction, pipeline).await?;
        let drained: BTreeMap<StreamId, &DrainedStream> = drained.iter().map(|of| (of.stream, of)).collect();
        let mut cuts = Vec::new();
        for stream in streams.iter().filter(|stream| stream.state == StreamState::Open) {
            let Some(known) = drained.get(&stream.id) else { return Ok(FinishOutcome::NotDrained(stream.id)) };
            if !is_as_known(transaction, known).await? {
                return Ok(FinishOutcome::NotDrained(stream.id));
            }
            cuts.push(CutOver { stream: stream.id, offset: known.committed, successor: None });
        }
        let mut record = ddl::pipeline::require_record(transaction, pipeline).await?;
        match &found.kind {
            ChangeKind::Pause => record.pipeline.state = PipelineState::Paused,
            ChangeKind::Seek(targets) => {
                cuts = self.move_streams(transaction, &record.pipeline, &streams, targets, &cuts).await?;
            }
            ChangeKind::Alter(definition) => {
                record.pipeline = self.alter(transaction, &record.pipeline, definition, &cuts, now).await?;
            }
        }
        self.write_pipeline(transaction, &record)?;
        found.state = ChangeState::Done { at: now, cuts: cuts.clone() };
        self.write_change(transaction, &record.pipeline, &found)?;
        Ok(FinishOutcome::Done(cuts))
    }

    /// Closes the streams of the targets' partitions, and opens others there: nothing that was fetched before can be committed
    /// any more, as a closed stream has no owner (I2).
    async fn move_streams(
        &self,
        transaction: &mut dyn KvTransaction,
        pipeline: &Pipeline,
        streams: &[Stream],
        targets: &[SeekTarget],
        cuts: &[CutOver],
    ) -> Result<Vec<CutOver>, Failure> {
        let (mut moved, mut closed, mut records) = (Vec::new(), Vec::new(), Vec::new());
        for target in targets {
            let Some(last) = newest_of(streams, target) else { continue };
            let committed = cuts.iter().find(|cut| cut.stream == last.id).map(|cut| cut.offset);
            let start = match committed {
                Some(committed) if target.never_back => target.start.max(committed),
                _ => target.start,
            };
            let of = last.partition();
            let identity = PartitionIdentity { generation: of.generation + 1, ..of.clone() };
            let by_identity = keys::stream_of_identity::ser_key(&identity);
            let identity = StreamIdentity::Partition(identity);
            let id = StreamId(next_id(transaction, Counter::Stream).await?);
            let stream = Stream { id, identity, table: pipeline.table, start, state: StreamState::Open };
            transaction.set(&by_identity, &keys::stream_of_identity::ser_value(id));
            transaction.set(&keys::stream::ser_key(id), &keys::stream::ser_value(&stream));
            let checkpoint = CheckpointRecord { next: start, table: pipeline.table };
            transaction.set(&keys::checkpoint::ser_key(id), &keys::checkpoint::ser_value(&checkpoint));
            if last.state == StreamState::Open {
                let before = Stream { state: StreamState::Closed, ..last.clone() };
                transaction.set(&keys::stream::ser_key(last.id), &keys::stream::ser_value(&before));
                if !planted::is("seek-leaves-the-old-owner") {
                    transaction.clear(&keys::owner::ser_key(last.id));
                }
                closed.push(last.id);
            }
            moved.push(CutOver { stream: last.id, offset: committed.unwrap_or(last.start), successor: Some(id) });
            records.push(keys::log::ser_value(&LogRecord::StreamOpened(stream)));
        }
        let close = |streams: &[_]| keys::log::ser_value(&LogRecord::StreamsClosed(streams.to_vec()));
        let mut all: Vec<Vec<u8>> = closed.chunks(ddl::pipeline::STREAMS_IN_A_RECORD).map(close).collect();
        all.append(&mut records);
        if !all.is_empty() {
            self.append_to_log(transaction, pipeline.table, &all);
        }
        Ok(moved)
    }

    /// The next version: commits of the one before are fenced from here on.
    async fn alter(
        &self,
        transaction: &mut dyn KvTransaction,
        pipeline: &Pipeline,
        definition: &PipelineDefinition,
        cuts: &[CutOver],
        now: i64,
    ) -> Result<Pipeline, Failure> {
        let before = keys::pipeline_version::ser_key(pipeline.id, pipeline.fence);
        if transaction.get(&before, Read::Serializable).await?.is_none() {
            let definition = PipelineDefinition::of(pipeline);
            let first = version(pipeline, pipeline.fence, definition, pipeline.created, Vec::new());
            transaction.set(&before, &keys::pipeline_version::ser_value(&first));
        }
        let fence = Fence(pipeline.fence.0 + 1);
        let cuts = if planted::is("cut-over-not-recorded") { Vec::new() } else { cuts.to_vec() };
        let next = version(pipeline, fence, definition.clone(), now, cuts);
        let value = keys::pipeline_version::ser_value(&next);
        ddl::check_size(&ddl::pipeline::describe(&pipeline.database, &pipeline.name), &value)?;
        transaction.set(&keys::pipeline_version::ser_key(pipeline.id, fence), &value);
        transaction.set(&keys::pipeline_fence::ser_key(pipeline.id), &keys::pipeline_fence::ser_value(fence));
        Ok(Pipeline { fence, ..definition.applied_to(pipeline) })
    }

    /// The versions of a pipeline, oldest first; none if it was never altered.
    pub async fn pipeline_versions(&self, pipeline: PipelineId) -> Result<Vec<PipelineVersion>, CatalogError> {
        self.once("listing a pipeline's versions", |transaction| {
            async move {
                let mut versions = Vec::new();
                let all = keys::pipeline_version::of_pipeline(pipeline);
                for (key, value) in scan(transaction, all, Read::Snapshot).await? {
                    versions.push(keys::pipeline_version::deser_value(&key, &value)?);
                }
                Ok(versions)
            }
            .boxed()
        })
        .await
    }

    /// Writes a change, and tells those who watch pipelines.
    fn write_change(
        &self,
        transaction: &mut dyn KvTransaction,
        pipeline: &Pipeline,
        change: &PipelineChange,
    ) -> Result<(), CatalogError> {
        let value = keys::pipeline_change::ser_value(change);
        let what =
            format!("the {} of {}", change.kind.word(), ddl::pipeline::describe(&pipeline.database, &pipeline.name));
        ddl::check_size(&what, &value)?;
        transaction.set(&keys::pipeline_change::ser_key(pipeline.id), &value);
        self.tell_pipelines_changed(transaction);
        Ok(())
    }

    /// Gives up the change that is under way, if one is. Nothing has changed, and nothing does.
    ///
    /// Unknown outcome: run again; what is given up stays given up.
    pub async fn give_up(&self, pipeline: PipelineId) -> Result<(), CatalogError> {
        self.settled("giving up a change of a pipeline", |transaction| {
            async move {
                let record = ddl::pipeline::require(transaction, pipeline).await?;
                self.give_up_change(transaction, &record).await
            }
            .boxed()
        })
        .await
    }

    /// A change that is under way does not happen.
    pub(crate) async fn give_up_change(
        &self,
        transaction: &mut dyn KvTransaction,
        pipeline: &Pipeline,
    ) -> Result<(), Failure> {
        if let Some(mut found) = read(transaction, pipeline.id).await?.filter(PipelineChange::is_under_way) {
            found.state = ChangeState::GivenUp;
            self.write_change(transaction, pipeline, &found)?;
        }
        Ok(())
    }
}

fn version(
    pipeline: &Pipeline,
    fence: Fence,
    definition: PipelineDefinition,
    since: i64,
    cuts: Vec<CutOver>,
) -> PipelineVersion {
    PipelineVersion { pipeline: pipeline.id, fence, definition, since, cuts }
}

fn is_under_way(pipeline: &Pipeline, change: &PipelineChange) -> CatalogError {
    CatalogError::invalid(format!(
        "{} has {} under way: wait for it (SHOW PIPELINES tells how far it is), or give it up by RESUME PIPELINE",
        ddl::pipeline::describe(&pipeline.database, &pipeline.name),
        match change.kind {
            ChangeKind::Pause => "a PAUSE",
            ChangeKind::Seek(_) => "a SEEK",
            ChangeKind::Alter(_) => "an ALTER",
        }
    ))
}

/// The newest stream of a target's partition.
fn newest_of<'a>(streams: &'a [Stream], target: &SeekTarget) -> Option<&'a Stream> {
    let of_it =
        |stream: &&Stream| stream.partition().partition == target.partition && stream.partition().topic == target.topic;
    let newest = streams.iter().filter(of_it).max_by_key(|stream| (stream.state == StreamState::Open, stream.id));
    let is_let_pass = planted::is("seek-into-another-incarnation");
    newest.filter(|stream| stream.partition().incarnation == target.incarnation || is_let_pass)
}

/// Whether a stream stands where it was let go, under the same epoch.
async fn is_as_known(transaction: &mut dyn KvTransaction, known: &DrainedStream) -> Result<bool, Failure> {
    let owner = keys::get(transaction, &keys::owner::ser_key(known.stream), keys::owner::deser_value).await?;
    let checkpoint = keys::checkpoint::ser_key(known.stream);
    let checkpoint = keys::get(transaction, &checkpoint, keys::checkpoint::deser_value).await?;
    let epoch = owner.map(|(_, record)| record.owner.epoch);
    Ok(epoch == known.epoch && checkpoint.map(|it| it.next) == Some(known.committed))
}

async fn read(transaction: &mut dyn KvTransaction, pipeline: PipelineId) -> Result<Option<PipelineChange>, Failure> {
    let key = keys::pipeline_change::ser_key(pipeline);
    keys::get(transaction, &key, keys::pipeline_change::deser_value).await
}

async fn all_streams(transaction: &mut dyn KvTransaction, pipeline: PipelineId) -> Result<Vec<Stream>, Failure> {
    let mut streams = Vec::new();
    for (key, value) in scan(transaction, keys::stream_of_identity::of_pipeline(pipeline), Read::Serializable).await? {
        let id = keys::stream_of_identity::deser_value(&key, &value)?;
        streams.push(crate::streams::require(transaction, id).await?);
    }
    Ok(streams)
}
