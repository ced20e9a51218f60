//! Error rows: what could not become a row, with enough beside it to find, mend and replay the record.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};

use super::reason::{BadRecord, ErrorReason};
use super::{StreamOrigin, kafka_offset};
use crate::schema::error_schema;
use crate::write::source::{RawRecord, Records};

/// How much of a record above `max_record_bytes` is kept.
const KEPT_BYTES: usize = 64 << 10;

/// The error rows of `errors`, which rise by record.
pub(super) fn build(origin: &StreamOrigin, records: &Records, errors: &[BadRecord]) -> RecordBatch {
    let raw: Vec<RawRecord<'_>> = errors.iter().map(|error| records.get(error.record as usize)).collect();
    let bytes = |length: u64| i64::try_from(length).expect("a payload's length is one of memory");
    let mut payloads = BinaryBuilder::new();
    for (error, record) in errors.iter().zip(&raw) {
        payloads.append_option(record.payload.map(|payload| kept(payload, error.reason)));
    }
    let stream = i64::try_from(origin.stream.0).expect("stream ids are counted up from 1");
    let timestamps = TimestampMicrosecondArray::from_iter(raw.iter().map(timestamp_micros)).with_timezone("+00:00");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(errors.iter().map(|_| &*origin.topic))),
        Arc::new(Int32Array::from_value(origin.partition, errors.len())),
        Arc::new(timestamps),
        Arc::new(StringArray::from_iter_values(errors.iter().map(|error| error.reason.as_str()))),
        Arc::new(StringArray::from_iter_values(errors.iter().map(|error| &error.message))),
        Arc::new(payloads.finish()),
        Arc::new(Int64Array::from_iter_values(raw.iter().map(|record| bytes(record.payload_bytes)))),
        Arc::new(Int64Array::from_value(stream, errors.len())),
        Arc::new(Int64Array::from_iter_values(raw.iter().map(|record| kafka_offset(record.offset)))),
    ];
    RecordBatch::try_new(error_schema(), columns).expect("the columns are those of the error schema, in its order")
}

fn kept(payload: &[u8], reason: ErrorReason) -> &[u8] {
    match reason {
        ErrorReason::RecordTooLarge => &payload[..payload.len().min(KEPT_BYTES)],
        _ => payload,
    }
}

/// A record's timestamp in microseconds, where it has one that can be told in them.
pub(super) fn timestamp_micros(record: &RawRecord<'_>) -> Option<i64> {
    record.timestamp_ms?.checked_mul(1000)
}
