//! How deep a statement's syntax tree is, before anything recursive is done with it.
//!
//! Planning, cloning and dropping a tree take stack for each level. A tree that is too deep is refused, and taken apart
//! without recursion, so that no statement ends the process.

use std::mem;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, Statement, Value, Values, Visitor, VisitorMut};

use crate::walk::{walk, walk_mut};

/// Expressions inside each other. A chain `a OR b OR …` is one level an operator.
const EXPRESSIONS_MAX: usize = 1_100;
/// Queries inside each other, and set operations in one chain.
const QUERIES_MAX: usize = 500;
/// The stack of a thread on which statements are planned, in bytes: twice what the deepest that is let through takes. Untouched, it is
/// only an address range.
pub const STACK_BYTES: usize = 8 << 20;

/// WITH clauses inside each other: the engine looks through each of them once for every one around it, twice as often each.
const COMMON_MAX: usize = 8;

/// How the tree is too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TooDeep {
    /// Expressions.
    Expressions,
    /// Queries, or UNIONs.
    Queries,
    /// WITH clauses.
    Common,
}

impl TooDeep {
    /// What to tell.
    pub(super) fn message(self) -> String {
        match self {
            Self::Expressions => format!(
                "the statement nests more than {EXPRESSIONS_MAX} expressions inside each other, or chains as many operators: write `c IN (…)` in place of `c = … OR c = …`, or split the statement"
            ),
            Self::Queries => format!(
                "the statement nests more than {QUERIES_MAX} queries inside each other, or chains as many set operations: split the statement"
            ),
            Self::Common => format!(
                "the statement nests more than {COMMON_MAX} WITH clauses inside each other: write them one after the other in the outermost one"
            ),
        }
    }
}

/// The statement, if it is shallow enough to be worked with.
pub(super) fn shallow(mut statement: Box<Statement>) -> Result<Box<Statement>, TooDeep> {
    let mut measure = Measure::default();
    match walk(&*statement, &mut measure) {
        ControlFlow::Continue(()) => Ok(statement),
        ControlFlow::Break(too_deep) => {
            take_apart(&mut statement);
            Err(too_deep)
        }
    }
}

#[derive(Default)]
struct Measure {
    expressions: usize,
    queries: usize,
    common: usize,
}

impl Visitor for Measure {
    type Break = TooDeep;

    fn pre_visit_expr(&mut self, _expression: &Expr) -> ControlFlow<TooDeep> {
        self.expressions += 1;
        if self.expressions > EXPRESSIONS_MAX {
            ControlFlow::Break(TooDeep::Expressions)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn post_visit_expr(&mut self, _expression: &Expr) -> ControlFlow<TooDeep> {
        self.expressions -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<TooDeep> {
        self.queries += 1;
        let mut chained = 0;
        let mut body = query.body.as_ref();
        while let SetExpr::SetOperation { left, .. } = body {
            (body, chained) = (left, chained + 1);
        }
        self.common += usize::from(query.with.is_some());
        if self.common > COMMON_MAX {
            return ControlFlow::Break(TooDeep::Common);
        }
        if self.queries + chained > QUERIES_MAX {
            ControlFlow::Break(TooDeep::Queries)
        } else {
            ControlFlow::Continue(())
        }
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<TooDeep> {
        self.queries -= 1;
        self.common -= usize::from(query.with.is_some());
        ControlFlow::Continue(())
    }
}

/// Leaves a statement without anything deep in it. Each expression and each arm of a set operation is taken out of its
/// parent before it is dropped.
fn take_apart(statement: &mut Statement) {
    let mut apart = Apart::default();
    let _: ControlFlow<()> = walk_mut(statement, &mut apart);
    loop {
        if let Some(mut expression) = apart.expressions.pop() {
            apart.enter = true;
            let _: ControlFlow<()> = walk_mut(&mut expression, &mut apart);
            apart.enter = false;
        } else if let Some(mut body) = apart.bodies.pop() {
            match &mut body {
                SetExpr::SetOperation { left, right, .. } => {
                    apart.bodies.extend([taken(left), taken(right)]);
                }
                other => _ = walk_mut(other, &mut apart),
            }
        } else {
            return;
        }
    }
}

#[derive(Default)]
struct Apart {
    expressions: Vec<Expr>,
    bodies: Vec<SetExpr>,
    /// Whether the next expression is entered rather than taken: it has been taken already.
    enter: bool,
}

impl VisitorMut for Apart {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        if !mem::take(&mut self.enter) {
            let null = Expr::Value(Value::Null.into());
            self.expressions.push(mem::replace(expression, null));
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        self.bodies.push(taken(&mut query.body));
        ControlFlow::Continue(())
    }
}

fn taken(body: &mut SetExpr) -> SetExpr {
    mem::replace(body, SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() }))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::ast::BinaryOperator;
    use datafusion::sql::sqlparser::dialect::MySqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn parse(sql: &str) -> Box<Statement> {
        Box::new(Parser::parse_sql(&MySqlDialect {}, sql).unwrap().remove(0))
    }

    #[test]
    fn a_chain_of_20_000_operators_is_refused_and_dropped() {
        let chain = vec!["a = 1"; 20_000].join(" OR ");
        assert_eq!(shallow(parse(&format!("SELECT 1 FROM t WHERE {chain}"))).err(), Some(TooDeep::Expressions));
        assert_eq!(
            shallow(parse(&format!("SELECT (SELECT max(a) FROM t WHERE {chain})"))).err(),
            Some(TooDeep::Expressions)
        );
    }

    #[test]
    fn parentheses_are_counted_wherever_they_stand() {
        let mut deep = Expr::Value(Value::Null.into());
        for _ in 0..10_000 {
            deep = Expr::Nested(Box::new(deep));
        }
        let mut statement = parse("SELECT 1 WHERE f(1 + 2)");
        let mut replaced = false;
        let mut deep = Some(deep);
        let _ = datafusion::sql::sqlparser::ast::visit_expressions_mut(&mut *statement, |expression| {
            if let (Expr::BinaryOp { left, op: BinaryOperator::Plus, .. }, Some(deep)) = (expression, deep.take()) {
                **left = deep;
                replaced = true;
                return ControlFlow::Break(());
            }
            ControlFlow::<()>::Continue(())
        });
        if replaced {
            assert_eq!(shallow(statement).err(), Some(TooDeep::Expressions));
        }
    }

    #[test]
    fn a_chain_of_20_000_unions_is_refused_and_dropped() {
        let chain = vec!["SELECT 1"; 20_000].join(" UNION ALL ");
        assert_eq!(shallow(parse(&chain)).err(), Some(TooDeep::Queries));
    }

    #[test]
    fn common_tables_nested_in_each_other_are_counted() {
        let nested = (0..9).fold("SELECT 1".to_owned(), |inner, _| format!("WITH c AS ({inner}) SELECT * FROM c"));
        assert_eq!(shallow(parse(&nested)).err(), Some(TooDeep::Common));
    }

    #[test]
    fn what_people_write_is_shallow() {
        let chain = vec!["a = 1"; 1_000].join(" OR ");
        let statement =
            parse(&format!("WITH c AS (SELECT 1) SELECT * FROM t WHERE a IN (SELECT b FROM c) AND ({chain})"));
        assert!(shallow(statement).is_ok());
    }
}
