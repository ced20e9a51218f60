//! Functions of JSON texts. What is taken out of one is the text as it stands there, as JSON is kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{Own, text_at, texts};

pub(super) fn all() -> Vec<Own> {
    vec![
        Own { name: "json_extract", arguments: 2..=2, returns: DataType::Utf8, compute: json_extract },
        Own { name: "json_unquote", arguments: 1..=1, returns: DataType::Utf8, compute: json_unquote },
        Own { name: "json_length", arguments: 1..=2, returns: DataType::Int64, compute: json_length },
        Own { name: "json_valid", arguments: 1..=1, returns: DataType::Boolean, compute: json_valid },
    ]
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Element(usize),
}

fn json_extract(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let (documents, paths) = (texts(&arguments[0])?, texts(&arguments[1])?);
    let mut paths = Paths::new(&paths);
    let mut values = Vec::with_capacity(documents.len());
    for row in 0..documents.len() {
        values.push(match (text_at(&documents, row), paths.at(row)?) {
            (Some(document), Some(path)) => found(document, path).map_err(|_| invalid("json_extract"))?,
            _ => None,
        });
    }
    Ok(Arc::new(values.into_iter().collect::<StringArray>()))
}

fn json_unquote(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let values: StringArray = texts(&arguments[0])?.iter().map(|text| text.map(unquoted)).collect();
    Ok(Arc::new(values))
}

fn json_length(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let documents = texts(&arguments[0])?;
    let paths = arguments.get(1).map(texts).transpose()?;
    let mut paths = paths.as_ref().map(Paths::new);
    let mut values = Vec::with_capacity(documents.len());
    for row in 0..documents.len() {
        let path = match &mut paths {
            Some(paths) => paths.at(row)?,
            None => Some(&[][..]),
        };
        values.push(match (text_at(&documents, row), path) {
            (Some(document), Some(path)) => length(document, path).map_err(|_| invalid("json_length"))?,
            _ => None,
        });
    }
    Ok(Arc::new(Int64Array::from(values)))
}

fn json_valid(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let is_valid = |text: &str| serde_json::from_str::<IgnoredAny>(text).is_ok();
    let values: BooleanArray = texts(&arguments[0])?.iter().map(|text| text.map(is_valid)).collect();
    Ok(Arc::new(values))
}

fn invalid(function: &str) -> DataFusionError {
    DataFusionError::Execution(format!(
        "Invalid JSON text in argument 1 to function {function}; JSON_VALID tells which"
    ))
}

/// The paths of a column, each read once where it stands in one row after the other.
struct Paths<'a> {
    texts: &'a StringArray,
    last: Option<(&'a str, Vec<Step>)>,
}

impl<'a> Paths<'a> {
    fn new(texts: &'a StringArray) -> Self {
        Self { texts, last: None }
    }

    fn at(&mut self, row: usize) -> Result<Option<&[Step]>> {
        let Some(text) = text_at(self.texts, row) else { return Ok(None) };
        if self.last.as_ref().is_none_or(|(last, _)| *last != text) {
            let steps = steps(text).ok_or_else(|| {
                DataFusionError::Execution(format!(
                    "Invalid JSON path expression '{text}'; it is like $.a.\"b c\"[0], without * and **"
                ))
            })?;
            self.last = Some((text, steps));
        }
        Ok(self.last.as_ref().map(|(_, steps)| steps.as_slice()))
    }
}

/// `$.member."member"[0]`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.trim().strip_prefix('$')?.trim_start();
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(of_array) = rest.strip_prefix('[') {
            let (index, after) = of_array.split_once(']')?;
            steps.push(Step::Element(index.trim().parse().ok()?));
            rest = after.trim_start();
            continue;
        }
        let member = rest.strip_prefix('.')?.trim_start();
        let end = match member.starts_with('"') {
            true => quoted_end(member)?,
            false => member.find(['.', '[', ' ']).unwrap_or(member.len()),
        };
        let (name, after) = member.split_at(end);
        if name.is_empty() || name.contains('*') && !name.starts_with('"') {
            return None;
        }
        steps.push(Step::Member(unquoted(name)));
        rest = after.trim_start();
    }
    Some(steps)
}

/// Where the string that `text` begins with ends.
fn quoted_end(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().enumerate().skip(1).find_map(|(at, byte)| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end.then_some(at + 1)
    })
}

/// What stands at `path`; `None` where nothing does.
fn found<'a>(document: &'a str, path: &[Step]) -> serde_json::Result<Option<&'a str>> {
    let mut value = serde_json::from_str::<&RawValue>(document)?.get();
    for step in path {
        let next = match step {
            Step::Member(name) if value.starts_with('{') => {
                let mut members: HashMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(value)?;
                members.remove(name.as_str())
            }
            Step::Element(index) if value.starts_with('[') => {
                serde_json::from_str::<Vec<&'a RawValue>>(value)?.get(*index).copied()
            }
            // What is no array is like an array of itself.
            Step::Element(0) => continue,
            Step::Member(_) | Step::Element(_) => None,
        };
        match next {
            Some(next) => value = next.get(),
            None => return Ok(None),
        }
    }
    Ok(Some(value))
}

fn length(document: &str, path: &[Step]) -> serde_json::Result<Option<i64>> {
    let Some(value) = found(document, path)? else { return Ok(None) };
    let count = match value.as_bytes().first() {
        Some(b'{') => serde_json::from_str::<HashMap<Cow<'_, str>, IgnoredAny>>(value)?.len(),
        Some(b'[') => serde_json::from_str::<Vec<IgnoredAny>>(value)?.len(),
        _ => 1,
    };
    Ok(i64::try_from(count).ok())
}

/// The characters of a JSON string; any other text as it is.
fn unquoted(text: &str) -> String {
    match text.starts_with('"') {
        true => serde_json::from_str(text).unwrap_or_else(|_| text.to_owned()),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_a_value_as_it_stands_there() {
        let document = r#"{"a": {"b c": [1.50, {"d":"x\"y"}]}, "n": null, "a.b": true}"#;
        for (path, value) in [
            ("$.a.\"b c\"[0]", Some("1.50")),
            ("$ . a.\"b c\"[1].d", Some(r#""x\"y""#)),
            ("$.n", Some("null")),
            ("$.\"a.b\"", Some("true")),
            ("$.n[0][0]", Some("null")),
            ("$.a.\"b c\"[2]", None),
            ("$.missing", None),
            ("$[1]", None),
            ("$", Some(document)),
        ] {
            assert_eq!(found(document, &steps(path).unwrap()).unwrap(), value, "{path}");
        }
        assert_eq!(unquoted(r#""x\"y""#), "x\"y");
        for path in ["a", "$.", "$[x]", "$.*", "$**.a", "$[*]", "$.a b", "$.\"a"] {
            assert_eq!(steps(path), None, "{path}");
        }
        assert!(found("{\"a\":", &[]).is_err());
        assert_eq!(length(document, &[]).unwrap(), Some(3));
    }
}
