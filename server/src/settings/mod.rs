//! Settings: plain validated values, read here and nowhere else.
//!
//! Later wins: the defaults, the file of `--config` (TOML), the environment (`MILLRACE__SECTION__KEY`), the flags.

mod stores;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use serde::{Deserialize, Deserializer};

use crate::mysql::auth::Secret;
use crate::sql::StatementLimits;
use crate::sql::seams::SettingRow;
use warehouse::memory::MemoryLimits;

pub use stores::{CatalogAddress, CatalogSection, ObjectStoreSection};

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

/// A number of bytes: `64MiB`, `1GiB`, `1000000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(bytes) => Ok(Self(bytes)),
            Written::Text(text) => parse_bytes(&text).map(Self).map_err(serde::de::Error::custom),
        }
    }
}

/// Reads `256MiB`, `64 KiB`, `1GB`, `1000`.
///
/// # Errors
/// A sentence that says what is accepted.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return Err(format!("{text:?} is not a number of bytes: write it like 64MiB, 1GiB or 1000000")),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| format!("{text:?} is not a number of bytes: write it like 64MiB, 1GiB or 1000000"))?;
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is more bytes than 64 bits can count"))
}

/// The MySQL port.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MysqlSettings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// root's password; empty for none.
    #[serde(deserialize_with = "secret")]
    pub root_password: Secret,
    /// A file whose first line is root's password; wins over `root_password`.
    pub root_password_file: Option<PathBuf>,
    /// Most connections at a time.
    pub connections_max: usize,
}

impl Default for MysqlSettings {
    fn default() -> Self {
        let listen = SocketAddr::from(([127, 0, 0, 1], 9030));
        Self { listen, root_password: Secret::new(String::new()), root_password_file: None, connections_max: 1_000 }
    }
}

impl MysqlSettings {
    /// A port for other machines is not opened while root has no password, neither here nor in the catalog.
    ///
    /// # Errors
    /// If that is so; the message says what to do.
    pub fn refuse_an_open_door(&self, is_root_without_password: bool) -> anyhow::Result<()> {
        if !self.listen.ip().is_loopback() && is_root_without_password {
            bail!(
                "mysql.listen is {}, which other machines reach, and root has no password: set mysql.root_password_file, \
                 or the environment's MILLRACE__MYSQL__ROOT_PASSWORD; or listen on 127.0.0.1, and there run \
                 ALTER USER root IDENTIFIED BY '…'",
                self.listen
            );
        }
        Ok(())
    }
}

impl fmt::Debug for MysqlSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MysqlSettings")
            .field("listen", &self.listen)
            .field("connections_max", &self.connections_max)
            .finish_non_exhaustive()
    }
}

/// The HTTP port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Where it listens.
    pub listen: SocketAddr,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8030)) }
    }
}

/// Memory limits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemorySettings {
    /// What ingest and queries hold together. Default: half of the machine's memory, between 512 MiB and 16 GiB.
    pub limit: Bytes,
    /// Most that ingest may have of it: memtables, pinned rows, source queues, WAL queues, uploads. Past it the sources pause.
    /// Default: three quarters.
    pub ingest_limit: Option<Bytes>,
    /// Most that queries may have of it together before they spill to disk. Default: half.
    pub query_limit: Option<Bytes>,
}

impl Default for MemorySettings {
    fn default() -> Self {
        let half = machine_memory() / 2;
        Self { limit: Bytes(half.clamp(512 << 20, 16 << 30)), ingest_limit: None, query_limit: None }
    }
}

impl MemorySettings {
    fn check(&self) -> anyhow::Result<()> {
        let MemoryLimits { total, ingest_max, query_max } = self.limits();
        for (name, value) in [("ingest_limit", ingest_max), ("query_limit", query_max)] {
            if value > self.limit.0 {
                bail!(
                    "memory.{name} is {value} bytes, and memory.limit, which is for ingest and queries together, only {}: raise \
                     that one, or lower this",
                    self.limit.0
                );
            }
        }
        // What each always has, whatever the other holds.
        for (name, other, always, least) in [
            ("ingest", "memory.query_limit", ingest_max.min(total - query_max), 64 << 20),
            ("queries", "memory.ingest_limit", query_max.min(total - ingest_max), 32 << 20),
        ] {
            if always < least {
                bail!(
                    "the memory settings leave {name} {always} bytes, and at least {least} are needed: raise memory.limit ({total}), \
                     or lower {other}"
                );
            }
        }
        Ok(())
    }

