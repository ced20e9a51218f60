//! `information_schema.schemata`, `tables` and `columns`, in MySQL 8's columns.

use std::sync::Arc;

use arrow::datatypes::DataType;
use catalog::{CatalogError, CatalogService, Column, ColumnType, IntegerWidth, PartKind, Table};
use warehouse::schema::{error_schema, mysql_type};

use super::super::create_text::create_table;
use super::super::literal::default_text;
use super::super::resolve::ERRORS_SUFFIX;
use super::cells::{Cell, Kind};
use super::keys::column_key;
use super::{ColumnDef, Reader, Rows, SystemTable};

const CHARSET: &str = "utf8mb4";
const COLLATION: &str = "utf8mb4_bin";
/// What MySQL says of every catalog.
const CATALOG: &str = "def";

pub(super) const SCHEMATA: &[ColumnDef] = &[
    ("CATALOG_NAME", Kind::Text),
    ("SCHEMA_NAME", Kind::Text),
    ("DEFAULT_CHARACTER_SET_NAME", Kind::Text),
    ("DEFAULT_COLLATION_NAME", Kind::Text),
    ("SQL_PATH", Kind::Text),
    ("DEFAULT_ENCRYPTION", Kind::Text),
];

pub(super) const TABLES: &[ColumnDef] = &[
    ("TABLE_CATALOG", Kind::Text),
    ("TABLE_SCHEMA", Kind::Text),
    ("TABLE_NAME", Kind::Text),
    ("TABLE_TYPE", Kind::Text),
    ("ENGINE", Kind::Text),
    ("VERSION", Kind::Int),
    ("ROW_FORMAT", Kind::Text),
    ("TABLE_ROWS", Kind::Int),
    ("AVG_ROW_LENGTH", Kind::Int),
    ("DATA_LENGTH", Kind::Int),
    ("MAX_DATA_LENGTH", Kind::Int),
    ("INDEX_LENGTH", Kind::Int),
    ("DATA_FREE", Kind::Int),
    ("AUTO_INCREMENT", Kind::Int),
    ("CREATE_TIME", Kind::Time),
    ("UPDATE_TIME", Kind::Time),
    ("CHECK_TIME", Kind::Time),
    ("TABLE_COLLATION", Kind::Text),
    ("CHECKSUM", Kind::Int),
    ("CREATE_OPTIONS", Kind::Text),
    ("TABLE_COMMENT", Kind::Text),
];

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("TABLE_CATALOG", Kind::Text),
    ("TABLE_SCHEMA", Kind::Text),
    ("TABLE_NAME", Kind::Text),
    ("COLUMN_NAME", Kind::Text),
    ("ORDINAL_POSITION", Kind::Int),
    ("COLUMN_DEFAULT", Kind::Text),
    ("IS_NULLABLE", Kind::Text),
    ("DATA_TYPE", Kind::Text),
    ("CHARACTER_MAXIMUM_LENGTH", Kind::Int),
    ("CHARACTER_OCTET_LENGTH", Kind::Int),
    ("NUMERIC_PRECISION", Kind::Int),
    ("NUMERIC_SCALE", Kind::Int),
    ("DATETIME_PRECISION", Kind::Int),
    ("CHARACTER_SET_NAME", Kind::Text),
    ("COLLATION_NAME", Kind::Text),
    ("COLUMN_TYPE", Kind::Text),
    ("COLUMN_KEY", Kind::Text),
    ("EXTRA", Kind::Text),
    ("PRIVILEGES", Kind::Text),
    ("COLUMN_COMMENT", Kind::Text),
    ("GENERATION_EXPRESSION", Kind::Text),
];

pub(super) async fn schemata(reader: &Reader) -> Rows {
    let mut names = reader.catalog.databases().await?;
    names.extend(SystemTable::schemas().iter().map(|name| (*name).to_owned()));
    let row = |name: String| {
        vec![Cell::from(CATALOG), name.into(), CHARSET.into(), COLLATION.into(), Cell::Null, "NO".into()]
    };
    Ok(names.into_iter().map(row).collect())
}

/// Rows and bytes of a table, and when it last got any.
#[derive(Clone, Copy, Default)]
struct Size {
    rows: Option<u64>,
    bytes: Option<u64>,
    updated: Option<i64>,
}

