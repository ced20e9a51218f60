//! One value of one column, as the catalog keeps it: partition values, sort-key bounds, defaults.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A value. Times are in the column's own frame: days, or microseconds, since 1970-01-01 00:00:00.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Scalar {
    /// NULL; sorts first.
    Null,
    /// A boolean.
    Bool(bool),
    /// Any integer type.
    Int(i64),
    /// FLOAT and DOUBLE; NaN sorts last, -0 equals 0.
    Float(f64),
    /// A decimal's unscaled value and its scale; both sides of a comparison have the same scale.
    Decimal(DecimalText, i8),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01 00:00:00.
    Micros(i64),
    /// Text; compares as bytes.
    Text(String),
}

/// An `i128` written as text, because JSON numbers are not that wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DecimalText(pub i128);

impl Serialize for DecimalText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DecimalText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(serde::de::Error::custom)
    }
}

impl Scalar {
    /// A total order within one column: NULL first, NaN last, -0 equal to 0, text as bytes.
    ///
    /// # Panics
    /// If the two are of different types, neither being NULL: they cannot be of one column.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Null, Self::Null) => Ordering::Equal,
            (Self::Null, _) => Ordering::Less,
            (_, Self::Null) => Ordering::Greater,
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => {
                a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()))
            }
            (Self::Decimal(a, _), Self::Decimal(b, _)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Micros(a), Self::Micros(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (a, b) => panic!("{a:?} and {b:?} are not values of one column"),
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && self.order(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) | Self::Micros(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Decimal(value, scale) => write!(f, "{}e-{scale}", value.0),
            Self::Date(value) => value.fmt(f),
            Self::Text(value) => f.write_str(value),
        }
    }
}
