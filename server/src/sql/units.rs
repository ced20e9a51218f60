//! Sizes and durations as people write them in settings: `'256MiB'`, `'60s'`. Owns the units, not the settings.

use std::time::Duration;

/// Bytes of `text`: a whole number, alone or with a unit.
///
/// # Errors
/// A sentence that says what would be right.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1),
        ("b", 1),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
    ];
    let (number, unit) = split(text);
    let factor = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).map(|(_, factor)| *factor);
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .ok_or_else(|| format!("{text:?} is not a size: write a whole number and a unit, for instance '64MiB'"))
}

/// The duration of `text`: a whole number with a unit; without one, seconds.
///
/// # Errors
/// A sentence that says what would be right.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 9] = [
        ("", 1_000),
        ("ms", 1),
        ("s", 1_000),
        ("sec", 1_000),
        ("m", 60_000),
        ("min", 60_000),
        ("h", 3_600_000),
        ("d", 86_400_000),
        ("days", 86_400_000),
    ];
    let (number, unit) = split(text);
    let factor = UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name)).map(|(_, factor)| *factor);
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not a duration: write a whole number and a unit, for instance '60s'"))
}

/// Bytes in the largest unit that needs no fraction.
pub(crate) fn bytes_text(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(factor, _)| bytes >= *factor && bytes.is_multiple_of(*factor)) {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// Milliseconds as seconds where that needs no fraction.
pub(crate) fn millis_text(millis: u64) -> String {
    if millis.is_multiple_of(1_000) { format!("{}s", millis / 1_000) } else { format!("{millis}ms") }
}

fn split(text: &str) -> (Option<u64>, &str) {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    (number.parse().ok(), unit.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_back_as_they_are_shown() {
        for (text, bytes) in [("256MiB", 256 << 20), ("1 GiB", 1 << 30), ("1000", 1_000), ("2mb", 2_000_000)] {
            assert_eq!(parse_bytes(text), Ok(bytes));
            assert_eq!(parse_bytes(&bytes_text(bytes)), Ok(bytes));
        }
        for (text, millis) in [("60s", 60_000), ("500ms", 500), ("2 min", 120_000), ("7", 7_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(parse_duration(&millis_text(millis)), Ok(Duration::from_millis(millis)));
        }
        assert_eq!((bytes_text(256 << 20).as_str(), millis_text(60_000).as_str()), ("256MiB", "60s"));
    }

    #[test]
    fn what_is_neither_says_how_it_is_written() {
        assert!(parse_bytes("256 apples").unwrap_err().contains("'64MiB'"));
        assert!(parse_bytes("99999999999TiB").is_err());
        assert!(parse_duration("soon").unwrap_err().contains("'60s'"));
        assert!(parse_duration("-1s").is_err());
    }
}
