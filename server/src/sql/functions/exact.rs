//! How numbers with a point meet DECIMALs and whole numbers. The engine reads them as DOUBLE, which has some 15 digits: `m =
//! 12345678901234567890.10` would find nothing. And it compares a DOUBLE with a DECIMAL as DECIMALs of fifteen places, which few DOUBLEs fit.
//!
//! In a comparison with exact numbers a literal is exact, as MySQL's are. Elsewhere it is a DOUBLE.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, cast, lit};
use datafusion::optimizer::AnalyzerRule;

use super::Own;
use super::rules::{Rule, compared};

/// The function that a literal of more digits than a DOUBLE has is called by, until it is known what it is compared with.
pub(crate) const EXACT: &str = "exact_number";
/// The most digits of a DECIMAL.
const DIGITS_MAX: usize = 38;

pub(super) fn all() -> Vec<Own> {
    vec![Own { name: EXACT, arguments: 1..=1, returns: DataType::Float64, compute: doubles }]
}

/// What is done before the engine brings the types of operands together, in this order.
pub(super) fn before() -> [Arc<dyn AnalyzerRule + Send + Sync>; 2] {
    [
        Arc::new(Rule { name: "exact_numbers", rewrite: Box::new(meet) }),
        Arc::new(Rule { name: "numbers_with_a_point", rewrite: Box::new(|expr, _| Ok(as_double(expr))) }),
    ]
}

/// The digits of a decimal without an exponent, before and behind its point.
fn digits_of(text: &str) -> Option<(usize, usize)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let are_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let is_number = are_digits && whole.len() + fraction.len() > 0;
    is_number.then_some((whole.trim_start_matches('0').len(), fraction.len()))
}

/// Whether a DOUBLE would lose digits of this literal that a DECIMAL keeps.
pub(crate) fn is_beyond_double(text: &str) -> bool {
    let is_whole = text.parse::<u64>().is_ok();
    !is_whole && digits_of(text).is_some_and(|(whole, fraction)| (16..=DIGITS_MAX).contains(&(whole + fraction)))
}

/// The same number as a DECIMAL, if it is a literal with few enough digits.
fn exactly(expr: &Expr) -> Option<Expr> {
    let text = match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == EXACT => match args.as_slice() {
            [Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _)] => text.clone(),
            _ => return None,
        },
        Expr::Literal(ScalarValue::Float64(Some(number)), _) => number.to_string(),
        Expr::Negative(number) => return Some(Expr::Negative(Box::new(exactly(number)?))),
        _ => return None,
    };
    let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |digits| ("-", digits));
    let (whole, fraction) = digits_of(digits)?;
    let precision = (whole + fraction).max(1);
    if precision > DIGITS_MAX {
        return None;
    }
    let value: i128 = format!("{sign}{}", digits.replace('.', "")).parse().ok()?;
    Some(lit(ScalarValue::Decimal128(Some(value), u8::try_from(precision).ok()?, i8::try_from(fraction).ok()?)))
}

fn is_exact(of: &DataType) -> bool {
    of.is_integer() || of.is_decimal()
}

fn meet(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let operands = compared(&mut expr);
    let types: Option<Vec<DataType>> = operands.iter().map(|operand| operand.get_type(schema).ok()).collect();
    // What is of a query around this one cannot be told yet.
    let Some(types) = types else { return Ok(Transformed::no(expr)) };
    let (has_decimal, has_float) = (types.iter().any(DataType::is_decimal), types.iter().any(DataType::is_floating));
    let has_long = operands.iter().any(|operand| is_long(operand));
    if !has_float || !(has_decimal || has_long) || !types.iter().all(DataType::is_numeric) {
        return Ok(Transformed::no(expr));
    }
    let exact: Vec<Option<Expr>> = operands.iter().map(|operand| exactly(operand)).collect();
    if exact.iter().zip(&types).all(|(exact, of)| exact.is_some() || is_exact(of)) {
        for (operand, exact) in operands.into_iter().zip(exact) {
            if let Some(exact) = exact {
                *operand = exact;
            }
        }
        return Ok(Transformed::yes(expr));
    }
    // A DOUBLE that is no literal: both are, as in MySQL.
    for (operand, of) in operands.into_iter().zip(&types) {
        if of.is_decimal() {
            *operand = cast(std::mem::take(operand), DataType::Float64);
        }
    }
    Ok(Transformed::yes(expr))
}

fn is_long(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(call) => call.func.name() == EXACT,
        Expr::Negative(number) => is_long(number),
        _ => false,
    }
}

fn as_double(expr: Expr) -> Transformed<Expr> {
    match &expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == EXACT => match args.as_slice() {
            [Expr::Literal(text, _)] => match text.try_as_str().flatten().and_then(|text| text.parse::<f64>().ok()) {
                Some(number) => Transformed::yes(lit(number)),
                None => Transformed::no(expr),
            },
            _ => Transformed::no(expr),
        },
        _ => Transformed::no(expr),
    }
}

fn doubles(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = arrow::compute::cast(&arguments[0], &DataType::Utf8)?;
    let numbers: Float64Array = texts.as_string::<i32>().iter().map(|text| text?.parse::<f64>().ok()).collect();
    Ok(Arc::new(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_double_would_cut_is_kept_exact() {
        for kept in ["12345678901234567890.10", "1234567890123456.7", "18446744073709551616", "0.1234567890123456"] {
            assert!(is_beyond_double(kept), "{kept}");
        }
        let others =
            ["1.5", "18446744073709551615", "123456789012345.6e3", "0.000000000000001", "1", ".", &"9".repeat(39)];
        for other in others {
            assert!(!is_beyond_double(other), "{other}");
        }
    }

    #[test]
    fn literals_are_exactly_what_was_typed() {
        let decimal = |value, precision, scale| Some(lit(ScalarValue::Decimal128(Some(value), precision, scale)));
        assert_eq!(exactly(&lit(0.1)), decimal(1, 1, 1));
        assert_eq!(exactly(&lit(-12.25)), decimal(-1225, 4, 2));
        assert_eq!(exactly(&lit(5.0)), decimal(5, 1, 0));
        assert_eq!(exactly(&lit(0.0)), decimal(0, 1, 0));
        assert_eq!(exactly(&lit(1e20)), decimal(100_000_000_000_000_000_000, 21, 0));
        assert_eq!(exactly(&lit(1e300)), None);
        assert_eq!(exactly(&lit(f64::NAN)), None);
        assert_eq!(exactly(&lit(5_i64)), None);
    }
}
