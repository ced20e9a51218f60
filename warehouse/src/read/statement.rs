//! From a statement's syntax tree to one that the engine can plan, and the tables that it names: resolved and pinned once
//! each. Columns are compared to the letter here: whoever asks has spelled them as their tables do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use catalog::{Offset, StreamId, Table, TableId};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::common::{ResolvedTableReference, TableReference};
use datafusion::sql::parser::Statement as EngineStatement;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{ObjectName, Statement};

use super::errors::ReadError;
use super::hidden;
use super::provider::{ERRORS_SUFFIX, TableView};
use super::query_pins::QueryPins;
use super::reader::PartReaders;
use super::resolver::TableResolver;
use super::schemas::{CATALOG, StatementTables, key};
use super::session::{Freshness, SessionVector};
use super::snapshot::{PinnedTable, SnapshotTaker};

/// Where a statement's tables come from.
#[derive(Debug)]
pub(super) struct Sources<'a> {
    /// The database of names that do not say theirs.
    pub(super) database: &'a str,
    /// Databases that are not in the catalog.
    pub(super) schemas: &'a BTreeMap<String, Arc<dyn SchemaProvider>>,
    /// The catalog's tables.
    pub(super) resolver: &'a dyn TableResolver,
    /// Pins them.
    pub(super) snapshots: &'a SnapshotTaker,
    /// Reads their parts.
    pub(super) readers: &'a PartReaders,
}

/// A name of the statement, resolved.
#[derive(Clone, Debug)]
enum Resolved {
    /// A table of a database that is not in the catalog.
    Virtual(Arc<dyn TableProvider>),
    /// Rows of a table.
    Rows(Arc<Table>),
    /// Error rows of a table.
    Errors(Arc<Table>),
}

/// A statement that can be planned.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The statement.
    pub(super) statement: Statement,
    /// Its tables.
    pub(super) tables: StatementTables,
    /// What a session has seen once it is answered.
    pub(super) ends: BTreeMap<StreamId, Offset>,
    /// Why names were not found. Not each is a table's: the engine decides.
    pub(super) missing: BTreeMap<(String, String), ReadError>,
    /// Whether it reads nothing but what the server says of itself.
    pub(super) is_of_the_server: bool,
}

/// Resolves and pins what `statement` reads.
pub(super) async fn prepare(
    mut statement: Statement,
    sources: &Sources<'_>,
    freshness: Freshness,
    seen: &SessionVector,
    pins: &Arc<QueryPins>,
) -> Result<Prepared, ReadError> {
    let mut missing = BTreeMap::new();
    let resolved = resolve(&statement, sources, &mut missing).await?;
    let named = hidden::named(&statement);
    let is_table = |name: &ObjectName| is_rows(name, sources.database, &resolved);
    hidden::leave_out(&mut statement, &named, &is_table).map_err(ReadError::invalid)?;
    let is_of_the_server = !resolved.is_empty() && resolved.values().all(|of| matches!(of, Resolved::Virtual(_)));
    let pinned = pin(&resolved, sources, freshness, seen, pins).await?;
    let mut tables = BTreeMap::new();
    for (name, of) in resolved {
        let provider: Arc<dyn TableProvider> = match of {
            Resolved::Virtual(provider) => provider,
            Resolved::Rows(table) => {
                let pinned = Arc::clone(&pinned[&table.id]);
                Arc::new(TableView::rows(pinned, &named, sources.readers.clone()))
            }
            Resolved::Errors(table) => {
                let pinned = Arc::clone(&pinned[&table.id]);
                Arc::new(TableView::errors(pinned, sources.readers.clone()))
            }
        };
        tables.insert(name, provider);
    }
    let ends = pinned.values().flat_map(|table| table.ends.clone()).collect();
    Ok(Prepared { statement, tables: StatementTables::new(tables), ends, missing, is_of_the_server })
}

/// The statement's tables, by name.
async fn resolve(
    statement: &Statement,
    sources: &Sources<'_>,
    missing: &mut BTreeMap<(String, String), ReadError>,
) -> Result<BTreeMap<(String, String), Resolved>, ReadError> {
    let (references, _) = resolve_table_references(&EngineStatement::Statement(Box::new(statement.clone())), false)?;
    let mut resolved = BTreeMap::new();
    for reference in references {
        let ResolvedTableReference { catalog, schema, table } = reference.resolve(CATALOG, sources.database);
        let name = key(&schema, &table);
        if !catalog.eq_ignore_ascii_case(CATALOG) || resolved.contains_key(&name) {
            continue;
        }
        match resolve_one(&schema, &table, sources).await {
            Ok(of) => drop(resolved.insert(name, of)),
            Err(error @ ReadError::UnknownTable { .. }) => drop(missing.insert(name, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(resolved)
}

async fn resolve_one(database: &str, name: &str, sources: &Sources<'_>) -> Result<Resolved, ReadError> {
    if let Some((database, schema)) = sources.schemas.iter().find(|(other, _)| other.eq_ignore_ascii_case(database)) {
        let names = schema.table_names();
        let spelled = names.iter().find(|other| other.eq_ignore_ascii_case(name)).map_or(name, String::as_str);
        return match schema.table(spelled).await? {
            Some(provider) => Ok(Resolved::Virtual(provider)),
            None => Err(ReadError::UnknownTable { what: format!("table `{database}`.`{name}`") }),
        };
    }
    let suffix_at = name.len().checked_sub(ERRORS_SUFFIX.len());
    match suffix_at.and_then(|at| name.split_at_checked(at)) {
        Some((table, suffix)) if suffix.eq_ignore_ascii_case(ERRORS_SUFFIX) => {
            Ok(Resolved::Errors(sources.resolver.resolve(database, table).await?))
        }
        _ => Ok(Resolved::Rows(sources.resolver.resolve(database, name).await?)),
    }
}

/// Whether `name` means rows of a table, which has hidden columns.
fn is_rows(name: &ObjectName, database: &str, resolved: &BTreeMap<(String, String), Resolved>) -> bool {
    let parts: Vec<&str> = name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect();
    let reference = match parts.as_slice() {
        [table] => TableReference::bare(*table),
        [schema, table] => TableReference::partial(*schema, *table),
        [catalog, schema, table] => TableReference::full(*catalog, *schema, *table),
        _ => return false,
    };
    let of = reference.resolve(CATALOG, database);
    matches!(resolved.get(&key(&of.schema, &of.table)), Some(Resolved::Rows(_)))
}

/// Pins each table once, however often the statement names it or its error table.
async fn pin(
    resolved: &BTreeMap<(String, String), Resolved>,
    sources: &Sources<'_>,
    freshness: Freshness,
    seen: &SessionVector,
    pins: &Arc<QueryPins>,
) -> Result<BTreeMap<TableId, Arc<PinnedTable>>, ReadError> {
    let ids: BTreeSet<TableId> = resolved
        .values()
        .filter_map(|of| match of {
            Resolved::Virtual(_) => None,
            Resolved::Rows(table) | Resolved::Errors(table) => Some(table.id),
        })
        .collect();
    let mut pinned = BTreeMap::new();
    for id in ids {
        pinned.insert(id, Arc::new(sources.snapshots.pin(id, freshness, seen, pins).await?));
    }
    Ok(pinned)
}
