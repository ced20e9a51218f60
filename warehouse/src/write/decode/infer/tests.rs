//! What a sample becomes, and that it always fits.

use std::io::{BufRead, BufReader};
use std::path::Path;

use proptest::prelude::*;

use super::super::{DecodeField, Decoder, FieldKind, json};
use super::*;
use crate::schema::mysql_type;
use crate::write::source::{RawRecord, Records};

fn of(records: &[&str]) -> Inferred {
    infer(records.iter().map(|record| Some(record.as_bytes())))
}

/// `name type` of each column.
fn columns(inferred: &Inferred) -> Vec<String> {
    let text = |column: &InferredColumn| format!("{} {}", column.name, mysql_type(&column.kind));
    inferred.columns.iter().map(text).collect()
}

/// What two values of one field become.
fn both(first: &str, second: &str) -> String {
    let records = [format!(r#"{{"a":{first}}}"#), format!(r#"{{"a":{second}}}"#)];
    let inferred = of(&[&records[0], &records[1]]);
    mysql_type(&inferred.columns[0].kind)
}

#[test]
fn types_are_the_narrowest_that_hold_the_sample() {
    for (first, second, kind) in [
        ("1", "-2", "bigint"),
        ("1", "2.5", "double"),
        ("1.0", "2e3", "double"),
        ("9223372036854775807", "0", "bigint"),
        ("9223372036854775808", "0", "bigint unsigned"),
        ("18446744073709551615", "-1", "decimal(20,0)"),
        ("18446744073709551616", "-1", "decimal(38,0)"),
        ("1e400", "1", "json"),
        ("true", "false", "tinyint(1)"),
        ("true", "1", "json"),
        (r#""2013-01-31""#, r#""2013-02-01""#, "date"),
        (r#""2013-01-31""#, r#""2013-02-01 10:00:00""#, "datetime"),
        (r#""2013-01-31T10:00:00Z""#, r#""2013-01-31T10:00:00.25+02:00""#, "timestamp"),
        (r#""2013-01-31T10:00:00Z""#, r#""2013-01-31T10:00:00""#, "text"),
        (r#""2013-01-31""#, r#""2013-02-31""#, "text"),
        (r#""1""#, r#""2""#, "text"),
        (r#""1""#, "2", "json"),
        (r#""\ud800""#, r#""a""#, "json"),
        ("[1]", r#"{"b":1}"#, "json"),
        ("[1]", "1", "json"),
        ("null", "null", "text"),
        ("null", "3", "bigint"),
    ] {
        assert_eq!(both(first, second), kind, "{first} and {second}");
    }
}

#[test]
fn a_column_tells_in_how_many_records_it_was() {
    let inferred = of(&[r#"{"a":1,"b":"x","c":null}"#, r#"{"b":"y","a":2,"d":true}"#]);
    assert_eq!(columns(&inferred), ["a bigint", "b text", "c text", "d tinyint(1)"]);
    assert_eq!(inferred.columns[0].why, "whole numbers in all 2 records");
    assert_eq!(inferred.columns[3].why, "booleans in 1 of 2 records");
    assert_eq!(inferred.columns[1].sample.as_deref(), Some("x"));
}

#[test]
fn names_that_cannot_be_columns_are_renamed_or_left_out_and_noted() {
    let long = "x".repeat(80);
    let record = format!(r#"{{"_offset":1,"":2," a ":3,"_stream":4,"{long}":5,"b":6,"B":"seven"}}"#);
    let inferred = of(&[&record]);
    let names: Vec<(&str, &str)> =
        inferred.columns.iter().map(|column| (column.field.as_str(), column.name.as_str())).collect();
    let cut = "x".repeat(60);
    assert_eq!(
        names,
        [
            ("", "field"),
            (" a ", "a"),
            ("_stream", "_stream_2"),
            (long.as_str(), cut.as_str()),
            ("b", "b"),
            ("B", "B_2")
        ]
    );
    assert!(inferred.notes.iter().any(|note| note.contains(r#"field "_offset" is left out"#)), "{inferred:?}");
    assert!(inferred.notes.iter().any(|note| note == r#"field "B" becomes column `B_2`"#), "{inferred:?}");
    for name in names {
        assert!(check_column_name(name.1).is_ok(), "{name:?}");
    }
}

#[test]
fn spellings_of_one_name_in_different_records_are_one_column() {
    let inferred = of(&[r#"{"Id":1}"#, r#"{"id":2.5}"#, r#"{"ID":null}"#]);
    assert_eq!(columns(&inferred), ["Id double"]);
    assert_eq!(inferred.notes.len(), 2, "{inferred:?}");
}

#[test]
fn records_that_are_no_objects_are_counted_and_do_not_count() {
    let inferred = infer([Some(&b"{\"a\":1}"[..]), None, Some(b"[1]"), Some(b"\xff"), Some(b"{\"a\":2")]);
    assert_eq!((inferred.records, inferred.objects), (5, 1));
    assert_eq!(columns(&inferred), ["a bigint"]);
    assert!(inferred.notes[0].starts_with("4 of the 5 records"), "{inferred:?}");
    assert_eq!(infer([]), Inferred::default());
}

#[test]
fn the_flights_of_2013() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/data/flights.ndjson.zst");
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = BufReader::new(zstd::Decoder::new(file).expect("it is compressed")).lines();
    let lines: Vec<String> = lines.step_by(100).map(|line| line.expect("it is text")).collect();
    let inferred = infer(lines.iter().map(|line| Some(line.as_bytes())));
    assert_eq!(
        columns(&inferred),
        [
            "year bigint",
            "month bigint",
            "day bigint",
            // Written as 517.0, null where the flight was cancelled.
            "dep_time double",
            "sched_dep_time bigint",
            "dep_delay double",
            "arr_time double",
            "sched_arr_time bigint",
            "arr_delay double",
            "carrier text",
            "flight bigint",
            "tailnum text",
            "origin text",
            "dest text",
            "air_time double",
            "distance bigint",
            "hour bigint",
            "minute bigint",
            "time_hour timestamp",
        ]
    );
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        any::<i128>().prop_map(|value| value.to_string()),
        "-?[1-9][0-9]{0,40}",
        "-?[0-9]\\.[0-9]{1,20}(e[0-9]{1,3})?",
        any::<String>().prop_map(|text| serde_json::Value::from(text).to_string()),
        "\"20[0-9]{2}-[01][0-9]-[0-3][0-9]([ T][0-2][0-9]:[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][0-2][0-9]:00)?)?\"",
        Just("\"\\ud800\"".to_owned()),
    ];
    leaf.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(","))),
            inner.prop_map(|value| format!(r#"{{"n":{value}}}"#)),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    let name = prop_oneof!["[abAB]", Just("_offset".to_owned()), Just("_stream".to_owned()), "[ a\\x01é]{0,3}"];
    prop::collection::vec((name, value()), 0..6).prop_map(|members| {
        let text = |(name, value): &(String, String)| format!("{}:{value}", serde_json::Value::from(name.as_str()));
        format!("{{{}}}", members.iter().map(text).collect::<Vec<_>>().join(","))
    })
}

proptest! {
    /// Every record of the sample becomes a row of what was inferred from it.
    #[test]
    fn what_was_inferred_holds_the_sample(objects in prop::collection::vec(object(), 1..12)) {
        let inferred = infer(objects.iter().map(|object| Some(object.as_bytes())));
        prop_assert_eq!(inferred.objects, objects.len());
        let fields: Vec<DecodeField> = inferred
            .columns
            .iter()
            .map(|column| DecodeField { name: column.field.clone(), kind: FieldKind::Column(column.kind.clone()) })
            .collect();
        let mut records = Records::default();
        for (offset, object) in (0..).zip(&objects) {
            let (payload, payload_bytes) = (Some(object.as_bytes()), object.len() as u64);
            records.push(RawRecord { offset, timestamp_ms: None, payload, payload_bytes, key: None, headers: None });
        }
        let decoded = json::JsonDecoder::new(fields, 1 << 20).decode(&records);
        prop_assert!(decoded.errors.is_empty() && decoded.flaws.is_empty(), "{decoded:?} of {inferred:?}");
        let mut names = BTreeSet::new();
        for column in &inferred.columns {
            prop_assert!(check_column_name(&column.name).is_ok(), "{column:?}");
            prop_assert!(names.insert(column.name.to_ascii_lowercase()), "{column:?} is there twice");
        }
    }
}
