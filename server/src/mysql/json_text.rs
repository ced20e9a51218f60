//! Arrays, maps and structs as JSON text: decimals to their last digit, times as MySQL writes them in quotes, bytes in base64.
//! One writer per array, which knows its type; owns no packet.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::*;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};

use super::form::Form;
use super::moment::{put_date, put_datetime, put_span};
use super::text::{put_float, put_integer_text, seconds_east, span_micros, split, zone_of};

/// Appends the value of one row.
pub(super) type Write = Box<dyn Fn(usize, &mut BytesMut)>;

/// The writer of `array`'s values, which are written in `form`.
pub(super) fn json_writer(form: &Form, array: &ArrayRef) -> Result<Write, ArrowError> {
    use DataType::*;
    let values = Arc::clone(array);
    Ok(match array.data_type() {
        Null => Box::new(|_, out| out.put_slice(b"null")),
        Boolean => nullable(array, move |row, out| {
            out.put_slice(if values.as_boolean().value(row) { b"true" } else { b"false" });
        }),
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 => {
            let values = cast(array, &Int64)?;
            nullable(array, move |row, out| put_integer_text(values.as_primitive::<Int64Type>().value(row).into(), out))
        }
        UInt64 => nullable(array, move |row, out| {
            put_integer_text(values.as_primitive::<UInt64Type>().value(row).into(), out)
        }),
        // Of 32 bits the text that reads back as them, not that of the nearest 64.
        Float32 => nullable(array, move |row, out| {
            let value = values.as_primitive::<Float32Type>().value(row);
            put_number(value.is_finite(), value, out);
        }),
        Float16 | Float64 => {
            let values = cast(array, &Float64)?;
            nullable(array, move |row, out| {
                let value = values.as_primitive::<Float64Type>().value(row);
                put_number(value.is_finite(), value, out);
            })
        }
        Date32 | Date64 => {
            let values = cast(array, &Date32)?;
            nullable(array, move |row, out| {
                quoted(out, |out| put_date(values.as_primitive::<Date32Type>().value(row).into(), out));
            })
        }
        Timestamp(unit, zone) => {
            let (unit, zone, digits) = (*unit, zone_of(zone.as_deref()), form.digits());
            let values = cast(array, &Int64)?;
            nullable(array, move |row, out| {
                let (seconds, micros) = split(values.as_primitive::<Int64Type>().value(row), unit);
                let east = zone.map_or(0, |zone| seconds_east(zone, seconds));
                quoted(out, |out| put_datetime(seconds.saturating_add(east), micros, digits, out));
            })
        }
        Time32(unit) | Time64(unit) | Duration(unit) => {
            let (unit, digits) = (*unit, form.digits());
            let wide = if let Time32(_) = array.data_type() { cast(array, &Int32)? } else { Arc::clone(array) };
            let values = cast(&wide, &Int64)?;
            nullable(array, move |row, out| {
                let value = values.as_primitive::<Int64Type>().value(row);
                quoted(out, |out| put_span(value < 0, span_micros(value, unit), digits, out));
            })
        }
        Utf8 | LargeUtf8 | Utf8View => {
            let values = cast(array, &LargeUtf8)?;
            let is_json = *form == Form::Json;
            nullable(array, move |row, out| match values.as_string::<i64>().value(row) {
                json if is_json => out.put_slice(json.as_bytes()),
                text => put_text(text, out),
            })
        }
        Binary | LargeBinary | BinaryView | FixedSizeBinary(_) => {
            let values = cast(array, &LargeBinary)?;
            nullable(array, move |row, out| {
                quoted(out, |out| out.put_slice(STANDARD.encode(values.as_binary::<i64>().value(row)).as_bytes()));
            })
        }
        List(field) | LargeList(field) | FixedSizeList(field, _) | ListView(field) | LargeListView(field) => {
            let list = cast(array, &LargeList(Arc::clone(field)))?;
            let element = json_writer(form.element(), list.as_list::<i64>().values())?;
            nullable(array, move |row, out| {
                let offsets = list.as_list::<i64>().value_offsets();
                enclosed(b'[', b']', out, offsets[row] as usize..offsets[row + 1] as usize, &*element);
            })
        }
        Struct(fields) => {
            let columns = values.as_struct().columns().iter();
            let writers: Vec<(String, Write)> = fields
                .iter()
                .zip(columns)
                .map(|(field, column)| Ok((field.name().clone(), json_writer(&Form::Plain, column)?)))
                .collect::<Result<_, ArrowError>>()?;
            nullable(array, move |row, out| {
                enclosed(b'{', b'}', out, 0..writers.len(), &|at, out: &mut BytesMut| {
                    put_text(&writers[at].0, out);
                    out.put_u8(b':');
                    writers[at].1(row, out);
                });
            })
        }
        Map(..) => {
            let (key, value) = form.entry();
            let (keys, entries) =
                (json_writer(key, values.as_map().keys())?, json_writer(value, values.as_map().values())?);
            nullable(array, move |row, out| {
                let offsets = values.as_map().value_offsets();
                enclosed(
                    b'{',
                    b'}',
                    out,
                    offsets[row] as usize..offsets[row + 1] as usize,
                    &|at, out: &mut BytesMut| {
                        put_name(at, &keys, out);
                        out.put_u8(b':');
                        entries(at, out);
                    },
                );
            })
        }
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => displayed(array, false)?,
        Dictionary(_, value) => json_writer(form, &cast(array, value)?)?,
        RunEndEncoded(_, ends) => json_writer(form, &cast(array, ends.data_type())?)?,
        Interval(_) | Union(..) => displayed(array, true)?,
    })
}

