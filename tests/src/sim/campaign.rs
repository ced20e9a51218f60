//! Many histories, on several threads, each with histories of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::check::Violation;
use super::history::{self, Outcome};
use super::log::{EventLog, Keep};
use super::options::Options;
use super::panics;

/// Which histories to run.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The first seed.
    pub seed: u64,
    /// How many, at the most.
    pub histories: u64,
    /// For how long, at the most.
    pub time: Option<Duration>,
    /// On how many threads.
    pub jobs: usize,
    /// Whether the first violation ends it.
    pub stop_at_first: bool,
    /// What they are like.
    pub options: Options,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Report {
    /// How many histories ended.
    pub histories: u64,
    /// Those in which something did not hold, by seed.
    pub failed: Vec<Outcome>,
    /// How long it took.
    pub took: Duration,
}

impl Campaign {
    /// Runs them; `told` hears of each that ended, in no order.
    pub fn run(&self, told: impl FnMut(&Outcome) + Send) -> Report {
        let began = Instant::now();
        let next = AtomicU64::new(0);
        let over = || self.time.is_some_and(|time| began.elapsed() >= time);
        let (told, failed) = (Mutex::new(told), Mutex::new(Vec::new()));
        let (ended, count) = mpsc::sync_channel::<()>(1_024);
        let histories = std::thread::scope(|scope| {
            for _ in 0..self.jobs.max(1) {
                let ended = ended.clone();
                scope.spawn(|| {
                    let ended = ended;
                    panics::listen();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= self.histories || over() {
                            return;
                        }
                        let outcome = one(self.seed + index, &self.options);
                        told.lock().unwrap_or_else(PoisonError::into_inner)(&outcome);
                        if outcome.violation.is_some() {
                            if self.stop_at_first {
                                next.store(u64::MAX / 2, Ordering::Relaxed);
                            }
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                        }
                        if ended.send(()).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(ended);
            count.iter().count() as u64
        });
        let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.sort_by_key(|outcome| outcome.seed);
        Report { histories, failed, took: began.elapsed() }
    }
}

/// One history; a panic of the simulation itself, or in what it runs outside of a runtime, is a violation too.
pub fn one(seed: u64, options: &Options) -> Outcome {
    panics::listen();
    catch_unwind(AssertUnwindSafe(|| history::run(seed, options))).unwrap_or_else(|_| {
        let text = panics::take().unwrap_or_else(|| "a panic without words".to_owned());
        let violation = Some(Violation::new("panic", text));
        Outcome { seed, violation, log: EventLog::new(Keep::Last), lasted: Duration::ZERO }
    })
}
