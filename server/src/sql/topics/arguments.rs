//! The arguments of `kafka(…)` and `kafka_topics(…)` as text: `name = value` or `name => value`. Owns what may stand there, not what it means.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, FunctionArg, FunctionArgExpr, TableFunctionArgs, TypedString, UnaryOperator, Value,
};

use crate::mysql::SqlError;

/// The arguments by their names in lower case; `function` is what is called, for errors.
pub(super) fn pairs(function: &str, given: &TableFunctionArgs) -> Result<BTreeMap<String, String>, SqlError> {
    let mut pairs = BTreeMap::new();
    for argument in &given.args {
        let (name, value) = pair(function, argument)?;
        if pairs.insert(name.clone(), value).is_some() {
            return Err(SqlError::other(format!("{function}(…): {name} is given twice; leave one out")));
        }
    }
    Ok(pairs)
}

fn pair(function: &str, argument: &FunctionArg) -> Result<(String, String), SqlError> {
    let (name, value) = match argument {
        FunctionArg::Named { name, arg: FunctionArgExpr::Expr(value), .. } => (Some(name.value.clone()), value),
        FunctionArg::ExprNamed { name, arg: FunctionArgExpr::Expr(value), .. } => (text_of_name(name), value),
        FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::BinaryOp { left, op: BinaryOperator::Eq, right })) => {
            (text_of_name(left), right.as_ref())
        }
        other => return Err(no_pair(function, other)),
    };
    let name = name.ok_or_else(|| no_pair(function, argument))?.to_ascii_lowercase();
    let value = text_of_value(value).ok_or_else(|| {
        let message = format!(
            "{function}(…): {name} = {value} is no value; write a text in quotes, a number, or timestamp '2013-01-31 12:00:00'"
        );
        SqlError::other(message)
    })?;
    Ok((name, value))
}

fn no_pair(function: &str, argument: &FunctionArg) -> SqlError {
    SqlError::other(format!(
        "{function}(…): {argument} is no argument; write name = value, as in {function}(brokers = 'host:9092', topic = 'clicks')"
    ))
}

/// A word, words joined by dots, or a text in quotes.
fn text_of_name(name: &Expr) -> Option<String> {
    match name {
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::CompoundIdentifier(idents) => {
            Some(idents.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>().join("."))
        }
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn text_of_value(value: &Expr) -> Option<String> {
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) => Some(text.clone()),
            Value::Number(digits, _) => Some(digits.clone()),
            Value::Boolean(value) => Some(value.to_string()),
            _ => None,
        },
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => text_of_value(expr).map(|digits| format!("-{digits}")),
        Expr::Identifier(ident) => Some(ident.value.clone()),
        Expr::TypedString(TypedString { data_type, value, .. }) => {
            let is_moment = matches!(data_type, DataType::Timestamp(..) | DataType::Datetime(_) | DataType::Date);
            match &value.value {
                Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) if is_moment => {
                    Some(format!("timestamp:{text}"))
                }
                _ => None,
            }
        }
        _ => None,
    }
}
