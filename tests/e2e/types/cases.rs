//! Every SQL type with its least, its greatest and its odd values: how each is written in a record and in a statement, and the one
//! text that a client must see, whichever way the value came. The whole matrix is made from this one table.

/// One value of one type.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// In a JSON record.
    pub json: &'static str,
    /// As a literal of SQL.
    pub sql: &'static str,
    /// What a client sees; bytes as `0x` and hexadecimal digits.
    pub shown: &'static str,
}

/// One value that the type does not take.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// In a JSON record.
    pub json: &'static str,
    /// The reason that the error table tells.
    pub reason: &'static str,
    /// As a literal of SQL; empty where SQL takes what JSON may not say.
    pub sql: &'static str,
}

/// One type. NULL is a value of each, and not listed.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// As CREATE TABLE has it.
    pub declared: &'static str,
    pub cases: &'static [Case],
    pub refused: &'static [Refused],
}

/// The same in a record, in a statement, and shown.
const fn same(text: &'static str) -> Case {
    Case { json: text, sql: text, shown: text }
}

const fn case(json: &'static str, sql: &'static str, shown: &'static str) -> Case {
    Case { json, sql, shown }
}

impl Case {
    /// Shown as something else.
    const fn shown_as(self, shown: &'static str) -> Self {
        Self { shown, ..self }
    }

    /// In a statement it stands in quotes.
    const fn quoted(self, sql: &'static str) -> Self {
        Self { sql, ..self }
    }
}

/// A text without anything that would have to be escaped.
macro_rules! text {
    ($text:literal) => {
        case(concat!("\"", $text, "\""), concat!("'", $text, "'"), $text)
    };
}

const fn refused(json: &'static str, reason: &'static str, sql: &'static str) -> Refused {
    Refused { json, reason, sql }
}

const fn kind(declared: &'static str, cases: &'static [Case], refused: &'static [Refused]) -> Kind {
    Kind { declared, cases, refused }
}

pub const RANGE: &str = "out_of_range";
pub const WRONG: &str = "wrong_type";
pub const LONG: &str = "too_long";
pub const NO_MEMBER: &str = "not_in_enum";
const NINES_38: &str = "99999999999999999999999999999999999999";
const LESS_NINES_38: &str = "-99999999999999999999999999999999999999";

