//! What a plan reads of one owner's memory: exactly the pinned ranges `[C(s), E(s))`, each stream in one partition.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use catalog::{OffsetRange, PartKind, StreamId};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::pin::{MemtableScan, PinError};
use super::query_pins::QueryPins;
use super::range_exec::{RangeScan, spread};

/// The pinned ranges of one owner.
#[derive(Debug)]
pub(super) struct MemtableRanges {
    address: String,
    scans: Vec<MemtableScan>,
    schema: SchemaRef,
    pins: Arc<QueryPins>,
}

impl MemtableRanges {
    /// `ranges`, which the query has pinned at `address`, spread over at most `partitions` partitions by stream.
    /// `schema` is the projection of the stored columns that `projection` names.
    pub(super) fn new(
        address: &str,
        ranges: &BTreeMap<StreamId, OffsetRange>,
        kind: PartKind,
        projection: &[usize],
        schema: SchemaRef,
        partitions: usize,
        pins: Arc<QueryPins>,
    ) -> Self {
        let all = ranges.iter().map(|(stream, range)| (*stream, *range)).collect();
        let scans: Vec<MemtableScan> = spread(all, |(_, range)| range.offsets(), partitions)
            .into_iter()
            .map(|dealt| dealt.into_iter().collect())
            .map(|ranges| MemtableScan { query: pins.query(), ranges, kind, projection: projection.to_vec() })
            .collect();
        let read: usize = scans.iter().map(|scan| scan.ranges.len()).sum();
        assert_eq!(read, ranges.len(), "I1: each range is read in exactly one partition");
        Self { address: address.to_owned(), scans, schema, pins }
    }
}

impl RangeScan for MemtableRanges {
    fn name(&self) -> &'static str {
        "MemtableExec"
    }

    fn origin(&self) -> String {
        format!("owner={}", self.address)
    }

    fn ranges(&self) -> String {
        format!("streams={}", self.scans.iter().map(|scan| scan.ranges.len()).sum::<usize>())
    }

    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn partitions(&self) -> usize {
        self.scans.len()
    }

    fn offsets(&self, partition: usize) -> u64 {
        self.scans[partition].ranges.values().map(|range| range.offsets()).sum()
    }

    fn open(
        &self,
        partition: usize,
        _fetch: Option<usize>,
        _metrics: &ExecutionPlanMetricsSet,
        _context: &TaskContext,
    ) -> BoxStream<'static, Result<RecordBatch>> {
        let (address, schema, scan) = (self.address.clone(), Arc::clone(&self.schema), self.scans[partition].clone());
        let pins = Arc::clone(&self.pins);
        // The pins live as long as the rows are read, even if the plan is dropped before.
        let held = Arc::clone(&self.pins);
        let opened = async move { pins.reader().scan(&address, schema, scan).await.map_err(external) };
        futures::stream::once(opened).try_flatten().inspect(move |_| _ = &held).boxed()
    }
}

fn external(error: PinError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
