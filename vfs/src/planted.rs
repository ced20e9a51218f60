//! Planted bugs: each rule of the protocol broken once, by name, so that the simulation can show that it would notice.
//!
//! Only the tests' own build holds them (feature `planted`). In the product [`is`] is the constant `false`: nothing of them is
//! left in its code. A bug is planted for what runs in `with` on this very thread, which is one history of the simulation.
//!
//! A rule is broken where it is kept, by the smallest expression that does it. Where a second rule stands behind it, so that
//! breaking one alone harms nobody (a repeated commit would still meet the offset check, for instance), the bug breaks both: what
//! is shown is that the harm would be noticed.

#[cfg(feature = "planted")]
pub use armed::{Bug, is, times, with};
#[cfg(feature = "planted")]
pub use list::ALL;

/// Whether this bug is planted. In the product none is.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is(_name: &'static str) -> bool {
    false
}

#[cfg(feature = "planted")]
mod armed {
    //! Which bug is planted on this thread.

    use std::cell::Cell;

    use super::ALL;

    /// A bug that can be planted.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Bug {
        /// What it is switched on by.
        pub name: &'static str,
        /// The rule that it breaks, as a sentence of what the broken code does.
        pub rule: &'static str,
        /// The invariant that no longer holds.
        pub invariant: &'static str,
        /// The bug of another system that it repeats, by its project and number; empty where there is none.
        pub reference: &'static str,
    }

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
        static TIMES: Cell<u64> = const { Cell::new(0) };
    }

    /// Whether this bug is planted on this thread.
    ///
    /// # Panics
    /// If there is no bug of that name: a place in the product that asks for one that is not listed would never be tested.
    pub fn is(name: &'static str) -> bool {
        let planted = PLANTED.get();
        assert!(planted.is_none() || ALL.iter().any(|bug| bug.name == name), "no planted bug is named {name:?}");
        let is = planted == Some(name);
        TIMES.set(TIMES.get() + u64::from(is));
        is
    }

    /// How often the bug of the innermost [`with`] was asked for so far: if never, its place in the product was not reached.
    pub fn times() -> u64 {
        TIMES.get()
    }

    /// Runs `work` with the bug planted on this thread. However it ends, what was planted before is planted again.
    ///
    /// # Panics
    /// If there is no bug of that name.
    pub fn with<T>(name: &str, work: impl FnOnce() -> T) -> T {
        struct Restore(Option<&'static str>, u64);
        impl Drop for Restore {
            fn drop(&mut self) {
                PLANTED.set(self.0);
                TIMES.set(self.1);
            }
        }
        let bug = ALL.iter().find(|bug| bug.name == name).unwrap_or_else(|| panic!("no planted bug is named {name:?}"));
        let _restore = Restore(PLANTED.replace(Some(bug.name)), TIMES.replace(0));
        work()
    }

    #[cfg(test)]
    mod tests {
        use std::collections::BTreeSet;
        use std::panic::catch_unwind;

        use super::*;

        #[test]
        fn a_bug_is_planted_within_its_work_only_also_if_that_unwinds() {
            let [first, second] = [ALL[0].name, ALL[1].name];
            with(first, || {
                assert!(is(first) && !is(second));
                assert!(catch_unwind(|| with(second, || panic!("the history fails"))).is_err());
                assert!(is(first) && !is(second));
                assert_eq!(times(), 2);
                let is_elsewhere = std::thread::spawn(move || is(first)).join().unwrap();
                assert!(!is_elsewhere, "another thread is another history");
            });
            assert!(!is(first));
        }

        #[test]
        fn each_bug_has_a_name_of_its_own_and_says_what_it_breaks() {
            let names: BTreeSet<_> = ALL.iter().map(|bug| bug.name).collect();
            assert_eq!(names.len(), ALL.len());
            for bug in ALL {
                let of_design = bug.invariant.strip_prefix('I').and_then(|number| number.parse().ok());
                assert!(of_design.is_some_and(|number: u32| (1..=10).contains(&number)), "{bug:?}");
                assert!(bug.rule.len() > 20, "{bug:?}");
            }
        }

        #[test]
        #[should_panic(expected = "no planted bug is named")]
        fn a_name_that_is_not_listed_is_an_error() {
            with(ALL[0].name, || is("no such bug"));
        }
    }
}

#[cfg(feature = "planted")]
mod list {
    //! The bugs, in the order of a record's way: grant, fetch, decode, log, memtable, flush, commit, sweep, snapshot, read.

    use super::Bug;

    const fn bug(name: &'static str, invariant: &'static str, reference: &'static str, rule: &'static str) -> Bug {
        Bug { name, rule, invariant, reference }
    }

