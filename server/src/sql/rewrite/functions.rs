//! Functions without an engine's function behind them: those that ask the session, and those that are another's name.

use datafusion::sql::sqlparser::ast::{DataType, Expr, FunctionArg, FunctionArgExpr, TimezoneInfo};

use super::super::variables::Value;
use super::expressions::digits_of;
use super::{SessionValues, literal, moment, typed};

/// Functions that are the engine's under another name.
const RENAMED: [(&str, &str); 10] = [
    ("any_value", "first_value"),
    ("ceiling", "ceil"),
    ("lcase", "lower"),
    ("length", "octet_length"),
    ("sha", "sha1"),
    ("std", "stddev_pop"),
    ("stddev", "stddev_pop"),
    ("truncate", "trunc"),
    ("ucase", "upper"),
    ("variance", "var_pop"),
];

/// Functions that a statement may call and the engine does not have: they are something else by the time it plans.
pub(crate) const FUNCTIONS: [&str; 63] = [
    "adddate",
    "any_value",
    "ceiling",
    "connection_id",
    "curdate",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "curtime",
    "database",
    "date",
    "date_add",
    "date_sub",
    "day",
    "dayname",
    "dayofmonth",
    "dayofweek",
    "dayofyear",
    "found_rows",
    "group_concat",
    "hour",
    "if",
    "isnull",
    "last_insert_id",
    "lcase",
    "length",
    "localtime",
    "localtimestamp",
    "locate",
    "microsecond",
    "minute",
    "mod",
    "month",
    "monthname",
    "now",
    "quarter",
    "rand",
    "row_count",
    "schema",
    "second",
    "session_user",
    "sha",
    "space",
    "std",
    "stddev",
    "subdate",
    "sysdate",
    "system_user",
    "timestampadd",
    "truncate",
    "ucase",
    "unix_timestamp",
    "user",
    "utc_date",
    "utc_time",
    "utc_timestamp",
    "variance",
    "version",
    "weekday",
    "weekofyear",
    "year",
];

/// The value of a function that only the session knows.
pub(super) fn of_session(name: &str, arguments: &[FunctionArg], session: &SessionValues<'_>) -> Option<Expr> {
    let text = |text: &str| Some(literal(&Value::Text(text.to_owned())));
    match (name, arguments.len()) {
        ("database" | "schema", 0) => match session.database {
            Some(database) => text(database),
            None => Some(literal(&Value::Null)),
        },
        ("version", 0) => session.variables.get("version").as_ref().map(literal),
        ("user" | "current_user" | "session_user" | "system_user", 0) => text(session.user),
        ("current_role", 0) => text("NONE"),
        ("connection_id", 0) => Some(literal(&Value::Int(i64::from(session.connection_id)))),
        ("last_insert_id" | "found_rows", 0) => Some(literal(&Value::Int(0))),
        ("row_count", 0) => Some(literal(&Value::Int(-1))),
        ("now" | "current_timestamp" | "localtime" | "localtimestamp" | "sysdate" | "utc_timestamp", 0) => {
            Some(moment(session.now, 0))
        }
        ("now" | "current_timestamp" | "localtime" | "localtimestamp" | "sysdate" | "utc_timestamp", 1) => {
            digits(&arguments[0]).map(|digits| moment(session.now, digits))
        }
        ("unix_timestamp", 0) => Some(literal(&Value::Int(session.now.timestamp()))),
        ("curdate" | "current_date" | "utc_date", 0) => {
            Some(typed(DataType::Date, session.now.format("%Y-%m-%d").to_string()))
        }
        ("curtime" | "current_time" | "utc_time", 0) => {
            Some(typed(DataType::Time(None, TimezoneInfo::None), session.now.format("%H:%M:%S").to_string()))
        }
        _ => None,
    }
}

fn digits(argument: &FunctionArg) -> Option<usize> {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => digits_of(expr)?.parse().ok(),
        _ => None,
    }
}

/// The engine's name of a function.
pub(super) fn engine_name(name: &str) -> Option<&'static str> {
    RENAMED.iter().find(|(mysql, _)| mysql.eq_ignore_ascii_case(name)).map(|(_, engine)| *engine)
}
