//! Which JSON values each column takes.

use arrow::array::AsArray;
use catalog::ColumnType;

use super::*;

fn check(kind: ColumnType, cases: &[(&str, Result<&str, &str>)]) {
    for (json, expected) in cases {
        let expected = expected.map(str::to_owned).map_err(str::to_owned);
        assert_eq!(value_of(&kind, json), expected, "{json} as {kind:?}");
    }
}

const WRONG: Result<&str, &str> = Err("wrong_type");
const RANGE: Result<&str, &str> = Err("out_of_range");

#[test]
fn integers_are_whole_numbers_within_the_bounds_of_their_sql_type() {
    check(
        INT,
        &[
            ("517", Ok("517")),
            ("517.0", Ok("517")),
            ("-5.17e2", Ok("-517")),
            ("-0", Ok("0")),
            ("null", Ok("NULL")),
            ("2147483648", RANGE),
            ("1e300", RANGE),
            ("1e999", RANGE),
            ("1.5", WRONG),
            ("1e-999", WRONG),
            ("1.000000000000000000000000000001", WRONG),
            ("\"517\"", WRONG),
            ("true", WRONG),
            ("[1]", WRONG),
            ("{\"b\": 1}", WRONG),
        ],
    );
    check(TINY, &[("127", Ok("127")), ("128", RANGE), ("-128", Ok("-128")), ("-129", RANGE)]);
    check(
        BIG,
        &[
            ("9223372036854775807", Ok("9223372036854775807")),
            ("9223372036854775808", RANGE),
            ("-9223372036854775808", Ok("-9223372036854775808")),
            ("-9223372036854775809", RANGE),
            ("9007199254740993.0", Ok("9007199254740993")),
            ("9007199254740993.5", WRONG),
            ("1e18", Ok("1000000000000000000")),
        ],
    );
    check(
        UNSIGNED_BIG,
        &[("18446744073709551615", Ok("18446744073709551615")), ("18446744073709551616", RANGE), ("-1", RANGE)],
    );
}

#[test]
fn decimals_are_exact_and_take_strings() {
    check(
        decimal(10, 2),
        &[
            ("1.1", Ok("1.10")),
            ("\"-12.34\"", Ok("-12.34")),
            ("1.230e1", Ok("12.30")),
            ("1.005", WRONG),
            ("123456789", RANGE),
            ("\"12,3\"", WRONG),
            ("\"\"", WRONG),
            ("true", WRONG),
        ],
    );
    let digits = "1234567890123456789012345678.0123456789";
    check(decimal(38, 10), &[(digits, Ok(digits)), (&format!("\"{digits}\""), Ok(digits))]);
}

#[test]
fn floats_are_the_nearest_value_and_never_infinite() {
    check(ColumnType::Double, &[("1e308", Ok("1e308")), ("1e309", RANGE), ("1", Ok("1.0")), ("\"1\"", WRONG)]);
    check(ColumnType::Double, &[("0.30000000000000004", Ok("0.30000000000000004"))]);
    check(ColumnType::Float, &[("0.1", Ok("0.1")), ("1e39", RANGE), ("null", Ok("NULL")), ("false", WRONG)]);
    check(ColumnType::Double, &[("NaN", Err("malformed_json")), ("Infinity", Err("malformed_json"))]);
}

#[test]
fn booleans_take_one_and_zero_as_mysql_does() {
    check(
        ColumnType::Boolean,
        &[
            ("true", Ok("true")),
            ("0", Ok("false")),
            ("1.0", Ok("true")),
            ("2", RANGE),
            ("-1", RANGE),
            ("0.5", WRONG),
            ("\"true\"", WRONG),
        ],
    );
}

#[test]
fn times_are_iso_text_and_never_bare_numbers() {
    check(ColumnType::Date, &[("\"2013-01-31\"", Ok("2013-01-31")), ("\"2013-02-30\"", WRONG), ("15706", WRONG)]);
    check(
        ColumnType::DATETIME,
        &[
            ("\"2013-01-01T10:00:00Z\"", Ok("2013-01-01T10:00:00")),
            ("\"2013-01-01 10:00:00.25\"", Ok("2013-01-01T10:00:00.250")),
            ("\"2013-01-01T10:00:00+01:00\"", WRONG),
            ("1357034400", WRONG),
        ],
    );
    check(
        ColumnType::TIMESTAMP,
        &[
            ("\"2013-01-01T10:00:00+01:00\"", Ok("2013-01-01T09:00:00Z")),
            ("\"2013-01-01 10:00:00\"", Ok("2013-01-01T10:00:00Z")),
            ("\"yesterday\"", WRONG),
        ],
    );
}

