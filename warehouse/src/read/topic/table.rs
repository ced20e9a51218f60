//! A call of `kafka(…)` as the engine sees it: columns, and ranges that were resolved before.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use catalog::ColumnType;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use vfs::Clock;

use super::prune;
use super::query::{PayloadFormat, TopicColumn, TopicQuery};
use super::ranges::resolve_ranges;
use super::rows::Origin;
use super::sample::sample;
use super::scan::TopicScan;
use crate::read::range_exec::{RangeExec, spread};
use crate::schema::{MYSQL_TYPE_KEY, arrow_type, mysql_type};
use crate::write::source::{SourceConnector, SourceError, TopicRange};

/// What Kafka tells about a record, as columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metadata {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Headers,
}

const METADATA: [(&str, Metadata); 6] = [
    ("_topic", Metadata::Topic),
    ("_partition", Metadata::Partition),
    ("_offset", Metadata::Offset),
    ("_timestamp", Metadata::Timestamp),
    ("_key", Metadata::Key),
    ("_headers", Metadata::Headers),
];

/// The column of a payload that is not taken apart.
const PAYLOAD_COLUMN: &str = "payload";

/// The table of one call.
#[derive(Clone, Debug)]
pub struct TopicTable {
    connector: Arc<dyn SourceConnector>,
    clock: Arc<dyn Clock>,
    query: Arc<TopicQuery>,
    ranges: Vec<TopicRange>,
    schema: SchemaRef,
    origins: Vec<Origin>,
}

impl TopicTable {
    /// Resolves the ranges of `query`, and its columns where it names none.
    ///
    /// # Errors
    /// If a topic is not there, nobody answers, or there is no record to tell the columns from.
    pub async fn open(
        connector: Arc<dyn SourceConnector>,
        clock: Arc<dyn Clock>,
        mut query: TopicQuery,
    ) -> Result<Self, SourceError> {
        let ranges = resolve_ranges(connector.as_ref(), &query).await?;
        if query.format == PayloadFormat::Json && query.columns.is_none() {
            query.columns = Some(columns_of(&connector, &clock, &query, &ranges).await?);
        }
        let (schema, origins) = schema(&query);
        Ok(Self { connector, clock, query: Arc::new(query), ranges, schema, origins })
    }
}

async fn columns_of(
    connector: &Arc<dyn SourceConnector>,
    clock: &Arc<dyn Clock>,
    query: &TopicQuery,
    ranges: &[TopicRange],
) -> Result<Vec<TopicColumn>, SourceError> {
    let TopicQuery { kafka, read_committed, max_record_bytes, .. } = query;
    let inferred = sample(connector.as_ref(), clock, kafka, ranges, *read_committed, *max_record_bytes).await?;
    if inferred.columns.is_empty() {
        let found = match inferred.records {
            0 => "no record in the range".to_owned(),
            records => format!("{records} records in the range's sample, none with a field"),
        };
        return Err(SourceError::Fatal {
            cause: format!("the columns of {} cannot be told from a sample: there is {found}", kafka.topics),
            next_step: "name them, columns = 'a BIGINT, b TEXT', or take payloads as they are, format = 'raw'"
                .to_owned(),
        });
    }
    let column =
        |of: crate::write::decode::InferredColumn| TopicColumn { name: of.name, field: of.field, kind: of.kind };
    Ok(inferred.columns.into_iter().map(column).collect())
}

/// A column that may be NULL, and what its type is to MySQL.
pub(super) fn field(name: &str, data_type: DataType, kind: String) -> Field {
    Field::new(name, data_type, true).with_metadata(HashMap::from([(MYSQL_TYPE_KEY.to_owned(), kind)]))
}

fn of_kind(name: &str, kind: &ColumnType) -> Field {
    field(name, arrow_type(kind), mysql_type(kind))
}

fn schema(query: &TopicQuery) -> (SchemaRef, Vec<Origin>) {
    let text = ColumnType::Text { characters_max: None };
    let mut fields = Vec::new();
    let mut origins = Vec::new();
    match query.format {
        PayloadFormat::Raw => {
            fields.push(of_kind(PAYLOAD_COLUMN, &text));
            origins.push(Origin::Payload);
        }
        PayloadFormat::Json => {
            for (at, column) in query.columns.iter().flatten().enumerate() {
                fields.push(of_kind(&column.name, &column.kind));
                origins.push(Origin::Field(at));
            }
        }
    }
    for (name, metadata) in METADATA.into_iter().filter(|_| query.metadata) {
        fields.push(match metadata {
            Metadata::Topic | Metadata::Key => of_kind(name, &text),
            Metadata::Partition => field(name, DataType::Int32, "int".to_owned()),
            Metadata::Offset => field(name, DataType::Int64, "bigint".to_owned()),
            Metadata::Timestamp => of_kind(name, &ColumnType::TIMESTAMP),
            Metadata::Headers => of_kind(name, &ColumnType::Json),
        });
        origins.push(Origin::Metadata(metadata));
    }
    (Arc::new(Schema::new(fields)), origins)
}

#[async_trait]
impl TableProvider for TopicTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        let of = |filter: &&Expr| match prune::narrows(filter) {
            true => TableProviderFilterPushDown::Inexact,
            false => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let all: Vec<usize> = (0..self.origins.len()).collect();
        let projection = projection.unwrap_or(&all);
        let schema = Arc::new(self.schema.project(projection)?);
        let ranges = prune::narrowed(&self.ranges, filters);
        if ranges.is_empty() {
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let scan = TopicScan {
            connector: Arc::clone(&self.connector),
            clock: Arc::clone(&self.clock),
            query: Arc::clone(&self.query),
            schema,
            origins: projection.iter().map(|at| self.origins[*at]).collect(),
            ranges: spread(ranges, |range| range.range.offsets(), session.config().target_partitions()),
        };
        Ok(Arc::new(RangeExec::new(scan, limit)))
    }
}
