//! From the catalog's columns to Arrow's: how a table's rows are stored, in memory, in the WAL and in Parquet alike.
//!
//! Types follow PROTOCOL's "Data". Field ids are the catalog's column ids, from birth, so that parts are Iceberg files
//! without a name mapping.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use catalog::{Column, ColumnType, IntegerWidth, Table};

/// The hidden column that holds a row's stream.
pub const STREAM_COLUMN: &str = "_stream";
/// The hidden column that holds a row's offset in its stream.
pub const OFFSET_COLUMN: &str = "_offset";
/// The Arrow metadata key under which Parquet field ids travel.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";
/// The Arrow metadata key that tells the MySQL front which SQL type a field has.
pub const MYSQL_TYPE_KEY: &str = "millrace.mysql_type";

/// Field ids of the hidden columns: below the ids that Iceberg reserves for itself, above any column's.
const STREAM_FIELD_ID: i32 = 2_100_000_001;
const OFFSET_FIELD_ID: i32 = 2_100_000_002;

/// The Arrow type that holds a column's values.
pub fn arrow_type(kind: &ColumnType) -> DataType {
    match kind {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Integer { width, unsigned } => integer_type(*width, *unsigned),
        ColumnType::Float => DataType::Float32,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal { precision, scale } => {
            DataType::Decimal128(*precision, i8::try_from(*scale).expect("a scale is at most 38"))
        }
        ColumnType::Date => DataType::Date32,
        ColumnType::DateTime => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("+00:00"))),
        ColumnType::Text { .. } | ColumnType::Json => DataType::Utf8,
    }
}

/// Iceberg knows only signed 32 and 64 bits: small integers are widened, and unsigned ones to the next that holds them.
fn integer_type(width: IntegerWidth, unsigned: bool) -> DataType {
    match (width, unsigned) {
        (IntegerWidth::Tiny | IntegerWidth::Small, _) | (IntegerWidth::Int, false) => DataType::Int32,
        (IntegerWidth::Int, true) | (IntegerWidth::Big, false) => DataType::Int64,
        (IntegerWidth::Big, true) => DataType::Decimal128(20, 0),
    }
}

/// The inclusive bounds of an integer column's values.
pub fn integer_bounds(width: IntegerWidth, unsigned: bool) -> (i128, i128) {
    let bits = match width {
        IntegerWidth::Tiny => 8,
        IntegerWidth::Small => 16,
        IntegerWidth::Int => 32,
        IntegerWidth::Big => 64,
    };
    if unsigned { (0, (1 << bits) - 1) } else { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) }
}

/// A column's type as MySQL writes it: `bigint unsigned`, `decimal(10,2)`, `varchar(20)`.
pub fn mysql_type(kind: &ColumnType) -> String {
    match kind {
        ColumnType::Boolean => "tinyint(1)".to_owned(),
        ColumnType::Integer { width, unsigned } => {
            let name = match width {
                IntegerWidth::Tiny => "tinyint",
                IntegerWidth::Small => "smallint",
                IntegerWidth::Int => "int",
                IntegerWidth::Big => "bigint",
            };
            if *unsigned { format!("{name} unsigned") } else { name.to_owned() }
        }
        ColumnType::Float => "float".to_owned(),
        ColumnType::Double => "double".to_owned(),
        ColumnType::Decimal { precision, scale } => format!("decimal({precision},{scale})"),
        ColumnType::Date => "date".to_owned(),
        ColumnType::DateTime => "datetime(6)".to_owned(),
        ColumnType::Timestamp => "timestamp(6)".to_owned(),
        ColumnType::Text { characters_max: Some(max) } => format!("varchar({max})"),
        ColumnType::Text { characters_max: None } => "text".to_owned(),
        ColumnType::Json => "json".to_owned(),
    }
}

fn field(name: &str, data_type: DataType, nullable: bool, id: i32) -> Field {
    Field::new(name, data_type, nullable).with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]))
}

/// A table column's field.
pub fn column_field(column: &Column) -> Field {
    let mut field = field(&column.name, arrow_type(&column.kind), column.nullable, column.id.0);
    field.metadata_mut().insert(MYSQL_TYPE_KEY.to_owned(), mysql_type(&column.kind));
    field
}

fn hidden_fields() -> [Field; 2] {
    [
        field(STREAM_COLUMN, DataType::Int64, false, STREAM_FIELD_ID),
        field(OFFSET_COLUMN, DataType::Int64, false, OFFSET_FIELD_ID),
    ]
}

/// How a table's rows are stored: its columns in order, then `_stream` and `_offset`.
pub fn storage_schema(table: &Table) -> SchemaRef {
    let fields: Vec<Field> = table.columns.iter().map(column_field).chain(hidden_fields()).collect();
    Arc::new(Schema::new(fields))
}

/// A table's columns in order, without the hidden ones: rows that no stream has taken in yet.
pub fn row_schema(table: &Table) -> SchemaRef {
    let fields: Vec<Field> = table.columns.iter().map(column_field).collect();
    Arc::new(Schema::new(fields))
}

/// How rows of any error table are stored.
pub fn error_schema() -> SchemaRef {
    let text = |name: &str, nullable: bool, id: i32| field(name, DataType::Utf8, nullable, id);
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("+00:00")));
    let [stream, offset] = hidden_fields();
    Arc::new(Schema::new(vec![
        text("_topic", false, 1),
        field("_partition", DataType::Int32, false, 2),
        field("_timestamp", micros, true, 3),
        text("reason", false, 4),
        text("message", false, 5),
        field("payload", DataType::Binary, true, 6),
        field("payload_bytes", DataType::Int64, false, 7),
        stream,
        offset,
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsigned_integers_are_widened_until_iceberg_can_hold_them() {
        let of = |width, unsigned| arrow_type(&ColumnType::Integer { width, unsigned });
        assert_eq!(of(IntegerWidth::Tiny, true), DataType::Int32);
        assert_eq!(of(IntegerWidth::Int, true), DataType::Int64);
        assert_eq!(of(IntegerWidth::Big, true), DataType::Decimal128(20, 0));
    }

    #[test]
    fn integer_bounds_are_those_of_mysql() {
        assert_eq!(integer_bounds(IntegerWidth::Tiny, false), (-128, 127));
        assert_eq!(integer_bounds(IntegerWidth::Big, true), (0, i128::from(u64::MAX)));
    }
}
