//! The columns of a query: each gets the spelling of its table, and so does an alias of the same name, so that a name has one
//! spelling all over a query. How an answer is headed was taken from the text before.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, NamedWindowDefinition, NamedWindowExpr, ObjectName, ObjectNamePart,
    Query, Select, SelectItem, SelectItemQualifiedWildcardKind, Statement, TableAlias, TableFactor, TableWithJoins,
    VisitorMut, WindowType,
};
use warehouse::walk::walk_mut;

use super::{Relation, RelationKey, exact};

/// Spells every column and every alias in `statement`.
pub(super) fn rename(
    statement: &mut Statement,
    relations: &BTreeMap<RelationKey, Relation>,
    aliases: &BTreeMap<String, Arc<Vec<String>>>,
) {
    let mut spelling = Spelling { known: BTreeMap::new(), aliases };
    for column in relations.values().flat_map(|relation| relation.columns.iter()) {
        spelling.learn(column);
    }
    let _: ControlFlow<()> = walk_mut(statement, &mut Learner(&mut spelling));
    let _: ControlFlow<()> = walk_mut(statement, &mut spelling);
}

/// How names are spelled: of several spellings of one name the first stands, unless another was typed exactly.
struct Spelling<'a> {
    known: BTreeMap<String, Vec<String>>,
    aliases: &'a BTreeMap<String, Arc<Vec<String>>>,
}

impl Spelling<'_> {
    fn learn(&mut self, name: &str) {
        let spellings = self.known.entry(name.to_ascii_lowercase()).or_default();
        if !spellings.iter().any(|known| known == name) {
            spellings.push(name.to_owned());
        }
    }

    fn learn_alias(&mut self, name: &str) {
        if !self.known.contains_key(&name.to_ascii_lowercase()) {
            self.learn(name);
        }
    }

    fn spell(&self, ident: &mut Ident) {
        let Some(spellings) = self.known.get(&ident.value.to_ascii_lowercase()) else { return };
        let spelling = spellings.iter().find(|known| **known == ident.value).unwrap_or(&spellings[0]);
        set(ident, spelling.clone());
    }

    /// A column of the table behind `qualifier`.
    fn spell_of(&self, qualifier: &str, ident: &mut Ident) {
        let columns = self.aliases.get(&qualifier.to_ascii_lowercase());
        let column = columns.and_then(|columns| columns.iter().find(|name| name.eq_ignore_ascii_case(&ident.value)));
        match column {
            Some(column) => set(ident, column.clone()),
            None => self.spell(ident),
        }
    }

    fn spell_alias(&self, alias: &mut TableAlias) {
        lower(&mut alias.name);
        for column in &mut alias.columns {
            self.spell(&mut column.name);
        }
    }

    fn spell_joins(&self, tables: &mut TableWithJoins) {
        for join in &mut tables.joins {
            if let Some(JoinConstraint::Using(columns)) = constraint(&mut join.join_operator) {
                for part in columns.iter_mut().flat_map(|column| column.0.iter_mut()) {
                    if let ObjectNamePart::Identifier(ident) = part {
                        self.spell(ident);
                    }
                }
            }
        }
    }
}

fn constraint(operator: &mut JoinOperator) -> Option<&mut JoinConstraint> {
    match operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint)
        | JoinOperator::CrossJoin(constraint)
        | JoinOperator::StraightJoin(constraint)
        | JoinOperator::Semi(constraint)
        | JoinOperator::LeftSemi(constraint)
        | JoinOperator::RightSemi(constraint)
        | JoinOperator::Anti(constraint)
        | JoinOperator::LeftAnti(constraint)
        | JoinOperator::RightAnti(constraint)
        | JoinOperator::AsOf { constraint, .. } => Some(constraint),
        JoinOperator::CrossApply
        | JoinOperator::OuterApply
        | JoinOperator::ArrayJoin
        | JoinOperator::LeftArrayJoin
        | JoinOperator::InnerArrayJoin => None,
    }
}

fn set(ident: &mut Ident, name: String) {
    ident.value = name;
    ident.quote_style = Some('`');
}

/// Names of tables within a query are in lower case.
fn lower(ident: &mut Ident) {
    set(ident, ident.value.to_ascii_lowercase());
}

/// Learns the names that the query itself gives, where no column has them.
struct Learner<'a, 'b>(&'a mut Spelling<'b>);

impl VisitorMut for Learner<'_, '_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter().flat_map(|with| with.cte_tables.iter()) {
            cte.alias.columns.iter().for_each(|column| self.0.learn_alias(&column.name.value));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &select.projection {
            if let SelectItem::ExprWithAlias { alias, .. } = item {
                self.0.learn_alias(&alias.value);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Derived { alias: Some(alias), .. } | TableFactor::Table { alias: Some(alias), .. } = factor
        {
            alias.columns.iter().for_each(|column| self.0.learn_alias(&column.name.value));
        }
        ControlFlow::Continue(())
    }
}

impl VisitorMut for Spelling<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for cte in query.with.iter_mut().flat_map(|with| with.cte_tables.iter_mut()) {
            self.spell_alias(&mut cte.alias);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.spell(alias),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => unqualify(name),
                _ => {}
            }
        }
        select.from.iter_mut().for_each(|tables| self.spell_joins(tables));
        for NamedWindowDefinition(name, meaning) in &mut select.named_window {
            lower(name);
            if let NamedWindowExpr::NamedWindow(other) = meaning {
                lower(other);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, alias, args, .. } => {
                // A common table expression: the tables are `database.table` by now, and functions keep their name.
                if let ([ObjectNamePart::Identifier(ident)], None) = (name.0.as_mut_slice(), args) {
                    lower(ident);
                }
                alias.iter_mut().for_each(|alias| self.spell_alias(alias));
            }
            TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. } => alias.iter_mut().for_each(|alias| self.spell_alias(alias)),
            TableFactor::NestedJoin { table_with_joins, alias } => {
                alias.iter_mut().for_each(|alias| self.spell_alias(alias));
                self.spell_joins(table_with_joins);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(ident) => self.spell(ident),
            Expr::CompoundIdentifier(idents) if idents.len() >= 2 => {
                // `database.table.column`: the table's alias is its name alone.
                let surplus = idents.len() - 2;
                idents.drain(..surplus);
                let qualifier = idents[0].value.clone();
                lower(&mut idents[0]);
                self.spell_of(&qualifier, &mut idents[1]);
            }
            Expr::Function(function) => match &mut function.over {
                Some(WindowType::NamedWindow(name)) => lower(name),
                Some(WindowType::WindowSpec(window)) => window.window_name.iter_mut().for_each(lower),
                None => {}
            },
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `database.table.*` is `table.*`.
fn unqualify(name: &mut ObjectName) {
    if let Some(ObjectNamePart::Identifier(ident)) = name.0.last() {
        *name = ObjectName::from(vec![exact(ident.value.to_ascii_lowercase())]);
    }
}