fn nullable(array: &ArrayRef, put: impl Fn(usize, &mut BytesMut) + 'static) -> Write {
    match array.logical_nulls() {
        None => Box::new(put),
        Some(nulls) => {
            Box::new(move |row, out| if nulls.is_null(row) { out.put_slice(b"null") } else { put(row, out) })
        }
    }
}

/// As Arrow shows it, in quotes where it is no number.
fn displayed(array: &ArrayRef, is_text: bool) -> Result<Write, ArrowError> {
    let options = FormatOptions::default();
    ArrayFormatter::try_new(array, &options)?;
    let values = Arc::clone(array);
    Ok(nullable(array, move |row, out| {
        let formatter = ArrayFormatter::try_new(&values, &options).expect("it was made once before");
        let text = formatter.value(row).to_string();
        if is_text { put_text(&text, out) } else { out.put_slice(text.as_bytes()) }
    }))
}

fn enclosed(
    open: u8,
    close: u8,
    out: &mut BytesMut,
    items: std::ops::Range<usize>,
    put: &dyn Fn(usize, &mut BytesMut),
) {
    out.put_u8(open);
    for at in items.clone() {
        if at > items.start {
            out.put_u8(b',');
        }
        put(at, out);
    }
    out.put_u8(close);
}

fn quoted(out: &mut BytesMut, put: impl FnOnce(&mut BytesMut)) {
    out.put_u8(b'"');
    put(out);
    out.put_u8(b'"');
}

/// A key, which in JSON is a text whatever it is here.
fn put_name(at: usize, keys: &Write, out: &mut BytesMut) {
    let start = out.len();
    keys(at, out);
    if out.get(start) != Some(&b'"') {
        let key = out.split_off(start);
        quoted(out, |out| out.put_slice(&key));
    }
}

/// JSON has neither infinities nor NaN: they are texts.
fn put_number(is_finite: bool, value: impl std::fmt::Debug + Into<f64> + Copy, out: &mut BytesMut) {
    if is_finite {
        return put_float(is_finite, value, out);
    }
    quoted(out, |out| put_float(is_finite, value, out));
}

