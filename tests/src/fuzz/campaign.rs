//! One target, given damaged inputs until the time is over or something is wrong.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use super::mutate::Mutator;
use super::{Target, panics};

/// Kept inputs; beyond this many, new ones replace none.
const CORPUS_MAX: usize = 2_000;

/// An input that was taken wrongly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The input.
    pub input: Vec<u8>,
    /// What went wrong.
    pub what: String,
}

/// How a campaign ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Inputs given.
    pub executions: u64,
    /// Ways in which inputs were taken.
    pub ways: usize,
    /// The first wrong one; it ends the campaign.
    pub finding: Option<Finding>,
}

/// Gives `target` damaged inputs for `time`. Each is in the file `current` while it is taken, so that one that kills the process is
/// not lost.
///
/// # Errors
/// If that file cannot be written.
pub fn run(target: &mut dyn Target, seed: u64, time: Duration, current: &Path) -> anyhow::Result<Outcome> {
    panics::listen();
    let begun = Instant::now();
    let (mut outcome, mut ways, mut mutator) = (Outcome::default(), BTreeSet::new(), Mutator::new(seed));
    let mut corpus = target.seeds();
    let mut fresh = corpus.clone().into_iter();
    while begun.elapsed() < time {
        // The real inputs first, as they are: what they are taken for is nothing new.
        let input = fresh.next().unwrap_or_else(|| mutator.next(&corpus, target.words()));
        std::fs::write(current, &input)?;
        outcome.executions += 1;
        match take(target, &input) {
            Ok(way) => {
                if ways.insert(way) && corpus.len() < CORPUS_MAX {
                    corpus.push(input);
                }
            }
            Err(what) => {
                outcome.finding = Some(Finding { input, what });
                break;
            }
        }
    }
    outcome.ways = ways.len();
    Ok(outcome)
}

fn take(target: &mut dyn Target, input: &[u8]) -> Result<String, String> {
    let taken = catch_unwind(AssertUnwindSafe(|| target.take(input)));
    match panics::heard().first() {
        Some(panic) => Err(panic.clone()),
        None => taken.unwrap_or_else(|_| Err("a panic without a word".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Wrong where an input has two equal bytes at its start; panics where it begins with a zero.
    struct Picky(bool);

    impl Target for Picky {
        fn seeds(&self) -> Vec<Vec<u8>> {
            vec![b"ab".to_vec()]
        }

        fn words(&self) -> &[&[u8]] {
            &[b"x"]
        }

        fn take(&mut self, input: &[u8]) -> Result<String, String> {
            match input {
                [0, ..] if self.0 => panic!("a zero"),
                [first, second, ..] if !self.0 && first == second => Err("twins".to_owned()),
                _ => Ok(input.len().to_string()),
            }
        }
    }

    #[test]
    fn what_is_wrong_is_found_and_a_panic_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let current = directory.path().join("current");
        for (panics, what) in [(false, "twins"), (true, "a zero")] {
            let outcome = run(&mut Picky(panics), 1, Duration::from_secs(60), &current).unwrap();
            let finding = outcome.finding.expect("it is found within a minute");
            assert!(finding.what.contains(what), "{}", finding.what);
            assert_eq!(std::fs::read(&current).unwrap(), finding.input, "it was written before it was taken");
        }
    }
}
