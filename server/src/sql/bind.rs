//! From a statement that was prepared to one that can be executed: each `?` becomes a literal of its value's type in the
//! syntax tree. Nothing is ever spliced into text, so no value can be read as SQL.
//!
//! The parser has numbered the parameters, so their order here does not matter.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DataType, ExactNumberInfo, Expr, LimitClause, Query as Select, SelectItem, SetExpr, TimezoneInfo, UnaryOperator,
    Value as Literal, VisitorMut,
};
use warehouse::walk::walk_mut;

use super::literal::{DECIMAL_DIGITS_MAX, MOMENT_MICROS, date_text, decimal_places};
use super::rewrite::{cast_to, literal, typed};
use super::statement::{InsertSource, InsertValue, Setting, ShowFilter, Statement};
use super::variables::Value;
use crate::mysql::{Parameter, SqlError};

/// MySQL's number for parameters that do not fit.
const WRONG_ARGUMENTS: u16 = 1210;
/// MySQL's number for a value out of its type's range.
const OUT_OF_RANGE: u16 = 1690;

/// The values of a statement's parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Values<'a> {
    /// As many as there are parameters.
    Given(&'a [Parameter]),
    /// Not known yet: the statement is only to be described. Each is NULL.
    Unknown,
}

/// How often a parameter stands in `statement`, where it can be bound.
pub(crate) fn count(statement: &mut Statement) -> usize {
    let mut counter = Counter(0);
    // It breaks nowhere.
    let _: ControlFlow<()> = walk(statement, &mut counter);
    counter.0
}

/// Puts values in the place of all parameters.
pub(crate) fn bind(statement: &mut Statement, values: Values<'_>) -> Result<(), SqlError> {
    bind_alone(statement, values);
    match walk(statement, &mut Binder(values)) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

/// A decimal that stands alone in VALUES, or in the select list of an INSERT, keeps its digits as they are: its column reads them
/// itself, however many they are, and says which row does not fit.
fn bind_alone(statement: &mut Statement, values: Values<'_>) {
    let (Statement::Insert(insert), Values::Given(values)) = (statement, values) else { return };
    let decimal = |expr: &Expr| match number_of(expr).and_then(|number| values.get(number)) {
        Some(Parameter::Decimal(digits)) => Some(digits),
        _ => None,
    };
    match &mut insert.source {
        InsertSource::Values(rows) => {
            for value in rows.iter_mut().flatten() {
                let InsertValue::Expr(expr) = value else { continue };
                let Some(digits) = decimal(expr) else { continue };
                let number = |digits: &str| Expr::value(Literal::Number(digits.to_owned(), false));
                *expr = match digits.strip_prefix('-') {
                    Some(digits) => Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(number(digits)) },
                    None => number(digits.trim_start_matches('+')),
                };
            }
        }
        InsertSource::Query(query) => {
            let SetExpr::Select(select) = query.body.as_mut() else { return };
            for item in &mut select.projection {
                let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else { continue };
                if let Some(digits) = decimal(expr) {
                    // The engine's numbers have 38 digits.
                    *expr = literal(&Value::Text(digits.clone()));
                }
            }
        }
    }
}

