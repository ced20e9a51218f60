//! Simulated histories: seeds that once failed, fresh ones for as long as is set, and that a seed gives the same history twice.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, unreachable_pub)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use millrace_tests::sim::log::Keep;
use millrace_tests::sim::{Campaign, Options, Outcome, campaign, planted};

// As the program `sim`.
server::use_jemalloc!();

/// Seeds that always run: each failed once, or was chosen for what it holds.
const SEEDS: &str = include_str!("seeds.txt");

/// Each with the kind of history that it is the seed of.
fn seeds() -> impl Iterator<Item = (u64, Options)> {
    let lines = SEEDS.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split_whitespace();
        let seed = words.next().and_then(|word| word.parse().ok()).expect("a line begins with a seed");
        let chain = words.next().expect("a second word says which chain").parse().expect("it is as --chains takes it");
        let inserts = words.next().map(|word| assert_eq!(word, "inserts", "seed {seed}")).is_some();
        (seed, Options { chain, inserts, ..Options::default() })
    })
}

fn campaign(seed: u64, histories: u64, time: Option<Duration>) -> Campaign {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    Campaign { seed, histories, time, jobs, stop_at_first: false, options: Options::default() }
}

fn describe(failed: &[Outcome], flags: &str) -> String {
    let described = failed.iter().map(|outcome| {
        let last: Vec<&str> = outcome.log.lines().collect();
        let violation = outcome.violation.as_ref().expect("it failed");
        format!(
            "seed {}: {violation}\n  {}\nagain: cargo run --release -p millrace-tests --bin sim -- --seed {} {flags}--log\n",
            outcome.seed,
            last.join("\n  "),
            outcome.seed
        )
    });
    described.collect()
}

#[test]
fn seeds_that_once_failed_hold() {
    let failed: String = seeds()
        .map(|(seed, options)| (campaign::one(seed, &options), options))
        .filter(|(outcome, _)| outcome.violation.is_some())
        .map(|(outcome, Options { chain, inserts, .. })| {
            describe(&[outcome], &format!("--chains {chain} --inserts {inserts} "))
        })
        .collect();
    assert!(failed.is_empty(), "{failed}");
}

#[test]
fn a_seed_gives_the_same_history_twice() {
    let options = Options { log: Keep::All, ..Options::default() };
    for seed in 1_000..1_012 {
        let (one, other) = (campaign::one(seed, &options), campaign::one(seed, &options));
        let differs = one.log.lines().zip(other.log.lines()).find(|(one, other)| one != other);
        assert_eq!((differs, one.log.hash()), (None, other.log.hash()), "seed {seed}");
    }
}

#[test]
fn fresh_histories_hold() {
    let seconds = std::env::var("MILLRACE_TEST_SIM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    // Fresh by the second, or for each state of the tree if that is what the caller names: then a failure can be had again.
    let named = std::env::var("MILLRACE_TEST_SIM_SEED").ok().map(|text| text.parse().expect("a seed is a number"));
    let seed = named.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() * 1_000_000);
    let report = campaign(seed, u64::MAX / 4, Some(Duration::from_secs(seconds))).run(|_| {});
    println!("{} fresh histories from seed {seed} in {:.1} s", report.histories, report.took.as_secs_f64());
    assert!(report.failed.is_empty(), "{}", describe(&report.failed, ""));
    assert!(report.histories > 0);
}

/// A range that stays: what holds in it and then does not was broken by a change.
#[test]
fn histories_that_are_known_hold() {
    let report = campaign(60_000, 400, None).run(|_| {});
    assert!(report.failed.is_empty(), "{}", describe(&report.failed, ""));
}

/// How many histories each of them takes is in docs/planted-bugs.md: many fewer. Only a bug that is not caught runs them all.
#[test]
fn planted_bugs_are_caught() {
    for name in ["commit-without-epoch-check", "sweeper-deletes-the-file-first", "unknown-taken-as-success"] {
        let bug = *vfs::planted::ALL.iter().find(|bug| bug.name == name).expect("it is listed");
        let caught = planted::hunt(bug, &campaign(1, 2_000, None));
        assert!(caught.after.is_some(), "{name} is not caught");
    }
}
