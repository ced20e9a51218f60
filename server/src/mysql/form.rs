//! What the text of a value depends on beside its Arrow type: the digits of a second that its column was declared with, and
//! the like. Read off the SQL type that a field carries.

/// How values of one column are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As their Arrow type says.
    Plain,
    /// With so many digits of a second.
    Digits(u8),
    /// A year, of four digits.
    Year,
    /// JSON, which within an array is no text but a value.
    Json,
    /// An array of such elements.
    Array(Box<Form>),
    /// A map of such keys and values.
    Map(Box<(Form, Form)>),
}

impl Form {
    /// The form of a column of that SQL type, in whatever case; of a type that is not known, its plain one.
    pub(super) fn named(sql_type: &str) -> Self {
        let sql_type = sql_type.trim();
        if let Some(element) = inside(sql_type, "array") {
            return Self::Array(Box::new(Self::named(element)));
        }
        if let Some(entry) = inside(sql_type, "map") {
            let Some((key, value)) = split_top(entry) else { return Self::Plain };
            return Self::Map(Box::new((Self::named(key), Self::named(value))));
        }
        let (head, rest) = sql_type.split_once('(').unwrap_or((sql_type, ""));
        match head.trim().to_ascii_lowercase().as_str() {
            "time" | "datetime" | "timestamp" => match rest.trim_end_matches(')').trim().parse() {
                Ok(digits @ 0..=6) => Self::Digits(digits),
                _ => Self::Plain,
            },
            "year" => Self::Year,
            "json" => Self::Json,
            _ => Self::Plain,
        }
    }

    /// Digits of a second, where they were declared.
    pub(super) fn digits(&self) -> Option<u8> {
        if let Self::Digits(digits) = self { Some(*digits) } else { None }
    }

    /// The form of an array's elements.
    pub(super) fn element(&self) -> &Self {
        if let Self::Array(element) = self { element } else { &Self::Plain }
    }

    /// The forms of a map's keys and values.
    pub(super) fn entry(&self) -> (&Self, &Self) {
        if let Self::Map(entry) = self { (&entry.0, &entry.1) } else { (&Self::Plain, &Self::Plain) }
    }
}

/// What stands between the angle brackets after `name`.
fn inside<'a>(sql_type: &'a str, name: &str) -> Option<&'a str> {
    let head = sql_type.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name))?;
    sql_type[head.len()..].trim_start().strip_prefix('<')?.strip_suffix('>')
}

/// The two sides of the comma that stands in no bracket and in no quotes.
fn split_top(text: &str) -> Option<(&str, &str)> {
    let (mut depth, mut quoted, mut escaped) = (0_i32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'\'' => quoted = !quoted,
            _ if quoted => {}
            b'(' | b'<' => depth += 1,
            b')' | b'>' => depth -= 1,
            b',' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_form_is_read_off_the_type_however_deep_it_stands() {
        assert_eq!(Form::named("DATETIME(3)"), Form::Digits(3));
        assert_eq!(Form::named("timestamp"), Form::Plain);
        assert_eq!(Form::named("year"), Form::Year);
        assert_eq!(Form::named("decimal(10,2)"), Form::Plain);
        let map = Form::named("map<enum('a,>','it''s'),array<time(0)>>");
        assert_eq!(map.entry(), (&Form::Plain, &Form::Array(Box::new(Form::Digits(0)))));
        assert_eq!(Form::named("array<decimal(10,2)>").element(), &Form::Plain);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in "[a-z<>(),' 0-9ä\\\\]{0,20}") {
            let _ = Form::named(&text);
            let _ = Form::named(&format!("map<{text}>"));
        }
    }
}