fn put_text(text: &str, out: &mut BytesMut) {
    out.put_u8(b'"');
    for letter in text.chars() {
        match letter {
            '"' => out.put_slice(b"\\\""),
            '\\' => out.put_slice(b"\\\\"),
            '\n' => out.put_slice(b"\\n"),
            '\r' => out.put_slice(b"\\r"),
            '\t' => out.put_slice(b"\\t"),
            control @ '\0'..='\u{1f}' => out.put_slice(format!("\\u{:04x}", control as u32).as_bytes()),
            other => out.put_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.put_u8(b'"');
}

#[cfg(test)]
mod tests {
    use arrow::array::*;
    use proptest::prelude::*;

    use super::*;

    fn written(form: &str, array: impl Array + 'static) -> String {
        let array: ArrayRef = Arc::new(array);
        let mut out = BytesMut::new();
        json_writer(&Form::named(form), &array).unwrap()(0, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn one(values: ArrayRef) -> ListArray {
        let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        ListArray::new(field, arrow::buffer::OffsetBuffer::from_lengths([values.len()]), values, None)
    }

    #[test]
    fn values_within_are_exact_and_as_mysql_writes_them() {
        let decimal =
            Decimal128Array::from(vec![Some(10_i128.pow(37) + 1), None]).with_precision_and_scale(38, 10).unwrap();
        assert_eq!(
            written("array<decimal(38,10)>", one(Arc::new(decimal))),
            "[1000000000000000000000000000.0000000001,null]"
        );
        let moment = || Arc::new(TimestampMicrosecondArray::from(vec![1_500_000]));
        assert_eq!(written("array<datetime(3)>", one(moment())), r#"["1970-01-01 00:00:01.500"]"#);
        assert_eq!(written("array<datetime>", one(moment())), r#"["1970-01-01 00:00:01.500000"]"#);
        let span = Arc::new(DurationMicrosecondArray::from(vec![-90_061_000_000]));
        assert_eq!(written("array<time(0)>", one(span)), r#"["-25:01:01"]"#);
        assert_eq!(written("array<blob>", one(Arc::new(BinaryArray::from(vec![&[0xff_u8, 0][..]])))), r#"["/wA="]"#);
        assert_eq!(
            written("array<double>", one(Arc::new(Float64Array::from(vec![0.1, 1e300, 2.0, f64::NAN])))),
            r#"[0.1,1e300,2,"NaN"]"#
        );
        assert_eq!(written("array<float>", one(Arc::new(Float32Array::from(vec![0.1])))), "[0.1]");
        assert_eq!(written("array<boolean>", one(Arc::new(BooleanArray::from(vec![true])))), "[true]");
        assert_eq!(written("array<json>", one(Arc::new(StringArray::from(vec![r#"{"a": 1}"#])))), r#"[{"a": 1}]"#);
        assert_eq!(
            written("array<text>", one(Arc::new(StringArray::from(vec!["a\"\\\n\u{1}ä"])))),
            r#"["a\"\\\n\u0001ä"]"#
        );
        let unsigned = UInt64Array::from(vec![u64::MAX]);
        assert_eq!(written("", one(Arc::new(unsigned))), "[18446744073709551615]");
        assert_eq!(written("", one(Arc::new(Time32SecondArray::from(vec![61])))), r#"["00:01:01"]"#);
    }

    #[test]
    fn a_key_is_a_text_whatever_it_is() {
        let mut map = MapBuilder::new(None, Int64Builder::new(), ListBuilder::new(StringBuilder::new()));
        map.keys().append_value(-1);
        map.values().append_value([Some("x"), None]);
        map.keys().append_value(2);
        map.values().append_null();
        map.append(true).unwrap();
        assert_eq!(written("map<bigint,array<text>>", map.finish()), r#"{"-1":["x",null],"2":null}"#);
    }

    #[test]
    fn a_slice_of_an_array_is_its_own_rows() {
        let list =
            ListArray::from_iter_primitive::<Int64Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2), None]), None]);
        assert_eq!(written("", list.slice(1, 1)), "[2,null]");
        assert_eq!(written("", list.slice(2, 1)), "null");
    }

    proptest! {
        #[test]
        fn what_is_written_is_json_and_reads_back(texts in prop::collection::vec(prop::option::of(any::<String>()), 0..5)) {
            let json = written("array<text>", one(Arc::new(StringArray::from(texts.clone()))));
            let read: Vec<Option<String>> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, texts);
        }
    }
}
