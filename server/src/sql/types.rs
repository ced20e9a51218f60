//! SQL data types as columns have them. Owns which types there are; how they are stored is the warehouse's.

use catalog::{ColumnType, IntegerWidth};
use datafusion::sql::sqlparser::ast::{
    BinaryLength, CharacterLength, DataType, EnumMember, ExactNumberInfo, TimezoneInfo,
};
use datafusion::sql::sqlparser::tokenizer::Token;

use super::literal::DECIMAL_DIGITS_MAX;
use super::parse::Fault;
use super::parse::cursor::{Cursor, Parsed};
use crate::mysql::SqlError;

/// The types, for the message about others.
const KNOWN: &str = "BOOLEAN, TINYINT, SMALLINT, INT, BIGINT (each also UNSIGNED), FLOAT, DOUBLE, DECIMAL(p, s), DATE, \
                     TIME, DATETIME, TIMESTAMP, YEAR, CHAR(n), VARCHAR(n), TEXT, ENUM('a', …), BINARY(n), VARBINARY(n), \
                     BLOB, JSON, ARRAY<type> and MAP<key, value>";
/// Digits of a second's fraction that are kept.
const FRACTION_DIGITS_MAX: u8 = 6;

/// Types deeper than this are not read: the catalog takes fewer levels, and says so.
const DEPTH_MAX: usize = 16;

/// Reads the type of `column`.
pub(super) fn read(cursor: &mut Cursor<'_>, column: &str) -> Result<ColumnType, Fault> {
    Nested { closed: 0, depth: 0 }.read(cursor, column)
}

/// ARRAY and MAP, read by ourselves: the parser knows MAP in no dialect that is MySQL's.
struct Nested {
    /// Brackets that a `>>` closed beyond the first.
    closed: usize,
    depth: usize,
}

impl Nested {
    fn read(&mut self, cursor: &mut Cursor<'_>, column: &str) -> Result<ColumnType, Fault> {
        let opens = cursor.parser.peek_nth_token_ref(1).token == Token::Lt;
        let word = cursor.peek_word().filter(|_| opens);
        if !matches!(word.as_deref(), Some("ARRAY" | "MAP")) {
            return Ok(column_type(column, &cursor.parser.parse_data_type()?)?);
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            let what = format!("{DEPTH_MAX} levels of ARRAY and MAP in column '{column}'; use JSON for the inner ones");
            return Err(SqlError::not_supported(&what).into());
        }
        cursor.parser.advance_token();
        cursor.expect(&Token::Lt)?;
        let first = Box::new(self.read(cursor, column)?);
        let kind = match word.as_deref() {
            Some("ARRAY") => ColumnType::Array { element: first },
            _ => {
                cursor.expect(&Token::Comma)?;
                ColumnType::Map { key: first, value: Box::new(self.read(cursor, column)?) }
            }
        };
        self.close(cursor)?;
        self.depth -= 1;
        Ok(kind)
    }

    fn close(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        if self.closed > 0 {
            self.closed -= 1;
        } else if cursor.take(&Token::ShiftRight) {
            self.closed += 1;
        } else {
            cursor.expect(&Token::Gt)?;
        }
        Ok(())
    }
}

