//! Pipelines: CREATE, RESUME, DROP, and looking them up. PAUSE, SEEK and ALTER, which wait for streams, are in `change.rs`.

use std::sync::Arc;

use super::{FIRST_FENCE, Maker, already, check_size, database, next_id, table};
use futures::FutureExt;

use crate::keys::{self, counter::Counter, log::LogRecord, pipeline::PipelineRecord};
use crate::store::{KvTransaction, Read, scan};
use crate::transaction::Failure;
use crate::{
    Catalog, CatalogError, ErrorPolicy, GapPolicy, KafkaSource, Pipeline, PipelineDefinition, PipelineId,
    PipelineSettings, PipelineState, TableId, names, streams,
};

/// A pipeline to be made. It is made to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPipeline {
    /// The database that it is to be in.
    pub database: String,
    /// Its name.
    pub name: String,
    /// The table that it writes.
    pub table: TableId,
    /// What it reads.
    pub source: KafkaSource,
    /// The text of its SELECT list.
    pub projection: String,
    /// The text of its WHERE.
    pub filter: Option<String>,
    /// Its settings.
    pub settings: PipelineSettings,
}

impl Catalog {
    /// Makes a pipeline, or with `if_not_exists` answers the one of that name.
    pub async fn create_pipeline(&self, new: NewPipeline, if_not_exists: bool) -> Result<Arc<Pipeline>, CatalogError> {
        check(&new)?;
        let new = &new;
        let nonce = self.nonce();
        let created = self.wall();
        let pipeline = self
            .settled("creating a pipeline", |transaction| {
                async move {
                    let database = database::require(transaction, &new.database).await?;
                    if let Some(found) = find(transaction, &new.database, &new.name).await? {
                        let maker = Maker::of(found.nonce, nonce);
                        return already(|| describe(&new.database, &new.name), found.pipeline, maker, if_not_exists);
                    }
                    table::require(transaction, new.table).await?;
                    let id = PipelineId(next_id(transaction, Counter::Pipeline).await?);
                    let record = PipelineRecord { pipeline: draw(new, id, database, created), nonce };
                    self.write_new(transaction, &record)?;
                    Ok(record.pipeline)
                }
                .boxed()
            })
            .await?;
        Ok(Arc::new(pipeline))
    }

    pub(super) fn write_new(
        &self,
        transaction: &mut dyn KvTransaction,
        record: &PipelineRecord,
    ) -> Result<(), CatalogError> {
        let Pipeline { id, database, name, table, fence, .. } = &record.pipeline;
        self.write_pipeline(transaction, record)?;
        transaction.set(&keys::pipeline_name::ser_key(database, name), &keys::pipeline_name::ser_value(*id));
        transaction.set(&keys::pipeline_of_table::ser_key(*table, *id), &keys::pipeline_of_table::ser_value());
        transaction.set(&keys::pipeline_fence::ser_key(*id), &keys::pipeline_fence::ser_value(*fence));
        Ok(())
    }

    /// Writes a pipeline's record and tells those who watch pipelines.
    pub(crate) fn write_pipeline(
        &self,
        transaction: &mut dyn KvTransaction,
        record: &PipelineRecord,
    ) -> Result<(), CatalogError> {
        let Pipeline { id, database, name, .. } = &record.pipeline;
        let value = keys::pipeline::ser_value(record);
        check_size(&describe(database, name), &value)?;
        transaction.set(&keys::pipeline::ser_key(*id), &value);
        self.tell_pipelines_changed(transaction);
        Ok(())
    }

    pub(crate) fn tell_pipelines_changed(&self, transaction: &mut dyn KvTransaction) {
        let value = keys::pipelines_changed::ser_value(self.era());
        transaction.set_versionstamped_value(&keys::pipelines_changed::ser_key(), value);
    }

    /// Sets whether a pipeline is meant to run. Its fence stays: what it has read before a PAUSE is still to be committed.
    ///
    /// Unknown outcome: run again; what is set twice is set. An attempt that is still on its way has read the record, and
    /// cannot land over a later change.
    pub async fn set_pipeline_state(
        &self,
        database: &str,
        name: &str,
        state: PipelineState,
    ) -> Result<Arc<Pipeline>, CatalogError> {
        let state = &state;
        let pipeline = self
            .settled("setting a pipeline's state", |transaction| {
                async move {
                    let mut record = require_named(transaction, database, name).await?;
                    if record.pipeline.state != *state {
                        record.pipeline.state = state.clone();
                        self.write_pipeline(transaction, &record)?;
                    }
                    Ok(record.pipeline)
                }
                .boxed()
            })
            .await?;
        Ok(Arc::new(pipeline))
    }

