//! CREATE, DROP, PAUSE and RESUME PIPELINE.

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{CatalogError, Fence, NewPipeline, Pipeline, PipelineId, PipelineState, Table};
use warehouse::write::decode::PipelineDecoder;

use super::super::errors::of_catalog;
use super::super::resolve::no_such_table;
use super::super::seams::Resume;
use super::super::statement::{CreatePipeline, Name};
use super::{Ddl, NOTE_UNKNOWN_TABLE, pipeline_settings};
use crate::mysql::SqlError;

const TABLE_EXISTS: u16 = 1050;
/// Notes of ours have MySQL's number for what has none of its own.
const NOTE: u16 = 1105;

impl Ddl<'_> {
    pub(super) async fn create_pipeline(&mut self, create: &CreatePipeline) -> Result<(), SqlError> {
        let database = self.database_of(&create.pipeline)?.to_owned();
        let name = &create.pipeline.name;
        match self.catalog.pipeline(&database, name).await {
            Ok(_) if create.if_not_exists => {
                self.diagnostics.note(TABLE_EXISTS, format!("pipeline '{name}' already exists"));
                return Ok(());
            }
            Ok(_) => return Err(already_exists(name)),
            Err(CatalogError::NotFound { .. }) => {}
            Err(error) => return Err(of_catalog(&error)),
        }
        let table = self.target(&create.table).await?;
        let source = pipeline_settings::source(&create.source, &[]).map_err(SqlError::other)?;
        let settings = pipeline_settings::settings(&create.settings).map_err(SqlError::other)?;
        let candidate = Pipeline {
            id: PipelineId(0),
            database: database.clone(),
            name: name.clone(),
            table: table.id,
            source: source.clone(),
            projection: create.projection.clone(),
            filter: create.filter.clone(),
            settings: settings.clone(),
            state: PipelineState::Running,
            fence: Fence(0),
            created: 0,
        };
        check_pipeline(&table, candidate)?;
        self.probe.check(&source).await.map_err(SqlError::other)?;
        let new = NewPipeline {
            database: database.clone(),
            name: name.clone(),
            table: table.id,
            source,
            projection: create.projection.clone(),
            filter: create.filter.clone(),
            settings,
        };
        match self.catalog.create_pipeline(new, create.if_not_exists).await {
            Ok(_) => Ok(()),
            Err(CatalogError::AlreadyExists { .. }) => Err(already_exists(name)),
            Err(error) => Err(self.refusal(error, &database).await),
        }
    }

    async fn target(&self, name: &Name) -> Result<Arc<Table>, SqlError> {
        let database = self.database_of(name)?;
        match self.catalog.table(database, &name.name).await {
            Ok(table) => Ok(table),
            Err(CatalogError::NotFound { .. }) => Err(no_such_table(database, &name.name, self.catalog).await),
            Err(error) => Err(of_catalog(&error)),
        }
    }

    pub(super) async fn drop_pipeline(&mut self, name: &Name, if_exists: bool) -> Result<(), SqlError> {
        match self.pipeline(name).await {
            Ok(pipeline) => self.control.remove(pipeline.id).await.map_err(SqlError::other),
            Err(error) if error.code == NO_SUCH_PIPELINE && if_exists => {
                self.diagnostics.note(NOTE_UNKNOWN_TABLE, error.message);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn pause_pipeline(&mut self, name: &Name) -> Result<(), SqlError> {
        let pipeline = self.pipeline(name).await?;
        match pipeline.state {
            PipelineState::Paused => {
                self.diagnostics.note(NOTE, format!("pipeline '{}' is paused already", pipeline.name));
                Ok(())
            }
            PipelineState::Running | PipelineState::PausedByIncident => {
                self.control.pause(pipeline.id).await.map_err(SqlError::other)
            }
        }
    }

    pub(super) async fn resume_pipeline(
        &mut self,
        name: &Name,
        how: &BTreeMap<String, String>,
    ) -> Result<(), SqlError> {
        let mut statement = format!("RESUME PIPELINE {}", name.name);
        for (key, clause) in [("on_gap", "ON GAP"), ("errors", "ON ERROR")] {
            if let Some(value) = how.get(key) {
                statement.push_str(&format!(" {clause} {}", value.to_ascii_uppercase()));
            }
        }
        let how = Resume { by: Some(format!("{}: {statement}", self.account)), ..pipeline_settings::resume(how)? };
        let pipeline = self.pipeline(name).await?;
        match pipeline.state {
            PipelineState::Running if !self.control.is_changing(pipeline.id).await.map_err(SqlError::other)? => {
                self.diagnostics.note(NOTE, format!("pipeline '{}' is running already", pipeline.name));
                Ok(())
            }
            PipelineState::Running | PipelineState::Paused | PipelineState::PausedByIncident => {
                self.control.resume(pipeline.id, how).await.map_err(SqlError::other)
            }
        }
    }

    pub(super) async fn pipeline(&self, name: &Name) -> Result<Arc<Pipeline>, SqlError> {
        let database = self.database_of(name)?;
        match self.catalog.pipeline(database, &name.name).await {
            Ok(pipeline) => Ok(pipeline),
            Err(error) => Err(no_such_pipeline(&error)),
        }
    }
}

/// MySQL has no pipelines: this is its number for a procedure that does not exist.
const NO_SUCH_PIPELINE: u16 = 1305;

/// The catalog's words name the pipeline that was perhaps meant.
pub(crate) fn no_such_pipeline(error: &CatalogError) -> SqlError {
    match error {
        CatalogError::NotFound { .. } => SqlError::new(NO_SUCH_PIPELINE, error.to_string()),
        error => of_catalog(error),
    }
}

fn already_exists(name: &str) -> SqlError {
    SqlError::new(
        TABLE_EXISTS,
        format!("pipeline '{name}' already exists; DROP PIPELINE it first, or use another name"),
    )
}

/// Whether the SELECT can be run on records: the very code that will run it says so.
pub(super) fn check_pipeline(table: &Arc<Table>, candidate: Pipeline) -> Result<(), SqlError> {
    match PipelineDecoder::new(Arc::clone(table), Arc::new(candidate)) {
        Ok(_) => Ok(()),
        Err(invalid) => Err(SqlError::other(invalid.message)),
    }
}
