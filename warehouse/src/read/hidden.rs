//! `_stream`, `_offset`, `_topic` and `_partition` can be named, and are no part of `*`.
//!
//! A table shows a statement those of them that it names anywhere. Where none is named, `*` is right by itself; otherwise
//! each `*` over a table is told to leave them out, while one over a subquery keeps what the subquery has selected.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    ExcludeSelectItem, Expr, Ident, JoinConstraint, JoinOperator, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Statement, TableFactor, TableWithJoins, Visitor, VisitorMut,
    WildcardAdditionalOptions,
};

use super::stream_columns::StreamColumn;
use crate::schema::{OFFSET_COLUMN, STREAM_COLUMN};
use crate::walk::{walk, walk_mut};

/// The columns that can be named and do not show.
pub(super) const HIDDEN: [&str; 4] =
    [STREAM_COLUMN, OFFSET_COLUMN, StreamColumn::TOPIC_NAME, StreamColumn::PARTITION_NAME];

fn hidden(name: &str) -> Option<&'static str> {
    HIDDEN.into_iter().find(|hidden| hidden.eq_ignore_ascii_case(name))
}

/// Which hidden columns the statement names.
pub(super) fn named(statement: &Statement) -> BTreeSet<&'static str> {
    let mut named = Named::default();
    let _: ControlFlow<()> = walk(statement, &mut named);
    named.0
}

#[derive(Default)]
struct Named(BTreeSet<&'static str>);

impl Named {
    fn using(&mut self, tables: &TableWithJoins) {
        for join in &tables.joins {
            if let Some(JoinConstraint::Using(columns)) = constraint(&join.join_operator) {
                self.0.extend(columns.iter().filter_map(last).filter_map(|ident| hidden(&ident.value)));
            }
        }
    }
}

impl Visitor for Named {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
        let name = match expression {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(idents) => idents.last(),
            _ => None,
        };
        self.0.extend(name.and_then(|ident| hidden(&ident.value)));
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        select.from.iter().for_each(|tables| self.using(tables));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            self.using(table_with_joins);
        }
        ControlFlow::Continue(())
    }
}

/// Why the columns cannot be left out.
pub(super) const NATURAL_JOIN: &str = "a NATURAL JOIN in a statement that names _stream, _offset, _topic or _partition would join on them as well: write JOIN … USING (…)";

/// Tells each `*` over tables to leave out the `named` columns. `is_table` says whether a name is that of a table which shows
/// them.
///
/// # Errors
/// [`NATURAL_JOIN`].
pub(super) fn leave_out(
    statement: &mut Statement,
    named: &BTreeSet<&'static str>,
    is_table: &dyn Fn(&ObjectName) -> bool,
) -> Result<(), &'static str> {
    if named.is_empty() {
        return Ok(());
    }
    let mut leave_out = LeaveOut { named, is_table, common: Vec::new() };
    match walk_mut(statement, &mut leave_out) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(message) => Err(message),
    }
}

struct LeaveOut<'a> {
    named: &'a BTreeSet<&'static str>,
    is_table: &'a dyn Fn(&ObjectName) -> bool,
    /// Common tables in scope: they hide tables of the same name.
    common: Vec<String>,
}

/// One thing in a FROM.
struct Relation {
    /// What its columns are qualified with, if anything.
    qualifier: Option<ObjectName>,
    /// Whether it shows hidden columns.
    table: bool,
    /// Columns that an earlier relation shows in its place: those of USING.
    merged: Vec<Ident>,
}

