//! Statements that steer a pipeline and answer with rows.

use std::sync::Arc;

use catalog::{Pipeline, PipelineDefinition};

use super::super::ddl::alter::{altered, seek_to};
use super::super::ddl::pipeline::no_such_pipeline;
use super::super::seams::{PartitionCut, PartitionSeek};
use super::super::statement::{AlterClauses, AlterPipeline, Name};
use super::super::system::ColumnDef;
use super::super::system::cells::{Cell, Kind, answer};
use super::Session;
use crate::mysql::{Answer, SqlError};

const SEEK: &[ColumnDef] = &[
    ("topic", Kind::Text),
    ("partition", Kind::Int),
    ("now", Kind::Int),
    ("then", Kind::Int),
    ("records_skipped", Kind::Int),
    ("records_repeated", Kind::Int),
];

const CUT: &[ColumnDef] =
    &[("stream_id", Kind::Int), ("topic", Kind::Text), ("partition", Kind::Int), ("cut_over", Kind::Int)];

const CHANGES: &[ColumnDef] = &[("what", Kind::Text), ("now", Kind::Text), ("then", Kind::Text)];

impl Session {
    /// ALTER PIPELINE: answers with what it did to each partition; under EXPLAIN with what it would do.
    pub(super) async fn alter_pipeline(&mut self, alter: AlterPipeline) -> Result<Answer, SqlError> {
        let pipeline = self.pipeline_named(&alter.pipeline).await?;
        let control = &self.shared.components.control;
        match alter.what {
            AlterClauses::Seek(clause) => {
                let to = seek_to(&clause)?;
                let seeks = match alter.explain {
                    true => control.preview_seek(pipeline.id, &to).await,
                    false => control.seek(pipeline.id, &to).await,
                };
                let rows: Vec<Vec<Cell>> = seeks.map_err(SqlError::other)?.into_iter().map(seek_row).collect();
                Ok(answer(SEEK, &rows))
            }
            AlterClauses::Definition(clauses) => {
                let definition = altered(&self.shared.components.catalog, &pipeline, &clauses).await?;
                if alter.explain {
                    return Ok(answer(CHANGES, &changes(&pipeline, &definition)));
                }
                if definition.source != pipeline.source {
                    self.shared.components.probe.check(&definition.source).await.map_err(SqlError::other)?;
                }
                let cuts = control.alter(pipeline.id, definition).await.map_err(SqlError::other)?;
                let rows: Vec<Vec<Cell>> = cuts.into_iter().map(cut_row).collect();
                Ok(answer(CUT, &rows))
            }
        }
    }

    pub(super) async fn pipeline_named(&self, name: &Name) -> Result<Arc<Pipeline>, SqlError> {
        let database = self.database_for(name.database.as_deref()).await?;
        let found = self.shared.components.catalog.pipeline(&database, &name.name).await;
        found.map_err(|error| no_such_pipeline(&error))
    }
}

fn seek_row(seek: PartitionSeek) -> Vec<Cell> {
    let (skipped, repeated) = (seek.skipped(), seek.repeated());
    vec![
        Cell::from(seek.topic),
        i64::from(seek.partition).into(),
        seek.now.0.into(),
        seek.then.0.into(),
        skipped.into(),
        repeated.into(),
    ]
}

fn cut_row(cut: PartitionCut) -> Vec<Cell> {
    vec![Cell::from(cut.stream.0), cut.topic.into(), i64::from(cut.partition).into(), cut.cut_over.0.into()]
}

/// What becomes another, in the words of CREATE PIPELINE.
fn changes(pipeline: &Pipeline, definition: &PipelineDefinition) -> Vec<Vec<Cell>> {
    let then = definition.applied_to(pipeline);
    let [before, after] = [pipeline, &then].map(super::super::create_text::definition);
    let is_secret = definition.source != pipeline.source && before == after;
    let secret = vec![Cell::from("SOURCE"), "a secret".into(), "another secret".into()];
    let differ = before.into_iter().zip(after).filter(|((_, now), (_, then))| now != then);
    let rows = differ.map(|((what, now), (_, then))| vec![Cell::from(what), now.into(), then.into()]);
    rows.chain(is_secret.then_some(secret)).collect()
}
