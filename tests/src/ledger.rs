//! What was produced and what is seen, per partition, as sets of (offset, payload hash): the judge of "nothing lost,
//! nothing twice". Knows nothing of the product.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// A hash of a record's payload, the same for the producer and for whoever reads the row back.
pub fn payload_hash(payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    hasher.finish()
}

/// What was produced: the payload hash of each offset of each partition.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    partitions: BTreeMap<i32, BTreeMap<u64, u64>>,
}

/// What a query returned: every row and error row, duplicates kept.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    rows: BTreeMap<i32, Vec<(u64, u64)>>,
}

impl Seen {
    /// Adds a row.
    pub fn add(&mut self, partition: i32, offset: u64, hash: u64) {
        self.rows.entry(partition).or_default().push((offset, hash));
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.values().map(Vec::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Ledger {
    /// Notes a record that the broker acknowledged.
    pub fn add(&mut self, partition: i32, offset: u64, payload: &[u8]) {
        let before = self.partitions.entry(partition).or_default().insert(offset, payload_hash(payload));
        assert_eq!(before, None, "the broker gave offset {offset} of partition {partition} twice");
    }

    /// What of it lies before these offsets, each of its partition.
    #[must_use]
    pub fn before(&self, ends: &BTreeMap<i32, u64>) -> Self {
        let of = |(partition, records): (&i32, &BTreeMap<u64, u64>)| {
            let end = ends.get(partition).copied().unwrap_or_default();
            (*partition, records.range(..end).map(|(offset, hash)| (*offset, *hash)).collect())
        };
        Self { partitions: self.partitions.iter().map(of).collect() }
    }

    /// How many records.
    pub fn len(&self) -> usize {
        self.partitions.values().map(BTreeMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Compares all that was produced with all that is seen.
    ///
    /// # Errors
    /// Says, per partition, which offsets are lost, seen twice, foreign, or of another content.
    pub fn check(&self, seen: &Seen) -> Result<(), String> {
        let mut faults = Vec::new();
        let partitions: BTreeSet<i32> = self.partitions.keys().chain(seen.rows.keys()).copied().collect();
        for partition in partitions {
            let empty = BTreeMap::new();
            let produced = self.partitions.get(&partition).unwrap_or(&empty);
            let mut found: BTreeMap<u64, u32> = BTreeMap::new();
            for (offset, hash) in seen.rows.get(&partition).into_iter().flatten() {
                *found.entry(*offset).or_default() += 1;
                match produced.get(offset) {
                    None => faults.push(format!("partition {partition}: offset {offset} was never produced")),
                    Some(expected) if expected != hash => {
                        faults.push(format!("partition {partition}: offset {offset} has other content"));
                    }
                    Some(_) => {}
                }
            }
            let twice: Vec<u64> = found.iter().filter(|(_, count)| **count > 1).map(|(offset, _)| *offset).collect();
            let lost: Vec<u64> = produced.keys().filter(|offset| !found.contains_key(offset)).copied().collect();
            for (what, offsets) in [("seen twice", twice), ("lost", lost)] {
                if let (Some(first), Some(last)) = (offsets.first(), offsets.last()) {
                    faults.push(format!("partition {partition}: {} offsets {what}, {first} to {last}", offsets.len()));
                }
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn produced() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.add(0, 4, b"a");
        ledger.add(0, 6, b"b");
        ledger
    }

    fn seen(rows: &[(u64, &[u8])]) -> Seen {
        let mut seen = Seen::default();
        rows.iter().for_each(|(offset, payload)| seen.add(0, *offset, payload_hash(payload)));
        seen
    }

    #[test]
    fn the_judge_tells_loss_doubles_strangers_and_changed_content_apart() {
        assert_eq!(produced().check(&seen(&[(6, b"b"), (4, b"a")])), Ok(()));
        assert!(produced().check(&seen(&[(4, b"a")])).unwrap_err().contains("1 offsets lost, 6 to 6"));
        assert!(produced().check(&seen(&[(4, b"a"), (6, b"b"), (6, b"b")])).unwrap_err().contains("seen twice"));
        assert!(produced().check(&seen(&[(4, b"a"), (5, b"b"), (6, b"b")])).unwrap_err().contains("never produced"));
        assert!(produced().check(&seen(&[(4, b"x"), (6, b"b")])).unwrap_err().contains("other content"));
    }
}