/// Visits every expression in which a parameter may stand. A statement that is not taken apart here can have none.
fn walk<V: VisitorMut>(statement: &mut Statement, visitor: &mut V) -> ControlFlow<V::Break> {
    match statement {
        Statement::Query(query) => walk_mut(&mut *query.ast, visitor),
        Statement::Show(show) => match &mut show.filter {
            ShowFilter::Where(condition) => walk_mut(&mut **condition, visitor),
            ShowFilter::All | ShowFilter::Like(_) => ControlFlow::Continue(()),
        },
        Statement::Set(settings) => {
            for setting in settings {
                match setting {
                    Setting::Variable { value, .. } | Setting::User { value, .. } => walk_mut(value, visitor)?,
                    Setting::Global { .. } | Setting::Names { .. } | Setting::Isolation(_) | Setting::ReadOnly(_) => {}
                }
            }
            ControlFlow::Continue(())
        }
        Statement::Insert(insert) => match &mut insert.source {
            InsertSource::Values(rows) => {
                for value in rows.iter_mut().flatten() {
                    if let InsertValue::Expr(expr) = value {
                        walk_mut(expr, visitor)?;
                    }
                }
                ControlFlow::Continue(())
            }
            InsertSource::Query(query) => walk_mut(&mut **query, visitor),
        },
        Statement::CreateTable(create) => match &mut create.query {
            Some(query) => walk_mut(&mut *query.ast, visitor),
            None => ControlFlow::Continue(()),
        },
        Statement::RetryErrors { condition: Some(condition), .. } => walk_mut(&mut **condition, visitor),
        Statement::RetryErrors { condition: None, .. }
        | Statement::CreateDatabase { .. }
        | Statement::DropDatabase { .. }
        | Statement::DropTable { .. }
        | Statement::Truncate(_)
        | Statement::CreateTableFrom(_)
        | Statement::CreatePipeline(_)
        | Statement::DropPipeline { .. }
        | Statement::PausePipeline(_)
        | Statement::ResumePipeline { .. }
        | Statement::AlterPipeline(_)
        | Statement::VerifyTable { .. }
        | Statement::CreateUser { .. }
        | Statement::AlterUser { .. }
        | Statement::DropUser { .. }
        | Statement::Use(_)
        | Statement::Kill { .. }
        | Statement::Prepare { .. }
        | Statement::Execute { .. }
        | Statement::Deallocate(_)
        | Statement::Transaction(_)
        | Statement::Nothing
        | Statement::Unsupported { .. } => ControlFlow::Continue(()),
    }
}

/// The number of a parameter, from 0 on.
fn number_of(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Value(value) => match &value.value {
            Literal::Placeholder(name) => name.strip_prefix('?')?.parse::<usize>().ok()?.checked_sub(1),
            _ => None,
        },
        _ => None,
    }
}

struct Counter(usize);

impl VisitorMut for Counter {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.0 += usize::from(number_of(expr).is_some());
        ControlFlow::Continue(())
    }
}

struct Binder<'a>(Values<'a>);

impl VisitorMut for Binder<'_> {
    type Break = SqlError;

    // LIMIT and OFFSET take whole numbers only, and some drivers send every number as one in floating point.
    fn pre_visit_query(&mut self, query: &mut Select) -> ControlFlow<SqlError> {
        let bounds = match &mut query.limit_clause {
            Some(LimitClause::LimitOffset { limit, offset, .. }) => {
                [limit.as_mut(), offset.as_mut().map(|offset| &mut offset.value)]
            }
            Some(LimitClause::OffsetCommaLimit { offset, limit }) => [Some(limit), Some(offset)],
            None => [None, None],
        };
        for bound in bounds.into_iter().flatten() {
            let Some(number) = number_of(bound) else { continue };
            match self.whole(number) {
                Ok(whole) => *bound = Expr::value(Literal::Number(whole.to_string(), false)),
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if let Some(number) = number_of(expr) {
            match self.value(number).and_then(|value| value.map_or_else(|| Ok(literal(&Value::Null)), literal_of)) {
                Ok(value) => *expr = value,
                Err(error) => return ControlFlow::Break(error),
            }
        }
        ControlFlow::Continue(())
    }
}

impl Binder<'_> {
    /// The value of a parameter; nothing where it is not known yet.
    fn value(&self, number: usize) -> Result<Option<&Parameter>, SqlError> {
        match self.0 {
            Values::Unknown => Ok(None),
            Values::Given(values) => match values.get(number) {
                Some(value) => Ok(Some(value)),
                None => {
                    Err(wrong(&format!("there are {} values, and parameter {} needs one", values.len(), number + 1)))
                }
            },
        }
    }

    /// The value of a parameter behind LIMIT or OFFSET.
    fn whole(&self, number: usize) -> Result<u64, SqlError> {
        let whole = match self.value(number)? {
            None => Some(0),
            Some(Parameter::Int(value)) => u64::try_from(*value).ok(),
            Some(Parameter::Unsigned(value)) => Some(*value),
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is whole and within the range"
            )]
            Some(Parameter::Double(value)) if value.fract() == 0.0 && (0.0..9e15).contains(value) => {
                Some(*value as u64)
            }
            Some(Parameter::Text(digits) | Parameter::Decimal(digits)) => digits.parse().ok(),
            Some(_) => None,
        };
        whole.ok_or_else(|| wrong("LIMIT and OFFSET take a whole number that is not negative"))
    }
}

