//! MySQL's other spellings of dates and times, as the ISO texts that they stand for: what people type into statements. A record's
//! texts are never read so. Pure; whether the day exists is seen when the ISO text is read.

/// The date, or date and time, that `text` spells: parts of one or two digits, `/` or `.` between those of the date, years of two
/// digits, or digits alone (`20240105`, `240105`, `20240105030405`). `None` where it spells none.
pub(super) fn moment(text: &str) -> Option<String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (packed, rest) = text.split_at(digits);
    match (digits, rest.is_empty() || rest.starts_with('.')) {
        (6 | 8, _) if rest.is_empty() => packed_date(packed),
        (12 | 14, true) => {
            let (date, time) = packed.split_at(digits - 6);
            Some(format!("{} {}:{}:{}{rest}", packed_date(date)?, &time[..2], &time[2..4], &time[4..]))
        }
        _ => spaced(text),
    }
}

/// `YYYYMMDD` or `YYMMDD`.
fn packed_date(digits: &str) -> Option<String> {
    let (year, day) = digits.split_at(digits.len() - 4);
    Some(format!("{}-{}-{}", whole_year(year)?, &day[..2], &day[2..]))
}

/// Of two digits, 70 to 99 are of the last century.
fn whole_year(digits: &str) -> Option<String> {
    match digits.len() {
        4 => Some(digits.to_owned()),
        2 => Some(format!("{}{digits}", if digits < "70" { "20" } else { "19" })),
        _ => None,
    }
}

fn spaced(text: &str) -> Option<String> {
    let (year, rest) = number(text, 4)?;
    let (month, rest) = number(rest.strip_prefix(['-', '/', '.'])?, 2)?;
    let (day, rest) = number(rest.strip_prefix(['-', '/', '.'])?, 2)?;
    let date = format!("{}-{month:0>2}-{day:0>2}", whole_year(year)?);
    if rest.is_empty() {
        return Some(date);
    }
    let time = rest.strip_prefix(['T', 't']).unwrap_or_else(|| rest.trim_start());
    if time.len() == rest.len() {
        return None;
    }
    Some(format!("{date} {}", clock(time)?))
}

/// `H[:M[:S…]]` as `HH:MM:SS…`.
fn clock(text: &str) -> Option<String> {
    let (hour, rest) = number(text, 2)?;
    let Some(rest) = rest.strip_prefix(':') else { return rest.is_empty().then(|| format!("{hour:0>2}:00:00")) };
    let (minute, rest) = number(rest, 2)?;
    let Some(rest) = rest.strip_prefix(':') else {
        return rest.is_empty().then(|| format!("{hour:0>2}:{minute:0>2}:00"));
    };
    let (second, rest) = number(rest, 2)?;
    Some(format!("{hour:0>2}:{minute:0>2}:{second:0>2}{rest}"))
}

/// The span of time that `text` spells: `H:M:S` with parts of one digit, days before it (`1 10:00:00`), or digits alone (`101112`,
/// `1112` is eleven minutes). `None` where it spells none.
pub(super) fn span(text: &str) -> Option<String> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (packed, rest) = text.split_at(digits);
    if (1..=7).contains(&digits) && (rest.is_empty() || rest.starts_with('.')) {
        let number: u32 = packed.parse().ok()?;
        return Some(format!("{sign}{:02}:{:02}:{:02}{rest}", number / 10_000, number / 100 % 100, number % 100));
    }
    if rest.starts_with(' ') {
        let days: u32 = packed.parse().ok().filter(|days| *days <= 34)?;
        let time = rest.trim_start();
        let (hour, rest) = number(time, 2)?;
        let hours = days * 24 + hour.parse::<u32>().ok()?;
        return match rest.is_empty() {
            true => Some(format!("{sign}{hours:02}:00:00")),
            false => Some(format!("{sign}{}", hours_and(hours, rest.strip_prefix(':')?)?)),
        };
    }
    let (hours, rest) = number(text, 3)?;
    Some(format!("{sign}{}", hours_and(hours.parse().ok()?, rest.strip_prefix(':')?)?))
}

/// The hours, and `M[:S…]` with both digits.
fn hours_and(hours: u32, rest: &str) -> Option<String> {
    let (minute, rest) = number(rest, 2)?;
    let Some(rest) = rest.strip_prefix(':') else {
        return rest.is_empty().then(|| format!("{hours:02}:{minute:0>2}:00"));
    };
    let (second, rest) = number(rest, 2)?;
    Some(format!("{hours:02}:{minute:0>2}:{second:0>2}{rest}"))
}

/// The digits, at least one and at most so many, that `text` begins with, and what follows.
fn number(text: &str, digits_max: usize) -> Option<(&str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    (1..=digits_max).contains(&digits).then(|| text.split_at(digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_as_people_type_them() {
        for (text, iso) in [
            ("2024-1-5", "2024-01-05"),
            ("2024-1-5 3:4:5", "2024-01-05 03:04:05"),
            ("2024/01/05T3:4", "2024-01-05 03:04:00"),
            ("24.1.5  3", "2024-01-05 03:00:00"),
            ("70-1-5 3:4:5.25", "1970-01-05 03:04:05.25"),
            ("2024-1-5 3:4:5+02:00", "2024-01-05 03:04:05+02:00"),
            ("20240105", "2024-01-05"),
            ("690105", "2069-01-05"),
            ("20240105030405", "2024-01-05 03:04:05"),
            ("990105030405.5", "1999-01-05 03:04:05.5"),
        ] {
            assert_eq!(moment(text).as_deref(), Some(iso), "{text}");
        }
        for text in [
            "",
            "2024",
            "2024-1",
            "2024-1-5x",
            "2024-1-5 ",
            "2024-1-5 x",
            "024-1-5",
            "2024:1:5",
            "10:11:12",
            "2024-100-5",
        ] {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn spans_as_people_type_them() {
        for (text, iso) in [
            ("1:2:3", "01:02:03"),
            ("-1:2", "-01:02:00"),
            ("1 10:00:00.5", "34:00:00.5"),
            ("-2 3", "-51:00:00"),
            ("101112", "10:11:12"),
            ("1112", "00:11:12"),
            ("8385959", "838:59:59"),
            ("5.25", "00:00:05.25"),
        ] {
            assert_eq!(span(text).as_deref(), Some(iso), "{text}");
        }
        for text in ["", "-", "x", "1:", "1 x", "12345678", "35 00:00:00", "1:2:3:4x:"] {
            assert!(span(text).is_none_or(|iso| super::super::time::span(&iso).is_none()), "{text}");
        }
    }
}