    /// The process's one limit, and how it may be shared. What neither side may have is nobody's, and so not part of it.
    pub fn limits(&self) -> MemoryLimits {
        let limit = self.limit.0;
        let ingest_max = self.ingest_limit.map_or(limit / 4 * 3, |bytes| bytes.0);
        let query_max = self.query_limit.map_or(limit / 2, |bytes| bytes.0);
        MemoryLimits { total: limit.min(ingest_max.saturating_add(query_max)), ingest_max, query_max }
    }
}

fn machine_memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram as u64 * u64::from(info.mem_unit)
}

/// The write-ahead log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WalSection {
    /// Its largest size on disk. Past it the sources pause; from 60 % on, the owner of its oldest record is flushed.
    pub bytes_max: Bytes,
    /// Bytes of one segment.
    pub segment_bytes: Bytes,
    /// Bytes accepted and not yet written; counts in `memory.ingest_limit`.
    pub queue_bytes: Bytes,
    /// Nothing is appended while the disk has less than this left.
    pub disk_reserve: Bytes,
}

impl Default for WalSection {
    fn default() -> Self {
        Self {
            bytes_max: Bytes(4 << 30),
            segment_bytes: Bytes(64 << 20),
            queue_bytes: Bytes(16 << 20),
            disk_reserve: Bytes(256 << 20),
        }
    }
}

/// Kafka sources.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSection {
    /// Bytes that the client library of one task may queue; counts in `memory.ingest_limit`.
    pub queue_bytes: Bytes,
    /// Most payload bytes of one batch.
    pub batch_bytes: Bytes,
}

impl Default for SourceSection {
    fn default() -> Self {
        Self { queue_bytes: Bytes(16 << 20), batch_bytes: Bytes(2 << 20) }
    }
}

/// Statements that read rows.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuerySection {
    /// How many run at a time; the others wait.
    pub statements_max: usize,
    /// For how many seconds one waits before it is told that there are too many.
    pub statements_wait_seconds: u64,
    /// Bytes that all of them may spill to disk at a time.
    pub spill_limit: Bytes,
}

impl Default for QuerySection {
    fn default() -> Self {
        Self { statements_max: 64, statements_wait_seconds: 10, spill_limit: Bytes(64 << 30) }
    }
}

impl QuerySection {
    /// How many statements run at a time, and for how long the others wait.
    pub fn limits(&self) -> StatementLimits {
        StatementLimits {
            running_max: self.statements_max,
            wait_max: Duration::from_secs(self.statements_wait_seconds),
        }
    }
}

/// The sweeper of uploads that no commit claimed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweeperSection {
    /// An intent older than this many seconds is tried. Only a matter of when: the claim itself is a compare-and-set.
    pub intent_age_seconds: u64,
    /// The label of an INSERT is known for this long, and then forgotten.
    pub label_age_seconds: u64,
}

impl Default for SweeperSection {
    fn default() -> Self {
        Self { intent_age_seconds: 3_600, label_age_seconds: 3 * 24 * 3_600 }
    }
}

/// All settings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The MySQL port.
    pub mysql: MysqlSettings,
    /// The HTTP port.
    pub http: HttpSettings,
    /// Memory limits.
    pub memory: MemorySettings,
    /// The write-ahead log.
    pub wal: WalSection,
    /// Kafka sources.
    pub source: SourceSection,
    /// Statements.
    pub query: QuerySection,
    /// The sweeper.
    pub sweeper: SweeperSection,
    /// The catalog.
    pub catalog: CatalogSection,
    /// The object store.
    pub object_store: ObjectStoreSection,
    /// Where each value that is not a default comes from: `file` or `environment` (flags count as that).
    #[serde(skip)]
    origins: BTreeMap<String, String>,
}

