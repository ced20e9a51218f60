//! Names are compared without regard to case, and shown as typed; the engine compares them exactly. So each name of a
//! statement gets one spelling: that of the table's column if there is one, or else the first one typed.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, JoinConstraint, JoinOperator, ObjectName, ObjectNamePart, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, Statement, TableAlias, TableFactor, TableWithJoins, VisitMut, VisitorMut,
    WindowType,
};

/// The spellings of one statement.
#[derive(Clone, Debug, Default)]
pub(super) struct Spelling {
    known: BTreeMap<String, String>,
}

impl Spelling {
    /// None yet.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Spells `name` like this, unless it has a spelling already.
    pub(super) fn know(&mut self, name: &str) {
        self.known.entry(name.to_ascii_lowercase()).or_insert_with(|| name.to_owned());
    }

    /// How `name` is spelled in this statement.
    pub(super) fn spell(&self, name: &str) -> String {
        self.known.get(&name.to_ascii_lowercase()).map_or_else(|| name.to_owned(), String::clone)
    }

    /// Respells every name in the statement.
    pub(super) fn apply(&mut self, statement: &mut Statement) {
        let _: ControlFlow<()> = statement.visit(self);
    }

    fn ident(&mut self, ident: &mut Ident) {
        self.know(&ident.value);
        ident.value = self.spell(&ident.value);
    }

    fn object(&mut self, name: &mut ObjectName) {
        for part in &mut name.0 {
            if let ObjectNamePart::Identifier(ident) = part {
                self.ident(ident);
            }
        }
    }

    fn alias(&mut self, alias: Option<&mut TableAlias>) {
        let Some(alias) = alias else { return };
        self.ident(&mut alias.name);
        for column in &mut alias.columns {
            self.ident(&mut column.name);
        }
    }

    fn joins(&mut self, tables: &mut TableWithJoins) {
        for join in &mut tables.joins {
            if let Some(JoinConstraint::Using(columns)) = constraint_mut(&mut join.join_operator) {
                columns.iter_mut().for_each(|column| self.object(column));
            }
        }
    }
}

/// What two tables are joined on.
fn constraint_mut(join: &mut JoinOperator) -> Option<&mut JoinConstraint> {
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

impl VisitorMut for Spelling {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        for common in query.with.iter_mut().flat_map(|with| &mut with.cte_tables) {
            self.alias(Some(&mut common.alias));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        for item in &mut select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.ident(alias),
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                    self.object(name)
                }
                _ => {}
            }
        }
        select.from.iter_mut().for_each(|tables| self.joins(tables));
        select.named_window.iter_mut().for_each(|window| self.ident(&mut window.0));
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { alias, .. }
            | TableFactor::Derived { alias, .. }
            | TableFactor::TableFunction { alias, .. }
            | TableFactor::Function { alias, .. }
            | TableFactor::UNNEST { alias, .. } => self.alias(alias.as_mut()),
            TableFactor::NestedJoin { table_with_joins, alias } => {
                self.alias(alias.as_mut());
                self.joins(table_with_joins);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        self.object(relation);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        match expression {
            Expr::Identifier(ident) => self.ident(ident),
            Expr::CompoundIdentifier(idents) => idents.iter_mut().for_each(|ident| self.ident(ident)),
            Expr::QualifiedWildcard(name, _) => self.object(name),
            Expr::Function(function) => match &mut function.over {
                Some(WindowType::NamedWindow(ident)) => self.ident(ident),
                Some(WindowType::WindowSpec(window)) => {
                    window.window_name.iter_mut().for_each(|ident| self.ident(ident))
                }
                None => {}
            },
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::MySqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn respelled(sql: &str, known: &[&str]) -> String {
        let mut statement = Parser::parse_sql(&MySqlDialect {}, sql).unwrap().remove(0);
        let mut spelling = Spelling::new();
        known.iter().for_each(|name| spelling.know(name));
        spelling.apply(&mut statement);
        statement.to_string()
    }

    #[test]
    fn a_column_is_spelled_like_the_tables_and_an_alias_like_the_first_one_typed() {
        assert_eq!(
            respelled(
                "SELECT USERID AS Total, T.`userid` FROM Clicks AS t WHERE userId > 1 ORDER BY TOTAL",
                &["UserId"]
            ),
            "SELECT UserId AS Total, T.`UserId` FROM Clicks AS T WHERE UserId > 1 ORDER BY Total"
        );
    }

    #[test]
    fn common_tables_joins_and_windows_are_respelled_too() {
        assert_eq!(
            respelled(
                "WITH C AS (SELECT 1 AS k) SELECT sum(K) OVER W, c.* FROM c JOIN d USING (K) WINDOW w AS (ORDER BY k)",
                &[]
            ),
            "WITH C AS (SELECT 1 AS k) SELECT sum(k) OVER w, C.* FROM C JOIN d USING(k) WINDOW w AS (ORDER BY k)"
        );
    }

    #[test]
    fn functions_and_strings_keep_what_was_typed() {
        assert_eq!(respelled("SELECT Count(A), 'A' FROM t", &["a", "COUNT"]), "SELECT Count(a), 'A' FROM t");
    }
}