impl LeaveOut<'_> {
    fn relations(&self, tables: &TableWithJoins, found: &mut Vec<Relation>) -> ControlFlow<&'static str> {
        self.factor(&tables.relation, found)?;
        for join in &tables.joins {
            let before = found.len();
            self.factor(&join.relation, found)?;
            match constraint(&join.join_operator) {
                Some(JoinConstraint::Natural) if found.iter().any(|relation| relation.table) => {
                    return ControlFlow::Break(NATURAL_JOIN);
                }
                Some(JoinConstraint::Using(columns)) => {
                    let columns: Vec<Ident> = columns.iter().filter_map(last).cloned().collect();
                    found[before..].iter_mut().for_each(|relation| relation.merged.extend(columns.iter().cloned()));
                }
                _ => {}
            }
            match &join.join_operator {
                JoinOperator::Semi(_)
                | JoinOperator::LeftSemi(_)
                | JoinOperator::Anti(_)
                | JoinOperator::LeftAnti(_) => {
                    found.truncate(before);
                }
                JoinOperator::RightSemi(_) | JoinOperator::RightAnti(_) => drop(found.drain(..before)),
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn factor(&self, factor: &TableFactor, found: &mut Vec<Relation>) -> ControlFlow<&'static str> {
        let named_by = |ident: &Ident| ObjectName::from(vec![ident.clone()]);
        let relation = |qualifier, table| Relation { qualifier, table, merged: Vec::new() };
        match factor {
            TableFactor::Table { name, alias, args, .. } => {
                let qualifier = alias.as_ref().map_or_else(|| name.clone(), |alias| named_by(&alias.name));
                let common = name.0.len() == 1 && last(name).is_some_and(|ident| self.common.contains(&ident.value));
                found.push(relation(Some(qualifier), args.is_none() && !common && (self.is_table)(name)));
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => self.relations(table_with_joins, found)?,
            TableFactor::NestedJoin { alias: Some(alias), table_with_joins } => {
                let mut inside = Vec::new();
                self.relations(table_with_joins, &mut inside)?;
                let table = inside.iter().any(|relation| relation.table);
                found.push(relation(Some(named_by(&alias.name)), table));
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. } => {
                found.push(relation(alias.as_ref().map(|alias| named_by(&alias.name)), false));
            }
            _ => found.push(relation(None, false)),
        }
        ControlFlow::Continue(())
    }

    /// `options`, leaving out the hidden columns and `merged`.
    fn without(
        &self,
        mut options: WildcardAdditionalOptions,
        table: bool,
        merged: &[Ident],
    ) -> WildcardAdditionalOptions {
        let hidden = self.named.iter().filter(|_| table).map(|name| Ident::new(*name));
        let mut left_out: Vec<Ident> = Vec::new();
        for ident in hidden.chain(merged.iter().cloned()) {
            if left_out.iter().all(|other| other.value != ident.value) {
                left_out.push(ident);
            }
        }
        if !left_out.is_empty() && options.opt_exclude.is_none() {
            let names = left_out.into_iter().map(|ident| ObjectName::from(vec![ident])).collect();
            options.opt_exclude = Some(ExcludeSelectItem::Multiple(names));
        }
        options
    }

    fn expanded(&self, options: &WildcardAdditionalOptions, relations: &[Relation]) -> Vec<SelectItem> {
        match relations {
            [only] => vec![SelectItem::Wildcard(self.without(options.clone(), only.table, &[]))],
            several => several.iter().map(|relation| self.expanded_one(options, relation)).collect(),
        }
    }

    fn expanded_one(&self, options: &WildcardAdditionalOptions, relation: &Relation) -> SelectItem {
        let options = self.without(options.clone(), relation.table, &relation.merged);
        match &relation.qualifier {
            Some(name) => {
                let name = SelectItemQualifiedWildcardKind::ObjectName(name.clone());
                SelectItem::QualifiedWildcard(name, options)
            }
            None => SelectItem::Wildcard(options),
        }
    }
}

impl VisitorMut for LeaveOut<'_> {
    type Break = &'static str;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<&'static str> {
        let Some(with) = &mut query.with else { return ControlFlow::Continue(()) };
        for common in &mut with.cte_tables {
            // `WITH t AS (SELECT * FROM t)` reads the table: the name is in scope only after it.
            if !with.recursive {
                walk_mut(&mut *common.query, self)?;
            }
            self.common.push(common.alias.name.value.clone());
        }
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<&'static str> {
        let common = query.with.as_ref().map_or(0, |with| with.cte_tables.len());
        self.common.truncate(self.common.len() - common);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<&'static str> {
        let mut relations = Vec::new();
        for tables in &select.from {
            self.relations(tables, &mut relations)?;
        }
        if relations.iter().all(|relation| !relation.table) {
            return ControlFlow::Continue(());
        }
        for item in std::mem::take(&mut select.projection) {
            match item {
                SelectItem::Wildcard(options) => select.projection.extend(self.expanded(&options, &relations)),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
                    let of =
                        relations.iter().find(|relation| relation.qualifier.as_ref().is_some_and(|of| same(of, &name)));
                    let options = self.without(options, of.is_some_and(|relation| relation.table), &[]);
                    let name = SelectItemQualifiedWildcardKind::ObjectName(name);
                    select.projection.push(SelectItem::QualifiedWildcard(name, options));
                }
                other => select.projection.push(other),
            }
        }
        ControlFlow::Continue(())
    }
}

