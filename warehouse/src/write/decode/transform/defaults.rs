//! What stands where a record has no value: a column's DEFAULT, else NULL, else an error row.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray, Float32Array,
    Float64Array, Int32Array, Int64Array, Scalar, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::is_null;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::DataType;
use catalog::{Column, ColumnType, Scalar as Value};

use crate::schema::{arrow_type, integer_bounds, mysql_type};
use crate::write::decode::number::rescaled;
use crate::write::decode::reason::{BadValue, ErrorReason};

/// A column's rule for NULL.
#[derive(Clone, Debug)]
pub(in super::super) struct NullRule {
    column: String,
    nullable: bool,
    /// The DEFAULT, as an array of one value.
    default: Option<ArrayRef>,
}

impl NullRule {
    /// The rule of `column`, or why its DEFAULT is none.
    pub(in super::super) fn of(column: &Column) -> Result<Self, String> {
        let default = match &column.default {
            None | Some(Value::Null) => None,
            Some(value) => Some(default_array(value, &column.kind).ok_or_else(|| {
                format!("the DEFAULT {value} of column {:?} is no value of {}", column.name, mysql_type(&column.kind))
            })?),
        };
        Ok(Self { column: column.name.clone(), nullable: column.nullable, default })
    }

    /// The DEFAULT, as an array of one value.
    pub(in super::super) fn default(&self) -> Option<&ArrayRef> {
        self.default.as_ref()
    }

    /// Whether a row can do without a value.
    pub(in super::super) fn takes_null(&self) -> bool {
        self.nullable || self.default.is_some()
    }

    /// `values` with the DEFAULT for NULL, and the rows that have to have a value and do not.
    pub(super) fn apply(&self, values: ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        if values.null_count() == 0 {
            return (values, Vec::new());
        }
        if let Some(default) = &self.default {
            let missing = is_null(&values).expect("every array tells its nulls");
            let default = Scalar::new(Arc::clone(default));
            let filled = zip(&missing, &default, &values).expect("the DEFAULT is of the column's type");
            return (filled, Vec::new());
        }
        if self.nullable {
            return (values, Vec::new());
        }
        let message = format!("column {:?} is NOT NULL, and the record gives it no value", self.column);
        let bad = BadValue { reason: ErrorReason::MissingNotNull, message };
        let rows = (0..values.len()).filter(|row| values.is_null(*row)).map(|row| (row, bad.clone())).collect();
        (values, rows)
    }
}

fn default_array(value: &Value, kind: &ColumnType) -> Option<ArrayRef> {
    let array: ArrayRef = match (value, kind) {
        (Value::Bool(value), ColumnType::Boolean) => Arc::new(BooleanArray::from(vec![*value])),
        (Value::Int(value @ (0 | 1)), ColumnType::Boolean) => Arc::new(BooleanArray::from(vec![*value == 1])),
        (Value::Int(value), ColumnType::Integer { .. }) => integer_array(i128::from(*value), kind)?,
        (Value::Decimal(value, scale), ColumnType::Integer { .. }) => {
            integer_array(rescaled(value.0, *scale, 0, 38).ok()?, kind)?
        }
        (Value::Int(value), ColumnType::Decimal { .. }) => decimal_array(i128::from(*value), 0, kind)?,
        (Value::Decimal(value, scale), ColumnType::Decimal { .. }) => decimal_array(value.0, *scale, kind)?,
        (Value::Float(value), ColumnType::Double) => Arc::new(Float64Array::from(vec![*value])),
        (Value::Float(value), ColumnType::Float) => Arc::new(Float32Array::from(vec![*value as f32])),
        (Value::Int(value), ColumnType::Double) => Arc::new(Float64Array::from(vec![*value as f64])),
        (Value::Int(value), ColumnType::Float) => Arc::new(Float32Array::from(vec![*value as f32])),
        (Value::Date(days), ColumnType::Date) => Arc::new(Date32Array::from(vec![*days])),
        (Value::Micros(micros), ColumnType::Time { .. }) => Arc::new(DurationMicrosecondArray::from(vec![*micros])),
        (Value::Int(year), ColumnType::Year) => Arc::new(Int32Array::from(vec![i32::try_from(*year).ok()?])),
        (Value::Bytes(bytes), ColumnType::Binary { .. } | ColumnType::VarBinary { .. }) => {
            Arc::new(BinaryArray::from(vec![bytes.as_slice()]))
        }
        (Value::Micros(micros), ColumnType::DateTime { .. } | ColumnType::Timestamp { .. }) => {
            Arc::new(TimestampMicrosecondArray::from(vec![*micros]).with_data_type(arrow_type(kind)))
        }
        (
            Value::Text(text),
            ColumnType::Text { .. } | ColumnType::Char { .. } | ColumnType::Enum { .. } | ColumnType::Json,
        ) => Arc::new(StringArray::from(vec![text.as_str()])),
        _ => return None,
    };
    Some(array)
}

fn integer_array(value: i128, kind: &ColumnType) -> Option<ArrayRef> {
    let ColumnType::Integer { width, unsigned } = kind else { return None };
    let (least, most) = integer_bounds(*width, *unsigned);
    if value < least || value > most {
        return None;
    }
    Some(match arrow_type(kind) {
        DataType::Int32 => Arc::new(Int32Array::from(vec![i32::try_from(value).ok()?])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![i64::try_from(value).ok()?])),
        data_type => Arc::new(Decimal128Array::from(vec![value]).with_data_type(data_type)),
    })
}

fn decimal_array(value: i128, from: i8, kind: &ColumnType) -> Option<ArrayRef> {
    let ColumnType::Decimal { precision, scale } = kind else { return None };
    let value = rescaled(value, from, i8::try_from(*scale).ok()?, *precision).ok()?;
    Some(Arc::new(Decimal128Array::from(vec![value]).with_data_type(arrow_type(kind))))
}
