//! ISO text to days and microseconds. Owns the forms that are taken; no column and no zone but UTC and fixed offsets.

use chrono::{Datelike, NaiveDate};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 1970-01-01, counted as chrono counts days.
const EPOCH_DAY: i32 = 719_163;

/// What a text says of its zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Nothing.
    Unsaid,
    /// `Z`.
    Utc,
    /// `+hh:mm`, in seconds east of UTC.
    Offset(i32),
}

/// A time of a day, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WallClock {
    /// Microseconds since 1970-01-01 00:00:00 on the clock that was read; what is below a microsecond is cut off.
    pub(super) micros: i64,
    /// Which clock it was.
    pub(super) zone: Zone,
    /// Whether what was cut off is half a microsecond or more.
    pub(super) rounds_up: bool,
}

/// A span of time, as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// In microseconds; what is below one is cut off.
    pub(super) micros: i64,
    /// Whether it is below zero, if only by what was cut off.
    pub(super) negative: bool,
    /// Whether what was cut off is half a microsecond or more.
    pub(super) rounds_up: bool,
}

impl WallClock {
    /// Microseconds since 1970 UTC; a time without a zone is UTC.
    pub(super) fn utc_micros(self) -> i64 {
        match self.zone {
            Zone::Unsaid | Zone::Utc => self.micros,
            Zone::Offset(seconds) => self.micros - i64::from(seconds) * MICROS_PER_SECOND,
        }
    }
}

/// The number in `digits`, all of which must be digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
}

/// Days since 1970-01-01 of `YYYY-MM-DD`, years 0001 to 9999.
pub(super) fn date(text: &str) -> Option<i32> {
    date_bytes(text.as_bytes())
}

fn date_bytes(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else { return None };
    let year = number(&[y0, y1, y2, y3])?;
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, number(&[m0, m1])?, number(&[d0, d1])?)?;
    (year > 0).then(|| date.num_days_from_ce() - EPOCH_DAY)
}

/// `YYYY-MM-DD`, which is its midnight, or `YYYY-MM-DD[ T]HH:MM:SS[.f{1,9}][Z|±HH:MM|±HHMM|±HH]`.
pub(super) fn date_time(text: &str) -> Option<WallClock> {
    let text = text.as_bytes();
    let (day, rest) = text.split_at_checked(10)?;
    let day_micros = i64::from(date_bytes(day)?) * SECONDS_PER_DAY * MICROS_PER_SECOND;
    if rest.is_empty() {
        return Some(WallClock { micros: day_micros, zone: Zone::Unsaid, rounds_up: false });
    }
    let (clock, rest) = rest.split_at_checked(9)?;
    let [b' ' | b'T' | b't', h0, h1, b':', m0, m1, b':', s0, s1] = *clock else { return None };
    let (hour, minute, second) = (number(&[h0, h1])?, number(&[m0, m1])?, number(&[s0, s1])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (below_second, rounds_up, rest) = fraction(rest)?;
    let seconds = i64::from(hour * 3600 + minute * 60 + second);
    let micros = day_micros + seconds * MICROS_PER_SECOND + below_second;
    Some(WallClock { micros, zone: zone(rest)?, rounds_up })
}

/// `[-]H{1,3}:MM[:SS[.f{1,9}]]`.
pub(super) fn span(text: &str) -> Option<Span> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (hours, rest) = digits.as_bytes().split_at_checked(digits.find(':')?)?;
    let [b':', m0, m1, rest @ ..] = rest else { return None };
    let (second, rest) = match rest {
        [] => (0, rest),
        [b':', s0, s1, rest @ ..] => (number(&[*s0, *s1])?, rest),
        _ => return None,
    };
    let (hour, minute) = (number(hours)?, number(&[*m0, *m1])?);
    if !(1..=3).contains(&hours.len()) || minute > 59 || second > 59 {
        return None;
    }
    let (below_second, rounds_up, rest) = fraction(rest)?;
    let micros = i64::from(hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + below_second;
    rest.is_empty().then_some(Span { micros: if negative { -micros } else { micros }, negative, rounds_up })
}

/// Microseconds of `.f{1,9}`, whether the next digit rounds them up, and what follows.
fn fraction(text: &[u8]) -> Option<(i64, bool, &[u8])> {
    let Some((b'.', rest)) = text.split_first() else { return Some((0, false, text)) };
    let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&count) {
        return None;
    }
    let (digits, rest) = rest.split_at(count);
    let micros = (0..6).fold(0, |sum, index| sum * 10 + digits.get(index).map_or(0, |digit| i64::from(digit - b'0')));
    Some((micros, digits.get(6).is_some_and(|digit| *digit >= b'5'), rest))
}

