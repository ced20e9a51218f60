//! Parts as a reader finds them.

use std::collections::BTreeSet;
use std::ops::Range;

use catalog::{Epoch, TaskIndex};
use object_store::memory::InMemory;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::ParquetMetaData;
use vfs::Moment;

use super::*;
use crate::memory::MemoryBudget;
use crate::write::memtable::Memtable;
use crate::write::testing::{
    FIRST_MICROS, HOUR, ScriptedCatalog, batch, held, kind_of, log, pipeline, range, table, world,
};

struct Rig {
    flusher: Flusher,
    objects: Arc<InMemory>,
    catalog: Arc<ScriptedCatalog>,
}

impl Rig {
    fn new(table: Arc<Table>) -> Self {
        let (objects, catalog) = (Arc::new(InMemory::new()), Arc::new(ScriptedCatalog::default()));
        let flusher = Flusher {
            table,
            writer: WriterId::Task(pipeline().id, TaskIndex(0)),
            objects: objects.clone(),
            catalog: catalog.clone(),
            world: world(),
        };
        Self { flusher, objects, catalog }
    }

    async fn bytes(&self, part: &Part) -> Bytes {
        self.objects.get(&Path::from(part.path.as_str())).await.unwrap().bytes().await.unwrap()
    }

    async fn read(&self, part: &Part) -> (RecordBatch, Arc<ParquetMetaData>) {
        let builder = ParquetRecordBatchReaderBuilder::try_new(self.bytes(part).await).unwrap();
        let (schema, metadata) = (builder.schema().clone(), builder.metadata().clone());
        let reader: ParquetRecordBatchReader = builder.with_batch_size(1 << 20).build().unwrap();
        let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
        (arrow::compute::concat_batches(&schema, &batches).unwrap(), metadata)
    }
}

async fn frozen(batches: &[(u64, Range<u64>)]) -> Frozen {
    let (log, budget, memtable) = (log().await, MemoryBudget::new(1 << 30), Memtable::new());
    for (stream, offsets) in batches {
        if memtable.cursors_of(StreamId(*stream)).is_none() {
            memtable.open(StreamId(*stream), Epoch(1), Offset(offsets.start));
        }
        memtable.publish(Epoch(1), held(&log, &budget, batch(*stream, offsets.clone())).await, Moment::default());
    }
    memtable.freeze().unwrap()
}

fn numbers(batch: &RecordBatch, name: &str) -> Vec<i64> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test]
async fn each_partition_value_has_one_part_and_each_row_is_in_one() {
    let rig = Rig::new(table());
    // An hour a row: three days.
    let parts = rig.flusher.flush(&frozen(&[(1, 0..30), (1, 30..72), (2, 0..24)]).await).await.unwrap();
    let rows: Vec<&Part> = parts.iter().filter(|part| part.kind == PartKind::Rows).collect();
    let days: Vec<_> = rows.iter().map(|part| part.partition.clone()).collect();
    assert_eq!(days, [15_706, 15_707, 15_708].map(|day| vec![Scalar::Date(day)]));
    let mut seen = BTreeSet::new();
    for part in &rows {
        let (batch, _) = rig.read(part).await;
        assert_eq!(batch.num_rows() as u64, part.rows);
        for (stream, offset) in numbers(&batch, STREAM_COLUMN).into_iter().zip(numbers(&batch, OFFSET_COLUMN)) {
            assert!(seen.insert((stream, offset)), "I1: stream {stream} offset {offset}");
            let day = (FIRST_MICROS + offset * HOUR).div_euclid(24 * HOUR);
            assert_eq!(part.partition, [Scalar::Date(day as i32)]);
        }
    }
    let expected =
        |stream, offsets: Range<i64>| offsets.filter(|offset| offset % 10 < 8).map(move |offset| (stream, offset));
    assert_eq!(seen, expected(1, 0..72).chain(expected(2, 0..24)).collect());
}

