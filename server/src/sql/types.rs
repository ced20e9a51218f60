//! SQL data types as columns have them. Owns which types there are; how they are stored is the warehouse's.

use catalog::{ColumnType, IntegerWidth};
use datafusion::sql::sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

use crate::mysql::SqlError;

/// The types, for the message about others.
const KNOWN: &str = "BOOLEAN, TINYINT, SMALLINT, INT, BIGINT (each also UNSIGNED), FLOAT, DOUBLE, DECIMAL(p, s), DATE, \
                     DATETIME, TIMESTAMP, VARCHAR(n), TEXT and JSON";
/// Digits that a DECIMAL may have.
const DIGITS_MAX: u64 = 38;
/// Digits of a second's fraction that are kept.
const FRACTION_DIGITS_MAX: u64 = 6;

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
        DataType::Datetime(digits) => fraction(column, *digits).map(|()| ColumnType::DateTime),
        DataType::Timestamp(digits, TimezoneInfo::None) => fraction(column, *digits).map(|()| ColumnType::Timestamp),
        DataType::Varchar(length)
        | DataType::CharacterVarying(length)
        | DataType::CharVarying(length)
        | DataType::Nvarchar(length) => text(column, length.as_ref(), None),
        DataType::Char(length) | DataType::Character(length) => text(column, length.as_ref(), Some(1)),
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
    let fits = (1..=DIGITS_MAX).contains(&precision) && u64::try_from(scale).is_ok_and(|scale| scale <= precision);
    match (fits, u8::try_from(precision), u8::try_from(scale)) {
        (true, Ok(precision), Ok(scale)) => Ok(ColumnType::Decimal { precision, scale }),
        _ => Err(SqlError::not_supported(&format!(
            "DECIMAL({precision}, {scale}) of column '{column}'; it may have 1 to {DIGITS_MAX} digits, and not more of them \
             after the point"
        ))),
    }
}

fn fraction(column: &str, digits: Option<u64>) -> Result<(), SqlError> {
    match digits {
        Some(digits) if digits > FRACTION_DIGITS_MAX => Err(SqlError::not_supported(&format!(
            "{digits} digits of a second in column '{column}'; times are kept in microseconds: write {FRACTION_DIGITS_MAX} or none"
        ))),
        _ => Ok(()),
    }
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
        DataType::Blob(_) | DataType::Binary(_) | DataType::Varbinary(_) | DataType::Bytea | DataType::Bytes(_) => {
            "keep bytes as text, for instance in base64; "
        }
        DataType::Enum(..) | DataType::Set(_) | DataType::Uuid => "use VARCHAR; ",
        DataType::Time(..) => "use VARCHAR, or DATETIME with the day; ",
        DataType::JSONB => "use JSON; ",
        DataType::Bit(_) => "use BOOLEAN or an integer; ",
        DataType::DecimalUnsigned(_)
        | DataType::DecUnsigned(_)
        | DataType::FloatUnsigned(_)
        | DataType::DoubleUnsigned(_) => "leave UNSIGNED out; ",
        DataType::Array(_) | DataType::Map(..) | DataType::Struct(..) | DataType::Nested(_) => "use JSON; ",
        DataType::Timestamp(..) => "TIMESTAMP is UTC without saying so; ",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::parser::Parser;
    use warehouse::schema::mysql_type;

    use super::*;
    use crate::sql::dialect::MillraceDialect;

    fn of(text: &str) -> Result<ColumnType, String> {
        let mut parser = Parser::new(&MillraceDialect).try_with_sql(text).unwrap();
        let data_type = parser.parse_data_type().unwrap();
        column_type("c", &data_type).map_err(|error| error.message)
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
            ("DATETIME(3)", "datetime(6)"),
            ("TIMESTAMP", "timestamp(6)"),
            ("VARCHAR(20)", "varchar(20)"),
            ("CHAR", "varchar(1)"),
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
        for (typed, hint) in
            [("BLOB", "base64"), ("ENUM('a')", "use VARCHAR"), ("TIME", "DATETIME"), ("GEOMETRY", "BOOLEAN")]
        {
            let error = of(typed).unwrap_err();
            assert!(error.contains(hint) && error.contains("VARCHAR(n), TEXT and JSON"), "{error}");
        }
        assert!(of("DECIMAL(39, 2)").unwrap_err().contains("1 to 38 digits"));
        assert!(of("DECIMAL(4, 5)").is_err());
        assert!(of("DATETIME(9)").unwrap_err().contains("microseconds"));
    }
}
