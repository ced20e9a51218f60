//! CREATE TABLE … FROM KAFKA: columns from a sample, the table, and the pipeline that fills it; and EXPLAIN of it, which is
//! the same without the making.
//!
//! Table and pipeline are made in one transaction of the catalog. If the process dies before, nothing was made; after it, the
//! manager finds the pipeline at its next look.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use catalog::{
    CatalogError, ColumnId, Fence, KafkaSource, NewColumn, NewPipeline, NewTable, PartitionField, Pipeline, PipelineId,
    PipelineSettings, PipelineState, SchemaId, Table, TableId,
};
use vfs::Clock;
use warehouse::read::topic::{OnError, PayloadFormat, Position, TopicQuery, resolve_ranges, sample};
use warehouse::schema::mysql_type;
use warehouse::write::decode::{Inferred, InferredColumn};
use warehouse::write::source::SourceConnector;

use super::super::create_text;
use super::super::errors::of_catalog;
use super::super::literal::backticked;
use super::super::resolve::unknown_database;
use super::super::statement::{ColumnClause, CreateTableFrom};
use super::super::topics::position_of_start;
use super::pipeline::check_pipeline;
use super::table::new_table;
use super::{Ddl, pipeline_settings};
use crate::mysql::SqlError;

const TABLE_EXISTS: u16 = 1050;
/// What follows the table's name in that of its pipeline.
const PIPELINE_SUFFIX: &str = "_in";
/// Keys of KAFKA (…) that only `kafka(…)` has.
const NO_OTHERS: [&str; 0] = [];

/// Who reads a sample.
pub(crate) struct Sampler<'a> {
    pub(crate) connector: &'a Arc<dyn SourceConnector>,
    pub(crate) clock: &'a Arc<dyn Clock>,
}

/// What is made, or would be.
struct Plan {
    table: NewTable,
    pipeline: NewPipeline,
    columns: Vec<InferredColumn>,
    notes: Vec<String>,
}

impl Ddl<'_> {
    /// Makes the table and its pipeline unless it `is_dry`, and tells what was chosen; `None` where IF NOT EXISTS found the
    /// table.
    pub(crate) async fn create_table_from(
        &mut self,
        from: &CreateTableFrom,
        sampler: Sampler<'_>,
    ) -> Result<Option<RecordBatch>, SqlError> {
        let create = &from.create;
        let database = self.database_of(&create.table)?.to_owned();
        match self.catalog.table(&database, &create.table.name).await {
            Ok(_) if create.if_not_exists => {
                self.diagnostics.note(TABLE_EXISTS, format!("Table '{}' already exists", create.table.name));
                return Ok(None);
            }
            Ok(_) => return Err(SqlError::table_exists(&create.table.name)),
            Err(CatalogError::NotFound { .. }) => {}
            Err(error) => return Err(of_catalog(&error)),
        }
        let mut source = from.source.clone();
        source.entry("format".to_owned()).or_insert_with(|| "json".to_owned());
        let source = pipeline_settings::source(&source, &NO_OTHERS).map_err(SqlError::other)?;
        let mut pairs = from.settings.clone();
        let named = pairs.remove("pipeline");
        let settings = pipeline_settings::settings(&pairs).map_err(SqlError::other)?;
        let pipeline = named.unwrap_or_else(|| format!("{}{PIPELINE_SUFFIX}", create.table.name));
        match self.catalog.pipeline(&database, &pipeline).await {
            Ok(_) => return Err(pipeline_exists(&pipeline)),
            Err(CatalogError::NotFound { .. }) => {}
            Err(error) => return Err(of_catalog(&error)),
        }
        self.probe.check(&source).await.map_err(SqlError::other)?;
        let inferred = match create.columns.is_empty() {
            true => infer(&source, &settings, &sampler).await?,
            false => as_given(&create.columns),
        };
        let plan = self.plan(from, &database, pipeline, source, settings, inferred);
        let (table, pipeline) = plan.drafts();
        check_pipeline(&table, Pipeline::clone(&pipeline))?;
        let (table, pipeline) = match from.is_dry {
            true => {
                self.catalog.check_new_table(&plan.table).map_err(|error| of_catalog(&error))?;
                (table, pipeline)
            }
            false => {
                let made = self.catalog.create_table_with_pipeline(plan.table.clone(), plan.pipeline.clone()).await;
                match made {
                    Ok(made) => made,
                    Err(error @ CatalogError::AlreadyExists { .. }) => {
                        return Err(SqlError::new(
                            TABLE_EXISTS,
                            format!("{error}; choose another name, or DROP it first"),
                        ));
                    }
                    Err(CatalogError::NotFound { .. }) => return Err(unknown_database(&database, self.catalog).await),
                    Err(error) => return Err(of_catalog(&error)),
                }
            }
        };
        if !from.is_dry {
            self.warn_ignored(&create.ignored);
        }
        Ok(Some(answer(&plan, &table, &pipeline)))
    }

    fn plan(
        &self,
        from: &CreateTableFrom,
        database: &str,
        pipeline: String,
        source: KafkaSource,
        settings: PipelineSettings,
        inferred: Inferred,
    ) -> Plan {
        let mut table = new_table(database, &from.create);
        if table.columns.is_empty() {
            let column = |of: &InferredColumn| NewColumn::new(of.name.clone(), of.kind.clone(), true);
            table.columns = inferred.columns.iter().map(column).collect();
        }
        let renamed = inferred.columns.iter().filter(|column| column.name != column.field);
        let renamed = renamed.map(|of| format!("{} AS {}", backticked(&of.field), backticked(&of.name)));
        let items: Vec<String> = std::iter::once("*".to_owned()).chain(renamed).collect();
        let pipeline = NewPipeline {
            database: database.to_owned(),
            name: pipeline,
            table: TableId(0),
            source,
            projection: items.join(", "),
            filter: None,
            settings,
        };
        Plan { table, pipeline, columns: inferred.columns, notes: inferred.notes }
    }
}

