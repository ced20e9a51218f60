//! How much of a partition may be at the broker without having been seen by the other side. The mock broker keeps the last
//! 5 MiB of a partition and drops what is older: a producer that ran ahead would make gaps.

use std::collections::VecDeque;

/// What is sent and not yet seen, by partition.
pub(crate) struct Window {
    /// Bytes of a partition; `None` where the broker keeps all.
    limit: Option<usize>,
    partitions: Vec<Partition>,
}

#[derive(Default)]
struct Partition {
    sent: u64,
    bytes: usize,
    /// Offsets that are not seen yet, with their bytes.
    waiting: VecDeque<(u64, usize)>,
}

impl Window {
    pub(crate) fn new(limit: Option<usize>, partitions: usize) -> Self {
        Self { limit, partitions: (0..partitions).map(|_| Partition::default()).collect() }
    }

    /// Whether a record of so many bytes may be sent to `partition`. One that is alone always may.
    pub(crate) fn has_room(&self, partition: usize, bytes: usize) -> bool {
        let waiting = self.partitions[partition].bytes;
        waiting == 0 || self.limit.is_none_or(|limit| waiting + bytes <= limit)
    }

    /// A record was sent.
    pub(crate) fn sent(&mut self, partition: usize, bytes: usize) {
        if self.limit.is_none() {
            return;
        }
        let of = &mut self.partitions[partition];
        of.waiting.push_back((of.sent, bytes));
        of.sent += 1;
        of.bytes += bytes;
    }

    /// All records before `offset` were seen.
    pub(crate) fn seen(&mut self, partition: usize, offset: u64) {
        let Some(of) = self.partitions.get_mut(partition) else { return };
        while let Some((first, bytes)) = of.waiting.front().copied()
            && first < offset
        {
            of.waiting.pop_front();
            of.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_waits_at_its_limit_until_its_own_records_are_seen() {
        let mut window = Window::new(Some(100), 2);
        window.sent(0, 60);
        window.sent(0, 40);
        assert!(!window.has_room(0, 1) && window.has_room(1, 100));
        window.seen(1, 2);
        assert!(!window.has_room(0, 1));
        window.seen(0, 1);
        assert!(window.has_room(0, 60) && !window.has_room(0, 61));
    }

    #[test]
    fn a_record_larger_than_the_window_goes_alone() {
        assert!(Window::new(Some(100), 1).has_room(0, 1_000));
    }
}
