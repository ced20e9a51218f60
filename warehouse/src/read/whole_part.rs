//! A part, read whole: its object against the size and the checksums that the catalog keeps, then its rows. Whatever is wrong with it
//! is told with its place, and is never a panic.

use arrow::array::RecordBatch;
use bytes::Bytes;
use catalog::Part;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// What is wrong with a part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartFault {
    /// Its object is not there.
    #[error("part {part}: its object {path} is missing")]
    Missing {
        /// The part's id.
        part: String,
        /// The object.
        path: String,
    },
    /// Its object has another length.
    #[error("part {part}: its object {path} has {found} bytes, and {expected} were written")]
    Size {
        /// The part's id.
        part: String,
        /// The object.
        path: String,
        /// Its bytes.
        found: u64,
        /// What the catalog says.
        expected: u64,
    },
    /// A block of it is not what was written.
    #[error("part {part}: bytes {start} to {end} of its object {path} are damaged (block {block})")]
    Checksum {
        /// The part's id.
        part: String,
        /// The object.
        path: String,
        /// Which block.
        block: usize,
        /// Its first byte.
        start: u64,
        /// After its last byte.
        end: u64,
    },
    /// Its bytes are what was written, and yet no rows can be read from them.
    #[error("part {part}: its object {path} cannot be read as Parquet: {cause}")]
    Unreadable {
        /// The part's id.
        part: String,
        /// The object.
        path: String,
        /// Why.
        cause: String,
    },
    /// The store does not give it: that says nothing of the part.
    #[error("part {part}: the object store does not give {path}: {cause}; try again")]
    Store {
        /// The part's id.
        part: String,
        /// The object.
        path: String,
        /// Why.
        cause: String,
    },
}

fn name(part: &Part) -> (String, String) {
    (part.id.to_string(), part.path.clone())
}

fn of_store(of: &Part, error: &object_store::Error) -> PartFault {
    let (part, path) = name(of);
    match error {
        object_store::Error::NotFound { .. } => PartFault::Missing { part, path },
        error => PartFault::Store { part, path, cause: error.to_string() },
    }
}

fn check_size(of: &Part, found: u64) -> Result<(), PartFault> {
    let (part, path) = name(of);
    match found == of.bytes {
        true => Ok(()),
        false => Err(PartFault::Size { part, path, found, expected: of.bytes }),
    }
}

/// Whether the object is there, in its length.
///
/// # Errors
/// What is wrong with it.
pub async fn look(objects: &dyn ObjectStore, part: &Part) -> Result<(), PartFault> {
    let found = objects.head(&Path::from(part.path.as_str())).await.map_err(|error| of_store(part, &error))?;
    check_size(part, found.size)
}

/// The object's bytes, as they were written.
///
/// # Errors
/// What is wrong with it.
pub async fn fetch(objects: &dyn ObjectStore, part: &Part) -> Result<Bytes, PartFault> {
    let got = objects.get(&Path::from(part.path.as_str())).await.map_err(|error| of_store(part, &error))?;
    let bytes = got.bytes().await.map_err(|error| of_store(part, &error))?;
    check_size(part, bytes.len() as u64)?;
    check_blocks(part, &bytes)?;
    Ok(bytes)
}

fn check_blocks(of: &Part, bytes: &Bytes) -> Result<(), PartFault> {
    let block_bytes = usize::try_from(of.checksums.block_bytes).unwrap_or(usize::MAX).max(1);
    let mut expected = of.checksums.crc32c.iter();
    for (block, content) in bytes.chunks(block_bytes).enumerate() {
        if expected.next() != Some(&crc32c::crc32c(content)) {
            let (part, path) = name(of);
            let start = (block * block_bytes) as u64;
            return Err(PartFault::Checksum { part, path, block, start, end: start + content.len() as u64 });
        }
    }
    Ok(())
}

/// The rows of a fetched object: all columns, or those named.
///
/// # Errors
/// If it is no Parquet, or has not these columns.
pub fn rows(of: &Part, bytes: Bytes, columns: Option<&[&str]>) -> Result<Vec<RecordBatch>, PartFault> {
    let unreadable = |cause: String| {
        let (part, path) = name(of);
        PartFault::Unreadable { part, path, cause }
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| unreadable(error.to_string()))?;
    let builder = match columns {
        None => builder,
        Some(columns) => {
            let schema = builder.schema();
            let index = |name: &&str| schema.index_of(name).map_err(|error| unreadable(error.to_string()));
            let roots = columns.iter().map(index).collect::<Result<Vec<usize>, _>>()?;
            let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
            builder.with_projection(mask)
        }
    };
    let reader = builder.build().map_err(|error| unreadable(error.to_string()))?;
    reader.collect::<Result<Vec<_>, _>>().map_err(|error| unreadable(error.to_string()))
}
