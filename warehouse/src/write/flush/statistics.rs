//! Bounds of a sort-key column over a part, small enough for the catalog.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::kernels::aggregate;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int32Type, Int64Type,
    TimestampMicrosecondType,
};
use catalog::{DecimalText, Scalar};

/// Longer texts and bytes are shortened to this many bytes, the lower bound downwards and the upper one upwards.
const TEXT_BYTES_MAX: usize = 64;

/// The value of `array` at `row`.
pub(crate) fn scalar_at(array: &ArrayRef, row: usize) -> Scalar {
    if array.is_null(row) {
        return Scalar::Null;
    }
    match array.data_type() {
        DataType::Boolean => Scalar::Bool(array.as_boolean().value(row)),
        DataType::Int32 => Scalar::Int(i64::from(array.as_primitive::<Int32Type>().value(row))),
        DataType::Int64 => Scalar::Int(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => Scalar::Float(f64::from(array.as_primitive::<Float32Type>().value(row))),
        DataType::Float64 => Scalar::Float(array.as_primitive::<Float64Type>().value(row)),
        DataType::Decimal128(_, scale) => {
            Scalar::Decimal(DecimalText(array.as_primitive::<Decimal128Type>().value(row)), *scale)
        }
        DataType::Date32 => Scalar::Date(array.as_primitive::<Date32Type>().value(row)),
        DataType::Timestamp(..) => Scalar::Micros(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        DataType::Duration(_) => Scalar::Micros(array.as_primitive::<DurationMicrosecondType>().value(row)),
        DataType::Utf8 => Scalar::Text(array.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Scalar::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        other => unreachable!("no column is stored as {other}"),
    }
}

fn least(array: &ArrayRef) -> Option<Scalar> {
    extreme(array, Side::Least)
}

fn greatest(array: &ArrayRef) -> Option<Scalar> {
    extreme(array, Side::Greatest)
}

#[derive(Clone, Copy)]
enum Side {
    Least,
    Greatest,
}

/// The least or greatest value that is not NULL.
fn extreme(array: &ArrayRef, side: Side) -> Option<Scalar> {
    macro_rules! numbers {
        ($kind:ty) => {{
            let values = array.as_primitive::<$kind>();
            match side {
                Side::Least => aggregate::min(values),
                Side::Greatest => aggregate::max(values),
            }
        }};
    }
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            let value = match side {
                Side::Least => aggregate::min_boolean(values),
                Side::Greatest => aggregate::max_boolean(values),
            };
            value.map(Scalar::Bool)
        }
        DataType::Int32 => numbers!(Int32Type).map(|value| Scalar::Int(i64::from(value))),
        DataType::Int64 => numbers!(Int64Type).map(Scalar::Int),
        DataType::Float32 => numbers!(Float32Type).map(|value| Scalar::Float(f64::from(value))),
        DataType::Float64 => numbers!(Float64Type).map(Scalar::Float),
        DataType::Decimal128(_, scale) => {
            numbers!(Decimal128Type).map(|value| Scalar::Decimal(DecimalText(value), *scale))
        }
        DataType::Date32 => numbers!(Date32Type).map(Scalar::Date),
        DataType::Timestamp(..) => numbers!(TimestampMicrosecondType).map(Scalar::Micros),
        DataType::Duration(_) => numbers!(DurationMicrosecondType).map(Scalar::Micros),
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            let value = match side {
                Side::Least => aggregate::min_binary(values),
                Side::Greatest => aggregate::max_binary(values),
            };
            value.map(|value| Scalar::Bytes(value.to_vec()))
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            let value = match side {
                Side::Least => aggregate::min_string(values),
                Side::Greatest => aggregate::max_string(values),
            };
            value.map(|value| Scalar::Text(value.to_owned()))
        }
        other => unreachable!("no column is stored as {other}"),
    }
}

/// Bounds over the chunks seen so far.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    least: Option<Scalar>,
    greatest: Option<Scalar>,
    nulls: bool,
    /// A NaN with a sign is below all numbers where values are compared bit by bit, as queries do.
    nan_below: bool,
}

impl Bounds {
    /// Widens the bounds by the values of `array`.
    pub(super) fn include(&mut self, array: &ArrayRef) {
        self.nulls |= array.null_count() > 0;
        let least = least(array);
        self.nan_below |= matches!(least, Some(Scalar::Float(value)) if value.is_nan() && value.is_sign_negative());
        if let Some(value) = least
            && self.least.as_ref().is_none_or(|least| value.order(least).is_lt())
        {
            self.least = Some(value);
        }
        if let Some(value) = greatest(array)
            && self.greatest.as_ref().is_none_or(|greatest| value.order(greatest).is_gt())
        {
            self.greatest = Some(value);
        }
    }

