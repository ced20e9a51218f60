//! The seam between JSON and a column: which JSON values there are, and what a column says to each.

use serde_json::value::RawValue;

use super::super::reason::{BadValue, ErrorReason, quoted, shown};
use arrow::array::ArrayRef;

/// Why a value was not written.
pub(in super::super) enum Refusal {
    /// The column does not take it.
    Bad(Box<BadValue>),
    /// Whether the column takes it can only be told from its text: the record is read again, value by value as text.
    NeedsText,
}

impl From<BadValue> for Refusal {
    fn from(bad: BadValue) -> Self {
        Self::Bad(Box::new(bad))
    }
}

/// Whether a value was written. If not, nothing was.
pub(in super::super) type Written = Result<(), Refusal>;

/// How deeply a JSON value may be nested: as deep as JSON readers go that use their stack.
const DEPTH_MAX: usize = 128;

/// A column, as one JSON value after the other is written to it. What it does not say, it does not take.
pub(in super::super) trait Sink {
    /// Whether it wants numbers and JSON as text, because they would be changed on the way.
    const READS_TEXT: bool = false;

    /// Its SQL type, for messages.
    fn name(&self) -> &str;
    /// How many values it holds.
    fn len(&self) -> usize;
    /// Makes room.
    fn reserve(&mut self, rows: usize);
    /// Forgets all values after the first `len`.
    fn truncate(&mut self, len: usize);
    /// Its values; it is empty afterwards.
    fn finish(&mut self) -> ArrayRef;

    /// `null`.
    fn null(&mut self);

    /// `true` or `false`.
    fn boolean(&mut self, value: bool) -> Written {
        Err(BadValue::wrong_type(value, self.name()).into())
    }

    /// A negative number without a point.
    fn signed(&mut self, value: i64) -> Written {
        Err(BadValue::wrong_type(value, self.name()).into())
    }

    /// Another number without a point.
    fn unsigned(&mut self, value: u64) -> Written {
        Err(BadValue::wrong_type(value, self.name()).into())
    }

    /// A number with a point or an exponent, or beyond 64 bits.
    fn float(&mut self, value: f64) -> Written {
        Err(BadValue::wrong_type(value, self.name()).into())
    }

    /// A number, by its text.
    fn number_text(&mut self, text: &str) -> Written {
        Err(BadValue::wrong_type(shown(text), self.name()).into())
    }

    /// A string.
    fn text(&mut self, text: &str) -> Written {
        Err(BadValue::wrong_type(quoted(text), self.name()).into())
    }

    /// A string, by its JSON text.
    fn text_json(&mut self, json: &str) -> Written {
        self.text(&string(json)?)
    }

    /// An object or an array, by its text.
    fn nested(&mut self, json: &str) -> Written {
        let found = if json.starts_with('[') { "an array" } else { "an object" };
        Err(BadValue::wrong_type(found, self.name()).into())
    }
}

/// Writes the value that is written as `json`: one whole JSON value, without space around it.
pub(in super::super) fn write_text<S: Sink>(sink: &mut S, json: &str) -> Written {
    match json.as_bytes().first() {
        Some(b'n') => {
            sink.null();
            Ok(())
        }
        Some(b't') => sink.boolean(true),
        Some(b'f') => sink.boolean(false),
        Some(b'"') => sink.text_json(json),
        Some(b'{' | b'[') => sink.nested(json),
        _ => sink.number_text(json),
    }
}

/// The characters of a JSON string. A value that is kept as text was not looked into: its escapes can be wrong.
fn string(json: &str) -> Result<String, Refusal> {
    serde_json::from_str(json).map_err(|error| {
        BadValue { reason: ErrorReason::MalformedJson, message: format!("{} is not JSON: {error}", shown(json)) }.into()
    })
}

/// Checks that nested JSON can be read again later without exhausting a stack.
pub(super) fn check_depth(json: &str) -> Result<(), Refusal> {
    // Opening brackets bound the depth, whether or not they are inside strings; counting them is nearly free.
    let opened = json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    if opened <= DEPTH_MAX || depth(json) <= DEPTH_MAX {
        return Ok(());
    }
    let message = format!("the value is nested more than {DEPTH_MAX} levels deep");
    Err(BadValue { reason: ErrorReason::TooDeep, message }.into())
}

fn depth(json: &str) -> usize {
    let (mut deepest, mut depth) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// Whether `text` is one JSON value.
pub(in super::super) fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert_eq!(depth(r#"{"a":["}]]]",{"b":"\"[["}]}"#), 3);
        assert!(check_depth(&format!("\"{}\"", "[".repeat(1000))).is_ok());
        assert!(check_depth(&format!("[{}]", "[],".repeat(1000))).is_ok());
        assert!(check_depth(&"[".repeat(DEPTH_MAX + 1)).is_err());
    }
}
