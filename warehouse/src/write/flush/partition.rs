//! PARTITION BY: which partition each row belongs to.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, RecordBatch, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use arrow::row::{RowConverter, SortField};
use catalog::{PartitionTransform, Scalar, Table};
use chrono::{DateTime, Datelike, NaiveDate};

use super::statistics::scalar_at;

const MICROS_PER_DAY: i64 = 86_400_000_000;
const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// A row: its batch's index, and its own within the batch.
pub(super) type RowAt = (usize, usize);

/// Every row of `batches`.
pub(super) fn all_rows(batches: &[RecordBatch]) -> Vec<RowAt> {
    let rows_of = |(index, batch): (usize, &RecordBatch)| (0..batch.num_rows()).map(move |row| (index, row));
    batches.iter().enumerate().flat_map(rows_of).collect()
}

/// The rows of each partition value, in the order of the values.
pub(super) fn split(table: &Table, batches: &[RecordBatch]) -> Vec<(Vec<Scalar>, Vec<RowAt>)> {
    let rows = all_rows(batches);
    if rows.is_empty() {
        return Vec::new();
    }
    if table.partition_by.is_empty() {
        return vec![(Vec::new(), rows)];
    }
    let values: Vec<Vec<ArrayRef>> = batches.iter().map(|batch| partition_arrays(table, batch)).collect();
    let fields = values[0].iter().map(|array| SortField::new(array.data_type().clone())).collect();
    let converter = RowConverter::new(fields).expect("partition columns have an order");
    let mut partitions: BTreeMap<Vec<u8>, Vec<RowAt>> = BTreeMap::new();
    for (index, arrays) in values.iter().enumerate() {
        let keys = converter.convert_columns(arrays).expect("the arrays are of the converter's types");
        for (row, key) in keys.iter().enumerate() {
            match partitions.get_mut(key.as_ref()) {
                Some(rows) => rows.push((index, row)),
                None => drop(partitions.insert(key.as_ref().to_vec(), vec![(index, row)])),
            }
        }
    }
    let value_of = |rows: &[RowAt]| {
        let (batch, row) = rows[0];
        values[batch].iter().map(|array| scalar_at(array, row)).collect()
    };
    partitions.into_values().map(|rows| (value_of(&rows), rows)).collect()
}

fn partition_arrays(table: &Table, batch: &RecordBatch) -> Vec<ArrayRef> {
    let of = |field: &catalog::PartitionField| {
        let column = table.columns.iter().position(|column| column.id == field.column);
        let column = column.expect("PARTITION BY names columns of its own table");
        transform(batch.column(column), field.transform)
    };
    table.partition_by.iter().map(of).collect()
}

fn transform(array: &ArrayRef, transform: PartitionTransform) -> ArrayRef {
    if transform == PartitionTransform::Identity {
        return Arc::clone(array);
    }
    if transform == PartitionTransform::Hour {
        let micros = array.as_primitive::<TimestampMicrosecondType>();
        let hours: TimestampMicrosecondArray =
            micros.iter().map(|value| value.map(|value| value.div_euclid(MICROS_PER_HOUR) * MICROS_PER_HOUR)).collect();
        return Arc::new(hours);
    }
    let days: Date32Array = match array.data_type() {
        DataType::Date32 => {
            array.as_primitive::<Date32Type>().iter().map(|day| day.map(|day| first_day(day, transform))).collect()
        }
        _ => {
            let micros = array.as_primitive::<TimestampMicrosecondType>();
            micros.iter().map(|value| value.map(|value| first_day(day_of(value), transform))).collect()
        }
    };
    Arc::new(days)
}

fn day_of(micros: i64) -> i32 {
    i32::try_from(micros.div_euclid(MICROS_PER_DAY)).expect("microseconds of 64 bits span less than 2^31 days")
}

/// The first day of the day's own year or month, in days since 1970-01-01; the day itself for `day()`.
fn first_day(day: i32, transform: PartitionTransform) -> i32 {
    let date = DateTime::from_timestamp(i64::from(day) * 86_400, 0).map(|time| time.date_naive());
    // Beyond chrono's calendar of 262,000 years a day is its own partition, whatever the transform.
    let Some(date) = date else { return day };
    let first = match transform {
        PartitionTransform::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
        PartitionTransform::Month => NaiveDate::from_ymd_opt(date.year(), date.month(), 1),
        PartitionTransform::Day | PartitionTransform::Hour | PartitionTransform::Identity => Some(date),
    };
    let epoch = DateTime::UNIX_EPOCH.date_naive();
    first.map_or(day, |first| i32::try_from((first - epoch).num_days()).unwrap_or(day))
}

/// The partition value that a row with `value` in the field's column has, for pruning. `None` where it cannot be told.
pub fn partition_value(value: &Scalar, transform_: PartitionTransform) -> Option<Scalar> {
    match (transform_, value) {
        (_, Scalar::Null) => Some(Scalar::Null),
        (PartitionTransform::Identity, value) => Some(value.clone()),
        (PartitionTransform::Hour, Scalar::Micros(micros)) => {
            Some(Scalar::Micros(micros.div_euclid(MICROS_PER_HOUR) * MICROS_PER_HOUR))
        }
        (PartitionTransform::Hour, _) => None,
        (transform, Scalar::Date(day)) => Some(Scalar::Date(first_day(*day, transform))),
        (transform, Scalar::Micros(micros)) => Some(Scalar::Date(first_day(day_of(*micros), transform))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_before_1970_belongs_to_its_own_day_and_month() {
        let micros = Scalar::Micros(-1);
        assert_eq!(partition_value(&micros, PartitionTransform::Day), Some(Scalar::Date(-1)));
        assert_eq!(partition_value(&micros, PartitionTransform::Month), Some(Scalar::Date(-31)));
        assert_eq!(partition_value(&micros, PartitionTransform::Year), Some(Scalar::Date(-365)));
        assert_eq!(partition_value(&micros, PartitionTransform::Hour), Some(Scalar::Micros(-3_600_000_000)));
    }

    #[test]
    fn arrays_and_single_values_are_transformed_alike() {
        let values = [0, -1, 1_357_034_400_000_000, 1_388_534_399_999_999];
        let array: ArrayRef = Arc::new(TimestampMicrosecondArray::from(values.to_vec()));
        for how in
            [PartitionTransform::Year, PartitionTransform::Month, PartitionTransform::Day, PartitionTransform::Hour]
        {
            let whole = transform(&array, how);
            for (row, value) in values.iter().enumerate() {
                assert_eq!(
                    Some(scalar_at(&whole, row)),
                    partition_value(&Scalar::Micros(*value), how),
                    "{how:?} {value}"
                );
            }
        }
    }
}
