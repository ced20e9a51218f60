//! One payload, read from left to right: which JSON value comes next, and where it ends.
//!
//! Takes exactly what JSON is, and changes nothing: a value is its text. Nested values and strings with escapes, whose
//! ends are not plain to see, are measured by serde_json.

use serde_json::value::RawValue;

/// What sort of value a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Kind {
    Null,
    True,
    False,
    Number,
    /// A string without escapes: its characters stand between its quotes.
    Plain,
    /// A string with escapes.
    Escaped,
    /// An object or an array.
    Nested,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Json<'a> {
    pub(in super::super) kind: Kind,
    /// The text received, without space around it.
    pub(in super::super) text: &'a str,
}

/// A place in a payload.
pub(in super::super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(in super::super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    fn skip_space(&mut self) {
        // Most producers write none.
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.rest().first() {
            self.at += 1;
        }
    }

    /// Passes `byte`, and the space before it, if it comes next.
    pub(in super::super) fn pass(&mut self, byte: u8) -> bool {
        self.skip_space();
        let passed = self.rest().first() == Some(&byte);
        self.at += usize::from(passed);
        passed
    }

    /// Passes exactly `expected`, if it comes next.
    pub(in super::super) fn pass_all(&mut self, expected: &[u8]) -> bool {
        let passed = self.rest().starts_with(expected);
        self.at += if passed { expected.len() } else { 0 };
        passed
    }

    /// Whether only space is left.
    pub(in super::super) fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.rest().is_empty()
    }

    /// Passes the value that comes next, and the space before it. `None` if none does: this is not JSON, or its beginning.
    pub(in super::super) fn value(&mut self) -> Option<Json<'a>> {
        self.skip_space();
        let rest = self.rest();
        let (kind, length) = match rest.first()? {
            b'"' => match string(rest) {
                Some(length) => (Kind::Plain, length),
                None => return self.measured(Kind::Escaped),
            },
            b'-' | b'0'..=b'9' => (Kind::Number, number(rest)?),
            b'n' if rest.starts_with(b"null") => (Kind::Null, 4),
            b't' if rest.starts_with(b"true") => (Kind::True, 4),
            b'f' if rest.starts_with(b"false") => (Kind::False, 5),
            b'{' | b'[' => return self.measured(Kind::Nested),
            _ => return None,
        };
        let text = &self.text[self.at..self.at + length];
        self.at += length;
        Some(Json { kind, text })
    }

    fn measured(&mut self, kind: Kind) -> Option<Json<'a>> {
        let mut values = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<&RawValue>();
        let text = values.next()?.ok()?.get();
        self.at += values.byte_offset();
        Some(Json { kind, text })
    }
}

const ONES: u64 = u64::from_le_bytes([1; 8]);
const TOPS: u64 = ONES << 7;

/// The length of the string that `bytes` begins with, quotes included. `None` if a backslash or a control character comes
/// before its end, or nothing does.
fn string(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    // Eight bytes at once; the lowest marked byte is exact, whatever is marked above it.
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let is_zero = |word: u64| word.wrapping_sub(ONES) & !word;
        let controls = word.wrapping_sub(ONES * 0x20) & !word;
        let marked =
            (is_zero(word ^ (ONES * u64::from(b'"'))) | is_zero(word ^ (ONES * u64::from(b'\\'))) | controls) & TOPS;
        if marked != 0 {
            at += marked.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' | 0..0x20 => return None,
            _ => at += 1,
        }
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The length of the number that `bytes` begins with.
fn number(bytes: &[u8]) -> Option<usize> {
    let mut at = usize::from(bytes.first() == Some(&b'-'));
    let whole = digits(&bytes[at..]);
    if whole == 0 || whole > 1 && bytes[at] == b'0' {
        return None;
    }
    at += whole;
    if bytes.get(at) == Some(&b'.') {
        let fraction = digits(&bytes[at + 1..]);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(&bytes[at..]);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_its_text_and_what_follows_stays() {
        let cases = [
            ("null,", Kind::Null, "null"),
            (" true}", Kind::True, "true"),
            ("-0.50e+3 ", Kind::Number, "-0.50e+3"),
            ("0", Kind::Number, "0"),
            (r#""",x"#, Kind::Plain, r#""""#),
            (r#""ä characters, and more than eight" :"#, Kind::Plain, r#""ä characters, and more than eight""#),
            (r#""a \" b", "c""#, Kind::Escaped, r#""a \" b""#),
            (r#"[1, {"a": "]"}] , 2"#, Kind::Nested, r#"[1, {"a": "]"}]"#),
        ];
        for (text, kind, value) in cases {
            let mut cursor = Cursor::new(text);
            assert_eq!(cursor.value(), Some(Json { kind, text: value }), "{text}");
            assert_eq!(&text[cursor.at..], text.split_once(value).expect("it is in there").1);
        }
    }

    #[test]
    fn what_is_not_json_is_no_value() {
        for text in [
            "", " ", "nul", "True", "01", "-", "1.", ".5", "1e", "+1", "\"a", "\"a\nb\"", "\"\\q\"", "[1", "{]", "NaN",
            "'a'",
        ] {
            assert_eq!(Cursor::new(text).value(), None, "{text:?}");
        }
    }

    #[test]
    fn strings_end_where_serde_json_says() {
        for length in 0..40 {
            for special in ["\"", "\\", "\u{1f}", "ä", "\u{7f}", "€\""] {
                let text = format!("\"{}{special}{}\"", "x".repeat(length), "y".repeat(40 - length));
                let mut theirs = serde_json::Deserializer::from_str(&text).into_iter::<&RawValue>();
                let theirs = theirs.next().and_then(Result::ok).map(RawValue::get);
                assert_eq!(Cursor::new(&text).value().map(|value| value.text), theirs, "{text:?}");
            }
        }
    }
}
