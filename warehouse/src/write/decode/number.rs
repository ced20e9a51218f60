//! Numbers without loss: decimal text to scaled integers, and the rules by which one kind of number becomes another.
//!
//! Owns no column: both the JSON columns and the assignment of expressions to columns go by these rules.

/// Why a number does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    /// It is no number at all.
    NotANumber,
    /// It has more digits after the point than can be kept.
    Fraction,
    /// It has too many digits before the point.
    Range,
}

/// The most digits of any decimal.
pub(super) const DIGITS_MAX: u8 = 38;
/// Exponents beyond this make any number too large or too small; more digits of them are not added up.
const EXPONENT_MAX: i64 = 1_000_000_000;

/// A number's text, taken apart: `[+-]digits[.digits][e[+-]digits]`.
struct Pieces<'a> {
    negative: bool,
    whole: &'a [u8],
    fraction: &'a [u8],
    exponent: i64,
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count())
}

impl<'a> Pieces<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (negative, rest) = match bytes.first()? {
            b'-' => (true, &bytes[1..]),
            b'+' => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        let (whole, rest) = digits(rest);
        let (fraction, rest) = match rest.split_first() {
            Some((b'.', rest)) => digits(rest),
            _ => (&[][..], rest),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let exponent = match rest.split_first() {
            None => 0,
            Some((b'e' | b'E', rest)) => exponent(rest)?,
            Some(_) => return None,
        };
        Some(Self { negative, whole, fraction, exponent })
    }
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (exponent, rest) = digits(rest);
    if exponent.is_empty() || !rest.is_empty() {
        return None;
    }
    let value = exponent.iter().fold(0, |sum: i64, digit| (sum * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Some(if negative { -value } else { value })
}

/// A whole number as most are written: at most 18 digits, and nothing but zeros after a point. `None` says nothing.
pub(super) fn short(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, mut rest) = match bytes.split_first()? {
        (b'-', rest) => (true, rest),
        _ => (false, bytes),
    };
    let mut value = 0_i64;
    let mut count = 0;
    while let Some((digit @ b'0'..=b'9', after)) = rest.split_first() {
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
        count += 1;
        rest = after;
    }
    let is_whole = match rest.split_first() {
        None => true,
        Some((b'.', zeros)) => zeros.iter().all(|digit| *digit == b'0'),
        Some(_) => false,
    };
    ((1..=18).contains(&count) && is_whole).then_some(if negative { -value } else { value })
}

/// The number of `text` times 10^`scale`, exactly, if that is a whole number of at most `digits_max` digits.
pub(super) fn scaled(text: &str, scale: u8, digits_max: u8) -> Result<i128, NumberFault> {
    match split(text, scale, digits_max)? {
        (value, 0) => Ok(value),
        _ => Err(NumberFault::Fraction),
    }
}

/// The same, rounded to the nearest whole number; a half goes away from zero.
pub(super) fn scaled_to_nearest(text: &str, scale: u8, digits_max: u8) -> Result<i128, NumberFault> {
    let (value, next_digit) = split(text, scale, digits_max)?;
    let away = if text.starts_with('-') { -1 } else { 1 };
    let value = if next_digit >= 5 { value + away } else { value };
    if fits(value, digits_max) { Ok(value) } else { Err(NumberFault::Range) }
}