#[tokio::test]
async fn rows_are_sorted_with_null_first_and_ties_by_stream_and_offset() {
    let rig = Rig::new(table());
    let parts = rig.flusher.flush(&frozen(&[(2, 0..20), (1, 0..20)]).await).await.unwrap();
    let (batch, metadata) = rig.read(&parts[0]).await;
    let kinds = batch.column_by_name("kind").unwrap().as_string::<i32>();
    let times = batch.column_by_name("at").unwrap().as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
    let key = |row: usize| {
        let kind = arrow::array::Array::is_valid(kinds, row).then(|| kinds.value(row));
        (kind, times.value(row), numbers(&batch, STREAM_COLUMN)[row], numbers(&batch, OFFSET_COLUMN)[row])
    };
    let keys: Vec<_> = (0..batch.num_rows()).map(key).collect();
    assert!(keys.is_sorted() && keys[0].0.is_none() && keys.last().unwrap().0 == Some("b"));
    assert!(keys.iter().all(|(kind, _, _, offset)| *kind == kind_of(*offset as u64)));
    let sorting = metadata.row_group(0).sorting_columns().unwrap();
    assert_eq!(sorting.iter().map(|column| column.column_idx).collect::<Vec<_>>(), [1, 2]);
    assert!(sorting.iter().all(|column| column.nulls_first && !column.descending));
}

#[tokio::test]
async fn a_part_knows_its_rows_streams_and_bounds() {
    let rig = Rig::new(table());
    let parts = rig.flusher.flush(&frozen(&[(1, 0..20), (2, 5..6)]).await).await.unwrap();
    let part = &parts[0];
    let of = |stream, offsets, rows| PartStream { stream: StreamId(stream), range: range(offsets), rows };
    assert_eq!(part.streams, [of(1, 0..18, 16), of(2, 5..6, 1)]);
    assert_eq!((part.rows, part.schema, part.table), (17, table().schema, table().id));
    let micros = |offset: i64| Scalar::Micros(FIRST_MICROS + offset * HOUR);
    assert_eq!(
        part.sort_key,
        [
            SortKeyRange { min: Scalar::Null, max: Some(Scalar::Text("b".to_owned())) },
            SortKeyRange { min: micros(0), max: Some(micros(17)) },
        ]
    );
}

#[tokio::test]
async fn checksums_are_those_of_the_object_that_is_stored() {
    let rig = Rig::new(table());
    for part in rig.flusher.flush(&frozen(&[(1, 0..500)]).await).await.unwrap() {
        let bytes = rig.bytes(&part).await;
        assert_eq!(bytes.len() as u64, part.bytes);
        let blocks: Vec<u32> = bytes.chunks(part.checksums.block_bytes as usize).map(crc32c::crc32c).collect();
        assert_eq!(blocks, part.checksums.crc32c);
    }
}

#[tokio::test]
async fn columns_have_their_field_ids_and_hidden_ones_are_delta_coded() {
    let rig = Rig::new(table());
    let parts = rig.flusher.flush(&frozen(&[(1, 0..20)]).await).await.unwrap();
    let (_, metadata) = rig.read(&parts[0]).await;
    let schema = metadata.file_metadata().schema_descr();
    let ids: Vec<(String, i32)> = schema
        .columns()
        .iter()
        .map(|column| (column.name().to_owned(), column.self_type().get_basic_info().id()))
        .collect();
    let ids: Vec<(&str, i32)> = ids.iter().map(|(name, id)| (name.as_str(), *id)).collect();
    assert_eq!(ids, [("seq", 1), ("kind", 4), ("at", 5), ("_stream", 2_100_000_001), ("_offset", 2_100_000_002)]);
    let group = metadata.row_group(0);
    for hidden in [3, 4] {
        let encodings: Vec<Encoding> = group.column(hidden).encodings().collect();
        assert!(encodings.contains(&Encoding::DELTA_BINARY_PACKED), "{encodings:?}");
        assert!(!encodings.contains(&Encoding::RLE_DICTIONARY), "{encodings:?}");
    }
    assert!(group.columns().iter().all(|column| column.offset_index_offset().is_some()), "a page index");
}

