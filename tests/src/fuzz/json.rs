//! JSON records, judged by serde_json: what it calls no JSON may not become a row, what it calls an object may not be called malformed,
//! and integers, texts and raw JSON are what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use catalog::store::MemoryStore;
use catalog::{
    Catalog, ColumnType, IntegerWidth, KafkaSource, NewColumn, NewPipeline, NewTable, Offset, OffsetRange,
    PipelineSettings, RecordFormat, StartPosition, StreamId,
};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::runtime::Builder;
use vfs::{Clock, Inline, SeededRandom, SystemClock, World};
use warehouse::write::batch::Batch;
use warehouse::write::decode::{PipelineDecoder, StreamOrigin};
use warehouse::write::source::{Fetched, RawRecord, Records};

use super::Target;
use crate::events;

/// Where the two may differ in what they call too deep.
const DEPTH_COMPARED: usize = 100;

pub(super) struct JsonTarget {
    decoder: PipelineDecoder,
    origin: StreamOrigin,
}

impl JsonTarget {
    pub(super) fn new() -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let decoder = runtime.block_on(decoder())?;
        Ok(Self { decoder, origin: StreamOrigin { stream: StreamId(1), topic: Arc::from("events"), partition: 0 } })
    }

    fn decode(&mut self, input: &[u8]) -> Batch {
        let mut records = Records::default();
        records.push(RawRecord {
            offset: 0,
            timestamp_ms: None,
            payload: Some(input),
            payload_bytes: input.len() as u64,
            key: None,
            headers: None,
        });
        let range = OffsetRange::new(Offset(0), Offset(1));
        self.decoder.decode(&self.origin, &Fetched { stream: StreamId(1), range, records, gaps: Vec::new() })
    }
}

async fn decoder() -> anyhow::Result<PipelineDecoder> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let random = Arc::new(SeededRandom::new(1));
    let world = World { clock: Arc::clone(&clock), random, compute: Arc::new(Inline) };
    let catalog = Catalog::open(Arc::new(MemoryStore::new(clock)), world).await?;
    let column = |(name, kind): (&str, ColumnType)| NewColumn::new(name, kind, true);
    let columns = [
        ("n", ColumnType::Integer { width: IntegerWidth::Big, unsigned: false }),
        ("s", ColumnType::Text { characters_max: None }),
        ("j", ColumnType::Json),
        ("d", ColumnType::Double),
    ];
    let table = NewTable {
        database: "default".to_owned(),
        name: "events".to_owned(),
        columns: columns.into_iter().map(column).collect(),
        partition_by: Vec::new(),
        order_by: Vec::new(),
    };
    let table = catalog.create_table(table, false).await?;
    let source = KafkaSource {
        brokers: "none".to_owned(),
        topics: "events".into(),
        format: RecordFormat::Json,
        start: StartPosition::Earliest,
        properties: BTreeMap::new(),
    };
    let pipeline = NewPipeline {
        database: "default".to_owned(),
        name: "events_in".to_owned(),
        table: table.id,
        source,
        projection: "*".to_owned(),
        filter: None,
        settings: PipelineSettings::default(),
    };
    let pipeline = catalog.create_pipeline(pipeline, false).await?;
    Ok(PipelineDecoder::new(table, pipeline)?)
}

impl Target for JsonTarget {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let odd = [
            r#"{"n": -9223372036854775808, "s": "\ud83d\ude00 \u0000 é", "j": {"a": [1, {"b": null}]}, "d": 1e-7}"#,
            r#"{"n": 9007199254740993.0, "N": 1, "s": "", "j": "text", "d": -0.0, "n": 5}"#,
            r#" [1, 2, {"n": 3}] "#,
            "null",
            "{}",
            "\u{c}{}",
            r#"{"s": "\ud800"}"#,
        ];
        let plain = [events::payload(7, "a filler"), br#"{"n": 1, "s": "x", "j": [], "d": 2.5}"#.to_vec()];
        odd.iter().map(|text| text.as_bytes().to_vec()).chain(plain).collect()
    }

