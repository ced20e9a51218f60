//! Why a record could not become a row: the names that the `reason` column of an error table shows, and the sentence that
//! goes with each. The names are stable: people filter and alert on them.

use std::fmt;

/// Why, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorReason {
    /// The payload is not JSON.
    MalformedJson,
    /// The payload is the beginning of a JSON value.
    TruncatedJson,
    /// The payload, or the key where it is asked for, is not UTF-8.
    NotUtf8,
    /// The record has no payload.
    NullPayload,
    /// The payload is JSON, but no object.
    NotAnObject,
    /// A value is of a type that its column does not take.
    WrongType,
    /// A value is of the right type, and too large or too small.
    OutOfRange,
    /// A text has more characters than its column takes, or a value more bytes.
    TooLong,
    /// A text is none of its ENUM's.
    NotInEnum,
    /// A value is nested more deeply than is ever read back.
    TooDeep,
    /// A NOT NULL column has neither a value nor a DEFAULT.
    MissingNotNull,
    /// The payload is above `max_record_bytes`.
    RecordTooLarge,
    /// An expression of the pipeline's SELECT failed on this record.
    Expression,
}

impl ErrorReason {
    /// The stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MalformedJson => "malformed_json",
            Self::TruncatedJson => "truncated_json",
            Self::NotUtf8 => "not_utf8",
            Self::NullPayload => "null_payload",
            Self::NotAnObject => "not_an_object",
            Self::WrongType => "wrong_type",
            Self::OutOfRange => "out_of_range",
            Self::TooLong => "too_long",
            Self::NotInEnum => "not_in_enum",
            Self::TooDeep => "too_deep",
            Self::MissingNotNull => "missing_not_null",
            Self::RecordTooLarge => "record_too_large",
            Self::Expression => "expression",
        }
    }
}

impl fmt::Display for ErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that becomes an error row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Its index in the [`Records`](crate::write::source::Records) that it came with.
    pub record: u32,
    /// Why, in one word.
    pub reason: ErrorReason,
    /// Why, in a sentence.
    pub message: String,
}

/// A value that its column does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadValue {
    pub(super) reason: ErrorReason,
    pub(super) message: String,
}

impl BadValue {
    /// `found` is of a type that a column of `kind` does not take.
    pub(super) fn wrong_type(found: impl fmt::Display, kind: &str) -> Self {
        Self { reason: ErrorReason::WrongType, message: format!("{found} cannot become {kind}") }
    }

    /// The number `found` has digits after the point that a column of `kind` would lose.
    pub(super) fn fraction(found: impl fmt::Display, kind: &str) -> Self {
        let message = format!("{found} cannot become {kind} without losing digits after the point");
        Self { reason: ErrorReason::WrongType, message }
    }

    /// `found` is too large or too small for a column of `kind`.
    pub(super) fn out_of_range(found: impl fmt::Display, kind: &str) -> Self {
        Self { reason: ErrorReason::OutOfRange, message: format!("{found} is out of range for {kind}") }
    }

    /// `bytes` are no text from the byte at `at` on, and a column of `kind` holds texts.
    pub(super) fn not_utf8(bytes: &[u8], at: usize, kind: &str) -> Self {
        let shown: String = bytes[at..].iter().take(SHOWN_BYTES).map(|byte| format!("\\x{byte:02X}")).collect();
        let message = format!("{shown} at byte {at} is no UTF-8, and cannot become {kind}");
        Self { reason: ErrorReason::NotUtf8, message }
    }

    /// The same, said of a place.
    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        Self { reason: self.reason, message: format!("{place}: {}", self.message) }
    }

    /// The same, said of a record.
    pub(super) fn of(self, record: u32) -> BadRecord {
        BadRecord { record, reason: self.reason, message: self.message }
    }
}

/// How much of a value a message repeats.
const SHOWN_CHARACTERS: usize = 64;
/// How many bytes a message shows that are no text.
const SHOWN_BYTES: usize = 6;

/// The beginning of a text, for a message.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// A string, for a message.
pub(super) fn quoted(text: &str) -> String {
    format!("the string {:?}", shown(text))
}
