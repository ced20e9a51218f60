//! Parquet: ZSTD but for the smallest parts, page index, delta-coded hidden columns; and the checksums of the object's blocks.

use std::io;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use bytes::Bytes;
use catalog::BlockChecksums;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::partition::RowAt;
use crate::schema::{OFFSET_COLUMN, STREAM_COLUMN, file_schema};

/// Rows gathered at a time, or about so many bytes: bounds the copy that sorting needs.
const CHUNK_ROWS: usize = 16_384;
const CHUNK_BYTES: usize = 32 << 20;
/// Rows of a row group: small enough to prune by, large enough to compress.
const ROW_GROUP_ROWS: usize = 262_144;
/// The same, for large rows: a row group is in memory until it is whole.
const ROW_GROUP_BYTES: usize = 128 << 20;
/// Below so many bytes of rows a part is not compressed: a compressor is set up for each column, and that costs more than the few kB
/// that it saves, when it is written and again whenever it is read. Most parts of a topic of little traffic are of that size.
const COMPRESSED_BYTES_MIN: usize = 16 << 10;
/// A part's record holds at most this many block checksums.
const BLOCKS_MAX: u64 = 256;
/// No block is smaller than this.
const BLOCK_BYTES_MIN: u64 = 64 << 10;
/// Bytes of one piece of an encoded part.
const PIECE_BYTES: usize = 1 << 20;

/// Encodes the rows of `order`; shows each chunk of them to `seen` on its way.
pub(super) fn parquet(
    schema: &SchemaRef,
    key: &[usize],
    batches: &[RecordBatch],
    order: &[RowAt],
    mut seen: impl FnMut(&RecordBatch),
) -> Result<Vec<Bytes>, ParquetError> {
    let row_bytes = row_bytes(batches);
    let compression = match row_bytes * order.len() < COMPRESSED_BYTES_MIN {
        true => Compression::UNCOMPRESSED,
        false => Compression::ZSTD(ZstdLevel::try_new(1)?),
    };
    let properties = properties(schema, key, compression, &columns_with_nan(schema, batches));
    let mut writer = ArrowWriter::try_new(Pieces::default(), file_schema(schema), Some(properties))?;
    let chunk_rows = (CHUNK_BYTES / row_bytes).clamp(1, CHUNK_ROWS);
    let batches: Vec<&RecordBatch> = batches.iter().collect();
    for rows in order.chunks(chunk_rows) {
        let chunk = interleave_record_batch(&batches, rows)?;
        seen(&chunk);
        writer.write(&chunk)?;
    }
    Ok(writer.into_inner()?.finish())
}

/// The encoded bytes in pieces of one size: a single buffer would double, and copy itself, as it grows (I8).
#[derive(Default)]
struct Pieces {
    full: Vec<Bytes>,
    last: Vec<u8>,
}

impl Pieces {
    fn finish(mut self) -> Vec<Bytes> {
        if !self.last.is_empty() {
            self.full.push(self.last.into());
        }
        self.full
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.last.capacity() == 0 {
            self.last.reserve_exact(PIECE_BYTES);
        }
        let taken = bytes.len().min(PIECE_BYTES - self.last.len());
        self.last.extend_from_slice(&bytes[..taken]);
        if self.last.len() == PIECE_BYTES {
            self.full.push(std::mem::take(&mut self.last).into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of a row in memory, on average, and at least one.
fn row_bytes(batches: &[RecordBatch]) -> usize {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let bytes: usize = batches
        .iter()
        .flat_map(RecordBatch::columns)
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum();
    (bytes / rows.max(1)).max(1)
}

/// The columns whose bounds Parquet would write without their NaNs. A query orders NaN beside the numbers, so by such bounds
/// it would leave out rows that it has to find: better that there are none.
fn columns_with_nan(schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<ColumnPath> {
    let holds_nan = |column: &ArrayRef| match column.data_type() {
        DataType::Float32 => column.as_primitive::<Float32Type>().values().iter().any(|value| value.is_nan()),
        DataType::Float64 => column.as_primitive::<Float64Type>().values().iter().any(|value| value.is_nan()),
        _ => false,
    };
    let columns = schema.fields().iter().enumerate();
    let with_nan = columns.filter(|(at, _)| batches.iter().any(|batch| holds_nan(batch.column(*at))));
    with_nan.map(|(_, field)| ColumnPath::from(field.name().as_str())).collect()
}

/// How many columns a field is in Parquet, which counts what has values of its own.
fn leaves(data_type: &DataType) -> usize {
    match data_type {
        DataType::List(element) => leaves(element.data_type()),
        DataType::Map(entries, _) => leaves(entries.data_type()),
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        _ => 1,
    }
}

fn properties(
    schema: &SchemaRef,
    key: &[usize],
    compression: Compression,
    without_bounds: &[ColumnPath],
) -> WriterProperties {
    let leaf =
        |column: usize| -> usize { schema.fields().iter().take(column).map(|field| leaves(field.data_type())).sum() };
    let sorting =
        |column: &usize| SortingColumn { column_idx: leaf(*column) as i32, descending: false, nulls_first: true };
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("millrace ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(compression)
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
    for column in without_bounds {
        properties = properties.set_column_statistics_enabled(column.clone(), EnabledStatistics::None);
    }
    properties.build()
}

/// The checksums of an object's blocks; the object comes in pieces that need not be blocks.
pub(super) fn checksums(pieces: &[Bytes]) -> BlockChecksums {
    let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    let block_bytes = bytes.div_ceil(BLOCKS_MAX).next_power_of_two().max(BLOCK_BYTES_MIN);
    let (mut crc32c, mut room) = (Vec::new(), 0);
    for mut rest in pieces.iter().map(Bytes::as_ref) {
        while !rest.is_empty() {
            if room == 0 {
                crc32c.push(0);
                room = block_bytes as usize;
            }
            let (now, later) = rest.split_at(rest.len().min(room));
            let last = crc32c.last_mut().expect("a block was begun");
            *last = crc32c::crc32c_append(*last, now);
            (room, rest) = (room - now.len(), later);
        }
    }
    BlockChecksums { block_bytes, crc32c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_at_most_256_blocks_however_large_it_is() {
        for length in [0, 1, 65_536, 65_537, 16 << 20, (16 << 20) + 1, 40_000_001] {
            let blocks = checksums(&[vec![7; length].into()]);
            assert!(blocks.crc32c.len() <= 256, "{length}: {}", blocks.crc32c.len());
            assert_eq!(blocks.crc32c.len() as u64, (length as u64).div_ceil(blocks.block_bytes));
        }
    }

    #[test]
    fn blocks_do_not_depend_on_how_the_bytes_come_in_pieces() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let whole = checksums(&[bytes.clone().into()]);
        assert_eq!(whole.crc32c, bytes.chunks(65_536).map(crc32c::crc32c).collect::<Vec<_>>());
        for size in [1_000, 65_536, 65_537, 199_999] {
            let pieces: Vec<Bytes> = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            assert_eq!(checksums(&pieces), whole, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_written_comes_back_in_pieces_of_one_size() {
        let bytes: Vec<u8> = (0..2 * PIECE_BYTES + 5).map(|n| (n % 251) as u8).collect();
        let mut pieces = Pieces::default();
        for some in bytes.chunks(300_007) {
            io::Write::write_all(&mut pieces, some).unwrap();
        }
        let pieces = pieces.finish();
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE_BYTES, PIECE_BYTES, 5]);
        assert_eq!(pieces.concat(), bytes);
    }
}
