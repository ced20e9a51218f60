//! What was produced, and what the broker lost of it: the truth that every checker compares with. Knows nothing of the product but
//! the scripted broker that it drives.

use std::collections::BTreeMap;
use std::time::Duration;

use catalog::{Offset, StreamIdentity};
use warehouse::write::source::{MemoryBroker, MemoryRecord};

use super::rows::{Found, Row};

/// The topic of a history.
pub const TOPIC: &str = "events";

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Produced {
    /// It becomes a row with this id.
    Row(i64),
    /// It becomes an error row.
    Bad,
    /// The pipeline's WHERE takes it out.
    Filtered,
    /// There is no record: a control record, or an aborted one.
    Skipped,
}

/// One offset. After a truncation it may hold something else than before.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    /// What it has held, oldest first.
    pub held: Vec<Produced>,
    /// When the broker lost each of them; one less than there are, if it still has the last.
    pub lost_at: Vec<Duration>,
    /// Retention took it.
    pub expired: bool,
    /// The broker lost it.
    pub truncated: bool,
}

impl Slot {
    fn may_be(&self, what: Produced) -> bool {
        self.held.contains(&what)
    }

    /// Whether whoever has read it at `since` or later may have found this.
    fn may_have_been(&self, what: Produced, since: Duration) -> bool {
        let lost_before = self.lost_at.iter().filter(|at| **at < since).count();
        self.held.iter().skip(lost_before).any(|held| *held == what)
    }

    fn lose(&mut self, now: Duration) {
        while self.lost_at.len() < self.held.len() {
            self.lost_at.push(now);
        }
    }
}

/// One partition of one incarnation of the topic.
#[derive(Clone, Debug, Default)]
pub struct Partition {
    /// Every offset that there ever was.
    pub slots: Vec<Slot>,
    /// The first offset that exists.
    pub low: u64,
    /// The offset after the last one that exists.
    pub high: u64,
    /// Whether the pipeline had begun when it was made: then it is read from its first record on.
    pub later: bool,
    /// How far it was committed whenever the broker lost something of it: what lay beyond may be gone for good.
    pub committed_at_loss: Option<u64>,
    /// Whether the topic was deleted.
    pub gone: bool,
}

/// What became of a range of offsets of which rows and errors were found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Offsets that are neither rows nor errors.
    pub count: u64,
    /// Those that can only have been filtered, and those that may have been.
    pub filtered: (u64, u64),
    /// Those that can only have been skipped, and those that may have been.
    pub skipped: (u64, u64),
    /// Those that may have expired.
    pub expired: u64,
    /// Those that may have been truncated.
    pub truncated: u64,
}

/// All that was produced.
#[derive(Debug)]
pub struct Script {
    broker: MemoryBroker,
    filters: bool,
    partitions: BTreeMap<(String, i32), Partition>,
    incarnations: u64,
    next_id: i64,
    /// Whether the pipeline has streams.
    pub begun: bool,
    /// The history's time.
    pub now: Duration,
}

impl Script {
    /// A topic of so many partitions. `filters`: the pipeline's WHERE takes some records out.
    pub fn new(partitions: i32, filters: bool) -> Self {
        let broker = MemoryBroker::new();
        let mut script = Self {
            broker,
            filters,
            partitions: BTreeMap::new(),
            incarnations: 0,
            next_id: 1,
            begun: false,
            now: Duration::ZERO,
        };
        script.create_topic(partitions);
        script
    }

    /// The broker that follows the script.
    pub fn broker(&self) -> &MemoryBroker {
        &self.broker
    }

    /// The topic's present incarnation, as the broker names it.
    pub fn incarnation(&self) -> String {
        format!("incarnation-{}", self.incarnations)
    }

    /// The partitions of the present incarnation.
    pub fn current(&self) -> impl Iterator<Item = (i32, &Partition)> {
        let incarnation = self.incarnation();
        self.partitions.iter().filter(move |((of, _), _)| *of == incarnation).map(|((_, number), it)| (*number, it))
    }

