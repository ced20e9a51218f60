//! A pipeline's SELECT as text, taken apart: which column each item is for, and whether it is a bare name.
//!
//! Owns the syntax. What names mean is the plan's, what expressions compute is DataFusion's.

use std::ops::ControlFlow;

use catalog::{Column, Pipeline, Table};
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, SelectItem, Visitor, WildcardAdditionalOptions};
use datafusion::sql::sqlparser::dialect::MySqlDialect;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::walk::walk;
use crate::write::decode::InvalidPipeline;
use crate::write::decode::reason::shown;

/// What a column is made from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A bare name: of a field of the record, or of what Kafka tells about it.
    Name(String),
    /// An expression.
    Expression(Expr),
}

/// One item of the SELECT list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    /// The name of the table's column that it is for.
    pub(super) column: String,
    /// What the column is made from.
    pub(super) value: Value,
    /// Where it stands, for messages.
    pub(super) place: String,
}

/// A SELECT list and its WHERE.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Select {
    /// One item a named column of the table; `*` is spelled out.
    pub(super) items: Vec<Item>,
    /// WHERE.
    pub(super) filter: Option<Expr>,
}

/// A refusal that names its place.
pub(super) fn invalid(place: &str, why: impl std::fmt::Display) -> InvalidPipeline {
    InvalidPipeline { message: format!("{place}: {why}") }
}

impl Select {
    /// The SELECT of `pipeline`, which writes `table`.
    pub(super) fn parse(table: &Table, pipeline: &Pipeline) -> Result<Self, InvalidPipeline> {
        let place = format!("the SELECT list of pipeline {:?}", pipeline.name);
        let parsed = parse_whole(&pipeline.projection, |parser| parser.parse_projection())
            .map_err(|why| invalid(&place, why))?;
        let mut items = Vec::new();
        let mut star = false;
        for (index, item) in parsed.into_iter().enumerate() {
            let place = format!("item {} of {place} ({})", index + 1, shown(&item.to_string()));
            match item {
                SelectItem::Wildcard(options) if options == WildcardAdditionalOptions::default() => star = true,
                item => items.push(named(item, place, table)?),
            }
        }
        refuse_twice(&items)?;
        if star {
            add_all(&mut items, table, &place);
        }
        let filter = pipeline.filter.as_deref().map(|text| {
            let place = filter_place(pipeline);
            parse_whole(text, |parser| parser.parse_expr()).map_err(|why| invalid(&place, why))
        });
        Ok(Self { items, filter: filter.transpose()? })
    }
}

/// Where a WHERE stands, for messages.
pub(super) fn filter_place(pipeline: &Pipeline) -> String {
    let text = pipeline.filter.as_deref().unwrap_or_default();
    format!("the WHERE of pipeline {:?} ({})", pipeline.name, shown(text))
}

/// Parses all of `text`; a rest is an error.
fn parse_whole<T>(text: &str, parse: impl FnOnce(&mut Parser<'_>) -> Result<T, ParserError>) -> Result<T, String> {
    let dialect = MySqlDialect {};
    let words = |error: ParserError| match error {
        ParserError::TokenizerError(why) | ParserError::ParserError(why) => why,
        ParserError::RecursionLimitExceeded => "it is nested too deeply; take it apart".to_owned(),
    };
    let mut parser = Parser::new(&dialect).try_with_sql(text).map_err(words)?;
    let parsed = parse(&mut parser).map_err(words)?;
    let rest = parser.peek_token_ref();
    if rest.token != Token::EOF {
        return Err(format!("nothing can follow here, but {} does{}", rest.token, rest.span.start));
    }
    Ok(parsed)
}

/// The column that an item is for, and what from.
fn named(item: SelectItem, place: String, table: &Table) -> Result<Item, InvalidPipeline> {
    let bare = |name: Ident| match variable(&name) {
        Some(why) => Err(invalid(&place, why)),
        None => Ok(Value::Name(name.value)),
    };
    let (value, name) = match item {
        SelectItem::UnnamedExpr(Expr::Identifier(name)) => (bare(name.clone())?, name.value),
        SelectItem::ExprWithAlias { expr: Expr::Identifier(name), alias } => (bare(name)?, alias.value),
        SelectItem::ExprWithAlias { expr, alias } => (Value::Expression(expr), alias.value),
        SelectItem::UnnamedExpr(_) => {
            return Err(invalid(&place, "an expression needs the name of its column; write … AS column"));
        }
        SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) | SelectItem::ExprWithAliases { .. } => {
            return Err(invalid(&place, "only `*`, names and expressions with one name each can stand here"));
        }
    };
    let column = table.column(&name).ok_or_else(|| {
        let columns: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
        let why = format!(
            "table {}.{} has no column {name:?}; name one of its columns with AS ({})",
            table.database,
            table.name,
            columns.join(", ")
        );
        invalid(&place, why)
    })?;
    Ok(Item { column: column.name.clone(), value, place })
}

fn refuse_twice(items: &[Item]) -> Result<(), InvalidPipeline> {
    for (index, item) in items.iter().enumerate() {
        if let Some(other) = items[..index].iter().find(|other| other.column == item.column) {
            let why = format!("column {:?} is given twice, here and by {}; leave one out", item.column, other.place);
            return Err(invalid(&item.place, why));
        }
    }
    Ok(())
}

/// `*` is every column of the table by its name, but for those that another item is for.
fn add_all(items: &mut Vec<Item>, table: &Table, place: &str) {
    let is_free = |column: &&Column| !items.iter().any(|item| item.column == column.name);
    let added: Vec<Item> = table
        .columns
        .iter()
        .filter(is_free)
        .map(|column| Item {
            column: column.name.clone(),
            value: Value::Name(column.name.clone()),
            place: format!("`*` of {place}"),
        })
        .collect();
    items.extend(added);
}

/// The names in an expression, as typed, each once; or why it is more than a function of one record.
pub(super) fn names(expression: &Expr) -> Result<Vec<String>, String> {
    let mut collector = Names { names: Vec::new() };
    match walk(expression, &mut collector) {
        ControlFlow::Continue(()) => Ok(collector.names),
        ControlFlow::Break(why) => Err(why),
    }
}

/// Why a name is that of no field: `@x` is a variable, while `` `@x` `` is a name like any other.
fn variable(name: &Ident) -> Option<String> {
    let is_variable = name.value.starts_with('@') && name.quote_style.is_none();
    is_variable.then(|| {
        format!("{name} is a variable of a session, and a pipeline has none; write its value, or quote the name of a field in `…`")
    })
}

struct Names {
    names: Vec<String>,
}

impl Visitor for Names {
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        ControlFlow::Break(format!(
            "the subquery ({}) reads more than the record; a pipeline looks at one record at a time, so join when you query",
            shown(&query.to_string())
        ))
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<String> {
        match expression {
            Expr::Identifier(name) => self.add(name),
            Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } => ControlFlow::Break(format!(
                "{} reaches into a field; name a top-level field of the record, and take a nested one as a JSON column",
                shown(&expression.to_string())
            )),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Names {
    fn add(&mut self, name: &Ident) -> ControlFlow<String> {
        if name.value.starts_with('@') && name.quote_style.is_none() {
            return ControlFlow::Break(format!(
                "{name} is a variable of a session, and a pipeline has none; write its value"
            ));
        }
        if !self.names.contains(&name.value) {
            self.names.push(name.value.clone());
        }
        ControlFlow::Continue(())
    }
}
