//! Moments as text, by MySQL's format letters.

use std::fmt::Write as _;

use chrono::{Datelike, NaiveDateTime, Timelike};

use super::super::week::Weeks;

/// `moment` as `format` says. A letter that stands for nothing stands for itself.
pub(super) fn formatted(moment: NaiveDateTime, format: &str) -> String {
    let mut text = String::with_capacity(format.len() * 2);
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '%') {
            (letter, false) => text.push(letter),
            (_, true) => match letters.next() {
                Some(letter) => part(&mut text, moment, letter),
                None => text.push('%'),
            },
        }
    }
    text
}

fn part(text: &mut String, moment: NaiveDateTime, letter: char) {
    let twelve = match moment.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let half = if moment.hour() < 12 { "AM" } else { "PM" };
    let weeks = |mode| Weeks::of_mode(mode).of(moment.date()).unwrap_or_default();
    // Writing to a String cannot fail.
    let _ = match letter {
        'a' => write!(text, "{}", moment.format("%a")),
        'b' => write!(text, "{}", moment.format("%b")),
        'c' => write!(text, "{}", moment.month()),
        'D' => write!(text, "{}{}", moment.day(), ending(moment.day())),
        'd' => write!(text, "{:02}", moment.day()),
        'e' => write!(text, "{}", moment.day()),
        'f' => write!(text, "{:06}", moment.nanosecond() / 1_000),
        'H' => write!(text, "{:02}", moment.hour()),
        'h' | 'I' => write!(text, "{twelve:02}"),
        'i' => write!(text, "{:02}", moment.minute()),
        'j' => write!(text, "{:03}", moment.ordinal()),
        'k' => write!(text, "{}", moment.hour()),
        'l' => write!(text, "{twelve}"),
        'M' => write!(text, "{}", moment.format("%B")),
        'm' => write!(text, "{:02}", moment.month()),
        'p' => write!(text, "{half}"),
        'r' => write!(text, "{twelve:02}:{:02}:{:02} {half}", moment.minute(), moment.second()),
        'S' | 's' => write!(text, "{:02}", moment.second()),
        'T' => write!(text, "{:02}:{:02}:{:02}", moment.hour(), moment.minute(), moment.second()),
        'U' => write!(text, "{:02}", weeks(0).1),
        'u' => write!(text, "{:02}", weeks(1).1),
        'V' => write!(text, "{:02}", weeks(2).1),
        'v' => write!(text, "{:02}", weeks(3).1),
        'W' => write!(text, "{}", moment.format("%A")),
        'w' => write!(text, "{}", moment.weekday().num_days_from_sunday()),
        'X' => write!(text, "{:04}", weeks(2).0),
        'x' => write!(text, "{:04}", weeks(3).0),
        'Y' => write!(text, "{:04}", moment.year()),
        'y' => write!(text, "{:02}", moment.year().rem_euclid(100)),
        other => write!(text, "{other}"),
    };
}

fn ending(day: u32) -> &'static str {
    match day {
        11..=13 => "th",
        day => match day % 10 {
            1 => "st",
            2 => "nd",
            3 => "rd",
            _ => "th",
        },
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn each_letter_is_what_the_manual_says() {
        let of = |date: (i32, u32, u32), time: (u32, u32, u32, u32), format: &str| {
            let day = NaiveDate::from_ymd_opt(date.0, date.1, date.2).unwrap();
            formatted(day.and_hms_micro_opt(time.0, time.1, time.2, time.3).unwrap(), format)
        };
        // The examples of the manual.
        assert_eq!(of((2009, 10, 4), (22, 23, 0, 0), "%W %M %Y"), "Sunday October 2009");
        assert_eq!(of((2007, 10, 4), (22, 23, 0, 0), "%H:%i:%s"), "22:23:00");
        assert_eq!(of((1900, 10, 4), (22, 23, 0, 0), "%D %y %a %d %m %b %j"), "4th 00 Thu 04 10 Oct 277");
        assert_eq!(of((1997, 10, 4), (22, 23, 0, 0), "%H %k %I %r %T %S %w"), "22 22 10 10:23:00 PM 22:23:00 00 6");
        assert_eq!(of((1999, 1, 1), (0, 0, 0, 0), "%X %V"), "1998 52");
        assert_eq!(
            of((2024, 1, 2), (0, 5, 6, 789), "%l%p %e.%c. %f %U %u %x-%v 100%% %q%"),
            "12AM 2.1. 000789 00 01 2024-01 100% q%"
        );
        let days: String =
            [1, 2, 3, 11, 12, 13, 21, 22, 23].map(|day| of((2024, 1, day), (0, 0, 0, 0), "%D ")).concat();
        assert_eq!(days, "1st 2nd 3rd 11th 12th 13th 21st 22nd 23rd ");
    }
}