/// All types.
pub const KINDS: &[Kind] = &[
    kind(
        "BOOLEAN",
        &[case("false", "FALSE", "0"), case("true", "TRUE", "1"), case("1.0", "1", "1")],
        &[refused("2", RANGE, "2"), refused("\"x\"", WRONG, "'x'")],
    ),
    kind(
        "TINYINT",
        &[same("-128"), same("127"), case("-0", "-0", "0"), case("1.2e1", "12", "12")],
        &[refused("128", RANGE, "128"), refused("-129", RANGE, "-129"), refused("1.5", WRONG, "")],
    ),
    kind("TINYINT UNSIGNED", &[same("0"), same("255")], &[refused("-1", RANGE, "-1"), refused("256", RANGE, "256")]),
    kind("SMALLINT", &[same("-32768"), same("32767")], &[refused("32768", RANGE, "32768")]),
    kind("SMALLINT UNSIGNED", &[same("0"), same("65535")], &[refused("65536", RANGE, "65536")]),
    kind("MEDIUMINT", &[same("-8388608"), same("8388607")], &[]),
    kind(
        "INT",
        &[same("-2147483648"), same("2147483647"), case("517.0", "517", "517")],
        &[refused("2147483648", RANGE, "2147483648"), refused("\"abc\"", WRONG, "'abc'")],
    ),
    kind("INT UNSIGNED", &[same("0"), same("4294967295")], &[refused("4294967296", RANGE, "4294967296")]),
    kind(
        "BIGINT",
        &[same("-9223372036854775808"), same("9223372036854775807"), same("9007199254740993")],
        &[refused("9223372036854775808", RANGE, "9223372036854775808")],
    ),
    kind(
        "BIGINT UNSIGNED",
        &[same("0"), same("18446744073709551615"), same("9223372036854775808")],
        &[refused("18446744073709551616", RANGE, "18446744073709551616"), refused("-1", RANGE, "-1")],
    ),
    kind(
        "FLOAT",
        &[
            same("-3.4028235e38"),
            same("3.4028235e38"),
            same("1e-45"),
            same("0.1"),
            same("16777217.0").shown_as("16777216"),
        ],
        &[refused("1e39", RANGE, "1e39")],
    ),
    kind(
        "DOUBLE",
        &[
            same("-1.7976931348623157e308"),
            same("1.7976931348623157e308"),
            same("5e-324"),
            same("0.30000000000000004"),
            same("-0.0").shown_as("-0"),
        ],
        &[refused("1e309", RANGE, "")],
    ),
    kind(
        "DECIMAL(38,0)",
        &[same(LESS_NINES_38), same(NINES_38), same("0")],
        &[refused("100000000000000000000000000000000000000", RANGE, "100000000000000000000000000000000000000")],
    ),
    kind(
        "DECIMAL(38,38)",
        &[
            same("0.99999999999999999999999999999999999999"),
            same("-0.99999999999999999999999999999999999999"),
            same("0.00000000000000000000000000000000000001"),
        ],
        &[refused("1", RANGE, "1")],
    ),
    kind(
        "DECIMAL(10,2)",
        &[
            same("-99999999.99"),
            same("99999999.99"),
            case("1.1", "1.1", "1.10"),
            case("\"0.10\"", "'0.10'", "0.10"),
            case("1.230e1", "12.3", "12.30"),
        ],
        &[refused("100000000", RANGE, "100000000"), refused("1.005", WRONG, ""), refused("\"1,5\"", WRONG, "'1,5'")],
    ),
    kind(
        "DATE",
        &[text!("0001-01-01"), text!("9999-12-31"), text!("2024-02-29"), text!("1969-12-31")],
        &[refused("\"2023-02-29\"", WRONG, "'2023-02-29'"), refused("20240101", WRONG, "")],
    ),
    kind(
        "TIME",
        &[
            text!("-838:59:59"),
            text!("838:59:59"),
            text!("00:00:00"),
            case("\"9:05\"", "'9:05'", "09:05:00"),
            text!("-00:00:00.000001"),
        ],
        &[refused("\"839:00:00\"", RANGE, "'839:00:00'"), refused("\"10:60:00\"", WRONG, "'10:60:00'")],
    ),
    kind(
        "TIME(0)",
        &[case("\"10:00:00.5\"", "'10:00:00.5'", "10:00:01"), case("\"-0:00:00.5\"", "'-0:00:00.5'", "-00:00:01")],
        &[refused("\"838:59:59.5\"", RANGE, "'838:59:59.5'")],
    ),
    kind("TIME(3)", &[case("\"1:02:03\"", "'1:02:03'", "01:02:03.000"), text!("838:59:58.999")], &[]),
    kind("TIME(6)", &[case("\"0:00:00.0000005\"", "'0:00:00.0000005'", "00:00:00.000001")], &[]),
    kind(
        "DATETIME",
        &[
            text!("0001-01-01 00:00:00"),
            text!("9999-12-31 23:59:59.999999"),
            text!("1969-12-31 23:59:59.500000"),
            case("\"2024-02-29T10:11:12Z\"", "'2024-02-29 10:11:12'", "2024-02-29 10:11:12"),
        ],
        &[
            refused("\"2024-01-01T00:00:00+01:00\"", WRONG, ""),
            refused("\"2024-13-01 00:00:00\"", WRONG, "'2024-13-01 00:00:00'"),
        ],
    ),
    kind(
        "DATETIME(0)",
        &[
            case("\"2024-12-31 23:59:59.5\"", "'2024-12-31 23:59:59.5'", "2025-01-01 00:00:00"),
            case("\"1969-12-31 23:59:59.4\"", "'1969-12-31 23:59:59.4'", "1969-12-31 23:59:59"),
        ],
        &[refused("\"9999-12-31 23:59:59.5\"", RANGE, "'9999-12-31 23:59:59.5'")],
    ),
    kind(
        "DATETIME(3)",
        &[
            text!("2024-01-01 00:00:00.000"),
            case("\"2024-01-01 00:00:00.1235\"", "'2024-01-01 00:00:00.1235'", "2024-01-01 00:00:00.124"),
        ],
        &[],
    ),
    kind(
        "DATETIME(6)",
        &[
            text!("2024-01-01 00:00:00.000000"),
            case("\"2024-01-01 00:00:00.1234565\"", "'2024-01-01 00:00:00.1234565'", "2024-01-01 00:00:00.123457"),
        ],
        &[],
    ),
    kind(
        "TIMESTAMP",
        &[
            text!("1970-01-01 00:00:00"),
            text!("2038-01-19 03:14:07"),
            text!("9999-12-31 23:59:59.999999"),
            case("\"2024-07-01T12:00:00+02:00\"", "'2024-07-01T12:00:00+02:00'", "2024-07-01 10:00:00"),
        ],
        &[refused("\"yesterday\"", WRONG, "'yesterday'"), refused("1700000000", WRONG, "")],
    ),
    kind(
        "TIMESTAMP(2)",
        &[case("\"2024-01-01 00:00:00.995\"", "'2024-01-01 00:00:00.995'", "2024-01-01 00:00:01.00")],
        &[],
    ),
    kind(
        "YEAR",
        &[same("1901"), same("2155"), case("0", "0", "0000")],
        &[refused("1900", RANGE, "1900"), refused("2156", RANGE, "2156")],
    ),
    kind(
        "CHAR(3)",
        &[text!("abc"), case("\"a  \"", "'a  '", "a"), text!(""), text!("äö€")],
        &[refused("\"abcd\"", LONG, "'abcd'")],
    ),
    kind(
        "VARCHAR(3)",
        &[text!("abc"), text!("a  "), text!(""), text!("ä€😀")],
        &[refused("\"abcd\"", LONG, "'abcd'"), refused("1", WRONG, "")],
    ),
    kind(
        "TEXT",
        &[
            text!("plain"),
            case(
                r#""it's \"quoted\" \\ \n\u0000 \u00e4""#,
                r#"'it''s "quoted" \\ \n\0 ä'"#,
                "it's \"quoted\" \\ \n\0 ä",
            ),
            text!(""),
        ],
        &[refused("{}", WRONG, "")],
    ),
    kind(
        "ENUM('small','it''s','größer')",
        &[text!("small"), case("\"it's\"", "'it''s'", "it's"), text!("größer")],
        &[refused("\"Small\"", NO_MEMBER, "'Small'"), refused("\"\"", NO_MEMBER, "''")],
    ),
    kind(
        "BINARY(3)",
        &[
            case("\"AAAA\"", "X'000000'", "0x000000"),
            case("\"_w==\"", "X'ff'", "0xff0000"),
            case("\"\"", "''", "0x000000"),
        ],
        &[refused("\"AAAAAA==\"", LONG, "X'00000000'"), refused("\"no base64\"", WRONG, "")],
    ),
    kind(
        "VARBINARY(4)",
        &[
            case("\"\"", "''", "0x"),
            case("\"AP_-Jw\"", "X'00fffe27'", "0x00fffe27"),
            case("\"YWI=\"", "'ab'", "0x6162"),
        ],
        &[refused("\"AAAAAAA=\"", LONG, "X'0000000000'")],
    ),
    kind("BLOB", &[case("\"3q2+7w==\"", "X'deadbeef'", "0xdeadbeef"), case("\"\"", "''", "0x")], &[]),
    kind(
        "JSON",
        &[
            same("[1, 2.50]").quoted("'[1, 2.50]'"),
            same("{\"a\": {\"b\": \"it's\"}, \"a\":1e5}").quoted("'{\"a\": {\"b\": \"it''s\"}, \"a\":1e5}'"),
            same("\"text\"").quoted("'\"text\"'"),
            same("0").quoted("'0'"),
        ],
        &[],
    ),
    kind(
        "ARRAY<INT>",
        &[
            same("[-2147483648,null,2147483647]").quoted("'[-2147483648,null,2147483647]'"),
            same("[]").quoted("'[]'"),
            case("[ 1.0 , 2 ]", "'[ 1.0 , 2 ]'", "[1,2]"),
        ],
        &[
            refused("[2147483648]", RANGE, "'[2147483648]'"),
            refused("[\"x\"]", WRONG, "'[\"x\"]'"),
            refused("{\"a\":1}", WRONG, "'{\"a\":1}'"),
            refused("1", WRONG, "'1'"),
        ],
    ),
    kind(
        "ARRAY<DECIMAL(38,10)>",
        &[case(
            "[9999999999999999999999999999.9999999999,\"0.1\"]",
            "'[9999999999999999999999999999.9999999999,0.1]'",
            "[9999999999999999999999999999.9999999999,0.1000000000]",
        )],
        &[],
    ),
    kind(
        "ARRAY<BIGINT UNSIGNED>",
        &[same("[18446744073709551615,0]").quoted("'[18446744073709551615,0]'")],
        &[refused("[-1]", RANGE, "'[-1]'")],
    ),
    kind(
        "MAP<VARCHAR(5),DATETIME(3)>",
        &[
            case(
                "{\"a\\\"b\":\"2024-01-01T00:00:00.5\",\"n\":null}",
                r#"'{"a\\"b":"2024-01-01 00:00:00.5","n":null}'"#,
                "{\"a\\\"b\":\"2024-01-01 00:00:00.500\",\"n\":null}",
            ),
            same("{}").quoted("'{}'"),
            case("{\"k\":null,\"k\":\"2024-01-01\"}", r#"'{"k":"2024-01-01"}'"#, "{\"k\":\"2024-01-01 00:00:00.000\"}"),
        ],
        &[refused("{\"longer\":null}", LONG, "'{\"longer\":null}'"), refused("[]", WRONG, "'[]'")],
    ),
    kind(
        "MAP<INT,ARRAY<MAP<DATE,VARBINARY(4)>>>",
        &[
            case(
                "{\"-1\":[{\"2024-01-01\":\"_w==\"},null,{}],\"7\":[]}",
                "'{\"-1\":[{\"2024-01-01\":\"_w==\"},null,{}],\"7\":[]}'",
                "{\"-1\":[{\"2024-01-01\":\"/w==\"},null,{}],\"7\":[]}",
            ),
            same("{\"1\":null}").quoted("'{\"1\":null}'"),
        ],
        &[refused("{\"x\":[]}", WRONG, "'{\"x\":[]}'"), refused("{\"1\":[{\"2024-01-01\":\"AAAAAAA=\"}]}", LONG, "")],
    ),
    kind(
        "ARRAY<JSON>",
        &[case("[{\"a\": 1.50}, \"x\", null]", "'[{\"a\": 1.50}, \"x\", null]'", "[{\"a\": 1.50},\"x\",null]")],
        &[],
    ),
    kind(
        "ARRAY<TIME(1)>",
        &[case(
            "[\"-1:00:00.05\",\"838:59:59\"]",
            "'[\"-1:00:00.05\",\"838:59:59\"]'",
            "[\"-01:00:00.1\",\"838:59:59.0\"]",
        )],
        &[],
    ),
];
