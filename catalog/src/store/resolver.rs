//! The one place that decides whether a commit conflicts: pure, optimistic, used by every store that has no judge of its
//! own. Does not know values, files or threads.
//!
//! Its state is a step function over the key space: for each key, the version of the last commit that wrote it. A commit
//! conflicts if that version is above its read version anywhere in the ranges that it read. What was written long ago is
//! forgotten, which raises the floor: a commit that read below the floor cannot be judged and is too old.
//!
//! ```text
//!   floor <= read version of whoever can still be judged <= last <  the next commit's version
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};

use bytes::Bytes;
use vfs::{Moment, planted};

use super::{KeyRange, Stamp, TRANSACTION_AGE_LIMIT};

/// The most bytes of keys that are kept for judging; beyond them the oldest commits are forgotten early (I8).
const WINDOW_BYTES: usize = 64 << 20;
/// What one key of the window costs besides its bytes, roughly.
const KEY_OVERHEAD: usize = 64;

/// What a commit asks of the resolver.
#[derive(Debug)]
pub(super) struct Request<'a> {
    /// The version that the transaction read at.
    pub(super) read_version: u64,
    /// When it began.
    pub(super) begun: Moment,
    /// What it read.
    pub(super) reads: &'a [KeyRange],
    /// What it writes, under the stamp that [`Resolver::next_stamp`] gave.
    pub(super) writes: &'a [KeyRange],
}

/// The resolver's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It takes the next place in the order: this version.
    Commit(u64),
    /// Something that it read was written since.
    Conflict,
    /// Whether something that it read was written since is no longer known.
    TooOld,
}

/// Which keys were written when, as far as that can still decide about a commit.
#[derive(Debug)]
pub(super) struct Resolver {
    last: u64,
    floor: u64,
    /// Boundary -> version of the last write in `[boundary, next boundary)`; 0 below the first, and for "long ago".
    steps: BTreeMap<Bytes, u64>,
    steps_bytes: usize,
    steps_after_compaction: usize,
    recent: VecDeque<(Moment, u64)>,
}

impl Resolver {
    /// A resolver for a store whose last commit was `last`; it knows nothing of what came before.
    pub(super) fn new(last: u64) -> Self {
        Self {
            last,
            floor: last,
            steps: BTreeMap::new(),
            steps_bytes: 0,
            steps_after_compaction: 0,
            recent: VecDeque::new(),
        }
    }

    /// The version of the last commit.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// The stamp that the next commit gets, if it is decided to commit.
    pub(super) fn next_stamp(&self) -> Stamp {
        Stamp::from_count(self.last + 1)
    }

    /// Decides one commit, and remembers it if it commits. The order of calls is the order of commits.
    pub(super) fn resolve(&mut self, request: &Request<'_>, now: Moment) -> Decision {
        assert!(request.read_version <= self.last, "a transaction read a version that nobody has committed");
        if now.since(request.begun) > TRANSACTION_AGE_LIMIT {
            return Decision::TooOld;
        }
        if !request.reads.is_empty() && request.read_version < self.floor {
            return Decision::TooOld;
        }
        let has_changed = request.reads.iter().any(|range| self.last_write(range) > request.read_version);
        if has_changed && !planted::is("conflicts-not-detected") {
            return Decision::Conflict;
        }
        self.observe(request.writes, self.last + 1, now);
        Decision::Commit(self.last)
    }

    /// Remembers what was committed up to version `last`, also where another resolver decided on it. That may be several commits,
    /// if nobody can have read between them.
    pub(super) fn observe(&mut self, writes: &[KeyRange], last: u64, now: Moment) {
        assert!(last > self.last, "versions rise");
        self.last = last;
        for range in writes {
            self.record(range, self.last);
        }
        self.recent.push_back((now, self.last));
        self.forget(now);
    }

