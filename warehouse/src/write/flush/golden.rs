//! Golden files of every type: the WAL's payload of a batch, and a part's Parquet schema, whose field ids readers of other
//! programs go by. `UPDATE_GOLDEN=1` writes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use catalog::{Column, ColumnId, ColumnType, Fence, IntegerWidth, Ledger, SchemaId, StreamId, Table};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::schema::printer::print_schema;

use super::{encode, partition, sort, sort_columns, statistics};
use crate::schema::storage_schema;
use crate::write::batch::Batch;
use crate::write::decode::StatementColumn;
use crate::write::testing::{range, table};

/// Each type with a value of it, as text.
fn kinds() -> Vec<(ColumnType, &'static str)> {
    let integer = |width, unsigned| ColumnType::Integer { width, unsigned };
    let array = |element| ColumnType::Array { element: Box::new(element) };
    let map = |key, value| ColumnType::Map { key: Box::new(key), value: Box::new(value) };
    vec![
        (ColumnType::Boolean, "1"),
        (integer(IntegerWidth::Tiny, false), "-128"),
        (integer(IntegerWidth::Int, true), "4294967295"),
        (integer(IntegerWidth::Big, true), "18446744073709551615"),
        (ColumnType::Float, "0.1"),
        (ColumnType::Double, "-1e300"),
        (ColumnType::Decimal { precision: 38, scale: 2 }, "-0.05"),
        (ColumnType::Date, "2024-02-29"),
        (ColumnType::Time { digits: Some(1) }, "-838:59:58.9"),
        (ColumnType::DATETIME, "2024-02-29 10:00:00.000001"),
        (ColumnType::Timestamp { digits: Some(0) }, "2024-02-29 10:00:00"),
        (ColumnType::Year, "2024"),
        (ColumnType::TEXT, "text"),
        (ColumnType::Char { characters: 3 }, "ab"),
        (ColumnType::Enum { values: vec!["a".into(), "b".into()] }, "b"),
        (ColumnType::Binary { bytes: 3 }, "ab"),
        (ColumnType::BLOB, "bytes"),
        (ColumnType::Json, "{\"a\": 1.50}"),
        (array(integer(IntegerWidth::Small, false)), "[1,null,-3]"),
        (
            map(ColumnType::TEXT, array(map(ColumnType::Date, ColumnType::Double))),
            r#"{"k":[{"2024-01-01":1.5}],"n":null}"#,
        ),
    ]
}

fn table_of_all_types() -> Arc<Table> {
    let column = |(at, (kind, _)): (usize, (ColumnType, _))| Column {
        id: ColumnId(i32::try_from(at).unwrap() + 1),
        name: format!("c{}", at + 1),
        kind,
        nullable: true,
        default: None,
        comment: String::new(),
    };
    let columns = kinds().into_iter().enumerate().map(column).collect();
    let order_by = [16, 9, 12, 15].map(ColumnId).to_vec();
    Arc::new(Table { columns, partition_by: Vec::new(), order_by, ..Table::clone(&table()) })
}

/// A row of NULLs, and a row of values.
fn batch() -> Batch {
    let table = table_of_all_types();
    let values = |(column, (_, text)): (&Column, (ColumnType, &str))| -> ArrayRef {
        let texts: ArrayRef = Arc::new(StringArray::from(vec![None, Some(text)]));
        StatementColumn::assigned(column, texts.data_type()).unwrap().assign(&texts).unwrap()
    };
    let hidden = |numbers: [i64; 2]| -> ArrayRef { Arc::new(Int64Array::from(numbers.to_vec())) };
    let columns = table.columns.iter().zip(kinds()).map(values).chain([hidden([1, 1]), hidden([7, 8])]).collect();
    let rows = RecordBatch::try_new(storage_schema(&table), columns).unwrap();
    let ledger = Ledger { rows: 2, ..Ledger::default() };
    Batch::new(StreamId(1), range(7..9), rows, None, ledger, Vec::new())
}

fn golden(name: &str, bytes: &[u8]) -> (PathBuf, Vec<u8>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let kept = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    (path, kept)
}

#[test]
fn a_logged_batch_of_every_type_can_be_read_for_ever() {
    let (_, payload) = golden("batch-1-types.bin", &batch().encode(Fence(2), SchemaId(3)));
    assert_eq!(Batch::decode(&payload, &storage_schema(&table_of_all_types())).unwrap(), batch());
}

#[test]
fn a_part_of_every_type_has_the_schema_and_the_field_ids_that_it_always_had() {
    let (table, batch) = (table_of_all_types(), batch());
    let rows = vec![batch.rows.clone()];
    let order = sort::sorted(&sort_columns(&table), &rows, partition::all_rows(&rows));
    let key: Vec<usize> = table.order_by.iter().map(|id| super::column_index(&table, *id)).collect();
    let pieces = encode::parquet(&storage_schema(&table), &key, &rows, &order, |chunk| {
        for column in &key {
            let mut bounds = statistics::Bounds::default();
            bounds.include(chunk.column(*column));
            assert!(bounds.max().is_some());
        }
    });
    let file = bytes::Bytes::from(pieces.unwrap().concat());
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();

    let mut schema = Vec::new();
    print_schema(&mut schema, reader.metadata().file_metadata().schema());
    let (path, kept) = golden("parquet-types.txt", &schema);
    assert_eq!(String::from_utf8(schema).unwrap(), String::from_utf8(kept).unwrap(), "{}", path.display());

    // Of the columns that Parquet counts, those of ORDER BY stand behind the leaves of the nested ones before them.
    let sorting = reader.metadata().row_group(0).sorting_columns().unwrap().clone();
    let names: Vec<String> = sorting
        .iter()
        .map(|by| reader.metadata().file_metadata().schema_descr().column(by.column_idx as usize).name().to_owned())
        .collect();
    assert_eq!(names, ["c16", "c9", "c12", "c15"]);

    let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    for (column, written) in batch.rows.columns().iter().enumerate() {
        // In the file the inner fields have ids, which make another type of the same values.
        let found = arrow::compute::cast(read[0].column(column), written.data_type()).unwrap();
        assert_eq!(&found.to_data(), &written.to_data(), "column {}", column + 1);
    }
}