/// The column type that `data_type` means.
pub(crate) fn column_type(column: &str, data_type: &DataType) -> Result<ColumnType, SqlError> {
    if let Some(kind) = integer(data_type) {
        return Ok(kind);
    }
    match data_type {
        DataType::Bool | DataType::Boolean | DataType::TinyInt(Some(1)) => Ok(ColumnType::Boolean),
        DataType::Float(_) | DataType::Float4 | DataType::Float32 => Ok(ColumnType::Float),
        DataType::Double(_) | DataType::DoublePrecision | DataType::Real | DataType::Float8 | DataType::Float64 => {
            Ok(ColumnType::Double)
        }
        DataType::Decimal(size) | DataType::Numeric(size) | DataType::Dec(size) => decimal(column, size),
        DataType::Date => Ok(ColumnType::Date),
        DataType::Time(digits, TimezoneInfo::None) => Ok(ColumnType::Time { digits: fraction(column, *digits)? }),
        DataType::Datetime(digits) => Ok(ColumnType::DateTime { digits: fraction(column, *digits)? }),
        DataType::Timestamp(digits, TimezoneInfo::None) => {
            Ok(ColumnType::Timestamp { digits: fraction(column, *digits)? })
        }
        DataType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("YEAR") => Ok(ColumnType::Year),
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length)
        | DataType::Nvarchar(length) => text(column, length.as_ref(), None),
        DataType::Char(length) | DataType::Character(length) => match text(column, length.as_ref(), Some(1))? {
            ColumnType::Text { characters_max: Some(characters) } => Ok(ColumnType::Char { characters }),
            unbounded => Ok(unbounded),
        },
        DataType::Enum(members, None) => enumeration(column, members),
        DataType::Binary(length) => {
            Ok(ColumnType::Binary { bytes: bytes(column, Some(length.unwrap_or(1)))?.unwrap_or(1) })
        }
        DataType::Varbinary(Some(BinaryLength::IntegerLength { length })) => {
            Ok(ColumnType::VarBinary { bytes_max: bytes(column, Some(*length))? })
        }
        DataType::Varbinary(None | Some(BinaryLength::Max))
        | DataType::Blob(None)
        | DataType::TinyBlob
        | DataType::MediumBlob
        | DataType::LongBlob
        | DataType::Bytea
        | DataType::Bytes(None) => Ok(ColumnType::BLOB),
        DataType::Blob(length) | DataType::Bytes(length) => {
            Ok(ColumnType::VarBinary { bytes_max: bytes(column, *length)? })
        }
        DataType::Text | DataType::TinyText | DataType::MediumText | DataType::LongText | DataType::String(None) => {
            Ok(ColumnType::Text { characters_max: None })
        }
        DataType::JSON => Ok(ColumnType::Json),
        other => {
            let hint = instead_of(other);
            Err(SqlError::not_supported(&format!("type {other} of column '{column}'; {hint}there are {KNOWN}")))
        }
    }
}

fn integer(data_type: &DataType) -> Option<ColumnType> {
    let (width, unsigned) = match data_type {
        DataType::TinyInt(Some(1)) => return None,
        DataType::TinyInt(_) => (IntegerWidth::Tiny, false),
        DataType::TinyIntUnsigned(_) => (IntegerWidth::Tiny, true),
        DataType::SmallInt(_) | DataType::Int2(_) => (IntegerWidth::Small, false),
        DataType::SmallIntUnsigned(_) | DataType::Int2Unsigned(_) => (IntegerWidth::Small, true),
        // Three bytes are not worth a type of their own: the next larger one holds them.
        DataType::MediumInt(_) | DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => {
            (IntegerWidth::Int, false)
        }
        DataType::MediumIntUnsigned(_)
        | DataType::IntUnsigned(_)
        | DataType::IntegerUnsigned(_)
        | DataType::Int4Unsigned(_) => (IntegerWidth::Int, true),
        DataType::BigInt(_) | DataType::Int8(_) => (IntegerWidth::Big, false),
        DataType::BigIntUnsigned(_) | DataType::Int8Unsigned(_) => (IntegerWidth::Big, true),
        _ => return None,
    };
    Some(ColumnType::Integer { width, unsigned })
}

