//! One of these tables as the engine reads it: its rows are gathered when it is scanned.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;

use super::{Reader, SystemTable, cells};

/// The table.
#[derive(Debug)]
pub(super) struct SystemProvider {
    table: SystemTable,
    schema: SchemaRef,
    reader: Arc<Reader>,
}

impl SystemProvider {
    pub(super) fn new(table: SystemTable, reader: Arc<Reader>) -> Self {
        Self { table, schema: cells::schema(table.columns()), reader }
    }
}

#[async_trait]
impl TableProvider for SystemProvider {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        _session: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let columns = self.table.columns();
        let wanted: Vec<&str> = match projection {
            Some(indexes) => indexes.iter().map(|index| columns[*index].0).collect(),
            None => columns.iter().map(|(name, _)| *name).collect(),
        };
        let rows = self.table.rows(&self.reader, &wanted).await;
        let rows = rows.map_err(|error| DataFusionError::External(Box::new(error)))?;
        let batch = cells::batch(columns, &rows);
        Ok(MemorySourceConfig::try_new_exec(&[vec![batch]], self.schema(), projection.cloned())?)
    }
}
