//! Statements that change the catalog: databases, tables, pipelines, users. Owns their meaning and their messages; the records are
//! the catalog's, and running pipelines the manager's.

pub(crate) mod alter;
mod database;
mod from_kafka;
pub(crate) mod pipeline;
pub(crate) mod pipeline_settings;
mod table;
mod user;

use std::sync::Arc;

pub(crate) use table::new_table;

use catalog::{Catalog, CatalogError};

use super::accounts::RootPassword;
use super::diagnostics::Diagnostics;
use super::resolve::unknown_database;
use super::seams::{PipelineControl, PipelineProbe};
use super::statement::{Name, Statement};
use super::system::SystemTable;
use crate::mysql::SqlError;

pub(crate) use from_kafka::Sampler;

/// MySQL's note for IF EXISTS of something that is not there.
const NOTE_UNKNOWN_TABLE: u16 = 1051;
/// MySQL's number for what only another may change.
const ACCESS_DENIED: u16 = 1044;

/// What DDL works with.
pub(crate) struct Ddl<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) control: &'a Arc<dyn PipelineControl>,
    pub(crate) probe: &'a Arc<dyn PipelineProbe>,
    /// Who asks: `root@host`.
    pub(crate) account: &'a str,
    /// The session's database.
    pub(crate) database: Option<&'a str>,
    /// The session's user.
    pub(crate) user: &'a str,
    /// Who says what root's password is.
    pub(crate) root_password: RootPassword,
    pub(crate) diagnostics: &'a mut Diagnostics,
}

impl Ddl<'_> {
    /// Carries out a statement; `None` where it is no DDL.
    pub(crate) async fn execute(&mut self, statement: &Statement) -> Option<Result<(), SqlError>> {
        Some(match statement {
            Statement::CreateDatabase { name, if_not_exists } => self.create_database(name, *if_not_exists).await,
            Statement::DropDatabase { name, if_exists } => self.drop_database(name, *if_exists).await,
            Statement::CreateTable(create) => self.create_table(create).await,
            Statement::DropTable { tables, if_exists } => self.drop_tables(tables, *if_exists).await,
            Statement::CreatePipeline(create) => self.create_pipeline(create).await,
            Statement::DropPipeline { pipeline, if_exists } => self.drop_pipeline(pipeline, *if_exists).await,
            Statement::PausePipeline(pipeline) => self.pause_pipeline(pipeline).await,
            Statement::ResumePipeline { pipeline, how } => self.resume_pipeline(pipeline, how).await,
            Statement::CreateUser { users, if_not_exists } => self.create_users(users, *if_not_exists).await,
            Statement::AlterUser { users, if_exists } => self.alter_users(users, *if_exists).await,
            Statement::DropUser { users, if_exists } => self.drop_users(users, *if_exists).await,
            _ => return None,
        })
    }

    /// The database of a name; it is one that can be changed.
    fn database_of<'a>(&'a self, name: &'a Name) -> Result<&'a str, SqlError> {
        let database = name.database.as_deref().or(self.database).ok_or_else(SqlError::no_database_selected)?;
        refuse_system(database)?;
        Ok(database)
    }

    /// An error of the catalog about something in `database`.
    async fn refusal(&self, error: CatalogError, database: &str) -> SqlError {
        match error {
            CatalogError::NotFound { .. } => match self.catalog.tables(database).await {
                Err(CatalogError::NotFound { .. }) => unknown_database(database, self.catalog).await,
                _ => super::errors::of_catalog(&error),
            },
            error => super::errors::of_catalog(&error),
        }
    }
}

/// The schemas of the system are nobody's to change.
fn refuse_system(database: &str) -> Result<(), SqlError> {
    if SystemTable::is_schema(database) {
        let message =
            format!("Access denied to database '{database}': its tables are made by the server; use another database");
        return Err(SqlError::new(ACCESS_DENIED, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