fn decimal(column: &str, size: &ExactNumberInfo) -> Result<ColumnType, SqlError> {
    let (precision, scale) = match size {
        ExactNumberInfo::None => (10, 0),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    let fits = (1..=DECIMAL_DIGITS_MAX as u64).contains(&precision)
        && u64::try_from(scale).is_ok_and(|scale| scale <= precision);
    match (fits, u8::try_from(precision), u8::try_from(scale)) {
        (true, Ok(precision), Ok(scale)) => Ok(ColumnType::Decimal { precision, scale }),
        _ => Err(SqlError::not_supported(&format!(
            "DECIMAL({precision}, {scale}) of column '{column}'; it may have 1 to {DECIMAL_DIGITS_MAX} digits, and not more of them \
             after the point"
        ))),
    }
}

fn fraction(column: &str, digits: Option<u64>) -> Result<Option<u8>, SqlError> {
    match (digits, digits.and_then(|digits| u8::try_from(digits).ok())) {
        (None, _) => Ok(None),
        (_, Some(digits @ 0..=FRACTION_DIGITS_MAX)) => Ok(Some(digits)),
        (Some(digits), _) => Err(SqlError::not_supported(&format!(
            "{digits} digits of a second in column '{column}'; times are kept in microseconds: write {FRACTION_DIGITS_MAX} or none"
        ))),
    }
}

fn bytes(column: &str, length: Option<u64>) -> Result<Option<u32>, SqlError> {
    let Some(length) = length else { return Ok(None) };
    match u32::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) => Err(SqlError::not_supported(&format!("{length} bytes in column '{column}'; use BLOB"))),
    }
}

/// As in MySQL, the blanks at the end of a value do not count.
fn enumeration(column: &str, members: &[EnumMember]) -> Result<ColumnType, SqlError> {
    let text = |member: &EnumMember| match member {
        EnumMember::Name(text) => Ok(text.trim_end_matches(' ').to_owned()),
        EnumMember::NamedValue(text, _) => Err(SqlError::not_supported(&format!(
            "a number for the value '{text}' of the ENUM in column '{column}'; an ENUM is kept as text: list the texts alone"
        ))),
    };
    Ok(ColumnType::Enum { values: members.iter().map(text).collect::<Result<_, _>>()? })
}

fn text(column: &str, length: Option<&CharacterLength>, absent: Option<u32>) -> Result<ColumnType, SqlError> {
    let characters_max = match length {
        None => absent,
        Some(CharacterLength::Max) => None,
        Some(CharacterLength::IntegerLength { length, .. }) => match u32::try_from(*length) {
            Ok(length) => Some(length),
            Err(_) => {
                return Err(SqlError::not_supported(&format!("{length} characters in column '{column}'; use TEXT")));
            }
        },
    };
    Ok(ColumnType::Text { characters_max })
}