pub(super) async fn tables(reader: &Reader, wanted: &[&str]) -> Rows {
    // Each size takes a snapshot, so it is not taken for those who only want names.
    let sized = ["TABLE_ROWS", "AVG_ROW_LENGTH", "DATA_LENGTH", "UPDATE_TIME"].iter().any(|name| wanted.contains(name));
    let mut rows = Vec::new();
    for table in reader.tables().await? {
        let size = if sized { size(reader, &table).await? } else { Size::default() };
        let options = if wanted.contains(&"CREATE_OPTIONS") { options(&table) } else { String::new() };
        rows.push(table_row(&table.database, &table.name, "BASE TABLE", Some(table.created), size, &options));
    }
    for table in SystemTable::all() {
        rows.push(table_row(table.schema(), table.name(), "SYSTEM VIEW", None, Size::default(), ""));
    }
    Ok(rows)
}

async fn size(reader: &Reader, table: &Table) -> Result<Size, CatalogError> {
    let snapshot = match reader.catalog.snapshot(table.id).await {
        Err(CatalogError::NotFound { .. }) => return Ok(Size::default()),
        found => found?,
    };
    let parts = || snapshot.parts.iter().filter(|part| part.kind == PartKind::Rows);
    let last = reader.catalog.commits(table.id, 1).await?;
    Ok(Size {
        rows: Some(parts().map(|part| part.rows).sum()),
        bytes: Some(parts().map(|part| part.bytes).sum()),
        updated: last.first().map(|commit| commit.wall),
    })
}

/// ORDER BY and PARTITION BY, as the end of the table's DDL has them.
fn options(table: &Table) -> String {
    let text = create_table(table);
    let options = text.rsplit_once(COLLATION).map(|(_, options)| options.trim().replace('\n', " "));
    options.unwrap_or_default()
}

fn table_row(database: &str, name: &str, kind: &str, created: Option<i64>, size: Size, options: &str) -> Vec<Cell> {
    let is_base = created.is_some();
    let average = size.rows.zip(size.bytes).map(|(rows, bytes)| bytes.checked_div(rows).unwrap_or_default());
    vec![
        CATALOG.into(),
        database.into(),
        name.into(),
        kind.into(),
        is_base.then_some("Millrace").into(),
        Cell::Int(10),
        is_base.then_some("Dynamic").into(),
        size.rows.into(),
        average.into(),
        size.bytes.into(),
        Cell::Null,
        Cell::Int(0),
        Cell::Int(0),
        Cell::Null,
        super::cells::time(created),
        super::cells::time(size.updated),
        Cell::Null,
        is_base.then_some(COLLATION).into(),
        Cell::Null,
        options.into(),
        if is_base { "" } else { "SYSTEM VIEW" }.into(),
    ]
}

pub(super) async fn columns(reader: &Reader) -> Rows {
    let mut rows = Vec::new();
    for table in reader.tables().await? {
        rows.extend(table.columns.iter().zip(1..).map(|(column, at)| column_row(&table, column, at)));
        let error_table = format!("{}{ERRORS_SUFFIX}", table.name);
        let schema = error_schema();
        let fields = schema.fields().iter().zip(1..);
        rows.extend(fields.map(|(field, at)| {
            let nullable = field.is_nullable();
            engine_column_row(&table.database, &error_table, field.name(), error_type(field.data_type()), nullable, at)
        }));
    }
    for table in SystemTable::all() {
        rows.extend(table.columns().iter().zip(1..).map(|(column, at)| system_column_row(table, *column, at)));
    }
    Ok(rows)
}

/// What MySQL says about a type beside its name.
#[derive(Default)]
struct TypeFacts {
    characters: Option<i64>,
    precision: Option<i64>,
    scale: Option<i64>,
    fraction: Option<i64>,
    is_text: bool,
}

impl TypeFacts {
    /// The most bytes of a value: a character has up to four.
    fn octets(&self) -> Option<i64> {
        let per_character = if self.is_text { 4 } else { 1 };
        self.characters.map(|characters| characters.saturating_mul(per_character).min(i64::from(u32::MAX)))
    }
}

