//! The scripted broker: topics, partitions, records, and everything that goes wrong with them.
//!
//! | call | what a real broker did |
//! |---|---|
//! | [`MemoryBroker::skip`] | control records, an aborted transaction, compaction |
//! | [`MemoryBroker::expire`] | retention |
//! | [`MemoryBroker::truncate`] | an unclean election: the last records are lost |
//! | [`MemoryBroker::delete_topic`], [`MemoryBroker::create_topic`] | another incarnation under the same name |
//! | [`MemoryBroker::deliver_again`] | a client that goes back after a reconnect |
//! | [`MemoryBroker::set_reachable`] | an outage |
//! | [`MemoryBroker::set_fetching`] | a quota: fetches wait, all else is answered |
//! | [`MemoryBroker::delay_opens`] | connecting takes its time |

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::Offset;
use tokio::sync::Notify;

/// One record of the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryRecord {
    /// Its payload; `None` for a null payload.
    pub payload: Option<Vec<u8>>,
    /// Its timestamp in milliseconds since 1970 UTC.
    pub timestamp_ms: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers, as a JSON object's text.
    pub headers: Option<Vec<u8>>,
}

impl MemoryRecord {
    /// A record that is a payload and nothing else.
    pub fn of(payload: impl Into<Vec<u8>>) -> Self {
        Self { payload: Some(payload.into()), ..Self::default() }
    }
}

/// One partition: `low..high` exist, those without a record were passed over.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) low: u64,
    pub(super) high: u64,
    pub(super) records: BTreeMap<u64, MemoryRecord>,
    /// Fetches from here on begin at this offset once more, one for each count.
    pub(super) again: Option<(u64, u32)>,
}

/// One incarnation of a topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) incarnation: String,
    pub(super) partitions: BTreeMap<i32, Log>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) topics: BTreeMap<String, Topic>,
    pub(super) is_reachable: bool,
    pub(super) is_fetching: bool,
    /// How long each of the next opens takes.
    pub(super) opens: VecDeque<Duration>,
    incarnations: u64,
}

/// The broker. Cheap to clone: all clones are one broker.
#[derive(Clone, Debug)]
pub struct MemoryBroker {
    state: Arc<Mutex<State>>,
    /// Wakes who waits in the order in which they began to, so that a simulation follows from its seed.
    changes: Arc<Notify>,
}

impl Default for MemoryBroker {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryBroker {
    /// A reachable broker without topics.
    pub fn new() -> Self {
        let (topics, opens) = (BTreeMap::new(), VecDeque::new());
        let state = State { topics, is_reachable: true, is_fetching: true, opens, incarnations: 0 };
        Self { state: Arc::new(Mutex::new(state)), changes: Arc::default() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changes(&self) -> Arc<Notify> {
        Arc::clone(&self.changes)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changes.notify_waiters();
        result
    }

    fn change_log<T>(&self, topic: &str, partition: i32, change: impl FnOnce(&mut Log) -> T) -> T {
        self.change(|state| {
            let topic = state.topics.get_mut(topic).unwrap_or_else(|| panic!("the script has no topic {topic:?}"));
            change(
                topic
                    .partitions
                    .get_mut(&partition)
                    .unwrap_or_else(|| panic!("the script has no partition {partition}")),
            )
        })
    }

    /// Makes a topic of empty partitions `0..partitions`: a new incarnation, if there was one of this name.
    pub fn create_topic(&self, topic: &str, partitions: i32) {
        self.change(|state| {
            state.incarnations += 1;
            let made = Topic {
                incarnation: format!("incarnation-{}", state.incarnations),
                partitions: (0..partitions).map(|partition| (partition, Log::default())).collect(),
            };
            state.topics.insert(topic.to_owned(), made);
        });
    }

    /// Deletes a topic.
    pub fn delete_topic(&self, topic: &str) {
        self.change(|state| state.topics.remove(topic));
    }

    /// Gives the topic partitions up to `partitions`; those that it has stay.
    ///
    /// # Panics
    /// If there is no such topic.
    pub fn add_partitions(&self, topic: &str, partitions: i32) {
        self.change(|state| {
            let topic = state.topics.get_mut(topic).unwrap_or_else(|| panic!("the script has no topic {topic:?}"));
            for partition in 0..partitions {
                topic.partitions.entry(partition).or_default();
            }
        });
    }

    /// Appends a record, and returns its offset.
    ///
    /// # Panics
    /// If there is no such partition; so below.
    pub fn produce(&self, topic: &str, partition: i32, record: MemoryRecord) -> Offset {
        self.change_log(topic, partition, |log| {
            let offset = log.high;
            log.records.insert(offset, record);
            log.high += 1;
            Offset(offset)
        })
    }

    /// Appends `count` offsets without a record.
    pub fn skip(&self, topic: &str, partition: i32, count: u64) {
        self.change_log(topic, partition, |log| log.high += count);
    }

    /// Drops what lies below `low`.
    pub fn expire(&self, topic: &str, partition: i32, low: Offset) {
        self.change_log(topic, partition, |log| {
            log.low = log.low.max(low.0);
            log.high = log.high.max(log.low);
            log.records = log.records.split_off(&log.low);
        });
    }

    /// Drops what lies at `high` and above.
    pub fn truncate(&self, topic: &str, partition: i32, high: Offset) {
        self.change_log(topic, partition, |log| {
            log.high = log.high.min(high.0);
            log.low = log.low.min(log.high);
            log.records.split_off(&high.0);
        });
    }

    /// Lets the next `times` fetches of the partition begin again at `from`: their records come twice.
    pub fn deliver_again(&self, topic: &str, partition: i32, from: Offset, times: u32) {
        self.change_log(topic, partition, |log| log.again = Some((from.0, times)));
    }

    /// Lets each of the next sources take so long to be opened; those after them take no time.
    pub fn delay_opens(&self, delays: impl IntoIterator<Item = Duration>) {
        self.lock().opens = delays.into_iter().collect();
    }

    /// Lets it answer, or not.
    pub fn set_reachable(&self, is_reachable: bool) {
        self.change(|state| state.is_reachable = is_reachable);
    }

    /// Lets it answer fetches, or answer questions only.
    pub fn set_fetching(&self, is_fetching: bool) {
        self.change(|state| state.is_fetching = is_fetching);
    }
}

impl Log {
    /// Where a fetch at `position` really begins.
    pub(super) fn begin(&mut self, position: u64) -> u64 {
        let Some((from, times)) = &mut self.again else { return position };
        let begin = position.min((*from).max(self.low));
        *times = times.saturating_sub(1);
        if *times == 0 {
            self.again = None;
        }
        begin
    }
}
