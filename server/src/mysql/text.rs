//! Arrow values as MySQL text: one writer per column and batch, which knows its array's type, so that the loop over the rows
//! asks nothing about types. Owns the text of a value; packets and rows are in `resultset`.

use std::sync::LazyLock;

use arrow::array::timezone::Tz;
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, make_array};
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{BufMut, BytesMut};
use chrono::{DateTime, Offset, TimeZone};

use super::column::MYSQL_TYPE_KEY;
use super::fields::{NULL, put_string};
use super::form::Form;
use super::json_text::json_writer;
use super::moment::{MICROS_PER_SECOND, put_date, put_datetime, put_span};

/// Appends the value of one row as a field of a text row.
pub(super) type Cell<'a> = Box<dyn FnMut(usize, &mut BytesMut) + 'a>;

static DISPLAY_OPTIONS: LazyLock<FormatOptions<'static>> = LazyLock::new(FormatOptions::default);

/// The array with dictionaries and runs unfolded, as [`cell`] wants it. Done once per batch.
pub(super) fn unfold(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        DataType::Dictionary(_, value) => unfold(&cast(array, value)?),
        DataType::RunEndEncoded(_, values) => unfold(&cast(array, values.data_type())?),
        _ => Ok(array.clone()),
    }
}

/// The writer of `array`'s values.
pub(super) fn cell<'a>(field: &'a FieldRef, array: &'a dyn Array) -> Result<Cell<'a>, ArrowError> {
    use DataType::*;
    let form = field.metadata().get(MYSQL_TYPE_KEY).map_or(Form::Plain, |sql_type| Form::named(sql_type));
    let digits = form.digits();
    Ok(match array.data_type() {
        Null => Box::new(|_, out| out.put_u8(NULL)),
        Boolean => {
            let values = array.as_boolean();
            nullable(array, move |row, out| put_string(out, if values.value(row) { b"1" } else { b"0" }))
        }
        Int8 => number::<Int8Type>(array, |value, out| put_integer_text(value.into(), out)),
        Int16 => number::<Int16Type>(array, |value, out| put_integer_text(value.into(), out)),
        Int32 if form == Form::Year => {
            number::<Int32Type>(array, |year, out| out.put_slice(format!("{year:04}").as_bytes()))
        }
        Int32 => number::<Int32Type>(array, |value, out| put_integer_text(value.into(), out)),
        Int64 => number::<Int64Type>(array, |value, out| put_integer_text(value.into(), out)),
        UInt8 => number::<UInt8Type>(array, |value, out| put_integer_text(value.into(), out)),
        UInt16 => number::<UInt16Type>(array, |value, out| put_integer_text(value.into(), out)),
        UInt32 => number::<UInt32Type>(array, |value, out| put_integer_text(value.into(), out)),
        UInt64 => number::<UInt64Type>(array, |value, out| put_integer_text(value.into(), out)),
        Float16 => number::<Float16Type>(array, |value, out| put_float(value.is_finite(), f32::from(value), out)),
        Float32 => number::<Float32Type>(array, |value, out| put_float(value.is_finite(), value, out)),
        Float64 => number::<Float64Type>(array, |value, out| put_float(value.is_finite(), value, out)),
        Decimal32(_, scale) => decimal::<Decimal32Type>(array, *scale),
        Decimal64(_, scale) => decimal::<Decimal64Type>(array, *scale),
        Decimal128(_, scale) => decimal::<Decimal128Type>(array, *scale),
        Decimal256(_, scale) => decimal::<Decimal256Type>(array, *scale),
        Date32 => number::<Date32Type>(array, |days, out| put_date(days.into(), out)),
        Date64 => number::<Date64Type>(array, |millis, out| put_date(millis.div_euclid(86_400_000), out)),
        Timestamp(unit, zone) => timestamp(array, *unit, zone.as_deref(), digits),
        Time32(TimeUnit::Second) => span::<Time32SecondType>(array, TimeUnit::Second, digits),
        Time32(_) => span::<Time32MillisecondType>(array, TimeUnit::Millisecond, digits),
        Time64(TimeUnit::Nanosecond) => span::<Time64NanosecondType>(array, TimeUnit::Nanosecond, digits),
        Time64(_) => span::<Time64MicrosecondType>(array, TimeUnit::Microsecond, digits),
        Duration(TimeUnit::Second) => span::<DurationSecondType>(array, TimeUnit::Second, digits),
        Duration(TimeUnit::Millisecond) => span::<DurationMillisecondType>(array, TimeUnit::Millisecond, digits),
        Duration(TimeUnit::Microsecond) => span::<DurationMicrosecondType>(array, TimeUnit::Microsecond, digits),
        Duration(TimeUnit::Nanosecond) => span::<DurationNanosecondType>(array, TimeUnit::Nanosecond, digits),
        Utf8 => {
            let values = array.as_string::<i32>();
            nullable(array, move |row, out| put_string(out, values.value(row).as_bytes()))
        }
        LargeUtf8 => {
            let values = array.as_string::<i64>();
            nullable(array, move |row, out| put_string(out, values.value(row).as_bytes()))
        }
        Utf8View => {
            let values = array.as_string_view();
            nullable(array, move |row, out| put_string(out, values.value(row).as_bytes()))
        }
        Binary => {
            let values = array.as_binary::<i32>();
            nullable(array, move |row, out| put_string(out, values.value(row)))
        }
        LargeBinary => {
            let values = array.as_binary::<i64>();
            nullable(array, move |row, out| put_string(out, values.value(row)))
        }
        BinaryView => {
            let values = array.as_binary_view();
            nullable(array, move |row, out| put_string(out, values.value(row)))
        }
        FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            nullable(array, move |row, out| put_string(out, values.value(row)))
        }
        List(_) | LargeList(_) | ListView(_) | LargeListView(_) | FixedSizeList(..) | Struct(_) | Map(..) => {
            json(&form, array)?
        }
        Interval(_) | Union(..) | Dictionary(..) | RunEndEncoded(..) => displayed(array)?,
    })
}

