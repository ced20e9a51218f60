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
        ColumnType::Time { .. } => DataType::Duration(TimeUnit::Microsecond),
        ColumnType::DateTime { .. } => DataType::Timestamp(TimeUnit::Microsecond, None),
        ColumnType::Timestamp { .. } => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("+00:00"))),
        ColumnType::Year => DataType::Int32,
        ColumnType::Text { .. } | ColumnType::Char { .. } | ColumnType::Enum { .. } | ColumnType::Json => {
            DataType::Utf8
        }
        ColumnType::Binary { .. } | ColumnType::VarBinary { .. } => DataType::Binary,
        ColumnType::Array { element } => DataType::List(Arc::new(element_field(element))),
        ColumnType::Map { key, value } => DataType::Map(Arc::new(entries_field(key, value)), false),
    }
}

/// The field of an array's elements, by the name that the engine's own functions give theirs.
fn element_field(element: &ColumnType) -> Field {
    Field::new_list_field(arrow_type(element), true)
}

/// The field of a map's entries, by the names that the engine's own functions give theirs.
fn entries_field(key: &ColumnType, value: &ColumnType) -> Field {
    let fields = vec![Field::new("key", arrow_type(key), false), Field::new("value", arrow_type(value), true)];
    Field::new("entries", DataType::Struct(fields.into()), false)
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
        ColumnType::Time { digits } => with_digits("time", *digits),
        ColumnType::DateTime { digits } => with_digits("datetime", *digits),
        ColumnType::Timestamp { digits } => with_digits("timestamp", *digits),
        ColumnType::Year => "year".to_owned(),
        ColumnType::Text { characters_max: Some(max) } => format!("varchar({max})"),
        ColumnType::Text { characters_max: None } => "text".to_owned(),
        ColumnType::Char { characters } => format!("char({characters})"),
        ColumnType::Enum { values } => {
            let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            format!("enum({})", quoted.join(","))
        }
        ColumnType::Binary { bytes } => format!("binary({bytes})"),
        ColumnType::VarBinary { bytes_max: Some(max) } => format!("varbinary({max})"),
        ColumnType::VarBinary { bytes_max: None } => "blob".to_owned(),
        ColumnType::Json => "json".to_owned(),
        ColumnType::Array { element } => format!("array<{}>", mysql_type(element)),
        ColumnType::Map { key, value } => format!("map<{},{}>", mysql_type(key), mysql_type(value)),
    }
}

fn with_digits(name: &str, digits: Option<u8>) -> String {
    digits.map_or_else(|| name.to_owned(), |digits| format!("{name}({digits})"))
}

/// A text as a literal of MySQL, on one line.
pub fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for letter in text.chars() {
        match letter {
            '\'' => literal.push_str("''"),
            '\\' => literal.push_str("\\\\"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\0' => literal.push_str("\\0"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

/// The longest TIME, 838:59:59, in microseconds; below zero as long.
pub const TIME_MICROS_MAX: i64 = (838 * 3600 + 59 * 60 + 59) * 1_000_000;

/// The inclusive bounds of a YEAR, beside 0, which stands for no year.
pub const YEAR_BOUNDS: (i32, i32) = (1901, 2155);

fn field(name: &str, data_type: DataType, nullable: bool, id: i32) -> Field {
    Field::new(name, data_type, nullable).with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]))
}

/// A table column's field.
pub fn column_field(column: &Column) -> Field {
    let mut field = field(&column.name, arrow_type(&column.kind), column.nullable, column.id.0);
    field.metadata_mut().insert(MYSQL_TYPE_KEY.to_owned(), mysql_type(&column.kind));
    field
}

/// Field ids of what lies within a column begin here: above any column's, below those of the hidden ones.
const INNER_FIELD_ID: i32 = 1_000_000_000;
/// How many of them each column has: enough for a tree of two branches and as many levels as types may be nested.
const INNER_FIELDS: i32 = 64;

/// The fields of a schema as a Parquet file has them: what lies within an array or a map has its field id too. In memory these
/// fields go without, because there a type with ids is another type, and no function would put both together.
pub fn file_schema(schema: &Schema) -> SchemaRef {
    let whole = |field: &Arc<Field>| {
        let id = field.metadata().get(FIELD_ID_KEY).and_then(|id| id.parse::<i32>().ok());
        let data_type = id.map_or_else(|| field.data_type().clone(), |id| with_ids(field.data_type(), id, 1));
        field.as_ref().clone().with_data_type(data_type)
    };
    Arc::new(Schema::new_with_metadata(
        schema.fields().iter().map(whole).collect::<Vec<_>>(),
        schema.metadata().clone(),
    ))
}

