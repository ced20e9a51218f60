//! The decoder against two others: serde_json's tree, by rules written down a second time, and arrow-json on the columns
//! whose rules are the same.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Int32Type, Int64Type, Schema};
use arrow_json::ReaderBuilder;
use catalog::{ColumnType, IntegerWidth};
use proptest::prelude::*;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;

use super::json::JsonDecoder;
use super::tests::fetched;
use super::{DecodeField, Decoded, Decoder, ErrorReason, FieldKind};

fn field(name: &str, kind: ColumnType) -> DecodeField {
    DecodeField { name: name.to_owned(), kind: FieldKind::Column(kind) }
}

fn integer(width: IntegerWidth) -> ColumnType {
    ColumnType::Integer { width, unsigned: false }
}

fn fields() -> Vec<DecodeField> {
    vec![
        field("small", integer(IntegerWidth::Small)),
        field("big", integer(IntegerWidth::Big)),
        field("double", ColumnType::Double),
        field("text", ColumnType::Text { characters_max: Some(4) }),
        field("json", ColumnType::Json),
    ]
}

fn decode(payloads: &[String]) -> Decoded {
    JsonDecoder::new(fields(), 1 << 20).decode(&fetched(payloads).records)
}

/// An object's keys and values as they stand, duplicates and all.
struct Pairs(Vec<(String, Box<serde_json::value::RawValue>)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

impl Pairs {
    fn get(&self, name: &str) -> Option<&str> {
        let exact = self.0.iter().rev().find(|(key, _)| key == name);
        exact
            .or_else(|| self.0.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case(name)))
            .map(|(_, json)| json.get())
    }
}

/// What a column holds, as text; `None` for NULL.
type Shown = Result<Option<String>, ErrorReason>;

fn is_nested(json: &str) -> bool {
    json.starts_with(['[', '{'])
}

fn expected_integer(json: &str, bits: u32) -> Shown {
    let value = match serde_json::from_str(json) {
        Ok(Value::Null) => return Ok(None),
        Ok(Value::Number(number)) => match number.as_i128() {
            Some(value) => value,
            // The generator writes no whole number beyond 2^53 with a point or an exponent.
            None => match number.as_f64() {
                Some(value) if value.fract() == 0.0 => value as i128,
                _ => return Err(ErrorReason::WrongType),
            },
        },
        Err(_) if !is_nested(json) => return Err(ErrorReason::OutOfRange),
        _ => return Err(ErrorReason::WrongType),
    };
    let limit = 1_i128 << (bits - 1);
    if (-limit..limit).contains(&value) { Ok(Some(value.to_string())) } else { Err(ErrorReason::OutOfRange) }
}

fn expected_double(json: &str) -> Shown {
    match serde_json::from_str(json) {
        Ok(Value::Null) => Ok(None),
        Ok(Value::Number(number)) => Ok(number.as_f64().map(|value| format!("{value:?}"))),
        Err(_) if !is_nested(json) => Err(ErrorReason::OutOfRange),
        _ => Err(ErrorReason::WrongType),
    }
}

fn expected_text(json: &str) -> Shown {
    match serde_json::from_str(json) {
        Ok(Value::Null) => Ok(None),
        Ok(Value::String(text)) if text.chars().count() > 4 => Err(ErrorReason::TooLong),
        Ok(Value::String(text)) => Ok(Some(text)),
        _ => Err(ErrorReason::WrongType),
    }
}

fn expected_json(json: &str) -> Shown {
    Ok((json != "null").then(|| json.to_owned()))
}

/// What the columns hold for `payload`; the reason where there is no row.
fn expected(payload: &str) -> Result<Vec<Shown>, ErrorReason> {
    serde_json::from_str::<IgnoredAny>(payload).map_err(|error| match error.classify() {
        Category::Eof => ErrorReason::TruncatedJson,
        _ => ErrorReason::MalformedJson,
    })?;
    let pairs: Pairs = serde_json::from_str(payload).map_err(|_| ErrorReason::NotAnObject)?;
    let value = |name: &str| pairs.get(name).unwrap_or("null");
    Ok(vec![
        expected_integer(value("small"), 16),
        expected_integer(value("big"), 64),
        expected_double(value("double")),
        expected_text(value("text")),
        expected_json(value("json")),
    ])
}

