//! CREATE and DROP DATABASE.

use catalog::CatalogError;

use super::super::errors::of_catalog;
use super::{Ddl, refuse_system};
use crate::mysql::SqlError;

const DATABASE_EXISTS: u16 = 1007;
const NO_SUCH_DATABASE: u16 = 1008;
/// MySQL's number for a DROP that cannot be carried out.
const DROP_REFUSED: u16 = 1010;

impl Ddl<'_> {
    pub(super) async fn create_database(&mut self, name: &str, if_not_exists: bool) -> Result<(), SqlError> {
        refuse_system(name)?;
        match self.catalog.create_database(name, false).await {
            Err(CatalogError::AlreadyExists { .. }) if if_not_exists => {
                let message = format!("Can't create database '{name}'; database exists");
                self.diagnostics.note(DATABASE_EXISTS, message);
                Ok(())
            }
            Err(CatalogError::AlreadyExists { .. }) => Err(SqlError::database_exists(name)),
            done => done.map_err(|error| of_catalog(&error)),
        }
    }

    pub(super) async fn drop_database(&mut self, name: &str, if_exists: bool) -> Result<(), SqlError> {
        refuse_system(name)?;
        match self.catalog.drop_database(name, false).await {
            Err(CatalogError::NotFound { .. }) if if_exists => {
                let message = format!("Can't drop database '{name}'; database doesn't exist");
                self.diagnostics.note(NO_SUCH_DATABASE, message);
                Ok(())
            }
            Err(CatalogError::NotFound { .. }) => Err(SqlError::no_database_to_drop(name)),
            Err(CatalogError::Invalid { message }) => {
                Err(SqlError::new(DROP_REFUSED, format!("Can't drop database '{name}': {message}")))
            }
            done => done.map_err(|error| of_catalog(&error)),
        }
    }
}
