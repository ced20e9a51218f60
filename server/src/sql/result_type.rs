//! The columns of a table made AS SELECT: from what a query yields. A column of a table keeps its type, as its name in the MySQL
//! front's metadata says it; what was computed has the type that holds every value of the engine's.

use arrow::datatypes::{DataType, Field, SchemaRef};
use catalog::{ColumnType, IntegerWidth, NewColumn};
use datafusion::sql::sqlparser::tokenizer::Tokenizer;
use warehouse::schema::MYSQL_TYPE_KEY;

use super::dialect::MillraceDialect;
use super::headings::Heading;
use super::parse::cursor::Cursor;
use super::types;
use crate::mysql::SqlError;

/// One column for each of the query's. Names are the headings that a client would see.
pub(crate) fn columns_of(schema: &SchemaRef, headings: &[Heading]) -> Result<Vec<NewColumn>, SqlError> {
    let headed = super::session::headed(schema, headings);
    headed.fields().iter().map(|field| column_of(field)).collect()
}

fn column_of(field: &Field) -> Result<NewColumn, SqlError> {
    let kind = match declared(field).or_else(|| computed(field.data_type())) {
        Some(kind) => kind,
        None => {
            let what = match field.data_type() {
                DataType::Null => "is NULL in every row, and so has no type".to_owned(),
                other => format!("has the engine's type {other}, which no column has"),
            };
            let message =
                format!("column '{}' of the query {what}; write CAST(… AS type) AS `{}`", field.name(), field.name());
            return Err(SqlError::not_supported(&message));
        }
    };
    let (name, nullable) = (field.name().clone(), field.is_nullable());
    Ok(NewColumn::new(name, kind, nullable))
}

/// The type of the table's column that the query passes on.
fn declared(field: &Field) -> Option<ColumnType> {
    named(field.metadata().get(MYSQL_TYPE_KEY)?)
}

fn computed(data_type: &DataType) -> Option<ColumnType> {
    let integer = |width, unsigned| ColumnType::Integer { width, unsigned };
    Some(match data_type {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 => integer(IntegerWidth::Tiny, false),
        DataType::Int16 => integer(IntegerWidth::Small, false),
        DataType::Int32 => integer(IntegerWidth::Int, false),
        DataType::Int64 => integer(IntegerWidth::Big, false),
        DataType::UInt8 => integer(IntegerWidth::Tiny, true),
        DataType::UInt16 => integer(IntegerWidth::Small, true),
        DataType::UInt32 => integer(IntegerWidth::Int, true),
        DataType::UInt64 => integer(IntegerWidth::Big, true),
        DataType::Float16 | DataType::Float32 => ColumnType::Float,
        DataType::Float64 => ColumnType::Double,
        DataType::Decimal128(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal32(precision, scale) => {
            ColumnType::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
        }
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Timestamp(_, None) => named("datetime(6)")?,
        DataType::Timestamp(_, Some(_)) => named("timestamp(6)")?,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnType::Text { characters_max: None },
        // Types that have their own names only.
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => named("blob")?,
        DataType::Time32(_) | DataType::Time64(_) | DataType::Duration(_) => named("time(6)")?,
        _ => return None,
    })
}

/// The type of that name.
fn named(name: &str) -> Option<ColumnType> {
    let tokens = Tokenizer::new(&MillraceDialect, name).tokenize_with_location().ok()?;
    types::read(&mut Cursor::new(name, tokens), "").ok()
}