    /// Lets a pipeline run again, and settles what paused it: with `gaps`, or `errors`, where the statement says how such
    /// trouble is met from now on. Settings that decide nothing about rows already read leave the fence as it is. A change that is
    /// under way is given up.
    ///
    /// Unknown outcome: run again; what is set twice is set.
    pub async fn resume_pipeline(
        &self,
        database: &str,
        name: &str,
        gaps: Option<GapPolicy>,
        errors: Option<ErrorPolicy>,
    ) -> Result<Arc<Pipeline>, CatalogError> {
        self.resume_pipeline_by(database, name, gaps, errors, None).await
    }

    /// The same, with who did it by which statement, for the incidents that this settles.
    pub async fn resume_pipeline_by(
        &self,
        database: &str,
        name: &str,
        gaps: Option<GapPolicy>,
        errors: Option<ErrorPolicy>,
        by: Option<&str>,
    ) -> Result<Arc<Pipeline>, CatalogError> {
        let pipeline = self
            .settled("resuming a pipeline", |transaction| {
                async move {
                    let mut record = require_named(transaction, database, name).await?;
                    self.give_up_change(transaction, &record.pipeline).await?;
                    record.pipeline.state = PipelineState::Running;
                    let settings = &mut record.pipeline.settings;
                    settings.on_gap = gaps.unwrap_or(settings.on_gap);
                    settings.errors = errors.unwrap_or(settings.errors);
                    self.write_pipeline(transaction, &record)?;
                    Ok(record.pipeline)
                }
                .boxed()
            })
            .await?;
        self.settle_incidents_by(pipeline.id, by).await?;
        Ok(Arc::new(pipeline))
    }

