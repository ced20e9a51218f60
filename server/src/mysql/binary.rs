//! Arrow values in the binary form that answers a prepared statement: one writer per column and batch. The announced type says
//! how wide a value is on the wire, so the two cannot differ; what is announced as text, a decimal or JSON is text here too.
//!
//! ```text
//!   0 │ NULL bitmap, from bit 2 on │ the values that are not NULL
//! ```

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast_with_options, max, min};
use arrow::datatypes::*;
use arrow::error::ArrowError;
use bytes::{BufMut, BytesMut};

use super::column::{ColumnDefinition, type_code};
use super::moment::{MICROS_PER_SECOND, civil};
use super::text::{Cell, cell, local, split};

/// The bits of the NULL bitmap before the first column's.
const BITMAP_OFFSET: usize = 2;
const SECONDS_PER_DAY: i64 = 86_400;
/// The days of the years 0 to 9999, which the protocol can hold: since 1970-01-01.
const DAYS: std::ops::RangeInclusive<i64> = -719_528..=2_932_896;

/// The array in the type that its column is announced with. Done once per batch, before [`column`].
pub(super) fn widened(field: &FieldRef, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let announced = ColumnDefinition::of(field);
    let unsigned = announced.is_unsigned();
    let wanted = match announced.type_code {
        type_code::TINY if unsigned => DataType::UInt8,
        type_code::TINY => DataType::Int8,
        type_code::SHORT | type_code::YEAR if unsigned => DataType::UInt16,
        type_code::SHORT | type_code::YEAR => DataType::Int16,
        type_code::LONG | type_code::INT24 if unsigned => DataType::UInt32,
        type_code::LONG | type_code::INT24 => DataType::Int32,
        type_code::LONGLONG if unsigned => DataType::UInt64,
        type_code::LONGLONG => DataType::Int64,
        type_code::FLOAT => DataType::Float32,
        type_code::DOUBLE => DataType::Float64,
        type_code::DATE if !matches!(array.data_type(), DataType::Date64) => DataType::Date32,
        _ => return Ok(array.clone()),
    };
    if *array.data_type() == wanted {
        return Ok(array.clone());
    }
    cast_with_options(array, &wanted, &CastOptions { safe: false, ..CastOptions::default() })
}

/// One column of a batch.
pub(super) struct BinaryColumn<'a> {
    nulls: Option<NullBuffer>,
    put: Cell<'a>,
}

/// The writer of `array`'s values, which [`widened`] has seen.
pub(super) fn column<'a>(field: &'a FieldRef, array: &'a dyn Array) -> Result<BinaryColumn<'a>, ArrowError> {
    use type_code as code;
    let put: Cell<'a> = match (ColumnDefinition::of(field).type_code, array.data_type()) {
        (_, DataType::Null) => Box::new(|_, _| {}),
        (code::TINY, DataType::UInt8) => number::<UInt8Type>(array, |value, out| out.put_u8(value)),
        (code::TINY, DataType::Int8) => number::<Int8Type>(array, |value, out| out.put_i8(value)),
        (code::SHORT | code::YEAR, DataType::UInt16) => number::<UInt16Type>(array, |value, out| out.put_u16_le(value)),
        (code::SHORT | code::YEAR, DataType::Int16) => number::<Int16Type>(array, |value, out| out.put_i16_le(value)),
        (code::LONG | code::INT24, DataType::UInt32) => number::<UInt32Type>(array, |value, out| out.put_u32_le(value)),
        (code::LONG | code::INT24, DataType::Int32) => number::<Int32Type>(array, |value, out| out.put_i32_le(value)),
        (code::LONGLONG, DataType::UInt64) => number::<UInt64Type>(array, |value, out| out.put_u64_le(value)),
        (code::LONGLONG, DataType::Int64) => number::<Int64Type>(array, |value, out| out.put_i64_le(value)),
        (code::FLOAT, DataType::Float32) => number::<Float32Type>(array, |value, out| out.put_f32_le(value)),
        (code::DOUBLE, DataType::Float64) => number::<Float64Type>(array, |value, out| out.put_f64_le(value)),
        (code::DATE, DataType::Date32) => days::<Date32Type>(array, i64::from)?,
        (code::DATE, DataType::Date64) => days::<Date64Type>(array, |millis| millis.div_euclid(86_400_000))?,
        (code::DATETIME | code::TIMESTAMP | code::DATE, DataType::Timestamp(unit, zone)) => {
            moments(array, *unit, zone.as_deref())?
        }
        (code::TIME, DataType::Time32(TimeUnit::Second) | DataType::Duration(TimeUnit::Second)) => {
            spans(array, TimeUnit::Second)?
        }
        (code::TIME, DataType::Time32(_) | DataType::Duration(TimeUnit::Millisecond)) => {
            spans(array, TimeUnit::Millisecond)?
        }
        (code::TIME, DataType::Time64(TimeUnit::Nanosecond) | DataType::Duration(TimeUnit::Nanosecond)) => {
            spans(array, TimeUnit::Nanosecond)?
        }
        (code::TIME, DataType::Time64(_) | DataType::Duration(_)) => spans(array, TimeUnit::Microsecond)?,
        (code::DATETIME | code::TIMESTAMP | code::TIME, other) => {
            return Err(ArrowError::CastError(format!("{other} is announced as a time")));
        }
        // Decimals, texts, bytes, JSON: a length and the text, as in a row of text.
        _ => cell(field, array)?,
    };
    Ok(BinaryColumn { nulls: array.logical_nulls(), put })
}

