//! Columns of text: strings, JSON as it was received, and fields whose type nobody told.

use arrow::array::ArrayRef;

use super::super::reason::{BadValue, ErrorReason, quoted, shown};
use super::buffer::Texts;
use super::number::buffer;
use super::sink::{Sink, Written, check_depth};

/// VARCHAR(n) and TEXT: strings of at most n characters.
pub(in super::super) struct TextColumn {
    pub(super) texts: Texts,
    pub(super) characters_max: Option<u32>,
    pub(super) name: String,
}

/// Whether `text` has at most `max` characters.
pub(in super::super) fn within(text: &str, max: Option<u32>) -> bool {
    let Some(max) = max else { return true };
    let max = max as usize;
    // No text has more characters than bytes.
    text.len() <= max || text.chars().nth(max).is_none()
}

/// `text` has too many characters for a column of `kind`.
pub(in super::super) fn too_long(text: &str, kind: &str) -> BadValue {
    let message = format!("{} has {} characters, too many for {kind}", quoted(text), text.chars().count());
    BadValue { reason: ErrorReason::TooLong, message }
}

impl Sink for TextColumn {
    buffer!(texts);

    fn name(&self) -> &str {
        &self.name
    }

    fn text(&mut self, text: &str) -> Written {
        if !within(text, self.characters_max) {
            return Err(too_long(text, &self.name).into());
        }
        self.texts.push(text)
    }
}

/// A CHAR's value: the blanks at its end do not count, as MySQL never shows them.
pub(in super::super) fn char_value<'a>(text: &'a str, characters: u32, kind: &str) -> Result<&'a str, BadValue> {
    let text = text.trim_end_matches(' ');
    if within(text, Some(characters)) { Ok(text) } else { Err(too_long(text, kind)) }
}

/// An ENUM's value: one of its texts, to the letter.
pub(in super::super) fn enum_value<'a>(text: &'a str, values: &[String]) -> Result<&'a str, BadValue> {
    if values.iter().any(|value| value == text) {
        return Ok(text);
    }
    let all = values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
    let message = format!("{} is none of the enum's values, {}", quoted(text), shown(&all));
    Err(BadValue { reason: ErrorReason::NotInEnum, message })
}

/// CHAR(n).
pub(in super::super) struct CharColumn {
    pub(super) texts: Texts,
    pub(super) characters: u32,
    pub(super) name: String,
}

impl Sink for CharColumn {
    buffer!(texts);

    fn name(&self) -> &str {
        &self.name
    }

    fn text(&mut self, text: &str) -> Written {
        let text = char_value(text, self.characters, &self.name)?;
        self.texts.push(text)
    }
}

/// ENUM('a', 'b').
pub(in super::super) struct EnumColumn {
    pub(super) texts: Texts,
    pub(super) values: Vec<String>,
}

impl Sink for EnumColumn {
    buffer!(texts);

    fn name(&self) -> &str {
        "enum"
    }

    fn text(&mut self, text: &str) -> Written {
        let text = enum_value(text, &self.values)?;
        self.texts.push(text)
    }
}

/// JSON: any value but `null`, as the text that was received.
pub(in super::super) struct JsonColumn {
    pub(super) texts: Texts,
}

impl Sink for JsonColumn {
    const KEEPS_JSON: bool = true;
    buffer!(texts);

    fn name(&self) -> &str {
        "json"
    }

    fn json(&mut self, json: &str) -> Written {
        check_depth(json)?;
        self.texts.push(json)
    }
}

/// Whatever it is, as text: a string's characters, else the JSON text received.
pub(in super::super) struct AnyTextColumn {
    pub(super) texts: Texts,
}

impl Sink for AnyTextColumn {
    buffer!(texts);

    fn name(&self) -> &str {
        "text"
    }

    fn boolean(&mut self, value: bool) -> Written {
        self.texts.push(if value { "true" } else { "false" })
    }

    fn number(&mut self, text: &str) -> Written {
        self.texts.push(text)
    }

    fn text(&mut self, text: &str) -> Written {
        self.texts.push(text)
    }

    fn json(&mut self, json: &str) -> Written {
        check_depth(json)?;
        self.texts.push(json)
    }
}