fn zone(text: &[u8]) -> Option<Zone> {
    let (sign, hour, minute) = match *text {
        [] => return Some(Zone::Unsaid),
        [b'Z' | b'z'] => return Some(Zone::Utc),
        [sign, h0, h1] => (sign, [h0, h1], [b'0', b'0']),
        [sign, h0, h1, m0, m1] | [sign, h0, h1, b':', m0, m1] => (sign, [h0, h1], [m0, m1]),
        _ => return None,
    };
    let (hour, minute) = (number(&hour)?, number(&minute)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let seconds = i32::try_from(hour * 3600 + minute * 60).ok()?;
    match sign {
        b'+' => Some(Zone::Offset(seconds)),
        b'-' => Some(Zone::Offset(-seconds)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_days_of_the_calendar() {
        assert_eq!(date("1970-01-01"), Some(0));
        assert_eq!(date("2013-01-01"), Some(15_706));
        assert_eq!(date("1969-12-31"), Some(-1));
        assert_eq!(date("2000-02-29"), Some(11_016));
        for text in [
            "2013-02-29",
            "2013-13-01",
            "0000-01-01",
            "2013-1-1",
            "13-01-01",
            "2013-01-01 ",
            "2013/01/01",
            "２013-01-01",
        ] {
            assert_eq!(date(text), None, "{text:?}");
        }
    }

    #[test]
    fn times_take_both_separators_a_fraction_and_a_zone() {
        let at = |text: &str| date_time(text).map(WallClock::utc_micros);
        let ten = 1_357_034_400_000_000;
        assert_eq!(at("2013-01-01T10:00:00Z"), Some(ten));
        assert_eq!(at("2013-01-01 10:00:00"), Some(ten));
        assert_eq!(at("2013-01-01 12:30:00+02:30"), Some(ten));
        assert_eq!(at("2013-01-01 05:00:00-0500"), Some(ten));
        assert_eq!(at("2013-01-01 05:00:00-05"), Some(ten));
        assert_eq!(at("2013-01-01T10:00:00.1Z"), Some(ten + 100_000));
        assert_eq!(at("2013-01-01T10:00:00.123456789Z"), Some(ten + 123_456));
        assert_eq!(at("1969-12-31T23:59:59.5Z"), Some(-500_000));
        assert_eq!(at("2013-01-01"), Some(ten - 36_000_000_000));
    }

    #[test]
    fn spans_have_up_to_three_digits_of_hours_and_a_sign() {
        let of = |text: &str| span(text).map(|span| span.micros);
        assert_eq!(of("10:00:01.5"), Some(36_001_500_000));
        assert_eq!(of("-838:59:59"), Some(-3_020_399_000_000));
        assert_eq!(of("9:05"), Some(32_700_000_000));
        assert_eq!(of("-00:00:00.000001"), Some(-1));
        for text in [
            "",
            ":",
            "10",
            "10:60:00",
            "10:00:60",
            "1000:00:00",
            ":10:00",
            "10:0:00",
            "10:00:00.",
            "+1:00:00",
            "1:00:00Z",
            "-",
        ] {
            assert_eq!(of(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_is_nearly_a_time_is_none() {
        for text in [
            "2013-01-01T24:00:00",
            "2013-01-01T10:60:00",
            "2013-01-01T10:00:60",
            "2013-01-01T10:00",
            "2013-01-01T10:00:00.",
            "2013-01-01T10:00:00.1234567890",
            "2013-01-01T10:00:00+24:00",
            "2013-01-01T10:00:00 UTC",
            "2013-01-01_10:00:00",
            "2013-01-01T",
            "1357034400",
            "",
        ] {
            assert_eq!(date_time(text), None, "{text:?}");
        }
    }
}
