//! What a plan reads of topics: ranges of their partitions, side by side. Each partition of the plan has a source of its own, within
//! a bound that counts in the queries' memory; dropping its stream ends the fetching.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use vfs::Clock;

use super::query::TopicQuery;
use super::rows::{Origin, RowMaker};
use super::table::Metadata;
use crate::read::errors::ReadError;
use crate::read::range_exec::RangeScan;
use crate::write::source::{RangeReader, SourceConnector, SourceError, SourceOptions, TopicRange};

/// What a source may hold where all of a range is read.
const QUEUE_BYTES: u64 = 8 << 20;
/// What it may hold where a few rows are asked for: what it holds was fetched.
const QUEUE_BYTES_OF_A_LIMIT: u64 = 1 << 20;
/// A limit of at most so many rows is a few.
const FEW_ROWS: usize = 10_000;

/// Ranges of topics, and how they are read.
#[derive(Debug)]
pub(super) struct TopicScan {
    pub(super) connector: Arc<dyn SourceConnector>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) query: Arc<TopicQuery>,
    pub(super) schema: SchemaRef,
    /// What each column of `schema` is made of.
    pub(super) origins: Vec<Origin>,
    /// Those of each partition of the plan.
    pub(super) ranges: Vec<Vec<TopicRange>>,
}

impl TopicScan {
    fn options(&self, fetch: Option<usize>) -> SourceOptions {
        let is_few = fetch.is_some_and(|fetch| fetch <= FEW_ROWS);
        let queue_bytes = if is_few { QUEUE_BYTES_OF_A_LIMIT } else { QUEUE_BYTES };
        let reads = |metadata| self.origins.contains(&Origin::Metadata(metadata));
        SourceOptions {
            read_committed: self.query.read_committed,
            queue_bytes,
            batch_bytes: queue_bytes / 16,
            max_record_bytes: self.query.max_record_bytes,
            keys: reads(Metadata::Key),
            headers: reads(Metadata::Headers),
        }
    }
}

impl RangeScan for TopicScan {
    fn name(&self) -> &'static str {
        "TopicExec"
    }

    fn origin(&self) -> String {
        format!("topics={}", self.query.kafka.topics)
    }

    fn ranges(&self) -> String {
        format!("partitions={}", self.ranges.iter().map(Vec::len).sum::<usize>())
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn partitions(&self) -> usize {
        self.ranges.len()
    }

    fn offsets(&self, partition: usize) -> u64 {
        self.ranges[partition].iter().map(|range| range.range.offsets()).sum()
    }

    fn open(
        &self,
        partition: usize,
        fetch: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
        context: &TaskContext,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let (connector, clock, query) = (Arc::clone(&self.connector), Arc::clone(&self.clock), Arc::clone(&self.query));
        let (ranges, options) = (self.ranges[partition].clone(), self.options(fetch));
        let fetched = MetricBuilder::new(metrics).counter("fetched_records", partition);
        let reservation = MemoryConsumer::new("kafka()").register(context.memory_pool());
        let maker = RowMaker::new(&query, Arc::clone(&self.schema), self.origins.clone());
        let opened = async move {
            reservation.try_grow(usize::try_from(options.queue_bytes).unwrap_or(usize::MAX))?;
            let source = connector.open(&query.kafka, options).await.map_err(failed)?;
            let reader = RangeReader::new(source, &ranges, clock);
            Ok::<_, DataFusionError>(rows_of(reader, maker, fetched).inspect(move |_| _ = &reservation))
        };
        futures::stream::once(opened).try_flatten().boxed()
    }
}

fn rows_of(
    reader: RangeReader,
    maker: RowMaker,
    fetched: Count,
) -> impl futures::Stream<Item = Result<RecordBatch>> + Send {
    futures::stream::try_unfold((reader, maker, fetched), |(mut reader, mut maker, fetched)| async move {
        let Some(piece) = reader.next().await.map_err(failed)? else { return Ok(None) };
        fetched.add(piece.records.len());
        let batch = maker.rows(&piece).map_err(|error| DataFusionError::External(Box::new(error)))?;
        Ok(Some((batch, (reader, maker, fetched))))
    })
}

fn failed(error: SourceError) -> DataFusionError {
    DataFusionError::External(Box::new(ReadError::Value { message: error.to_string() }))
}
