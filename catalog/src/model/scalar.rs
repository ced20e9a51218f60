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
    Float(#[serde(with = "float_text")] f64),
    /// A decimal's unscaled value and its scale; both sides of a comparison have the same scale.
    Decimal(DecimalText, i8),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01 00:00:00; of a TIME, since midnight.
    Micros(i64),
    /// Text; compares as bytes.
    Text(String),
    /// Bytes.
    Bytes(#[serde(with = "hex_text")] Vec<u8>),
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

/// A float written as text: JSON has no NaN and no infinity, and a JSON number need not be read back to its last bit, which
/// would move a bound past the values that it bounds.
mod float_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:?}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Bytes written as hexadecimal digits: most bytes are no text.
mod hex_text {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::hex(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |digit: &u8| char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = text.as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| D::Error::custom(format!("{text:?} is no row of bytes in hexadecimal digits")))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
            (Self::Decimal(a, _), Self::Decimal(b, _)) => a.cmp(b),
            (Self::Date(a), Self::Date(b)) => a.cmp(b),
            (Self::Micros(a), Self::Micros(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
            (Self::Bytes(a), Self::Bytes(b)) => a.cmp(b),
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
            Self::Bytes(value) => write!(f, "0x{}", hex(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through_json(value: &Scalar) -> Scalar {
        serde_json::from_str(&serde_json::to_string(value).unwrap()).unwrap()
    }

    proptest! {
        #[test]
        fn a_float_comes_back_to_its_last_bit(bits: u64) {
            let value = f64::from_bits(bits);
            let Scalar::Float(back) = through_json(&Scalar::Float(value)) else { panic!("another type came back") };
            prop_assert!(back.to_bits() == bits || (back.is_nan() && value.is_nan()));
        }

        #[test]
        fn bytes_come_back(bytes: Vec<u8>) {
            let value = Scalar::Bytes(bytes);
            prop_assert_eq!(through_json(&value), value);
        }

        #[test]
        fn a_decimal_comes_back_at_any_width(value: i128, scale: i8) {
            let value = Scalar::Decimal(DecimalText(value), scale);
            prop_assert_eq!(through_json(&value), value);
        }
    }

    #[test]
    fn what_is_not_a_number_in_json_comes_back_too() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -0.0] {
            assert_eq!(through_json(&Scalar::Float(value)), Scalar::Float(value));
        }
    }
}