fn nullable<'a>(array: &'a dyn Array, put: impl Fn(usize, &mut BytesMut) + 'a) -> Cell<'a> {
    if array.null_count() == 0 {
        return Box::new(put);
    }
    Box::new(move |row, out| if array.is_null(row) { out.put_u8(NULL) } else { put(row, out) })
}

fn number<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, put: impl Fn(T::Native, &mut BytesMut) + 'a) -> Cell<'a> {
    let values = array.as_primitive::<T>();
    nullable(array, move |row, out| short(out, |out| put(values.value(row), out)))
}

fn decimal<'a, T: DecimalType>(array: &'a dyn Array, scale: i8) -> Cell<'a> {
    let values = array.as_primitive::<T>();
    nullable(array, move |row, out| {
        put_string(out, T::format_decimal(values.value(row), T::MAX_PRECISION, scale).as_bytes())
    })
}

/// From a timestamp's value to the seconds that its zone's clocks show, and the microseconds above them.
pub(super) fn local(unit: TimeUnit, zone: Option<&str>) -> impl Fn(i64) -> (i64, u32) + Copy + use<> {
    let zone = zone_of(zone);
    move |value| {
        let (seconds, micros) = split(value, unit);
        let east = zone.map_or(0, |zone| seconds_east(zone, seconds));
        (seconds.saturating_add(east), micros)
    }
}

fn timestamp<'a>(array: &'a dyn Array, unit: TimeUnit, zone: Option<&str>, digits: Option<u8>) -> Cell<'a> {
    let local = local(unit, zone);
    let put = move |value: i64, out: &mut BytesMut| {
        let (seconds, micros) = local(value);
        put_datetime(seconds, micros, digits, out);
    };
    match unit {
        TimeUnit::Second => number::<TimestampSecondType>(array, put),
        TimeUnit::Millisecond => number::<TimestampMillisecondType>(array, put),
        TimeUnit::Microsecond => number::<TimestampMicrosecondType>(array, put),
        TimeUnit::Nanosecond => number::<TimestampNanosecondType>(array, put),
    }
}

/// The zone of that name.
pub(super) fn zone_of(name: Option<&str>) -> Option<Tz> {
    name.and_then(|name| name.parse().ok())
}

fn span<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, unit: TimeUnit, digits: Option<u8>) -> Cell<'a>
where
    T::Native: Into<i64>,
{
    number::<T>(array, move |value, out| {
        let value: i64 = value.into();
        put_span(value < 0, span_micros(value, unit), digits, out);
    })
}