/// A value as a literal of its type.
fn literal_of(value: &Parameter) -> Result<Expr, SqlError> {
    let number = |digits: String| Expr::value(Literal::Number(digits, false));
    Ok(match value {
        Parameter::Null => literal(&Value::Null),
        Parameter::Int(value) => literal(&Value::Int(*value)),
        Parameter::Unsigned(value) => number(value.to_string()),
        Parameter::Double(value) if value.is_finite() && value.is_sign_positive() => number(format!("{value:?}")),
        // What is not finite has no literal, and a sign in front of a power would bind less than the number does.
        Parameter::Double(value) => {
            cast_to(literal(&Value::Text(value.to_string())), DataType::Double(ExactNumberInfo::None))
        }
        Parameter::Decimal(digits) => decimal(digits)?,
        Parameter::Text(text) | Parameter::Time(text) => literal(&Value::Text(text.clone())),
        Parameter::Bytes(bytes) => Expr::value(Literal::HexStringLiteral(hex::encode(bytes))),
        Parameter::Date(date) => typed(DataType::Date, date_text(*date)),
        Parameter::DateTime(moment) => {
            // In microseconds, as columns are: the engine's own would end in the year 2262.
            typed(DataType::Timestamp(Some(6), TimezoneInfo::None), moment.format(MOMENT_MICROS).to_string())
        }
    })
}

/// With all its digits: a plain number would be one in floating point.
fn decimal(digits: &str) -> Result<Expr, SqlError> {
    let (whole, fraction) = decimal_places(digits.trim_start_matches(['-', '+']));
    let precision = (whole + fraction).max(1);
    if precision > DECIMAL_DIGITS_MAX {
        let message = format!(
            "DECIMAL value is out of range: a parameter has {precision} digits, and may have {DECIMAL_DIGITS_MAX}"
        );
        return Err(SqlError::new(OUT_OF_RANGE, message));
    }
    let size = ExactNumberInfo::PrecisionAndScale(precision as u64, i64::try_from(fraction).unwrap_or_default());
    Ok(cast_to(literal(&Value::Text(digits.to_owned())), DataType::Decimal(size)))
}

