//! Walks over the syntax tree of a statement, or of a part of one.
//!
//! The parser's own `visit` is generic over the visitor, so that the walk through its whole grammar is compiled once for each of
//! them: with twenty visitors this was half of the code of the server's crate, and of the time that it took to compile. Here the
//! walk is compiled once, in this crate, and asks its visitor through a pointer.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, ObjectName, Query, Select, SetExpr, Statement, TableFactor, ValueWithSpan, Visit, VisitMut, Visitor,
    VisitorMut,
};

/// Shows `visitor` what stands in `node`, until it breaks off.
pub fn walk<V: Visitor>(node: &impl Walk, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut keeping = Keeping { visitor, broken: None };
    let _: ControlFlow<()> = node.walk(&mut keeping);
    keeping.broken.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// Shows `visitor` what stands in `node`, to be changed in place, until it breaks off.
pub fn walk_mut<V: VisitorMut>(node: &mut impl WalkMut, visitor: &mut V) -> ControlFlow<V::Break> {
    let mut keeping = Keeping { visitor, broken: None };
    let _: ControlFlow<()> = node.walk_mut(&mut keeping);
    keeping.broken.map_or(ControlFlow::Continue(()), ControlFlow::Break)
}

/// What can be walked through: for [`walk`].
pub trait Walk {
    #[doc(hidden)]
    fn walk(&self, visitor: &mut dyn Visitor<Break = ()>) -> ControlFlow<()>;
}

/// What can be walked through and changed: for [`walk_mut`].
pub trait WalkMut {
    #[doc(hidden)]
    fn walk_mut(&mut self, visitor: &mut dyn VisitorMut<Break = ()>) -> ControlFlow<()>;
}

macro_rules! walkable {
    ($($node:ident)*) => {
        $(
            impl Walk for $node {
                fn walk(&self, visitor: &mut dyn Visitor<Break = ()>) -> ControlFlow<()> {
                    Visit::visit(self, &mut Asking(visitor))
                }
            }

            impl WalkMut for $node {
                fn walk_mut(&mut self, visitor: &mut dyn VisitorMut<Break = ()>) -> ControlFlow<()> {
                    VisitMut::visit(self, &mut Asking(visitor))
                }
            }
        )*
    };
}

walkable! { Statement Query SetExpr Expr }

/// The one visitor that the walk is compiled for.
struct Asking<'a, V: ?Sized>(&'a mut V);

/// Keeps what a visitor breaks off with, so that all visitors break off alike.
struct Keeping<'a, V, B> {
    visitor: &'a mut V,
    broken: Option<B>,
}

impl<V, B> Keeping<'_, V, B> {
    fn keep(&mut self, flow: ControlFlow<B>) -> ControlFlow<()> {
        flow.map_break(|broken| self.broken = Some(broken))
    }
}

/// Calls the macro `$visit` with `$how`, and each call of a visitor with what it is shown.
macro_rules! each_visit {
    ($visit:ident $how:ident) => {
        each_visit! { @ $visit $how
            pre_visit_query Query, post_visit_query Query,
            pre_visit_select Select, post_visit_select Select,
            pre_visit_relation ObjectName, post_visit_relation ObjectName,
            pre_visit_table_factor TableFactor, post_visit_table_factor TableFactor,
            pre_visit_expr Expr, post_visit_expr Expr,
            pre_visit_statement Statement, post_visit_statement Statement,
            pre_visit_value ValueWithSpan, post_visit_value ValueWithSpan
        }
    };
    (@ $visit:ident $how:ident $($method:ident $node:ident),*) => { $($visit! { $how $method $node })* };
}

/// Hands a node on.
macro_rules! hand_on {
    (asking $method:ident $node:ident) => {
        fn $method(&mut self, node: &$node) -> ControlFlow<()> {
            self.0.$method(node)
        }
    };
    (asking_mut $method:ident $node:ident) => {
        fn $method(&mut self, node: &mut $node) -> ControlFlow<()> {
            self.0.$method(node)
        }
    };
    (keeping $method:ident $node:ident) => {
        fn $method(&mut self, node: &$node) -> ControlFlow<()> {
            let flow = self.visitor.$method(node);
            self.keep(flow)
        }
    };
    (keeping_mut $method:ident $node:ident) => {
        fn $method(&mut self, node: &mut $node) -> ControlFlow<()> {
            let flow = self.visitor.$method(node);
            self.keep(flow)
        }
    };
}

impl Visitor for Asking<'_, dyn Visitor<Break = ()> + '_> {
    type Break = ();

    each_visit! { hand_on asking }
}

impl VisitorMut for Asking<'_, dyn VisitorMut<Break = ()> + '_> {
    type Break = ();

    each_visit! { hand_on asking_mut }
}

impl<V: Visitor> Visitor for Keeping<'_, V, V::Break> {
    type Break = ();

    each_visit! { hand_on keeping }
}

impl<V: VisitorMut> VisitorMut for Keeping<'_, V, V::Break> {
    type Break = ();

    each_visit! { hand_on keeping_mut }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::dialect::MySqlDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    use super::*;

    fn parse(sql: &str) -> Statement {
        Parser::parse_sql(&MySqlDialect {}, sql).unwrap().remove(0)
    }

    /// Notes each call, and breaks off at an expression of that text.
    #[derive(Default)]
    struct Noting {
        seen: Vec<String>,
        until: &'static str,
    }

    macro_rules! note {
        (shared $method:ident $node:ident) => {
            fn $method(&mut self, node: &$node) -> ControlFlow<String> {
                self.note(stringify!($method), node.to_string())
            }
        };
        (exclusive $method:ident $node:ident) => {
            fn $method(&mut self, node: &mut $node) -> ControlFlow<String> {
                self.note(stringify!($method), node.to_string())
            }
        };
    }

    impl Noting {
        fn note(&mut self, method: &str, node: String) -> ControlFlow<String> {
            self.seen.push(format!("{method} {node}"));
            if node == self.until { ControlFlow::Break(node) } else { ControlFlow::Continue(()) }
        }
    }

    impl Visitor for Noting {
        type Break = String;

        each_visit! { note shared }
    }

    impl VisitorMut for Noting {
        type Break = String;

        each_visit! { note exclusive }
    }

    #[test]
    fn a_visitor_is_shown_what_the_parsers_own_walk_shows() {
        for (sql, until) in [
            (
                "WITH c AS (SELECT 1 + a FROM d.t) SELECT f(x, 'y') FROM c JOIN (SELECT 2) s WHERE x IN (SELECT b FROM u)",
                "",
            ),
            ("SELECT a, b, c FROM t WHERE a = 1 AND b = 2", "b"),
            ("INSERT INTO t (a) VALUES (1), (2 + 3)", "2 + 3"),
        ] {
            let (mut direct, mut ours) = (Noting { until, ..Noting::default() }, Noting { until, ..Noting::default() });
            let broken = Visit::visit(&parse(sql), &mut direct);
            assert_eq!(walk(&parse(sql), &mut ours), broken, "{sql}");
            assert_eq!(ours.seen, direct.seen, "{sql}");
            assert_eq!(broken.is_break(), !until.is_empty(), "{sql}");
            let (mut direct, mut ours) = (Noting { until, ..Noting::default() }, Noting { until, ..Noting::default() });
            let broken = VisitMut::visit(&mut parse(sql), &mut direct);
            assert_eq!(walk_mut(&mut parse(sql), &mut ours), broken, "{sql}");
            assert_eq!(ours.seen, direct.seen, "{sql}");
        }
    }
}
