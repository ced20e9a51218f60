//! INSERTs and TRUNCATEs, against what clients asked and were told: each INSERT that was answered is there once and whole, in the version
//! that it was answered with, and stays until a TRUNCATE (I4, I5); one that was refused is there never; one of unknown outcome at most
//! once, however often it is sent under its label (I6).

use std::collections::BTreeMap;

use catalog::{Offset, StreamId, Version};
use warehouse::write::insert::Inserted;

use super::{Commits, Violation};
use crate::sim::clients::{Clients, Statement, statement_of};
use crate::sim::query::Seen;
use crate::sim::rows::{Found, Row, Rows};
use crate::sim::server::{Asked, End};

/// What was seen of inserted rows so far.
#[derive(Debug, Default)]
pub struct Inserts {
    fates: BTreeMap<u64, Fate>,
    /// Every row of every channel that was ever seen in a part, those that a TRUNCATE took included.
    channels: BTreeMap<StreamId, BTreeMap<u64, Row>>,
}

/// What became of an INSERT.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// Its rows came after the first of these versions, and not after the second.
    came: Option<(Version, Version)>,
    /// The version that it was answered with.
    answered: Option<Version>,
}

impl Inserts {
    /// Looks at the rows that are new in a version; `before` is the one that was looked at before.
    ///
    /// # Errors
    /// If an INSERT came in part, again, or though it was refused.
    pub fn look(&mut self, before: Version, at: Version, news: &Rows, clients: &Clients) -> Result<(), Violation> {
        for (statement, count) in whole(news.0.values(), clients)? {
            let fate = self.fates.entry(statement).or_default();
            let already = fate.came.map(|(_, came)| came).or(fate.answered);
            if let Some(came) = already {
                let text = format!("INSERT {statement} came by {came}, and {count} rows of it come again by {at}");
                return Err(Violation::new("I6", text));
            }
            if !clients.statements[statement as usize].may_happen() {
                return Err(Violation::new("I4", format!("INSERT {statement} was refused, and is there at {at}")));
            }
            fate.came = Some((before, at));
        }
        for (stream, found) in &news.0 {
            let inserted = found.rows.iter().filter(|(_, row)| statement_of(row.id).is_some());
            let mut inserted = inserted.peekable();
            if inserted.peek().is_some() {
                self.channels.entry(*stream).or_default().extend(inserted.map(|(offset, row)| (*offset, *row)));
            }
        }
        Ok(())
    }

    /// Looks at an answer, after all that is committed has been looked at.
    ///
    /// # Errors
    /// If it is not so.
    pub fn told(&mut self, of: Asked, clients: &Clients, commits: &Commits) -> Result<(), Violation> {
        match of {
            Asked::Truncate(number) => truncated(number, clients, commits),
            Asked::Insert(number, attempt) => {
                let statement = &clients.statements[number as usize];
                match &statement.attempts[attempt].end {
                    Some(End::Done(Some(inserted))) => self.inserted(number, statement, *inserted, commits),
                    Some(End::Refused(cause)) => match self.fates.get(&number) {
                        Some(Fate { came: Some((_, came)), .. })
                            if !statement.may_happen() && statement.done().is_none() =>
                        {
                            let text = format!("INSERT {number} came by {came}, and is refused: {cause}");
                            Err(Violation::new("I4", text))
                        }
                        _ => Ok(()),
                    },
                    _ => Ok(()),
                }
            }
        }
    }

    fn inserted(
        &mut self,
        number: u64,
        statement: &Statement,
        inserted: Inserted,
        commits: &Commits,
    ) -> Result<(), Violation> {
        let wrong =
            |invariant, what: &str| Err(Violation::new(invariant, format!("INSERT {number} {what}: {inserted:?}")));
        let Inserted { version: Some(version), rows, repeated } = inserted else {
            return wrong("I5", "was answered without a version");
        };
        if rows != statement.rows as u64 {
            return wrong("I4", "had another number of rows than it was answered with");
        }
        if repeated && statement.attempts.len() < 2 {
            return wrong("I6", "was never sent before, and is answered as repeated");
        }
        let fate = self.fates.entry(number).or_default();
        if fate.answered.replace(version).is_some_and(|before| before != version) {
            return wrong("I6", "was answered with another version before");
        }
        match fate.came {
            _ if statement.rows == 0 => Ok(()),
            Some((before, at)) if before < version && version <= at => Ok(()),
            Some(_) => wrong("I5", "is answered with a version that it did not come with"),
            None if commits.was_passed_over(version) => Ok(()),
            None => wrong("I5", "is answered, and its rows are not there"),
        }
    }

    /// Looks at what a query answered of inserted rows.
    ///
    /// # Errors
    /// If it shows a part of an INSERT, or not what was committed at its version.
    pub fn seen(&self, who: &str, seen: &Seen, clients: &Clients, commits: &Commits) -> Result<(), Violation> {
        whole(seen.rows.0.values(), clients)
            .map_err(|violation| Violation { message: format!("{who}: {}", violation.message), ..violation })?;
        if commits.was_passed_over(seen.version) {
            return Ok(());
        }
        for (stream, view) in seen.streams.iter().filter(|(_, view)| view.stream.is_channel()) {
            let nothing = BTreeMap::new();
            let from = commits.floor(seen.version, *stream).unwrap_or(Offset(0));
            let known = self.channels.get(stream).unwrap_or(&nothing).range(from.0..view.committed.0.max(from.0));
            let Found { rows, errors } = seen.rows.of(*stream);
            if !known.eq(rows.iter()) || !errors.is_empty() {
                let text = format!(
                    "{who} at {} sees {} rows of channel {stream}, and others were inserted into its offsets {from} to {}",
                    seen.version,
                    rows.len(),
                    view.committed
                );
                return Err(Violation::new("I5", text));
            }
        }
        Ok(())
    }
}

/// How many rows of each INSERT there are: all of it, once each.
fn whole<'a>(found: impl Iterator<Item = &'a Found>, clients: &Clients) -> Result<BTreeMap<u64, i64>, Violation> {
    // Of each: how many rows, and the sum of their numbers, which tells rows that are there twice from those that are missing.
    let mut counts: BTreeMap<u64, (i64, i64)> = BTreeMap::new();
    for row in found.flat_map(|found| found.rows.values()) {
        if let Some((statement, number)) = statement_of(row.id) {
            let (count, sum) = counts.entry(statement).or_default();
            *count += 1;
            *sum += number;
        }
    }
    for (statement, (count, sum)) in &counts {
        let Some(asked) = clients.statements.get(*statement as usize) else {
            return Err(Violation::new("I4", format!("a row is of INSERT {statement}, which nobody has asked for")));
        };
        if *count > asked.rows {
            let text = format!("INSERT {statement} has {} rows, and {count} are there", asked.rows);
            return Err(Violation::new("I6", text));
        }
        if *count < asked.rows || *sum != asked.rows * (asked.rows - 1) / 2 {
            let text = format!("INSERT {statement} has {} rows, and only {count} of them are there", asked.rows);
            return Err(Violation::new("I4", text));
        }
    }
    Ok(counts.into_iter().map(|(statement, (count, _))| (statement, count)).collect())
}

fn truncated(number: usize, clients: &Clients, commits: &Commits) -> Result<(), Violation> {
    let truncate = &clients.truncates[number];
    if truncate.is_done() && !commits.truncations().any(|at| at > truncate.asked) {
        let text = format!("TRUNCATE {number} is answered, and none has happened since {}", truncate.asked);
        return Err(Violation::new("I5", text));
    }
    Ok(())
}
