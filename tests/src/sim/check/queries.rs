//! At each answer: a prefix of each stream, each row once (I1, I3); nothing seen in the session is gone (I5); nothing that had been
//! committed when it was asked is left out.

use std::collections::BTreeMap;

use catalog::{Offset, StreamId};

use super::{Commits, Inserts, Versions, Violation};
use crate::sim::clients::Clients;
use crate::sim::query::{Answer, Failed, Seen};
use crate::sim::rows::{Found, Row};
use crate::sim::script::{Partition, Produced, Script};

/// What an answer is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Truth<'a> {
    /// What was produced.
    pub script: &'a Script,
    /// What was asked of the server.
    pub clients: &'a Clients,
    /// What is committed.
    pub commits: &'a Commits,
    /// What was inserted.
    pub inserts: &'a Inserts,
    /// By which version offsets are decoded.
    pub versions: &'a Versions,
}

/// What readers have seen so far.
#[derive(Debug, Default)]
pub struct Queries {
    /// By reader and freshness: its session, and what it saw of each stream.
    sessions: BTreeMap<(usize, bool), (u64, BTreeMap<StreamId, Found>)>,
    /// What was committed when a query was asked.
    asked: BTreeMap<u64, BTreeMap<StreamId, Offset>>,
    next: u64,
}

impl Queries {
    /// Remembers what is committed as a query is asked; the number to find it again.
    pub fn ask(&mut self, committed: BTreeMap<StreamId, Offset>) -> u64 {
        self.next += 1;
        self.asked.insert(self.next, committed);
        // A query that was never taken, or died with its process, is not waited for.
        while self.asked.len() > 64 {
            self.asked.pop_first();
        }
        self.next
    }

    /// Checks an answer; what to say of it in the log.
    ///
    /// # Errors
    /// On the first invariant that does not hold.
    pub fn look(&mut self, answer: &Answer, truth: Truth<'_>) -> Result<String, Violation> {
        let who = format!("reader {} in session {}", answer.reader, answer.session);
        let seen = match &answer.outcome {
            Ok(seen) => seen,
            Err(Failed::Wrong(invariant, text)) => return Err(Violation::new(invariant, format!("{who}: {text}"))),
            Err(Failed::Excused(cause)) => return Ok(format!("{who} is refused: {cause}")),
            Err(Failed::Gone(version, cause)) if truth.commits.truncations().any(|at| at > *version) => {
                return Ok(format!("{who} was too slow for what a TRUNCATE took: {cause}"));
            }
            Err(Failed::Gone(_, text)) => return Err(Violation::new("I7", format!("{who}: {text}"))),
        };
        if let Some(committed) = self.asked.remove(&answer.order.asked) {
            behind(&who, seen, &committed)?;
        }
        prefix(&who, seen, truth)?;
        truth.inserts.seen(&who, seen, truth.clients, truth.commits)?;
        truth.versions.check(&who, &seen.rows)?;
        self.stays(answer, seen, truth)?;
        Ok(format!("{who} sees {} rows at {}", seen.rows.count(), seen.version))
    }

    fn stays(&mut self, answer: &Answer, seen: &Seen, truth: Truth<'_>) -> Result<(), Violation> {
        let key = (answer.reader, answer.order.freshness == warehouse::read::session::Freshness::Latest);
        let known = self.sessions.entry(key).or_default();
        if known.0 != answer.session {
            *known = (answer.session, BTreeMap::new());
        }
        for (stream, before) in &known.1 {
            let now = seen.rows.of(*stream);
            // A stream that is no more in the vector was closed with nothing committed, as its topic is gone, or nothing left of it.
            let Some(view) = seen.streams.get(stream) else { continue };
            let partition = truth.script.of(&view.stream.identity);
            let may_be_gone = |offset, what| partition.is_some_and(|it: &Partition| it.may_be_gone(offset, what));
            let floor = truth.commits.floor(seen.version, *stream).unwrap_or(Offset(0)).0;
            let is_there = |offset: &u64, row: &Row| {
                let may_change = truth.versions.may_change(*stream, *offset);
                now.rows.get(offset).is_some_and(|now| now.id == row.id && (now.mark == row.mark || may_change))
            };
            let mut rows = before.rows.range(floor..).filter(|(offset, row)| !is_there(offset, row));
            let row = rows.find(|(offset, row)| !may_be_gone(**offset, Produced::Row(row.id)));
            let mut errors = before.errors.range(floor..).filter(|(offset, ())| !now.errors.contains_key(offset));
            let error = errors.find(|(offset, ())| !may_be_gone(**offset, Produced::Bad)).map(|(offset, ())| offset);
            if let Some(gone) = row.map(|(offset, _)| offset).or(error) {
                let text = format!(
                    "reader {} saw offset {gone} of stream {stream} in session {}, and does not at {} (its end is {:?})",
                    answer.reader,
                    answer.session,
                    seen.version,
                    seen.ends.get(stream)
                );
                return Err(Violation::new("I5", text));
            }
        }
        known.1 = seen.rows.0.clone();
        Ok(())
    }
}

/// Whatever was committed when the query was asked is in its answer.
fn behind(who: &str, seen: &Seen, committed: &BTreeMap<StreamId, Offset>) -> Result<(), Violation> {
    for (stream, committed) in committed {
        let Some(view) = seen.streams.get(stream) else { continue };
        let end = seen.ends.get(stream).copied().unwrap_or(view.committed);
        if end < *committed {
            let text = format!("{who} sees stream {stream} up to {end}, and {committed} was committed when it asked");
            return Err(Violation::new("I5", text));
        }
    }
    Ok(())
}

/// Each stream of a partition is seen as it was produced, from its start, or from where a TRUNCATE emptied it, to the end that was answered.
fn prefix(who: &str, seen: &Seen, truth: Truth<'_>) -> Result<(), Violation> {
    if let Some(stream) = seen.rows.0.keys().find(|stream| !seen.streams.contains_key(stream)) {
        return Err(Violation::new("I3", format!("{who} sees rows of stream {stream}, which is not in its vector")));
    }
    for (stream, view) in seen.streams.iter().filter(|(_, view)| !view.stream.is_channel()) {
        let end = seen.ends.get(stream).copied().unwrap_or(view.committed);
        let Some(partition) = truth.script.of(&view.stream.identity) else {
            return Err(Violation::new("I1", format!("{who}: stream {stream} is of a partition that never was")));
        };
        let found = seen.rows.of(*stream);
        let from =
            truth.commits.floor(seen.version, *stream).map_or(view.stream.start, |floor| floor.max(view.stream.start));
        partition.compare(from.0, end.0, &found.rows, &found.errors).map_err(|cause| {
            let text = format!(
                "{who} at {}: stream {stream} ({:?}) from {} by {} to {end}: {cause}",
                seen.version, view.stream.identity, from, view.committed
            );
            Violation::new("I1", text)
        })?;
    }
    Ok(())
}