/// Whether a wildcard's name means that relation: `t.*` may stand for `d.t`.
fn same(relation: &ObjectName, wildcard: &ObjectName) -> bool {
    let values = |name: &ObjectName| -> Vec<String> {
        name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.clone()).collect()
    };
    values(relation).ends_with(&values(wildcard))
}

fn last(name: &ObjectName) -> Option<&Ident> {
    name.0.last().and_then(|part| part.as_ident())
}

/// What two tables are joined on.
fn constraint(join: &JoinOperator) -> Option<&JoinConstraint> {
    use JoinOperator as J;
    match join {
        J::Join(on)
        | J::Inner(on)
        | J::Left(on)
        | J::LeftOuter(on)
        | J::Right(on)
        | J::RightOuter(on)
        | J::FullOuter(on) => Some(on),
        J::CrossJoin(on) | J::Semi(on) | J::LeftSemi(on) | J::RightSemi(on) | J::StraightJoin(on) => Some(on),
        J::Anti(on) | J::LeftAnti(on) | J::RightAnti(on) | J::AsOf { constraint: on, .. } => Some(on),
        J::CrossApply | J::OuterApply | J::ArrayJoin | J::LeftArrayJoin | J::InnerArrayJoin => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::MySqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn rewritten(sql: &str) -> Result<String, &'static str> {
        let mut statement = Parser::parse_sql(&MySqlDialect {}, sql).unwrap().remove(0);
        let named = named(&statement);
        leave_out(&mut statement, &named, &|name| {
            last(name).is_some_and(|ident| ["t", "u"].contains(&ident.value.as_str()))
        })?;
        Ok(statement.to_string())
    }

    #[test]
    fn a_statement_that_names_no_hidden_column_stays_as_it_is() {
        for sql in ["SELECT * FROM t", "SELECT t.*, count(*) FROM t NATURAL JOIN u", "SELECT _stream1 FROM t"] {
            assert_eq!(rewritten(sql).unwrap(), sql);
        }
    }

    #[test]
    fn a_star_over_a_table_leaves_out_what_is_named_elsewhere() {
        let sql = "SELECT *, _offset FROM t WHERE t._STREAM = 1";
        assert_eq!(rewritten(sql).unwrap(), "SELECT * EXCLUDE (_offset, _stream), _offset FROM t WHERE t._STREAM = 1");
        let sql = "SELECT a.*, b.* FROM t AS a JOIN u AS b ON a._offset = b._offset";
        assert_eq!(
            rewritten(sql).unwrap(),
            "SELECT a.* EXCLUDE (_offset), b.* EXCLUDE (_offset) FROM t AS a JOIN u AS b ON a._offset = b._offset"
        );
    }

    #[test]
    fn a_star_over_several_relations_is_taken_apart() {
        let sql = "SELECT * FROM t JOIN (SELECT _stream FROM u) AS s USING (k) WHERE _offset > 0";
        assert_eq!(
            rewritten(sql).unwrap(),
            "SELECT t.* EXCLUDE (_offset, _stream), s.* EXCLUDE (k) FROM t JOIN (SELECT _stream FROM u) AS s USING(k) WHERE _offset > 0"
        );
    }

    #[test]
    fn a_star_over_a_subquery_keeps_what_was_selected() {
        for sql in [
            "SELECT * FROM (SELECT _stream, count(*) FROM t GROUP BY _stream) AS s",
            "WITH t AS (SELECT _topic FROM u) SELECT * FROM t",
        ] {
            assert_eq!(rewritten(sql).unwrap(), sql);
        }
        let sql = "WITH t AS (SELECT *, _topic FROM t) SELECT * FROM t";
        assert_eq!(rewritten(sql).unwrap(), "WITH t AS (SELECT * EXCLUDE (_topic), _topic FROM t) SELECT * FROM t");
    }

    #[test]
    fn a_natural_join_on_hidden_columns_is_refused() {
        assert_eq!(rewritten("SELECT a FROM t NATURAL JOIN u WHERE _offset = 1"), Err(NATURAL_JOIN));
    }
}