/// What the columns hold for one record.
fn found(decoded: &Decoded, record: u32) -> Result<Vec<Shown>, ErrorReason> {
    if let Some(error) = decoded.errors.iter().find(|error| error.record == record) {
        return Err(error.reason);
    }
    let row = decoded.row_records.iter().position(|other| *other == record).expect("a record is a row or an error");
    let column = |index: usize| {
        let flaw = decoded.flaws.iter().find(|flaw| flaw.row as usize == row && flaw.field as usize == index);
        let column = decoded.rows.column(index);
        let shown = || match column.data_type() {
            DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
            DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
            DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
            _ => column.as_string::<i32>().value(row).to_owned(),
        };
        match flaw {
            Some(flaw) => Err(flaw.reason),
            None => Ok(column.is_valid(row).then(shown)),
        }
    };
    Ok((0..decoded.rows.num_columns()).map(column).collect())
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        (-40_000_i32..40_000).prop_map(|number| number.to_string()),
        (-40_000_i32..40_000, 0..3_usize).prop_map(|(number, zeros)| format!("{number}.{}", "0".repeat(zeros + 1))),
        (-400_i32..400, -3..3_i32).prop_map(|(number, exponent)| format!("{number}e{exponent}")),
        any::<f64>()
            .prop_filter("JSON has no others", |number| number.is_finite() && number.abs() < 9e15)
            .prop_map(|n| format!("{n}")),
        any::<u64>().prop_map(|number| number.to_string()),
        Just("-0".to_owned()),
        Just("1e999".to_owned()),
        Just("184467440737095516160".to_owned()),
    ]
}

fn string() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>().prop_map(|text| Value::String(text).to_string()),
        "[a-zä\"\\\\]{0,6}".prop_map(|text| Value::String(text).to_string()),
        Just(r#""\u00e4\u20AC\n""#.to_owned()),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![4 => number(), 3 => string(), 1 => Just("null".to_owned()), 1 => any::<bool>().prop_map(|b| b.to_string())];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(" , "))),
            (string(), inner).prop_map(|(key, value)| format!("{{ {key} :{value}}}")),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    let key =
        prop::sample::select(vec!["small", "big", "double", "text", "json", "Small", "TEXT", "other", "Other", ""]);
    prop::collection::vec((key, value()), 0..9).prop_map(|pairs| {
        let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("\"{key}\": {value}")).collect();
        format!(" {{{}}} ", pairs.join(","))
    })
}

fn payload() -> impl Strategy<Value = String> {
    let cut = (object(), any::<prop::sample::Index>()).prop_map(|(object, at)| {
        let end = at.index(object.chars().count());
        object.chars().take(end).collect()
    });
    let garbled = (object(), any::<prop::sample::Index>(), any::<char>()).prop_map(|(object, at, with)| {
        let at = at.index(object.chars().count());
        object.chars().enumerate().map(|(index, old)| if index == at { with } else { old }).collect()
    });
    prop_oneof![6 => object(), 1 => cut, 1 => garbled, 1 => value()]
}

/// Each record is a row or an error, and each value NULL, itself or a flaw, as the second set of rules has it.
fn agree(payloads: &[String]) -> Result<(), TestCaseError> {
    let decoded = decode(payloads);
    for (record, payload) in payloads.iter().enumerate() {
        let (found, expected) = (found(&decoded, record as u32), expected(payload));
        prop_assert_eq!(&found, &expected, "{}", payload);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_become_what_a_tree_of_them_says(payloads in prop::collection::vec(payload(), 1..12)) {
        agree(&payloads)?;
    }

    #[test]
    fn plain_columns_are_those_of_arrow_json(rows in prop::collection::vec(plain_row(), 1..40)) {
        let ours = decode(&rows);
        prop_assert!(ours.errors.is_empty() && ours.flaws.is_empty(), "{:?} {:?}", ours.errors, ours.flaws);
        let theirs = arrow_json_rows(&rows);
        for (index, name) in PLAIN.into_iter().enumerate() {
            prop_assert_eq!(ours.rows.column(index).to_data(), theirs.column_by_name(name).unwrap().to_data(), "{}", name);
        }
    }
}

const PLAIN: [&str; 4] = ["small", "big", "double", "text"];

fn plain_row() -> impl Strategy<Value = String> {
    let small = prop::option::of(any::<i16>().prop_map(|number| number.to_string()));
    let big = prop::option::of(any::<i64>().prop_map(|number| number.to_string()));
    let double = prop::option::of(
        any::<f64>().prop_filter("JSON has no others", |n| n.is_finite()).prop_map(|n| format!("{n:?}")),
    );
    let text = prop::option::of("\\PC{0,4}".prop_map(|text| Value::String(text).to_string()));
    (small, big, double, text, any::<bool>()).prop_map(|(small, big, double, text, explicit)| {
        let pairs = PLAIN.into_iter().zip([small, big, double, text]);
        let pairs = pairs.filter_map(|(name, value)| match value {
            Some(value) => Some(format!("\"{name}\":{value}")),
            None => explicit.then(|| format!("\"{name}\":null")),
        });
        format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
    })
}

fn arrow_json_rows(rows: &[String]) -> RecordBatch {
    let types = [DataType::Int32, DataType::Int64, DataType::Float64, DataType::Utf8];
    let fields: Vec<Field> = PLAIN.into_iter().zip(types).map(|(name, kind)| Field::new(name, kind, true)).collect();
    let mut decoder = ReaderBuilder::new(Arc::new(Schema::new(fields))).build_decoder().expect("plain types");
    decoder.decode(rows.join("\n").as_bytes()).expect("well-formed rows");
    decoder.flush().expect("well-typed rows").expect("some rows")
}