fn wrong(cause: &str) -> SqlError {
    SqlError::new(WRONG_ARGUMENTS, format!("Incorrect arguments to EXECUTE: {cause}"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use chrono::NaiveDate;

    use super::*;
    use crate::sql::limits::Limits;
    use crate::sql::parse::parse_prepared;

    fn bound(text: &str, values: &[Parameter]) -> Result<String, SqlError> {
        let (mut statement, parameters) = parse_prepared(text, &Limits::default())?;
        assert_eq!(usize::from(parameters), count(&mut statement));
        bind(&mut statement, Values::Given(values))?;
        match statement {
            Statement::Query(query) => Ok(query.ast.to_string()),
            other => Ok(format!("{other:?}")),
        }
    }

    #[test]
    fn values_become_literals_of_their_types() {
        let day = NaiveDate::from_ymd_opt(2024, 2, 29).unwrap();
        for (value, expected) in [
            (Parameter::Null, "NULL"),
            (Parameter::Int(-5), "-5"),
            (Parameter::Int(i64::MIN), "-9223372036854775808"),
            (Parameter::Unsigned(u64::MAX), "18446744073709551615"),
            (Parameter::Double(2.0), "2.0"),
            (Parameter::Double(-0.5), "CAST('-0.5' AS DOUBLE)"),
            (Parameter::Double(f64::NAN), "CAST('NaN' AS DOUBLE)"),
            (Parameter::Decimal("-0.10".into()), "CAST('-0.10' AS DECIMAL(2,2))"),
            (Parameter::Decimal("0".into()), "CAST('0' AS DECIMAL(1,0))"),
            (Parameter::Decimal("7.00".into()), "CAST('7.00' AS DECIMAL(3,2))"),
            (Parameter::Text("it's; --".into()), "'it''s; --'"),
            (Parameter::Bytes(Bytes::from_static(b"\xFF\0")), "X'ff00'"),
            (Parameter::Date(day), "DATE '2024-02-29'"),
            (
                Parameter::DateTime(day.and_hms_micro_opt(1, 2, 3, 4).unwrap()),
                "TIMESTAMP(6) '2024-02-29 01:02:03.000004'",
            ),
            (Parameter::Time("-26:00:00".into()), "'-26:00:00'"),
        ] {
            assert_eq!(bound("SELECT ?", &[value]).unwrap(), format!("SELECT {expected}"));
        }
        let least = format!("0.{}1", "0".repeat(37));
        let expected = format!("SELECT CAST('{least}' AS DECIMAL(38,38))");
        assert_eq!(bound("SELECT ?", &[Parameter::Decimal(least)]).unwrap(), expected);
        let long = Parameter::Decimal("1".repeat(39));
        assert_eq!(bound("SELECT ?", &[long]).unwrap_err().code, OUT_OF_RANGE);
    }

    #[test]
    fn a_decimal_that_stands_alone_in_an_insert_keeps_more_digits_than_an_expression_may_have() {
        let (long, negative) = ("1".repeat(45), format!("-0.{}", "7".repeat(45)));
        let values = [Parameter::Decimal(long.clone()), Parameter::Decimal(negative.clone())];
        let statement = bound("INSERT INTO t VALUES (?, ?)", &values).unwrap();
        for digits in [&long, &negative[1..]] {
            assert!(statement.contains(&format!("Number(\"{digits}\"")), "{statement}");
        }
        assert!(statement.contains("Minus") && !statement.contains("Cast"), "{statement}");
        assert_eq!(bound("INSERT INTO t VALUES (? + 1)", &values[..1]).unwrap_err().code, OUT_OF_RANGE);
        let statement = bound("INSERT INTO t SELECT ?, ? AS b FROM s", &values).unwrap();
        for digits in [&long, &negative] {
            assert!(statement.contains(&format!("SingleQuotedString(\"{digits}\"")), "{statement}");
        }
        assert_eq!(bound("INSERT INTO t SELECT ? + 1", &values[..1]).unwrap_err().code, OUT_OF_RANGE);
    }

    #[test]
    fn parameters_stand_wherever_an_expression_does() {
        let values: Vec<Parameter> = (1..=7).map(Parameter::Int).collect();
        let text =
            "WITH x AS (SELECT ? AS a) SELECT a + ? FROM x WHERE a IN (?, ?) AND b LIKE ? ORDER BY a LIMIT ? OFFSET ?";
        let expected =
            "WITH x AS (SELECT 1 AS a) SELECT a + 2 FROM x WHERE a IN (3, 4) AND b LIKE 5 ORDER BY a LIMIT 6 OFFSET 7";
        assert_eq!(bound(text, &values).unwrap(), expected);
        assert!(bound("SHOW TABLES WHERE Tables_in_d = ?", &values).unwrap().contains("\"1\""));
        assert!(bound("SET @a = ?", &values).unwrap().contains("\"1\""));
        assert_eq!(bound("SELECT ? + ?", &values[..1]).unwrap_err().code, WRONG_ARGUMENTS);
    }

    #[test]
    fn a_limit_is_a_whole_number_however_it_was_sent() {
        for value in [Parameter::Int(3), Parameter::Unsigned(3), Parameter::Double(3.0), Parameter::Text("3".into())] {
            assert_eq!(bound("SELECT a FROM t LIMIT ?", &[value]).unwrap(), "SELECT a FROM t LIMIT 3");
        }
        for value in [Parameter::Int(-1), Parameter::Double(0.5), Parameter::Text("3; x".into()), Parameter::Null] {
            assert_eq!(bound("SELECT a FROM t LIMIT ?", &[value]).unwrap_err().code, WRONG_ARGUMENTS);
        }
        let both = [Parameter::Int(1), Parameter::Int(2)];
        assert_eq!(bound("SELECT a FROM t LIMIT ?, ?", &both).unwrap(), "SELECT a FROM t LIMIT 1, 2");
    }
}
