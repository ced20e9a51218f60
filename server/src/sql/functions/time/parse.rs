//! Texts as moments, by MySQL's format letters.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// The letters of a short name.
const SHORT: usize = 3;

/// What was read so far.
#[derive(Default)]
struct Found {
    year: Option<i32>,
    month: Option<u32>,
    day: Option<u32>,
    of_year: Option<u32>,
    hour: Option<u32>,
    minute: u32,
    second: u32,
    micros: u32,
    /// AM or PM.
    is_afternoon: Option<bool>,
    /// Whether a part of a date was named, and of a time.
    has_date: bool,
    has_time: bool,
}

/// The moment that `text` tells as `format` says; `None` where it does not, or where its day is none. What follows in the text is
/// passed over, and a text that ends early leaves the rest of the time 0. A format without a date is of 1970-01-01.
pub(super) fn parsed(text: &str, format: &str) -> Option<NaiveDateTime> {
    let mut found = Found::default();
    let mut rest = text.trim_start();
    let mut letters = format.trim_start().chars();
    while let Some(letter) = letters.next() {
        if letter.is_whitespace() {
            rest = rest.trim_start();
        } else if letter == '%' {
            let letter = letters.next()?;
            found.name(letter);
            // Where the text ends, what the format still names is only noted.
            if !rest.is_empty() {
                rest = found.take(rest, letter)?;
            }
        } else if !rest.is_empty() {
            rest = rest.strip_prefix(letter)?;
        }
    }
    found.moment()
}

impl Found {
    fn name(&mut self, letter: char) {
        match letter {
            'H' | 'k' | 'h' | 'I' | 'l' | 'i' | 'S' | 's' | 'f' | 'p' | 'r' | 'T' => self.has_time = true,
            '%' => {}
            _ => self.has_date = true,
        }
    }

    /// Takes one part from the front; what is left.
    fn take<'a>(&mut self, text: &'a str, letter: char) -> Option<&'a str> {
        let text = if letter == '%' { text } else { text.trim_start() };
        let (value, rest) = match letter {
            'Y' => number(text, 4)?,
            'y' | 'm' | 'c' | 'd' | 'e' | 'H' | 'k' | 'h' | 'I' | 'l' | 'i' | 'S' | 's' | 'D' => number(text, 2)?,
            'j' => number(text, 3)?,
            'f' => return self.fraction(text),
            'M' => name(text, &MONTHS, usize::MAX)?,
            'b' => name(text, &MONTHS, SHORT)?,
            'W' => name(text, &DAYS, usize::MAX)?,
            'a' => name(text, &DAYS, SHORT)?,
            'p' => return self.half(text),
            'r' => return self.times(text, &['I', ':', 'i', ':', 's', 'p']),
            'T' => return self.times(text, &['H', ':', 'i', ':', 's']),
            '%' => return text.strip_prefix('%'),
            _ => return None,
        };
        match letter {
            'Y' => self.year = i32::try_from(value).ok(),
            'y' => self.year = i32::try_from(if value < 70 { 2_000 + value } else { 1_900 + value }).ok(),
            'm' | 'c' => self.month = Some(value),
            'M' | 'b' => self.month = Some(value + 1),
            'd' | 'e' => self.day = Some(value),
            'D' => {
                self.day = Some(value);
                return rest.get(2..);
            }
            'j' => self.of_year = Some(value),
            'H' | 'k' => self.hour = Some(value),
            'h' | 'I' | 'l' => {
                self.hour = Some(value).filter(|hour| (1..=12).contains(hour));
                self.hour?;
                self.is_afternoon = self.is_afternoon.or(Some(false));
            }
            'i' => self.minute = value,
            'S' | 's' => self.second = value,
            _ => {}
        }
        Some(rest)
    }

    fn times<'a>(&mut self, mut text: &'a str, parts: &[char]) -> Option<&'a str> {
        for part in parts {
            if text.is_empty() {
                break;
            }
            text = if *part == ':' { text.strip_prefix(':')? } else { self.take(text, *part)? };
        }
        Some(text)
    }

    fn fraction<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (value, rest) = number(text, 6)?;
        let digits = u32::try_from(text.len() - rest.len()).ok()?;
        self.micros = value * 10_u32.pow(6 - digits);
        Some(rest)
    }

    fn half<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (word, rest) = text.split_at_checked(2)?;
        self.is_afternoon = match word.to_ascii_uppercase().as_str() {
            "AM" => Some(false),
            "PM" => Some(true),
            _ => return None,
        };
        Some(rest)
    }

    fn moment(self) -> Option<NaiveDateTime> {
        let date = match (self.has_date, self.of_year) {
            (false, _) => NaiveDate::default(),
            (true, Some(day)) => NaiveDate::from_yo_opt(self.year?, day)?,
            (true, None) => NaiveDate::from_ymd_opt(self.year?, self.month?, self.day?)?,
        };
        let hour = match (self.hour.unwrap_or(0), self.is_afternoon) {
            (hour, None) => hour,
            (hour, Some(is_afternoon)) => hour % 12 + if is_afternoon { 12 } else { 0 },
        };
        Some(date.and_time(NaiveTime::from_hms_micro_opt(hour, self.minute, self.second, self.micros)?))
    }
}

