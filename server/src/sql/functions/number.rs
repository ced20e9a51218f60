//! Numbers as MySQL takes them: `CAST(… AS SIGNED)`.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float64Type, TimeUnit, TimestampMicrosecondType};
use arrow::temporal_conversions::{date32_to_datetime, timestamp_us_to_datetime};
use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion::common::Result;

use super::{Own, texts};

pub(super) fn all() -> Vec<Own> {
    vec![Own { name: "signed", arguments: 1..=1, returns: DataType::Int64, compute: signed }]
}

/// A fraction is rounded, a text is read as far as it is a number, a moment is its digits.
fn signed(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let values = &arguments[0];
    let whole: Int64Array = match values.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let floats = cast(values, &DataType::Float64)?;
            // Beyond the bounds the nearest is taken, as in MySQL.
            floats.as_primitive::<Float64Type>().iter().map(|value| value.map(|value| value.round() as i64)).collect()
        }
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let rounded = cast(values, &DataType::Decimal128(38, 0))?;
            let nearest = |value: i128| i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
            rounded.as_primitive::<arrow::datatypes::Decimal128Type>().iter().map(|value| value.map(nearest)).collect()
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            texts(values)?.iter().map(|text| text.map(leading_number)).collect()
        }
        DataType::Date32 => {
            let dates = values.as_primitive::<Date32Type>();
            dates.iter().map(|day| date32_to_datetime(day?).map(|moment| digits(moment) / 1_000_000)).collect()
        }
        DataType::Timestamp(..) => {
            let moments = cast(values, &DataType::Timestamp(TimeUnit::Microsecond, None))?;
            let moments = moments.as_primitive::<TimestampMicrosecondType>();
            moments.iter().map(|micros| timestamp_us_to_datetime(micros?).map(digits)).collect()
        }
        _ => return Ok(cast(values, &DataType::Int64)?),
    };
    Ok(Arc::new(whole))
}

/// `20240105100000` for `2024-01-05 10:00:00`.
fn digits(moment: NaiveDateTime) -> i64 {
    let date = (i64::from(moment.year()) * 100 + i64::from(moment.month())) * 100 + i64::from(moment.day());
    ((date * 100 + i64::from(moment.hour())) * 100 + i64::from(moment.minute())) * 100 + i64::from(moment.second())
}

/// The whole number that a text begins with; 0 where it begins with none.
fn leading_number(text: &str) -> i64 {
    let text = text.trim_start();
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = digits
        .bytes()
        .take_while(u8::is_ascii_digit)
        .fold(0_i64, |number, digit| number.saturating_mul(10).saturating_add(i64::from(digit - b'0')));
    if is_negative { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_far_as_it_is_a_number() {
        for (text, number) in
            [("12abc", 12), (" -7.9", -7), ("+3", 3), ("abc", 0), ("", 0), ("99999999999999999999", i64::MAX)]
        {
            assert_eq!(leading_number(text), number, "{text}");
        }
    }
}
