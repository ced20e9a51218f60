//! CREATE and DROP TABLE.

use catalog::{CatalogError, NewColumn, NewTable};

use super::super::errors::of_catalog;
use super::super::resolve::unknown_database;
use super::super::statement::{CreateTable, Name};
use super::{Ddl, NOTE_UNKNOWN_TABLE};
use crate::mysql::SqlError;

const TABLE_EXISTS: u16 = 1050;
/// MySQL's warning for an option that has no effect.
const OPTION_IGNORED: u16 = 1478;

impl Ddl<'_> {
    pub(super) async fn create_table(&mut self, create: &CreateTable) -> Result<(), SqlError> {
        let database = self.database_of(&create.table)?.to_owned();
        let name = &create.table.name;
        match self.catalog.create_table(new_table(&database, create), false).await {
            Ok(_) => {}
            Err(CatalogError::AlreadyExists { .. }) if create.if_not_exists => {
                self.diagnostics.note(TABLE_EXISTS, format!("Table '{name}' already exists"));
                return Ok(());
            }
            Err(CatalogError::AlreadyExists { .. }) => return Err(SqlError::table_exists(name)),
            Err(CatalogError::NotFound { .. }) => return Err(unknown_database(&database, self.catalog).await),
            Err(error) => return Err(of_catalog(&error)),
        }
        self.warn_ignored(&create.ignored);
        Ok(())
    }

    /// Tells of options that have no effect.
    pub(super) fn warn_ignored(&mut self, options: &[String]) {
        for option in options {
            let message = format!(
                "'{option}' was read and has no effect: tables are kept by PARTITION BY and ORDER BY, texts in utf8mb4"
            );
            self.diagnostics.warn(OPTION_IGNORED, message);
        }
    }

    /// MySQL drops those that it can and then names those that are not there; here it is checked before.
    pub(super) async fn drop_tables(&mut self, tables: &[Name], if_exists: bool) -> Result<(), SqlError> {
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for table in tables {
            let database = self.database_of(table)?.to_owned();
            match self.catalog.table(&database, &table.name).await {
                Ok(table) => found.push(table),
                Err(CatalogError::NotFound { .. }) => missing.push(format!("{database}.{}", table.name)),
                Err(error) => return Err(of_catalog(&error)),
            }
        }
        match missing.is_empty() || if_exists {
            true => missing.iter().for_each(|table| {
                self.diagnostics.note(NOTE_UNKNOWN_TABLE, format!("Unknown table '{table}'"));
            }),
            false => return Err(SqlError::no_table_to_drop(&missing.join(","))),
        }
        for table in found {
            let dropped = self.catalog.drop_table(&table.database, &table.name, true).await;
            dropped.map_err(|error| of_catalog(&error))?;
        }
        Ok(())
    }
}

/// The table that the statement describes.
pub(crate) fn new_table(database: &str, create: &CreateTable) -> NewTable {
    let column = |column: &super::super::statement::ColumnClause| NewColumn {
        name: column.name.clone(),
        kind: column.kind.clone(),
        nullable: column.nullable,
        default: column.default.clone(),
        comment: column.comment.clone(),
    };
    NewTable {
        database: database.to_owned(),
        name: create.table.name.clone(),
        columns: create.columns.iter().map(column).collect(),
        partition_by: create.partition_by.clone(),
        order_by: create.order_by.clone(),
    }
}
