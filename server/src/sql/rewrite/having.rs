//! HAVING without groups: to MySQL a WHERE that knows the aliases of the SELECT list, and to the engine an error.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use datafusion::functions_aggregate::all_default_aggregate_functions;
use datafusion::logical_expr::AggregateUDF;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, GroupByExpr, ObjectNamePart, Query, Select, SelectItem, Visitor, VisitorMut,
};
use warehouse::walk::{walk, walk_mut};

/// What the engine calls its aggregates.
static AGGREGATES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let names = |aggregate: &Arc<AggregateUDF>| {
        let aliases = aggregate.aliases().iter().cloned();
        aliases.chain([aggregate.name().to_owned()]).map(|name| name.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    all_default_aggregate_functions().iter().flat_map(names).collect()
});

/// Makes a HAVING a WHERE where that is what it means. The expressions of `select` have been rewritten.
pub(super) fn rewrite(select: &mut Select) {
    let is_grouped =
        !matches!(&select.group_by, GroupByExpr::Expressions(by, with) if by.is_empty() && with.is_empty());
    if is_grouped || select.having.is_none() {
        return;
    }
    let items = select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    if !items.chain(&select.having).all(is_of_one_row) {
        return;
    }
    let Some(mut having) = select.having.take() else { return };
    let _: ControlFlow<()> = walk_mut(&mut having, &mut Aliases(&select.projection));
    select.selection = Some(match select.selection.take() {
        Some(selection) => Expr::BinaryOp { left: nested(selection), op: BinaryOperator::And, right: nested(having) },
        None => having,
    });
}

fn nested(expr: Expr) -> Box<Expr> {
    Box::new(Expr::Nested(Box::new(expr)))
}

/// Whether a value depends on one row alone. Of a subquery nothing is known.
fn is_of_one_row(expr: &Expr) -> bool {
    walk(expr, &mut OneRow).is_continue()
}

struct OneRow;

impl Visitor for OneRow {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        ControlFlow::Break(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(function) if is_aggregate(function) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn is_aggregate(function: &Function) -> bool {
    let name = match function.name.0.as_slice() {
        [ObjectNamePart::Identifier(name)] => name.value.to_ascii_lowercase(),
        _ => return function.over.is_some(),
    };
    function.over.is_some() || AGGREGATES.contains(&name)
}

/// Puts what an alias stands for in its place; a column of the same name is meant by its table's name alone, as in MySQL.
struct Aliases<'a>(&'a [SelectItem]);

impl VisitorMut for Aliases<'_> {
    type Break = ();

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        let Expr::Identifier(name) = &*expr else { return ControlFlow::Continue(()) };
        let meant = self.0.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if alias.value.eq_ignore_ascii_case(&name.value) => Some(expr),
            _ => None,
        });
        if let Some(meant) = meant {
            *expr = Expr::Nested(Box::new(meant.clone()));
        }
        ControlFlow::Continue(())
    }
}