    /// How many partitions the topic has.
    pub fn partition_count(&self) -> i32 {
        i32::try_from(self.current().count()).expect("few partitions")
    }

    /// The partition of a stream.
    pub fn of(&self, identity: &StreamIdentity) -> Option<&Partition> {
        let identity = identity.partition()?;
        self.partitions.get(&(identity.incarnation.clone(), identity.partition))
    }

    /// A partition of the present incarnation.
    pub fn at(&self, partition: i32) -> &Partition {
        &self.partitions[&(self.incarnation(), partition)]
    }

    fn at_mut(&mut self, partition: i32) -> &mut Partition {
        let incarnation = self.incarnation();
        self.partitions.get_mut(&(incarnation, partition)).expect("the script names partitions that there are")
    }

    /// Makes the topic anew. What was uncommitted of the one before may be gone.
    pub fn create_topic(&mut self, partitions: i32) {
        self.broker.delete_topic(TOPIC);
        self.broker.create_topic(TOPIC, partitions);
        self.incarnations += 1;
        (0..partitions).for_each(|partition| self.make(partition));
    }

    /// Adds a partition.
    pub fn add_partition(&mut self) {
        let partition = self.partition_count();
        self.broker.add_partitions(TOPIC, partition + 1);
        self.make(partition);
    }

    fn make(&mut self, partition: i32) {
        let made = Partition { later: self.begun, ..Partition::default() };
        self.partitions.insert((self.incarnation(), partition), made);
    }