/// The type with ids, `place` levels and branches within `column`: an inner id follows from the column's and from where it
/// stands, so it is as lasting as the column's, and never used again.
fn with_ids(data_type: &DataType, column: i32, place: i32) -> DataType {
    let inner = |of: &Field, place: i32| {
        let id = INNER_FIELD_ID + column * INNER_FIELDS + place;
        let data_type = with_ids(of.data_type(), column, place);
        of.clone().with_data_type(data_type).with_metadata(HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_string())]))
    };
    match data_type {
        DataType::List(element) => DataType::List(Arc::new(inner(element, 2 * place))),
        DataType::Map(entries, sorted) => {
            let DataType::Struct(fields) = entries.data_type() else { return data_type.clone() };
            let fields: Vec<Field> =
                fields.iter().zip([2 * place, 2 * place + 1]).map(|(field, place)| inner(field, place)).collect();
            let entries = entries.as_ref().clone().with_data_type(DataType::Struct(fields.into()));
            DataType::Map(Arc::new(entries), *sorted)
        }
        other => other.clone(),
    }
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
    fn a_type_is_written_as_mysql_writes_it() {
        let array = |element| ColumnType::Array { element: Box::new(element) };
        let letters = ColumnType::Enum { values: vec!["a".into(), "it's".into(), "b\\".into()] };
        for (kind, text) in [
            (ColumnType::DATETIME, "datetime"),
            (ColumnType::Timestamp { digits: Some(0) }, "timestamp(0)"),
            (ColumnType::Time { digits: Some(3) }, "time(3)"),
            (letters, "enum('a','it''s','b\\\\')"),
            (ColumnType::BLOB, "blob"),
            (
                array(ColumnType::Map { key: Box::new(ColumnType::TEXT), value: Box::new(array(ColumnType::Date)) }),
                "array<map<text,array<date>>>",
            ),
        ] {
            assert_eq!(mysql_type(&kind), text);
        }
    }

    #[test]
    fn every_field_of_a_file_has_an_id_of_its_own_that_iceberg_does_not_use() {
        let array = |element| ColumnType::Array { element: Box::new(element) };
        let map = |key, value| ColumnType::Map { key: Box::new(key), value: Box::new(value) };
        let deepest = map(
            ColumnType::TEXT,
            map(
                ColumnType::TEXT,
                map(ColumnType::TEXT, map(ColumnType::TEXT, map(ColumnType::TEXT, ColumnType::Date))),
            ),
        );
        let column = |id, kind| Column {
            id: catalog::ColumnId(id),
            name: format!("c{id}"),
            kind,
            nullable: true,
            default: None,
            comment: String::new(),
        };
        let fields: Vec<Field> =
            [column(1, deepest), column(2, array(array(ColumnType::Date)))].iter().map(column_field).collect();
        let file = file_schema(&Schema::new(fields.into_iter().chain(hidden_fields()).collect::<Vec<_>>()));
        let mut ids = Vec::new();
        fn collect(field: &Field, ids: &mut Vec<i32>) {
            ids.extend(field.metadata().get(FIELD_ID_KEY).map(|id| id.parse::<i32>().unwrap()));
            match field.data_type() {
                DataType::List(element) => collect(element, ids),
                DataType::Map(entries, _) => collect(entries, ids),
                DataType::Struct(fields) => fields.iter().for_each(|field| collect(field, ids)),
                _ => {}
            }
        }
        file.fields().iter().for_each(|field| collect(field, &mut ids));
        assert_eq!(ids.len(), 2 + 10 + 2 + 2, "two columns, what is within them, and the hidden ones");
        let distinct: std::collections::BTreeSet<i32> = ids.iter().copied().collect();
        assert_eq!(distinct.len(), ids.len(), "{ids:?}");
        assert!(ids.iter().all(|id| (1..2_147_483_447).contains(id)), "{ids:?}");
        assert_eq!(ids[1..3], [1_000_000_066, 1_000_000_067]);
    }

    #[test]
    fn integer_bounds_are_those_of_mysql() {
        assert_eq!(integer_bounds(IntegerWidth::Tiny, false), (-128, 127));
        assert_eq!(integer_bounds(IntegerWidth::Big, true), (0, i128::from(u64::MAX)));
    }
}
