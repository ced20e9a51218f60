//! How numbers with a point meet DECIMALs and whole numbers. The engine reads them as DOUBLE, which has some 15 digits: `m =
//! 12345678901234567890.10` would find nothing. And it compares a DOUBLE with a DECIMAL as DECIMALs of fifteen places, which few DOUBLEs fit.
//!
//! In a comparison with exact numbers a literal is exact, as MySQL's are. Elsewhere it is a DOUBLE.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{BinaryExpr, Cast, ScalarFunction};
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, cast, lit};
use datafusion::optimizer::AnalyzerRule;

use super::Own;
use super::rules::{Rule, compared};
use crate::sql::literal::{DECIMAL_DIGITS_MAX, decimal_places};

/// The function that a literal of more digits than a DOUBLE has is called by, until it is known what it is compared with.
pub(crate) const EXACT: &str = "exact_number";

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

/// How many digits a decimal has before and behind its point; `None` where it is none, or has an exponent.
fn digits_of(text: &str) -> Option<(usize, usize)> {
    let digits = text.replacen('.', "", 1);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| decimal_places(text))
}

/// The text of a literal that is called by [`EXACT`].
fn typed(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::ScalarFunction(ScalarFunction { func, args }) if func.name() == EXACT => text(args.first()?),
        _ => None,
    }
}

fn text(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Literal(value, _) => value.try_as_str().flatten(),
        _ => None,
    }
}

/// Whether a DOUBLE would lose digits of this literal that a DECIMAL keeps.
pub(crate) fn is_beyond_double(text: &str) -> bool {
    let is_whole = text.parse::<u64>().is_ok();
    !is_whole
        && digits_of(text).is_some_and(|(whole, fraction)| (16..=DECIMAL_DIGITS_MAX).contains(&(whole + fraction)))
}

/// A number as digits, and how many of them stand behind the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Exact {
    digits: i128,
    scale: u32,
}

