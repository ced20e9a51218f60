//! What was seen in one field, and the type that holds all of it.

use catalog::{ColumnType, IntegerWidth};

use super::super::column::characters;
use super::super::json::{Json, Kind};
use super::super::reason::shown;
use super::super::time::{Zone, date, date_time};

/// The most digits of a DECIMAL.
const DECIMAL_DIGITS_MAX: usize = 38;

/// Counts of values, by what they could be at the narrowest.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    booleans: u64,
    /// Within 64 bits, signed.
    whole: u64,
    /// Within 64 bits, unsigned, and above the signed ones.
    unsigned: u64,
    /// Of at most 38 digits, and above those.
    long: u64,
    /// With a point or an exponent.
    fractions: u64,
    /// Beyond all of these.
    huge: u64,
    negative: u64,
    dates: u64,
    /// Times without a zone.
    unzoned: u64,
    zoned: u64,
    /// Other strings.
    texts: u64,
    /// Strings that are no text: half a surrogate pair.
    broken: u64,
    nested: u64,
    first: Option<String>,
}

impl Seen {
    /// Takes a value.
    pub(super) fn take(&mut self, value: Json<'_>) {
        let mut first = shown(value.text);
        match value.kind {
            Kind::Null => return,
            Kind::True | Kind::False => self.booleans += 1,
            Kind::Number => self.number(value.text),
            Kind::Plain | Kind::Escaped => match characters(value.text) {
                Ok(text) => {
                    self.text(&text);
                    first = shown(&text);
                }
                Err(_) => self.broken += 1,
            },
            Kind::Nested => self.nested += 1,
        }
        self.first.get_or_insert(first);
    }

    fn number(&mut self, text: &str) {
        self.negative += u64::from(text.starts_with('-'));
        let digits = text.trim_start_matches('-').len();
        let count = if text.contains(['.', 'e', 'E']) {
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => &mut self.fractions,
                _ => &mut self.huge,
            }
        } else if text.parse::<i64>().is_ok() {
            &mut self.whole
        } else if text.parse::<u64>().is_ok() {
            &mut self.unsigned
        } else if digits <= DECIMAL_DIGITS_MAX {
            &mut self.long
        } else {
            &mut self.huge
        };
        *count += 1;
    }

    fn text(&mut self, text: &str) {
        let count = match (date(text), date_time(text)) {
            (Some(_), _) => &mut self.dates,
            (None, Some(clock)) if clock.zone == Zone::Unsaid => &mut self.unzoned,
            (None, Some(_)) => &mut self.zoned,
            (None, None) => &mut self.texts,
        };
        *count += 1;
    }

    /// Adds what was seen under another spelling.
    pub(super) fn add(&mut self, other: &Self) {
        let counts = [
            (&mut self.booleans, other.booleans),
            (&mut self.whole, other.whole),
            (&mut self.unsigned, other.unsigned),
            (&mut self.long, other.long),
            (&mut self.fractions, other.fractions),
            (&mut self.huge, other.huge),
            (&mut self.negative, other.negative),
            (&mut self.dates, other.dates),
            (&mut self.unzoned, other.unzoned),
            (&mut self.zoned, other.zoned),
            (&mut self.texts, other.texts),
            (&mut self.broken, other.broken),
            (&mut self.nested, other.nested),
        ];
        counts.into_iter().for_each(|(count, other)| *count += other);
        self.first = self.first.take().or_else(|| other.first.clone());
    }

    fn integers(&self) -> u64 {
        self.whole + self.unsigned + self.long
    }

    fn numbers(&self) -> u64 {
        self.integers() + self.fractions + self.huge
    }

    fn strings(&self) -> u64 {
        self.dates + self.unzoned + self.zoned + self.texts + self.broken
    }

    /// How many values there were.
    pub(super) fn values(&self) -> u64 {
        self.booleans + self.numbers() + self.strings() + self.nested
    }

    /// The first value.
    pub(super) fn first(&self) -> Option<&str> {
        self.first.as_deref()
    }

    /// The narrowest type that takes every value, and what was found.
    pub(super) fn kind(&self) -> (ColumnType, String) {
        let all = self.values();
        if all == 0 {
            return (ColumnType::Text { characters_max: None }, "nothing but null".to_owned());
        }
        if self.booleans == all {
            return (ColumnType::Boolean, "booleans".to_owned());
        }
        if self.numbers() == all {
            return self.number_kind();
        }
        if self.strings() == all {
            return self.string_kind();
        }
        if self.nested == all {
            return (ColumnType::Json, "objects or arrays".to_owned());
        }
        let kinds = [
            (self.booleans, "booleans"),
            (self.numbers(), "numbers"),
            (self.strings(), "strings"),
            (self.nested, "objects or arrays"),
        ];
        let found: Vec<&str> = kinds.into_iter().filter(|(count, _)| *count > 0).map(|(_, name)| name).collect();
        (ColumnType::Json, format!("mixed kinds ({})", found.join(", ")))
    }

    fn number_kind(&self) -> (ColumnType, String) {
        let (kind, found) = if self.huge > 0 {
            (ColumnType::Json, "numbers beyond DOUBLE and DECIMAL, kept as received")
        } else if self.fractions > 0 && self.integers() > 0 {
            (ColumnType::Double, "numbers with and without a fraction")
        } else if self.fractions > 0 {
            (ColumnType::Double, "numbers with a fraction")
        } else if self.long > 0 {
            (ColumnType::Decimal { precision: 38, scale: 0 }, "whole numbers beyond 64 bits")
        } else if self.unsigned > 0 && self.negative > 0 {
            (ColumnType::Decimal { precision: 20, scale: 0 }, "whole numbers, some below 0 and some beyond BIGINT")
        } else if self.unsigned > 0 {
            let kind = ColumnType::Integer { width: IntegerWidth::Big, unsigned: true };
            (kind, "whole numbers, some beyond BIGINT")
        } else {
            (ColumnType::Integer { width: IntegerWidth::Big, unsigned: false }, "whole numbers")
        };
        (kind, found.to_owned())
    }

    fn string_kind(&self) -> (ColumnType, String) {
        let text = ColumnType::Text { characters_max: None };
        let (kind, found) = if self.broken > 0 {
            (ColumnType::Json, "strings, some with half a surrogate pair, kept as received")
        } else if self.texts > 0 && self.texts < self.strings() {
            (text, "strings, some of them dates or times")
        } else if self.texts > 0 {
            (text, "strings")
        } else if self.zoned > 0 && self.unzoned + self.dates > 0 {
            (text, "times with and without a zone")
        } else if self.zoned > 0 {
            (ColumnType::TIMESTAMP, "times with a zone")
        } else if self.unzoned > 0 {
            (ColumnType::DATETIME, "times without a zone")
        } else {
            (ColumnType::Date, "dates")
        };
        (kind, found.to_owned())
    }
}
