//! Where these tables get their rows from.

use std::sync::Arc;

use catalog::{Catalog, CatalogError, Pipeline, Table, TableId};
use std::collections::BTreeMap;

use super::super::accounts::RootPassword;
use super::super::diagnostics::Diagnostic;
use super::super::seams::Runtime;
use super::super::sessions::Sessions;
use super::super::variables::Variables;

/// The catalog, the process and the session that asks.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) catalog: Catalog,
    pub(crate) runtime: Arc<dyn Runtime>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) root_password: RootPassword,
    pub(crate) session: SessionView,
}

/// What a session shows of itself.
#[derive(Clone, Debug)]
pub(crate) struct SessionView {
    pub(crate) variables: Variables,
    pub(crate) diagnostics: Vec<Diagnostic>,
    pub(crate) warning_count: u64,
    pub(crate) error_count: u64,
}

impl Reader {
    /// Every table, by database and name.
    pub(super) async fn tables(&self) -> Result<Vec<Arc<Table>>, CatalogError> {
        let mut tables = Vec::new();
        for database in self.catalog.databases().await? {
            match self.catalog.tables(&database).await {
                Ok(found) => tables.extend(found),
                // It was dropped meanwhile.
                Err(CatalogError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(tables)
    }

    /// Every pipeline, with the table that it writes where that is still there.
    pub(super) async fn pipelines(&self) -> Result<Vec<(Arc<Pipeline>, Option<Arc<Table>>)>, CatalogError> {
        let tables: BTreeMap<TableId, Arc<Table>> =
            self.tables().await?.into_iter().map(|table| (table.id, table)).collect();
        let pipelines = self.catalog.pipelines().await?;
        Ok(pipelines
            .into_iter()
            .map(|pipeline| (Arc::clone(&pipeline), tables.get(&pipeline.table).cloned()))
            .collect())
    }
}

/// A table's name as one writes it in SQL without quotes.
pub(super) fn full_name(table: &Table) -> String {
    format!("{}.{}", table.database, table.name)
}
