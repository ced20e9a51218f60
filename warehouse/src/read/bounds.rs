//! What the catalog's record of a part says of its columns, in the engine's words: bounds, null counts, row counts.
//!
//! A bound here encloses the values and need not be one of them, so it may serve to leave a part out, never to answer
//! `min(c)`: it goes to pruning and to the part's own file entry, not to the statistics of the scan.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use catalog::{Part, PartKind, PartitionField, PartitionTransform, Scalar, Table};
use chrono::{DateTime, Datelike, NaiveDate};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};

const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// What is known of one stored column of a part.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    min: Option<Scalar>,
    max: Option<Scalar>,
    nulls: Option<u64>,
}

impl Known {
    /// What both say. Each is true by itself, so the narrower bound holds.
    fn and(self, other: Self) -> Self {
        let narrower = |a: Option<Scalar>, b: Option<Scalar>, lower: bool| match (a, b) {
            (Some(a), Some(b)) => Some(if a.order(&b).is_gt() == lower { a } else { b }),
            (a, b) => a.or(b),
        };
        Self {
            min: narrower(self.min, other.min, true),
            max: narrower(self.max, other.max, false),
            nulls: self.nulls.or(other.nulls),
        }
    }
}

/// The statistics of `part` for `columns`: pairs of a field and the stored column that it shows, `None` where it is derived.
pub(super) fn part_statistics(table: &Table, part: &Part, columns: &[(FieldRef, Option<usize>)]) -> Statistics {
    let column = |(field, stored): &(FieldRef, Option<usize>)| match stored {
        Some(stored) => column_statistics(&known(table, part, *stored), field.data_type()),
        None => ColumnStatistics::new_unknown(),
    };
    Statistics {
        num_rows: Precision::Exact(count(part.rows)),
        total_byte_size: Precision::Inexact(count(part.bytes)),
        column_statistics: columns.iter().map(column).collect(),
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn known(table: &Table, part: &Part, stored: usize) -> Known {
    let Some(column) = (part.kind == PartKind::Rows).then(|| table.columns.get(stored)).flatten() else {
        return hidden(table, part, stored);
    };
    let key = table.order_by.iter().position(|id| *id == column.id).and_then(|at| part.sort_key.get(at));
    let of_key = key.map(|range| sort_key(&range.min, range.max.as_ref(), part.rows)).unwrap_or_default();
    let partitions = table.partition_by.iter().zip(&part.partition).filter(|(field, _)| field.column == column.id);
    partitions.fold(of_key, |known, (field, value)| known.and(partition(*field, value, &column.kind, part.rows)))
}

/// `_stream` and `_offset`, which stand behind the table's own columns. Error rows keep them last as well.
fn hidden(table: &Table, part: &Part, stored: usize) -> Known {
    let first_hidden = match part.kind {
        PartKind::Rows => table.columns.len(),
        PartKind::Errors => crate::schema::error_schema().fields().len() - 2,
    };
    let bounds: Vec<(u64, u64)> = match stored.checked_sub(first_hidden) {
        Some(0) => part.streams.iter().map(|of| (of.stream.0, of.stream.0)).collect(),
        Some(1) => part.streams.iter().map(|of| (of.range.start.0, of.range.end.0.saturating_sub(1))).collect(),
        _ => return Known::default(),
    };
    let number = |value: u64| i64::try_from(value).ok().map(Scalar::Int);
    Known {
        min: bounds.iter().map(|(min, _)| *min).min().and_then(number),
        max: bounds.iter().map(|(_, max)| *max).max().and_then(number),
        nulls: Some(0),
    }
}

/// NULL sorts first: a lower bound that is a value means that there is no NULL, an upper one that is NULL that there is
/// nothing else.
fn sort_key(min: &Scalar, max: Option<&Scalar>, rows: u64) -> Known {
    match (min, max) {
        (_, Some(Scalar::Null)) => Known { min: None, max: None, nulls: Some(rows) },
        (Scalar::Null, max) => Known { min: None, max: max.cloned(), nulls: None },
        (min, max) => Known { min: Some(min.clone()), max: max.cloned(), nulls: Some(0) },
    }
}

fn partition(field: PartitionField, value: &Scalar, kind: &catalog::ColumnType, rows: u64) -> Known {
    if matches!(value, Scalar::Null) {
        return Known { min: None, max: None, nulls: Some(rows) };
    }
    let bounds = match (field.transform, value) {
        (PartitionTransform::Identity, value) => Some((value.clone(), value.clone())),
        (PartitionTransform::Hour, Scalar::Micros(first)) => {
            Some((value.clone(), Scalar::Micros(first.saturating_add(MICROS_PER_HOUR - 1))))
        }
        (transform, Scalar::Date(first)) => {
            let last = last_day(*first, transform);
            match kind {
                catalog::ColumnType::Date => Some((Scalar::Date(*first), Scalar::Date(last))),
                _ => {
                    let micros = |day: i32| i64::from(day).saturating_mul(MICROS_PER_DAY);
                    let end = micros(last).saturating_add(MICROS_PER_DAY - 1);
                    Some((Scalar::Micros(micros(*first)), Scalar::Micros(end)))
                }
            }
        }
        _ => None,
    };
    match bounds {
        Some((min, max)) => Known { min: Some(min), max: Some(max), nulls: Some(0) },
        None => Known { nulls: Some(0), ..Known::default() },
    }
}

/// The last day of the partition that begins on day `first`. Beyond chrono's calendar each day is its own partition.
fn last_day(first: i32, transform: PartitionTransform) -> i32 {
    let Some(date) = DateTime::from_timestamp(i64::from(first) * 86_400, 0).map(|time| time.date_naive()) else {
        return first;
    };
    let next = match transform {
        PartitionTransform::Year => NaiveDate::from_ymd_opt(date.year() + 1, 1, 1),
        PartitionTransform::Month if date.month() == 12 => NaiveDate::from_ymd_opt(date.year() + 1, 1, 1),
        PartitionTransform::Month => NaiveDate::from_ymd_opt(date.year(), date.month() + 1, 1),
        PartitionTransform::Day | PartitionTransform::Hour | PartitionTransform::Identity => return first,
    };
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    match next {
        Some(next) => i32::try_from((next - epoch).num_days() - 1).unwrap_or(i32::MAX),
        // The calendar ends within this partition.
        None => i32::MAX,
    }
}

fn column_statistics(known: &Known, kind: &DataType) -> ColumnStatistics {
    let exact = |value: Option<ScalarValue>| value.map_or(Precision::Absent, Precision::Exact);
    let mut statistics = ColumnStatistics::new_unknown();
    statistics.min_value = exact(known.min.as_ref().and_then(|value| bound(value, kind, Side::Lower)));
    statistics.max_value = exact(known.max.as_ref().and_then(|value| bound(value, kind, Side::Upper)));
    statistics.null_count = known.nulls.map_or(Precision::Absent, |nulls| Precision::Exact(count(nulls)));
    statistics
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Lower,
    Upper,
}

/// The engine's value of a bound; `None` where it has none of that type, or none that encloses.
fn bound(value: &Scalar, kind: &DataType, side: Side) -> Option<ScalarValue> {
    let value = match (kind, value) {
        (DataType::Boolean, Scalar::Bool(value)) => ScalarValue::Boolean(Some(*value)),
        (DataType::Int32, Scalar::Int(value)) => ScalarValue::Int32(Some(i32::try_from(*value).ok()?)),
        (DataType::Int64, Scalar::Int(value)) => ScalarValue::Int64(Some(*value)),
        (DataType::Float32, Scalar::Float(value)) => ScalarValue::Float32(Some(signed_zero(*value, side)? as f32)),
        (DataType::Float64, Scalar::Float(value)) => ScalarValue::Float64(Some(signed_zero(*value, side)?)),
        (DataType::Decimal128(precision, scale), Scalar::Decimal(value, of)) if scale == of => {
            ScalarValue::Decimal128(Some(value.0), *precision, *scale)
        }
        (DataType::Date32, Scalar::Date(value)) => ScalarValue::Date32(Some(*value)),
        (DataType::Timestamp(_, zone), Scalar::Micros(value)) => {
            ScalarValue::TimestampMicrosecond(Some(*value), zone.as_ref().map(Arc::clone))
        }
        (DataType::Duration(_), Scalar::Micros(value)) => ScalarValue::DurationMicrosecond(Some(*value)),
        (DataType::Binary, Scalar::Bytes(value)) => ScalarValue::Binary(Some(value.clone())),
        (DataType::Utf8, Scalar::Text(value)) => ScalarValue::Utf8(Some(value.clone())),
        _ => return None,
    };
    Some(value)
}

/// The engine orders -0 before 0, and the table holds them equal: a bound of zero is widened to hold both.
fn signed_zero(value: f64, side: Side) -> Option<f64> {
    match (value, side) {
        (value, _) if !value.is_finite() => None,
        (0.0, Side::Lower) => Some(-0.0),
        (0.0, Side::Upper) => Some(0.0),
        (value, _) => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use catalog::{ColumnId, ColumnType};

    use super::*;

    fn of(transform: PartitionTransform, value: Scalar, kind: ColumnType) -> (Option<Scalar>, Option<Scalar>) {
        let known = partition(PartitionField { column: ColumnId(1), transform }, &value, &kind, 3);
        (known.min, known.max)
    }

    #[test]
    fn the_bounds_of_a_partition_value_enclose_just_the_rows_that_have_it() {
        use crate::write::flush::partition_value;
        let january = Scalar::Date(0);
        let (min, max) = of(PartitionTransform::Month, january.clone(), ColumnType::DATETIME);
        assert_eq!((min, max), (Some(Scalar::Micros(0)), Some(Scalar::Micros(31 * MICROS_PER_DAY - 1))));
        for transform in
            [PartitionTransform::Year, PartitionTransform::Month, PartitionTransform::Day, PartitionTransform::Hour]
        {
            for micros in [0, -1, 1_357_034_400_000_001, 1_388_534_399_999_999, -2_208_988_800_000_000] {
                let value = partition_value(&Scalar::Micros(micros), transform).unwrap();
                let (min, max) = of(transform, value.clone(), ColumnType::DATETIME);
                let (Some(Scalar::Micros(min)), Some(Scalar::Micros(max))) = (min, max) else { panic!("bounds") };
                assert!(min <= micros && micros <= max, "{transform:?} {micros}: {min}..={max}");
                let inside = |micros| partition_value(&Scalar::Micros(micros), transform).unwrap() == value;
                assert!(inside(min) && inside(max) && !inside(min - 1) && !inside(max + 1), "{transform:?} {micros}");
            }
        }
    }

    #[test]
    fn a_null_among_the_bounds_says_how_many_nulls_there_are_or_nothing() {
        let one = Scalar::Int(1);
        assert_eq!(sort_key(&one, Some(&one), 3).nulls, Some(0));
        assert_eq!(sort_key(&Scalar::Null, Some(&one), 3), Known { min: None, max: Some(one), nulls: None });
        assert_eq!(sort_key(&Scalar::Null, Some(&Scalar::Null), 3), Known { min: None, max: None, nulls: Some(3) });
    }

    #[test]
    fn the_calendars_end_is_not_a_panic() {
        for first in [i32::MAX, i32::MIN, 95_026_236] {
            for transform in [PartitionTransform::Year, PartitionTransform::Month, PartitionTransform::Day] {
                assert!(last_day(first, transform) >= first);
            }
        }
    }
}
