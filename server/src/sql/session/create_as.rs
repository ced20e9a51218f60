//! CREATE TABLE … AS SELECT, and TRUNCATE. The new table has no name while it is filled, so nobody sees it half full: it gets its name
//! when all rows are committed, or is dropped. If the process dies before, its next start drops it.

use std::sync::Arc;

use catalog::{Catalog, CatalogError, NewColumn, NewTable, Table, TableId};
use warehouse::write::insert::{Begun, Inserted};

use super::super::ddl::new_table;
use super::super::errors::of_catalog;
use super::super::insert::of_insert;
use super::super::resolve::unknown_database;
use super::super::result_type::columns_of;
use super::super::statement::{CreateTable, Name, Query};
use super::super::system::SystemTable;
use super::Session;
use super::insert::push_answer;
use super::rows::Limit;
use crate::mysql::{Answer, SqlError};
use warehouse::read::engine::ReadAnswer;

const ACCESS_DENIED: u16 = 1044;
const TABLE_EXISTS: u16 = 1050;

/// Drops a table that never got its name, whichever way the statement ends.
struct Unnamed {
    catalog: Catalog,
    table: TableId,
    named: bool,
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let (false, Ok(runtime)) = (self.named, tokio::runtime::Handle::try_current()) {
            let (catalog, table) = (self.catalog.clone(), self.table);
            runtime.spawn(async move {
                if let Err(error) = catalog.drop_unnamed_table(table).await {
                    tracing::warn!(table = table.0, %error, "a table that got no name is left; the next start drops it");
                }
            });
        }
    }
}

impl Session {
    pub(super) async fn create_table_as(&mut self, mut create: CreateTable, limit: &Limit) -> Result<Answer, SqlError> {
        let Some(Query { ast, headings }) = create.query.take() else { return Ok(self.done()) };
        let database = self.database_to_change(&create.table)?;
        let catalog = self.shared.components.catalog.clone();
        match catalog.table(&database, &create.table.name).await {
            Ok(_) if create.if_not_exists => {
                let message = format!("Table '{}' already exists, and nothing was inserted", create.table.name);
                self.diagnostics.note(TABLE_EXISTS, message);
                return Ok(self.done());
            }
            Ok(_) => return Err(SqlError::table_exists(&create.table.name)),
            Err(CatalogError::NotFound { .. }) => {}
            Err(error) => return Err(of_catalog(&error)),
        }
        let answer = self.ask(*ast).await?;
        let mut new = new_table(&database, &create);
        let of_query = columns_of(&answer.schema, &headings)?;
        new.columns = columns(new.columns, of_query)?;
        let (table, inserted) = self.fill(new, answer, limit).await?;
        tracing::info!(table = table.name, rows = inserted.rows, "a table was made of a query");
        let info = format!("Records: {}  Duplicates: 0  Warnings: {}", inserted.rows, self.diagnostics.warnings());
        Ok(Answer::Done { affected_rows: inserted.rows, warnings: self.diagnostics.warnings(), info })
    }

    async fn fill(
        &mut self,
        new: NewTable,
        answer: ReadAnswer,
        limit: &Limit,
    ) -> Result<(Arc<Table>, Inserted), SqlError> {
        let components = &self.shared.components;
        let (catalog, inserts) = (components.catalog.clone(), Arc::clone(&components.inserts));
        let (database, name) = (new.database.clone(), new.name.clone());
        let made = catalog.create_unnamed_table(new, inserts.node(), inserts.process()).await;
        let table = match made {
            Ok(table) => table,
            Err(CatalogError::AlreadyExists { .. }) => return Err(SqlError::table_exists(&name)),
            Err(CatalogError::NotFound { .. }) => return Err(unknown_database(&database, &catalog).await),
            Err(error) => return Err(of_catalog(&error)),
        };
        let mut unnamed = Unnamed { catalog: catalog.clone(), table: table.id, named: false };
        let begun = inserts.begin(Arc::clone(&table), None).await.map_err(|error| of_insert(&error))?;
        let Begun::Writer(mut writer) = begun else { unreachable!("it has no label") };
        let places: Vec<usize> = (0..table.columns.len()).collect();
        push_answer(&mut writer, &places, answer, limit).await?;
        let inserted = writer.finish().await.map_err(|error| of_insert(&error))?;
        match catalog.name_table(table.id).await {
            Ok(table) => {
                unnamed.named = true;
                Ok((table, inserted))
            }
            Err(CatalogError::AlreadyExists { .. }) => Err(SqlError::table_exists(&name)),
            Err(error) => Err(of_catalog(&error)),
        }
    }

    fn database_to_change(&self, name: &Name) -> Result<String, SqlError> {
        let database =
            name.database.as_deref().or(self.database.as_deref()).ok_or_else(SqlError::no_database_selected)?;
        if SystemTable::is_schema(database) {
            let message = format!(
                "Access denied to database '{database}': its tables are made by the server; use another database"
            );
            return Err(SqlError::new(ACCESS_DENIED, message));
        }
        Ok(database.to_owned())
    }

    /// TRUNCATE TABLE.
    pub(super) async fn truncate(&mut self, name: &Name) -> Result<Answer, SqlError> {
        let table = self.written_table(name, "TRUNCATE").await?;
        self.shared.components.tables.truncate(table.id).await.map_err(SqlError::other)?;
        Ok(self.done())
    }
}

/// The query's columns, or those of the statement's list: as many, in its order, with the list's names and types.
fn columns(listed: Vec<NewColumn>, of_query: Vec<NewColumn>) -> Result<Vec<NewColumn>, SqlError> {
    match listed.len() {
        0 => Ok(of_query),
        listed_count if listed_count == of_query.len() => Ok(listed),
        listed_count => {
            let message = format!(
                "Column count doesn't match value count at row 1: the list has {listed_count} columns, and the query {}; name as many, or leave the list out",
                of_query.len()
            );
            Err(SqlError::new(1136, message))
        }
    }
}
