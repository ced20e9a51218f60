//! How a result's columns are announced: the MySQL type, length, character set and flags of an Arrow field.
//!
//! Drivers choose the type of the host language by these, and ODBC drivers the size of their buffers, so they are real.

use arrow::datatypes::{DataType, Field};
use bytes::{BufMut, BytesMut};

use super::capabilities::{CHARSET_BINARY, CHARSET_UTF8MB4};
use super::codec::CodecError;
use super::fields::{Fields, put_string};

/// The key in a field's metadata under which a MySQL type may stand, for instance `JSON`, `BIGINT UNSIGNED` or
/// `VARCHAR(20)`: it is announced instead of the one that follows from the Arrow type.
pub const MYSQL_TYPE_KEY: &str = "millrace.mysql_type";

/// The type codes of the protocol that occur here.
pub mod type_code {
    #![allow(missing_docs, reason = "the names are MySQL's")]
    pub const DECIMAL: u8 = 0;
    pub const TINY: u8 = 1;
    pub const SHORT: u8 = 2;
    pub const LONG: u8 = 3;
    pub const FLOAT: u8 = 4;
    pub const DOUBLE: u8 = 5;
    pub const NULL: u8 = 6;
    pub const TIMESTAMP: u8 = 7;
    pub const LONGLONG: u8 = 8;
    pub const INT24: u8 = 9;
    pub const DATE: u8 = 10;
    pub const TIME: u8 = 11;
    pub const DATETIME: u8 = 12;
    pub const YEAR: u8 = 13;
    pub const VARCHAR: u8 = 15;
    pub const BIT: u8 = 16;
    pub const JSON: u8 = 245;
    pub const NEWDECIMAL: u8 = 246;
    pub const ENUM: u8 = 247;
    pub const SET: u8 = 248;
    pub const TINY_BLOB: u8 = 249;
    pub const MEDIUM_BLOB: u8 = 250;
    pub const LONG_BLOB: u8 = 251;
    pub const BLOB: u8 = 252;
    pub const VAR_STRING: u8 = 253;
    pub const STRING: u8 = 254;
    pub const GEOMETRY: u8 = 255;
}

/// The flags of a column that occur here.
mod flag {
    pub(super) const NOT_NULL: u16 = 1;
    pub(super) const BLOB: u16 = 1 << 4;
    pub(super) const UNSIGNED: u16 = 1 << 5;
    pub(super) const ZEROFILL: u16 = 1 << 6;
    pub(super) const BINARY: u16 = 1 << 7;
    pub(super) const ENUM: u16 = 1 << 8;
}

/// "As many digits as the value has", in the place of a number of decimals.
const DECIMALS_DYNAMIC: u8 = 31;
const MAX_BYTES_PER_CHAR: u32 = 4;
/// What is announced for text without a length: TEXT's.
const TEXT_CHARS: u32 = 65_535;

/// The announcement of one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDefinition {
    /// The header.
    pub name: String,
    /// One of [`type_code`].
    pub type_code: u8,
    /// The character set of its values.
    pub charset: u8,
    /// The greatest length of a value in bytes.
    pub length: u32,
    /// MySQL's column flags.
    pub flags: u16,
    /// Digits behind the point.
    pub decimals: u8,
}

impl ColumnDefinition {
    /// The announcement of `field`.
    pub fn of(field: &Field) -> Self {
        let announced = field.metadata().get(MYSQL_TYPE_KEY).and_then(|name| Announced::named(name));
        let Announced { type_code, charset, length, mut flags, decimals } =
            announced.unwrap_or_else(|| Announced::of(field.data_type()));
        if !field.is_nullable() {
            flags |= flag::NOT_NULL;
        }
        Self { name: field.name().clone(), type_code, charset, length, flags, decimals }
    }

    /// The announcement of a parameter, whose type the client decides.
    pub fn of_parameter() -> Self {
        let Announced { type_code, charset, length, flags, decimals } = Announced::bytes(type_code::VAR_STRING, 0, 0);
        Self { name: "?".to_owned(), type_code, charset, length, flags, decimals }
    }

    /// Whether numbers have no sign.
    pub fn is_unsigned(&self) -> bool {
        self.flags & flag::UNSIGNED != 0
    }

    /// Whether values are numbers, which a table sets to the right.
    pub fn is_number(&self) -> bool {
        use type_code::{DOUBLE, INT24, LONGLONG, NEWDECIMAL, TINY, YEAR};
        matches!(self.type_code, TINY..=DOUBLE | LONGLONG | INT24 | YEAR | NEWDECIMAL)
    }

    /// Whether values are bytes rather than text.
    pub fn is_binary(&self) -> bool {
        self.charset == CHARSET_BINARY
            && matches!(self.type_code, type_code::BLOB | type_code::VAR_STRING | type_code::STRING)
    }

