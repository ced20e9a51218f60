//! The SQL types of columns. Owns which there are and how they are written down; how values are stored is the warehouse's.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How many bytes an integer column has in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum IntegerWidth {
    /// TINYINT: 8 bits.
    Tiny,
    /// SMALLINT: 16 bits.
    Small,
    /// INT: 32 bits.
    Int,
    /// BIGINT: 64 bits.
    Big,
}

/// A column's SQL type. How it is stored is PROTOCOL's "Data": unsigned integers are widened, and BIGINT UNSIGNED is
/// decimal(20,0); DATETIME has no zone and TIMESTAMP is UTC, both in microseconds; JSON is the text received.
///
/// `digits` are those of a second's fraction, 0 to 6: values are rounded to them and shown with just as many. Without, whatever
/// is there is kept, to the microsecond, and shown where there is any.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(remote = "Self")]
pub enum ColumnType {
    /// BOOLEAN.
    Boolean,
    /// TINYINT to BIGINT.
    Integer {
        /// Its width in SQL.
        width: IntegerWidth,
        /// Whether it is UNSIGNED.
        unsigned: bool,
    },
    /// FLOAT: 32 bits.
    Float,
    /// DOUBLE: 64 bits.
    Double,
    /// DECIMAL(precision, scale), 1 to 38 digits.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// DATE.
    Date,
    /// TIME(digits): hours, minutes and seconds, up to 838:59:59 and below zero as well.
    Time {
        /// Of a second's fraction.
        digits: Option<u8>,
    },
    /// DATETIME(digits): no zone.
    DateTime {
        /// Of a second's fraction.
        digits: Option<u8>,
    },
    /// TIMESTAMP(digits): UTC.
    Timestamp {
        /// Of a second's fraction.
        digits: Option<u8>,
    },
    /// YEAR: 1901 to 2155, and 0.
    Year,
    /// VARCHAR(n), or TEXT where there is no bound. The bound counts characters.
    Text {
        /// The most characters that a value may have.
        characters_max: Option<u32>,
    },
    /// CHAR(n): a text without the blanks at its end.
    Char {
        /// The most characters that a value may have.
        characters: u32,
    },
    /// ENUM: one of these texts.
    Enum {
        /// In the order of the DDL.
        values: Vec<String>,
    },
    /// BINARY(n): just so many bytes; shorter values are filled up with zeros.
    Binary {
        /// How many.
        bytes: u32,
    },
    /// VARBINARY(n), or BLOB where there is no bound.
    VarBinary {
        /// The most bytes that a value may have.
        bytes_max: Option<u32>,
    },
    /// JSON, as the text that was received.
    Json,
    /// ARRAY<element>; elements may be NULL.
    Array {
        /// The type of its elements.
        element: Box<ColumnType>,
    },
    /// MAP<key, value>; values may be NULL.
    Map {
        /// The type of its keys.
        key: Box<ColumnType>,
        /// The type of its values.
        value: Box<ColumnType>,
    },
}

impl ColumnType {
    /// DATETIME as it is mostly declared.
    pub const DATETIME: Self = Self::DateTime { digits: None };
    /// TIMESTAMP as it is mostly declared.
    pub const TIMESTAMP: Self = Self::Timestamp { digits: None };
    /// TEXT.
    pub const TEXT: Self = Self::Text { characters_max: None };
    /// BLOB.
    pub const BLOB: Self = Self::VarBinary { bytes_max: None };

    /// The types that it is made of, in order: an array's element, a map's key and value.
    pub fn inner(&self) -> Vec<&Self> {
        match self {
            Self::Array { element } => vec![element],
            Self::Map { key, value } => vec![key, value],
            _ => Vec::new(),
        }
    }

    /// Whether it is an ARRAY or a MAP.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Array { .. } | Self::Map { .. })
    }
}

/// What DATETIME and TIMESTAMP were written as before they could have digits, and still are where they have none.
const DATETIME: &str = "DateTime";
const TIMESTAMP: &str = "Timestamp";

impl Serialize for ColumnType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::DateTime { digits: None } => serializer.serialize_str(DATETIME),
            Self::Timestamp { digits: None } => serializer.serialize_str(TIMESTAMP),
            _ => Self::serialize(self, serializer),
        }
    }
}

impl<'de> Deserialize<'de> for ColumnType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        match value.as_str() {
            Some(DATETIME) => Ok(Self::DATETIME),
            Some(TIMESTAMP) => Ok(Self::TIMESTAMP),
            _ => Self::deserialize(value).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_comes_back_as_it_was_written() {
        let array = |element| ColumnType::Array { element: Box::new(element) };
        for kind in [
            ColumnType::Boolean,
            ColumnType::DATETIME,
            ColumnType::TIMESTAMP,
            ColumnType::DateTime { digits: Some(0) },
            ColumnType::Timestamp { digits: Some(6) },
            ColumnType::Enum { values: vec!["a".into(), "it's".into()] },
            array(array(ColumnType::TIMESTAMP)),
            ColumnType::Map { key: Box::new(ColumnType::TEXT), value: Box::new(array(ColumnType::DATETIME)) },
        ] {
            let text = serde_json::to_string(&kind).unwrap();
            assert_eq!(serde_json::from_str::<ColumnType>(&text).unwrap(), kind, "{text}");
        }
    }

    #[test]
    fn times_without_digits_are_written_as_before_there_were_any() {
        assert_eq!(serde_json::to_string(&ColumnType::DATETIME).unwrap(), "\"DateTime\"");
        assert_eq!(serde_json::from_str::<ColumnType>("\"Timestamp\"").unwrap(), ColumnType::TIMESTAMP);
    }

    #[test]
    fn a_type_of_a_later_program_is_named_in_the_error() {
        let error = serde_json::from_str::<ColumnType>("{\"Geometry\":{}}").unwrap_err().to_string();
        assert!(error.contains("Geometry"), "{error}");
    }
}
