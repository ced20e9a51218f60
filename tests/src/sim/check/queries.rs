//! At each answer: a prefix of each stream, each row once (I1, I3); nothing seen in the session is gone (I5); nothing that had been
//! committed when it was asked is left out.

use std::collections::BTreeMap;

use catalog::{Offset, StreamId};

use super::Violation;
use crate::sim::query::{Answer, Failed, Seen};
use crate::sim::rows::Found;
use crate::sim::script::{Produced, Script};

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
    pub fn look(&mut self, answer: &Answer, script: &Script) -> Result<String, Violation> {
        let who = format!("reader {} in session {}", answer.reader, answer.session);
        let seen = match &answer.outcome {
            Ok(seen) => seen,
            Err(Failed::Wrong(invariant, text)) => return Err(Violation::new(invariant, format!("{who}: {text}"))),
            Err(Failed::Excused(cause)) => return Ok(format!("{who} is refused: {cause}")),
        };
        if let Some(committed) = self.asked.remove(&answer.order.asked) {
            behind(&who, seen, &committed)?;
        }
        prefix(&who, seen, script)?;
        self.stays(answer, seen, script)?;
        Ok(format!("{who} sees {} rows at {}", seen.rows.count(), seen.version))
    }

    fn stays(&mut self, answer: &Answer, seen: &Seen, script: &Script) -> Result<(), Violation> {
        let key = (answer.reader, answer.order.freshness == warehouse::read::session::Freshness::Latest);
        let known = self.sessions.entry(key).or_default();
        if known.0 != answer.session {
            *known = (answer.session, BTreeMap::new());
        }
        for (stream, before) in &known.1 {
            let now = seen.rows.of(*stream);
            let partition = seen.streams.get(stream).and_then(|view| script.of(&view.stream.identity));
            // A stream that is no more in the vector was closed with nothing committed: its topic is gone.
            let Some(partition) = partition else { continue };
            let mut rows = before.rows.iter().filter(|(offset, id)| now.rows.get(offset) != Some(id));
            let row = rows.find(|(offset, id)| !partition.may_be_gone(**offset, Produced::Row(**id)));
            let mut errors = before.errors.keys().filter(|offset| !now.errors.contains_key(offset));
            let error = errors.find(|offset| !partition.may_be_gone(**offset, Produced::Bad));
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

/// Each stream is seen as it was produced, from its start to the end that was answered.
fn prefix(who: &str, seen: &Seen, script: &Script) -> Result<(), Violation> {
    if let Some(stream) = seen.rows.0.keys().find(|stream| !seen.streams.contains_key(stream)) {
        return Err(Violation::new("I3", format!("{who} sees rows of stream {stream}, which is not in its vector")));
    }
    for (stream, view) in seen.streams.iter() {
        let end = seen.ends.get(stream).copied().unwrap_or(view.committed);
        let Some(partition) = script.of(&view.stream.identity) else {
            return Err(Violation::new("I1", format!("{who}: stream {stream} is of a partition that never was")));
        };
        let found = seen.rows.of(*stream);
        partition.compare(view.stream.start.0, end.0, &found.rows, &found.errors).map_err(|cause| {
            let text = format!(
                "{who} at {}: stream {stream} ({:?}) from {} by {} to {end}: {cause}",
                seen.version, view.stream.identity, view.stream.start, view.committed
            );
            Violation::new("I1", text)
        })?;
    }
    Ok(())
}