impl Exact {
    fn of_text(text: &str) -> Option<Self> {
        let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits));
        let (whole, fraction) = digits_of(unsigned)?;
        if whole + fraction > DECIMAL_DIGITS_MAX {
            return None;
        }
        let digits = format!("{sign}{}", unsigned.replace('.', "")).parse().ok()?;
        Some(Self { digits, scale: u32::try_from(fraction).ok()? })
    }

    /// What a literal is, or one of literals that are added, subtracted or multiplied: `0.06 + 0.01` is 0.07, which as DOUBLEs it is not.
    fn of(expr: &Expr) -> Option<Self> {
        match expr {
            Expr::ScalarFunction(_) => Self::of_text(typed(expr)?),
            // A DOUBLE that is the parameter of a prepared statement.
            Expr::Cast(Cast { expr, field }) if field.data_type() == &DataType::Float64 => {
                Self::of_text(&text(expr)?.parse::<f64>().ok()?.to_string())
            }
            Expr::Literal(ScalarValue::Float64(Some(number)), _) => Self::of_text(&number.to_string()),
            Expr::Literal(ScalarValue::Int64(Some(number)), _) => Some(Self { digits: (*number).into(), scale: 0 }),
            Expr::Literal(ScalarValue::UInt64(Some(number)), _) => Some(Self { digits: (*number).into(), scale: 0 }),
            Expr::Negative(number) => {
                let number = Self::of(number)?;
                Some(Self { digits: number.digits.checked_neg()?, ..number })
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                let (left, right) = (Self::of(left)?, Self::of(right)?);
                let scale = left.scale.max(right.scale);
                let (a, b) = (left.at(scale)?, right.at(scale)?);
                match op {
                    Operator::Plus => Some(Self { digits: a.checked_add(b)?, scale }),
                    Operator::Minus => Some(Self { digits: a.checked_sub(b)?, scale }),
                    Operator::Multiply => {
                        let digits = left.digits.checked_mul(right.digits)?;
                        Some(Self { digits, scale: left.scale + right.scale })
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Its digits with so many behind the point.
    fn at(self, scale: u32) -> Option<i128> {
        10_i128.checked_pow(scale - self.scale).and_then(|factor| self.digits.checked_mul(factor))
    }

    fn precision(self) -> u32 {
        self.digits.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1).max(self.scale)
    }

    fn literal(self) -> Option<Expr> {
        let (precision, scale) = (u8::try_from(self.precision()).ok()?, i8::try_from(self.scale).ok()?);
        (usize::from(precision) <= DECIMAL_DIGITS_MAX)
            .then(|| lit(ScalarValue::Decimal128(Some(self.digits), precision, scale)))
    }
}

/// How many digits an exact type has before and behind its point.
fn places(of: &DataType) -> Option<(u32, u32)> {
    match of {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            let scale = u32::try_from(*scale).ok()?;
            Some((u32::from(*precision).checked_sub(scale)?, scale))
        }
        of if of.is_integer() => Some((20, 0)),
        _ => None,
    }
}

fn meet(mut expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let operands = compared(&mut expr);
    let types: Option<Vec<DataType>> = operands.iter().map(|operand| operand.get_type(schema).ok()).collect();
    // What is of a query around this one cannot be told yet.
    let Some(types) = types else { return Ok(Transformed::no(expr)) };
    // NULL is of any type.
    let operands: Vec<(&mut Expr, DataType)> =
        operands.into_iter().zip(types).filter(|(_, of)| !of.is_null()).collect();
    let any = |is: fn(&DataType) -> bool| operands.iter().any(|(_, of)| is(of));
    let has_long = operands.iter().any(|(operand, _)| is_long(operand));
    if !any(DataType::is_floating) || !(any(DataType::is_decimal) || has_long) || any(|of| !of.is_numeric()) {
        return Ok(Transformed::no(expr));
    }
    match exactly(&operands) {
        Some(exact) => {
            for ((operand, _), exact) in operands.into_iter().zip(exact) {
                if let Some(exact) = exact {
                    *operand = exact;
                }
            }
        }
        // As in MySQL, where one of them is a DOUBLE.
        None => {
            for (operand, _) in operands.into_iter().filter(|(_, of)| of.is_decimal()) {
                *operand = cast(std::mem::take(operand), DataType::Float64);
            }
        }
    }
    Ok(Transformed::yes(expr))
}

/// What is put in the operands' place so that all are exact; `None` if one cannot be, or if no DECIMAL holds all of them.
fn exactly(operands: &[(&mut Expr, DataType)]) -> Option<Vec<Option<Expr>>> {
    let (mut whole, mut fraction, mut exact) = (0, 0, Vec::with_capacity(operands.len()));
    for (operand, of) in operands {
        let (places, instead) = match places(of) {
            Some(places) => (places, None),
            None => {
                let number = Exact::of(operand)?;
                ((number.precision() - number.scale, number.scale), Some(number.literal()?))
            }
        };
        (whole, fraction) = (whole.max(places.0), fraction.max(places.1));
        exact.push(instead);
    }
    (whole + fraction <= DECIMAL_DIGITS_MAX as u32).then_some(exact)
}

fn is_long(expr: &Expr) -> bool {
    match expr {
        Expr::Negative(number) => is_long(number),
        other => typed(other).is_some(),
    }
}

fn as_double(expr: Expr) -> Transformed<Expr> {
    match typed(&expr).and_then(|text| text.parse::<f64>().ok()) {
        Some(number) => Transformed::yes(lit(number)),
        None => Transformed::no(expr),
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
    fn literals_and_their_sums_are_exactly_what_was_typed() {
        let of = |expr: Expr| Exact::of(&expr).map(|exact| (exact.digits, exact.precision(), exact.scale));
        assert_eq!(of(lit(0.1)), Some((1, 1, 1)));
        assert_eq!(of(lit(-12.25)), Some((-1225, 4, 2)));
        assert_eq!(of(lit(5.0)), Some((5, 1, 0)));
        assert_eq!(of(lit(0.0)), Some((0, 1, 0)));
        assert_eq!(of(lit(0.005)), Some((5, 3, 3)));
        assert_eq!(of(lit(1e20)), Some((100_000_000_000_000_000_000, 21, 0)));
        assert_eq!(of(lit(0.06) + lit(0.01)), Some((7, 2, 2)));
        assert_eq!(of(lit(1_i64) - lit(0.25) * lit(0.5)), Some((875, 3, 3)));
        assert_eq!(of(Expr::Negative(Box::new(lit(0.5)))), Some((-5, 1, 1)));
        assert_eq!(of(cast(lit("-0.07"), DataType::Float64)), Some((-7, 2, 2)));
        for other in [lit(1e300), lit(f64::NAN), lit(1.0) / lit(3.0), lit("0.1"), lit(1e37) * lit(1e10)] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
    }
}
