//! The leaf of a plan that reads ranges of offsets, each in one partition. Owns what the engine asks of such a leaf: partitions,
//! a limit, metrics, an estimate of rows, batches of its size. What holds the ranges, and how they are read, is a [`RangeScan`]'s.

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};

/// What a [`RangeExec`] reads.
pub(super) trait RangeScan: fmt::Debug + Send + Sync {
    /// The leaf's name in a plan.
    fn name(&self) -> &'static str;
    /// Where the ranges are read from, as a plan shows it.
    fn origin(&self) -> String;
    /// How many ranges there are, as a plan shows it.
    fn ranges(&self) -> String;
    /// The columns that are read.
    fn schema(&self) -> &SchemaRef;
    /// How many partitions the ranges are spread over.
    fn partitions(&self) -> usize;
    /// How many offsets one of them has. Not each is a row: some are errors, filtered, or gaps.
    fn offsets(&self, partition: usize) -> u64;
    /// Reads one partition. No more than `fetch` rows are asked for, but more may come.
    fn open(
        &self,
        partition: usize,
        fetch: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
        context: &TaskContext,
    ) -> BoxStream<'static, Result<RecordBatch>>;
}

/// Reads ranges of offsets.
#[derive(Clone, Debug)]
pub(super) struct RangeExec {
    scan: Arc<dyn RangeScan>,
    fetch: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl RangeExec {
    /// Reads what `scan` has, up to `fetch` rows.
    pub(super) fn new(scan: impl RangeScan + 'static, fetch: Option<usize>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(scan.schema())),
            Partitioning::UnknownPartitioning(scan.partitions()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let metrics = ExecutionPlanMetricsSet::new();
        Self { scan: Arc::new(scan), fetch, metrics, properties: Arc::new(properties) }
    }

    fn offsets(&self) -> u64 {
        (0..self.scan.partitions()).map(|partition| self.scan.offsets(partition)).sum()
    }
}

impl DisplayAs for RangeExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ranges, offsets) = (self.scan.ranges(), self.offsets());
        match format {
            DisplayFormatType::TreeRender => write!(f, "{ranges}\noffsets={offsets}"),
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let columns: Vec<&str> = self.scan.schema().fields().iter().map(|of| of.name().as_str()).collect();
                write!(f, "{}: {}, {ranges}, offsets={offsets}, ", self.scan.name(), self.scan.origin())?;
                write!(f, "projection=[{}]", columns.join(", "))?;
                self.fetch.map_or(Ok(()), |fetch| write!(f, ", limit={fetch}"))
            }
        }
    }
}

impl ExecutionPlan for RangeExec {
    fn name(&self) -> &'static str {
        self.scan.name()
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
        if partition >= self.scan.partitions() {
            return Err(DataFusionError::Execution(format!("{} has no partition {partition}", self.scan.name())));
        }
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows_max = context.session_config().batch_size();
        let pieces = self
            .scan
            .open(partition, self.fetch, &self.metrics, &context)
            .map_ok(move |batch| futures::stream::iter(pieces(&batch, rows_max).into_iter().map(Ok)))
            .try_flatten();
        let counted = limited(pieces, self.fetch).inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        let schema = Arc::clone(self.scan.schema());
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(schema, counted))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let offsets = args.partition().map_or_else(|| self.offsets(), |partition| self.scan.offsets(partition));
        let num_rows = Precision::Inexact(usize::try_from(offsets).unwrap_or(usize::MAX));
        let column_statistics = self.scan.schema().fields().iter().map(|_| ColumnStatistics::new_unknown()).collect();
        Ok(Arc::new(Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }))
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { fetch, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }
}

/// Ranges dealt out whole over at most `partitions`, the longest first, each to the partition with the fewest offsets.
pub(super) fn spread<T>(mut ranges: Vec<T>, offsets: impl Fn(&T) -> u64, partitions: usize) -> Vec<Vec<T>> {
    ranges.sort_by_key(|range| Reverse(offsets(range)));
    let mut dealt: Vec<(u64, Vec<T>)> = Vec::new();
    dealt.resize_with(partitions.clamp(1, ranges.len().max(1)), Default::default);
    for range in ranges {
        let (sum, to) = dealt.iter_mut().min_by_key(|(sum, _)| *sum).expect("there is a partition");
        *sum += offsets(&range);
        to.push(range);
    }
    dealt.into_iter().map(|(_, ranges)| ranges).collect()
}

/// Slices of at most `rows_max` rows, without copying.
fn pieces(batch: &RecordBatch, rows_max: usize) -> Vec<RecordBatch> {
    let rows_max = rows_max.max(1);
    let piece = |start: usize| batch.slice(start, rows_max.min(batch.num_rows() - start));
    (0..batch.num_rows()).step_by(rows_max).map(piece).collect()
}

/// The first `fetch` rows, and no more than is needed for them.
fn limited(
    batches: impl Stream<Item = Result<RecordBatch>> + Send + 'static,
    fetch: Option<usize>,
) -> BoxStream<'static, Result<RecordBatch>> {
    let Some(fetch) = fetch else { return batches.boxed() };
    let cut = futures::stream::try_unfold((batches.boxed(), fetch), |(mut batches, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let Some(batch) = batches.try_next().await? else { return Ok(None) };
        let taken = batch.slice(0, left.min(batch.num_rows()));
        let left = left - taken.num_rows();
        Ok(Some((taken, (batches, left))))
    });
    cut.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_spread_whole_and_evenly() {
        let lengths = vec![50, 20, 30, 1];
        assert_eq!(spread(lengths.clone(), |length| *length, 2), [vec![50, 1], vec![30, 20]]);
        assert_eq!(spread(lengths, |length| *length, 100).len(), 4);
        assert_eq!(spread(Vec::new(), |length| *length, 4), [Vec::<u64>::new()]);
    }
}
