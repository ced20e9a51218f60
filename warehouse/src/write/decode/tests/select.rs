//! The pipeline's SELECT: what it may say, and what it does to each record.

use super::*;

#[test]
fn bare_names_and_aliases_are_read_as_their_column() {
    let columns = vec![column("a", INT), column("b", TEXT), column("c", ColumnType::Double)];
    let mut decoder = decoder(columns, "b, `x y` AS a", None);
    assert_eq!(values(&decode(&mut decoder, &[r#"{"b": "t", "x y": 5, "c": 1}"#])), ["5 | t | NULL"]);
    assert_eq!(decoder.unknown_fields(), 1);
}

#[test]
fn expressions_see_fields_metadata_and_the_columns_types() {
    let columns =
        vec![column("kind", varchar(5)), column("n", TINY), column("at", ColumnType::TIMESTAMP), column("src", TEXT)];
    let projection = "lower(substr(kind, 1, 5)) AS kind, n / 100 AS n, _timestamp AS at, concat(_topic, '/', _partition, ':', extra) AS src";
    let mut decoder = decoder(columns, projection, None);
    let batch = decode(&mut decoder, &[r#"{"kind": "CLICKED", "n": 1200, "extra": 1.50}"#]);
    assert_eq!(values(&batch), ["click | 12 | 1970-01-01T00:00:01Z | topic/3:1.50"]);
}

#[test]
fn star_is_every_column_that_no_other_item_is_for() {
    let columns = vec![column("a", INT), column("b", TEXT)];
    let mut decoder = decoder(columns, "*, upper(b) AS b", None);
    assert_eq!(values(&decode(&mut decoder, &[r#"{"a": 1, "b": "x"}"#])), ["1 | X"]);
}

#[test]
fn fields_keep_their_case_inside_of_expressions() {
    let mut decoder = decoder(vec![column("v", TEXT)], "concat(userId, '-', userid) AS v", None);
    assert_eq!(values(&decode(&mut decoder, &[r#"{"userId": "a", "userid": "b"}"#])), ["a-b"]);
}

#[test]
fn where_leaves_out_records_before_anything_else_is_held_against_them() {
    let columns = vec![not_null("a", INT), column("kind", varchar(3))];
    let mut decoder = decoder(columns, "*", Some("kind = 'x' AND flag <> 'off'"));
    let batch = decode(
        &mut decoder,
        &[
            r#"{"a": 1, "kind": "x", "flag": "on"}"#,
            r#"{"a": 2, "kind": "other", "flag": "on"}"#,
            r#"{"kind": "y", "flag": true}"#,
            r#"{"a": "wrong", "kind": "z", "flag": "on"}"#,
            r#"{"a": "wrong", "kind": "x", "flag": "on"}"#,
            r#"{"a": 5, "kind": 5, "flag": "on"}"#,
            r#"{"a": 6, "kind": "x"}"#,
            r#"{"kind": "x", "flag": 1}"#,
        ],
    );
    assert_eq!(rows(&batch).len(), 1);
    let expected = [(4, "wrong_type"), (5, "wrong_type"), (7, "missing_not_null")];
    assert_eq!(reasons(&batch), expected.map(|(offset, reason)| (offset, reason.to_owned())));
    assert_eq!((batch.ledger.rows, batch.ledger.errors, batch.ledger.filtered), (1, 3, 4));
}

#[test]
fn a_renamed_field_has_its_columns_type_in_expressions_too() {
    let columns = || vec![column("user_id", INT), column("kind", TEXT)];
    let payloads = [r#"{"user": 1, "kind": "A"}"#, r#"{"user": "three", "kind": "B"}"#, r#"{"user": -1, "kind": "C"}"#];
    let mut filtered = decoder(columns(), "user AS user_id, lower(kind) AS kind", Some("user > 0"));
    let batch = decode(&mut filtered, &payloads);
    assert_eq!(values(&batch), ["1 | a"]);
    assert_eq!(reasons(&batch), [(1, "wrong_type".to_owned())]);
    let mut computed = decoder(columns(), "user AS user_id, concat(kind, user + 1) AS kind", None);
    let batch = decode(&mut computed, &payloads);
    assert_eq!(values(&batch), ["1 | A2", "-1 | C0"]);
    assert_eq!(reasons(&batch), [(1, "wrong_type".to_owned())]);
}

#[test]
fn an_expression_that_fails_costs_only_its_own_rows() {
    let columns = vec![column("q", BIG), column("i", INT)];
    let mut decoder = decoder(columns, "CAST(q AS BIGINT) + 1 AS q, i", None);
    let payloads: Vec<String> = (0..1000)
        .map(|i| match i {
            7 | 8 | 500 => format!(r#"{{"q": "x", "i": {i}}}"#),
            999 => format!(r#"{{"q": {}, "i": {i}}}"#, i64::MAX),
            _ => format!(r#"{{"q": {i}, "i": {i}}}"#),
        })
        .collect();
    let batch = decode(&mut decoder, &payloads);
    assert_eq!(reasons(&batch).iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [7, 8, 500, 999]);
    assert_eq!(errors(&batch)[3].1, "expression");
    assert!(errors(&batch)[3].2.starts_with("column \"q\": "), "{:?}", errors(&batch)[3]);
    for (offset, columns) in rows(&batch) {
        assert_eq!(columns, [(offset + 1).to_string(), offset.to_string()]);
    }
}

#[test]
fn arithmetic_overflows_into_an_error_row_and_division_by_zero_too() {
    for projection in ["a * 2 AS a", "-a - 1 - 1 AS a", "a / 0 AS a"] {
        let mut decoder = decoder(vec![column("a", BIG)], projection, None);
        let batch = decode(&mut decoder, &[format!(r#"{{"a": {}}}"#, i64::MAX)]);
        assert_eq!(reasons(&batch), [(0, "expression".to_owned())], "{projection}");
    }
    let mut negated = decoder(vec![column("a", BIG)], "-a AS a", None);
    let batch = decode(&mut negated, &[format!(r#"{{"a": {}}}"#, i64::MIN), r#"{"a": 5}"#.to_owned()]);
    assert_eq!((values(&batch), reasons(&batch)), (vec!["-5".to_owned()], vec![(0, "expression".to_owned())]));
}

#[test]
fn a_computed_value_that_does_not_fit_its_column_is_an_error_row() {
    let cases = [
        (TINY, "a + 0 AS v", "out_of_range"),
        (INT, "a + 0.5 AS v", "wrong_type"),
        (decimal(4, 2), "a * 1.0 AS v", "out_of_range"),
        (decimal(6, 2), "CAST('1.005' AS DECIMAL(6,3)) AS v", "wrong_type"),
        (varchar(2), "concat('xyz', a) AS v", "too_long"),
        (ColumnType::Boolean, "a + 1 AS v", "out_of_range"),
        (ColumnType::Float, "a * 1e300 AS v", "out_of_range"),
        (ColumnType::Date, "concat(a, '') AS v", "wrong_type"),
        (ColumnType::Json, "concat('{', a) AS v", "malformed_json"),
    ];
    for (kind, projection, reason) in cases {
        let mut decoder = decoder(vec![column("v", kind), column("a", INT)], projection, None);
        let batch = decode(&mut decoder, &[r#"{"a": 300}"#]);
        assert_eq!(reasons(&batch), [(0, reason.to_owned())], "{projection}: {:?}", values(&batch));
    }
}

#[test]
fn a_computed_value_that_fits_becomes_its_columns_type() {
    let cases = [
        (TINY, "a / 3.0 AS v", "100"),
        (UNSIGNED_BIG, "a AS v", "300"),
        (decimal(6, 2), "a * 0.015 AS v", "4.50"),
        (ColumnType::Boolean, "a > 1 AS v", "true"),
        (TINY, "a > 1 AS v", "1"),
        (ColumnType::Float, "a AS v", "300.0"),
        (TEXT, "a + 1 AS v", "301"),
        (ColumnType::Json, "a + 1 AS v", "301"),
        (ColumnType::Date, "CAST('2013-01-01' AS DATE) AS v", "2013-01-01"),
        (ColumnType::DATETIME, "to_timestamp_seconds(a) AS v", "1970-01-01T00:05:00"),
        (ColumnType::TIMESTAMP, "to_timestamp_millis(a) AS v", "1970-01-01T00:00:00.300Z"),
        (TEXT, "coalesce(missing, 'none') AS v", "none"),
        (INT, "_partition AS v", "3"),
        (TEXT, "NULL AS v", "NULL"),
        (TEXT, "CASE WHEN a BETWEEN 1 AND 400 THEN \"few\" ELSE 'many' END AS v", "few"),
    ];
    for (kind, projection, expected) in cases {
        let mut decoder = decoder(vec![column("v", kind), column("a", INT)], projection, None);
        let batch = decode(&mut decoder, &[r#"{"a": 300}"#]);
        assert_eq!(errors(&batch), [], "{projection}");
        assert_eq!(values(&batch), [format!("{expected} | NULL")], "{projection}");
    }
}

#[test]
fn only_row_wise_deterministic_selects_are_taken() {
    let cases = [
        ("random() AS a", "random() gives another value each time"),
        ("1, now() AS at", "an expression needs the name of its column"),
        ("now() AS at", "now() gives another value each time"),
        ("current_date AS at", "current_date() gives another value each time"),
        ("uuid() AS b", "uuid() gives another value each time"),
        ("sum(a) AS a", "the aggregate sum() looks at many records"),
        ("row_number() OVER () AS a", "looks at many records"),
        ("(SELECT max(x) FROM y) AS a", "reads more than the record"),
        ("unnest(make_array(1, 2)) AS a", "UNNEST makes several rows of one record"),
        ("a.b + 1 AS a", "a.b reaches into a field"),
        ("@x AS a", "is a variable of a session"),
        ("@x + 1 AS a", "is a variable of a session"),
        ("? AS a", "no value in a pipeline"),
        ("nonsense(a) AS a", "nonsense"),
        ("a +", "the SELECT list of pipeline \"p\""),
        ("a b c", "nothing can follow here, but c does"),
        ("t.*", "only `*`, names and expressions"),
        ("a AS nowhere", "table shop.t has no column \"nowhere\""),
        ("a, b AS a", "column \"a\" is given twice"),
        ("'x' AS a", "it is text, and its column is int; write CAST(… AS INT)"),
        ("a + 1 AS at", "say its unit, as in to_timestamp_seconds"),
    ];
    let columns = || vec![column("a", INT), column("b", TEXT), column("at", ColumnType::TIMESTAMP)];
    for (projection, expected) in cases {
        let message = refusal(columns(), projection, None);
        assert!(message.contains(expected) && message.contains("pipeline \"p\""), "{projection}: {message}");
    }
    let message = refusal(columns(), "*", Some("random() < 0.5"));
    assert!(message.starts_with("the WHERE of pipeline \"p\" (random() < 0.5): random() gives"), "{message}");
    let message = refusal(columns(), "*", Some("a + 1"));
    assert!(message.contains("it is no condition"), "{message}");
    let message = refusal(columns(), "random() * 2 AS a", None);
    assert!(message.starts_with("item 1 of the SELECT list of pipeline \"p\" (random() * 2 AS a): "), "{message}");
}

#[test]
fn a_not_null_column_without_default_must_be_selected() {
    let columns = || vec![column("a", INT), not_null("b", TEXT), with_default(not_null("c", INT), Scalar::Int(3))];
    let message = refusal(columns(), "a", None);
    assert!(message.contains("column \"b\" of table shop.t is NOT NULL without a DEFAULT"), "{message}");
    assert_eq!(values(&decode(&mut decoder(columns(), "a, 'x' AS b", None), &["{}"])), ["NULL | x | 3"]);
}

#[test]
fn keys_and_headers_are_asked_for_only_where_they_are_used() {
    let columns =
        || vec![column("k", TEXT), column("h", ColumnType::Json), column("o", BIG), column("at", ColumnType::DATETIME)];
    let plain = decoder(columns(), "*", None);
    assert!(!plain.needs_keys() && !plain.needs_headers());
    let mut all = decoder(columns(), "_key AS k, _headers AS h, _offset AS o, _timestamp AS at", None);
    assert!(all.needs_keys() && all.needs_headers());
    let mut records = Records::default();
    records.push(RawRecord { key: Some(b"k1"), headers: Some(br#"{"h": "1"}"#), ..record(10, b"{}") });
    records.push(RawRecord { key: Some(b"\xff"), timestamp_ms: None, ..record(11, b"{}") });
    records.push(RawRecord { timestamp_ms: None, ..record(12, b"{}") });
    let fetched = Fetched { stream: StreamId(7), range: range(10, 13), records, gaps: Vec::new() };
    let batch = all.decode(&origin(), &fetched);
    assert_eq!(values(&batch), [r#"k1 | {"h": "1"} | 10 | 1970-01-01T00:00:01.010"#, "NULL | NULL | 12 | NULL"]);
    assert_eq!(reasons(&batch), [(11, "not_utf8".to_owned())]);
}

#[test]
fn what_comes_out_does_not_depend_on_how_records_were_fetched() {
    let columns = vec![column("a", TINY), column("b", TEXT)];
    let mut decoder = decoder(columns, "100 / a AS a, upper(b) AS b", Some("b <> 'skip'"));
    let payloads: Vec<String> = (0..60)
        .map(|i| match i % 6 {
            0 => format!(r#"{{"a": {}, "b": "x"}}"#, i % 4),
            1 => r#"{"a": 1, "b": "skip"}"#.to_owned(),
            2 => r#"{"a": 0"#.to_owned(),
            _ => format!(r#"{{"b": "{i}", "a": {i}}}"#),
        })
        .collect();
    let whole = decode(&mut decoder, &payloads);
    let (mut values, mut found) = (Vec::new(), Vec::new());
    for payload in &payloads {
        let one = decode(&mut decoder, &[payload]);
        values.extend(super::values(&one));
        found.extend(errors(&one).into_iter().map(|(_, reason, message)| (reason, message)));
    }
    assert_eq!(super::values(&whole), values);
    assert_eq!(errors(&whole).into_iter().map(|(_, reason, message)| (reason, message)).collect::<Vec<_>>(), found);
}