/// The microseconds of a span. Below zero the sign stands in front of the whole, so the fraction counts away from zero as well.
pub(super) fn span_micros(value: i64, unit: TimeUnit) -> u128 {
    let (seconds, micros) = split(value, unit);
    (i128::from(seconds) * i128::from(MICROS_PER_SECOND) + i128::from(micros)).unsigned_abs()
}

fn json<'a>(form: &Form, array: &'a dyn Array) -> Result<Cell<'a>, ArrowError> {
    let write = json_writer(form, &make_array(array.to_data()))?;
    let mut scratch = BytesMut::new();
    Ok(Box::new(move |row, out| {
        if array.is_null(row) {
            return out.put_u8(NULL);
        }
        scratch.clear();
        write(row, &mut scratch);
        put_string(out, &scratch);
    }))
}

/// Types without a counterpart in MySQL, as Arrow shows them.
fn displayed<'a>(array: &'a dyn Array) -> Result<Cell<'a>, ArrowError> {
    let formatter = ArrayFormatter::try_new(array, &DISPLAY_OPTIONS)?;
    let nulls = array.logical_nulls();
    Ok(Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            return out.put_u8(NULL);
        }
        put_string(out, formatter.value(row).to_string().as_bytes());
    }))
}

/// Whole seconds, rounded down, and the microseconds above them.
pub(super) fn split(value: i64, unit: TimeUnit) -> (i64, u32) {
    let (seconds, micros) = match unit {
        TimeUnit::Second => (value, 0),
        TimeUnit::Millisecond => (value.div_euclid(1_000), value.rem_euclid(1_000) * 1_000),
        TimeUnit::Microsecond => (value.div_euclid(MICROS_PER_SECOND), value.rem_euclid(MICROS_PER_SECOND)),
        TimeUnit::Nanosecond => (value.div_euclid(1_000_000_000), value.rem_euclid(1_000_000_000) / 1_000),
    };
    (seconds, micros as u32)
}

/// How far local time in `zone` is ahead of UTC at that moment. Beyond the calendar's range it is taken as UTC.
pub(super) fn seconds_east(zone: Tz, seconds: i64) -> i64 {
    DateTime::from_timestamp(seconds, 0)
        .map_or(0, |moment| zone.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc().into())
}

/// Appends a field whose text is known to be short: its length takes one byte, filled in afterwards.
fn short(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_u8(0);
    put(out);
    let length = out.len() - start - 1;
    debug_assert!(length < usize::from(NULL), "a number or a date of {length} bytes");
    out[start] = length as u8;
}

