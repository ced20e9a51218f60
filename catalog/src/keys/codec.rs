//! How keys and values become bytes and come back. Does not know any record.
//!
//! A value is one byte that names its format, then JSON: readable, and compatible by the names of its fields. A value
//! that holds its own version has the 16 bytes of it between the two, because the store fills in the stamp.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::VersionstampedValue;
use crate::{CatalogError, Version};

/// A key as an error shows it: text where it is text, escapes elsewhere.
pub(crate) fn show(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

pub(super) fn damaged(key: &[u8], cause: impl Into<String>) -> CatalogError {
    CatalogError::Damaged { key: show(key), cause: cause.into() }
}

/// The key `prefix + parts`.
pub(super) fn key(prefix: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = prefix.as_bytes().to_vec();
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// The key `prefix + number`: what most ids stand under.
pub(super) fn number_key(prefix: &str, number: u64) -> Vec<u8> {
    key(prefix, &[&number.to_be_bytes()])
}

/// The key `prefix + first\0second`, both names in lower case.
pub(super) fn two_names_key(prefix: &str, first: &str, second: &str) -> Vec<u8> {
    key(prefix, &[first.to_ascii_lowercase().as_bytes(), b"\0", second.to_ascii_lowercase().as_bytes()])
}

/// What follows `prefix` in a key of that type.
pub(super) fn rest<'a>(key: &'a [u8], prefix: &str) -> Result<&'a [u8], CatalogError> {
    key.strip_prefix(prefix.as_bytes()).ok_or_else(|| damaged(key, format!("the key does not begin with \"{prefix}\"")))
}

/// What follows `prefix`, where that is `N` bytes.
pub(super) fn fixed<const N: usize>(key: &[u8], prefix: &str) -> Result<[u8; N], CatalogError> {
    let rest = rest(key, prefix)?;
    rest.try_into().map_err(|_| damaged(key, format!("{} bytes follow \"{prefix}\", not {N}", rest.len())))
}

/// What follows `prefix`, where that is one number of eight bytes.
pub(super) fn number(key: &[u8], prefix: &str) -> Result<u64, CatalogError> {
    fixed(key, prefix).map(u64::from_be_bytes)
}

/// What follows `prefix`, where that is two numbers of eight bytes.
pub(super) fn two_numbers(key: &[u8], prefix: &str) -> Result<(u64, u64), CatalogError> {
    let bytes: [u8; 16] = fixed(key, prefix)?;
    let both = u128::from_be_bytes(bytes);
    Ok(((both >> 64) as u64, both as u64))
}

/// Two names, divided by a zero byte: no name has one.
pub(super) fn two_names(key: &[u8], prefix: &str) -> Result<(String, String), CatalogError> {
    let text = std::str::from_utf8(rest(key, prefix)?).map_err(|error| damaged(key, error.to_string()))?;
    let (first, second) = text.split_once('\0').ok_or_else(|| damaged(key, "the key holds one name, not two"))?;
    Ok((first.to_owned(), second.to_owned()))
}

/// The value of a record.
pub(super) fn ser<T: Serialize>(format: u8, record: &T) -> Vec<u8> {
    let mut bytes = vec![format];
    serde_json::to_writer(&mut bytes, record).expect("records have text keys, and a vector takes every byte");
    bytes
}

/// The record of a value.
pub(super) fn deser<T: DeserializeOwned>(newest: u8, key: &[u8], value: &[u8]) -> Result<T, CatalogError> {
    let json = check_format(newest, key, value)?;
    serde_json::from_slice(json).map_err(|error| damaged(key, error.to_string()))
}

/// The value of a record that holds the version under which it is written.
pub(super) fn ser_stamped<T: Serialize>(format: u8, era: u32, number: u16, record: &T) -> VersionstampedValue {
    let mut before = vec![format];
    before.extend_from_slice(&era.to_be_bytes());
    let mut after = number.to_be_bytes().to_vec();
    serde_json::to_writer(&mut after, record).expect("records have text keys, and a vector takes every byte");
    VersionstampedValue { before: before.into(), after: after.into() }
}

/// The same value, where the version is known already.
pub(super) fn ser_at<T: Serialize>(format: u8, version: Version, record: &T) -> Vec<u8> {
    let mut bytes = vec![format];
    bytes.extend_from_slice(&version.0);
    serde_json::to_writer(&mut bytes, record).expect("records have text keys, and a vector takes every byte");
    bytes
}

/// The version and the record of a value made by [`ser_stamped`].
pub(super) fn deser_stamped<T: DeserializeOwned>(
    newest: u8,
    key: &[u8],
    value: &[u8],
) -> Result<(Version, T), CatalogError> {
    let rest = check_format(newest, key, value)?;
    let (version, json) =
        rest.split_first_chunk::<16>().ok_or_else(|| damaged(key, "the value ends within its version"))?;
    let record = serde_json::from_slice(json).map_err(|error| damaged(key, error.to_string()))?;
    Ok((Version(*version), record))
}

/// The bytes that the store makes of a stamped value: for tests and golden files.
#[cfg(test)]
pub(super) fn fill_in(value: &VersionstampedValue, stamp: crate::store::Stamp) -> Vec<u8> {
    [value.before.as_ref(), stamp.as_ref(), value.after.as_ref()].concat()
}

/// What follows the format byte, provided that this program knows the format.
fn check_format<'a>(newest: u8, key: &[u8], value: &'a [u8]) -> Result<&'a [u8], CatalogError> {
    match value.split_first() {
        None => Err(damaged(key, "the value is empty")),
        Some((0, _)) => Err(damaged(key, "the value has format 0, which no program writes")),
        Some((&found, _)) if found > newest => Err(CatalogError::UnsupportedFormat { key: show(key), found, newest }),
        Some((_, rest)) => Ok(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stamp;

    #[test]
    fn a_newer_format_is_named_and_never_guessed_at() {
        let error = deser::<u64>(1, b"counter/table", b"\x025").unwrap_err();
        assert!(matches!(error, CatalogError::UnsupportedFormat { found: 2, newest: 1, .. }), "{error}");
        assert!(error.to_string().contains("counter/table"), "{error}");
    }

    #[test]
    fn a_value_that_was_cut_or_emptied_is_damaged_under_the_name_of_its_key() {
        for value in [&b""[..], b"\x00{}", b"\x01", b"\x01{"] {
            let error = deser::<Vec<u64>>(1, b"head/\x00", value).unwrap_err();
            assert!(matches!(&error, CatalogError::Damaged { key, .. } if key == r"head/\x00"), "{error}");
        }
        assert!(matches!(deser_stamped::<()>(1, b"head/", &[1; 10]), Err(CatalogError::Damaged { .. })));
    }

    #[test]
    fn a_stamped_value_comes_back_with_the_version_of_its_commit() {
        let stamp = Stamp([9; 10]);
        let bytes = fill_in(&ser_stamped(1, 7, 3, &"x"), stamp);
        let (version, text) = deser_stamped::<String>(1, b"k", &bytes).unwrap();
        assert_eq!((version, text.as_str()), (Version::new(7, stamp, 3), "x"));
    }
}
