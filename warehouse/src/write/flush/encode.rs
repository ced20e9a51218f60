//! Parquet: ZSTD, page index, delta-coded hidden columns; and the checksums of the object's blocks.

use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use catalog::BlockChecksums;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::partition::RowAt;
use crate::schema::{OFFSET_COLUMN, STREAM_COLUMN};

/// Rows gathered at a time, or about so many bytes: bounds the copy that sorting needs.
const CHUNK_ROWS: usize = 16_384;
const CHUNK_BYTES: usize = 32 << 20;
/// Rows of a row group: small enough to prune by, large enough to compress.
const ROW_GROUP_ROWS: usize = 262_144;
/// The same, for large rows: a row group is in memory until it is whole.
const ROW_GROUP_BYTES: usize = 128 << 20;
/// A part's record holds at most this many block checksums.
const BLOCKS_MAX: u64 = 256;
/// No block is smaller than this.
const BLOCK_BYTES_MIN: u64 = 64 << 10;

/// Encodes the rows of `order`; shows each chunk of them to `seen` on its way.
pub(super) fn parquet(
    schema: &SchemaRef,
    key: &[usize],
    batches: &[RecordBatch],
    order: &[RowAt],
    mut seen: impl FnMut(&RecordBatch),
) -> Result<Bytes, ParquetError> {
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(schema), Some(properties(key)?))?;
    let chunk_rows = chunk_rows(batches);
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    for rows in order.chunks(chunk_rows) {
        let chunk = interleave_record_batch(&batches, rows)?;
        seen(&chunk);
        writer.write(&chunk)?;
    }
    Ok(writer.into_inner()?.into())
}

fn chunk_rows(batches: &[RecordBatch]) -> usize {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let bytes: usize = batches
        .iter()
        .flat_map(RecordBatch::columns)
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum();
    (CHUNK_BYTES * rows.max(1) / bytes.max(1)).clamp(1, CHUNK_ROWS)
}

fn properties(key: &[usize]) -> Result<WriterProperties, ParquetError> {
    let sorting = |column: &usize| SortingColumn { column_idx: *column as i32, descending: false, nulls_first: true };
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("millrace ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
        .set_sorting_columns(Some(key.iter().map(sorting).collect()));
    for hidden in [STREAM_COLUMN, OFFSET_COLUMN] {
        let column = ColumnPath::from(hidden);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    Ok(properties.build())
}

/// The checksums of an object's blocks.
pub(super) fn checksums(bytes: &[u8]) -> BlockChecksums {
    let block_bytes = (bytes.len() as u64).div_ceil(BLOCKS_MAX).next_power_of_two().max(BLOCK_BYTES_MIN);
    let crc32c = bytes.chunks(block_bytes as usize).map(crc32c::crc32c).collect();
    BlockChecksums { block_bytes, crc32c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_at_most_256_blocks_however_large_it_is() {
        for length in [0, 1, 65_536, 65_537, 16 << 20, (16 << 20) + 1, 40_000_001] {
            let blocks = checksums(&vec![7; length]);
            assert!(blocks.crc32c.len() <= 256, "{length}: {}", blocks.crc32c.len());
            assert_eq!(blocks.crc32c.len() as u64, (length as u64).div_ceil(blocks.block_bytes));
        }
    }
}