    /// The version of the last write to any key of `range`.
    fn last_write(&self, range: &KeyRange) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let inside = self.steps.range::<[u8], _>((Excluded(range.start.as_ref()), Excluded(range.end.as_ref())));
        inside.map(|(_, version)| *version).max().unwrap_or(0).max(self.at(&range.start))
    }

    fn at(&self, key: &[u8]) -> u64 {
        self.steps.range::<[u8], _>((Unbounded, Included(key))).next_back().map_or(0, |(_, version)| *version)
    }

    fn record(&mut self, range: &KeyRange, version: u64) {
        if range.is_empty() {
            return;
        }
        let beyond = self.at(&range.end);
        let inside = self.steps.range::<[u8], _>((Included(range.start.as_ref()), Excluded(range.end.as_ref())));
        let replaced: Vec<Bytes> = inside.map(|(boundary, _)| boundary.clone()).collect();
        for boundary in replaced {
            self.steps.remove(&boundary);
            self.steps_bytes -= boundary.len() + KEY_OVERHEAD;
        }
        for (boundary, version) in [(&range.start, version), (&range.end, beyond)] {
            if self.steps.insert(boundary.clone(), version).is_none() {
                self.steps_bytes += boundary.len() + KEY_OVERHEAD;
            }
        }
    }

    /// Forgets commits that no transaction young enough can have missed, and, if memory is short, more than those.
    fn forget(&mut self, now: Moment) {
        while let Some((at, version)) = self.recent.front()
            && now.since(*at) > TRANSACTION_AGE_LIMIT
        {
            self.floor = *version;
            self.recent.pop_front();
        }
        if self.steps.len() > 2 * self.steps_after_compaction + 1024 {
            self.compact();
        }
        while self.steps_bytes > WINDOW_BYTES && !self.recent.is_empty() {
            let half = self.recent.len().div_ceil(2);
            self.floor = self.recent.drain(..half).map(|(_, version)| version).max().unwrap_or(self.floor);
            self.compact();
        }
    }

    /// Drops the boundaries that no longer tell two versions apart.
    fn compact(&mut self) {
        let mut before = 0;
        self.steps.retain(|_, version| {
            if *version <= self.floor {
                *version = 0;
            }
            let tells = *version != before;
            before = *version;
            tells
        });
        self.steps_bytes = self.steps.keys().map(|boundary| boundary.len() + KEY_OVERHEAD).sum();
        self.steps_after_compaction = self.steps.len();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vfs::{Random, SeededRandom};

    use super::*;

    fn at_millis(millis: u64) -> Moment {
        Moment::new(Duration::from_millis(millis))
    }

    fn keys(start: &'static str, end: &'static str) -> KeyRange {
        KeyRange::new(start, end)
    }

    fn resolve(resolver: &mut Resolver, read_version: u64, reads: &[KeyRange], writes: &[KeyRange]) -> Decision {
        resolver.resolve(&Request { read_version, begun: at_millis(0), reads, writes }, at_millis(0))
    }

    #[test]
    fn a_commit_conflicts_only_with_writes_after_its_read_version_inside_what_it_read() {
        let mut resolver = Resolver::new(10);
        assert_eq!(resolve(&mut resolver, 10, &[], &[keys("b", "d")]), Decision::Commit(11));
        assert_eq!(resolve(&mut resolver, 10, &[keys("c", "e")], &[]), Decision::Conflict);
        assert_eq!(resolve(&mut resolver, 10, &[keys("a", "b"), keys("d", "z")], &[]), Decision::Commit(12));
        assert_eq!(resolve(&mut resolver, 11, &[keys("c", "e")], &[]), Decision::Commit(13));
        assert_eq!(
            resolve(&mut resolver, 10, &[], &[keys("b", "d")]),
            Decision::Commit(14),
            "blind writes never conflict"
        );
    }

    #[test]
    fn what_is_forgotten_makes_its_readers_too_old_and_nobody_else() {
        let mut resolver = Resolver::new(0);
        assert_eq!(resolve(&mut resolver, 0, &[], &[keys("a", "b")]), Decision::Commit(1));
        let late = at_millis(5_001);
        let blind = Request { read_version: 1, begun: late, reads: &[], writes: &[keys("x", "y")] };
        assert_eq!(resolver.resolve(&blind, late), Decision::Commit(2));
        let read = [keys("q", "r")];
        let behind = Request { read_version: 0, begun: late, reads: &read, writes: &[] };
        assert_eq!(resolver.resolve(&behind, late), Decision::TooOld);
        let current = Request { read_version: 1, begun: late, reads: &read, writes: &[] };
        assert_eq!(resolver.resolve(&current, late), Decision::Commit(3));
    }

    #[test]
    fn a_transaction_of_exactly_five_seconds_is_young_enough_and_one_older_is_not() {
        let mut resolver = Resolver::new(0);
        let request = Request { read_version: 0, begun: at_millis(0), reads: &[], writes: &[] };
        assert_eq!(resolver.resolve(&request, at_millis(5_000)), Decision::Commit(1));
        assert_eq!(resolver.resolve(&request, at_millis(5_001)), Decision::TooOld);
    }

    /// A resolver that keeps every write and compares every pair.
    #[derive(Default)]
    struct Naive(Vec<(u64, KeyRange)>);

    impl Naive {
        fn conflicts(&self, read_version: u64, reads: &[KeyRange]) -> bool {
            let since = self.0.iter().filter(|(version, _)| *version > read_version);
            since.into_iter().any(|(_, written)| reads.iter().any(|read| read.intersects(written)))
        }
    }

    #[test]
    fn it_decides_as_one_that_remembers_everything_would() {
        for seed in 0..50 {
            let random = SeededRandom::new(seed);
            let below = |limit: u64| random.next_u64() % limit;
            let range = || {
                let mut ends = [below(40) as u8, below(40) as u8];
                ends.sort_unstable();
                KeyRange::new(vec![ends[0]], vec![ends[1]])
            };
            let mut resolver = Resolver::new(0);
            let mut naive = Naive::default();
            for step in 0..400 {
                let now = at_millis(step * 30);
                let read_version = resolver.last() - below(20).min(resolver.last());
                let reads: Vec<KeyRange> = (0..below(3)).map(|_| range()).collect();
                let writes: Vec<KeyRange> = (0..below(3)).map(|_| range()).collect();
                let expected = naive.conflicts(read_version, &reads);
                let request = Request { read_version, begun: now, reads: &reads, writes: &writes };
                match resolver.resolve(&request, now) {
                    Decision::Commit(version) => {
                        assert!(!expected, "seed {seed} step {step}: a conflict was missed");
                        naive.0.extend(writes.into_iter().map(|range| (version, range)));
                    }
                    Decision::Conflict => assert!(expected, "seed {seed} step {step}: a conflict was invented"),
                    Decision::TooOld => assert!(read_version < resolver.floor),
                }
                resolver.compact();
            }
        }
    }

    #[test]
    fn the_window_stays_bounded_when_nothing_is_old_enough_to_forget() {
        let mut resolver = Resolver::new(0);
        let wide = |n: u64| {
            let mut key = n.to_be_bytes().to_vec();
            key.resize(9_000, 7);
            KeyRange::single(&key)
        };
        for n in 0..10_000 {
            let writes = [wide(n)];
            let read_version = resolver.last();
            assert_eq!(resolve(&mut resolver, read_version, &[], &writes), Decision::Commit(n + 1));
            assert!(resolver.steps_bytes <= WINDOW_BYTES);
        }
        assert!(resolver.floor > 0, "the oldest were forgotten early");
        let last = resolver.last();
        assert_eq!(resolve(&mut resolver, last - 1, &[wide(9_999)], &[]), Decision::Conflict, "the newest were kept");
    }
}
