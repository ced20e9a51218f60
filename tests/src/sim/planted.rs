//! Planted bugs: how many seeds it takes until each is caught.

use super::campaign::Campaign;
use super::check::Violation;
use super::options::Options;

/// How the hunt for one bug ended.
#[derive(Clone, Debug)]
pub struct Caught {
    /// The bug.
    pub bug: vfs::planted::Bug,
    /// The histories until it was caught; `None`: it was not.
    pub after: Option<u64>,
    /// What caught it.
    pub by: Option<Violation>,
    /// In which seed.
    pub seed: Option<u64>,
}

/// Runs histories with the bug planted until something does not hold, from this seed on.
pub fn hunt(bug: vfs::planted::Bug, campaign: &Campaign) -> Caught {
    let options = Options { planted: Some(bug.name), ..campaign.options.clone() };
    let campaign = Campaign { stop_at_first: true, options, ..campaign.clone() };
    let report = campaign.run(|_| {});
    let first = report.failed.into_iter().next();
    let after = first.as_ref().map(|first| first.seed - campaign.seed + 1);
    let seed = first.as_ref().map(|first| first.seed);
    Caught { bug, after, by: first.and_then(|first| first.violation), seed }
}

/// The head of the table of [`Caught::row`]s.
pub const HEAD: &str = "| bug | what it breaks | histories until caught | caught by |\n|---|---|---:|---|";

impl Caught {
    /// A row of a table in Markdown.
    pub fn row(&self) -> String {
        let vfs::planted::Bug { name, rule, reference, .. } = self.bug;
        let reference = if reference.is_empty() { String::new() } else { format!(" ({reference})") };
        let after = self.after.map_or("not caught".to_owned(), |after| after.to_string());
        let by = self.by.as_ref().map_or("-", |by| by.invariant);
        format!("| `{name}` | {rule}{reference} | {after} | {by} |")
    }
}
