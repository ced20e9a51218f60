//! From the `key = value` pairs of CREATE PIPELINE to typed, validated values. Pure.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use catalog::{ErrorPolicy, GapPolicy, KafkaSource, PipelineSettings, RecordFormat, StartPosition, Topics};
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use warehouse::write::source::TopicPattern;
use warehouse::write::source::kafka::{ALLOWED_PROPERTIES, check_properties};

use super::super::alike::nearest;
use super::super::seams::Resume;
use super::super::units::{bytes_text, millis_text, parse_bytes, parse_duration};
use crate::mysql::SqlError;

const TASKS: RangeInclusive<u64> = 1..=1_024;
const FLUSH_BYTES: RangeInclusive<u64> = (1 << 10)..=(64 << 30);
const FLUSH_INTERVAL_MS: RangeInclusive<u64> = 10..=(24 * 3_600_000);
const RECORD_BYTES: RangeInclusive<u64> = (1 << 10)..=(128 << 20);
const SOURCE_KEYS: [&str; 6] = ["brokers", "topic", "topics", "topic_pattern", "format", "start"];
const SETTING_KEYS: [&str; 7] =
    ["tasks", "flush_bytes", "flush_interval", "errors", "on_gap", "max_record_bytes", "read_committed"];

/// The source that KAFKA (…) names; `others` are keys that may have been meant and are dealt with elsewhere.
///
/// # Errors
/// A sentence with the place, the cause and the next step.
pub(crate) fn source(pairs: &BTreeMap<String, String>, others: &[&'static str]) -> Result<KafkaSource, String> {
    let mut properties = BTreeMap::new();
    for (key, value) in pairs.iter().filter(|(key, _)| !SOURCE_KEYS.contains(&key.as_str())) {
        let known = SOURCE_KEYS.into_iter().chain(others.iter().copied()).chain(ALLOWED_PROPERTIES);
        if !ALLOWED_PROPERTIES.contains(&key.as_str()) {
            return Err(unknown("KAFKA", key, known));
        }
        properties.insert(key.clone(), value.clone());
    }
    check_properties(&properties).map_err(|error| format!("KAFKA: {error}"))?;
    Ok(KafkaSource {
        brokers: required(pairs, "brokers", "'host:9092'")?,
        topics: topics(pairs)?,
        format: format(&required(pairs, "format", "'json'")?)?,
        start: start(pairs.get("start").map_or("earliest", String::as_str))?,
        properties,
    })
}

/// One of `topic`, `topics` and `topic_pattern`.
fn topics(pairs: &BTreeMap<String, String>) -> Result<Topics, String> {
    let given = |key: &str| pairs.get(key).map(|value| value.trim()).filter(|value| !value.is_empty());
    match (given("topic"), given("topics"), given("topic_pattern")) {
        (Some(name), None, None) => Ok(Topics::One(name.to_owned())),
        (None, Some(names), None) => {
            let mut list: Vec<String> = Vec::new();
            for name in names.split(',').map(str::trim) {
                if name.is_empty() {
                    return Err(format!("KAFKA: topics = '{names}' has an empty name; write topics = 'clicks, views'"));
                }
                if !list.iter().any(|known| known == name) {
                    list.push(name.to_owned());
                }
            }
            Ok(Topics::List(list))
        }
        (None, None, Some(pattern)) => {
            TopicPattern::new(pattern).map_err(|why| format!("KAFKA: topic_pattern = {why}"))?;
            Ok(Topics::Pattern { pattern: pattern.to_owned() })
        }
        (None, None, None) => Err("KAFKA: topic is missing; write topic = 'clicks', topics = 'clicks, views' or \
                                   topic_pattern = 'clicks_.*'"
            .to_owned()),
        _ => Err("KAFKA: give one of topic, topics and topic_pattern".to_owned()),
    }
}

fn required(pairs: &BTreeMap<String, String>, key: &str, example: &str) -> Result<String, String> {
    match pairs.get(key).map(|value| value.trim()) {
        Some(value) if !value.is_empty() => Ok(value.to_owned()),
        _ => Err(format!("KAFKA: {key} is missing; write {key} = {example}")),
    }
}

fn format(text: &str) -> Result<RecordFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "json" => Ok(RecordFormat::Json),
        _ => Err(format!("KAFKA: format = '{text}' is not built; there is format = 'json'")),
    }
}

