//! MySQL's expressions in words that the engine knows: session functions and `@@variables` become literals, some operators
//! and functions become others. What needs functions of our own is not here.

mod dates;
mod expressions;
mod functions;
mod having;

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use datafusion::sql::sqlparser::ast::{
    DataType, Expr, FunctionArguments, ObjectNamePart, Query, Select, SelectItem, Statement, TableFactor, TimezoneInfo,
    TypedString, Value as Literal, VisitorMut,
};
use warehouse::walk::walk_mut;

pub(crate) use functions::FUNCTIONS;

use super::diagnostics::Diagnostics;
use super::variables::{Value, Variables, unknown};
use crate::mysql::SqlError;

/// What a statement may ask of its session.
#[derive(Debug)]
pub(crate) struct SessionValues<'a> {
    pub(crate) database: Option<&'a str>,
    /// `root@host`.
    pub(crate) user: &'a str,
    pub(crate) connection_id: u32,
    pub(crate) variables: &'a Variables,
    pub(crate) diagnostics: &'a Diagnostics,
    /// One moment for all of a statement.
    pub(crate) now: DateTime<Utc>,
}

/// Rewrites `statement` in place.
pub(crate) fn rewrite(statement: &mut Statement, session: &SessionValues<'_>) -> Result<(), SqlError> {
    let mut rewriter = Rewriter { session, pipes_concat: session.variables.pipes_concat() };
    match walk_mut(statement, &mut rewriter) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Rewriter<'a> {
    session: &'a SessionValues<'a>,
    pipes_concat: bool,
}

impl VisitorMut for Rewriter<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        // FOR UPDATE: a snapshot needs no locks.
        query.locks.clear();
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        if is_dual(select) {
            select.from.clear();
        }
        select.select_modifiers = None;
        select.optimizer_hints.clear();
        if let Some(into) = &select.into {
            let what = format!("SELECT … INTO {}; read the rows, and write them where they belong", into.name);
            return ControlFlow::Break(SqlError::not_supported(&what));
        }
        ControlFlow::Continue(())
    }

    // Once the items are rewritten: `DATABASE(), SCHEMA()` is the same literal twice.
    fn post_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        having::rewrite(select);
        tell_apart(&mut select.projection);
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        if let TableFactor::Table { index_hints, .. } = factor {
            index_hints.clear();
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match self.replacement(expr) {
            Ok(Some(replacement)) => *expr = replacement,
            Ok(None) => expressions::rewrite(expr, self.pipes_concat),
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl Rewriter<'_> {
    /// What stands for an expression: a literal for what only the session knows, the engine's words for a date's parts.
    fn replacement(&self, expr: &Expr) -> Result<Option<Expr>, SqlError> {
        match expr {
            Expr::Identifier(name) if name.value.starts_with("@@") => self.variable(&name.value[2..], false).map(Some),
            Expr::Identifier(name) if name.value.starts_with('@') => {
                Ok(Some(literal(&self.session.variables.user(&name.value[1..]))))
            }
            // The one function that needs no parentheses and that the parser takes for a name.
            Expr::Identifier(name) if name.quote_style.is_none() && name.value.eq_ignore_ascii_case("current_user") => {
                Ok(functions::of_session("current_user", &[], self.session))
            }
            Expr::CompoundIdentifier(names) if names[0].value.starts_with("@@") => {
                let scopes = ["@@session", "@@global", "@@local"];
                match names.as_slice() {
                    [scope, name] if scopes.iter().any(|known| known.eq_ignore_ascii_case(&scope.value)) => {
                        self.variable(&name.value, scope.value.eq_ignore_ascii_case("@@global")).map(Some)
                    }
                    _ => Err(unknown(expr.to_string().trim_start_matches('@'))),
                }
            }
            // Texts compare by their bytes: as the collations do that say so, and no others.
            Expr::Collate { expr, collation } => match collation.0.last().and_then(ObjectNamePart::as_ident) {
                Some(name) if is_of_bytes(&name.value) => Ok(Some(expr.as_ref().clone())),
                _ => Err(SqlError::not_supported(&format!(
                    "COLLATE {collation}: texts compare by their bytes; compare LOWER(…) of both"
                ))),
            },
            Expr::Function(function) => match function.name.0.as_slice() {
                [ObjectNamePart::Identifier(name)] => {
                    let arguments = match &function.args {
                        FunctionArguments::List(list) => list.args.as_slice(),
                        _ => &[],
                    };
                    let name = name.value.to_ascii_lowercase();
                    match functions::of_session(&name, arguments, self.session) {
                        Some(value) => Ok(Some(value)),
                        None => dates::rewritten(&name, function),
                    }
                }
                _ => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// The session's value, or the one that sessions begin with.
    fn variable(&self, name: &str, global: bool) -> Result<Expr, SqlError> {
        let name = name.to_ascii_lowercase();
        let count = |count: u64| Value::Int(i64::try_from(count).unwrap_or(i64::MAX));
        let value = match name.as_str() {
            "warning_count" => Some(count(self.session.diagnostics.count())),
            "error_count" => Some(count(self.session.diagnostics.error_count())),
            _ if global => self.session.variables.global(&name),
            _ => self.session.variables.get(&name),
        };
        match value {
            // MySQL shows switches as numbers here, and as words in SHOW VARIABLES.
            Some(Value::Bool(on)) => Ok(literal(&Value::Int(i64::from(on)))),
            Some(value) => Ok(literal(&value)),
            None => Err(unknown(&name)),
        }
    }
}

/// `FROM dual` is MySQL for no FROM.
fn is_dual(select: &Select) -> bool {
    let [table] = select.from.as_slice() else { return false };
    let TableFactor::Table { name, args: None, .. } = &table.relation else { return false };
    table.joins.is_empty()
        && matches!(name.0.as_slice(), [ObjectNamePart::Identifier(ident)] if ident.value.eq_ignore_ascii_case("dual"))
}

/// The engine wants every column of a SELECT list to have a name of its own, and has one name for what reads differently: `a`
/// and `t.a`, `a + 1` and `t.a + 1`, any two subqueries. MySQL wants nothing (`SELECT 1, 1`). So expressions after the first
/// are named by their text.
fn tell_apart(projection: &mut [SelectItem]) {
    let mut seen: Vec<(String, Named)> = Vec::with_capacity(projection.len());
    for item in projection {
        let Some((shown, named)) = name_of(item) else { continue };
        let before =
            seen.iter().filter(|(known, as_what)| *known == shown || named.may_be(*as_what, &shown, known)).count();
        let is_later_expression =
            named == Named::Expression && seen.iter().any(|(_, named)| *named == Named::Expression);
        seen.push((shown.clone(), named));
        let name = match (before, is_later_expression) {
            (0, false) => continue,
            (0, true) => super::resolve::exact(shown),
            (before, _) => super::resolve::exact(format!("{shown}:{}", before + 1)),
        };
        match item {
            SelectItem::UnnamedExpr(expr) => *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: name },
            SelectItem::ExprWithAlias { alias, .. } => *alias = name,
            _ => {}
        }
    }
}

/// How an item of a SELECT list comes to its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    /// A column without its table.
    Bare,
    /// A column with its table.
    Qualified,
    /// By AS, or by the literal that it is.
    Itself,
    /// By the engine.
    Expression,
}

impl Named {
    /// Whether two columns, one without its table, may be the same one.
    fn may_be(self, other: Self, shown: &str, known: &str) -> bool {
        let last = |name: &str| name.rsplit('.').next().unwrap_or_default().trim_matches('`').to_owned();
        matches!((self, other), (Self::Bare, Self::Qualified) | (Self::Qualified, Self::Bare))
            && last(shown) == last(known)
    }
}

fn name_of(item: &SelectItem) -> Option<(String, Named)> {
    let expr = match item {
        SelectItem::UnnamedExpr(expr) => expr,
        SelectItem::ExprWithAlias { alias, .. } => return Some((alias.value.to_ascii_lowercase(), Named::Itself)),
        _ => return None,
    };
    let named = |name: String, named| Some((name.to_ascii_lowercase(), named));
    match uncast(expr) {
        column @ Expr::Identifier(_) => named(column.to_string(), Named::Bare),
        column @ Expr::CompoundIdentifier(_) => named(column.to_string(), Named::Qualified),
        Expr::Value(value) => named(value.to_string(), Named::Itself),
        Expr::TypedString(typed) => named(typed.value.to_string(), Named::Itself),
        _ => named(expr.to_string(), Named::Expression),
    }
}

/// The engine names a cast by what is cast.
fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast { expr, .. } | Expr::Nested(expr) => uncast(expr),
        expr => expr,
    }
}