/// The whole part of the number of `text` times 10^`scale`, and its first digit after the point, or 1 where that is 0 and another
/// is not.
fn split(text: &str, scale: u8, digits_max: u8) -> Result<(i128, u8), NumberFault> {
    let pieces = Pieces::of(text).ok_or(NumberFault::NotANumber)?;
    let digit = |index: usize| match index.checked_sub(pieces.whole.len()) {
        None => pieces.whole[index],
        Some(index) => pieces.fraction[index],
    };
    let count = pieces.whole.len() + pieces.fraction.len();
    // Only the digits between the first and the last that is not zero decide; `1.500e2` is `15` with a power of ten.
    let Some(first) = (0..count).find(|index| digit(*index) != b'0') else { return Ok((0, 0)) };
    let last = (first..count).rfind(|index| digit(*index) != b'0').unwrap_or(first);
    let power = pieces.exponent + pieces.whole.len() as i64 - (last as i64 + 1) + i64::from(scale);
    let significant = (last - first + 1) as i64;
    if significant + power > i64::from(digits_max.min(DIGITS_MAX)) {
        return Err(NumberFault::Range);
    }
    // Where there are fewer digits than belong behind the point, it comes before all of them.
    let end = usize::try_from(last as i64 + 1 + power.min(0)).unwrap_or(0).max(first);
    let mut value = (first..end).fold(0_i128, |sum, index| sum * 10 + i128::from(digit(index) - b'0'));
    value *= 10_i128.pow(u32::try_from(power.max(0)).expect("at most 38, as just checked"));
    let next_digit = match power < 0 {
        true if significant + power >= 0 => (digit(end) - b'0').max(1),
        true => 1,
        false => 0,
    };
    Ok((if pieces.negative { -value } else { value }, next_digit))
}

/// The whole number that a `f64` is, if it is one of at most 38 digits.
pub(super) fn whole(value: f64) -> Result<i128, NumberFault> {
    if !value.is_finite() || value.abs() >= 1e38 {
        return Err(NumberFault::Range);
    }
    if value.fract() != 0.0 {
        return Err(NumberFault::Fraction);
    }
    Ok(value as i128)
}

/// `value` × 10^-`from` as a whole number of 10^-`to`, if nothing is lost and it has at most `digits_max` digits.
pub(super) fn rescaled(value: i128, from: i8, to: i8, digits_max: u8) -> Result<i128, NumberFault> {
    let steps = i32::from(to) - i32::from(from);
    let power = 10_i128.checked_pow(steps.unsigned_abs());
    let value = match power {
        _ if value == 0 => 0,
        Some(power) if steps >= 0 => value.checked_mul(power).ok_or(NumberFault::Range)?,
        None if steps >= 0 => return Err(NumberFault::Range),
        Some(power) if value % power == 0 => value / power,
        _ => return Err(NumberFault::Fraction),
    };
    if fits(value, digits_max) { Ok(value) } else { Err(NumberFault::Range) }
}

/// The same, rounded to the nearest; a half goes away from zero.
pub(super) fn rescaled_to_nearest(value: i128, from: i8, to: i8, digits_max: u8) -> Result<i128, NumberFault> {
    match rescaled(value, from, to, DIGITS_MAX) {
        Err(NumberFault::Fraction) => {
            let steps = (i32::from(from) - i32::from(to)).unsigned_abs();
            // Beyond what 128 bits hold, less than half of the last digit is left.
            let Some(power) = 10_i128.checked_pow(steps) else { return Ok(0) };
            let (whole, rest) = (value / power, value % power);
            let away = if rest.unsigned_abs() >= power.unsigned_abs() / 2 { rest.signum() } else { 0 };
            let value = whole + away;
            if fits(value, digits_max) { Ok(value) } else { Err(NumberFault::Range) }
        }
        Ok(value) if fits(value, digits_max) => Ok(value),
        Ok(_) => Err(NumberFault::Range),
        Err(fault) => Err(fault),
    }
}

/// `value` rounded to a whole number of 10^-`scale`: a binary fraction has no decimal digits of its own to lose.
pub(super) fn rounded(value: f64, scale: u8, digits_max: u8) -> Result<i128, NumberFault> {
    let scaled = (value * 10_f64.powi(i32::from(scale))).round();
    let value = whole(scaled)?;
    if fits(value, digits_max) { Ok(value) } else { Err(NumberFault::Range) }
}

