//! Synthetic events: 24 fields, about 600 bytes, no two alike, all of them following from the seed.

use std::io::Write;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::dataset::{Payloads, STAMP_COLUMN};

/// Where the digits of the stamp begin in a payload: after `{"produced_us":`.
pub(crate) const STAMP_AT: usize = STAMP_COLUMN.len() + 4;
/// How many digits they are: microseconds since 1970, for the next two centuries.
pub(crate) const STAMP_DIGITS: usize = 16;

const KINDS: [&str; 8] = ["view", "click", "scroll", "search", "add_to_cart", "checkout", "purchase", "impression"];
const PLACES: [(&str, &str); 8] = [
    ("DE", "Hamburg"),
    ("FR", "Lyon"),
    ("US", "Portland"),
    ("JP", "Osaka"),
    ("BR", "Porto Alegre"),
    ("IN", "Pune"),
    ("SE", "Malm\u{f6}"),
    ("CN", "Hangzhou"),
];
const LANGUAGES: [&str; 6] = ["de-DE", "fr-FR", "en-US", "ja-JP", "pt-BR", "zh-CN"];
const SYSTEMS: [&str; 5] = ["Android", "iOS", "Windows", "macOS", "Linux"];
const BROWSERS: [&str; 5] = ["Chrome", "Safari", "Firefox", "Edge", "WebView"];
const SCREENS: [(u32, u32); 5] = [(1080, 2400), (1170, 2532), (1920, 1080), (2560, 1440), (1366, 768)];
const SECTIONS: [&str; 6] = ["products", "articles", "help", "account", "offers", "search"];
const CAMPAIGNS: [&str; 4] = ["spring-sale", "newsletter-weekly", "retargeting-basket", "brand-search"];
/// 2026-11-21 00:00:00 UTC, in seconds since 1970; the events are those of one day.
const DAY: &str = "2026-11-21";
const DAY_MICROS: u64 = 86_400_000_000;

/// The events of a seed.
pub(crate) struct Events {
    random: StdRng,
    /// Microseconds of the day; rises from event to event.
    clock: u64,
}

impl Events {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: StdRng::seed_from_u64(seed), clock: 0 }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }
}

impl Payloads for Events {
    fn append(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()> {
        self.clock = (self.clock + self.random.random_range(1..60)) % DAY_MICROS;
        let (seconds, micros) = (self.clock / 1_000_000, self.clock % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let (high, low): (u64, u64) = (self.random.random(), self.random.random());
        let kind = self.pick(&KINDS);
        let user: u64 = self.random.random_range(1..20_000_000);
        let session: u128 = self.random.random();
        let (country, city) = self.pick(&PLACES);
        let (os, browser, (width, height)) = (self.pick(&SYSTEMS), self.pick(&BROWSERS), self.pick(&SCREENS));
        let build = self.random.random_range(0..400);
        let (section, item) = (self.pick(&SECTIONS), self.random.random_range(0..5_000_000));
        write!(
            out,
            "{{\"{STAMP_COLUMN}\":{:016},\"event_time\":\"{DAY}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z\",\
             \"event_id\":\"{:08x}-{:04x}-{:04x}-{:04x}-{:012x}\",\"kind\":\"{kind}\",\"user_id\":{user},\
             \"session_id\":\"{session:032x}\",\"country\":\"{country}\",\"city\":\"{city}\",\"language\":",
            1_000_000_000_000_000_u64,
            high >> 32,
            high >> 16 & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff,
        )?;
        match self.random.random_ratio(9, 10) {
            true => write!(out, "\"{}\"", self.pick(&LANGUAGES))?,
            false => write!(out, "null")?,
        }
        write!(
            out,
            ",\"os\":\"{os}\",\"browser\":\"{browser}\",\"app_version\":\"7.{}.{}\",\"screen_width\":{width},\
             \"screen_height\":{height},\"url\":\"https://shop.example.com/{section}/{item}?ref={:08x}\",\"referrer\":",
            build / 20,
            build % 20,
            low as u32,
        )?;
        match self.random.random_ratio(1, 2) {
            true => write!(out, "\"https://www.example.org/search?q={:x}\"", high as u32)?,
            false => write!(out, "null")?,
        }
        write!(out, ",\"campaign\":")?;
        match self.random.random_ratio(1, 4) {
            true => write!(out, "\"{}\"", self.pick(&CAMPAIGNS))?,
            false => write!(out, "null")?,
        }
        match kind {
            "purchase" | "checkout" | "add_to_cart" => {
                let cents = self.random.random_range(99..250_000);
                let quantity = self.random.random_range(1..6);
                write!(out, ",\"price\":{}.{:02},\"quantity\":{quantity}", cents / 100, cents % 100)?;
            }
            _ => write!(out, ",\"price\":null,\"quantity\":null")?,
        }
        let (latitude, longitude) = (self.random.random_range(-60.0..70.0), self.random.random_range(-180.0..180.0));
        let duration = self.random.random_range(3..90_000);
        let (bot, trace): (bool, u128) = (self.random.random_ratio(1, 50), self.random.random());
        write!(
            out,
            ",\"latitude\":{latitude:.6},\"longitude\":{longitude:.6},\"duration_ms\":{duration},\"is_bot\":{bot},\
             \"trace\":\"00-{trace:032x}-01\"}}"
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::dataset::Dataset;

    #[test]
    fn an_event_has_24_fields_about_600_bytes_and_its_stamp_at_its_place() {
        let mut events = Events::new(1);
        let (mut all, mut ids) = (0, BTreeSet::new());
        for _ in 0..1_000 {
            let mut payload = Vec::new();
            events.append(&mut payload).unwrap();
            all += payload.len();
            let stamp = std::str::from_utf8(&payload[STAMP_AT..STAMP_AT + STAMP_DIGITS]).unwrap();
            let record: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&payload).unwrap();
            assert_eq!(record[STAMP_COLUMN].to_string(), stamp);
            let columns = Dataset::Events.new_table().columns;
            assert!(columns.iter().all(|column| record.contains_key(&column.name)), "{record:?}");
            assert_eq!(record.len(), columns.len());
            assert!(ids.insert(record["event_id"].to_string()));
        }
        assert!((560..640).contains(&(all / 1_000)), "{} bytes on average", all / 1_000);
    }
}
