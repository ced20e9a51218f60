//! DEFAULT values: from the literal in the DDL to the column's own value, and back to the literal that SHOW CREATE prints.

use catalog::{ColumnType, DecimalText, IntegerWidth, Scalar};
use chrono::{DateTime, NaiveDate};
use warehouse::schema::integer_bounds;
pub(crate) use warehouse::schema::quoted;
use warehouse::write::decode::{value_of_bytes, value_of_text};

use crate::mysql::SqlError;

/// MySQL's number for a DEFAULT that the column cannot hold.
pub(crate) const INVALID_DEFAULT: u16 = 1067;
const DATE: &str = "%Y-%m-%d";
const MOMENT: &str = "%Y-%m-%d %H:%M:%S%.f";
/// A moment with all six digits of its microseconds.
pub(crate) const MOMENT_MICROS: &str = "%Y-%m-%d %H:%M:%S%.6f";

/// Digits that a DECIMAL may have.
pub(crate) const DECIMAL_DIGITS_MAX: usize = 38;

/// How many digits a decimal without a sign has before and behind its point. The zero in front of the point is none of its type's: `0.` and
/// 38 digits are a DECIMAL(38,38).
pub(crate) fn decimal_places(unsigned: &str) -> (usize, usize) {
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    (whole.trim_start_matches('0').len(), fraction.len())
}

/// A literal as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    Bytes(Vec<u8>),
}

/// The value of `column` that DEFAULT `literal` means.
pub(crate) fn default_of(
    column: &str,
    kind: &ColumnType,
    nullable: bool,
    literal: &Literal,
) -> Result<Scalar, SqlError> {
    let value = match literal {
        Literal::Null if nullable => Ok(Scalar::Null),
        Literal::Null => Err("it is NOT NULL".to_owned()),
        Literal::Bool(value) => of_text(kind, if *value { "1" } else { "0" }),
        Literal::Number(text) | Literal::Text(text) => of_text(kind, text),
        Literal::Bytes(bytes) => of_bytes(kind, bytes),
    };
    value.map_err(|cause| SqlError::new(INVALID_DEFAULT, format!("Invalid default value for '{column}': {cause}")))
}

fn of_text(kind: &ColumnType, text: &str) -> Result<Scalar, String> {
    match kind {
        ColumnType::Boolean => match text.to_ascii_lowercase().as_str() {
            "1" | "true" => Ok(Scalar::Bool(true)),
            "0" | "false" => Ok(Scalar::Bool(false)),
            _ => Err(format!("{text:?} is neither TRUE nor FALSE")),
        },
        ColumnType::Integer { width, unsigned } => integer(*width, *unsigned, text),
        ColumnType::Float | ColumnType::Double => match text.parse::<f64>() {
            // What is beyond 32 bits would be infinite in its column.
            Ok(value) if *kind == ColumnType::Float && value.is_finite() && (value as f32).is_infinite() => {
                Err(format!("{text} is out of range for float"))
            }
            Ok(value) if value.is_finite() => Ok(Scalar::Float(value)),
            _ => Err(format!("{text:?} is not a number")),
        },
        ColumnType::Decimal { precision, scale } => decimal(*precision, *scale, text),
        ColumnType::Date => NaiveDate::parse_from_str(text, DATE)
            .map(|date| Scalar::Date(date.to_epoch_days()))
            .map_err(|_| format!("{text:?} is not a date; write 'YYYY-MM-DD'")),
        ColumnType::Array { .. } | ColumnType::Map { .. } => {
            Err("an ARRAY or MAP can have no DEFAULT but NULL".to_owned())
        }
        ColumnType::DateTime { .. }
        | ColumnType::Timestamp { .. }
        | ColumnType::Time { .. }
        | ColumnType::Year
        | ColumnType::Char { .. }
        | ColumnType::Enum { .. }
        | ColumnType::Binary { .. }
        | ColumnType::VarBinary { .. } => value_of_text(kind, text),
        ColumnType::Text { characters_max } => match characters_max {
            Some(max) if text.chars().count() > *max as usize => Err(format!("it has more than {max} characters")),
            _ => Ok(Scalar::Text(text.to_owned())),
        },
        ColumnType::Json => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Ok(Scalar::Text(text.to_owned())),
            Err(error) => Err(format!("it is not JSON: {error}")),
        },
    }
}

fn of_bytes(kind: &ColumnType, bytes: &[u8]) -> Result<Scalar, String> {
    match kind {
        ColumnType::Binary { .. } | ColumnType::VarBinary { .. } => value_of_bytes(kind, bytes),
        _ => match std::str::from_utf8(bytes) {
            Ok(text) => of_text(kind, text),
            Err(_) => Err("its bytes are no text".to_owned()),
        },
    }
}