    fn words(&self) -> &[&[u8]] {
        &[
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"\"",
            b"\\",
            b"\\u",
            b"\\ud800",
            b"null",
            b"true",
            b"false",
            b"\"n\":",
            b"\"s\":",
            b"\"j\":",
            b"\"d\":",
            b"1e999",
            b"-",
            b"0",
            b".",
            b"e+",
            b"\xef\xbb\xbf",
            b"\xff",
            b"\xc3",
            b"18446744073709551616",
            b"[[[[[[[[[[[[[[[[",
        ]
    }

    fn take(&mut self, input: &[u8]) -> Result<String, String> {
        let batch = self.decode(input);
        let reason = batch.errors.as_ref().map(|errors| text_of(errors, "reason"));
        if batch.rows.num_rows() + usize::from(reason.is_some()) != 1 {
            return Err(format!("one record became {} rows and the error {reason:?}", batch.rows.num_rows()));
        }
        if depth(input) > DEPTH_COMPARED {
            return Ok("deep".to_owned());
        }
        judge(input, &batch, reason.as_deref())?;
        Ok(reason.unwrap_or_else(|| shape(&batch)))
    }
}

fn judge(input: &[u8], batch: &Batch, reason: Option<&str>) -> Result<(), String> {
    let is_malformed = matches!(reason, Some("malformed_json" | "truncated_json" | "not_utf8"));
    let Ok(raw) = serde_json::from_slice::<&RawValue>(input) else {
        return if is_malformed { Ok(()) } else { Err(format!("no JSON, and taken as {reason:?}")) };
    };
    // Half of a surrogate pair is JSON by its grammar, and no text: serde_json, too, takes it only where it does not look.
    if is_malformed {
        let is_text = serde_json::from_slice::<Value>(input).is_ok();
        return if is_text { Err(format!("JSON, and called {reason:?}")) } else { Ok(()) };
    }
    let is_object = raw.get().starts_with('{');
    if is_object == (reason == Some("not_an_object")) {
        return Err(format!("an object: {is_object}, and taken as {reason:?}"));
    }
    let Ok(Value::Object(object)) = serde_json::from_slice(input) else { return Ok(()) };
    if reason.is_some() {
        return Ok(());
    }
    let differs = |name: &str, expected: &dyn std::fmt::Debug| Err(format!("column {name} is not {expected:?}"));
    if let Some(number) = object.get("n").and_then(Value::as_i64) {
        let found = column(batch, "n").as_primitive::<Int64Type>();
        if found.is_null(0) || found.value(0) != number {
            return differs("n", &number);
        }
    }
    if let Some(Value::String(text)) = object.get("s")
        && text_of(&batch.rows, "s") != *text
    {
        return differs("s", text);
    }
    if let Some(value) = object.get("j").filter(|value| !value.is_null()) {
        let found = text_of(&batch.rows, "j");
        if serde_json::from_str::<Value>(&found).ok().as_ref() != Some(value) {
            return differs("j", value);
        }
    }
    Ok(())
}

fn column<'a>(batch: &'a Batch, name: &str) -> &'a arrow::array::ArrayRef {
    batch.rows.column_by_name(name).expect("the table has this column")
}

fn text_of(batch: &arrow::array::RecordBatch, name: &str) -> String {
    batch.column_by_name(name).expect("it has this column").as_string::<i32>().value(0).to_owned()
}

/// Which columns have a value.
fn shape(batch: &Batch) -> String {
    batch.rows.columns().iter().map(|column| if column.is_null(0) { '-' } else { 'x' }).collect()
}

/// How deep brackets go, by a count that does not look into texts: rather too deep than not deep enough.
fn depth(input: &[u8]) -> usize {
    input.iter().filter(|byte| matches!(byte, b'[' | b'{')).count()
}