#[tokio::test]
async fn a_part_is_compressed_unless_it_is_of_the_smallest() {
    let rig = Rig::new(table());
    for (offsets, compressed) in [(0..20, false), (0..20_000, true)] {
        let parts = rig.flusher.flush(&frozen(&[(1, offsets)]).await).await.unwrap();
        let largest = parts.iter().max_by_key(|part| part.rows).unwrap();
        let (_, metadata) = rig.read(largest).await;
        for column in metadata.row_group(0).columns() {
            assert_eq!(matches!(column.compression(), Compression::ZSTD(_)), compressed, "{} rows", largest.rows);
        }
    }
}

#[tokio::test]
async fn error_rows_are_one_part_of_their_own_by_stream_and_offset() {
    let rig = Rig::new(table());
    let parts = rig.flusher.flush(&frozen(&[(2, 0..40), (1, 0..20)]).await).await.unwrap();
    let errors: Vec<&Part> = parts.iter().filter(|part| part.kind == PartKind::Errors).collect();
    let [part] = errors.as_slice() else { panic!("{errors:?}") };
    let (batch, _) = rig.read(part).await;
    let places: Vec<_> = numbers(&batch, STREAM_COLUMN).into_iter().zip(numbers(&batch, OFFSET_COLUMN)).collect();
    assert_eq!(places, [(1, 9), (1, 19), (2, 9), (2, 19), (2, 29), (2, 39)]);
    assert_eq!((part.partition.len(), part.sort_key.len(), part.rows), (0, 0, 6));
}

#[tokio::test]
async fn intents_name_every_object_and_names_hold_no_user_text() {
    let rig = Rig::new(table());
    let parts = rig.flusher.flush(&frozen(&[(1, 0..60)]).await).await.unwrap();
    let staged: BTreeSet<String> =
        rig.catalog.staged.lock().unwrap().iter().map(|intent| intent.path.clone()).collect();
    assert_eq!(staged, parts.iter().map(|part| part.path.clone()).collect());
    for part in &parts {
        assert_eq!(part.path, format!("{:04x}/7/{:032x}.parquet", part.id.0 >> 112, part.id.0));
    }
}

#[tokio::test]
async fn of_a_stream_that_is_taken_in_part_only_that_part_is_written() {
    let rig = Rig::new(table());
    let mut taken = frozen(&[(1, 0..10), (1, 10..20)]).await;
    taken.streams.get_mut(&StreamId(1)).unwrap().range = range(5..13);
    let parts = rig.flusher.flush(&taken).await.unwrap();
    let mut offsets = Vec::new();
    for part in &parts {
        offsets.extend(numbers(&rig.read(part).await.0, OFFSET_COLUMN));
    }
    offsets.sort_unstable();
    assert_eq!(offsets, [5, 6, 7, 9, 10, 11, 12]);
}

#[tokio::test]
async fn a_flush_without_rows_stages_and_writes_nothing() {
    let rig = Rig::new(table());
    let parts = rig.flusher.flush(&frozen(&[(1, 8..9)]).await).await.unwrap();
    assert_eq!((parts.len(), rig.catalog.staged.lock().unwrap().len()), (0, 0));
}

#[test]
fn the_records_of_a_commits_parts_are_bounded_by_number_and_by_bytes() {
    let partitions = |count: usize, text: usize, rows: usize| -> Vec<(Vec<Scalar>, Vec<partition::RowAt>)> {
        (0..count).map(|_| (vec![Scalar::Text("x".repeat(text))], vec![(0, 0); rows])).collect()
    };
    assert!(check_fits(&partitions(3_000, 10, 1), 1).is_ok());
    assert!(check_fits(&partitions(PARTS_PER_COMMIT_MAX, 10, 1), 1).is_err());
    assert!(check_fits(&partitions(1_000, 10, 200), 200).is_err(), "many streams in each part");
    assert!(check_fits(&partitions(1_000, 5_000, 1), 1).is_err(), "long partition values");
    assert!(check_fits(&partitions(1, 5_000, 10), 1_000).is_ok(), "one part cannot be made fewer");
}
