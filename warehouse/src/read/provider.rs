//! A pinned table as the engine sees it: parts at version V and the owners' memory up to E(s), in one plan.
//!
//! Each part and each range occurs in exactly one leaf (I1). The same value serves every scan of a statement, so a
//! self-join sees one snapshot.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::{Part, PartKind};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result, Statistics};
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

use super::bounds::part_statistics;
use super::memtable_ranges::MemtableRanges;
use super::parts_source::{PartsScan, ScanLabel, file_groups};
use super::prune;
use super::range_exec::RangeExec;
use super::reader::PartReaders;
use super::runtime::parts_url;
use super::snapshot::PinnedTable;
use super::stream_columns::{StreamColumn, of_stream};
use crate::schema::{OFFSET_COLUMN, STREAM_COLUMN, error_schema, storage_schema};

/// Where a column of the view comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// The stored column at this index.
    Stored(usize),
    /// Said by the row's stream.
    Derived(StreamColumn),
}

/// `t`, or `t$errors`, in one statement.
#[derive(Clone, Debug)]
pub struct TableView {
    pinned: Arc<PinnedTable>,
    kind: PartKind,
    /// How the rows are stored.
    stored: SchemaRef,
    /// What the statement sees.
    schema: SchemaRef,
    origins: Vec<Origin>,
    readers: PartReaders,
}

impl TableView {
    /// The table's rows, with those hidden columns that the statement names.
    pub(super) fn rows(pinned: Arc<PinnedTable>, hidden: &BTreeSet<&'static str>, readers: PartReaders) -> Self {
        let stored = storage_schema(&pinned.snapshot.table);
        let visible = pinned.snapshot.table.columns.len();
        let mut columns: Vec<(FieldRef, Origin)> =
            (0..visible).map(|at| (stored_field(&stored, at), Origin::Stored(at))).collect();
        for (name, at) in [(STREAM_COLUMN, visible), (OFFSET_COLUMN, visible + 1)] {
            if hidden.contains(name) {
                columns.push((stored_field(&stored, at), Origin::Stored(at)));
            }
        }
        for derived in [StreamColumn::Topic, StreamColumn::Partition] {
            if hidden.contains(derived.name()) {
                let field = Field::new(derived.name(), derived.data_type(), true);
                columns.push((Arc::new(field), Origin::Derived(derived)));
            }
        }
        Self::new(pinned, PartKind::Rows, stored, columns, readers)
    }

    /// The table's error rows; all of their columns show.
    pub(super) fn errors(pinned: Arc<PinnedTable>, readers: PartReaders) -> Self {
        let stored = error_schema();
        let columns = (0..stored.fields().len()).map(|at| (stored_field(&stored, at), Origin::Stored(at))).collect();
        Self::new(pinned, PartKind::Errors, stored, columns, readers)
    }

    fn new(
        pinned: Arc<PinnedTable>,
        kind: PartKind,
        stored: SchemaRef,
        columns: Vec<(FieldRef, Origin)>,
        readers: PartReaders,
    ) -> Self {
        let (fields, origins): (Vec<FieldRef>, Vec<Origin>) = columns.into_iter().unzip();
        Self { pinned, kind, stored, schema: Arc::new(Schema::new(fields)), origins, readers }
    }

    /// The stored columns that `wanted` columns of the view need, in their order.
    fn stored_projection(&self, wanted: &[usize]) -> Vec<usize> {
        let mut stored = Vec::with_capacity(wanted.len());
        for origin in wanted.iter().map(|at| self.origins[*at]) {
            let needed = match origin {
                Origin::Stored(at) => at,
                Origin::Derived(_) => self.stored.fields().len() - 2,
            };
            if !stored.contains(&needed) {
                stored.push(needed);
            }
        }
        stored
    }

    /// The table's parts of this kind.
    ///
    /// # Panics
    /// If one was written with other columns, or occurs twice: the log's folding has promised neither to happen.
    fn parts(&self) -> Vec<Arc<Part>> {
        let table = &self.pinned.snapshot.table;
        let parts: Vec<Arc<Part>> =
            self.pinned.snapshot.parts.iter().filter(|part| part.kind == self.kind).cloned().collect();
        let ids: BTreeSet<_> = parts.iter().map(|part| part.id).collect();
        assert_eq!(ids.len(), parts.len(), "I1: a part of table {} is listed twice", table.id);
        let other = parts.iter().find(|part| part.kind == PartKind::Rows && part.schema != table.schema);
        assert!(other.is_none(), "part {:?} of table {} has other columns", other.map(|part| part.id), table.id);
        parts
    }

