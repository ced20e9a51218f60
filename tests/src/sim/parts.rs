//! Reads parts through the product's own reader, each once: parts never change, and what is in one is kept. Whether its object is
//! still there is asked each time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use catalog::{Part, PartId};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::async_reader::AsyncFileReader;
use warehouse::memory::{MemoryBudget, MemoryLimits};
use warehouse::read::reader::PartReaders;

use super::rows::Rows;

/// Why a part was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Its object is not there (I7).
    Gone(String),
    /// The store had trouble.
    Trouble(String),
    /// It holds an offset twice (I1).
    Twice(String),
}

/// What parts were read so far. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Parts(Arc<Mutex<BTreeMap<PartId, Arc<Rows>>>>);

impl Parts {
    /// The rows of a part, read from `objects` if it was not read before, or if it is to be read `anew`.
    pub async fn read(&self, part: &Part, objects: &Arc<dyn ObjectStore>, anew: bool) -> Result<Arc<Rows>, Unread> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&part.id).cloned();
        if let Some(known) = known.filter(|_| !anew) {
            return match objects.head(&Path::from(part.path.as_str())).await {
                Ok(_) => Ok(known),
                Err(error) => {
                    Err(unread(part, &error.to_string(), matches!(error, object_store::Error::NotFound { .. })))
                }
            };
        }
        let batches =
            decode(part, objects).await.map_err(|error| unread(part, &error, error.contains("is missing")))?;
        let mut rows = Rows::default();
        for batch in &batches {
            rows.add(part.kind, batch).map_err(Unread::Twice)?;
        }
        let rows = Arc::new(rows);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(part.id, Arc::clone(&rows));
        Ok(rows)
    }
}

fn unread(part: &Part, cause: &str, is_gone: bool) -> Unread {
    let text = format!("part {} at {}: {cause}", part.id, part.path);
    if is_gone { Unread::Gone(text) } else { Unread::Trouble(text) }
}

async fn decode(part: &Part, objects: &Arc<dyn ObjectStore>) -> Result<Vec<RecordBatch>, String> {
    // A checker's reading is charged to nobody of the history.
    let memory = MemoryBudget::shared(MemoryLimits::of_queries(u64::MAX));
    let reader: Box<dyn AsyncFileReader> = PartReaders::new(Arc::clone(objects), 0, memory).reader(part);
    let told = |error: parquet::errors::ParquetError| error.to_string();
    let rows = ParquetRecordBatchStreamBuilder::new(reader).await.map_err(told)?.build().map_err(told)?;
    rows.try_collect().await.map_err(told)
}
