//! MySQL's functions of dates and times in the engine's words.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, DataType, DateTimeField, Expr, Function, Ident, Interval, TimezoneInfo, UnaryOperator,
    Value as Literal,
};

use super::super::functions::parts_of_format;
use super::super::variables::Value;
use super::expressions::{called, cast, digits_of, operands};
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

/// Units of intervals that are shorter than a day.
const WITHIN_A_DAY: [&str; 4] = ["HOUR", "MINUTE", "SECOND", "MICROSECOND"];

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
        ("date_add" | "adddate", [moment, Expr::Interval(interval)]) => {
            Some(moved(moment, BinaryOperator::Plus, interval.clone()))
        }
        ("date_sub" | "subdate", [moment, Expr::Interval(interval)]) => {
            Some(moved(moment, BinaryOperator::Minus, interval.clone()))
        }
        ("timestampadd", [Expr::Identifier(unit), count, moment]) => timestampadd(unit, count, moment)?,
        ("timestampdiff", [Expr::Identifier(unit), from, to]) => {
            let unit = literal(&Value::Text(unit.value.clone()));
            Some(called("timestampdiff", vec![unit, from.clone(), to.clone()]))
        }
        ("dayname", [moment]) => Some(named(moment, "%W")),
        ("monthname", [moment]) => Some(named(moment, "%M")),
        ("from_unixtime", [seconds, format]) => {
            let moment = called("from_unixtime", vec![seconds.clone()]);
            Some(called("date_format", vec![moment, format.clone()]))
        }
        ("str_to_date", [text, format]) => Some(str_to_date(text, format)),
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

fn named(moment: &Expr, format: &str) -> Expr {
    called("date_format", vec![moment.clone(), literal(&Value::Text(format.to_owned()))])
}

/// The text of a literal.
fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(value) => match &value.value {
            Literal::SingleQuotedString(text) | Literal::DoubleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// `moment op interval`. A text is a moment here, and hours make a moment of a date.
fn moved(moment: &Expr, op: BinaryOperator, interval: Interval) -> Expr {
    let unit = interval.leading_field.as_ref().map(ToString::to_string).unwrap_or_default();
    let is_within_a_day = WITHIN_A_DAY.contains(&unit.trim_end_matches('S'));
    let has_time = text_of(moment).map(|text| text.trim().contains([' ', 'T']));
    let moment = match (is_within_a_day || has_time == Some(true), has_time) {
        (true, _) => cast(Box::new(moment.clone()), DataType::Timestamp(Some(6), TimezoneInfo::None)),
        (false, Some(_)) => cast(Box::new(moment.clone()), DataType::Date),
        (false, None) => moment.clone(),
    };
    arithmetic(moment, op, Expr::Interval(interval))
}

/// `TIMESTAMPADD(unit, count, moment)`.
fn timestampadd(unit: &Ident, count: &Expr, moment: &Expr) -> Result<Option<Expr>, SqlError> {
    let name = unit.value.to_ascii_uppercase();
    let (field, times) = match name.strip_prefix("SQL_TSI_").unwrap_or(&name) {
        "MICROSECOND" => (DateTimeField::Microsecond, 1),
        "SECOND" => (DateTimeField::Second, 1),
        "MINUTE" => (DateTimeField::Minute, 1),
        "HOUR" => (DateTimeField::Hour, 1),
        "DAY" => (DateTimeField::Day, 1),
        "WEEK" => (DateTimeField::Day, 7),
        "MONTH" => (DateTimeField::Month, 1),
        "QUARTER" => (DateTimeField::Month, 3),
        "YEAR" => (DateTimeField::Year, 1),
        _ => {
            let what = format!(
                "the unit {unit} in TIMESTAMPADD; use MICROSECOND, SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR"
            );
            return Err(SqlError::not_supported(&what));
        }
    };
    let number = whole_number(count).and_then(|count| count.checked_mul(times));
    let Some(number) = number else {
        return Err(SqlError::not_supported("a computed count in TIMESTAMPADD; write a number"));
    };
    let interval = Interval {
        value: Box::new(literal(&Value::Text(number.to_string()))),
        leading_field: Some(field),
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    };
    Ok(Some(moved(moment, BinaryOperator::Plus, interval)))
}

fn whole_number(expr: &Expr) -> Option<i64> {
    match expr {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => whole_number(expr).map(|number| -number),
        other => digits_of(other)?.parse().ok(),
    }
}

/// STR_TO_DATE is a date, a time or both, as its format says.
fn str_to_date(text: &Expr, format: &Expr) -> Expr {
    let moment = called("str_to_date", vec![text.clone(), format.clone()]);
    match text_of(format).map(parts_of_format) {
        Some((true, false)) => cast(Box::new(moment), DataType::Date),
        Some((false, true)) => cast(Box::new(moment), DataType::Time(None, TimezoneInfo::None)),
        _ => moment,
    }
}
