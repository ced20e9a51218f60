//! From the arguments of `kafka(…)` and `kafka_topics(…)` to what they ask for. Pure.

use std::collections::BTreeMap;

use catalog::{KafkaSource, StartPosition};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use warehouse::read::topic::{OnError, PayloadFormat, Position, TopicColumn, TopicQuery};

use super::super::ddl::pipeline_settings;
use super::super::dialect::MillraceDialect;
use super::super::parse::{Cursor, Fault};
use super::super::types;
use super::super::units::parse_bytes;
use crate::mysql::SqlError;

/// Arguments beside those of a pipeline's KAFKA (…).
const OWN: [&str; 8] =
    ["from", "to", "format", "columns", "on_error", "metadata", "read_committed", "max_record_bytes"];
/// As a pipeline's default.
const RECORD_BYTES: u64 = 16 << 20;
/// The most that may be asked for.
const RECORD_BYTES_MAX: u64 = 128 << 20;

/// What a call asks for.
///
/// # Errors
/// A sentence with the argument, the cause and the next step.
pub(super) fn query(pairs: &BTreeMap<String, String>) -> Result<TopicQuery, SqlError> {
    let placed = |name: &'static str| move |cause: String| SqlError::other(format!("kafka(…): {name}: {cause}"));
    if pairs.contains_key("start") {
        return Err(SqlError::other(
            "kafka(…): start is a pipeline's; write from = … for where reading begins, and to = … for where it ends",
        ));
    }
    let format = match pairs.get("format").map(|format| format.to_ascii_lowercase()).as_deref() {
        None | Some("json") => PayloadFormat::Json,
        Some("raw") => PayloadFormat::Raw,
        Some(_) => {
            let cause = format!("'{}' is not built; there are 'json' and 'raw'", pairs["format"]);
            return Err(placed("format")(cause));
        }
    };
    let mut of_source: BTreeMap<String, String> = pairs.clone();
    of_source.retain(|name, _| !OWN.contains(&name.as_str()));
    of_source.insert("format".to_owned(), "json".to_owned());
    let kafka = pipeline_settings::source(&of_source, &OWN)
        .map_err(|error| SqlError::other(error.replacen("KAFKA", "kafka(…)", 1)))?;
    let given = |name: &str| pairs.get(name).map(|value| value.trim());
    let position = |name: &'static str, otherwise| match given(name) {
        Some(text) => position(text).map_err(placed(name)),
        None => Ok(otherwise),
    };
    let switch = |name: &'static str| match given(name).map(str::to_ascii_lowercase).as_deref() {
        None | Some("true" | "on") => Ok(true),
        Some("false" | "off") => Ok(false),
        Some(other) => Err(placed(name)(format!("{other:?} is none of true, false"))),
    };
    let on_error = match given("on_error").map(str::to_ascii_lowercase).as_deref() {
        None | Some("fail") => OnError::Fail,
        Some("skip") => OnError::Skip,
        Some("null") => OnError::Null,
        Some(other) => return Err(placed("on_error")(format!("{other:?} is none of 'fail', 'skip', 'null'"))),
    };
    let max_record_bytes = match given("max_record_bytes") {
        Some(text) => parse_bytes(text).map_err(placed("max_record_bytes"))?.min(RECORD_BYTES_MAX),
        None => RECORD_BYTES,
    };
    let columns = given("columns").map(columns).transpose()?;
    if columns.is_some() && format == PayloadFormat::Raw {
        return Err(placed("columns")("with format = 'raw' the only one is payload; leave it out".to_owned()));
    }
    Ok(TopicQuery {
        kafka,
        format,
        from: position("from", Position::Earliest)?,
        to: position("to", Position::Latest)?,
        columns,
        on_error,
        metadata: switch("metadata")?,
        read_committed: switch("read_committed")?,
        max_record_bytes,
    })
}

