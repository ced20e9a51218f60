//! The seam between JSON and a column: which JSON values there are, and what a column says to each.

use arrow::array::ArrayRef;
use serde_json::value::RawValue;

use super::super::json::{Json, Kind};
use super::super::reason::{BadValue, ErrorReason, quoted, shown};

/// Whether a value was written. If not, nothing was.
pub(in super::super) type Written = Result<(), Box<BadValue>>;

/// How deeply a JSON value may be nested: as deep as JSON readers go that use their stack.
const DEPTH_MAX: usize = 128;

/// A column, as one JSON value after the other is written to it. What it does not say, it does not take.
pub(in super::super) trait Sink {
    /// Whether each value but `null` is kept as the JSON text received.
    const KEEPS_JSON: bool = false;

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

    /// A number, by its text.
    fn number(&mut self, text: &str) -> Written {
        Err(BadValue::wrong_type(shown(text), self.name()).into())
    }

    /// A string, by its characters.
    fn text(&mut self, text: &str) -> Written {
        Err(BadValue::wrong_type(quoted(text), self.name()).into())
    }

    /// An object or an array, or whatever is kept as JSON, by its text.
    fn json(&mut self, json: &str) -> Written {
        let found = if json.starts_with('[') { "an array" } else { "an object" };
        Err(BadValue::wrong_type(found, self.name()).into())
    }
}

/// Writes one value.
pub(super) fn write<S: Sink>(sink: &mut S, value: Json<'_>) -> Written {
    match value.kind {
        Kind::Null => {
            sink.null();
            Ok(())
        }
        _ if S::KEEPS_JSON => sink.json(value.text),
        Kind::True => sink.boolean(true),
        Kind::False => sink.boolean(false),
        Kind::Number => sink.number(value.text),
        Kind::Plain => sink.text(&value.text[1..value.text.len() - 1]),
        Kind::Escaped => sink.text(&characters(value.text)?),
        Kind::Nested => sink.json(value.text),
    }
}

/// The characters of a JSON string with escapes. Half a surrogate pair is JSON, but no character.
pub(in super::super) fn characters(json: &str) -> Result<String, BadValue> {
    serde_json::from_str(json).map_err(|error| BadValue {
        reason: ErrorReason::MalformedJson,
        message: format!("{} is not text: {error}", shown(json)),
    })
}

/// Checks that nested JSON can be read again later without exhausting a stack.
pub(super) fn check_depth(json: &str) -> Written {
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
