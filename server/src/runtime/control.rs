//! What statements do with a running pipeline: PAUSE, RESUME, DROP, SEEK and ALTER. Each is begun in the catalog, made to happen by
//! the pipeline's manager, and answered when it has happened.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{
    CatalogError, ChangeKind, CutOver, Offset, Pipeline, PipelineChange, PipelineDefinition, PipelineId, PipelineState,
    StreamId, StreamView,
};

use warehouse::write::failpoint::crash_point;

use super::LocalRuntime;
use crate::manager::seek::{PartitionSeek, SeekTo, resolve};
use crate::sql::seams::{PartitionCut, PipelineControl, Resume};

fn told(error: CatalogError) -> String {
    error.to_string()
}

impl LocalRuntime {
    /// The PAUSE that somebody else waits for already, or a new one.
    async fn begin_pause(&self, pipeline: PipelineId) -> Result<PipelineChange, String> {
        let found = self.catalog.change(pipeline).await.map_err(told)?;
        match found.filter(|found| found.is_under_way() && found.kind == ChangeKind::Pause) {
            Some(found) => Ok(found),
            None => {
                let begun = self.begin_change(pipeline, ChangeKind::Pause).await?;
                Ok(PipelineChange::clone(&begun))
            }
        }
    }

    /// Writes the wish down. From here on it happens, whoever dies, unless RESUME gives it up.
    async fn begin_change(&self, pipeline: PipelineId, kind: ChangeKind) -> Result<Arc<PipelineChange>, String> {
        crash_point("change.before_begin");
        let begun = self.catalog.begin_change(pipeline, kind).await.map_err(told)?;
        crash_point("change.after_begin");
        Ok(begun)
    }

    /// Begins a change, and returns once it has happened.
    async fn change(&self, pipeline: PipelineId, kind: ChangeKind) -> Result<Vec<CutOver>, String> {
        let change = self.begin_change(pipeline, kind).await?;
        self.manager.wake();
        let cuts = self.manager.changed(pipeline, &change).await?;
        crash_point("change.before_answer");
        Ok(cuts)
    }

    pub(super) async fn visible(&self) -> BTreeMap<StreamId, Offset> {
        let workers = self.manager.heartbeats().await;
        let reports = workers.iter().flat_map(|worker| &worker.tasks).flat_map(|task| &task.streams);
        reports.map(|report| (report.stream, report.visible)).collect()
    }

    async fn set_paused(&self, pipeline: &Pipeline) -> Result<(), String> {
        let state = PipelineState::Paused;
        self.catalog.set_pipeline_state(&pipeline.database, &pipeline.name, state).await.map_err(told)?;
        self.manager.wake();
        Ok(())
    }
}

#[async_trait]
impl PipelineControl for LocalRuntime {
    async fn pause(&self, pipeline: PipelineId) -> Result<(), String> {
        let record = self.catalog.pipeline_by_id(pipeline).await.map_err(told)?;
        match record.state {
            PipelineState::Running => {
                let change = self.begin_pause(pipeline).await?;
                self.manager.wake();
                self.manager.changed(pipeline, &change).await?;
            }
            PipelineState::Paused | PipelineState::PausedByIncident => self.set_paused(&record).await?,
        }
        self.manager.stopped(pipeline).await
    }

    async fn resume(&self, pipeline: PipelineId, how: Resume) -> Result<(), String> {
        let record = self.catalog.pipeline_by_id(pipeline).await.map_err(told)?;
        // A task that is still ending would report the trouble that paused it once more.
        if record.state != PipelineState::Running {
            self.manager.stopped(pipeline).await?;
        }
        let resumed =
            self.catalog.resume_pipeline_by(&record.database, &record.name, how.gaps, how.errors, how.by.as_deref());
        resumed.await.map_err(told)?;
        self.manager.wake();
        Ok(())
    }

    async fn remove(&self, pipeline: PipelineId) -> Result<(), String> {
        // Whatever else was to become of it, it ends.
        let other = self.catalog.change(pipeline).await.map_err(told)?.filter(PipelineChange::is_under_way);
        if other.is_some_and(|change| change.kind != ChangeKind::Pause) {
            self.catalog.give_up(pipeline).await.map_err(told)?;
        }
        self.pause(pipeline).await?;
        let record = self.catalog.pipeline_by_id(pipeline).await.map_err(told)?;
        self.catalog.drop_pipeline(&record.database, &record.name, true).await.map_err(told)
    }

    async fn is_changing(&self, pipeline: PipelineId) -> Result<bool, String> {
        let change = self.catalog.change(pipeline).await.map_err(told)?;
        Ok(change.is_some_and(|change| change.is_under_way()))
    }

    async fn preview_seek(&self, pipeline: PipelineId, to: &SeekTo) -> Result<Vec<PartitionSeek>, String> {
        let record = self.catalog.pipeline_by_id(pipeline).await.map_err(told)?;
        let resolved = resolve(&self.catalog, &*self.connector, &record, to, &self.visible().await).await?;
        Ok(resolved.into_iter().map(|(seek, _)| seek).collect())
    }

    async fn seek(&self, pipeline: PipelineId, to: &SeekTo) -> Result<Vec<PartitionSeek>, String> {
        let record = self.catalog.pipeline_by_id(pipeline).await.map_err(told)?;
        let resolved = resolve(&self.catalog, &*self.connector, &record, to, &self.visible().await).await?;
        let targets = resolved.into_iter().map(|(_, target)| target).collect();
        let cuts = self.change(pipeline, ChangeKind::Seek(targets)).await?;
        let streams = self.catalog.streams(pipeline).await.map_err(told)?;
        let start = |id: StreamId| streams.iter().find(|view| view.stream.id == id).map(|view| &view.stream);
        let row = |cut: CutOver| {
            let stream = start(cut.successor?)?;
            let identity = stream.partition();
            let (topic, partition) = (identity.topic.clone(), identity.partition);
            Some(PartitionSeek { topic, partition, now: cut.offset, then: stream.start })
        };
        Ok(cuts.into_iter().filter_map(row).collect())
    }

    async fn alter(&self, pipeline: PipelineId, definition: PipelineDefinition) -> Result<Vec<PartitionCut>, String> {
        let cuts = self.change(pipeline, ChangeKind::Alter(Box::new(definition))).await?;
        let streams = self.catalog.streams(pipeline).await.map_err(told)?;
        let of = |cut: &CutOver| streams.iter().find(|view: &&StreamView| view.stream.id == cut.stream);
        let row = |cut: CutOver| {
            let identity = of(&cut)?.stream.partition();
            let (topic, partition) = (identity.topic.clone(), identity.partition);
            Some(PartitionCut { stream: cut.stream, topic, partition, cut_over: cut.offset })
        };
        Ok(cuts.into_iter().filter_map(row).collect())
    }
}
