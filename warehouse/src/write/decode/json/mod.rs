//! JSON records to columns: one object a record, read once, straight into Arrow's buffers.
//!
//! Owns what a JSON record is, and what becomes of one that is none. A record either adds one value to each column or
//! leaves no trace. Why it is written so: `docs/decisions/0002-json-decoder.md`.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::de::IgnoredAny;
use serde_json::error::Category;

mod keys;
mod members;
mod record;
mod scan;

use super::column::Column;
use super::reason::{BadRecord, ErrorReason};
use super::{DecodeField, Decoded, Decoder, Flaw};
use crate::write::source::{RawRecord, Records};
use keys::KeyIndex;
pub(super) use members::members;
use record::{RecordScan, Stop};
pub(super) use scan::{Cursor, Json, Kind};

/// Decodes one JSON object a record.
pub(super) struct JsonDecoder {
    fields: Vec<DecodeField>,
    schema: SchemaRef,
    payload_max: u64,
    keys: KeyIndex,
    columns: Vec<Column>,
    /// For each field, the last reading of a record in which a key of exactly its name was seen.
    exact: Vec<u64>,
    /// Counts the readings of records.
    reading: u64,
}

/// A record's structure is at fault: it adds no row.
struct Fault {
    reason: ErrorReason,
    message: String,
}

impl JsonDecoder {
    /// A decoder of `fields`, which refuses payloads of more than `payload_max` bytes.
    pub(super) fn new(fields: Vec<DecodeField>, payload_max: u64) -> Self {
        let arrow_field = |field: &DecodeField| Field::new(&field.name, field.kind.arrow_type(), true);
        Self {
            schema: Arc::new(Schema::new(fields.iter().map(arrow_field).collect::<Vec<_>>())),
            payload_max,
            keys: KeyIndex::new(fields.iter().map(|field| field.name.as_str())),
            columns: fields.iter().map(|field| Column::new(&field.kind)).collect(),
            exact: vec![0; fields.len()],
            reading: 0,
            fields,
        }
    }

    /// The text of a record that can hold a row.
    fn text<'a>(&self, record: &RawRecord<'a>) -> Result<&'a str, Fault> {
        if record.is_cut() || record.payload_bytes > self.payload_max {
            let message = format!(
                "the payload has {} bytes, and max_record_bytes is {}; raise it to take such records",
                record.payload_bytes, self.payload_max
            );
            return Err(Fault { reason: ErrorReason::RecordTooLarge, message });
        }
        let Some(payload) = record.payload else {
            let message = "the record has no payload (a tombstone of a compacted topic is one)".to_owned();
            return Err(Fault { reason: ErrorReason::NullPayload, message });
        };
        std::str::from_utf8(payload).map_err(|error| {
            let message = format!("the payload is not UTF-8 at byte {}", error.valid_up_to());
            Fault { reason: ErrorReason::NotUtf8, message }
        })
    }

    /// Adds the row of `text`, or nothing: what the object does not hold is NULL.
    fn row(&mut self, text: &str, row: usize, found: &mut Found) -> Result<(), Fault> {
        self.reading += 1;
        let flaws_before = found.flaws.len();
        let mut scan = RecordScan {
            fields: &self.fields,
            keys: &mut self.keys,
            columns: &mut self.columns,
            exact: &mut self.exact,
            reading: self.reading,
            row,
            flaws: &mut found.flaws,
            unknown_fields: 0,
        };
        if let Err(stop) = scan.read(text) {
            for column in &mut self.columns {
                column.truncate(row);
            }
            found.flaws.truncate(flaws_before);
            return Err(match stop {
                Stop::NotAnObject => diagnosis(text),
                Stop::BadKey(bad) => Fault { reason: bad.reason, message: bad.message },
            });
        }
        found.unknown_fields += scan.unknown_fields;
        for column in self.columns.iter_mut().filter(|column| column.len() == row) {
            column.push_null();
        }
        Ok(())
    }
}

/// Why `text` is not a JSON object, in serde_json's words and places.
#[cold]
fn diagnosis(text: &str) -> Fault {
    let fault = |reason, message: String| Fault { reason, message };
    // The blanks of JSON, and no others: a form feed is none.
    let text = text.trim_start_matches([' ', '\n', '\r', '\t']);
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(_) if text.is_empty() => fault(ErrorReason::TruncatedJson, "the payload is empty".to_owned()),
        Err(error) if error.classify() == Category::Eof => {
            fault(ErrorReason::TruncatedJson, format!("the payload ends before its JSON does: {error}"))
        }
        Err(error) => fault(ErrorReason::MalformedJson, format!("the payload is not JSON: {error}")),
        Ok(_) => {
            let found = match text.as_bytes().first() {
                Some(b'[') => "an array",
                Some(b'"') => "a string",
                Some(b't' | b'f') => "a boolean",
                Some(b'n') => "null",
                _ => "a number",
            };
            debug_assert!(!text.starts_with('{'), "serde_json reads an object here: {text}");
            fault(ErrorReason::NotAnObject, format!("the payload is {found}, and a row is made of an object"))
        }
    }
}

/// What one call collects beside the columns.
#[derive(Default)]
struct Found {
    flaws: Vec<Flaw>,
    unknown_fields: u64,
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, records: &Records) -> Decoded {
        let mut found = Found::default();
        let mut row_records = Vec::with_capacity(records.len());
        let mut errors = Vec::new();
        for column in &mut self.columns {
            column.reserve(records.len());
        }
        for (index, record) in records.iter().enumerate() {
            let index = u32::try_from(index).expect("a fetch is bounded by bytes, far below 2^32 records");
            let outcome = self.text(&record).and_then(|text| self.row(text, row_records.len(), &mut found));
            match outcome {
                Ok(()) => row_records.push(index),
                Err(fault) => errors.push(BadRecord { record: index, reason: fault.reason, message: fault.message }),
            }
        }
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(row_records.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("each column has one value a row, of its field's type");
        Decoded { rows, row_records, errors, flaws: found.flaws, unknown_fields: found.unknown_fields }
    }
}
