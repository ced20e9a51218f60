//! The DDL that makes a table or a pipeline again: what SHOW CREATE prints, and what CREATE reads back.
//!
//! A table is printed in MySQL's layout: one column a line, names in backticks, options on a line that begins with
//! `) ENGINE=`, PARTITION BY on a line of its own. SQLAlchemy reads tables from just that.

use std::collections::BTreeMap;

use catalog::{Column, ErrorPolicy, GapPolicy, Pipeline, PipelineSettings, RecordFormat, StartPosition, Table, Topics};
use warehouse::schema::mysql_type;

use super::literal::{backticked, literal_text, quoted};
use super::system::transform_name;
use super::units::{bytes_text, millis_text};

/// Properties whose values are never shown.
const SECRETS: [&str; 3] = ["sasl.password", "ssl.key.password", "ssl.key.pem"];
/// What is shown in their place.
const HIDDEN: &str = "***";

/// CREATE TABLE of `table`.
pub(crate) fn create_table(table: &Table) -> String {
    let columns: Vec<String> = table.columns.iter().map(column).collect();
    let mut text = format!("CREATE TABLE {} (\n{}\n)", backticked(&table.name), columns.join(",\n"));
    text.push_str(" ENGINE=Millrace DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin");
    if !table.order_by.is_empty() {
        let columns = table.order_by.iter().map(|id| backticked(&table.column_by_id(*id).name));
        text.push_str(&format!(" ORDER BY ({})", columns.collect::<Vec<_>>().join(", ")));
    }
    if !table.partition_by.is_empty() {
        let fields = table.partition_by.iter().map(|field| {
            let column = backticked(&table.column_by_id(field.column).name);
            match transform_name(field.transform) {
                Some(transform) => format!("{transform}({column})"),
                None => column,
            }
        });
        text.push_str(&format!("\nPARTITION BY {}", fields.collect::<Vec<_>>().join(", ")));
    }
    text
}

fn column(column: &Column) -> String {
    let mut text = format!("  {} {}", backticked(&column.name), mysql_type(&column.kind));
    if !column.nullable {
        text.push_str(" NOT NULL");
    } else if column.default.is_none() {
        text.push_str(" DEFAULT NULL");
    }
    if let Some(default) = &column.default {
        text.push_str(&format!(" DEFAULT {}", literal_text(&column.kind, default)));
    }
    if !column.comment.is_empty() {
        text.push_str(&format!(" COMMENT {}", quoted(&column.comment)));
    }
    text
}

/// CREATE PIPELINE of `pipeline`, which writes `table`; without secrets.
pub(crate) fn create_pipeline(pipeline: &Pipeline, table: &Table) -> String {
    let target = match table.database.eq_ignore_ascii_case(&pipeline.database) {
        true => backticked(&table.name),
        false => format!("{}.{}", backticked(&table.database), backticked(&table.name)),
    };
    let mut text = format!(
        "CREATE PIPELINE {} INTO {target} AS\n  SELECT {}\n  FROM KAFKA ({})",
        backticked(&pipeline.name),
        pipeline.projection,
        pairs(&source(pipeline)),
    );
    if let Some(filter) = &pipeline.filter {
        text.push_str(&format!("\n  WHERE {filter}"));
    }
    text.push_str(&format!("\n  WITH ({})", pairs(&settings(&pipeline.settings))));
    text
}

/// What ALTER PIPELINE can change, clause by clause, without secrets: the same clauses for every pipeline.
pub(crate) fn definition(pipeline: &Pipeline) -> Vec<(&'static str, String)> {
    vec![
        ("SELECT", pipeline.projection.clone()),
        ("WHERE", pipeline.filter.clone().unwrap_or_default()),
        ("SOURCE", pairs(&source(pipeline))),
        ("SET", pairs(&settings(&pipeline.settings))),
    ]
}

fn pairs(pairs: &[(String, String)]) -> String {
    pairs.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", ")
}

fn source(pipeline: &Pipeline) -> Vec<(String, String)> {
    let source = &pipeline.source;
    let format = match source.format {
        RecordFormat::Json => "json",
    };
    let mut pairs = vec![
        ("brokers".to_owned(), quoted(&source.brokers)),
        topics(&source.topics),
        ("format".to_owned(), quoted(format)),
        ("start".to_owned(), start_text(&source.start)),
    ];
    pairs.extend(shown_properties(&source.properties).into_iter().map(|(key, value)| (quoted(&key), quoted(&value))));
    pairs
}

fn topics(topics: &Topics) -> (String, String) {
    match topics {
        Topics::One(name) => ("topic".to_owned(), quoted(name)),
        Topics::List(names) => ("topics".to_owned(), quoted(&names.join(", "))),
        Topics::Pattern { pattern } => ("topic_pattern".to_owned(), quoted(pattern)),
    }
}

/// The properties with secrets hidden.
fn shown_properties(properties: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let shown = |(key, value): (&String, &String)| {
        let value = if SECRETS.contains(&key.as_str()) { HIDDEN.to_owned() } else { value.clone() };
        (key.clone(), value)
    };
    properties.iter().map(shown).collect()
}

fn start_text(start: &StartPosition) -> String {
    match start {
        StartPosition::Earliest => quoted("earliest"),
        StartPosition::Latest => quoted("latest"),
        StartPosition::Offset(offset) => offset.to_string(),
        StartPosition::TimestampMillis(millis) => quoted(&format!("timestamp:{millis}")),
    }
}

/// The settings that are not at their defaults, and the three that everybody looks for.
fn settings(settings: &PipelineSettings) -> Vec<(String, String)> {
    let default = PipelineSettings::default();
    let mut pairs = vec![
        ("tasks".to_owned(), settings.tasks.to_string()),
        ("flush_bytes".to_owned(), quoted(&bytes_text(settings.flush_bytes))),
        ("flush_interval".to_owned(), quoted(&millis_text(settings.flush_interval_ms))),
    ];
    if settings.errors != default.errors {
        let policy = match settings.errors {
            ErrorPolicy::Table => "table",
            ErrorPolicy::Pause => "pause",
        };
        pairs.push(("errors".to_owned(), quoted(policy)));
    }
    if settings.on_gap != default.on_gap {
        let policy = match settings.on_gap {
            GapPolicy::Pause => "pause",
            GapPolicy::Skip => "skip",
        };
        pairs.push(("on_gap".to_owned(), quoted(policy)));
    }
    if settings.max_record_bytes != default.max_record_bytes {
        pairs.push(("max_record_bytes".to_owned(), quoted(&bytes_text(settings.max_record_bytes))));
    }
    if settings.read_committed != default.read_committed {
        pairs.push(("read_committed".to_owned(), settings.read_committed.to_string()));
    }
    pairs
}