/// `earliest`, `latest`, an offset, or `timestamp:` with milliseconds since 1970 or a moment in UTC.
pub(crate) fn start(text: &str) -> Result<StartPosition, String> {
    let text = text.trim();
    if let Ok(offset) = text.parse::<u64>() {
        return Ok(StartPosition::Offset(offset));
    }
    match text.to_ascii_lowercase().as_str() {
        "earliest" => return Ok(StartPosition::Earliest),
        "latest" => return Ok(StartPosition::Latest),
        _ => {}
    }
    let moment = text.split_once(':').filter(|(word, _)| word.eq_ignore_ascii_case("timestamp"));
    moment.and_then(|(_, moment)| millis(moment.trim())).map(StartPosition::TimestampMillis).ok_or_else(|| {
        format!(
            "KAFKA: start = '{text}' is no position; write 'earliest', 'latest', an offset, or 'timestamp:2013-01-31 12:00:00' \
             (UTC)"
        )
    })
}

fn millis(text: &str) -> Option<i64> {
    let of = |moment: NaiveDateTime| moment.and_utc().timestamp_millis();
    text.parse()
        .ok()
        .or_else(|| DateTime::parse_from_rfc3339(text).ok().map(|moment| moment.timestamp_millis()))
        .or_else(|| NaiveDateTime::parse_from_str(&text.replacen('T', " ", 1), "%Y-%m-%d %H:%M:%S%.f").ok().map(of))
        .or_else(|| NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0).map(of))
}

/// `before` with what SOURCE (…) names: brokers, and properties such as a password.
///
/// # Errors
/// A sentence with the place, the cause and the next step.
pub(super) fn changed_source(before: &KafkaSource, pairs: &BTreeMap<String, String>) -> Result<KafkaSource, String> {
    let mut source = before.clone();
    for (key, value) in pairs {
        match key.as_str() {
            "brokers" => source.brokers = required(pairs, "brokers", "'host:9092'")?,
            "topic" | "topics" | "topic_pattern" if topics(pairs)? == before.topics => {}
            "topic" | "topics" | "topic_pattern" => {
                return Err(format!(
                    "SOURCE: the topic of a pipeline stays: its offsets are of {}; make another pipeline for {value}",
                    before.topics
                ));
            }
            "format" if format(value)? == before.format => {}
            "start" => return Err("SOURCE: where streams began stays: use ALTER PIPELINE … SEEK TO".to_owned()),
            _ if ALLOWED_PROPERTIES.contains(&key.as_str()) => {
                source.properties.insert(key.clone(), value.clone());
            }
            _ => return Err(unknown("SOURCE", key, SOURCE_KEYS.into_iter().chain(ALLOWED_PROPERTIES))),
        }
    }
    check_properties(&source.properties).map_err(|error| format!("SOURCE: {error}"))?;
    Ok(source)
}

/// The moment of SEEK TO TIMESTAMP, in milliseconds since 1970.
///
/// # Errors
/// A sentence with the place, the cause and the next step.
pub(super) fn seek_moment(text: &str) -> Result<i64, String> {
    millis(text.trim()).ok_or_else(|| {
        format!("SEEK: '{text}' is no moment; write '2013-01-31 12:00:00' (UTC), or milliseconds since 1970")
    })
}

/// The settings that WITH (…) names.
///
/// # Errors
/// A sentence with the place, the cause and the next step.
pub(super) fn settings(pairs: &BTreeMap<String, String>) -> Result<PipelineSettings, String> {
    changed_settings(PipelineSettings::default(), pairs)
}