fn instead_of(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Enum(..) => "write ENUM; ",
        DataType::Set(_) => "use ARRAY<VARCHAR(n)>, or VARCHAR; ",
        DataType::Uuid => "use CHAR(36), or BINARY(16); ",
        DataType::Time(..) => "a TIME has no zone; ",
        DataType::JSONB => "use JSON; ",
        DataType::Bit(_) => "use BOOLEAN for one bit, else BIGINT UNSIGNED or BINARY(n); ",
        DataType::DecimalUnsigned(_)
        | DataType::DecUnsigned(_)
        | DataType::FloatUnsigned(_)
        | DataType::DoubleUnsigned(_) => "leave UNSIGNED out; ",
        DataType::Array(_) => "write ARRAY<type>; ",
        DataType::Map(..) => "write MAP<key, value>; ",
        DataType::Struct(..) | DataType::Nested(_) => "use MAP or JSON; ",
        DataType::Timestamp(..) => "TIMESTAMP is UTC without saying so; ",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::tokenizer::Tokenizer;
    use warehouse::schema::mysql_type;

    use super::*;
    use crate::sql::dialect::MillraceDialect;

    fn of(text: &str) -> Result<ColumnType, String> {
        let tokens = Tokenizer::new(&MillraceDialect, text).tokenize_with_location().unwrap();
        read(&mut Cursor::new(text, tokens), "c").map_err(|fault| match fault {
            Fault::Meaning(error) => error.message,
            Fault::Syntax(error) => error.to_string(),
        })
    }

    #[test]
    fn every_type_reads_back_as_mysql_shows_it() {
        for (typed, shown) in [
            ("BOOLEAN", "tinyint(1)"),
            ("BOOL", "tinyint(1)"),
            ("TINYINT(1)", "tinyint(1)"),
            ("TINYINT", "tinyint"),
            ("TINYINT UNSIGNED", "tinyint unsigned"),
            ("SMALLINT", "smallint"),
            ("MEDIUMINT", "int"),
            ("INT(11)", "int"),
            ("INTEGER UNSIGNED", "int unsigned"),
            ("BIGINT", "bigint"),
            ("BIGINT(20) UNSIGNED", "bigint unsigned"),
            ("FLOAT", "float"),
            ("DOUBLE", "double"),
            ("DOUBLE PRECISION", "double"),
            ("DECIMAL(38, 10)", "decimal(38,10)"),
            ("NUMERIC", "decimal(10,0)"),
            ("DATE", "date"),
            ("TIME", "time"),
            ("TIME(6)", "time(6)"),
            ("DATETIME", "datetime"),
            ("DATETIME(3)", "datetime(3)"),
            ("TIMESTAMP", "timestamp"),
            ("TIMESTAMP(0)", "timestamp(0)"),
            ("YEAR", "year"),
            ("YEAR(4)", "year"),
            ("VARCHAR(20)", "varchar(20)"),
            ("CHAR", "char(1)"),
            ("CHAR(20)", "char(20)"),
            ("ENUM('a', 'it''s ', 'b\\\\')", "enum('a','it''s','b\\\\')"),
            ("BINARY", "binary(1)"),
            ("BINARY(16)", "binary(16)"),
            ("VARBINARY(20)", "varbinary(20)"),
            ("BLOB", "blob"),
            ("LONGBLOB", "blob"),
            ("ARRAY<INT>", "array<int>"),
            ("ARRAY<ARRAY<DECIMAL(10, 2)>>", "array<array<decimal(10,2)>>"),
            (
                "MAP<VARCHAR(10), ARRAY<MAP<INT UNSIGNED,TIMESTAMP(3)>>>",
                "map<varchar(10),array<map<int unsigned,timestamp(3)>>>",
            ),
            ("array < map < text , enum('>', ',') > >", "array<map<text,enum('>',',')>>"),
            ("TEXT", "text"),
            ("LONGTEXT", "text"),
            ("STRING", "text"),
            ("JSON", "json"),
        ] {
            let kind = of(typed).unwrap();
            assert_eq!(mysql_type(&kind), shown, "{typed}");
            assert_eq!(of(shown), Ok(kind), "{shown} reads back");
        }
    }

    #[test]
    fn other_types_are_refused_with_those_that_there_are() {
        for (typed, hint) in [
            ("SET('a')", "use ARRAY<VARCHAR(n)>"),
            ("UUID", "BINARY(16)"),
            ("BIT(8)", "BIGINT UNSIGNED"),
            ("GEOMETRY", "BOOLEAN"),
            ("ARRAY<SET('a')>", "use ARRAY<VARCHAR(n)>"),
        ] {
            let error = of(typed).unwrap_err();
            assert!(error.contains(hint) && error.contains("VARCHAR(n), TEXT"), "{error}");
        }
        assert!(of(&"ARRAY<".repeat(1000)).unwrap_err().contains("16 levels"));
        assert!(of("MAP<INT>").unwrap_err().contains("Expected: ,"));
        assert!(of("ARRAY<INT").is_err());
        assert!(of("DECIMAL(39, 2)").unwrap_err().contains("1 to 38 digits"));
        assert!(of("DECIMAL(4, 5)").is_err());
        assert!(of("DATETIME(9)").unwrap_err().contains("microseconds"));
    }
}