fn fits(value: i128, digits_max: u8) -> bool {
    value.unsigned_abs() < 10_u128.pow(u32::from(digits_max.min(DIGITS_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_is_read_to_the_last_digit() {
        assert_eq!(scaled("12.34", 2, 10), Ok(1234));
        assert_eq!(scaled("-12.3", 2, 10), Ok(-1230));
        assert_eq!(scaled("1.5e3", 0, 10), Ok(1500));
        assert_eq!(scaled("1500e-2", 0, 10), Ok(15));
        assert_eq!(scaled("0.000", 0, 1), Ok(0));
        assert_eq!(scaled("0e999999999999999999999", 0, 1), Ok(0));
        assert_eq!(scaled("9007199254740993.0", 0, 38), Ok(9_007_199_254_740_993));
        assert_eq!(scaled(&"9".repeat(38), 0, 38), Ok(10_i128.pow(38) - 1));
        assert_eq!(scaled(&format!("{}.{}", "0".repeat(500), "0".repeat(500) + "e7"), 2, 4), Ok(0));
    }

    #[test]
    fn the_short_way_agrees_with_the_exact_one() {
        for text in ["0", "-0", "517", "517.0", "-517.000", "999999999999999999", "-999999999999999999.0"] {
            assert_eq!(short(text).map(i128::from), scaled(text, 0, DIGITS_MAX).ok(), "{text}");
        }
        for text in ["", "-", "1.5", "1e3", "1000000000000000000", "x", "1.0e0", "1.000000000000000000000000001"] {
            assert_eq!(short(text), None, "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_says_how() {
        assert_eq!(scaled("1.005", 2, 10), Err(NumberFault::Fraction));
        assert_eq!(scaled("123456789.00", 2, 10), Err(NumberFault::Range));
        assert_eq!(scaled("1e99999999999999999999", 2, 10), Err(NumberFault::Range));
        assert_eq!(scaled("1e-99999999999999999999", 2, 10), Err(NumberFault::Fraction));
        for text in ["", "-", ".", "1.2.3", "1e", "e1", " 1", "0x10", "NaN", "1_000"] {
            assert_eq!(scaled(text, 2, 10), Err(NumberFault::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn a_half_is_rounded_away_from_zero() {
        for (text, scale, expected) in [
            ("1.005", 2, 101),
            ("-1.005", 2, -101),
            ("1.00499999", 2, 100),
            ("0.5", 0, 1),
            ("-0.5", 0, -1),
            ("0.05", 0, 0),
            ("0.49", 0, 0),
            ("99.5", 0, 100),
            ("5e-1", 0, 1),
            ("5e-2", 0, 0),
            ("95e-2", 0, 1),
            ("1e-999999", 0, 0),
            ("12", 2, 1200),
            ("1.5e3", 0, 1500),
        ] {
            assert_eq!(scaled_to_nearest(text, scale, 10), Ok(expected), "{text}");
        }
        assert_eq!(scaled_to_nearest("9.999", 2, 3), Err(NumberFault::Range));
        assert_eq!(scaled_to_nearest("x", 2, 3), Err(NumberFault::NotANumber));
        assert_eq!(rescaled_to_nearest(1_005, 3, 2, 10), Ok(101));
        assert_eq!(rescaled_to_nearest(-1_005, 3, 2, 10), Ok(-101));
        assert_eq!(rescaled_to_nearest(1_004, 3, 2, 10), Ok(100));
        assert_eq!(rescaled_to_nearest(i128::MAX, 38, -38, 10), Ok(0));
        assert_eq!(rescaled_to_nearest(9_995, 3, 2, 3), Err(NumberFault::Range));
        assert_eq!(rescaled_to_nearest(1, 0, 2, 2), Err(NumberFault::Range));
    }

    #[test]
    fn changing_the_scale_loses_nothing_or_fails() {
        assert_eq!(rescaled(1230, 2, 1, 10), Ok(123));
        assert_eq!(rescaled(1234, 2, 1, 10), Err(NumberFault::Fraction));
        assert_eq!(rescaled(12, 0, 3, 4), Err(NumberFault::Range));
        assert_eq!(rescaled(0, 38, -38, 1), Ok(0));
        assert_eq!(rounded(10.999_999_999_999_998, 2, 10), Ok(1100));
        assert_eq!(rounded(f64::NAN, 2, 10), Err(NumberFault::Range));
    }
}
