//! The parts of a scan, as the engine's file scan, with what `EXPLAIN` tells of them: `parts=3/480`.
//!
//! Owns the choice of groups and the label. Everything else is the file scan's own work.

use std::any::Any;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::Arc;

use catalog::Part;
use datafusion::common::Result;
use datafusion::common::Statistics;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::{DataSource, OpenArgs};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{EquivalenceProperties, LexOrdering, Partitioning, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::DisplayFormatType;
use datafusion::physical_plan::SortOrderPushdownResult;
use datafusion::physical_plan::execution_plan::SchedulingType;
use datafusion::physical_plan::filter_pushdown::FilterPushdownPropagation;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;

/// What `EXPLAIN` says of a scan.
#[derive(Clone, Debug)]
pub(super) struct ScanLabel {
    /// The table, and `$errors` behind it where error rows are read.
    pub(super) table: String,
    /// The version, as hex.
    pub(super) version: String,
    /// Parts left to read.
    pub(super) kept: usize,
    /// Parts of this kind at the version.
    pub(super) parts: usize,
}

impl fmt::Display for ScanLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table={}, version={}, parts={}/{}", self.table, self.version, self.kept, self.parts)
    }
}

/// A file scan with a label.
#[derive(Clone, Debug)]
pub(super) struct PartsScan {
    label: ScanLabel,
    files: Arc<dyn DataSource>,
}

impl PartsScan {
    /// Labels `files`.
    pub(super) fn new(label: ScanLabel, files: FileScanConfig) -> Self {
        Self { label, files: Arc::new(files) }
    }

    fn with(&self, files: Arc<dyn DataSource>) -> Arc<dyn DataSource> {
        Arc::new(Self { label: self.label.clone(), files })
    }
}

/// At most `groups` groups of about as many bytes each: the largest part first, each to the group that is smallest so far.
pub(super) fn file_groups(parts: &[(Arc<Part>, Arc<Statistics>)], groups: usize) -> Vec<FileGroup> {
    let mut by_size: Vec<&(Arc<Part>, Arc<Statistics>)> = parts.iter().collect();
    by_size.sort_by_key(|(part, _)| (Reverse(part.bytes), part.id));
    let mut filled: Vec<Vec<PartitionedFile>> = vec![Vec::new(); groups.clamp(1, parts.len().max(1))];
    let mut smallest: BinaryHeap<Reverse<(u64, usize)>> = (0..filled.len()).map(|group| Reverse((0, group))).collect();
    for (part, statistics) in by_size {
        let Reverse((bytes, group)) = smallest.pop().expect("there is a group");
        let file = PartitionedFile::new(part.path.clone(), part.bytes)
            .with_extension(Part::clone(part))
            .with_statistics(Arc::clone(statistics));
        filled[group].push(file);
        smallest.push(Reverse((bytes + part.bytes, group)));
    }
    filled.into_iter().map(FileGroup::new).collect()
}

impl DataSource for PartsScan {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.files.open(partition, context)
    }

    fn open_with_args(&self, args: OpenArgs) -> Result<SendableRecordBatchStream> {
        self.files.open_with_args(args)
    }

    fn create_sibling_state(&self, config: &ConfigOptions) -> Option<Arc<dyn Any + Send + Sync>> {
        self.files.create_sibling_state(config)
    }

    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => write!(f, "{}, ", self.label)?,
            DisplayFormatType::TreeRender => writeln!(f, "parts={}/{}", self.label.kept, self.label.parts)?,
        }
        self.files.fmt_as(format, f)
    }

    fn repartitioned(
        &self,
        partitions: usize,
        file_min_size: usize,
        ordering: Option<LexOrdering>,
    ) -> Result<Option<Arc<dyn DataSource>>> {
        let files = self.files.repartitioned(partitions, file_min_size, ordering)?;
        Ok(files.map(|files| self.with(files)))
    }

    fn output_partitioning(&self) -> Partitioning {
        self.files.output_partitioning()
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        self.files.eq_properties()
    }

    fn scheduling_type(&self) -> SchedulingType {
        self.files.scheduling_type()
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        self.files.partition_statistics(partition)
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        self.files.with_fetch(limit).map(|files| self.with(files))
    }

    fn fetch(&self) -> Option<usize> {
        self.files.fetch()
    }

    fn metrics(&self) -> ExecutionPlanMetricsSet {
        self.files.metrics()
    }

    fn try_swapping_with_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn DataSource>>> {
        let files = self.files.try_swapping_with_projection(projection)?;
        Ok(files.map(|files| self.with(files)))
    }

    fn try_pushdown_filters(
        &self,
        filters: Vec<Arc<dyn PhysicalExpr>>,
        config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn DataSource>>> {
        let FilterPushdownPropagation { filters, updated_node } = self.files.try_pushdown_filters(filters, config)?;
        Ok(FilterPushdownPropagation { filters, updated_node: updated_node.map(|files| self.with(files)) })
    }

    fn try_pushdown_sort(&self, order: &[PhysicalSortExpr]) -> Result<SortOrderPushdownResult<Arc<dyn DataSource>>> {
        Ok(self.files.try_pushdown_sort(order)?.map(|files| self.with(files)))
    }

    fn with_preserve_order(&self, preserve: bool) -> Option<Arc<dyn DataSource>> {
        self.files.with_preserve_order(preserve).map(|files| self.with(files))
    }

    fn with_new_state(&self, state: Arc<dyn Any + Send + Sync>) -> Option<Arc<dyn DataSource>> {
        self.files.with_new_state(state).map(|files| self.with(files))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        self.files.apply_expressions(f)
    }
}

#[cfg(test)]
mod tests {
    use catalog::{BlockChecksums, PartId, PartKind, SchemaId, TableId};

    use super::*;

    fn part(id: u128, bytes: u64) -> (Arc<Part>, Arc<Statistics>) {
        let part = Part {
            id: PartId(id),
            table: TableId(1),
            schema: SchemaId(1),
            kind: PartKind::Rows,
            path: format!("{id:032x}.parquet"),
            bytes,
            rows: 1,
            partition: vec![],
            sort_key: vec![],
            streams: vec![],
            checksums: BlockChecksums { block_bytes: 1, crc32c: vec![] },
        };
        (Arc::new(part), Arc::new(Statistics::default()))
    }

    #[test]
    fn groups_hold_each_part_once_and_about_as_many_bytes_each() {
        let parts: Vec<_> = [90, 10, 40, 40, 20, 70].into_iter().zip(0..).map(|(bytes, id)| part(id, bytes)).collect();
        let groups = file_groups(&parts, 3);
        let sizes: Vec<u64> = groups.iter().map(|group| group.iter().map(|file| file.object_meta.size).sum()).collect();
        assert_eq!(sizes, vec![90, 90, 90]);
        let mut ids: Vec<u128> =
            groups.iter().flat_map(|group| group.iter()).map(|file| file.extension::<Part>().unwrap().id.0).collect();
        ids.sort();
        assert_eq!(ids, (0..6).collect::<Vec<_>>());
        assert_eq!(file_groups(&parts, 100).len(), 6);
    }
}
