//! The tables of a query. Owns what a name in FROM means: a common table expression in whose scope it stands, or a table.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    ObjectName, ObjectNamePart, Query, Statement, TableAlias, TableFactor, VisitorMut,
};
use warehouse::walk::walk_mut;

use super::{Relation, RelationKey, exact};
use crate::mysql::SqlError;

/// Table functions of the engine that may stand in FROM.
const TABLE_FUNCTIONS: [&str; 3] = ["generate_series", "range", "unnest"];

/// The tables that `statement` reads, as typed.
pub(super) fn wanted(
    statement: &mut Statement,
    database: Option<&str>,
) -> Result<BTreeSet<(String, String)>, SqlError> {
    let mut wanted = BTreeSet::new();
    walk(statement, |name, _, is_call| {
        let (typed_database, table) = parts(name)?;
        if is_call {
            return check_function(&table);
        }
        match typed_database.or_else(|| database.map(str::to_owned)) {
            Some(database) => wanted.insert((database, table)),
            None => return Err(SqlError::no_database_selected()),
        };
        Ok(())
    })?;
    Ok(wanted)
}

/// Spells every table as it is kept, and gives it an alias; returns the columns behind each alias of a table.
pub(super) fn rename(
    statement: &mut Statement,
    database: Option<&str>,
    relations: &BTreeMap<RelationKey, Relation>,
) -> BTreeMap<String, Arc<Vec<String>>> {
    let mut aliases = BTreeMap::new();
    let walked = walk(statement, |name, alias, is_call| {
        let (typed_database, table) = parts(name)?;
        let database = typed_database.as_deref().or(database).unwrap_or_default().to_ascii_lowercase();
        let Some(relation) = relations.get(&(database, table.to_ascii_lowercase())).filter(|_| !is_call) else {
            return Ok(());
        };
        *name = ObjectName::from(vec![exact(&relation.database), exact(&relation.table)]);
        let alias = alias.get_or_insert_with(|| TableAlias {
            explicit: true,
            name: exact(table.to_ascii_lowercase()),
            columns: Vec::new(),
            at: None,
        });
        if alias.columns.is_empty() {
            aliases.entry(alias.name.value.to_ascii_lowercase()).or_insert_with(|| Arc::clone(&relation.columns));
        }
        Ok(())
    });
    walked.expect("the same walk has gone through before");
    aliases
}

fn check_function(name: &str) -> Result<(), SqlError> {
    if TABLE_FUNCTIONS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(SqlError::no_such_function(name, "no function of that name stands in FROM"))
}

/// `[database.]table`.
fn parts(name: &ObjectName) -> Result<(Option<String>, String), SqlError> {
    let idents: Option<Vec<&str>> = name
        .0
        .iter()
        .map(|part| match part {
            ObjectNamePart::Identifier(ident) => Some(ident.value.as_str()),
            ObjectNamePart::Function(_) => None,
        })
        .collect();
    match idents.as_deref() {
        Some([table]) => Ok((None, (*table).to_owned())),
        Some([database, table]) => Ok((Some((*database).to_owned()), (*table).to_owned())),
        _ => Err(SqlError::syntax(&format!("{name} is not the name of a table; write database.table"))),
    }
}

/// What is done with a table in FROM: its name, its alias, and whether it is called like a function.
trait AtTable: FnMut(&mut ObjectName, &mut Option<TableAlias>, bool) -> Result<(), SqlError> {}
impl<F: FnMut(&mut ObjectName, &mut Option<TableAlias>, bool) -> Result<(), SqlError>> AtTable for F {}

/// Calls `at_table` for every name in FROM that is not that of a common table expression in scope.
fn walk(statement: &mut Statement, at_table: impl AtTable) -> Result<(), SqlError> {
    let mut walker = Walker { at_table, scopes: Vec::new(), depth: 0 };
    match walk_mut(statement, &mut walker) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// The common table expressions of one WITH. A later one sees the earlier ones; the query sees all.
struct Scope {
    names: Vec<String>,
    recursive: bool,
    /// At which depth the query stands that they belong to.
    depth: usize,
    /// How many of their bodies have been begun.
    begun: usize,
    /// How many of the names can be used here.
    visible: usize,
}

struct Walker<F> {
    at_table: F,
    scopes: Vec<Scope>,
    depth: usize,
}

impl<F: AtTable> Walker<F> {
    fn in_scope(&self, name: &ObjectName) -> bool {
        let [ObjectNamePart::Identifier(ident)] = name.0.as_slice() else { return false };
        self.scopes
            .iter()
            .any(|scope| scope.names[..scope.visible].iter().any(|known| known.eq_ignore_ascii_case(&ident.value)))
    }
}

impl<F: AtTable> VisitorMut for Walker<F> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        if let Some(scope) = self.scopes.last_mut() {
            // The bodies of a WITH are visited first, in their order.
            if scope.depth + 1 == self.depth && scope.begun < scope.names.len() {
                scope.begun += 1;
                scope.visible = if scope.recursive { scope.begun } else { scope.begun - 1 };
            }
        }
        if let Some(with) = &query.with {
            let names = with.cte_tables.iter().map(|cte| cte.alias.name.value.clone()).collect();
            self.scopes.push(Scope { names, recursive: with.recursive, depth: self.depth, begun: 0, visible: 0 });
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        if query.with.is_some() {
            self.scopes.pop();
        }
        self.depth -= 1;
        if let Some(scope) = self.scopes.last_mut() {
            if scope.depth == self.depth && scope.begun == scope.names.len() {
                scope.visible = scope.begun;
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        let TableFactor::Table { name, alias, args, .. } = factor else { return ControlFlow::Continue(()) };
        if args.is_none() && self.in_scope(name) {
            return ControlFlow::Continue(());
        }
        match (self.at_table)(name, alias, args.is_some()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }
}
