//! Records made before the clock runs: a producer that still made them would take the processor from what is measured.

use crate::dataset::Dataset;
use crate::events::{STAMP_AT, STAMP_DIGITS};

/// Payloads in one buffer.
pub(crate) struct Prepared {
    dataset: Dataset,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Prepared {
    /// Records of at least so many bytes together.
    pub(crate) fn make(dataset: Dataset, seed: u64, bytes: u64) -> anyhow::Result<Self> {
        let wanted = usize::try_from(bytes)?;
        let mut payloads = dataset.payloads(seed)?;
        let mut made = Self { dataset, bytes: Vec::with_capacity(wanted + 4096), ends: Vec::new() };
        while made.bytes.len() < wanted {
            payloads.append(&mut made.bytes)?;
            made.ends.push(made.bytes.len());
        }
        Ok(made)
    }

    /// How many.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all payloads.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The payload at `index`.
    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.bytes[start..self.ends[index]]
    }

    /// Writes when it is sent into the payload at `index`, where the records have a place for that.
    pub(crate) fn stamp(&mut self, index: usize, micros: u64) {
        if self.dataset != Dataset::Events {
            return;
        }
        let start = if index == 0 { 0 } else { self.ends[index - 1] } + STAMP_AT;
        let mut rest = micros;
        for digit in self.bytes[start..start + STAMP_DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_the_number_that_the_record_then_has() {
        let mut records = Prepared::make(Dataset::Events, 1, 5_000).unwrap();
        let last = records.len() - 1;
        records.stamp(last, 1_795_000_000_123_456);
        let record: serde_json::Value = serde_json::from_slice(records.get(last)).unwrap();
        assert_eq!(record["produced_us"], 1_795_000_000_123_456_u64);
    }

    #[test]
    fn flights_begin_again_when_they_end() {
        let records = Prepared::make(Dataset::Flights, 1, 105_000_000).unwrap();
        assert_eq!(records.get(336_776), records.get(0));
    }
}