    /// Produces one record.
    pub fn produce(&mut self, partition: i32, what: fn(i64) -> Produced) {
        let id = self.next_id;
        self.next_id += 1;
        let mut what = what(id);
        if what == Produced::Filtered && !self.filters {
            what = Produced::Row(id);
        }
        let text = match what {
            Produced::Row(id) => format!(r#"{{"id": {id}, "kind": "k{}"}}"#, id % 3),
            Produced::Bad => format!(r#"{{"id": "{id}x", "kind": 7"#),
            Produced::Filtered => format!(r#"{{"id": {id}, "kind": "drop"}}"#),
            Produced::Skipped => return self.skip(partition, 1),
        };
        let record = MemoryRecord { timestamp_ms: Some(1_700_000_000_000 + id), ..MemoryRecord::of(text) };
        let offset = self.broker.produce(TOPIC, partition, record);
        let at = self.at_mut(partition);
        assert_eq!(offset.0, at.high, "the script and the broker agree");
        at.hold(what);
    }

    /// Passes over offsets without a record.
    pub fn skip(&mut self, partition: i32, count: u64) {
        self.broker.skip(TOPIC, partition, count);
        let at = self.at_mut(partition);
        (0..count).for_each(|_| at.hold(Produced::Skipped));
    }

    /// Retention takes what lies below `low`. So far the partition was committed.
    pub fn expire(&mut self, partition: i32, low: u64, committed: u64) {
        self.broker.expire(TOPIC, partition, Offset(low));
        let now = self.now;
        let at = self.at_mut(partition);
        at.low = at.low.max(low);
        for slot in at.slots.iter_mut().take(low as usize) {
            slot.expired = true;
            slot.lose(now);
        }
        at.lost(committed);
    }

    /// The broker loses what lies at `high` and above.
    pub fn truncate(&mut self, partition: i32, high: u64, committed: u64) {
        self.broker.truncate(TOPIC, partition, Offset(high));
        let now = self.now;
        let at = self.at_mut(partition);
        for slot in at.slots.iter_mut().skip(high as usize) {
            slot.truncated = true;
            slot.lose(now);
        }
        at.high = high;
        at.lost(committed);
    }

    /// What was uncommitted of a topic that is about to be made anew may be gone.
    pub fn lose_all(&mut self, committed: impl Fn(i32) -> u64) {
        let incarnation = self.incarnation();
        for ((of, partition), it) in &mut self.partitions {
            if *of == incarnation {
                it.gone = true;
                it.lost(committed(*partition));
                it.slots.iter_mut().for_each(|slot| slot.truncated = true);
            }
        }
    }
}

impl Partition {
    fn hold(&mut self, what: Produced) {
        let at = usize::try_from(self.high).expect("few offsets");
        if at == self.slots.len() {
            self.slots.push(Slot::default());
        }
        self.slots[at].held.push(what);
        self.high += 1;
    }

    fn lost(&mut self, committed: u64) {
        self.committed_at_loss = Some(self.committed_at_loss.map_or(committed, |before| before.min(committed)));
    }

    /// Whether any offset ever held this.
    pub fn ever(&self, what: Produced) -> bool {
        self.slots.iter().any(|slot| slot.may_be(what))
    }

    /// Whether what was seen at this offset may have gone: the broker lost it before it was committed, and has not had it since.
    pub fn may_be_gone(&self, offset: u64, seen: Produced) -> bool {
        let Some(slot) = self.slots.get(offset as usize) else { return false };
        let has_it = !self.gone && (self.low..self.high).contains(&offset) && slot.held.last() == Some(&seen);
        let was_uncommitted = self.committed_at_loss.is_some_and(|committed| offset >= committed);
        !has_it && (slot.expired || slot.truncated) && was_uncommitted
    }

    /// That all of this was at the broker at `since` or later.
    ///
    /// # Errors
    /// If something had been lost before.
    pub fn was_there(&self, found: &Found, since: Duration) -> Result<(), String> {
        let rows = found.rows.iter().map(|(offset, row)| (offset, Produced::Row(row.id)));
        let all = rows.chain(found.errors.keys().map(|offset| (offset, Produced::Bad)));
        for (offset, what) in all {
            let Some(slot) = self.slots.get(*offset as usize) else { continue };
            if !slot.may_have_been(what, since) {
                return Err(format!(
                    "offset {offset} is {what:?}, which the broker had lost before {:.3} s: it has held {:?}, lost at {:?}",
                    since.as_secs_f64(),
                    slot.held,
                    slot.lost_at
                ));
            }
        }
        Ok(())
    }

    /// Compares what was found of the offsets `from..to` with what was produced: I1 of one stream.
    ///
    /// # Errors
    /// If a row or an error is there that was not produced there, or one is not there that was.
    pub fn compare(
        &self,
        from: u64,
        to: u64,
        rows: &BTreeMap<u64, Row>,
        errors: &BTreeMap<u64, ()>,
    ) -> Result<Missing, String> {
        if let Some(beyond) = rows.range(to..).next().map(|(at, _)| at).or(errors.range(to..).next().map(|(at, _)| at))
        {
            return Err(format!("offset {beyond} lies beyond the end {to}"));
        }
        if let Some(before) =
            rows.range(..from).next().map(|(at, _)| at).or(errors.range(..from).next().map(|(at, _)| at))
        {
            return Err(format!("offset {before} lies before the start {from}"));
        }
        if to > self.slots.len() as u64 {
            return Err(format!("the end is {to}, and only {} offsets were ever produced", self.slots.len()));
        }
        let mut missing = Missing::default();
        for offset in from..to {
            let slot = &self.slots[offset as usize];
            match (rows.get(&offset), errors.contains_key(&offset)) {
                (Some(_), true) => return Err(format!("offset {offset} is a row and an error row")),
                (Some(row), false) if slot.may_be(Produced::Row(row.id)) => {}
                (Some(Row { id, .. }), false) => {
                    return Err(format!("offset {offset} is a row with id {id}, but was produced as {:?}", slot.held));
                }
                (None, true) if slot.may_be(Produced::Bad) => {}
                (None, true) => {
                    return Err(format!("offset {offset} is an error row, but was produced as {:?}", slot.held));
                }
                (None, false) => missing.add(offset, slot)?,
            }
        }
        Ok(missing)
    }
}

impl Missing {
    fn add(&mut self, offset: u64, slot: &Slot) -> Result<(), String> {
        let (filtered, skipped) = (slot.may_be(Produced::Filtered), slot.may_be(Produced::Skipped));
        let lost = slot.expired || slot.truncated;
        if !filtered && !skipped && !lost {
            return Err(format!("offset {offset} is missing: it was produced as {:?}", slot.held));
        }
        self.count += 1;
        let only = |one: bool, other: bool| u64::from(one && !other && !lost);
        self.filtered.0 += only(filtered, skipped);
        self.filtered.1 += u64::from(filtered);
        self.skipped.0 += only(skipped, filtered);
        self.skipped.1 += u64::from(skipped);
        self.expired += u64::from(slot.expired);
        self.truncated += u64::from(slot.truncated);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rows::FIRST;

    fn script() -> Script {
        let mut script = Script::new(1, true);
        for what in [Produced::Row, |_| Produced::Bad, |_| Produced::Filtered, |_| Produced::Skipped, Produced::Row] {
            script.produce(0, what);
        }
        script
    }

    fn found(script: &Script, rows: &[(u64, i64)], errors: &[u64]) -> Result<Missing, String> {
        let errors = errors.iter().map(|at| (*at, ())).collect();
        let rows = rows.iter().map(|(at, id)| (*at, Row { id: *id, mark: FIRST })).collect();
        script.at(0).compare(0, 5, &rows, &errors)
    }

    #[test]
    fn each_offset_is_what_was_produced_there() {
        let script = script();
        let missing = found(&script, &[(0, 1), (4, 5)], &[1]).unwrap();
        assert_eq!((missing.count, missing.filtered, missing.skipped), (2, (1, 1), (1, 1)));
        assert!(found(&script, &[(0, 1)], &[1]).unwrap_err().contains("offset 4 is missing"));
        assert!(found(&script, &[(0, 1), (4, 5)], &[]).unwrap_err().contains("offset 1 is missing"));
        assert!(found(&script, &[(0, 1), (4, 1)], &[1]).unwrap_err().contains("offset 4 is a row with id 1"));
        assert!(found(&script, &[(0, 1), (2, 3), (4, 5)], &[1]).is_err());
        assert!(found(&script, &[(0, 1), (4, 5), (5, 6)], &[1]).unwrap_err().contains("beyond"));
    }

    #[test]
    fn what_expired_may_be_missing_and_an_offset_made_again_may_be_either() {
        let mut script = script();
        script.expire(0, 1, 0);
        assert_eq!(found(&script, &[(4, 5)], &[1]).unwrap().expired, 1);
        script.truncate(0, 4, 0);
        script.produce(0, Produced::Row);
        assert!(found(&script, &[(4, 5)], &[1]).is_ok() && found(&script, &[(4, 6)], &[1]).is_ok());
        assert!(script.at(0).may_be_gone(4, Produced::Row(5)) && !script.at(0).may_be_gone(4, Produced::Row(6)));
        assert!(script.at(0).may_be_gone(0, Produced::Row(1)) && !script.at(0).may_be_gone(2, Produced::Filtered));
    }

    #[test]
    fn what_the_broker_had_lost_before_cannot_have_been_read_after() {
        let mut script = script();
        script.now = Duration::from_secs(5);
        script.truncate(0, 4, 0);
        script.produce(0, Produced::Row);
        let read = |id, seconds| {
            let found = Found { rows: [(4, Row { id, mark: FIRST })].into(), ..Found::default() };
            script.at(0).was_there(&found, Duration::from_secs(seconds)).is_ok()
        };
        assert!(read(5, 4) && read(5, 5) && !read(5, 6));
        assert!(read(6, 4) && read(6, 6));
    }
}