/// Appends one row's payload.
pub(super) fn put_row(columns: &mut [BinaryColumn<'_>], row: usize, out: &mut BytesMut) {
    out.put_u8(0);
    let bitmap = out.len();
    out.put_bytes(0, (columns.len() + BITMAP_OFFSET).div_ceil(8));
    for (at, column) in columns.iter_mut().enumerate() {
        if column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            let bit = at + BITMAP_OFFSET;
            out[bitmap + bit / 8] |= 1 << (bit % 8);
        } else {
            (column.put)(row, out);
        }
    }
}

fn number<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, put: impl Fn(T::Native, &mut BytesMut) + 'a) -> Cell<'a> {
    let values = array.as_primitive::<T>();
    Box::new(move |row, out| put(values.value(row), out))
}

fn days<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    days: impl Fn(T::Native) -> i64 + 'a,
) -> Result<Cell<'a>, ArrowError> {
    let values = array.as_primitive::<T>();
    within(min(values).map(&days), max(values).map(&days))?;
    Ok(number::<T>(array, move |value, out| {
        out.put_u8(4);
        put_day(days(value), out);
    }))
}

fn moments<'a>(array: &'a dyn Array, unit: TimeUnit, zone: Option<&str>) -> Result<Cell<'a>, ArrowError> {
    let local = local(unit, zone);
    match unit {
        TimeUnit::Second => moments_of::<TimestampSecondType>(array, local),
        TimeUnit::Millisecond => moments_of::<TimestampMillisecondType>(array, local),
        TimeUnit::Microsecond => moments_of::<TimestampMicrosecondType>(array, local),
        TimeUnit::Nanosecond => moments_of::<TimestampNanosecondType>(array, local),
    }
}

fn moments_of<'a, T: ArrowPrimitiveType<Native = i64>>(
    array: &'a dyn Array,
    local: impl Fn(i64) -> (i64, u32) + 'a,
) -> Result<Cell<'a>, ArrowError> {
    let values = array.as_primitive::<T>();
    let day = |value| local(value).0.div_euclid(SECONDS_PER_DAY);
    within(min(values).map(day), max(values).map(day))?;
    Ok(number::<T>(array, move |value, out| {
        let (seconds, micros) = local(value);
        let (day, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY));
        out.put_u8(match (second, micros) {
            (0, 0) => 4,
            (_, 0) => 7,
            _ => 11,
        });
        put_day(day, out);
        if second > 0 || micros > 0 {
            put_clock(second, out);
        }
        if micros > 0 {
            out.put_u32_le(micros);
        }
    }))
}

fn spans(array: &dyn Array, unit: TimeUnit) -> Result<Cell<'_>, ArrowError> {
    let put = move |value: i64, out: &mut BytesMut| {
        let (seconds, micros) = split(value, unit);
        // The sign stands for the whole, so the fraction counts away from zero as well.
        let total = i128::from(seconds) * i128::from(MICROS_PER_SECOND) + i128::from(micros);
        let (micros, total) = (total.unsigned_abs() % 1_000_000, total.unsigned_abs() / 1_000_000);
        let (days, second) = ((total / 86_400) as u32, (total % 86_400) as i64);
        if total == 0 && micros == 0 {
            return out.put_u8(0);
        }
        out.put_u8(if micros > 0 { 12 } else { 8 });
        out.put_u8(u8::from(value < 0));
        out.put_u32_le(days);
        put_clock(second, out);
        if micros > 0 {
            out.put_u32_le(micros as u32);
        }
    };
    Ok(match array.data_type() {
        DataType::Time32(TimeUnit::Second) => {
            number::<Time32SecondType>(array, move |value, out| put(value.into(), out))
        }
        DataType::Time32(_) => number::<Time32MillisecondType>(array, move |value, out| put(value.into(), out)),
        DataType::Time64(TimeUnit::Nanosecond) => number::<Time64NanosecondType>(array, put),
        DataType::Time64(_) => number::<Time64MicrosecondType>(array, put),
        DataType::Duration(TimeUnit::Second) => bounded::<DurationSecondType>(array, put)?,
        DataType::Duration(TimeUnit::Millisecond) => number::<DurationMillisecondType>(array, put),
        DataType::Duration(TimeUnit::Microsecond) => number::<DurationMicrosecondType>(array, put),
        DataType::Duration(TimeUnit::Nanosecond) => number::<DurationNanosecondType>(array, put),
        other => return Err(ArrowError::CastError(format!("{other} is announced as a time"))),
    })
}