    /// Appends the packet's payload.
    pub fn encode(&self, out: &mut BytesMut) {
        for text in ["def", "", "", "", &self.name, &self.name] {
            put_string(out, text.as_bytes());
        }
        out.put_u8(0x0C);
        out.put_u16_le(u16::from(self.charset));
        out.put_u32_le(self.length);
        out.put_u8(self.type_code);
        out.put_u16_le(self.flags);
        out.put_u8(self.decimals);
        out.put_u16_le(0);
    }

    /// Reads the packet's payload.
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut fields = Fields::new(payload);
        for _ in 0..4 {
            fields.string()?;
        }
        let name = String::from_utf8_lossy(fields.string()?).into_owned();
        fields.string()?;
        fields.integer()?;
        // Collations above 255 are all of utf8mb4.
        let charset = u8::try_from(fields.u16()?).unwrap_or(CHARSET_UTF8MB4);
        let length = fields.u32()?;
        let type_code = fields.u8()?;
        let flags = fields.u16()?;
        let decimals = fields.u8()?;
        Ok(Self { name, type_code, charset, length, flags, decimals })
    }
}

/// What is announced of a type, whatever the column is called.
struct Announced {
    type_code: u8,
    charset: u8,
    length: u32,
    flags: u16,
    decimals: u8,
}

impl Announced {
    /// Without the flag BINARY, as columns of MySQL's tables are: Connector/J gives out bytes for a BOOLEAN that has it.
    fn number(type_code: u8, length: u32, decimals: u8) -> Self {
        Self { type_code, charset: CHARSET_BINARY, length, flags: 0, decimals }
    }

    fn unsigned(self) -> Self {
        Self { flags: self.flags | flag::UNSIGNED, ..self }
    }

    fn decimal(precision: u32, scale: u8) -> Self {
        // A sign, and a point where there are digits behind it.
        Self::number(type_code::NEWDECIMAL, precision + 1 + u32::from(scale > 0), scale)
    }

    fn text(type_code: u8, chars: u32, flags: u16) -> Self {
        let length = chars.saturating_mul(MAX_BYTES_PER_CHAR);
        Self { type_code, charset: CHARSET_UTF8MB4, length, flags, decimals: 0 }
    }

    fn bytes(type_code: u8, length: u32, flags: u16) -> Self {
        Self { type_code, charset: CHARSET_BINARY, length, flags: flags | flag::BINARY, decimals: 0 }
    }

    fn json() -> Self {
        Self { length: u32::MAX, ..Self::text(type_code::JSON, 0, flag::BLOB) }
    }

    fn date() -> Self {
        Self::bytes(type_code::DATE, 10, 0)
    }

    /// A time with so many digits of a second; where none were declared there may be six.
    fn clock(type_code: u8, whole_length: u32, digits: Option<u32>) -> Self {
        let digits = digits.unwrap_or(6).min(6);
        let fraction = if digits > 0 { digits + 1 } else { 0 };
        Self { decimals: digits as u8, ..Self::bytes(type_code, whole_length + fraction, 0) }
    }

    fn moment(type_code: u8, digits: Option<u32>) -> Self {
        Self::clock(type_code, 19, digits)
    }

    /// A sign, three digits of hours, and the rest.
    fn span(digits: Option<u32>) -> Self {
        Self::clock(type_code::TIME, 10, digits)
    }

    fn year() -> Self {
        let year = Self::number(type_code::YEAR, 4, 0);
        Self { flags: year.flags | flag::UNSIGNED | flag::ZEROFILL, ..year }
    }

    /// An ENUM is announced as a CHAR that is as long as the longest of its values.
    fn of_enum(values: &str) -> Self {
        let (mut longest, mut length, mut quoted, mut escaped, mut previous) = (0, 0, false, false, ' ');
        for letter in values.chars() {
            match letter {
                '\\' if quoted && !escaped => escaped = true,
                '\'' if !escaped => {
                    // Two side by side are one in the value.
                    length += u32::from(!quoted && previous == '\'');
                    quoted = !quoted;
                }
                ',' if !quoted => length = 0,
                _ => (length, escaped) = (length + 1, false),
            }
            (longest, previous) = (longest.max(length), letter);
        }
        Self::text(type_code::STRING, longest, flag::ENUM)
    }

