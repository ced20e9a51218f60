//! The values of `cases` as parameters of a prepared statement: what an application would send for the literal, as text, as a value of
//! its own type, or as long data.

use server::client::prepared::{Clock, Day, Parameter};

/// What an application sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Everything as text, but for bytes.
    Text,
    /// Numbers, decimals and times in the protocol's own types.
    Typed,
    /// Strings, bytes and JSON ahead of the execution, in pieces that cut characters apart; the rest as text.
    Long,
}

/// Bytes of a piece of long data.
const PIECE: usize = 2;

impl Sent {
    pub const ALL: [Self; 3] = [Self::Text, Self::Typed, Self::Long];

    /// The parameter for `literal`, which goes into a column that is declared so.
    pub fn parameter(self, declared: &str, literal: &str) -> Parameter {
        if let Some(digits) = literal.strip_prefix("X'").and_then(|digits| digits.strip_suffix('\'')) {
            let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
            let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
            return if self == Self::Long { long(&bytes) } else { Parameter::Bytes(bytes) };
        }
        let text = match literal {
            "FALSE" => "0".to_owned(),
            "TRUE" => "1".to_owned(),
            _ => unquoted(literal),
        };
        match self {
            Self::Text => Parameter::Text(text),
            Self::Typed => typed(declared, &text).unwrap_or(Parameter::Text(text)),
            Self::Long if is_long(declared) => long(text.as_bytes()),
            Self::Long => Parameter::Text(text),
        }
    }
}

/// Whether clients send values of the type as long data.
fn is_long(declared: &str) -> bool {
    let long = ["CHAR", "VARCHAR", "TEXT", "ENUM", "BINARY", "VARBINARY", "BLOB", "JSON", "ARRAY", "MAP"];
    long.contains(&name(declared))
}

fn long(bytes: &[u8]) -> Parameter {
    let mut pieces: Vec<Vec<u8>> = bytes.chunks(PIECE).map(<[u8]>::to_vec).collect();
    if pieces.is_empty() {
        // Nothing at all would not be long data.
        pieces.push(Vec::new());
    }
    Parameter::Long(pieces)
}

/// The type's name, without its size.
fn name(declared: &str) -> &str {
    declared.split([' ', '(', '<']).next().unwrap_or_default()
}

/// What a literal says, without its quotes.
pub fn unquoted(literal: &str) -> String {
    let Some(inside) = literal.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) else {
        return literal.to_owned();
    };
    let (mut text, mut rest) = (String::new(), inside.chars());
    while let Some(next) = rest.next() {
        match next {
            // The second one.
            '\'' => text.extend(rest.next()),
            '\\' => text.push(match rest.next().unwrap() {
                'n' => '\n',
                '0' => '\0',
                other => other,
            }),
            other => text.push(other),
        }
    }
    text
}

/// The value in the protocol's type for the column; nothing where it has none that says as much as the text.
fn typed(declared: &str, text: &str) -> Option<Parameter> {
    match name(declared) {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" | "YEAR" => whole(text),
        "FLOAT" | "DOUBLE" => text.parse().ok().map(Parameter::Double),
        "DECIMAL" => text.parse::<f64>().ok().map(|_| Parameter::Decimal(text.to_owned())),
        "DATE" => day(text).map(Parameter::Date),
        "DATETIME" | "TIMESTAMP" => {
            let (of_day, of_clock) = text.split_once(' ')?;
            Some(Parameter::DateTime(day(of_day)?, clock(of_clock)?))
        }
        "TIME" => {
            let span = text.strip_prefix('-');
            Some(Parameter::Time { negative: span.is_some(), clock: clock(span.unwrap_or(text))? })
        }
        _ => None,
    }
}

fn whole(text: &str) -> Option<Parameter> {
    let signed = text.parse().ok().map(Parameter::Int);
    let unsigned = || text.parse().ok().map(Parameter::Unsigned);
    signed.or_else(unsigned).or_else(|| text.parse::<f64>().ok().map(|_| Parameter::Decimal(text.to_owned())))
}

fn day(text: &str) -> Option<Day> {
    let mut parts = text.splitn(3, '-');
    let day =
        Day { year: parts.next()?.parse().ok()?, month: parts.next()?.parse().ok()?, day: parts.next()?.parse().ok()? };
    Some(day)
}

/// A clock, if its fraction has no more digits than the protocol has.
fn clock(text: &str) -> Option<Clock> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = whole.splitn(3, ':');
    let (hours, minute) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let second = parts.next().map_or(Some(0), |second| second.parse().ok())?;
    (fraction.len() <= 6).then_some(())?;
    let micros = format!("{fraction:0<6}").parse().ok()?;
    Some(Clock { hours, minute, second, micros })
}
