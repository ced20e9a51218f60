//! A table and the pipeline that fills it, made together or not at all.

use std::sync::Arc;

use futures::FutureExt;

use super::{Maker, database, next_id, pipeline, table};
use crate::keys::{counter::Counter, pipeline::PipelineRecord, table::TableRecord};
use crate::{Catalog, CatalogError, NewPipeline, NewTable, Pipeline, PipelineId, Table, TableId};

impl Catalog {
    /// Makes `new_table` and, in the same transaction, `new_pipeline` into it, whose own table is not looked at: nobody ever
    /// sees the one without the other.
    ///
    /// # Errors
    /// [`CatalogError::AlreadyExists`] where either name is taken; then neither is made.
    pub async fn create_table_with_pipeline(
        &self,
        new_table: NewTable,
        new_pipeline: NewPipeline,
    ) -> Result<(Arc<Table>, Arc<Pipeline>), CatalogError> {
        pipeline::check(&new_pipeline)?;
        let drawn = &self.draw(&new_table)?;
        let (new_table, new_pipeline) = (&new_table, &new_pipeline);
        let (nonce, created) = (self.nonce(), self.wall());
        let (table, pipeline) = self
            .settled("creating a table and its pipeline", |transaction| {
                async move {
                    let of_table = database::require(transaction, &new_table.database).await?;
                    let of_pipeline = database::require(transaction, &new_pipeline.database).await?;
                    let table = table::find(transaction, &new_table.database, &new_table.name).await?;
                    let pipeline = pipeline::find(transaction, &new_pipeline.database, &new_pipeline.name).await?;
                    let is_mine = |found| Maker::of(found, nonce) == Maker::ThisCall;
                    let what = match (&table, &pipeline) {
                        (Some(table), Some(pipeline)) if is_mine(table.nonce) && is_mine(pipeline.nonce) => {
                            return Ok((table.table.clone(), pipeline.pipeline.clone()));
                        }
                        (Some(_), _) => Some(table::describe(&new_table.database, &new_table.name)),
                        (None, Some(_)) => Some(pipeline::describe(&new_pipeline.database, &new_pipeline.name)),
                        (None, None) => None,
                    };
                    if let Some(what) = what {
                        return Err(CatalogError::AlreadyExists { what }.into());
                    }
                    let id = TableId(next_id(transaction, Counter::Table).await?);
                    let table = TableRecord { table: Table { id, database: of_table, ..drawn.clone() }, nonce };
                    table::write_new(transaction, &table)?;
                    let id = PipelineId(next_id(transaction, Counter::Pipeline).await?);
                    let new = NewPipeline { table: table.table.id, ..new_pipeline.clone() };
                    let pipeline = PipelineRecord { pipeline: pipeline::draw(&new, id, of_pipeline, created), nonce };
                    self.write_new(transaction, &pipeline)?;
                    Ok((table.table, pipeline.pipeline))
                }
                .boxed()
            })
            .await?;
        Ok((Arc::new(table), Arc::new(pipeline)))
    }
}
