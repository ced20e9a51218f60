//! Names of a query: which tables it reads, and how they and their columns are spelled.
//!
//! MySQL's names are compared without regard to case; the engine compares them as bytes. So each table becomes
//! `database.table` as the catalog spells it, under its own name as alias, and each column gets the spelling of its table.
//! Afterwards the engine never meets a name that it would have to guess at.

mod columns;
mod tables;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::{Catalog, CatalogError};
use datafusion::sql::sqlparser::ast;
use warehouse::schema::{error_schema, storage_schema};

use super::alike::did_you_mean;
use super::errors::of_catalog;
use super::system::SystemTable;
use crate::mysql::SqlError;

/// What follows a table's name in the name of its error table.
pub(crate) const ERRORS_SUFFIX: &str = "$errors";
/// Columns that a table has beside those stored: derived from the stream.
const DERIVED_COLUMNS: [&str; 2] = ["_topic", "_partition"];

/// A table that a query reads, as it is spelled where it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) columns: Arc<Vec<String>>,
}

/// A table's name in lower case: database, table.
pub(crate) type RelationKey = (String, String);

/// Resolves every name in `statement`; `database` is the session's, `own` are tables that only this statement has.
pub(crate) async fn resolve(
    statement: &mut ast::Statement,
    catalog: &Catalog,
    database: Option<&str>,
    own: Vec<Relation>,
) -> Result<(), SqlError> {
    let wanted = tables::wanted(statement, database)?;
    let relations = look_up(&wanted, catalog, own).await?;
    let aliases = tables::rename(statement, database, &relations);
    columns::rename(statement, &relations, &aliases);
    Ok(())
}

/// The tables `wanted`, spelled as typed.
async fn look_up(
    wanted: &BTreeSet<(String, String)>,
    catalog: &Catalog,
    own: Vec<Relation>,
) -> Result<BTreeMap<RelationKey, Relation>, SqlError> {
    let key = |database: &str, table: &str| (database.to_ascii_lowercase(), table.to_ascii_lowercase());
    let own = own.into_iter().map(|relation| (key(&relation.database, &relation.table), relation));
    let mut relations: BTreeMap<RelationKey, Relation> = own.collect();
    for (database, table) in wanted {
        let key = key(database, table);
        if let Entry::Vacant(free) = relations.entry(key) {
            free.insert(relation(database, table, catalog).await?);
        }
    }
    Ok(relations)
}

async fn relation(database: &str, table: &str, catalog: &Catalog) -> Result<Relation, SqlError> {
    if let Some(found) = SystemTable::find(database, table) {
        let columns = found.columns().iter().map(|(name, _)| (*name).to_owned()).collect();
        return Ok(Relation {
            database: found.schema().into(),
            table: found.name().into(),
            columns: Arc::new(columns),
        });
    }
    if SystemTable::is_schema(database) {
        let names = SystemTable::all().filter(|known| known.schema().eq_ignore_ascii_case(database));
        let hint = did_you_mean(table, names.map(SystemTable::name));
        return Err(SqlError::no_such_table(database, table, &hint));
    }
    let base = table.len().checked_sub(ERRORS_SUFFIX.len()).and_then(|at| table.split_at_checked(at));
    let errors_of = base.filter(|(_, suffix)| suffix.eq_ignore_ascii_case(ERRORS_SUFFIX)).map(|(base, _)| base);
    let found = match catalog.table(database, errors_of.unwrap_or(table)).await {
        Ok(found) => found,
        Err(CatalogError::NotFound { .. }) => return Err(no_such_table(database, table, catalog).await),
        Err(error) => return Err(of_catalog(&error)),
    };
    let (name, schema) = match errors_of {
        Some(_) => (format!("{}{ERRORS_SUFFIX}", found.name), error_schema()),
        None => (found.name.clone(), storage_schema(&found)),
    };
    let stored = schema.fields().iter().map(|field| field.name().clone());
    let mut columns: Vec<String> = stored.collect();
    for derived in DERIVED_COLUMNS {
        if !columns.iter().any(|column| column == derived) {
            columns.push(derived.to_owned());
        }
    }
    Ok(Relation { database: found.database.clone(), table: name, columns: Arc::new(columns) })
}

/// 1146 with the table that was perhaps meant, or 1049 where not even the database is there.
pub(crate) async fn no_such_table(database: &str, table: &str, catalog: &Catalog) -> SqlError {
    match catalog.tables(database).await {
        Ok(tables) => {
            let hint = did_you_mean(table, tables.iter().map(|table| table.name.as_str()));
            SqlError::no_such_table(database, table, &hint)
        }
        Err(CatalogError::NotFound { .. }) => unknown_database(database, catalog).await,
        Err(error) => of_catalog(&error),
    }
}

/// 1049 with the database that was perhaps meant.
pub(crate) async fn unknown_database(database: &str, catalog: &Catalog) -> SqlError {
    match catalog.databases().await {
        Ok(mut names) => {
            names.extend(SystemTable::schemas().iter().map(|name| (*name).to_owned()));
            SqlError::unknown_database(database, &did_you_mean(database, names.iter().map(String::as_str)))
        }
        Err(error) => of_catalog(&error),
    }
}

/// A name in backticks, which the engine takes as it stands.
pub(crate) fn exact(name: impl Into<String>) -> ast::Ident {
    ast::Ident::with_quote('`', name)
}

#[cfg(test)]
mod tests;