/// Spans of seconds may have more days than the protocol has room for.
fn bounded<'a, T: ArrowPrimitiveType<Native = i64>>(
    array: &'a dyn Array,
    put: impl Fn(i64, &mut BytesMut) + 'a,
) -> Result<Cell<'a>, ArrowError> {
    const SECONDS: u64 = u32::MAX as u64 * 86_400;
    let values = array.as_primitive::<T>();
    match [min(values), max(values)].into_iter().flatten().find(|value| value.unsigned_abs() > SECONDS) {
        Some(value) => Err(ArrowError::CastError(format!("{value} s is more than a time can hold"))),
        None => Ok(number::<T>(array, put)),
    }
}

fn within(least: Option<i64>, greatest: Option<i64>) -> Result<(), ArrowError> {
    match [least, greatest].into_iter().flatten().find(|day| !DAYS.contains(day)) {
        Some(day) => {
            Err(ArrowError::CastError(format!("the day {day} after 1970-01-01 is not in the years 0 to 9999")))
        }
        None => Ok(()),
    }
}

fn put_day(days: i64, out: &mut BytesMut) {
    let (year, month, day) = civil(days);
    out.put_u16_le(year as u16);
    out.put_u8(month);
    out.put_u8(day);
}

fn put_clock(seconds: i64, out: &mut BytesMut) {
    out.put_u8((seconds / 3_600) as u8);
    out.put_u8((seconds / 60 % 60) as u8);
    out.put_u8((seconds % 60) as u8);
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::*;

    use super::*;
    use crate::mysql::column::MYSQL_TYPE_KEY;

    /// The payload of each row of one column.
    fn rows_as(array: impl Array + 'static, mysql_type: Option<&str>) -> Result<Vec<Vec<u8>>, ArrowError> {
        let array: ArrayRef = Arc::new(array);
        let metadata = mysql_type.map(|name| (MYSQL_TYPE_KEY.to_owned(), name.to_owned()));
        let field = Field::new("c", array.data_type().clone(), true).with_metadata(HashMap::from_iter(metadata));
        let field: FieldRef = Arc::new(field);
        let array = widened(&field, &array)?;
        let mut columns = [column(&field, &array)?];
        let row = |row| {
            let mut out = BytesMut::new();
            put_row(&mut columns, row, &mut out);
            out.to_vec()
        };
        Ok((0..array.len()).map(row).collect())
    }

    /// The bytes of the only value.
    fn one(array: impl Array + 'static) -> Vec<u8> {
        let row = rows_as(array, None).unwrap().remove(0);
        assert_eq!(row[..2], [0, 0]);
        row[2..].to_vec()
    }

    #[test]
    fn numbers_are_as_wide_as_they_are_announced() {
        assert_eq!(one(Int8Array::from(vec![-1])), [0xFF]);
        assert_eq!(one(BooleanArray::from(vec![true])), [1]);
        assert_eq!(one(Int16Array::from(vec![-2])), [0xFE, 0xFF]);
        assert_eq!(one(UInt32Array::from(vec![u32::MAX])), [0xFF; 4]);
        assert_eq!(one(Int64Array::from(vec![i64::MIN])), i64::MIN.to_le_bytes());
        assert_eq!(one(UInt64Array::from(vec![u64::MAX])), [0xFF; 8]);
        assert_eq!(one(Float32Array::from(vec![1.5])), 1.5_f32.to_le_bytes());
        assert_eq!(one(Float64Array::from(vec![-0.1])), (-0.1_f64).to_le_bytes());
    }

    #[test]
    fn the_announced_type_decides_where_it_is_another_than_the_stored_one() {
        let decimal = |value| Decimal128Array::from(vec![value]).with_precision_and_scale(20, 0).unwrap();
        let rows = rows_as(decimal(i128::from(u64::MAX)), Some("BIGINT UNSIGNED")).unwrap();
        assert_eq!(rows, [[0; 2].iter().chain(&[0xFF; 8]).copied().collect::<Vec<_>>()]);
        assert!(rows_as(decimal(-1), Some("BIGINT UNSIGNED")).is_err(), "no value is cut to fit");
        let rows = rows_as(Int32Array::from(vec![200]), Some("TINYINT UNSIGNED")).unwrap();
        assert_eq!(rows, [vec![0, 0, 200]]);
        assert!(rows_as(Int32Array::from(vec![300]), Some("TINYINT UNSIGNED")).is_err());
        let rows = rows_as(StringArray::from(vec!["{}"]), Some("JSON")).unwrap();
        assert_eq!(rows, [vec![0, 0, 2, b'{', b'}']]);
    }

    #[test]
    fn days_and_times_leave_out_what_is_zero() {
        assert_eq!(one(Date32Array::from(vec![19_782])), [4, 0xE8, 7, 2, 29]);
        assert_eq!(one(Date64Array::from(vec![19_782 * 86_400_000])), [4, 0xE8, 7, 2, 29]);
        let at = |micros: i64| one(TimestampMicrosecondArray::from(vec![19_782 * 86_400_000_000 + micros]));
        assert_eq!(at(0), [4, 0xE8, 7, 2, 29]);
        assert_eq!(at(3_661_000_000), [7, 0xE8, 7, 2, 29, 1, 1, 1]);
        assert_eq!(at(5), [11, 0xE8, 7, 2, 29, 0, 0, 0, 5, 0, 0, 0]);
        assert_eq!(one(TimestampNanosecondArray::from(vec![-1])), [11, 0xB1, 7, 12, 31, 23, 59, 59, 0x3F, 0x42, 15, 0]);
        let zoned = TimestampSecondArray::from(vec![0]).with_timezone("+02:00");
        assert_eq!(one(zoned), [7, 0xB2, 7, 1, 1, 2, 0, 0]);
        assert_eq!(one(Time64MicrosecondArray::from(vec![0])), [0]);
        assert_eq!(one(Time32SecondArray::from(vec![3_661])), [8, 0, 0, 0, 0, 0, 1, 1, 1]);
        assert_eq!(
            one(DurationMillisecondArray::from(vec![-90_061_500])),
            [12, 1, 1, 0, 0, 0, 1, 1, 1, 0x20, 0xA1, 7, 0]
        );
    }

    #[test]
    fn what_the_protocol_cannot_hold_is_an_error_and_not_another_value() {
        assert!(rows_as(Date32Array::from(vec![i32::MAX]), None).is_err());
        assert!(rows_as(TimestampSecondArray::from(vec![i64::MIN]), None).is_err());
        assert!(rows_as(DurationSecondArray::from(vec![i64::MAX]), None).is_err());
        assert_eq!(one(Date32Array::from(vec![2_932_896])), [4, 0x0F, 0x27, 12, 31]);
        assert_eq!(one(Date32Array::from(vec![-719_528])), [4, 0, 0, 1, 1]);
    }

    #[test]
    fn texts_decimals_and_nested_values_are_text() {
        assert_eq!(one(StringViewArray::from(vec!["grüße"])), [b"\x07gr".as_slice(), "üße".as_bytes()].concat());
        assert_eq!(one(BinaryArray::from(vec![&b"\xFF\0"[..]])), b"\x02\xFF\0");
        let decimal = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(one(decimal), b"\x07-123.45");
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None])]);
        assert_eq!(one(list), b"\x08[1,null]");
    }

    #[test]
    fn the_bitmap_begins_at_its_third_bit() {
        let fields: Vec<FieldRef> =
            (0..7).map(|at| Arc::new(Field::new(format!("c{at}"), DataType::Int8, true)) as FieldRef).collect();
        let arrays: Vec<ArrayRef> =
            (0..7).map(|at| Arc::new(Int8Array::from(vec![(at != 0 && at != 6).then_some(at)])) as ArrayRef).collect();
        let columns = fields.iter().zip(&arrays).map(|(field, array)| column(field, array));
        let mut columns: Vec<BinaryColumn<'_>> = columns.collect::<Result<_, _>>().unwrap();
        let mut out = BytesMut::new();
        put_row(&mut columns, 0, &mut out);
        assert_eq!(&out[..], [0, 0b0000_0100, 0b0000_0001, 1, 2, 3, 4, 5]);
        assert_eq!(rows_as(NullArray::new(1), None).unwrap(), [[0, 0b0000_0100]]);
    }
}