    fn predicate(&self, state: &dyn Session, filters: &[Expr]) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let schema = DFSchema::try_from(Schema::clone(&self.schema))?;
        conjunction(filters.to_vec()).map(|filter| state.create_physical_expr(filter, &schema)).transpose()
    }

    /// Columns of the view that the catalog knows something of, for pruning.
    fn judged(&self) -> Vec<(FieldRef, Option<usize>)> {
        let table = &self.pinned.snapshot.table;
        let known = |at: usize| match table.columns.get(at).filter(|_| self.kind == PartKind::Rows) {
            Some(column) => {
                table.order_by.contains(&column.id) || table.partition_by.iter().any(|by| by.column == column.id)
            }
            None => at + 2 >= self.stored.fields().len(),
        };
        let columns = self.schema.fields().iter().zip(&self.origins);
        let judged = columns.filter_map(|(field, origin)| match origin {
            Origin::Stored(at) if known(*at) => Some((Arc::clone(field), Some(*at))),
            _ => None,
        });
        judged.collect()
    }

    /// The leaf that reads the parts in which the filters may be true.
    fn parts_leaf(
        &self,
        state: &dyn Session,
        projection: &[usize],
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let snapshot = &self.pinned.snapshot;
        let parts = self.parts();
        if parts.is_empty() {
            return Ok(None);
        }
        let judged = self.judged();
        let of = |part: &Arc<Part>, columns: &[_]| Arc::new(part_statistics(&snapshot.table, part, columns));
        let predicate = self.predicate(state, filters)?;
        let known: Vec<Arc<Statistics>> = match &predicate {
            Some(_) => parts.iter().map(|part| of(part, &judged)).collect(),
            None => Vec::new(),
        };
        let judged = Arc::new(Schema::new(judged.into_iter().map(|(field, _)| field).collect::<Vec<_>>()));
        let keep = prune::kept(predicate.as_ref(), &self.schema, &known, &judged, parts.len());
        let stored: Vec<(FieldRef, Option<usize>)> =
            self.stored.fields().iter().cloned().zip((0..).map(Some)).collect();
        let kept: Vec<(Arc<Part>, Arc<Statistics>)> = parts
            .iter()
            .zip(keep)
            .filter(|(_, keep)| *keep)
            .map(|(part, _)| (Arc::clone(part), of(part, &stored)))
            .collect();
        metrics::counter!("millrace_parts_pruned_total").increment((parts.len() - kept.len()) as u64);
        // Where none is kept the scan stays, over no file: EXPLAIN tells `parts=0/480`.
        let groups = file_groups(&kept, state.config().target_partitions());
        let grouped: usize = groups.iter().map(|group| group.len()).sum();
        assert_eq!(grouped, kept.len(), "I1: each part is read in exactly one group");
        let source = ParquetSource::new(Arc::clone(&self.stored))
            .with_parquet_file_reader_factory(Arc::new(self.readers.clone()));
        let files = FileScanConfigBuilder::new(parts_url(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(self.row_count(&kept))
            .with_projection_indices(Some(projection.to_vec()))?
            .with_limit(limit)
            .build();
        let label = ScanLabel {
            table: self.name(),
            version: snapshot.version.to_string(),
            kept: kept.len(),
            parts: parts.len(),
        };
        Ok(Some(DataSourceExec::from_data_source(PartsScan::new(label, files))))
    }

    fn name(&self) -> String {
        let table = &self.pinned.snapshot.table;
        match self.kind {
            PartKind::Rows => table.name.clone(),
            PartKind::Errors => format!("{}{ERRORS_SUFFIX}", table.name),
        }
    }

    /// How many rows the parts hold, exactly. Nothing of columns: the catalog's bounds are no values (see `bounds`).
    fn row_count(&self, kept: &[(Arc<Part>, Arc<Statistics>)]) -> Statistics {
        let sum = |of: fn(&Part) -> u64| {
            usize::try_from(kept.iter().map(|(part, _)| of(part)).sum::<u64>()).unwrap_or(usize::MAX)
        };
        let mut statistics = Statistics::new_unknown(&self.stored);
        statistics.num_rows = Precision::Exact(sum(|part| part.rows));
        statistics.total_byte_size = Precision::Inexact(sum(|part| part.bytes));
        statistics
    }

    /// One leaf an owner.
    fn memory_leaves(
        &self,
        state: &dyn Session,
        projection: &[usize],
        limit: Option<usize>,
    ) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let schema = Arc::new(self.stored.project(projection)?);
        let partitions = state.config().target_partitions();
        let owned: usize = self.pinned.memory.values().map(|ranges| ranges.len()).sum();
        let streams: BTreeSet<_> = self.pinned.memory.values().flat_map(|ranges| ranges.keys()).collect();
        assert_eq!(streams.len(), owned, "I1: a stream is read from one owner");
        let leaf = |(address, ranges): (&String, _)| -> Arc<dyn ExecutionPlan> {
            let (schema, pins) = (Arc::clone(&schema), Arc::clone(&self.pinned.pins));
            let ranges = MemtableRanges::new(address, ranges, self.kind, projection, schema, partitions, pins);
            Arc::new(RangeExec::new(ranges, limit))
        };
        Ok(self.pinned.memory.iter().map(leaf).collect())
    }

    /// The wanted columns of the view over a scan of the stored ones.
    fn shown(
        &self,
        state: &dyn Session,
        scan: Arc<dyn ExecutionPlan>,
        wanted: &[usize],
        stored: &[usize],
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let position = |at: usize| stored.iter().position(|stored| *stored == at).expect("a needed column is scanned");
        let column = |at: usize| Column::new(self.stored.field(at).name(), position(at));
        let same = |at: &usize| matches!(self.origins[*at], Origin::Stored(_));
        if wanted.len() == stored.len() && wanted.iter().all(same) {
            return Ok(scan);
        }
        let shown = |at: &usize| {
            let field = self.schema.field(*at);
            let value: Arc<dyn PhysicalExpr> = match self.origins[*at] {
                Origin::Stored(of) => Arc::new(column(of)),
                Origin::Derived(derived) => Arc::new(ScalarFunctionExpr::new(
                    derived.name(),
                    of_stream(derived, &self.pinned.snapshot.streams),
                    vec![Arc::new(column(self.stored.fields().len() - 2))],
                    Arc::new(field.clone()),
                    Arc::clone(state.config().options()),
                )),
            };
            (value, field.name().clone())
        };
        let shown: Vec<(Arc<dyn PhysicalExpr>, String)> = wanted.iter().map(shown).collect();
        Ok(Arc::new(ProjectionExec::try_new(shown, scan)?))
    }

    fn is_derived(&self, name: &str) -> bool {
        let columns = self.schema.fields().iter().zip(&self.origins);
        columns.into_iter().any(|(field, origin)| field.name() == name && matches!(origin, Origin::Derived(_)))
    }
}

/// What the name of an error table ends with.
pub const ERRORS_SUFFIX: &str = "$errors";

fn stored_field(stored: &Schema, at: usize) -> FieldRef {
    Arc::clone(&stored.fields()[at])
}

#[async_trait]
impl TableProvider for TableView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Filters leave out parts, row groups and pages; the engine applies them to the rows again. What is derived from the
    /// stream stays above.
    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match filter.column_refs().iter().any(|column| self.is_derived(&column.name)) {
            true => TableProviderFilterPushDown::Unsupported,
            false => TableProviderFilterPushDown::Inexact,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.origins.len()).collect());
        let stored = self.stored_projection(&wanted);
        let mut leaves = self.memory_leaves(state, &stored, limit)?;
        leaves.extend(self.parts_leaf(state, &stored, filters, limit)?);
        let scan = match leaves.len() {
            0 => Arc::new(EmptyExec::new(Arc::new(self.stored.project(&stored)?))),
            _ => UnionExec::try_new(leaves)?,
        };
        self.shown(state, scan, &wanted, &stored)
    }
}
