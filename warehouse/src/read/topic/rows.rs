//! Records to rows of the topic as a table: the fields that the query reads, and what Kafka tells beside them.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondArray,
    UInt32Array,
};
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use catalog::RecordFormat;

use super::query::{OnError, PayloadFormat, TopicQuery};
use super::table::Metadata;
use crate::read::errors::ReadError;
use crate::write::decode::{DecodeField, Decoder, FieldKind, decoder};
use crate::write::source::{Piece, RawRecord};

/// What a column of a row is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The field of that number.
    Field(usize),
    /// The payload as it is.
    Payload,
    /// What Kafka tells.
    Metadata(Metadata),
}

/// Makes rows.
pub(super) struct RowMaker {
    schema: SchemaRef,
    origins: Vec<Origin>,
    /// What takes payloads apart, if anything of them is needed.
    decoder: Option<Box<dyn Decoder>>,
    /// Of each field, its number among those that are decoded.
    decoded: Vec<Option<usize>>,
    on_error: OnError,
}

/// A record of the piece, and its row among those decoded; `None` where nothing could be decoded.
type Chosen = (u32, Option<u32>);

impl RowMaker {
    /// Makes rows of `schema`, whose columns are made of `origins`.
    pub(super) fn new(query: &TopicQuery, schema: SchemaRef, origins: Vec<Origin>) -> Self {
        let columns = query.columns.as_deref().unwrap_or_default();
        // Which records are left out must not depend on which columns are asked for.
        let is_needed = |at: &usize| query.on_error == OnError::Skip || origins.contains(&Origin::Field(*at));
        let mut decoded = vec![None; columns.len()];
        let mut fields = Vec::new();
        for at in (0..columns.len()).filter(is_needed) {
            decoded[at] = Some(fields.len());
            fields.push(DecodeField {
                name: columns[at].field.clone(),
                kind: FieldKind::Column(columns[at].kind.clone()),
            });
        }
        let is_taken_apart = query.format == PayloadFormat::Json && !fields.is_empty();
        let decoder = is_taken_apart.then(|| decoder(RecordFormat::Json, fields, query.max_record_bytes));
        Self { schema, origins, decoder, decoded, on_error: query.on_error }
    }

    /// The rows of a piece.
    ///
    /// # Errors
    /// If a record cannot become a row, and the query is to fail then: the message says which record, and why.
    pub(super) fn rows(&mut self, piece: &Piece) -> Result<RecordBatch, ReadError> {
        let decoded = self.decoder.as_mut().map(|decoder| decoder.decode(&piece.records));
        let chosen = match &decoded {
            None => (0..index(piece.records.len())).map(|record| (record, None)).collect(),
            Some(decoded) => self.choose(piece, decoded)?,
        };
        let rows = UInt32Array::from_iter(chosen.iter().map(|(_, row)| *row));
        let records: Vec<RawRecord<'_>> =
            chosen.iter().map(|(record, _)| piece.records.get(*record as usize)).collect();
        let mut columns = Vec::with_capacity(self.origins.len());
        for origin in &self.origins {
            columns.push(match origin {
                Origin::Field(at) => {
                    let decoded = decoded.as_ref().expect("a query that reads a field decodes it");
                    let number = self.decoded[*at].expect("a query that reads a field decodes it");
                    take(decoded.rows.column(number), &rows, None)
                        .expect("rows are chosen among those that were decoded")
                }
                Origin::Payload => texts(records.iter().map(|record| record.payload)),
                Origin::Metadata(metadata) => metadata_column(*metadata, piece, &records),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(chosen.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .expect("each origin gives its column's type"))
    }

    fn choose(&self, piece: &Piece, decoded: &crate::write::decode::Decoded) -> Result<Vec<Chosen>, ReadError> {
        let rows = (0..index(decoded.row_records.len())).map(|row| (decoded.row_records[row as usize], Some(row)));
        match self.on_error {
            OnError::Fail => {
                let bad = decoded.errors.iter().map(|error| (error.record, error.message.as_str()));
                let record_of = |row: u32| decoded.row_records[row as usize];
                let flawed = decoded.flaws.iter().map(|flaw| (record_of(flaw.row), flaw.message.as_str()));
                match bad.chain(flawed).min_by_key(|(record, _)| *record) {
                    Some((record, message)) => Err(bad_record(piece, record, message)),
                    None => Ok(rows.collect()),
                }
            }
            OnError::Skip => {
                let is_whole = |row: u32| decoded.flaws.binary_search_by_key(&row, |flaw| flaw.row).is_err();
                Ok(rows.filter(|(_, row)| row.is_none_or(is_whole)).collect())
            }
            OnError::Null => {
                let mut all: Vec<Chosen> =
                    rows.chain(decoded.errors.iter().map(|error| (error.record, None))).collect();
                all.sort_unstable_by_key(|(record, _)| *record);
                Ok(all)
            }
        }
    }
}

fn bad_record(piece: &Piece, record: u32, message: &str) -> ReadError {
    let offset = piece.records.get(record as usize).offset;
    ReadError::Value {
        message: format!(
            "the record at offset {offset} of partition {} of topic {:?} cannot become a row: {message}; kafka(… on_error = \
             'null') shows NULL in place of what is wrong, on_error = 'skip' leaves such records out, and format = 'raw' shows \
             the payload as it is",
            piece.partition, piece.topic
        ),
    }
}

fn index(length: usize) -> u32 {
    u32::try_from(length).expect("a fetch is bounded by bytes, far below 2^32 records")
}

fn metadata_column(metadata: Metadata, piece: &Piece, records: &[RawRecord<'_>]) -> ArrayRef {
    let offset = |record: &RawRecord<'_>| i64::try_from(record.offset).expect("a broker's offsets fit 63 bits");
    match metadata {
        Metadata::Topic => {
            let topics = records.iter().map(|_| &*piece.topic);
            Arc::new(arrow::array::StringArray::from_iter_values(topics))
        }
        Metadata::Partition => Arc::new(Int32Array::from_value(piece.partition, records.len())),
        Metadata::Offset => Arc::new(Int64Array::from_iter_values(records.iter().map(offset))),
        Metadata::Timestamp => {
            let micros = records.iter().map(|record| record.timestamp_ms.and_then(|millis| millis.checked_mul(1000)));
            Arc::new(TimestampMicrosecondArray::from_iter(micros).with_timezone("+00:00"))
        }
        Metadata::Key => texts(records.iter().map(|record| record.key)),
        Metadata::Headers => texts(records.iter().map(|record| record.headers)),
    }
}

/// Bytes as text: as they are where they are UTF-8, else in hexadecimal digits behind `0x`.
fn texts<'a>(pieces: impl Iterator<Item = Option<&'a [u8]>>) -> ArrayRef {
    let mut column = StringBuilder::new();
    for piece in pieces {
        match piece.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => column.append_null(),
            Some((_, Ok(text))) => column.append_value(text),
            Some((bytes, Err(_))) => column.append_value(format!("0x{}", hex::encode(bytes))),
        }
    }
    Arc::new(column.finish())
}
