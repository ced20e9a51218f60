//! I1: every offset of the range is a row, an error row, filtered, or a named gap.

use catalog::{Gap, GapKind, Ledger};

use super::*;

#[test]
fn every_offset_is_accounted_for_once() {
    let mut records = Records::default();
    for (offset, payload) in [(102, r#"{"a": 1}"#), (105, r#"{"a": 0}"#), (106, "{"), (119, r#"{"a": 2}"#)] {
        records.push(record(offset, payload.as_bytes()));
    }
    let expired = Gap { kind: GapKind::Expired, range: range(100, 102) };
    let truncated = Gap { kind: GapKind::Truncated, range: range(110, 115) };
    let skipped = Gap { kind: GapKind::Skipped, range: range(107, 109) };
    let gaps = vec![expired, skipped, truncated];
    let fetched = Fetched { stream: StreamId(7), range: range(100, 121), records, gaps };
    let batch = decoder(vec![column("a", INT)], "*", Some("a <> 0")).decode(&origin(), &fetched);
    let expected = Ledger { rows: 2, errors: 1, filtered: 1, skipped: 10, expired: 2, truncated: 5 };
    assert_eq!(batch.ledger, expected);
    assert_eq!(batch.gaps, [expired, truncated]);
    assert_eq!(offsets(&batch.rows), [102, 119]);
    assert_eq!(offsets(batch.errors.as_ref().unwrap()), [106]);
}

#[test]
fn a_fetch_without_records_is_a_batch_all_the_same() {
    let fetched = Fetched { stream: StreamId(7), range: range(5, 9), records: Records::default(), gaps: Vec::new() };
    for (projection, filter) in [("*", None), ("a + 1 AS a", Some("a > 1"))] {
        let batch = decoder(vec![column("a", INT)], projection, filter).decode(&origin(), &fetched);
        assert_eq!((batch.rows.num_rows(), batch.ledger.skipped), (0, 4));
    }
}

#[test]
fn a_batch_survives_its_encoding() {
    let columns =
        vec![column("a", INT), column("b", ColumnType::TIMESTAMP), column("c", decimal(20, 4)), column("d", TEXT)];
    let payloads = [r#"{"a": 1, "b": "2013-01-01 10:00:00", "c": 1.5, "d": "x"}"#, "{", r#"{"a": null}"#];
    let batch = decode(&mut decoder(columns, "*", None), &payloads);
    let encoded = batch.encode(Fence(1), SchemaId(1));
    assert_eq!(Batch::decode(&encoded, batch.rows.schema_ref()).unwrap(), batch);
}

#[test]
#[should_panic(expected = "I1")]
fn a_record_outside_of_the_range_stops_the_task() {
    let fetched = Fetched { range: range(1, 2), ..fetched(&["{}"]) };
    decoder(vec![column("a", INT)], "*", None).decode(&origin(), &fetched);
}