/// Whether a collation compares by bytes.
fn is_of_bytes(collation: &str) -> bool {
    let collation = collation.to_ascii_lowercase();
    collation == "binary" || collation.ends_with("_bin")
}

/// `CAST(expr AS data_type)`.
pub(crate) fn cast_to(expr: Expr, data_type: DataType) -> Expr {
    expressions::cast(Box::new(expr), data_type)
}

/// A value as a literal.
pub(crate) fn literal(value: &Value) -> Expr {
    let literal = match value {
        Value::Null => Literal::Null,
        Value::Bool(value) => Literal::Boolean(*value),
        Value::Int(value) if *value < 0 => {
            let magnitude = Expr::value(Literal::Number(value.unsigned_abs().to_string(), false));
            return Expr::UnaryOp {
                op: datafusion::sql::sqlparser::ast::UnaryOperator::Minus,
                expr: Box::new(magnitude),
            };
        }
        Value::Int(value) => Literal::Number(value.to_string(), false),
        Value::Float(value) => Literal::Number(format!("{value:?}"), false),
        Value::Text(text) => Literal::SingleQuotedString(text.clone()),
    };
    Expr::value(literal)
}

/// A moment as a DATETIME literal with that many digits of a second.
fn moment(now: DateTime<Utc>, digits: usize) -> Expr {
    let mut text = now.naive_utc().format("%Y-%m-%d %H:%M:%S%.6f").to_string();
    text.truncate(if digits == 0 { 19 } else { 20 + digits.min(6) });
    typed(DataType::Timestamp(None, TimezoneInfo::None), text)
}

/// `data_type 'text'`.
pub(crate) fn typed(data_type: DataType, text: String) -> Expr {
    let value = Literal::SingleQuotedString(text).into();
    Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })
}

#[cfg(test)]
mod tests;
