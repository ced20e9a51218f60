//! A record's members, one after the other, for whoever does not know yet what to look for.

use std::borrow::Cow;

use super::super::column::characters;
use super::scan::{Cursor, Json, Kind};

/// The members of the one object that `text` is, in their order; names may repeat. `None` if it is no object.
pub(in super::super) fn members(text: &str) -> Option<Vec<(Cow<'_, str>, Json<'_>)>> {
    let mut cursor = Cursor::new(text);
    let mut members = Vec::new();
    if !cursor.pass(b'{') {
        return None;
    }
    let mut is_open = !cursor.pass(b'}');
    while is_open {
        let key = cursor.value()?;
        let name = match key.kind {
            Kind::Plain => Cow::Borrowed(&key.text[1..key.text.len() - 1]),
            Kind::Escaped => Cow::Owned(characters(key.text).ok()?),
            _ => return None,
        };
        if !cursor.pass(b':') {
            return None;
        }
        members.push((name, cursor.value()?));
        is_open = cursor.pass(b',');
        if !is_open && !cursor.pass(b'}') {
            return None;
        }
    }
    cursor.is_at_end().then_some(members)
}