fn integer(width: IntegerWidth, unsigned: bool, text: &str) -> Result<Scalar, String> {
    let (min, max) = integer_bounds(width, unsigned);
    let value: i128 = text.parse().map_err(|_| format!("{text:?} is not a whole number"))?;
    if !(min..=max).contains(&value) {
        return Err(format!("{value} is not between {min} and {max}"));
    }
    // BIGINT UNSIGNED is stored as decimal(20,0).
    match (width, unsigned) {
        (IntegerWidth::Big, true) => Ok(Scalar::Decimal(DecimalText(value), 0)),
        _ => Ok(Scalar::Int(i64::try_from(value).expect("it is within the bounds of a narrower type"))),
    }
}

fn decimal(precision: u8, scale: u8, text: &str) -> Result<Scalar, String> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !all_digits || whole.len() + fraction.len() == 0 {
        return Err(format!("{text:?} is not a decimal number"));
    }
    let places = usize::from(scale);
    let fraction = fraction.trim_end_matches('0');
    let whole = whole.trim_start_matches('0');
    if fraction.len() > places || whole.len() + places > usize::from(precision) {
        return Err(format!("{text} does not fit into decimal({precision},{scale})"));
    }
    let unscaled: i128 =
        format!("0{whole}{fraction:0<places$}").parse().map_err(|_| format!("{text:?} is not a decimal number"))?;
    let scale = i8::try_from(scale).expect("a scale is at most 38");
    Ok(Scalar::Decimal(DecimalText(if negative { -unscaled } else { unscaled }), scale))
}

/// The literal that reads back as `value` of a column of `kind`.
pub(crate) fn literal_text(kind: &ColumnType, value: &Scalar) -> String {
    match value {
        Scalar::Bytes(bytes) => format!("X'{}'", hex::encode(bytes)),
        Scalar::Micros(micros) => {
            let (text, digits) = match kind {
                ColumnType::Time { digits } => (span_text(*micros), *digits),
                ColumnType::DateTime { digits } | ColumnType::Timestamp { digits } => (time_text(value), *digits),
                _ => (time_text(value), None),
            };
            format!("'{}'", with_digits(text, digits))
        }
        Scalar::Null => "NULL".to_owned(),
        Scalar::Bool(value) => format!("'{}'", u8::from(*value)),
        Scalar::Int(value) => format!("'{value}'"),
        Scalar::Float(value) => format!("'{value}'"),
        Scalar::Decimal(value, scale) => format!("'{}'", decimal_text(value.0, *scale)),
        Scalar::Date(_) => format!("'{}'", time_text(value)),
        Scalar::Text(text) => quoted(text),
    }
}

/// What `information_schema.columns.COLUMN_DEFAULT` shows: the value without quotes.
pub(crate) fn default_text(kind: &ColumnType, value: &Scalar) -> Option<String> {
    match value {
        Scalar::Null => None,
        Scalar::Text(text) => Some(text.clone()),
        Scalar::Bytes(bytes) => Some(format!("0x{}", hex::encode_upper(bytes))),
        other => Some(literal_text(kind, other).trim_matches('\'').to_owned()),
    }
}

/// The text of a time, with just so many digits of a second where a number is declared.
fn with_digits(text: String, digits: Option<u8>) -> String {
    let Some(digits) = digits.map(usize::from) else { return text };
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    if digits == 0 { whole.to_owned() } else { format!("{whole}.{:.digits$}", format!("{fraction:0<6}")) }
}