fn pipeline_exists(name: &str) -> SqlError {
    let message = format!(
        "pipeline '{name}' already exists, and the table's own would have that name; choose another, \
         WITH (pipeline = '…'), or DROP PIPELINE {name}"
    );
    SqlError::new(TABLE_EXISTS, message)
}

/// The columns of a sample of what the pipeline will read; where there is nothing yet, of what lies before.
async fn infer(source: &KafkaSource, settings: &PipelineSettings, sampler: &Sampler<'_>) -> Result<Inferred, SqlError> {
    let told = |error: warehouse::write::source::SourceError| SqlError::other(format!("KAFKA: {error}"));
    let mut records = 0;
    for from in [position_of_start(source.start.clone()), Position::Earliest] {
        let query = TopicQuery {
            kafka: source.clone(),
            format: PayloadFormat::Json,
            from,
            to: Position::Latest,
            columns: None,
            on_error: OnError::Fail,
            metadata: false,
            read_committed: settings.read_committed,
            max_record_bytes: settings.max_record_bytes,
        };
        let ranges = resolve_ranges(sampler.connector.as_ref(), &query).await.map_err(told)?;
        let TopicQuery { read_committed, max_record_bytes, .. } = query;
        let (connector, clock) = (sampler.connector.as_ref(), sampler.clock);
        let inferred =
            sample(connector, clock, source, &ranges, read_committed, max_record_bytes).await.map_err(told)?;
        if !inferred.columns.is_empty() {
            return Ok(inferred);
        }
        records = inferred.records;
    }
    let found = match records {
        0 => "has no record yet".to_owned(),
        records => format!("has no record with a field among the {records} that were looked at"),
    };
    Err(SqlError::other(format!(
        "KAFKA: {} {found}, so its columns cannot be told; name them, CREATE TABLE t (column type, …) FROM KAFKA (…), or \
         produce a record first",
        source.topics
    )))
}

fn as_given(columns: &[ColumnClause]) -> Inferred {
    let column = |of: &ColumnClause| InferredColumn {
        name: of.name.clone(),
        field: of.name.clone(),
        kind: of.kind.clone(),
        sample: None,
        why: "as given".to_owned(),
    };
    Inferred { columns: columns.iter().map(column).collect(), ..Inferred::default() }
}

impl Plan {
    /// The table and the pipeline as they would be, but for what the catalog gives: their ids.
    fn drafts(&self) -> (Arc<Table>, Arc<Pipeline>) {
        let columns: Vec<catalog::Column> = self
            .table
            .columns
            .iter()
            .zip(1..)
            .map(|(column, id)| catalog::Column {
                id: ColumnId(id),
                name: column.name.clone(),
                kind: column.kind.clone(),
                nullable: column.nullable,
                default: column.default.clone(),
                comment: column.comment.clone(),
            })
            .collect();
        let id_of = |name: &String| columns.iter().find(|of| of.name.eq_ignore_ascii_case(name)).map(|of| of.id);
        let partition_by = self.table.partition_by.iter();
        let partition_by = partition_by
            .filter_map(|(name, transform)| Some(PartitionField { column: id_of(name)?, transform: *transform }));
        let table = Table {
            id: TableId(0),
            database: self.table.database.clone(),
            name: self.table.name.clone(),
            schema: SchemaId(1),
            fence: Fence(0),
            partition_by: partition_by.collect(),
            order_by: self.table.order_by.iter().filter_map(id_of).collect(),
            columns,
            created: 0,
        };
        let NewPipeline { database, name, source, projection, filter, settings, .. } = self.pipeline.clone();
        let pipeline = Pipeline {
            id: PipelineId(0),
            database,
            name,
            table: TableId(0),
            source,
            projection,
            filter,
            settings,
            state: PipelineState::Running,
            fence: Fence(0),
            created: 0,
        };
        (Arc::new(table), Arc::new(pipeline))
    }
}

/// `what, name, type, nullable, sample, why`: a row for each column, for what is to be known about them, and for the two
/// statements that make the same.
fn answer(plan: &Plan, table: &Table, pipeline: &Pipeline) -> RecordBatch {
    let mut rows: Vec<[Option<String>; 6]> = Vec::new();
    for (column, made) in plan.columns.iter().zip(&plan.table.columns) {
        rows.push([
            Some("column".to_owned()),
            Some(column.name.clone()),
            Some(mysql_type(&column.kind)),
            Some(if made.nullable { "YES" } else { "NO" }.to_owned()),
            column.sample.clone(),
            Some(column.why.clone()),
        ]);
    }
    let line =
        |what: &str, name: Option<String>, why: String| [Some(what.to_owned()), name, None, None, None, Some(why)];
    rows.extend(plan.notes.iter().map(|note| line("note", None, note.clone())));
    let full_name = |database: &str, name: &str| Some(format!("{database}.{name}"));
    rows.push(line("table", full_name(&table.database, &table.name), create_text::create_table(table)));
    let text = create_text::create_pipeline(pipeline, table);
    rows.push(line("pipeline", full_name(&pipeline.database, &pipeline.name), text));
    let names = ["what", "name", "type", "nullable", "sample", "why"];
    let schema = Schema::new(names.map(|name| Field::new(name, DataType::Utf8, true)).to_vec());
    let column = |at: usize| -> ArrayRef { Arc::new(StringArray::from_iter(rows.iter().map(|row| row[at].clone()))) };
    RecordBatch::try_new(Arc::new(schema), (0..names.len()).map(column).collect()).expect("each row has all columns")
}