    /// Drops a pipeline: from here on every commit of its tasks is `Fenced`. Its streams are closed, its lease ends.
    ///
    /// One transaction, which holds for some 20,000 streams.
    pub async fn drop_pipeline(&self, database: &str, name: &str, if_exists: bool) -> Result<(), CatalogError> {
        let aim = match self.pipeline(database, name).await {
            Err(CatalogError::NotFound { .. }) if if_exists => return Ok(()),
            found => found?,
        };
        let pipeline = &*aim;
        self.settled("dropping a pipeline", |transaction| {
            async move {
                let found = find(transaction, database, name).await?;
                if found.is_some_and(|found| found.pipeline.id == pipeline.id) {
                    self.erase(transaction, pipeline).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    async fn erase(&self, transaction: &mut dyn KvTransaction, pipeline: &Pipeline) -> Result<(), Failure> {
        let Pipeline { id, database, name, table, .. } = pipeline;
        let closed = streams::erase_all_of(transaction, *id).await?;
        let close = |streams: &[_]| keys::log::ser_value(&LogRecord::StreamsClosed(streams.to_vec()));
        let records: Vec<Vec<u8>> = closed.chunks(STREAMS_IN_A_RECORD).map(close).collect();
        if !records.is_empty() {
            self.append_to_log(transaction, *table, &records);
        }
        for key in [
            keys::pipeline_fence::ser_key(*id),
            keys::pipeline::ser_key(*id),
            keys::pipeline_name::ser_key(database, name),
            keys::pipeline_of_table::ser_key(*table, *id),
            keys::lease::ser_key(*id),
            keys::pipeline_change::ser_key(*id),
        ] {
            transaction.clear(&key);
        }
        for range in [
            keys::token::of_pipeline(*id),
            keys::void::of_pipeline(*id),
            keys::incident::of_pipeline(*id),
            keys::pipeline_version::of_pipeline(*id),
        ] {
            transaction.clear_range(range);
        }
        self.tell_pipelines_changed(transaction);
        Ok(())
    }

    /// The pipeline of that name.
    pub async fn pipeline(&self, database: &str, name: &str) -> Result<Arc<Pipeline>, CatalogError> {
        self.once("looking up a pipeline", |transaction| {
            async move { require_named(transaction, database, name).await }.boxed()
        })
        .await
        .map(|record| Arc::new(record.pipeline))
    }

    /// The pipeline with that id.
    pub async fn pipeline_by_id(&self, id: PipelineId) -> Result<Arc<Pipeline>, CatalogError> {
        self.once("looking up a pipeline", |transaction| async move { require(transaction, id).await }.boxed())
            .await
            .map(Arc::new)
    }

    /// All pipelines, oldest first.
    pub async fn pipelines(&self) -> Result<Vec<Arc<Pipeline>>, CatalogError> {
        self.once("listing the pipelines", |transaction| {
            async move {
                let mut pipelines = Vec::new();
                for (key, value) in scan(transaction, keys::pipeline::all(), Read::Snapshot).await? {
                    pipelines.push(Arc::new(keys::pipeline::deser_value(&key, &value)?.pipeline));
                }
                Ok(pipelines)
            }
            .boxed()
        })
        .await
    }
}

/// So many stream ids, of at most 21 bytes each, fit one record.
pub(crate) const STREAMS_IN_A_RECORD: usize = 4_000;

/// What only the decoder can judge, the SELECT list and the WHERE, it has judged before.
pub(super) fn check(new: &NewPipeline) -> Result<(), CatalogError> {
    names::check_pipeline(&new.name)?;
    let NewPipeline { database, name, source, projection, filter, settings, .. } = new.clone();
    check_definition(&database, &name, &PipelineDefinition { source, projection, filter, settings })
}

/// The same, of what ALTER can change.
pub(crate) fn check_definition(
    database: &str,
    name: &str,
    definition: &PipelineDefinition,
) -> Result<(), CatalogError> {
    let what = describe(database, name);
    let PipelineDefinition { source, settings, .. } = definition;
    let fault = if source.brokers.is_empty() {
        "names no broker: set brokers = 'host:port'"
    } else if source.topics.is_blank() {
        "names no topic: set topic = '…', topics = '…, …' or topic_pattern = '…'"
    } else if settings.tasks == 0 {
        "has tasks = 0: give it at least one"
    } else if settings.flush_bytes == 0 || settings.flush_interval_ms == 0 {
        "never holds a row before it flushes: set flush_bytes and flush_interval above zero"
    } else if settings.max_record_bytes == 0 {
        "takes no record: set max_record_bytes above zero"
    } else {
        return Ok(());
    };
    Err(CatalogError::invalid(format!("{what} {fault}")))
}

pub(super) fn draw(new: &NewPipeline, id: PipelineId, database: String, created: i64) -> Pipeline {
    Pipeline {
        id,
        database,
        name: new.name.clone(),
        table: new.table,
        source: new.source.clone(),
        projection: new.projection.clone(),
        filter: new.filter.clone(),
        settings: new.settings.clone(),
        state: PipelineState::Running,
        fence: FIRST_FENCE,
        created,
    }
}

/// The pipeline with that id. The transaction conflicts with its DROP.
pub(crate) async fn require(transaction: &mut dyn KvTransaction, id: PipelineId) -> Result<Pipeline, Failure> {
    require_record(transaction, id).await.map(|record| record.pipeline)
}

/// The same, with the record around it.
pub(crate) async fn require_record(
    transaction: &mut dyn KvTransaction,
    id: PipelineId,
) -> Result<PipelineRecord, Failure> {
    let found = keys::get(transaction, &keys::pipeline::ser_key(id), keys::pipeline::deser_value).await?;
    found.ok_or_else(|| CatalogError::not_found(format!("pipeline with the id {id}: it has been dropped")).into())
}

pub(super) async fn find(
    transaction: &mut dyn KvTransaction,
    database: &str,
    name: &str,
) -> Result<Option<PipelineRecord>, Failure> {
    let by_name = keys::pipeline_name::ser_key(database, name);
    match keys::get(transaction, &by_name, keys::pipeline_name::deser_value).await? {
        Some(id) => require_record(transaction, id).await.map(Some),
        None => Ok(None),
    }
}

async fn require_named(
    transaction: &mut dyn KvTransaction,
    database: &str,
    name: &str,
) -> Result<PipelineRecord, Failure> {
    match find(transaction, database, name).await? {
        Some(record) => Ok(record),
        None => Err(not_found(transaction, database, name).await?.into()),
    }
}

async fn not_found(transaction: &mut dyn KvTransaction, database: &str, name: &str) -> Result<CatalogError, Failure> {
    database::require(transaction, database).await?;
    let mut names = Vec::new();
    for (key, _) in scan(transaction, keys::pipeline_name::of_database(database), Read::Snapshot).await? {
        names.push(keys::pipeline_name::deser_key(&key)?.1);
    }
    Ok(names::did_you_mean(describe(database, name), name, names.iter().map(String::as_str)))
}

pub(crate) fn describe(database: &str, name: &str) -> String {
    format!("pipeline `{database}`.`{name}`")
}