/// `settings` with what SET (…) names.
///
/// # Errors
/// A sentence with the place, the cause and the next step.
pub(super) fn changed_settings(
    mut settings: PipelineSettings,
    pairs: &BTreeMap<String, String>,
) -> Result<PipelineSettings, String> {
    for (key, value) in pairs {
        let placed = |cause: String| format!("WITH: {key}: {cause}");
        match key.as_str() {
            "tasks" => {
                let tasks = value.parse().map_err(|_| placed(format!("{value:?} is not a whole number")))?;
                let tasks = within(tasks, &TASKS, |tasks| tasks.to_string()).map_err(placed)?;
                settings.tasks = u32::try_from(tasks).expect("the range is narrower");
            }
            "flush_bytes" => {
                let bytes = parse_bytes(value).map_err(placed)?;
                settings.flush_bytes = within(bytes, &FLUSH_BYTES, bytes_text).map_err(placed)?;
            }
            "flush_interval" => {
                let interval = parse_duration(value).map_err(placed)?;
                let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
                settings.flush_interval_ms = within(millis, &FLUSH_INTERVAL_MS, millis_text).map_err(placed)?;
            }
            "max_record_bytes" => {
                let bytes = parse_bytes(value).map_err(placed)?;
                settings.max_record_bytes = within(bytes, &RECORD_BYTES, bytes_text).map_err(placed)?;
            }
            "errors" => {
                settings.errors = one_of(value, &ERROR_POLICIES).map_err(placed)?;
            }
            "on_gap" => {
                settings.on_gap = one_of(value, &GAP_POLICIES).map_err(placed)?;
            }
            "read_committed" => {
                let switches = [("true", true), ("false", false), ("on", true), ("off", false)];
                settings.read_committed = one_of(value, &switches).map_err(placed)?;
            }
            "standby" if value == "0" => {}
            "standby" => return Err(placed("standbys are not built yet; leave it out".to_owned())),
            _ => return Err(unknown("WITH", key, SETTING_KEYS)),
        }
    }
    Ok(settings)
}

fn within(value: u64, range: &RangeInclusive<u64>, shown: fn(u64) -> String) -> Result<u64, String> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err(format!("{} is not between {} and {}", shown(value), shown(*range.start()), shown(*range.end())))
}

fn one_of<T: Copy>(value: &str, known: &[(&str, T)]) -> Result<T, String> {
    known.iter().find(|(word, _)| value.eq_ignore_ascii_case(word)).map(|(_, meant)| *meant).ok_or_else(|| {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        format!("{value:?} is none of {}", words.join(", "))
    })
}

fn unknown<'a>(clause: &str, key: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    match nearest(key, known.iter().copied()) {
        Some(meant) => format!("{clause}: there is no setting {key}; did you mean {meant}?"),
        None => format!("{clause}: there is no setting {key}; there are {}", known.join(", ")),
    }
}

const ERROR_POLICIES: [(&str, ErrorPolicy); 2] = [("table", ErrorPolicy::Table), ("pause", ErrorPolicy::Pause)];
const GAP_POLICIES: [(&str, GapPolicy); 2] = [("pause", GapPolicy::Pause), ("skip", GapPolicy::Skip)];