    /// The lower bound, inclusive: NULL sorts first.
    pub(super) fn min(&self) -> Scalar {
        match &self.least {
            Some(value) if !self.nulls && !self.nan_below => lowered(value),
            _ => Scalar::Null,
        }
    }

    /// The upper bound, inclusive; `None` where there is none that can be written down.
    pub(super) fn max(&self) -> Option<Scalar> {
        match &self.greatest {
            Some(value) => raised(value),
            None => Some(Scalar::Null),
        }
    }
}

fn lowered(value: &Scalar) -> Scalar {
    match value {
        // NULL is below everything, and JSON cannot write infinities.
        Scalar::Float(number) if !number.is_finite() => Scalar::Null,
        Scalar::Text(text) => Scalar::Text(shortened(text).to_owned()),
        Scalar::Bytes(bytes) => Scalar::Bytes(bytes[..bytes.len().min(TEXT_BYTES_MAX)].to_vec()),
        other => other.clone(),
    }
}

fn raised(value: &Scalar) -> Option<Scalar> {
    match value {
        Scalar::Float(number) if !number.is_finite() => None,
        Scalar::Text(text) if text.len() > TEXT_BYTES_MAX => {
            // Raising the last character that has a successor makes a text above every one with this beginning.
            let mut kept: Vec<char> = shortened(text).chars().collect();
            while let Some(last) = kept.pop() {
                if let Some(next) = char::from_u32(last as u32 + 1) {
                    kept.push(next);
                    return Some(Scalar::Text(kept.into_iter().collect()));
                }
            }
            None
        }
        Scalar::Bytes(bytes) if bytes.len() > TEXT_BYTES_MAX => {
            let mut kept = bytes[..TEXT_BYTES_MAX].to_vec();
            while let Some(last) = kept.pop() {
                if let Some(next) = last.checked_add(1) {
                    kept.push(next);
                    return Some(Scalar::Bytes(kept));
                }
            }
            None
        }
        other => Some(other.clone()),
    }
}

/// The first [`TEXT_BYTES_MAX`] bytes, or as many as end with a whole character.
fn shortened(text: &str) -> &str {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, Float64Array, StringArray};

    use super::*;

    fn bounds_of(array: ArrayRef) -> Bounds {
        let mut bounds = Bounds::default();
        bounds.include(&array);
        bounds
    }

    #[test]
    fn shortened_text_bounds_still_enclose_the_text() {
        let long = "z\u{10ffff}".repeat(40);
        let bounds = bounds_of(Arc::new(StringArray::from(vec![long.as_str()])));
        let value = Scalar::Text(long);
        assert!(bounds.min().order(&value).is_le());
        assert!(bounds.max().unwrap().order(&value).is_ge());
    }

    #[test]
    fn shortened_bounds_of_bytes_still_enclose_them() {
        for (last, bounded) in [(0xfe, true), (0xff, false)] {
            let long = vec![last; 80];
            let bounds = bounds_of(Arc::new(BinaryArray::from(vec![long.as_slice()])));
            assert_eq!(bounds.max().is_some(), bounded);
            let value = Scalar::Bytes(long);
            assert!(bounds.min().order(&value).is_le());
            assert!(bounds.max().is_none_or(|max| max.order(&value).is_ge()));
        }
    }

    #[test]
    fn nulls_are_below_and_infinities_are_unbounded() {
        let bounds = bounds_of(Arc::new(Float64Array::from(vec![None, Some(f64::INFINITY)])));
        assert_eq!(bounds.min(), Scalar::Null);
        assert_eq!(bounds.max(), None);
    }

    #[test]
    fn a_nan_of_either_sign_is_enclosed() {
        for nan in [f64::NAN, -f64::NAN] {
            let mut bounds = bounds_of(Arc::new(Float64Array::from(vec![1.0, 2.0])));
            bounds.include(&(Arc::new(Float64Array::from(vec![nan])) as ArrayRef));
            assert_eq!(bounds.max(), None);
            assert_eq!(bounds.min(), if nan.is_sign_negative() { Scalar::Null } else { Scalar::Float(1.0) });
        }
    }
}
