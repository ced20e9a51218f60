//! Functions of texts and bytes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, StringArray};
use arrow::compute::cast;
use arrow::compute::kernels::length::length;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use datafusion::common::Result;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{Own, integer_at, integers, text_at, texts};

pub(super) fn all() -> Vec<Own> {
    let text = DataType::Utf8;
    vec![
        Own { name: "hex", arguments: 1..=1, returns: text.clone(), compute: hex },
        Own { name: "unhex", arguments: 1..=1, returns: DataType::Binary, compute: unhex },
        Own { name: "mid", arguments: 2..=3, returns: text.clone(), compute: mid },
        Own { name: "locate", arguments: 3..=3, returns: DataType::Int64, compute: locate },
        // The engine's own takes no bytes.
        Own { name: "octet_length", arguments: 1..=1, returns: DataType::Int64, compute: octet_length },
        Own { name: "sha1", arguments: 1..=1, returns: text.clone(), compute: sha1 },
        Own { name: "sha2", arguments: 2..=2, returns: text, compute: sha2 },
    ]
}

/// The values as bytes: a text's are those of its UTF-8.
fn bytes(values: &ArrayRef) -> Result<BinaryArray> {
    let is_bytes = matches!(
        values.data_type(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
    );
    let values = if is_bytes { Arc::clone(values) } else { cast(values, &DataType::Utf8)? };
    Ok(cast(&values, &DataType::Binary)?.as_binary::<i32>().clone())
}

/// A number as the digits of base 16, anything else as those of its bytes.
fn hex(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let values = &arguments[0];
    let of_number = |number: Option<u64>| number.map(|number| format!("{number:X}"));
    let texts: StringArray = match values.data_type() {
        data_type if data_type.is_signed_integer() => {
            let numbers = cast(values, &DataType::Int64)?;
            numbers.as_primitive::<Int64Type>().iter().map(|value| of_number(value.map(i64::cast_unsigned))).collect()
        }
        data_type if data_type.is_integer() || data_type.is_decimal() => {
            let numbers = cast(&rounded(values)?, &DataType::UInt64)?;
            numbers.as_primitive::<UInt64Type>().iter().map(of_number).collect()
        }
        data_type if data_type.is_floating() => {
            let numbers = cast(values, &DataType::Float64)?;
            let whole = |value: f64| (value.round() as i64).cast_unsigned();
            numbers.as_primitive::<Float64Type>().iter().map(|value| of_number(value.map(whole))).collect()
        }
        _ => bytes(values)?.iter().map(|value| value.map(::hex::encode_upper)).collect(),
    };
    Ok(Arc::new(texts))
}

fn rounded(values: &ArrayRef) -> Result<ArrayRef> {
    match values.data_type() {
        data_type if data_type.is_decimal() => Ok(cast(values, &DataType::Decimal128(38, 0))?),
        _ => Ok(Arc::clone(values)),
    }
}

/// How many bytes a value has.
fn octet_length(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let values = &arguments[0];
    let lengths = match values.data_type() {
        DataType::Utf8 | DataType::Utf8View | DataType::Binary | DataType::BinaryView => length(values)?,
        _ => length(&bytes(values)?)?,
    };
    Ok(cast(&lengths, &DataType::Int64)?)
}

/// The bytes that pairs of digits stand for; an odd digit at the front is a pair with 0.
fn unhex(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let of = |text: &str| match text.len() % 2 {
        0 => ::hex::decode(text).ok(),
        _ => ::hex::decode(format!("0{text}")).ok(),
    };
    let values: BinaryArray = texts(&arguments[0])?.iter().map(|text| text.and_then(of)).collect();
    Ok(Arc::new(values))
}

/// `MID(text, from[, length])`, which SUBSTRING is too: counted from 1, and from the end where `from` is negative.
fn mid(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, froms) = (texts(&arguments[0])?, integers(&arguments[1])?);
    let lengths = arguments.get(2).map(integers).transpose()?;
    let of = |row: usize| -> Option<&str> {
        let (text, from) = (text_at(&texts, row)?, integer_at(&froms, row)?);
        let length = match &lengths {
            Some(lengths) => usize::try_from(integer_at(lengths, row)?).unwrap_or(0),
            None => usize::MAX,
        };
        Some(part(text, from, length))
    };
    let values: StringArray = (0..texts.len()).map(of).collect();
    Ok(Arc::new(values))
}

fn part(text: &str, from: i64, length: usize) -> &str {
    let start = match from {
        1.. => usize::try_from(from - 1).ok(),
        0 => None,
        _ => usize::try_from(from.unsigned_abs()).ok().and_then(|back| text.chars().count().checked_sub(back)),
    };
    let Some(start) = start else { return "" };
    let at = |text: &str, count: usize| text.char_indices().nth(count).map_or(text.len(), |(at, _)| at);
    let rest = &text[at(text, start)..];
    &rest[..at(rest, length)]
}

/// `LOCATE(part, text, from)`: where `part` begins at or after `from`, counted from 1; 0 where it does not.
fn locate(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (parts, texts, froms) = (texts(&arguments[0])?, texts(&arguments[1])?, integers(&arguments[2])?);
    let of = |row: usize| -> Option<i64> {
        let (part, text, from) = (text_at(&parts, row)?, text_at(&texts, row)?, integer_at(&froms, row)?);
        let Some(start) = from.checked_sub(1).and_then(|start| usize::try_from(start).ok()) else { return Some(0) };
        let Some((at, _)) = text.char_indices().chain([(text.len(), ' ')]).nth(start) else { return Some(0) };
        let found = text[at..].find(part).map(|found| from + text[at..at + found].chars().count() as i64);
        Some(found.unwrap_or(0))
    };
    let values: Int64Array = (0..texts.len()).map(of).collect();
    Ok(Arc::new(values))
}

fn sha1(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let of = |value| ::hex::encode(Sha1::digest(value));
    let values: StringArray = bytes(&arguments[0])?.iter().map(|value| value.map(of)).collect();
    Ok(Arc::new(values))
}

/// `SHA2(text, bits)`; NULL for a count of bits that there is not.
fn sha2(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (values, bits) = (bytes(&arguments[0])?, integers(&arguments[1])?);
    let of = |row: usize| -> Option<String> {
        let value = values.is_valid(row).then(|| values.value(row))?;
        match integer_at(&bits, row)? {
            224 => Some(::hex::encode(Sha224::digest(value))),
            0 | 256 => Some(::hex::encode(Sha256::digest(value))),
            384 => Some(::hex::encode(Sha384::digest(value))),
            512 => Some(::hex::encode(Sha512::digest(value))),
            _ => None,
        }
    };
    let values: StringArray = (0..values.len()).map(of).collect();
    Ok(Arc::new(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_counted_in_characters_from_either_end() {
        for (from, length, expected) in [
            (1, 2, "gr"),
            (3, 9, "öße"),
            (5, 1, "e"),
            (6, 1, ""),
            (0, 3, ""),
            (-2, 9, "ße"),
            (-5, 1, "g"),
            (-6, 9, ""),
            (i64::MIN, 1, ""),
            (i64::MAX, 1, ""),
        ] {
            assert_eq!(part("größe", from, length), expected, "{from}, {length}");
        }
    }
}