/// The policies of RESUME.
pub(super) fn resume(how: &BTreeMap<String, String>) -> Result<Resume, SqlError> {
    let placed = |key: &'static str| move |message: String| SqlError::other(format!("RESUME, {key}: {message}"));
    let gaps = how.get("on_gap").map(|value| one_of(value, &GAP_POLICIES).map_err(placed("ON GAP"))).transpose()?;
    let errors =
        how.get("errors").map(|value| one_of(value, &ERROR_POLICIES).map_err(placed("ON ERROR"))).transpose()?;
    Ok(Resume { gaps, errors, by: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> BTreeMap<String, String> {
        text.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn settings_are_read_with_their_units() {
        let read = settings(&pairs(&[
            ("tasks", "4"),
            ("flush_bytes", "64MiB"),
            ("flush_interval", "500ms"),
            ("errors", "PAUSE"),
            ("on_gap", "skip"),
            ("read_committed", "off"),
            ("standby", "0"),
        ]))
        .unwrap();
        assert_eq!((read.tasks, read.flush_bytes, read.flush_interval_ms), (4, 64 << 20, 500));
        assert_eq!((read.errors, read.on_gap, read.read_committed), (ErrorPolicy::Pause, GapPolicy::Skip, false));
    }

    #[test]
    fn a_wrong_setting_names_its_place_and_what_would_be_right() {
        for (key, value, words) in [
            ("flush_byte", "1MiB", "WITH: there is no setting flush_byte; did you mean flush_bytes?"),
            ("tasks", "0", "WITH: tasks: 0 is not between 1 and 1024"),
            ("flush_interval", "1ms", "not between 10ms and 86400s"),
            ("flush_bytes", "lots", "write a whole number and a unit"),
            ("errors", "ignore", "\"ignore\" is none of table, pause"),
            ("standby", "1", "not built yet"),
        ] {
            let error = settings(&pairs(&[(key, value)])).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_source_needs_brokers_topic_and_format() {
        let full = [("brokers", "a:1"), ("topic", "t"), ("format", "json"), ("sasl.username", "u")];
        let read = source(&pairs(&full), &[]).unwrap();
        assert_eq!((read.start, read.properties.len()), (StartPosition::Earliest, 1));
        for missing in 0..3 {
            let mut some = full.to_vec();
            let (key, _) = some.remove(missing);
            let error = source(&pairs(&some), &[]).unwrap_err();
            assert!(error.contains(&format!("{key} is missing; write {key} = ")), "{error}");
        }
        let error = source(&pairs(&[&full[..], &[("topics", "x")]].concat()), &[]).unwrap_err();
        assert_eq!(error, "KAFKA: give one of topic, topics and topic_pattern");
        let error = source(&pairs(&[&full[..], &[("tpoic", "x")]].concat()), &[]).unwrap_err();
        assert_eq!(error, "KAFKA: there is no setting tpoic; did you mean topic?");
        assert!(
            source(&pairs(&[("brokers", "a"), ("topic", "t"), ("format", "avro")]), &[])
                .unwrap_err()
                .contains("'json'")
        );
    }

    #[test]
    fn topics_are_one_a_list_or_a_pattern() {
        let of = |key: &str, value: &str| topics(&pairs(&[(key, value)]));
        assert_eq!(of("topic", "a,b"), Ok(Topics::One("a,b".to_owned())), "a name, even if no broker takes it");
        assert_eq!(of("topics", "a, b,a"), Ok(Topics::List(vec!["a".to_owned(), "b".to_owned()])));
        assert_eq!(of("topic_pattern", "^a_.*$"), Ok(Topics::Pattern { pattern: "^a_.*$".to_owned() }));
        assert!(of("topics", "a,,b").unwrap_err().contains("has an empty name"));
        assert!(of("topic_pattern", "a_(").unwrap_err().contains("is no regular expression"));
    }

    #[test]
    fn a_start_is_a_word_an_offset_or_a_moment() {
        assert_eq!(start("Latest"), Ok(StartPosition::Latest));
        assert_eq!(start("42"), Ok(StartPosition::Offset(42)));
        for moment in ["timestamp:1359633600000", "timestamp:2013-01-31 12:00:00", "timestamp:2013-01-31T12:00:00Z"] {
            assert_eq!(start(moment), Ok(StartPosition::TimestampMillis(1_359_633_600_000)), "{moment}");
        }
        assert!(start("yesterday").unwrap_err().contains("'timestamp:2013-01-31 12:00:00'"));
    }
}