/// Every section and its keys: what a file may say.
const KEYS: &[(&str, &[&str])] = &[
    ("mysql", &["listen", "root_password", "root_password_file", "connections_max"]),
    ("http", &["listen"]),
    ("memory", &["limit", "ingest_limit", "query_limit"]),
    ("wal", &["bytes_max", "segment_bytes", "queue_bytes", "disk_reserve"]),
    ("source", &["queue_bytes", "batch_bytes"]),
    ("query", &["statements_max", "statements_wait_seconds", "spill_limit"]),
    ("sweeper", &["intent_age_seconds", "label_age_seconds"]),
    ("catalog", &["url", "password", "password_file"]),
    ("object_store", &["url", "access_key_id", "secret_access_key", "secret_access_key_file", "session_token"]),
];

/// Keys whose values are texts also where they look like numbers.
const TEXTS: &[&str] = &["root_password", "password", "access_key_id", "secret_access_key", "session_token"];

impl Settings {
    /// Reads the file, if there is one, and the environment over it.
    ///
    /// # Errors
    /// If the file cannot be read, a key is unknown, or a value is out of bounds: the message names file and key.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> anyhow::Result<Self> {
        let mut values = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read the settings file {}", path.display()))?;
                // Only what is wrong and where: the line itself may hold a password.
                text.parse::<toml::Table>().map_err(|error| {
                    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
                    anyhow::anyhow!(
                        "the settings file {} is not TOML: line {line}: {}",
                        path.display(),
                        error.message()
                    )
                })?
            }
            None => toml::Table::new(),
        };
        let place = file.map_or("the environment".to_owned(), |path| path.display().to_string());
        check_keys(&values, &place)?;
        let mut origins: BTreeMap<String, String> = keys_of(&values).map(|key| (key, "file".to_owned())).collect();
        let overrides = overlay(&mut values, environment)?;
        check_keys(
            &values,
            &format!("the environment ({})", overrides.keys().cloned().collect::<Vec<_>>().join(", ")),
        )?;
        origins.extend(overrides.into_values().map(|key| (key, "environment".to_owned())));
        texts(&mut values);
        let mut settings: Self = values.try_into().with_context(|| format!("in {place}"))?;
        settings.origins = origins;
        settings.validated()
    }

    /// The settings as `system.settings` shows them; secrets are not shown.
    pub fn rows(&self) -> Vec<SettingRow> {
        let bytes = |bytes: Bytes| bytes.0.to_string();
        let row = |name: &str, value: String, description: &str| SettingRow {
            name: name.to_owned(),
            value,
            origin: self.origins.get(name).cloned().unwrap_or_else(|| "default".to_owned()),
            description: description.to_owned(),
        };
        let memory = self.memory.limits();
        let secret = |secret: &Secret| if secret.expose().is_empty() { "(none)" } else { "(set)" }.to_owned();
        let place = |url: Option<String>| url.unwrap_or_else(|| "(in the data directory)".to_owned());
        let mut rows = vec![
            row("mysql.listen", self.mysql.listen.to_string(), "where MySQL clients connect"),
            row("mysql.root_password", secret(&self.mysql.root_password), "root's password"),
            row("mysql.connections_max", self.mysql.connections_max.to_string(), "most connections at a time"),
            row("http.listen", self.http.listen.to_string(), "where /healthz, /readyz and /metrics are"),
            row("memory.limit", memory.total.to_string(), "what ingest and queries hold together"),
            row(
                "memory.ingest_limit",
                memory.ingest_max.to_string(),
                "most that ingest has of it; past it the sources pause",
            ),
            row(
                "memory.query_limit",
                memory.query_max.to_string(),
                "most that queries have of it; past it they spill to disk",
            ),
            row("wal.bytes_max", bytes(self.wal.bytes_max), "past it the sources pause"),
            row("wal.segment_bytes", bytes(self.wal.segment_bytes), "size of one segment of the write-ahead log"),
            row("wal.queue_bytes", bytes(self.wal.queue_bytes), "bytes accepted and not yet written"),
            row("wal.disk_reserve", bytes(self.wal.disk_reserve), "nothing is appended while the disk has less left"),
            row("source.queue_bytes", bytes(self.source.queue_bytes), "bytes that one task's Kafka client may queue"),
            row("source.batch_bytes", bytes(self.source.batch_bytes), "most payload bytes of one batch"),
            row(
                "query.statements_max",
                self.query.statements_max.to_string(),
                "statements that read rows at a time; the others wait",
            ),
            row(
                "query.statements_wait_seconds",
                self.query.statements_wait_seconds.to_string(),
                "how long a statement waits for its turn",
            ),
            row("query.spill_limit", bytes(self.query.spill_limit), "what queries may spill to disk at a time"),
            row(
                "sweeper.intent_age_seconds",
                self.sweeper.intent_age_seconds.to_string(),
                "uploads older than this are swept",
            ),
            row(
                "sweeper.label_age_seconds",
                self.sweeper.label_age_seconds.to_string(),
                "the label of an INSERT is known for this long",
            ),
            row("catalog.url", place(self.catalog.url.as_ref().map(ToString::to_string)), "where the catalog is"),
            row(
                "object_store.url",
                place(self.object_store.url.as_ref().map(ToString::to_string)),
                "where the parts are",
            ),
        ];
        let (name, password) = self.catalog.secret();
        rows.push(row(name, secret(password), "the catalog's password, where it is not in the URL"));
        rows.extend(
            self.object_store.secrets().map(|(name, value)| row(name, secret(value), "who asks the object store")),
        );
        rows
    }

    fn validated(mut self) -> anyhow::Result<Self> {
        if let Some(path) = &self.mysql.root_password_file {
            self.mysql.root_password = stores::first_line("mysql.root_password_file", path)?;
        }
        self.catalog.complete()?;
        self.object_store.complete()?;
        let at_least = |name: &str, value: Bytes, least: u64| match value.0 >= least {
            true => Ok(()),
            false => bail!("{name} is {} bytes, and must be at least {least}", value.0),
        };
        self.memory.check()?;
        if self.query.statements_max == 0 {
            bail!("query.statements_max is 0, and must be at least 1: no statement could read a row");
        }
        at_least("wal.segment_bytes", self.wal.segment_bytes, 1 << 20)?;
        at_least("wal.bytes_max", self.wal.bytes_max, 4 * self.wal.segment_bytes.0)?;
        at_least("wal.queue_bytes", self.wal.queue_bytes, 1 << 20)?;
        at_least("source.queue_bytes", self.source.queue_bytes, 1 << 20)?;
        at_least("source.batch_bytes", self.source.batch_bytes, 16 << 10)?;
        Ok(self)
    }
}

