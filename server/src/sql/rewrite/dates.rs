//! MySQL's functions of dates and times in the engine's words.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments,
    Ident, ObjectName, Value as Literal,
};

use super::super::variables::Value;
use super::expressions::{cast, operands};
use super::literal;
use crate::mysql::SqlError;

/// A function, the part of a moment that it gives, and what is to be added to the engine's number for it.
const PARTS: [(&str, &str, i64); 12] = [
    ("year", "year", 0),
    ("quarter", "quarter", 0),
    ("month", "month", 0),
    ("weekofyear", "week", 0),
    ("day", "day", 0),
    ("dayofmonth", "day", 0),
    ("dayofyear", "doy", 0),
    // MySQL counts from Sunday as 1, the engine from Sunday as 0.
    ("dayofweek", "dow", 1),
    // MySQL counts from Monday as 0, the engine from Monday as 1.
    ("weekday", "isodow", -1),
    ("hour", "hour", 0),
    ("minute", "minute", 0),
    ("second", "second", 0),
];

/// Letters of MySQL's date formats, and the engine's for the same.
const FORMATS: [(char, &str); 27] = [
    ('a', "%a"),
    ('b', "%b"),
    ('c', "%-m"),
    ('d', "%d"),
    ('e', "%-d"),
    ('f', "%6f"),
    ('H', "%H"),
    ('h', "%I"),
    ('I', "%I"),
    ('i', "%M"),
    ('j', "%j"),
    ('k', "%-H"),
    ('l', "%-I"),
    ('M', "%B"),
    ('m', "%m"),
    ('p', "%p"),
    ('r', "%I:%M:%S %p"),
    ('S', "%S"),
    ('s', "%S"),
    ('T', "%H:%M:%S"),
    ('u', "%W"),
    ('v', "%V"),
    ('x', "%G"),
    ('W', "%A"),
    ('w', "%w"),
    ('Y', "%Y"),
    ('y', "%y"),
];

/// What a call of a function of dates and times becomes; `None` where `name` is none, or is not called so.
pub(super) fn rewritten(name: &str, function: &Function) -> Result<Option<Expr>, SqlError> {
    let Some(operands) = operands(function) else { return Ok(None) };
    Ok(match (name, operands.as_slice()) {
        ("date", [moment]) => Some(cast(Box::new(moment.clone()), DataType::Date)),
        ("microsecond", [moment]) => {
            // The engine counts from the minute's last whole second on, in microseconds.
            Some(arithmetic(part("microsecond", moment), BinaryOperator::Modulo, number(1_000_000)))
        }
        ("unix_timestamp", [moment]) => Some(cast(Box::new(part("epoch", moment)), DataType::BigInt(None))),
        ("date_add" | "adddate", [moment, interval @ Expr::Interval(_)]) => {
            Some(arithmetic(moment.clone(), BinaryOperator::Plus, interval.clone()))
        }
        ("date_sub" | "subdate", [moment, interval @ Expr::Interval(_)]) => {
            Some(arithmetic(moment.clone(), BinaryOperator::Minus, interval.clone()))
        }
        ("date_format", [moment, format]) => {
            let format = engine_format(format)?;
            Some(called("to_char", vec![moment.clone(), literal(&Value::Text(format))]))
        }
        (name, [moment]) => PARTS.iter().find(|(mysql, ..)| *mysql == name).map(|(_, engine, add)| match add {
            0 => part(engine, moment),
            add if *add > 0 => arithmetic(part(engine, moment), BinaryOperator::Plus, number(*add)),
            add => arithmetic(part(engine, moment), BinaryOperator::Minus, number(-add)),
        }),
        _ => None,
    })
}

fn number(value: i64) -> Expr {
    literal(&Value::Int(value))
}

fn part(engine: &str, moment: &Expr) -> Expr {
    called("date_part", vec![literal(&Value::Text(engine.to_owned())), moment.clone()])
}

fn arithmetic(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }))
}

fn called(name: &str, arguments: Vec<Expr>) -> Expr {
    let argument = |expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr));
    let args = arguments.into_iter().map(argument).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// MySQL's format as the engine's: in both a `%` and a letter stand for a part, and not the same letter.
fn engine_format(format: &Expr) -> Result<String, SqlError> {
    let text = match format {
        Expr::Value(value) => match &value.value {
            Literal::SingleQuotedString(text) | Literal::DoubleQuotedString(text) => text,
            _ => return Err(SqlError::not_supported("a format of DATE_FORMAT that is no text; write it in quotes")),
        },
        _ => return Err(SqlError::not_supported("a computed format of DATE_FORMAT; write it in quotes")),
    };
    let mut written = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '%') {
            (letter, false) => written.push(letter),
            (_, true) => match letters.next() {
                None | Some('%') => written.push_str("%%"),
                Some(letter @ ('D' | 'U' | 'V' | 'X')) => {
                    let what =
                        format!("%{letter} in DATE_FORMAT; use %d for the day, %v and %x for weeks and their year");
                    return Err(SqlError::not_supported(&what));
                }
                Some(letter) => match FORMATS.iter().find(|(mysql, _)| *mysql == letter) {
                    Some((_, engine)) => written.push_str(engine),
                    // MySQL shows a letter that stands for nothing.
                    None => written.push(letter),
                },
            },
        }
    }
    Ok(written)
}