/// Which topics `kafka_topics(…)` lists: all, where it names none.
///
/// # Errors
/// A sentence with the argument, the cause and the next step.
pub(super) fn topics(pairs: &BTreeMap<String, String>) -> Result<KafkaSource, SqlError> {
    if let Some(name) = ["start", "format"].into_iter().find(|name| pairs.contains_key(*name)) {
        return Err(SqlError::other(format!(
            "kafka_topics(…): {name} is a pipeline's, and no record is read here; leave it out"
        )));
    }
    let mut of_source = pairs.clone();
    of_source.insert("format".to_owned(), "json".to_owned());
    if !["topic", "topics", "topic_pattern"].iter().any(|name| pairs.contains_key(*name)) {
        of_source.insert("topic_pattern".to_owned(), ".*".to_owned());
    }
    let source = pipeline_settings::source(&of_source, &[]);
    source.map_err(|error| SqlError::other(error.replacen("KAFKA", "kafka_topics(…)", 1)))
}

/// `earliest`, `latest`, an offset, `-n`, a moment, or `partition:offset` of some partitions.
fn position(text: &str) -> Result<Position, String> {
    if let Some(count) = text.strip_prefix('-').and_then(|count| count.parse().ok()) {
        return Ok(Position::BeforeEnd(count));
    }
    let partition = |pair: &str| -> Option<(i32, u64)> {
        let (partition, offset) = pair.split_once(':')?;
        Some((partition.trim().parse().ok()?, offset.trim().parse().ok()?))
    };
    if let Some(offsets) = text.split(',').map(partition).collect::<Option<BTreeMap<i32, u64>>>() {
        return Ok(Position::Partitions(offsets));
    }
    pipeline_settings::start(text).map(position_of_start).map_err(|_| {
        format!(
            "'{text}' is no position; write 'earliest', 'latest', an offset, -100 for the last hundred of each partition, \
             timestamp '2013-01-31 12:00:00' (UTC), or '0:100, 1:250' for offsets by partition"
        )
    })
}

/// A start of a pipeline as a position.
pub(crate) fn position_of_start(start: StartPosition) -> Position {
    match start {
        StartPosition::Earliest => Position::Earliest,
        StartPosition::Latest => Position::Latest,
        StartPosition::Offset(offset) => Position::Offset(offset),
        StartPosition::TimestampMillis(millis) => Position::TimestampMillis(millis),
    }
}

/// `a BIGINT, b VARCHAR(10)`: what the fields of those names are read as.
fn columns(text: &str) -> Result<Vec<TopicColumn>, SqlError> {
    let wrong = |cause: &str| {
        SqlError::other(format!("kafka(…): columns = '{text}': {cause}; write columns = 'a BIGINT, b TEXT'"))
    };
    let tokens = Tokenizer::new(&MillraceDialect, text).tokenize_with_location();
    let mut cursor = Cursor::new(text, tokens.map_err(|error| wrong(&error.to_string()))?);
    let mut columns: Vec<TopicColumn> = Vec::new();
    loop {
        let name = cursor.identifier().map_err(|_| wrong("a column's name is missing"))?;
        let kind = types::read(&mut cursor, &name).map_err(|fault| match fault {
            Fault::Syntax(_) => wrong(&format!("column {name} has no type")),
            Fault::Meaning(error) => error,
        })?;
        catalog::check_column_name(&name).map_err(|error| wrong(&error.to_string()))?;
        if columns.iter().any(|known| known.name.eq_ignore_ascii_case(&name)) {
            return Err(wrong(&format!("column {name} is there twice")));
        }
        columns.push(TopicColumn { field: name.clone(), name, kind });
        if cursor.at_end() {
            return Ok(columns);
        }
        if !cursor.take(&Token::Comma) {
            let rest = &cursor.parser.peek_token_ref().token;
            return Err(wrong(&format!("{rest} cannot stand there, a column is a name and a type and may be NULL")));
        }
    }
}