    fn of(data_type: &DataType) -> Self {
        use DataType::*;
        use type_code as code;
        match data_type {
            Null => Self::number(code::NULL, 0, 0),
            Boolean => Self::number(code::TINY, 1, 0),
            Int8 => Self::number(code::TINY, 4, 0),
            Int16 => Self::number(code::SHORT, 6, 0),
            Int32 => Self::number(code::LONG, 11, 0),
            Int64 => Self::number(code::LONGLONG, 20, 0),
            UInt8 => Self::number(code::TINY, 3, 0).unsigned(),
            UInt16 => Self::number(code::SHORT, 5, 0).unsigned(),
            UInt32 => Self::number(code::LONG, 10, 0).unsigned(),
            UInt64 => Self::number(code::LONGLONG, 20, 0).unsigned(),
            Float16 | Float32 => Self::number(code::FLOAT, 12, DECIMALS_DYNAMIC),
            Float64 => Self::number(code::DOUBLE, 22, DECIMALS_DYNAMIC),
            Decimal32(precision, scale)
            | Decimal64(precision, scale)
            | Decimal128(precision, scale)
            | Decimal256(precision, scale) => {
                // A negative scale prints that many zeros more and no decimals.
                let zeros = u32::from(scale.unsigned_abs()) * u32::from(*scale < 0);
                Self::decimal(u32::from(*precision) + zeros, u8::try_from(*scale).unwrap_or(0))
            }
            Date32 | Date64 => Self::date(),
            Timestamp(_, None) => Self::moment(code::DATETIME, None),
            Timestamp(_, Some(_)) => Self::moment(code::TIMESTAMP, None),
            Time32(_) | Time64(_) | Duration(_) => Self::span(None),
            Utf8 | LargeUtf8 | Utf8View => Self::text(code::VAR_STRING, TEXT_CHARS, 0),
            Binary | LargeBinary | BinaryView => Self::bytes(code::BLOB, u32::MAX, flag::BLOB),
            FixedSizeBinary(width) => Self::bytes(code::STRING, u32::try_from(*width).unwrap_or(0), 0),
            List(_) | LargeList(_) | ListView(_) | LargeListView(_) | FixedSizeList(..) | Struct(_) | Map(..) => {
                Self::json()
            }
            Dictionary(_, value) => Self::of(value),
            RunEndEncoded(_, values) => Self::of(values.data_type()),
            Interval(_) | Union(..) => Self::text(code::VAR_STRING, TEXT_CHARS, 0),
        }
    }

