//! Dates and times as MySQL text, for every value that 64 bits can hold: a calendar without limits, so that no value of a
//! damaged or foreign file can be unprintable.

use bytes::{BufMut, BytesMut};

/// How a second is divided in MySQL.
pub(super) const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Appends `YYYY-MM-DD` for a number of days since 1970-01-01.
pub(super) fn put_date(days: i64, out: &mut BytesMut) {
    let (year, month, day) = civil(days);
    if year < 0 {
        out.put_u8(b'-');
    }
    put_padded(year.unsigned_abs().into(), 4, out);
    out.put_u8(b'-');
    put_padded(month.into(), 2, out);
    out.put_u8(b'-');
    put_padded(day.into(), 2, out);
}

/// Appends `YYYY-MM-DD HH:MM:SS` and so many digits of the second's fraction; without a number six, if there are any.
pub(super) fn put_datetime(seconds: i64, micros: u32, digits: Option<u8>, out: &mut BytesMut) {
    put_date(seconds.div_euclid(SECONDS_PER_DAY), out);
    out.put_u8(b' ');
    put_clock(seconds.rem_euclid(SECONDS_PER_DAY) as u128, micros, digits, out);
}

/// Appends `[-]HH:MM:SS[.ffffff]`, with as many digits of hours as it needs.
pub(super) fn put_span(negative: bool, micros: u128, digits: Option<u8>, out: &mut BytesMut) {
    if negative {
        out.put_u8(b'-');
    }
    let per_second = MICROS_PER_SECOND as u128;
    put_clock(micros / per_second, (micros % per_second) as u32, digits, out);
}

fn put_clock(seconds: u128, micros: u32, digits: Option<u8>, out: &mut BytesMut) {
    put_padded(seconds / 3_600, 2, out);
    out.put_u8(b':');
    put_padded(seconds / 60 % 60, 2, out);
    out.put_u8(b':');
    put_padded(seconds % 60, 2, out);
    let digits = digits.unwrap_or(if micros > 0 { 6 } else { 0 }).min(6);
    if digits > 0 {
        out.put_u8(b'.');
        put_padded((micros / 10_u32.pow(u32::from(6 - digits))).into(), digits.into(), out);
    }
}

fn put_padded(value: u128, width: usize, out: &mut BytesMut) {
    let mut digits = [b'0'; 40];
    let mut at = digits.len();
    let mut rest = value;
    while rest > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Year, month and day of a number of days since 1970-01-01, in the Gregorian calendar extended without end. Years are counted
/// from March, so that a leap day is the last of its year, in eras of 400 years, which all are of the same length.
pub(super) fn civil(days: i64) -> (i64, u8, u8) {
    const DAYS_TO_EPOCH: i64 = 719_468;
    const DAYS_PER_ERA: i64 = 146_097;
    let era = days.div_euclid(DAYS_PER_ERA);
    let shifted = days.rem_euclid(DAYS_PER_ERA) + DAYS_TO_EPOCH;
    let (era, day) = (era + shifted / DAYS_PER_ERA, shifted % DAYS_PER_ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year + i64::from(month <= 2), month as u8, day_of_month as u8)
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, NaiveDate};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_the_range_can_be_printed() {
        for days in [i64::MIN, i64::MAX] {
            let mut out = BytesMut::new();
            put_date(days, &mut out);
            assert!(out.len() < 40);
        }
        for seconds in [i64::MIN, i64::MAX] {
            let mut out = BytesMut::new();
            put_datetime(seconds, 999_999, None, &mut out);
            assert!(out.len() < 60);
        }
    }

    proptest! {
        #[test]
        fn dates_are_those_of_another_calendar(days in -3_000_000_i32..3_000_000) {
            let expected = NaiveDate::from_epoch_days(days).unwrap();
            prop_assert_eq!(civil(days.into()), (i64::from(expected.year()), expected.month() as u8, expected.day() as u8));
        }
    }
}
