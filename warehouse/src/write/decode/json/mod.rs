//! JSON records to columns: one object a record, read once, straight into Arrow's buffers.
//!
//! Owns what a JSON record is, and what becomes of one that is none. A record either adds one value to each column or
//! leaves no trace. Why it is written so: `docs/decisions/0002-json-decoder.md`.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use serde::de::Deserializer as _;
use serde_json::error::Category;

mod keys;
mod record;

use super::column::Column;
use super::reason::{BadRecord, ErrorReason};
use super::{DecodeField, Decoded, Decoder, Flaw};
use crate::write::source::{RawRecord, Records};
use keys::KeyIndex;
use record::{RecordScan, Shape};

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
            columns: fields.iter().map(|field| Column::new(field.kind)).collect(),
            exact: vec![0; fields.len()],
            reading: 0,
            fields,
        }
    }

    /// The text of a record that can hold a row.
    fn text<'a>(&self, record: &RawRecord<'a>) -> Result<&'a str, Fault> {
        if record.is_cut() || record.payload_bytes > self.payload_max {
            let message = format!(
                "the payload has {} bytes, and max_record_bytes is {}; raise it in the pipeline's WITH to take such records",
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

    /// Adds the row of `text`, or nothing.
    fn row(&mut self, text: &str, row: usize, decoded: &mut Batch) -> Result<(), Fault> {
        let flaws_before = decoded.flaws.len();
        match self.read(text, row, decoded, false) {
            Ok(shape) => return self.settle(shape, row, flaws_before, decoded),
            // What is wrong with a value that has to be read as text is told by the second reading.
            Err(error) if error.classify() == Category::Data || is_number_range(&error) => {}
            Err(error) => return Err(self.undo(&error, text, row, flaws_before, decoded)),
        }
        self.forget(row, flaws_before, decoded);
        match self.read(text, row, decoded, true) {
            Ok(shape) => self.settle(shape, row, flaws_before, decoded),
            Err(error) => Err(self.undo(&error, text, row, flaws_before, decoded)),
        }
    }

    /// Reads one record. On an error, columns are left with values of the row.
    fn read(&mut self, text: &str, row: usize, decoded: &mut Batch, by_text: bool) -> serde_json::Result<Shape> {
        self.reading += 1;
        let mut json = serde_json::Deserializer::from_str(text);
        let shape = json.deserialize_any(RecordScan {
            fields: &self.fields,
            keys: &mut self.keys,
            columns: &mut self.columns,
            exact: &mut self.exact,
            reading: self.reading,
            row,
            flaws: &mut decoded.flaws,
            by_text,
        })?;
        json.end()?;
        Ok(shape)
    }

    /// Makes a row of an object that was read to its end: what it did not hold is NULL.
    fn settle(&mut self, shape: Shape, row: usize, flaws: usize, decoded: &mut Batch) -> Result<(), Fault> {
        match shape {
            Shape::Object { unknown_fields } => {
                for column in self.columns.iter_mut().filter(|column| column.len() == row) {
                    column.push_null();
                }
                decoded.unknown_fields += unknown_fields;
                Ok(())
            }
            Shape::Other(found) => {
                self.forget(row, flaws, decoded);
                Err(not_an_object(found))
            }
        }
    }

    fn undo(&mut self, error: &serde_json::Error, text: &str, row: usize, flaws: usize, decoded: &mut Batch) -> Fault {
        self.forget(row, flaws, decoded);
        if text.trim_ascii().is_empty() {
            return Fault { reason: ErrorReason::TruncatedJson, message: "the payload is empty".to_owned() };
        }
        if is_number_range(error) {
            // Inside of an object, numbers were read as text this time: this one is all there is.
            return not_an_object("a number");
        }
        let (reason, what) = match error.classify() {
            Category::Eof => (ErrorReason::TruncatedJson, "ends before its JSON does"),
            _ => (ErrorReason::MalformedJson, "is not JSON"),
        };
        Fault { reason, message: format!("the payload {what}: {error}") }
    }

    fn forget(&mut self, row: usize, flaws: usize, decoded: &mut Batch) {
        for column in &mut self.columns {
            column.truncate(row);
        }
        decoded.flaws.truncate(flaws);
    }
}

fn not_an_object(found: &str) -> Fault {
    let message = format!("the payload is {found}, and a row is made of an object");
    Fault { reason: ErrorReason::NotAnObject, message }
}

/// What one call collects beside the columns.
#[derive(Default)]
struct Batch {
    flaws: Vec<Flaw>,
    unknown_fields: u64,
}

/// Whether a number was too large for a 64-bit float, which need not be wrong.
fn is_number_range(error: &serde_json::Error) -> bool {
    error.classify() == Category::Syntax && error.to_string().starts_with("number out of range")
}

impl Decoder for JsonDecoder {
    fn decode(&mut self, records: &Records) -> Decoded {
        let mut batch = Batch::default();
        let mut row_records = Vec::with_capacity(records.len());
        let mut errors = Vec::new();
        for column in &mut self.columns {
            column.reserve(records.len());
        }
        for (index, record) in records.iter().enumerate() {
            let index = u32::try_from(index).expect("a fetch is bounded by bytes, far below 2^32 records");
            let outcome = self.text(&record).and_then(|text| self.row(text, row_records.len(), &mut batch));
            match outcome {
                Ok(()) => row_records.push(index),
                Err(fault) => errors.push(BadRecord { record: index, reason: fault.reason, message: fault.message }),
            }
        }
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(row_records.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("each column has one value a row, of its field's type");
        Decoded { rows, row_records, errors, flaws: batch.flaws, unknown_fields: batch.unknown_fields }
    }
}