    /// The announcement of a MySQL type by its SQL name, in whatever case; nothing if there is no such type.
    fn named(name: &str) -> Option<Self> {
        use type_code as code;
        let name = name.to_ascii_uppercase();
        if name.starts_with("ARRAY<") || name.starts_with("MAP<") {
            return Some(Self::json());
        }
        if let Some(values) = name.strip_prefix("ENUM(") {
            return Some(Self::of_enum(values.strip_suffix(')').unwrap_or(values)));
        }
        let (head, arguments) = match name.split_once('(') {
            Some((head, rest)) => (head.to_owned() + rest.split_once(')').map_or("", |(_, tail)| tail), rest),
            None => (name.clone(), ""),
        };
        let mut arguments =
            arguments.split(')').next().unwrap_or("").split(',').map(|number| number.trim().parse::<u32>().ok());
        let (first, second) = (arguments.next().flatten(), arguments.next().flatten());
        let words: Vec<&str> =
            head.split_whitespace().filter(|word| *word != "UNSIGNED" && *word != "SIGNED").collect();
        let unsigned = head.split_whitespace().any(|word| word == "UNSIGNED");
        let announced = match words.as_slice() {
            ["BOOL" | "BOOLEAN"] => Self::number(code::TINY, 1, 0),
            ["TINYINT"] => Self::number(code::TINY, first.unwrap_or(4), 0),
            ["SMALLINT"] => Self::number(code::SHORT, 6, 0),
            ["MEDIUMINT"] => Self::number(code::INT24, 9, 0),
            ["INT" | "INTEGER"] => Self::number(code::LONG, 11, 0),
            ["BIGINT"] | [] if unsigned || !words.is_empty() => Self::number(code::LONGLONG, 20, 0),
            ["FLOAT"] => Self::number(code::FLOAT, 12, DECIMALS_DYNAMIC),
            ["DOUBLE"] | ["DOUBLE", "PRECISION"] | ["REAL"] => Self::number(code::DOUBLE, 22, DECIMALS_DYNAMIC),
            ["DECIMAL" | "NUMERIC"] => {
                Self::decimal(first.unwrap_or(10), second.and_then(|s| u8::try_from(s).ok()).unwrap_or(0))
            }
            ["DATE"] => Self::date(),
            ["TIME"] => Self::span(first),
            ["DATETIME"] => Self::moment(code::DATETIME, first),
            ["TIMESTAMP"] => Self::moment(code::TIMESTAMP, first),
            ["YEAR"] => Self::year(),
            ["CHAR"] => Self::text(code::STRING, first.unwrap_or(1), 0),
            ["VARCHAR"] => Self::text(code::VAR_STRING, first.unwrap_or(TEXT_CHARS), 0),
            ["TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "STRING"] => {
                Self::text(code::BLOB, TEXT_CHARS, flag::BLOB)
            }
            ["JSON"] => Self::json(),
            ["BINARY"] => Self::bytes(code::STRING, first.unwrap_or(1), 0),
            ["VARBINARY"] => Self::bytes(code::VAR_STRING, first.unwrap_or(TEXT_CHARS), 0),
            ["BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB"] => Self::bytes(code::BLOB, u32::MAX, flag::BLOB),
            _ => return None,
        };
        Some(if unsigned { announced.unsigned() } else { announced })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow::datatypes::TimeUnit;
    use proptest::prelude::*;

    use super::*;

    fn announced_as(name: &str) -> ColumnDefinition {
        let metadata = HashMap::from([(MYSQL_TYPE_KEY.to_owned(), name.to_owned())]);
        ColumnDefinition::of(&Field::new("c", DataType::Utf8, true).with_metadata(metadata))
    }

    #[test]
    fn the_type_follows_from_the_arrow_type() {
        for (data_type, code, length) in [
            (DataType::Int64, type_code::LONGLONG, 20),
            (DataType::Boolean, type_code::TINY, 1),
            (DataType::Decimal128(12, 2), type_code::NEWDECIMAL, 14),
            (DataType::Timestamp(TimeUnit::Microsecond, None), type_code::DATETIME, 26),
            (DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), type_code::TIMESTAMP, 26),
            (DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Int8)), type_code::TINY, 4),
            (DataType::Utf8View, type_code::VAR_STRING, 262_140),
            (DataType::Null, type_code::NULL, 0),
        ] {
            let column = ColumnDefinition::of(&Field::new("c", data_type, false));
            assert_eq!((column.type_code, column.length, column.flags & 1), (code, length, 1), "{column:?}");
        }
    }

    #[test]
    fn the_metadata_may_name_another_type() {
        for (name, code, length) in [
            ("JSON", type_code::JSON, u32::MAX),
            ("unsigned bigint", type_code::LONGLONG, 20),
            ("BIGINT UNSIGNED", type_code::LONGLONG, 20),
            ("int(10) unsigned", type_code::LONG, 11),
            ("VARCHAR(20)", type_code::VAR_STRING, 80),
            ("decimal(20, 4)", type_code::NEWDECIMAL, 22),
            ("TINYINT(1)", type_code::TINY, 1),
            ("TIMESTAMP", type_code::TIMESTAMP, 26),
            ("datetime(6)", type_code::DATETIME, 26),
            ("datetime(0)", type_code::DATETIME, 19),
            ("timestamp(3)", type_code::TIMESTAMP, 23),
            ("time", type_code::TIME, 17),
            ("time(0)", type_code::TIME, 10),
            ("year", type_code::YEAR, 4),
            ("char(3)", type_code::STRING, 12),
            ("enum('a','it''s','b,')", type_code::STRING, 16),
            ("binary(16)", type_code::STRING, 16),
            ("varbinary(20)", type_code::VAR_STRING, 20),
            ("array<varchar(10)>", type_code::JSON, u32::MAX),
            ("map<bigint unsigned,decimal(10,2)>", type_code::JSON, u32::MAX),
        ] {
            let column = announced_as(name);
            assert_eq!((column.type_code, column.length), (code, length), "{name}");
            let unsigned = column.type_code == type_code::YEAR
                || column.type_code != type_code::JSON && name.to_ascii_uppercase().contains("UNSIGNED");
            assert_eq!(column.flags & flag::UNSIGNED != 0, unsigned, "{name}");
        }
        assert_eq!(announced_as("decimal(20, 4)").decimals, 4);
        assert_eq!(announced_as("decimal(38)").length, 39);
        for (name, is_flagged) in
            [("boolean", false), ("double", false), ("decimal(2,1)", false), ("date", true), ("time", true)]
        {
            assert_eq!(announced_as(name).flags & flag::BINARY != 0, is_flagged, "{name}");
        }
        assert_eq!(announced_as("no such type").type_code, type_code::VAR_STRING);
        assert_eq!(announced_as("").type_code, type_code::VAR_STRING);
    }

    #[test]
    fn a_definition_comes_back_as_written() {
        let column = announced_as("decimal(20, 4)");
        let mut out = BytesMut::new();
        column.encode(&mut out);
        assert_eq!(ColumnDefinition::parse(&out).unwrap(), column);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), name in "[A-Za-z(), 0-9]{0,20}") {
            let _ = ColumnDefinition::parse(&bytes);
            let _ = announced_as(&name);
        }
    }
}
