//! The tables of one statement, as the engine looks them up: all were resolved before, so nothing is looked up here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider};
use datafusion::common::Result;

/// The one catalog, by the name that MySQL gives it.
pub(super) const CATALOG: &str = "def";

/// The tables of a statement, by database and name, both in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct StatementTables {
    tables: Arc<BTreeMap<(String, String), Arc<dyn TableProvider>>>,
}

/// The key of a table's name.
pub(super) fn key(database: &str, name: &str) -> (String, String) {
    (database.to_ascii_lowercase(), name.to_ascii_lowercase())
}

impl StatementTables {
    /// These tables.
    pub(super) fn new(tables: BTreeMap<(String, String), Arc<dyn TableProvider>>) -> Self {
        Self { tables: Arc::new(tables) }
    }
}

impl CatalogProviderList for StatementTables {
    fn register_catalog(&self, _name: String, _catalog: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        vec![CATALOG.to_owned()]
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        name.eq_ignore_ascii_case(CATALOG).then(|| Arc::new(self.clone()) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for StatementTables {
    fn schema_names(&self) -> Vec<String> {
        let names: BTreeSet<&String> = self.tables.keys().map(|(database, _)| database).collect();
        names.into_iter().cloned().collect()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(StatementSchema { database: name.to_owned(), tables: self.clone() }))
    }
}

#[derive(Debug)]
struct StatementSchema {
    database: String,
    tables: StatementTables,
}

#[async_trait]
impl SchemaProvider for StatementSchema {
    fn table_names(&self) -> Vec<String> {
        let of_it = self.tables.tables.keys().filter(|(database, _)| database.eq_ignore_ascii_case(&self.database));
        of_it.map(|(_, name)| name.clone()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.tables.tables.get(&key(&self.database, name)).cloned())
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.tables.contains_key(&key(&self.database, name))
    }
}
