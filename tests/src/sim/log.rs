//! The event log of a history: one line an event, and a running hash of them all. The same seed gives the same lines.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// How many of the last lines a violation shows.
const LAST: usize = 40;

/// What becomes of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// The last of them are kept.
    Last,
    /// All are.
    All,
    /// All are, and each is printed on standard error at once, between what the product traces.
    Live,
}

/// The lines of one history, or only the last of them.
#[derive(Debug)]
pub struct EventLog {
    hash: u64,
    lines: VecDeque<String>,
    keep: Keep,
    count: u64,
}

impl EventLog {
    /// An empty log.
    pub fn new(keep: Keep) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: VecDeque::new(), keep, count: 0 }
    }

    /// Adds a line.
    pub fn add(&mut self, at: Duration, who: &str, what: fmt::Arguments<'_>) {
        let line = format!("{:>10.6} {who:<4} {what}", at.as_secs_f64());
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.keep == Keep::Live {
            eprintln!("{line}");
        }
        self.count += 1;
        self.lines.push_back(line);
        if self.keep == Keep::Last && self.lines.len() > LAST {
            self.lines.pop_front();
        }
    }

    /// The hash of all lines so far.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many lines there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lines kept, oldest first.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }
}