    /// Every bug that can be planted.
    pub const ALL: &[Bug] = &[
        // Manager, leases, grants.
        bug(
            "lease-taken-without-compare",
            "I2",
            "",
            "a manager takes the lease that it saw, though another has it now: two lead under one epoch",
        ),
        bug(
            "grant-keeps-the-epoch",
            "I2",
            "apache/iceberg#17551",
            "a grant leaves the stream's epoch as it was, so that nobody is fenced",
        ),
        bug("lost-grant-not-repeated", "I9", "", "a grant whose message was lost is never made again"),
        bug("older-grant-taken", "I2", "", "a grant that arrives late, or twice, replaces the newer one that is held"),
        bug(
            "closed-stream-keeps-its-owner",
            "I2",
            "twmb/franz-go#1426",
            "a closed stream keeps its owner, whose commits go on",
        ),
        bug(
            "start-resolved-twice",
            "I3",
            "apache/druid#11658",
            "a start position is resolved again at each grant, until something is committed",
        ),
        bug("new-partition-at-its-end", "I1", "apache/druid#12123", "a partition found later begins at its end"),
        bug(
            "recreated-topic-goes-on",
            "I1",
            "twmb/franz-go#1426",
            "a topic made again under its name goes on in the old stream, at the old offset",
        ),
        bug(
            "recreated-topic-stops",
            "I9",
            "quickwit-oss/quickwit#1602",
            "a topic made again is not noticed: its streams stop in silence",
        ),
        bug(
            "expired-without-incident",
            "I9",
            "apache/druid#11658",
            "a stream whose next offset has expired stops, and nobody is told",
        ),
        bug("drain-without-commit", "I5", "", "a task that is stopped ends without committing what it has shown"),
        // Fetch and decode.
        bug(
            "out-of-range-resets",
            "I1",
            "apache/druid#12123",
            "a position that has expired is moved to the earliest offset in silence",
        ),
        bug("expired-range-not-named", "I1", "", "a range that has expired and is passed over is counted as skipped"),
        bug(
            "truncation-ignored",
            "I9",
            "MaterializeInc/materialize#20141",
            "a stream that ends before its position stops in silence",
        ),
        bug(
            "gap-left-out",
            "I9",
            "redpanda-data/redpanda#24247",
            "a batch begins at its first record, not where the one before ended",
        ),
        bug(
            "delivered-twice-taken-twice",
            "I1",
            "apache/iggy#4199",
            "a record that the broker delivers twice is taken in again, as if it were the next",
        ),
        bug("error-rows-dropped", "I1", "", "what could not become a row is counted as filtered, and not kept"),
        bug("filtered-not-counted", "I1", "", "filtered records are counted as skipped by the broker"),
        bug("memory-limit-ignored", "I8", "ClickHouse/ClickHouse#7256", "intake goes on while memory is spent"),
        bug(
            "refetch-lost",
            "I9",
            "fede1024/rust-rdkafka#840",
            "a stream that is to be fetched again is never woken: it stalls while others flow",
        ),
        // Log.
        bug(
            "visible-before-its-fsync",
            "I5",
            "tursodatabase/turso#4899",
            "a batch is shown when it is written, before it is durable",
        ),
        bug("wal-fsync-skipped", "I5", "ClickHouse/ClickHouse#111799", "the log is never synced"),
        bug("failed-fsync-ignored", "I5", "tursodatabase/turso#7781", "a failed fsync of the log is taken for success"),
        bug(
            "wal-append-without-fence",
            "I2",
            "slatedb/slatedb#352",
            "the log takes records under an epoch older than the newest that it knows, and no task is told that another of its worker \
             holds its stream now",
        ),
        bug(
            "wal-torn-tail-left",
            "I9",
            "pmcfadin/cqlite#1390",
            "a torn tail is left in place, and a new segment begun behind it",
        ),
        bug(
            "wal-full-disk-leaves-torn-frame",
            "I9",
            "pmcfadin/cqlite#1391",
            "what a full disk took of a write stays, and the next write stands behind it",
        ),
        bug(
            "wal-segment-removed-while-needed",
            "I5",
            "slatedb/slatedb#1622",
            "a segment is removed though records in it were not released",
        ),
        bug("wal-limit-ignored", "I8", "", "intake goes on while the log is over its limit"),
        // Recovery.
        bug(
            "replay-not-cut",
            "I1",
            "risingwavelabs/risingwave#5192",
            "recovery does not cut the log at the committed offset",
        ),
        bug(
            "replay-of-an-older-epoch",
            "I1",
            "slatedb/slatedb#1622",
            "recovery adopts records that were logged before another owner held the stream",
        ),
        // Memtable.
        bug("retired-before-commit-is-known", "I5", "", "rows that are being committed are dropped from memory"),
        bug(
            "late-flush-merged",
            "I3",
            "apache/iceberg#15710",
            "the result of a flush of an older grant is merged into the newer one",
        ),
        bug("rows-dropped-before-their-pin-ends", "I3", "", "rows that a query has pinned go with their memtable"),
        bug("lost-pin-read-as-empty", "I3", "", "a scan whose pin has ended reads nothing, and is not told"),
        bug(
            "plan-again-ignored",
            "I3",
            "",
            "a memtable that does not reach back to the committed offset shows what it has",
        ),
        // Flush and commit.
        bug(
            "upload-not-awaited",
            "I7",
            "ClickHouse/ClickHouse#111799",
            "offsets are committed while the part is still on its way",
        ),
        bug("upload-failure-ignored", "I7", "ClickHouse/ClickHouse#6403", "a part that the store refused is committed"),
        bug(
            "part-named-by-its-offsets",
            "I7",
            "apache/pinot#14786",
            "a part's name follows from its first offset, so that a late owner writes over it",
        ),
        bug(
            "streams-committed-partially",
            "I4",
            "ClickHouse/ClickHouse#7259",
            "a part of several streams is committed with the offsets of some of them",
        ),
        bug(
            "parts-committed-partially",
            "I4",
            "ClickHouse/ClickHouse#7259",
            "offsets are committed without the last of their parts",
        ),
        bug("empty-commit-skipped", "I9", "apache/pinot#18663", "a flush without rows commits no offsets"),
        bug(
            "wal-released-before-commit",
            "I5",
            "slatedb/slatedb#1622",
            "the log is released when a flush is sent, before it is committed",
        ),
        bug(
            "unknown-taken-as-failure",
            "I7",
            "apache/iceberg#3717",
            "a commit without an answer is taken for failed: its parts are deleted and written anew",
        ),
        bug("unknown-taken-as-success", "I6", "", "a commit without an answer is taken for done"),
        bug("commit-without-epoch-check", "I2", "apache/iceberg#17551", "a commit's epochs are not compared"),
        bug(
            "commit-without-offset-check",
            "I3",
            "apache/iceberg#15710",
            "a commit's start offsets are not compared, nor the epochs that would refuse who has stale ones",
        ),
        bug(
            "commit-without-token-check",
            "I6",
            "apache/iceberg#16008",
            "a commit that has happened is applied once more when it is sent again",
        ),
        bug("commit-ignores-intents", "I7", "", "a commit does not ask whether its intents are there"),
        bug(
            "refused-commit-advances-offsets",
            "I4",
            "StarRocks/starrocks#1074",
            "a commit that is fenced moves the offsets all the same",
        ),
        bug(
            "conflicts-not-detected",
            "I2",
            "ByConity/ByConity#769",
            "the store lets transactions commit whose reads have changed",
        ),
        // Sweeper.
        bug(
            "sweeper-deletes-the-file-first",
            "I7",
            "apache/iceberg#3733",
            "the sweeper deletes an old upload before it has its intent",
        ),
        bug("sweeper-without-compare", "I7", "", "the sweeper takes an intent that a commit has taken meanwhile"),
        bug(
            "sweeper-ignores-what-is-visible",
            "I7",
            "duckdb/duckdb-iceberg#1120",
            "a commit leaves its intents, and the sweeper takes them at their word",
        ),
        // Snapshot.
        bug(
            "snapshot-from-cache",
            "I5",
            "redpanda-data/redpanda#31483",
            "a version is answered from memory, without asking for the head",
        ),
        bug(
            "version-taken-after-the-pins",
            "I1",
            "",
            "rows are pinned first, and the version of the parts is taken afterwards",
        ),
        bug("session-goes-back", "I5", "", "a session is answered behind what it has seen"),
        // INSERT and TRUNCATE.
        bug("label-not-checked", "I6", "", "an INSERT whose label is known is committed once more"),
        bug("label-not-written", "I6", "", "a commit leaves no labels, so that a retry is not known again"),
        bug(
            "insert-unknown-taken-as-failure",
            "I6",
            "",
            "an INSERT whose commit has no answer is answered as if nothing had been inserted",
        ),
        bug("insert-answered-before-its-commit", "I5", "", "an INSERT that is not committed is answered as if it were"),
        bug(
            "closed-channel-keeps-its-owner",
            "I2",
            "",
            "a channel that is closed for a dead process keeps its owner, whose commits go on",
        ),
        bug(
            "truncate-takes-what-came-after",
            "I7",
            "",
            "a TRUNCATE makes garbage of parts that were committed after it",
        ),
        bug("truncate-moves-offsets", "I3", "", "a TRUNCATE sets the streams of the table back to their beginning"),
        // SEEK and ALTER.
        bug(
            "seek-leaves-the-old-owner",
            "I2",
            "",
            "a SEEK does not wait for a stream's owner, and leaves him the stream that it closes",
        ),
        bug(
            "seek-into-another-incarnation",
            "I1",
            "",
            "a SEEK takes an offset of a topic that was made again for one of the topic before",
        ),
        bug("cut-over-not-recorded", "I5", "", "an ALTER does not record from which offsets on it decodes"),
        bug(
            "change-before-drained",
            "I5",
            "",
            "a change is made though owners show rows that are not committed: they are decoded anew, by another version",
        ),
        bug(
            "alter-below-what-was-shown",
            "I5",
            "",
            "an ALTER does not wait until what a dead owner may have shown was read as before",
        ),
    ];
}
