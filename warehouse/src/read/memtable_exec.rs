//! The leaf of a plan that reads one owner's memory: exactly the pinned ranges `[C(s), E(s))`, each stream in one partition.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{OffsetRange, PartKind, StreamId};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::coop::make_cooperative;
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::{StreamExt, TryStreamExt};

use super::pin::{MemtableScan, PinError};
use super::query_pins::QueryPins;

/// Reads the memory of one owner.
#[derive(Clone, Debug)]
pub struct MemtableExec {
    address: String,
    scans: Vec<MemtableScan>,
    pins: Arc<QueryPins>,
    fetch: Option<usize>,
    metrics: ExecutionPlanMetricsSet,
    properties: Arc<PlanProperties>,
}

impl MemtableExec {
    /// Reads `ranges`, which the query has pinned at `address`, spread over at most `partitions` partitions by stream.
    /// `schema` is the projection of the stored columns that `projection` names.
    pub fn new(
        address: &str,
        ranges: &BTreeMap<StreamId, OffsetRange>,
        kind: PartKind,
        projection: &[usize],
        schema: SchemaRef,
        partitions: usize,
        pins: Arc<QueryPins>,
    ) -> Self {
        let scans: Vec<MemtableScan> = spread(ranges, partitions)
            .into_iter()
            .map(|ranges| MemtableScan { query: pins.query(), ranges, kind, projection: projection.to_vec() })
            .collect();
        let read: usize = scans.iter().map(|scan| scan.ranges.len()).sum();
        assert_eq!(read, ranges.len(), "I1: each range is read in exactly one partition");
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(scans.len()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        Self {
            address: address.to_owned(),
            scans,
            pins,
            fetch: None,
            metrics: ExecutionPlanMetricsSet::new(),
            properties: Arc::new(properties),
        }
    }

    fn offsets(&self) -> u64 {
        self.scans.iter().flat_map(|scan| scan.ranges.values()).map(|range| range.offsets()).sum()
    }
}

/// Streams dealt out over at most `partitions` scans, the longest range first, each to the scan with the fewest offsets.
fn spread(ranges: &BTreeMap<StreamId, OffsetRange>, partitions: usize) -> Vec<BTreeMap<StreamId, OffsetRange>> {
    let mut longest: Vec<(&StreamId, &OffsetRange)> = ranges.iter().collect();
    longest.sort_by_key(|(stream, range)| (std::cmp::Reverse(range.offsets()), **stream));
    let mut scans = vec![(0, BTreeMap::new()); partitions.clamp(1, ranges.len().max(1))];
    for (stream, range) in longest {
        let (offsets, scan) = scans.iter_mut().min_by_key(|(offsets, _)| *offsets).expect("there is a scan");
        *offsets += range.offsets();
        scan.insert(*stream, *range);
    }
    scans.into_iter().map(|(_, scan)| scan).collect()
}

impl DisplayAs for MemtableExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams: usize = self.scans.iter().map(|scan| scan.ranges.len()).sum();
        let offsets = self.offsets();
        match format {
            DisplayFormatType::TreeRender => write!(f, "streams={streams}\noffsets={offsets}"),
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                let columns: Vec<&str> =
                    self.properties.eq_properties.schema().fields().iter().map(|of| of.name().as_str()).collect();
                write!(f, "MemtableExec: owner={}, streams={streams}, offsets={offsets}, ", self.address)?;
                write!(f, "projection=[{}]", columns.join(", "))?;
                self.fetch.map_or(Ok(()), |fetch| write!(f, ", limit={fetch}"))
            }
        }
    }
}

impl ExecutionPlan for MemtableExec {
    fn name(&self) -> &'static str {
        "MemtableExec"
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
        let scan = self
            .scans
            .get(partition)
            .cloned()
            .ok_or_else(|| DataFusionError::Execution(format!("a memtable scan has no partition {partition}")))?;
        let (schema, pins, address) = (self.schema(), Arc::clone(&self.pins), self.address.clone());
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let rows_max = context.session_config().batch_size();
        let opened = async move { pins.reader().scan(&address, Arc::clone(&schema), scan).await.map_err(external) };
        let batches = futures::stream::once(opened).try_flatten();
        let pieces = batches
            .map_ok(move |batch| futures::stream::iter(pieces(&batch, rows_max).into_iter().map(Ok)))
            .try_flatten();
        let counted =
            limited(pieces, self.fetch).inspect_ok(move |batch: &RecordBatch| metrics.record_output(batch.num_rows()));
        // The pins live as long as the rows are read, even if the plan is dropped before.
        let held = Arc::clone(&self.pins);
        let counted = counted.inspect(move |_| _ = &held);
        Ok(make_cooperative(Box::pin(RecordBatchStreamAdapter::new(self.schema(), counted))))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let offsets = match args.partition() {
            Some(partition) => {
                self.scans.get(partition).map_or(0, |scan| scan.ranges.values().map(|range| range.offsets()).sum())
            }
            None => self.offsets(),
        };
        // Not each offset is a row: some are errors, filtered, or gaps.
        let num_rows = Precision::Inexact(usize::try_from(offsets).unwrap_or(usize::MAX));
        let column_statistics = self.schema().fields().iter().map(|_| ColumnStatistics::new_unknown()).collect();
        Ok(Arc::new(Statistics { num_rows, total_byte_size: Precision::Absent, column_statistics }))
    }

    fn with_fetch(&self, fetch: Option<usize>) -> Option<Arc<dyn ExecutionPlan>> {
        Some(Arc::new(Self { fetch, metrics: ExecutionPlanMetricsSet::new(), ..self.clone() }))
    }

    fn fetch(&self) -> Option<usize> {
        self.fetch
    }

    /// Filters stay with the engine: rows in memory have no statistics to judge them by.
    fn handle_child_pushdown_result(
        &self,
        _phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &datafusion::config::ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::with_parent_pushdown_result(vec![PushedDown::No; result.parent_filters.len()]))
    }
}

fn external(error: PinError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// Slices of at most `rows_max` rows, without copying.
pub(super) fn pieces(batch: &RecordBatch, rows_max: usize) -> Vec<RecordBatch> {
    let rows_max = rows_max.max(1);
    let piece = |start: usize| batch.slice(start, rows_max.min(batch.num_rows() - start));
    (0..batch.num_rows()).step_by(rows_max).map(piece).collect()
}

/// The first `fetch` rows, and no more than is needed for them.
pub(super) fn limited(
    batches: impl futures::Stream<Item = Result<RecordBatch>> + Send + 'static,
    fetch: Option<usize>,
) -> futures::stream::BoxStream<'static, Result<RecordBatch>> {
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
    use catalog::Offset;

    use super::*;

    #[test]
    fn streams_are_spread_whole_and_evenly() {
        let range = |length: u64| OffsetRange::new(Offset(10), Offset(10 + length));
        let ranges: BTreeMap<StreamId, OffsetRange> = [(1, 50), (2, 20), (3, 30), (4, 1)]
            .map(|(stream, length): (u64, u64)| (StreamId(stream), range(length)))
            .into();
        let scans = spread(&ranges, 2);
        let lengths: Vec<u64> = scans.iter().map(|scan| scan.values().map(|range| range.offsets()).sum()).collect();
        assert_eq!(lengths, vec![51, 50]);
        assert_eq!(scans.into_iter().flatten().collect::<BTreeMap<_, _>>(), ranges);
        assert_eq!(spread(&ranges, 100).len(), 4);
    }
}