#[test]
fn digits_of_a_second_are_rounded_to_those_that_were_declared() {
    let date_time = |digits| ColumnType::DateTime { digits };
    check(
        date_time(Some(0)),
        &[
            ("\"2024-12-31 23:59:59.5\"", Ok("2025-01-01T00:00:00")),
            ("\"1969-12-31 23:59:59.4\"", Ok("1969-12-31T23:59:59")),
        ],
    );
    check(
        date_time(Some(3)),
        &[("\"2024-01-01 00:00:00.0004999\"", Ok("2024-01-01T00:00:00")), ("\"9999-12-31 23:59:59.9995\"", RANGE)],
    );
    check(date_time(Some(6)), &[("\"2024-01-01 00:00:00.1234565\"", Ok("2024-01-01T00:00:00.123457"))]);
    check(date_time(None), &[("\"2024-01-01 00:00:00.1234565\"", Ok("2024-01-01T00:00:00.123456"))]);
    let time = |digits| ColumnType::Time { digits };
    check(
        time(Some(0)),
        &[("\"838:59:59.4\"", Ok("PT3020399S")), ("\"838:59:59.5\"", RANGE), ("\"-0:00:00.5\"", Ok("-PT1S"))],
    );
    check(time(Some(6)), &[("\"0:00:00.0000005\"", Ok("PT0.000001S")), ("\"-0:00:00.0000005\"", Ok("-PT0.000001S"))]);
    check(time(None), &[("\"10:61:00\"", WRONG), ("36000", WRONG), ("null", Ok("NULL"))]);
}

#[test]
fn years_enums_chars_and_bytes_refuse_what_does_not_fit() {
    check(
        ColumnType::Year,
        &[("2155", Ok("2155")), ("0", Ok("0")), ("1900", RANGE), ("69", RANGE), ("\"2024\"", WRONG)],
    );
    check(ColumnType::Char { characters: 2 }, &[("\"ä  \"", Ok("ä")), ("\"abc\"", Err("too_long"))]);
    let letters = ColumnType::Enum { values: vec!["a".into(), "".into()] };
    check(letters, &[("\"a\"", Ok("a")), ("\"\"", Ok("")), ("\"A\"", Err("not_in_enum")), ("1", WRONG)]);
    check(
        ColumnType::Binary { bytes: 2 },
        &[("\"_w\"", Ok("ff00")), ("\"/w==\"", Ok("ff00")), ("\"AAAA\"", Err("too_long"))],
    );
    check(ColumnType::BLOB, &[("\"\"", Ok("")), ("\"a b\"", WRONG), ("\"a\"", WRONG), ("[1]", WRONG)]);
}

