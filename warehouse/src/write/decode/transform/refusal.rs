//! The error of a column that takes no values of an expression's type.

use arrow::datatypes::DataType;
use catalog::ColumnType;

use crate::schema::mysql_type;

/// Why there is no way, and what to write instead.
pub(super) fn refusal(from: &DataType, to: &ColumnType) -> String {
    let name = mysql_type(to);
    let is_time = matches!(to, ColumnType::Date | ColumnType::DateTime { .. } | ColumnType::Timestamp { .. });
    let found = match from {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Date32 | DataType::Date64 => "a date",
        DataType::Timestamp(..) => "a time",
        DataType::Boolean => "a boolean",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "a row of bytes",
        DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => "an array",
        DataType::Map(..) => "a map",
        _ if from.is_numeric() => "a number",
        _ => "a value of a type that no column has",
    };
    let next_step = match found {
        "a number" if is_time => {
            "say its unit, as in to_timestamp_seconds(…), to_timestamp_millis(…) or to_timestamp_micros(…)".to_owned()
        }
        _ if matches!(to, ColumnType::Time { .. }) => "write the time as a text, 'HH:MM:SS'".to_owned(),
        _ if matches!(to, ColumnType::Enum { .. }) => "give it one of the enum's texts".to_owned(),
        _ if to.is_nested() => "give it a value of that type, or its JSON text".to_owned(),
        _ if matches!(to, ColumnType::Binary { .. } | ColumnType::VarBinary { .. }) => {
            "give it bytes, as decode(…, 'base64') does, or a text, whose bytes it takes".to_owned()
        }
        _ => format!("write CAST(… AS {})", name.to_uppercase()),
    };
    format!("it is {found}, and its column is {name}; {next_step}")
}