/// A TIME as MySQL writes it.
pub(crate) fn span_text(micros: i64) -> String {
    let (sign, micros) = (if micros < 0 { "-" } else { "" }, micros.unsigned_abs());
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let whole = format!("{sign}{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { whole } else { format!("{whole}.{fraction:06}") }
}

fn decimal_text(unscaled: i128, scale: i8) -> String {
    let places = usize::try_from(scale).unwrap_or_default();
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// A day as MySQL writes it.
pub(crate) fn date_text(date: NaiveDate) -> String {
    date.format(DATE).to_string()
}

/// A date, or a moment in UTC, as MySQL writes it.
pub(crate) fn time_text(value: &Scalar) -> String {
    match value {
        Scalar::Date(days) => NaiveDate::from_epoch_days(*days).map(|date| date.format(DATE).to_string()),
        Scalar::Micros(micros) => {
            DateTime::from_timestamp_micros(*micros).map(|moment| moment.naive_utc().format(MOMENT).to_string())
        }
        _ => None,
    }
    .unwrap_or_else(|| value.to_string())
}

/// A name in backticks.
pub(crate) fn backticked(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: &ColumnType, text: &str) -> Result<Scalar, String> {
        default_of("c", kind, true, &Literal::Text(text.into())).map_err(|error| error.message)
    }

    const BIG_UNSIGNED: ColumnType = ColumnType::Integer { width: IntegerWidth::Big, unsigned: true };

    #[test]
    fn a_default_reads_back_as_it_is_shown() {
        for (kind, text) in [
            (ColumnType::Boolean, "1"),
            (ColumnType::Integer { width: IntegerWidth::Tiny, unsigned: false }, "-128"),
            (BIG_UNSIGNED, "18446744073709551615"),
            (ColumnType::Double, "-2.5"),
            (ColumnType::Decimal { precision: 10, scale: 2 }, "-12.30"),
            (ColumnType::Decimal { precision: 3, scale: 3 }, "0.005"),
            (ColumnType::Date, "2013-01-31"),
            (ColumnType::TIMESTAMP, "1969-12-31 23:59:59.500000"),
            (ColumnType::DateTime { digits: Some(0) }, "1969-12-31 23:59:59"),
            (ColumnType::Time { digits: None }, "-838:59:58.500000"),
            (ColumnType::Year, "2026"),
            (ColumnType::Char { characters: 2 }, "ab"),
            (ColumnType::Enum { values: vec!["x".into(), "y".into()] }, "y"),
            (ColumnType::Text { characters_max: None }, "it's \\ a\nline"),
            (ColumnType::Json, "{\"a\": 1}"),
        ] {
            let value = of(&kind, text).unwrap();
            assert_eq!(of(&kind, &default_text(&kind, &value).unwrap()), Ok(value), "{text}");
        }
        let money = ColumnType::Decimal { precision: 10, scale: 2 };
        assert_eq!(literal_text(&money, &Scalar::Decimal(DecimalText(-1230), 2)), "'-12.30'");
        assert_eq!(literal_text(&ColumnType::TEXT, &Scalar::Text("it's \\".into())), "'it''s \\\\'");
        let half = Scalar::Micros(500_000);
        assert_eq!(literal_text(&ColumnType::Time { digits: Some(3) }, &half), "'00:00:00.500'");
        assert_eq!(literal_text(&ColumnType::DateTime { digits: Some(1) }, &half), "'1970-01-01 00:00:00.5'");
        assert_eq!(literal_text(&ColumnType::BLOB, &Scalar::Bytes(vec![0, 0xff])), "X'00ff'");
    }

    #[test]
    fn a_default_that_the_column_cannot_hold_is_refused_with_its_name() {
        let tiny = ColumnType::Integer { width: IntegerWidth::Tiny, unsigned: false };
        assert_eq!(of(&tiny, "128").unwrap_err(), "Invalid default value for 'c': 128 is not between -128 and 127");
        assert!(of(&ColumnType::Decimal { precision: 4, scale: 2 }, "123.4").unwrap_err().contains("decimal(4,2)"));
        assert!(of(&ColumnType::Decimal { precision: 4, scale: 2 }, "1.234").is_err());
        assert!(of(&ColumnType::Date, "31.1.2013").unwrap_err().contains("'YYYY-MM-DD'"));
        assert!(of(&ColumnType::TIMESTAMP, "noon").unwrap_err().contains("HH:MM:SS"));
        assert!(of(&ColumnType::Json, "{").unwrap_err().contains("not JSON"));
        assert!(of(&ColumnType::Text { characters_max: Some(2) }, "abc").is_err());
        assert!(of(&ColumnType::Enum { values: vec!["x".into()] }, "z").unwrap_err().contains("none of the enum"));
        assert!(of(&ColumnType::Time { digits: None }, "839:00:00").unwrap_err().contains("out of range"));
        assert!(
            of(&ColumnType::Array { element: Box::new(ColumnType::TEXT) }, "[]").unwrap_err().contains("no DEFAULT")
        );
        assert_eq!(of(&ColumnType::Binary { bytes: 3 }, "ab"), Ok(Scalar::Bytes(vec![b'a', b'b', 0])));
        assert!(of(&ColumnType::Float, "1e39").unwrap_err().contains("out of range"));
        let error = default_of("c", &tiny, false, &Literal::Null).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (1067, "Invalid default value for 'c': it is NOT NULL"));
    }
}