#[test]
fn arrays_and_maps_take_what_their_inner_types_take_or_leave_no_trace() {
    let array = |element| ColumnType::Array { element: Box::new(element) };
    let map = |key, value| ColumnType::Map { key: Box::new(key), value: Box::new(value) };
    check(
        array(INT),
        &[
            ("[1, null , 2.0]", Ok("[1, , 2]")),
            ("[]", Ok("[]")),
            ("{}", WRONG),
            ("[2147483648]", RANGE),
            ("\"[1]\"", WRONG),
        ],
    );
    let nested = array(map(varchar(2), array(decimal(4, 2))));
    check(
        nested,
        &[
            (r#"[{"a":[1.5],"b":null},null]"#, Ok("[{a: [1.50], b: }, ]")),
            (r#"[{"a":[1],"\u0061":[2]}]"#, Ok("[{a: [2.00]}]")),
            (r#"[{"a":[1.005]}]"#, WRONG),
            (r#"[{"abc":[]}]"#, Err("too_long")),
        ],
    );
    check(map(INT, TEXT), &[(r#"{"-1":"x"}"#, Ok("{-1: x}")), (r#"{"x":"x"}"#, WRONG), (r#"{"":"x"}"#, WRONG)]);
    let mut decoder = decoder(vec![column("a", array(TEXT)), column("m", map(TEXT, INT))], "*", None);
    let batch = decode(
        &mut decoder,
        &[
            r#"{"a":["x"],"m":{"k":1}}"#,
            r#"{"a":["y","z",1],"m":{"k":2}}"#,
            r#"{"a":["u"],"m":{"k":1,"l":"bad"}}"#,
            r#"{"a":["v"],"m":{"k":3},"a":["w"]}"#,
            r#"{"a":["cut"],"m":{"k":"#,
            r#"{}"#,
        ],
    );
    assert_eq!(values(&batch), ["[x] | {k: 1}", "[w] | {k: 3}", "NULL | NULL"]);
    let messages: Vec<String> = errors(&batch).into_iter().map(|(_, _, message)| message).collect();
    assert_eq!(messages[0], "field \"a\": element 3: 1 cannot become text");
    assert_eq!(messages[1], "field \"m\": key \"l\": the string \"bad\" cannot become int");
}

#[test]
fn text_is_a_string_of_at_most_so_many_characters() {
    check(varchar(3), &[("\"äöü\"", Ok("äöü")), ("\"abcd\"", Err("too_long")), ("\"a\\u00e4\\n\"", Ok("aä\n"))]);
    check(
        TEXT,
        &[("1", WRONG), ("true", WRONG), ("{}", WRONG), ("\"\"", Ok("")), ("\"\\ud800\"", Err("malformed_json"))],
    );
}

#[test]
fn json_is_kept_as_the_text_received() {
    let nested = r#"{"b" : [1.50, "\u00e4",  null],"b":1e5}"#;
    check(
        ColumnType::Json,
        &[(nested, Ok(nested)), ("1.50", Ok("1.50")), ("\"x\\ty\"", Ok("\"x\\ty\"")), ("null", Ok("NULL"))],
    );
}

#[test]
fn deep_nesting_is_an_error_row_and_no_stack_overflow() {
    let deep = format!("{}{}", "[".repeat(40_000), "]".repeat(40_000));
    check(ColumnType::Json, &[(&deep, Err("too_deep"))]);
    check(INT, &[(&deep, WRONG)]);
    let mut decoder = decoder(vec![column("a", INT)], "*", None);
    assert_eq!(values(&decode(&mut decoder, &[format!(r#"{{"unknown": {deep}, "a": 1}}"#)])), ["1"]);
}

#[test]
fn of_duplicate_keys_the_last_counts() {
    let mut decoder = decoder(vec![column("a", INT), column("b", TEXT)], "*", None);
    let batch = decode(
        &mut decoder,
        &[
            r#"{"a": 1, "b": "x", "a": 2}"#,
            r#"{"a": "wrong", "b": "x", "a": 2, "b": "y"}"#,
            r#"{"a": 2, "b": "x", "a": "wrong"}"#,
            r#"{"a": 2, "a": null}"#,
        ],
    );
    assert_eq!(values(&batch), ["2 | x", "2 | y", "NULL | NULL"]);
    assert_eq!(reasons(&batch), [(2, "wrong_type".to_owned())]);
}

#[test]
fn names_compare_exactly_and_then_without_regard_to_case() {
    let mut decoder = decoder(vec![column("userId", INT)], "*", None);
    let batch = decode(
        &mut decoder,
        &[r#"{"USERID": 1}"#, r#"{"userId": 2, "userid": 3}"#, r#"{"userid": 4, "userId": 5}"#, r#"{"user_id": 6}"#],
    );
    assert_eq!(values(&batch), ["1", "2", "5", "NULL"]);
    assert_eq!(decoder.unknown_fields(), 2);
}

#[test]
fn a_missing_value_is_null_then_the_default_then_an_error_row() {
    let columns = vec![
        column("a", INT),
        with_default(not_null("b", INT), Scalar::Int(7)),
        with_default(column("c", UNSIGNED_BIG), Scalar::Int(8)),
        not_null("d", TEXT),
    ];
    let batch = decode(
        &mut decoder(columns, "*", None),
        &[r#"{"d": "x"}"#, r#"{"b": null, "c": 1, "d": "y"}"#, r#"{"d": null}"#],
    );
    assert_eq!(values(&batch), ["NULL | 7 | 8 | x", "NULL | 7 | 1 | y"]);
    let message = "column \"d\" is NOT NULL, and the record gives it no value";
    assert_eq!(errors(&batch), [(2, "missing_not_null".to_owned(), message.to_owned())]);
}

#[test]
fn bad_records_become_error_rows_and_the_good_ones_amid_them_rows() {
    let payloads: Vec<&[u8]> = vec![
        br#"{"a": 1, "b": "x"}"#,
        br#"{"a": 2, "b": "#,
        br#"{"a": 3} {"a": 3}"#,
        br#"{"a": 4, b: 1}"#,
        b"{\"a\": 5, \"b\": \"\xff\"}",
        br#"[{"a": 6}]"#,
        b"null",
        b"",
        br#"{"a": 8, "b": 1.5}"#,
        br#"{"a": 9}"#,
        b"17",
    ];
    let batch = decode(&mut decoder(vec![column("a", INT), column("b", TEXT)], "*", None), &payloads);
    assert_eq!(rows(&batch), [(0, vec!["1".to_owned(), "x".to_owned()]), (9, vec!["9".to_owned(), "NULL".to_owned()])]);
    let expected = [
        (1, "truncated_json"),
        (2, "malformed_json"),
        (3, "malformed_json"),
        (4, "not_utf8"),
        (5, "not_an_object"),
        (6, "not_an_object"),
        (7, "truncated_json"),
        (8, "wrong_type"),
        (10, "not_an_object"),
    ];
    assert_eq!(reasons(&batch), expected.map(|(offset, reason)| (offset, reason.to_owned())));
    let messages: Vec<String> = errors(&batch).into_iter().map(|(_, _, message)| message).collect();
    assert_eq!(messages[7], "field \"b\": 1.5 cannot become text");
    assert_eq!(messages[4], "the payload is an array, and a row is made of an object");
    let kept = batch.errors.as_ref().unwrap().column_by_name("payload").unwrap().as_binary::<i32>().value(3).to_vec();
    assert_eq!(kept, payloads[4], "the raw bytes are kept");
}

#[test]
fn a_record_above_the_limit_keeps_its_beginning_and_its_length() {
    let head = vec![b'x'; 70_000];
    let mut records = Records::default();
    records.push(RawRecord { payload_bytes: 1 << 30, ..record(0, &head[..65_536]) });
    records.push(record(1, &[b' '; 100_001]));
    records.push(RawRecord { payload: None, payload_bytes: 0, ..record(2, b"") });
    records.push(record(3, &head));
    let fetched = Fetched { stream: StreamId(7), range: range(0, 4), records, gaps: Vec::new() };
    let batch = decoder(vec![column("a", INT)], "*", None).decode(&origin(), &fetched);
    let reasons: Vec<String> = reasons(&batch).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, ["record_too_large", "record_too_large", "null_payload", "malformed_json"]);
    let rows = batch.errors.as_ref().unwrap();
    let payloads = rows.column_by_name("payload").unwrap().as_binary::<i32>();
    let kept: Vec<Option<usize>> = payloads.iter().map(|payload| payload.map(<[u8]>::len)).collect();
    assert_eq!(kept, [Some(65_536), Some(65_536), None, Some(70_000)]);
    let lengths = rows.column_by_name("payload_bytes").unwrap().as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(lengths, [1 << 30, 100_001, 0, 70_000]);
}

#[test]
fn one_key_feeds_several_columns() {
    let columns =
        vec![column("n", INT), column("small", TINY), column("exact", decimal(6, 2)), column("raw", ColumnType::Json)];
    let mut decoder = decoder(columns, "n, n AS small, n AS exact, n AS raw", None);
    let batch = decode(&mut decoder, &[r#"{"n": 12.0}"#, r#"{"n": 300}"#, r#"{"N": null}"#]);
    assert_eq!(values(&batch), ["12 | 12 | 12.00 | 12.0", "NULL | NULL | NULL | NULL"]);
    assert_eq!(errors(&batch)[0].2, "field \"n\": 300 is out of range for tinyint");
}