fn facts(kind: &ColumnType) -> TypeFacts {
    let text = |characters: i64| TypeFacts { characters: Some(characters), is_text: true, ..Default::default() };
    let number =
        |precision: i64, scale: Option<i64>| TypeFacts { precision: Some(precision), scale, ..Default::default() };
    match kind {
        ColumnType::Boolean => number(3, Some(0)),
        ColumnType::Integer { width, unsigned } => {
            let digits = match (width, unsigned) {
                (IntegerWidth::Tiny, _) => 3,
                (IntegerWidth::Small, _) => 5,
                (IntegerWidth::Int, _) => 10,
                (IntegerWidth::Big, false) => 19,
                (IntegerWidth::Big, true) => 20,
            };
            number(digits, Some(0))
        }
        ColumnType::Float => number(12, None),
        ColumnType::Double => number(22, None),
        ColumnType::Decimal { precision, scale } => number(i64::from(*precision), Some(i64::from(*scale))),
        ColumnType::Date | ColumnType::Year | ColumnType::Json | ColumnType::Array { .. } | ColumnType::Map { .. } => {
            TypeFacts::default()
        }
        // Where no digits were declared there may be six.
        ColumnType::Time { digits } | ColumnType::DateTime { digits } | ColumnType::Timestamp { digits } => {
            TypeFacts { fraction: Some(digits.unwrap_or(6).into()), ..Default::default() }
        }
        ColumnType::Text { characters_max } => text(characters_max.unwrap_or(u32::MAX).into()),
        ColumnType::Char { characters } => text((*characters).into()),
        ColumnType::Enum { values } => {
            let longest = values.iter().map(|value| value.chars().count()).max().unwrap_or_default();
            text(i64::try_from(longest).unwrap_or(i64::MAX))
        }
        ColumnType::Binary { bytes } => TypeFacts { characters: Some((*bytes).into()), ..Default::default() },
        ColumnType::VarBinary { bytes_max } => {
            TypeFacts { characters: Some(bytes_max.unwrap_or(u32::MAX).into()), ..Default::default() }
        }
    }
}

/// `bigint` of `bigint unsigned`, `decimal` of `decimal(10,2)`, `array` of `array<int>`.
fn base_type(full: &str) -> &str {
    full.split(['(', ' ', '<']).next().unwrap_or(full)
}

fn column_row(table: &Arc<Table>, column: &Column, at: i64) -> Vec<Cell> {
    let full_type = mysql_type(&column.kind);
    let facts = facts(&column.kind);
    vec![
        CATALOG.into(),
        table.database.as_str().into(),
        table.name.as_str().into(),
        column.name.as_str().into(),
        Cell::Int(at),
        column.default.as_ref().and_then(|default| default_text(&column.kind, default)).into(),
        if column.nullable { "YES" } else { "NO" }.into(),
        base_type(&full_type).into(),
        facts.characters.into(),
        facts.octets().into(),
        facts.precision.into(),
        facts.scale.into(),
        facts.fraction.into(),
        facts.is_text.then_some(CHARSET).into(),
        facts.is_text.then_some(COLLATION).into(),
        full_type.as_str().into(),
        column_key(table, column.id).into(),
        "".into(),
        "select".into(),
        column.comment.as_str().into(),
        "".into(),
    ]
}

fn system_column_row(table: SystemTable, (name, kind): ColumnDef, at: i64) -> Vec<Cell> {
    engine_column_row(table.schema(), table.name(), name, system_type(kind), true, at)
}

/// The type of a column of an error table.
fn error_type(data_type: &DataType) -> ColumnType {
    match data_type {
        DataType::Int32 => ColumnType::Integer { width: IntegerWidth::Int, unsigned: false },
        DataType::Int64 => ColumnType::Integer { width: IntegerWidth::Big, unsigned: false },
        DataType::Timestamp(..) => ColumnType::TIMESTAMP,
        DataType::Binary => ColumnType::BLOB,
        _ => ColumnType::TEXT,
    }
}

fn system_type(kind: Kind) -> ColumnType {
    match kind {
        Kind::Text => ColumnType::Text { characters_max: None },
        Kind::Int => ColumnType::Integer { width: IntegerWidth::Big, unsigned: false },
        Kind::Float => ColumnType::Double,
        Kind::Time => ColumnType::DATETIME,
    }
}

fn engine_column_row(schema: &str, table: &str, name: &str, kind: ColumnType, nullable: bool, at: i64) -> Vec<Cell> {
    let full_type = mysql_type(&kind);
    let facts = facts(&kind);
    vec![
        CATALOG.into(),
        schema.into(),
        table.into(),
        name.into(),
        Cell::Int(at),
        Cell::Null,
        if nullable { "YES" } else { "NO" }.into(),
        base_type(&full_type).into(),
        facts.characters.into(),
        facts.characters.into(),
        facts.precision.into(),
        facts.scale.into(),
        facts.fraction.into(),
        facts.is_text.then_some(CHARSET).into(),
        facts.is_text.then_some(COLLATION).into(),
        full_type.as_str().into(),
        "".into(),
        "".into(),
        "select".into(),
        "".into(),
        "".into(),
    ]
}
