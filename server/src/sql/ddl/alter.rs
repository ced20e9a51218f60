//! From the clauses of ALTER PIPELINE to what the pipeline is to become. Nothing is changed here.

use std::sync::Arc;

use catalog::{Catalog, Pipeline, PipelineDefinition};

use super::super::errors::of_catalog;
use super::super::seams::SeekTo;
use super::super::statement::{DefinitionClauses, SeekClause};
use super::pipeline::check_pipeline;
use super::pipeline_settings::{changed_settings, changed_source, seek_moment};
use crate::mysql::SqlError;

/// Where a SEEK goes.
pub(crate) fn seek_to(clause: &SeekClause) -> Result<SeekTo, SqlError> {
    Ok(match clause {
        SeekClause::Earliest => SeekTo::Earliest,
        SeekClause::Latest => SeekTo::Latest,
        SeekClause::Timestamp(text) => SeekTo::Timestamp(seek_moment(text).map_err(SqlError::other)?),
        SeekClause::Offsets(offsets) => SeekTo::Offsets(offsets.clone()),
    })
}

/// What the pipeline is to become: its SELECT can be run on records, as the very code says that will run it.
pub(crate) async fn altered(
    catalog: &Catalog,
    pipeline: &Arc<Pipeline>,
    clauses: &DefinitionClauses,
) -> Result<PipelineDefinition, SqlError> {
    let mut definition = PipelineDefinition::of(pipeline);
    if let Some((projection, filter)) = &clauses.select {
        definition.projection = projection.clone();
        definition.filter = filter.clone();
    }
    definition.source = changed_source(&pipeline.source, &clauses.source).map_err(SqlError::other)?;
    let settings = changed_settings(definition.settings, &clauses.settings);
    definition.settings = settings.map_err(|error| SqlError::other(error.replacen("WITH:", "SET:", 1)))?;
    let table = catalog.table_by_id(pipeline.table).await.map_err(|error| of_catalog(&error))?;
    check_pipeline(&table, definition.applied_to(pipeline))?;
    Ok(definition)
}
