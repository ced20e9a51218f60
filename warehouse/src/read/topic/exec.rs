//! The leaf of a plan that reads ranges of topics, partitions side by side. Each leaf partition has a source of its own, within
//! a bound that counts in the queries' memory; dropping its stream ends the fetching.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, Statistics};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt};
use vfs::Clock;

use super::query::TopicQuery;
use super::rows::{Origin, RowMaker};
use super::table::Metadata;
use crate::read::errors::ReadError;
use crate::read::memtable_exec::{limited, pieces};
use crate::write::source::{RangeReader, SourceConnector, SourceError, SourceOptions, TopicRange};

/// What a source may hold where all of a range is read.
const QUEUE_BYTES: u64 = 8 << 20;
/// What it may hold where a few rows are asked for: what it holds was fetched.
const QUEUE_BYTES_OF_A_LIMIT: u64 = 1 << 20;
/// A limit of at most so many rows is a few.
const FEW_ROWS: usize = 10_000;

/// How ranges are read.
#[derive(Clone, Debug)]
pub(super) struct TopicScan {
    pub(super) connector: Arc<dyn SourceConnector>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) query: Arc<TopicQuery>,
    /// What each column of the plan is made of.
    pub(super) origins: Vec<Origin>,
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

/// Reads ranges of topics.
#[derive(Clone, Debug)]
pub(super) struct TopicExec {
    scan: TopicScan,
    ranges: Vec<Vec<TopicRange>>,
    fetch: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl TopicExec {
    /// Reads `ranges`, spread over at most `partitions`. `schema` is of the columns that `scan` makes.
    pub(super) fn new(
        scan: TopicScan,
        schema: SchemaRef,
        ranges: Vec<TopicRange>,
        partitions: usize,
        fetch: Option<usize>,
    ) -> Self {
        let ranges = spread(ranges, partitions);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(ranges.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self { scan, ranges, fetch, metrics: ExecutionPlanMetricsSet::new(), properties: Arc::new(properties) }
    }

    fn offsets(&self, partition: Option<usize>) -> u64 {
        let of = |ranges: &Vec<TopicRange>| ranges.iter().map(|range| range.range.offsets()).sum::<u64>();
        match partition {
            Some(partition) => self.ranges.get(partition).map_or(0, of),
            None => self.ranges.iter().map(of).sum(),
        }
    }
}

/// Ranges dealt out whole, the longest first, each to whom has the fewest offsets.
fn spread(mut ranges: Vec<TopicRange>, partitions: usize) -> Vec<Vec<TopicRange>> {
    ranges.sort_by_key(|range| std::cmp::Reverse(range.range.offsets()));
    let mut dealt: Vec<(u64, Vec<TopicRange>)> = vec![(0, Vec::new()); partitions.clamp(1, ranges.len().max(1))];
    for range in ranges {
        let (offsets, to) = dealt.iter_mut().min_by_key(|(offsets, _)| *offsets).expect("there is a partition");
        *offsets += range.range.offsets();
        to.push(range);
    }
    dealt.into_iter().map(|(_, ranges)| ranges).collect()
}

impl DisplayAs for TopicExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let partitions: usize = self.ranges.iter().map(Vec::len).sum();
        let offsets = self.offsets(None);
        match format {
            DisplayFormatType::TreeRender => write!(f, "partitions={partitions}\noffsets={offsets}"),
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let schema = self.properties.eq_properties.schema();
                let columns: Vec<&str> = schema.fields().iter().map(|of| of.name().as_str()).collect();
                write!(f, "TopicExec: topics={}, partitions={partitions}, ", self.scan.query.kafka.topics)?;
                write!(f, "offsets={offsets}, projection=[{}]", columns.join(", "))?;
                self.fetch.map_or(Ok(()), |fetch| write!(f, ", limit={fetch}"))
            }
        }
    }
}

impl ExecutionPlan for TopicExec {
    fn name(&self) -> &'static str {
        "TopicExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(self)
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let ranges = self
            .ranges
            .get(partition)
            .cloned()
            .ok_or_else(|| DataFusionError::Execution(format!("a scan of topics has no partition {partition}")))?;
        let (scan, options, schema) = (self.scan.clone(), self.scan.options(self.fetch), self.schema());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let fetched = MetricBuilder::new(&self.metrics).counter("fetched_records", partition);
        let reservation = MemoryConsumer::new("kafka()").register(context.memory_pool());
        let rows_max = context.session_config().batch_size();
        let maker = RowMaker::new(&scan.query, Arc::clone(&schema), scan.origins.clone());
        let opened = async move {
            reservation.try_grow(usize::try_from(options.queue_bytes).unwrap_or(usize::MAX))?;
            let source = scan.connector.open(&scan.query.kafka, options).await.map_err(failed)?;
            let reader = RangeReader::new(source, &ranges, Arc::clone(&scan.clock));
            Ok::<_, DataFusionError>(rows_of(reader, maker, fetched).inspect(move |_| _ = &reservation))
        };
        let batches = futures::stream::once(opened).try_flatten();
        let sliced = batches
            .map_ok(move |batch| futures::stream::iter(pieces(&batch, rows_max).into_iter().map(Ok)))
            .try_flatten();
        let counted =
            limited(sliced, self.fetch).inspect_ok(move |batch: &RecordBatch| metrics.record_output(batch.num_rows()));
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, counted))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        // Not each offset has a record.
        let num_rows = Precision::Inexact(usize::try_from(self.offsets(args.partition())).unwrap_or(usize::MAX));
        let column_statistics = self.schema().fields().iter().map(|_| ColumnStatistics::new_unknown()).collect();
        Ok(Arc::new(Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }))
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { fetch, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
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