fn keys_of(values: &toml::Table) -> impl Iterator<Item = String> {
    let of = |(section, keys): (&String, &toml::Value)| {
        let keys = keys.as_table().map(|keys| keys.keys().cloned().collect::<Vec<_>>()).unwrap_or_default();
        let section = section.clone();
        keys.into_iter().map(move |key| format!("{section}.{key}"))
    };
    values.iter().flat_map(of)
}

/// Lays `MILLRACE__SECTION__KEY=value` over the file's values; returns which variables it used, and for what.
fn overlay(
    values: &mut toml::Table,
    environment: impl Iterator<Item = (String, String)>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut used = BTreeMap::new();
    for (name, text) in environment {
        let Some(path) = name.strip_prefix("MILLRACE__") else { continue };
        let Some((section, key)) = path.split_once("__") else {
            bail!(
                "the environment's {name} names no setting: write MILLRACE__SECTION__KEY, such as MILLRACE__MYSQL__LISTEN"
            );
        };
        let is_text = TEXTS.iter().any(|known| key.eq_ignore_ascii_case(known));
        let number = text.parse::<i64>().ok().filter(|_| !is_text);
        let value = number.map_or(toml::Value::String(text), toml::Value::Integer);
        let section =
            values.entry(section.to_ascii_lowercase()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        let section = section.as_table_mut().with_context(|| format!("{name}: that section is not a table"))?;
        section.insert(key.to_ascii_lowercase(), value);
        used.insert(name.clone(), path.to_ascii_lowercase().replacen("__", ".", 1));
    }
    Ok(used)
}

/// Makes texts of secrets that look like numbers: what refuses a value repeats it.
fn texts(values: &mut toml::Table) {
    for section in values.iter_mut().filter_map(|(_, section)| section.as_table_mut()) {
        for (_, value) in section.iter_mut().filter(|(key, _)| TEXTS.contains(&key.as_str())) {
            if matches!(value, toml::Value::Integer(_)) {
                *value = toml::Value::String(value.to_string());
            }
        }
    }
}

fn check_keys(values: &toml::Table, place: &str) -> anyhow::Result<()> {
    for (section, value) in values {
        let Some((_, keys)) = KEYS.iter().find(|(known, _)| known == section) else {
            bail!(
                "{place}: there is no section [{section}]{}",
                did_you_mean(section, KEYS.iter().map(|(known, _)| *known))
            );
        };
        for key in value.as_table().map(|table| table.keys()).into_iter().flatten() {
            if !keys.contains(&key.as_str()) {
                bail!("{place}: there is no setting {section}.{key}{}", did_you_mean(key, keys.iter().copied()));
            }
        }
    }
    Ok(())
}

fn did_you_mean<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let best = known.clone().map(|known| (strsim::jaro_winkler(word, known), known)).max_by(|a, b| a.0.total_cmp(&b.0));
    match best {
        Some((likeness, known)) if likeness > 0.75 => format!("; did you mean {known}?"),
        _ => format!("; there are {}", known.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn load(text: &str, environment: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("millrace.toml");
        std::fs::write(&path, text).unwrap();
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Settings::load(Some(&path), environment)
    }

    #[test]
    fn the_environment_wins_over_the_file() {
        let settings = load("[wal]\nbytes_max = '8GiB'\n", &[("MILLRACE__WAL__BYTES_MAX", "2GiB")]).unwrap();
        assert_eq!(settings.wal.bytes_max, Bytes(2 << 30));
    }

    #[test]
    fn an_unknown_key_names_file_key_and_the_likely_one() {
        let error = load("[memory]\ningest_limt = '1GiB'\n", &[]).unwrap_err().to_string();
        assert!(error.contains("millrace.toml") && error.contains("did you mean ingest_limit?"), "{error}");
    }

    #[test]
    fn a_port_for_other_machines_needs_a_password() {
        let open = load("[mysql]\nlisten = '0.0.0.0:9030'\n", &[]).unwrap().mysql;
        let error = open.refuse_an_open_door(true).unwrap_err().to_string();
        assert!(error.contains("root has no password") && error.contains("ALTER USER root"), "{error}");
        open.refuse_an_open_door(false).unwrap();
        MysqlSettings::default().refuse_an_open_door(true).unwrap();
        let set = load("[mysql]\nlisten = '0.0.0.0:9030'\n", &[("MILLRACE__MYSQL__ROOT_PASSWORD", "123")]).unwrap();
        assert_eq!(set.mysql.root_password.expose(), "123");
    }

    #[test]
    fn one_memory_limit_is_shared_and_neither_side_is_left_without() {
        let limits = |text: &str| load(text, &[]).map(|settings| settings.memory.limits());
        let gib = |quarters: u64| quarters << 28;
        let shared = limits("[memory]\nlimit = '4GiB'\n").unwrap();
        assert_eq!(shared, MemoryLimits { total: gib(16), ingest_max: gib(12), query_max: gib(8) });
        let apart = limits("[memory]\nlimit = '8GiB'\ningest_limit = '1GiB'\nquery_limit = '2GiB'\n").unwrap();
        assert_eq!(
            apart,
            MemoryLimits { total: gib(12), ingest_max: gib(4), query_max: gib(8) },
            "the rest is nobody's"
        );
        for (text, words) in [
            ("[memory]\nlimit = '1GiB'\nquery_limit = '2GiB'\n", "memory.query_limit is 2147483648"),
            ("[memory]\nlimit = '1GiB'\nquery_limit = '1GiB'\n", "leave ingest 0 bytes"),
            ("[memory]\nlimit = '96MiB'\n", "raise memory.limit"),
        ] {
            let error = limits(text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let settings = load("[mysql]\nroot_password = 'hunter2'\n", &[]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
        assert_eq!(settings.mysql.root_password.expose(), "hunter2");
    }
}