/// The number of at most so many digits that a text begins with, and what follows.
fn number(text: &str, digits_max: usize) -> Option<(u32, &str)> {
    let digits = text.bytes().take(digits_max).take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// The place in `names` of the one that a text begins with, of which so many letters count, and what follows.
fn name<'a>(text: &'a str, names: &[&str], letters: usize) -> Option<(u32, &'a str)> {
    names.iter().zip(0..).find_map(|(name, place)| {
        let wanted = &name[..name.len().min(letters)];
        let (word, rest) = text.split_at_checked(wanted.len())?;
        word.eq_ignore_ascii_case(wanted).then_some((place, rest))
    })
}

/// Whether a format names a part of a date, and of a time.
pub(crate) fn parts(format: &str) -> (bool, bool) {
    let mut found = Found::default();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter == '%'
            && let Some(letter) = letters.next()
        {
            found.name(letter);
        }
    }
    (found.has_date, found.has_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_as_its_format_says() {
        for (text, format, moment) in [
            ("01,5,2013", "%d,%m,%Y", "2013-05-01 00:00:00"),
            ("May 1, 2013", "%M %d,%Y", "2013-05-01 00:00:00"),
            ("2024-01-31 10:11:12.5", "%Y-%m-%d %H:%i:%s.%f", "2024-01-31 10:11:12.500"),
            ("2024-01-31", "%Y-%m-%d %H:%i:%s", "2024-01-31 00:00:00"),
            ("31st of jan 24, 1:05 pm", "%D of %b %y, %l:%i %p", "2024-01-31 13:05:00"),
            ("Wed 70/12/31 12:00:00 AM", "%a %y/%m/%d %r", "1970-12-31 00:00:00"),
            ("2024 060", "%Y %j", "2024-02-29 00:00:00"),
            ("10:11:12 and more", "%T", "1970-01-01 10:11:12"),
        ] {
            assert_eq!(parsed(text, format).map(|moment| moment.to_string()).as_deref(), Some(moment), "{text}");
        }
        for (text, format) in [
            ("2024-02-30", "%Y-%m-%d"),
            ("abc", "%Y-%m-%d"),
            ("2024-01", "%Y-%m"),
            ("13:00 PM", "%h:%i %p"),
            ("2024/01/31", "%Y-%m-%d"),
            ("25:00", "%H:%i"),
        ] {
            assert_eq!(parsed(text, format), None, "{text}");
        }
        assert_eq!((parts("%Y-%m"), parts("%H%%"), parts("%%")), ((true, false), (false, true), (false, false)));
    }
}