/// All integers of 64 bits with and without sign fit into 128.
pub(super) fn put_integer_text(value: i128, out: &mut BytesMut) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs() as u64;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.put_u8(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// The shortest digits that read back as the same number, with an exponent where MySQL too writes one. MySQL has no text for
/// what is not finite; these words are what most languages read.
pub(super) fn put_float(finite: bool, value: impl std::fmt::Debug + Into<f64> + Copy, out: &mut BytesMut) {
    use std::fmt::Write;
    if !finite {
        let value: f64 = value.into();
        let word = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        return out.extend_from_slice(word.as_bytes());
    }
    let start = out.len();
    write!(out, "{value:?}").expect("a buffer in memory takes all");
    if out[start..].ends_with(b".0") {
        out.truncate(out.len() - 2);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::*;
    use arrow::buffer::OffsetBuffer;
    use proptest::prelude::*;

    use super::*;
    use crate::mysql::fields::Fields;

    /// The text of every row.
    fn shown(array: impl Array + 'static) -> Vec<Option<String>> {
        let array: ArrayRef = Arc::new(array);
        let field: FieldRef = Arc::new(Field::new("c", array.data_type().clone(), true));
        let array = unfold(&array).unwrap();
        let mut cell = cell(&field, &array).unwrap();
        let text = |row| {
            let mut out = BytesMut::new();
            cell(row, &mut out);
            let mut fields = Fields::new(&out);
            let text = fields.nullable_string().unwrap().map(|text| String::from_utf8_lossy(text).into_owned());
            assert!(fields.is_empty(), "a field and nothing behind it");
            text
        };
        (0..array.len()).map(text).collect()
    }

    fn one(array: impl Array + 'static) -> String {
        shown(array).remove(0).unwrap()
    }

    #[test]
    fn integers_and_booleans_are_digits() {
        assert_eq!(
            shown(Int64Array::from(vec![Some(i64::MIN), None, Some(0)])),
            [Some(i64::MIN.to_string()), None, Some("0".into())]
        );
        assert_eq!(one(UInt64Array::from(vec![u64::MAX])), u64::MAX.to_string());
        assert_eq!(one(Int8Array::from(vec![-128])), "-128");
        assert_eq!(one(UInt8Array::from(vec![255])), "255");
        assert_eq!(
            shown(BooleanArray::from(vec![Some(true), Some(false), None])),
            [Some("1".into()), Some("0".into()), None]
        );
        assert_eq!(shown(NullArray::new(2)), [None, None]);
    }

    #[test]
    fn floats_are_the_shortest_that_read_back() {
        for (value, text) in [
            (1.0, "1"),
            (-0.5, "-0.5"),
            (0.1, "0.1"),
            (1e15, "1000000000000000"),
            (1e300, "1e300"),
            (1.5e-10, "1.5e-10"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(one(Float64Array::from(vec![value])), text);
        }
        assert_eq!(one(Float32Array::from(vec![0.1])), "0.1");
    }

    #[test]
    fn decimals_keep_their_scale() {
        let decimal =
            |value: i128, scale| one(Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).unwrap());
        assert_eq!(decimal(-12_345, 2), "-123.45");
        assert_eq!(decimal(5, 3), "0.005");
        assert_eq!(decimal(5, 0), "5");
        let wide =
            Decimal256Array::from(vec![arrow::datatypes::i256::from_i128(-1)]).with_precision_and_scale(60, 1).unwrap();
        assert_eq!(one(wide), "-0.1");
        assert_eq!(one(Decimal32Array::from(vec![150]).with_precision_and_scale(9, 2).unwrap()), "1.50");
        assert_eq!(one(Decimal64Array::from(vec![150]).with_precision_and_scale(18, 1).unwrap()), "15.0");
    }

    #[test]
    fn moments_are_as_mysql_shows_them() {
        assert_eq!(one(Date32Array::from(vec![-1])), "1969-12-31");
        assert_eq!(one(Date64Array::from(vec![-1])), "1969-12-31");
        assert_eq!(one(TimestampSecondArray::from(vec![0])), "1970-01-01 00:00:00");
        assert_eq!(one(TimestampMillisecondArray::from(vec![-1])), "1969-12-31 23:59:59.999000");
        assert_eq!(one(TimestampMicrosecondArray::from(vec![1_735_689_600_000_001])), "2025-01-01 00:00:00.000001");
        assert_eq!(one(TimestampNanosecondArray::from(vec![1_999])), "1970-01-01 00:00:00.000001");
        assert_eq!(one(TimestampSecondArray::from(vec![i64::MAX])).len(), "292277026596-12-04 15:30:07".len());
    }

    #[test]
    fn a_moment_with_a_zone_is_shown_in_that_zone() {
        let summer = 1_751_328_000;
        for (zone, text) in [
            ("UTC", "2025-07-01 00:00:00"),
            ("+02:00", "2025-07-01 02:00:00"),
            ("America/New_York", "2025-06-30 20:00:00"),
        ] {
            assert_eq!(one(TimestampSecondArray::from(vec![summer]).with_timezone(zone)), text);
        }
        let beyond = TimestampSecondArray::from(vec![i64::MIN]).with_timezone("Europe/Berlin");
        assert!(one(beyond).starts_with('-'));
    }

    #[test]
    fn a_column_shows_the_digits_that_it_was_declared_with() {
        let with = |sql_type: &str, array: &dyn Array| {
            let metadata = [(MYSQL_TYPE_KEY.to_owned(), sql_type.to_owned())].into();
            let field: FieldRef = Arc::new(Field::new("c", array.data_type().clone(), true).with_metadata(metadata));
            let mut out = BytesMut::new();
            cell(&field, array).unwrap()(0, &mut out);
            String::from_utf8(out[1..].to_vec()).unwrap()
        };
        let moment = TimestampMicrosecondArray::from(vec![1_500_000]);
        assert_eq!(with("datetime(3)", &moment), "1970-01-01 00:00:01.500");
        assert_eq!(with("datetime", &moment), "1970-01-01 00:00:01.500000");
        assert_eq!(with("datetime(6)", &TimestampMicrosecondArray::from(vec![0])), "1970-01-01 00:00:00.000000");
        assert_eq!(with("datetime(0)", &TimestampMicrosecondArray::from(vec![0])), "1970-01-01 00:00:00");
        assert_eq!(with("time(2)", &DurationMicrosecondArray::from(vec![-1_250_000])), "-00:00:01.25");
        assert_eq!(with("year", &Int32Array::from(vec![0])), "0000");
    }

    #[test]
    fn times_and_spans_are_hours_minutes_and_seconds() {
        assert_eq!(one(Time32SecondArray::from(vec![3_661])), "01:01:01");
        assert_eq!(one(Time64NanosecondArray::from(vec![1_500_000_000])), "00:00:01.500000");
        assert_eq!(one(DurationMillisecondArray::from(vec![-90_061_500])), "-25:01:01.500000");
        assert_eq!(one(DurationSecondArray::from(vec![i64::MIN])), "-2562047788015215:30:08");
        assert_eq!(one(IntervalYearMonthArray::from(vec![14])), "1 years 2 mons");
    }

    #[test]
    fn text_and_bytes_go_through_unchanged() {
        let text = "grüße\0'";
        assert_eq!(one(StringArray::from(vec![text])), text);
        assert_eq!(one(LargeStringArray::from(vec![text])), text);
        assert_eq!(one(StringViewArray::from(vec![text])), text);
        assert_eq!(one(BinaryArray::from(vec![text.as_bytes()])), text);
        assert_eq!(one(LargeBinaryArray::from(vec![text.as_bytes()])), text);
        assert_eq!(one(BinaryViewArray::from(vec![text.as_bytes()])), text);
        assert_eq!(one(FixedSizeBinaryArray::try_from_iter([b"ab"].into_iter()).unwrap()), "ab");
    }

    #[test]
    fn dictionaries_and_runs_show_their_values() {
        let dictionary: DictionaryArray<Int32Type> = vec![Some("b"), None, Some("b")].into_iter().collect();
        assert_eq!(shown(dictionary), [Some("b".into()), None, Some("b".into())]);
        let runs = RunArray::try_new(&Int32Array::from(vec![2, 3]), &Int64Array::from(vec![Some(7), None])).unwrap();
        assert_eq!(shown(runs), [Some("7".into()), Some("7".into()), None]);
    }

    #[test]
    fn nested_values_are_json() {
        let list = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None]), None]);
        assert_eq!(shown(list), [Some("[1,null]".into()), None]);
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"b"), None]));
        let fields = Fields2::from(vec![Field::new("name", DataType::Utf8, true)]);
        assert_eq!(
            shown(StructArray::new(fields, vec![names], None)),
            [Some(r#"{"name":"a\"b"}"#.into()), Some(r#"{"name":null}"#.into())]
        );
        let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        map.keys().append_value("k");
        map.values().append_value(5);
        map.append(true).unwrap();
        assert_eq!(one(map.finish()), r#"{"k":5}"#);
        let inner = ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1)])]);
        let field = Arc::new(Field::new_list_field(inner.data_type().clone(), true));
        assert_eq!(one(ListArray::new(field, OffsetBuffer::from_lengths([1]), Arc::new(inner), None)), "[[1]]");
    }

    type Fields2 = arrow::datatypes::Fields;

    proptest! {
        #[test]
        fn numbers_read_back(integer in any::<i64>(), unsigned in any::<u64>(), float in any::<f64>()) {
            prop_assert_eq!(one(Int64Array::from(vec![integer])).parse::<i64>().unwrap(), integer);
            prop_assert_eq!(one(UInt64Array::from(vec![unsigned])).parse::<u64>().unwrap(), unsigned);
            let read = one(Float64Array::from(vec![float])).parse::<f64>().unwrap();
            prop_assert!(read == float || (read.is_nan() && float.is_nan()));
        }

        #[test]
        fn every_moment_can_be_shown(value in any::<i64>()) {
            shown(TimestampSecondArray::from(vec![value]).with_timezone("America/New_York"));
            shown(TimestampMicrosecondArray::from(vec![value]));
            shown(DurationNanosecondArray::from(vec![value]));
            shown(Date64Array::from(vec![value]));
        }
    }
}
