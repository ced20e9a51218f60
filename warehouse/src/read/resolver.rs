//! The seam from a table's name to the table.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Catalog, CatalogError, Table};

/// Looks tables up by name, without regard to case.
#[async_trait]
pub trait TableResolver: Send + Sync + fmt::Debug {
    /// The table of that name.
    ///
    /// # Errors
    /// [`CatalogError::NotFound`], with the name that was probably meant, where there is none.
    async fn resolve(&self, database: &str, name: &str) -> Result<Arc<Table>, CatalogError>;
}

#[async_trait]
impl TableResolver for Catalog {
    async fn resolve(&self, database: &str, name: &str) -> Result<Arc<Table>, CatalogError> {
        self.table(database, name).await
    }
}
