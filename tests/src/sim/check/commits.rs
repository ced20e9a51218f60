//! At each commit: the ledger of each stream (I1), its order (I3), that parts and offsets came together (I4), that what is visible
//! stays (I5), but for a TRUNCATE, and is there (I7); and that whoever took a stream over from another node has read anew what he commits (I1): what he
//! had logged of it in an earlier time may be something else by now. At the end: that no commit was made under an epoch older than
//! the newest granted (I2).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use catalog::{
    CommitRecord, Epoch, Ledger, NodeId, Offset, PartId, StreamId, StreamState, StreamView, TableSnapshot, Version,
};

use super::Violation;
use crate::sim::rows::{Found, Rows};
use crate::sim::script::{Produced, Script};

/// What was seen of the catalog so far.
#[derive(Debug, Default)]
pub struct Commits {
    version: Option<Version>,
    parts: BTreeSet<PartId>,
    streams: BTreeMap<StreamId, Known>,
    /// The newest epoch of each stream, at each version that was looked at and at which one had changed.
    epochs: Vec<(Version, StreamId, Epoch)>,
    /// When a version was last looked at.
    looked: Duration,
    /// Each TRUNCATE: its version, the one that was looked at before it, and how far each stream was committed then.
    truncated: Vec<(Version, Version, BTreeMap<StreamId, Offset>)>,
}

/// What came between two looks, if the table was emptied in between: parts that came and went were never looked at.
#[derive(Debug, Default)]
pub struct Emptied {
    /// By TRUNCATEs of these versions, oldest first.
    pub at: Vec<Version>,
    /// All commits since the last look, oldest first.
    pub commits: Vec<CommitRecord>,
}

/// A stream as it was last seen.
#[derive(Clone, Debug)]
struct Known {
    view: StreamView,
    /// It was closed, or had gone from the vector, as only a closed stream does.
    closed: bool,
    /// The node that holds it, or was the last to.
    node: Option<NodeId>,
    /// Not before then was it granted to that node from another one.
    since: Duration,
}

impl Commits {
    /// The version that was looked at last.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// How far each stream was committed when it was looked at last.
    pub fn committed(&self) -> BTreeMap<StreamId, Offset> {
        self.streams.iter().map(|(id, known)| (*id, known.view.committed)).collect()
    }

    /// How far a partition of this incarnation was committed, in the newest of its streams.
    pub fn committed_of(&self, incarnation: &str, partition: i32) -> u64 {
        let of = |view: &StreamView| {
            let identity = view.stream.identity.partition();
            identity.is_some_and(|it| it.incarnation == incarnation && it.partition == partition)
        };
        let views = self.streams.values().map(|known| &known.view).filter(|view| of(view));
        views.max_by_key(|view| view.stream.partition().generation).map_or(0, |view| view.committed.0)
    }

    /// All streams that were ever seen.
    pub fn views(&self) -> impl Iterator<Item = &StreamView> {
        self.streams.values().map(|known| &known.view)
    }

    /// The versions of all TRUNCATEs.
    pub fn truncations(&self) -> impl Iterator<Item = Version> {
        self.truncated.iter().map(|(at, ..)| *at)
    }

    /// How far a stream was committed when the table was emptied the last time up to this version: what is visible begins there.
    pub fn floor(&self, version: Version, stream: StreamId) -> Option<Offset> {
        let (_, _, ends) = self.truncated.iter().rev().find(|(at, ..)| *at <= version)?;
        ends.get(&stream).copied()
    }

    /// Whether what a commit of this version added may have gone before it was looked at.
    pub fn was_passed_over(&self, version: Version) -> bool {
        self.truncated.iter().any(|(at, before, _)| *before < version && version <= *at)
    }

    /// Goes over the commits up to the last TRUNCATE, of which no part is left; answers how far they brought each stream.
    fn pass_over(&mut self, emptied: &Emptied) -> BTreeMap<StreamId, (Offset, Ledger)> {
        let before = self.version.unwrap_or(Version::ZERO);
        let known = self.streams.iter().map(|(id, known)| (*id, (known.view.committed, known.view.ledger)));
        let mut reached: BTreeMap<StreamId, (Offset, Ledger)> = known.collect();
        let mut commits = emptied.commits.iter().peekable();
        for at in &emptied.at {
            while let Some(commit) = commits.next_if(|commit| commit.version < *at) {
                for advance in &commit.streams {
                    let (end, ledger) =
                        reached.entry(advance.stream).or_insert((advance.range.start, Ledger::default()));
                    (*end, *ledger) = (advance.range.end, ledger.plus(advance.ledger));
                }
            }
            self.truncated.push((*at, before, reached.iter().map(|(id, (end, _))| (*id, *end)).collect()));
        }
        reached
    }

    /// Looks at a newer version, with the rows of the parts that are new in it, all together; answers what has changed, for the log.
    ///
    /// # Errors
    /// On the first invariant that does not hold.
    pub fn look(
        &mut self,
        snapshot: &TableSnapshot,
        news: &Rows,
        script: &Script,
        emptied: &Emptied,
    ) -> Result<Vec<String>, Violation> {
        if self.version.is_some_and(|before| before > snapshot.version) {
            return Err(Violation::new("I3", format!("version {} comes after a newer one", snapshot.version)));
        }
        let parts: BTreeSet<PartId> = snapshot.parts.iter().map(|part| part.id).collect();
        let passed = match emptied.at.last() {
            None => BTreeMap::new(),
            Some(at) => {
                if let Some(left) = self.parts.intersection(&parts).next() {
                    let text =
                        format!("part {left} was there before the TRUNCATE of {at}, and is at {}", snapshot.version);
                    return Err(Violation::new("I5", text));
                }
                self.parts.clear();
                self.pass_over(emptied)
            }
        };
        if let Some(gone) = self.parts.difference(&parts).next() {
            return Err(Violation::new("I5", format!("part {gone} was visible, and is not at {}", snapshot.version)));
        }
        if let Some(stream) = news.0.keys().find(|stream| !snapshot.streams.contains_key(stream)) {
            return Err(Violation::new(
                "I4",
                format!("a part has rows of stream {stream}, which is not in its version"),
            ));
        }
        let mut changes = Vec::new();
        for (id, view) in snapshot.streams.iter() {
            let known = self.streams.get(id);
            if let Some(known) = known.filter(|known| known.closed && known.view.committed < view.committed) {
                let text = format!(
                    "stream {id} was closed at {}, and is committed up to {}",
                    known.view.committed, view.committed
                );
                return Err(Violation::new("I2", text));
            }
            let closed = known.is_some_and(|known| known.closed) || view.stream.state == StreamState::Closed;
            let before = known.map(|known| known.view.clone());
            if before.as_ref().is_some_and(|before| before.stream.start != view.stream.start) {
                let text = format!("the start of stream {id} was resolved again, to {}", view.stream.start);
                return Err(Violation::new("I3", text));
            }
            let from = before.as_ref().map(|before| (before.committed, before.ledger));
            let from = passed.get(id).copied().or(from).unwrap_or((view.stream.start, Ledger::default()));
            changes.extend(match view.stream.is_channel() {
                true => advance_channel(*id, from, view, news.of(*id))?,
                false => advance(*id, from, view, news.of(*id), script)?,
            });
            let (node, since) = self.held_by(*id, view, news.of(*id), script)?;
            let epoch = view.owner.as_ref().map(|owner| owner.epoch);
            if let Some(epoch) =
                epoch.filter(|epoch| before.and_then(|it| it.owner).map(|owner| owner.epoch) != Some(*epoch))
            {
                self.epochs.push((snapshot.version, *id, epoch));
            }
            self.streams.insert(*id, Known { view: view.clone(), closed, node, since });
        }
        for (id, known) in self.streams.iter_mut().filter(|(id, _)| !snapshot.streams.contains_key(id)) {
            known.closed = true;
            if let Some((committed, ledger)) = passed.get(id) {
                (known.view.committed, known.view.ledger) = (*committed, *ledger);
            }
        }
        (self.version, self.parts) = (Some(snapshot.version), parts);
        Ok(changes)
    }

    /// Which node holds the stream by now, and since when at the latest; after a look at what has come of it. What came between two
    /// looks at which different nodes held it may be of either.
    fn held_by(
        &self,
        id: StreamId,
        view: &StreamView,
        news: &Found,
        script: &Script,
    ) -> Result<(Option<NodeId>, Duration), Violation> {
        let (before, since) = self.streams.get(&id).map_or((None, Duration::ZERO), |of| (of.node.clone(), of.since));
        if let Some(partition) = script.of(&view.stream.identity) {
            partition.was_there(news, since).map_err(|cause| {
                let text = format!("stream {id} was granted anew, to {before:?}, and then committed: {cause}");
                Violation::new("I1", text)
            })?;
        }
        let node = view.owner.as_ref().map(|owner| owner.node.clone());
        match (&before, node) {
            (Some(_), Some(node)) if before.as_ref() != Some(&node) => Ok((Some(node), self.looked)),
            (_, node) => Ok((node.or(before), since)),
        }
    }

    /// A version was looked at, or there was none newer than the last.
    pub fn looked(&mut self, now: Duration) {
        self.looked = now;
    }

    /// Which parts of a snapshot were not there before.
    pub fn is_new(&self, part: PartId) -> bool {
        !self.parts.contains(&part)
    }

    /// All commits of the table, against the epochs that were seen: I2, and I3 once more.
    ///
    /// # Errors
    /// On the first commit that may not have happened.
    pub fn check_all(&self, commits: &[CommitRecord]) -> Result<(), Violation> {
        let mut ends: BTreeMap<StreamId, Offset> = BTreeMap::new();
        for commit in commits.iter().rev() {
            for advance in &commit.streams {
                let seen = self.epochs.iter().rev().find(|(at, id, _)| *id == advance.stream && *at < commit.version);
                if let Some((at, id, epoch)) = seen.filter(|(_, _, epoch)| *epoch > advance.epoch) {
                    let text = format!(
                        "commit {} of stream {id} is under epoch {}, and at {at} epoch {epoch} had been granted",
                        commit.version, advance.epoch
                    );
                    return Err(Violation::new("I2", text));
                }
                if let Some(end) =
                    ends.insert(advance.stream, advance.range.end).filter(|end| *end != advance.range.start)
                {
                    let text =
                        format!("stream {} is committed over {}, and stood at {end}", advance.stream, advance.range);
                    return Err(Violation::new("I3", text));
                }
            }
        }
        Ok(())
    }
}

/// One stream of a partition from one look to the next.
fn advance(
    id: StreamId,
    (from, before): (Offset, Ledger),
    view: &StreamView,
    news: &Found,
    script: &Script,
) -> Result<Option<String>, Violation> {
    if view.committed < from {
        return Err(Violation::new("I3", format!("stream {id} went back from {from} to {}", view.committed)));
    }
    let described = || format!("stream {id} ({:?}) from {from} to {}", view.stream.identity, view.committed);
    let Some(partition) = script.of(&view.stream.identity) else {
        return Err(Violation::new("I1", format!("{} is of a partition that never was", described())));
    };
    if view.committed == from && news.rows.is_empty() && news.errors.is_empty() {
        return Ok(None);
    }
    let missing = partition
        .compare(from.0, view.committed.0, &news.rows, &news.errors)
        .map_err(|cause| Violation::new("I1", format!("{}: {cause}", described())))?;
    let ledger = minus(view.ledger, before);
    let wrong = |what: &str| {
        let found = format!("{} rows and {} errors found, {missing:?}", news.rows.len(), news.errors.len());
        Err(Violation::new("I1", format!("{}: {what} in {ledger:?}; {found}", described())))
    };
    let within = |count: u64, (least, most): (u64, u64)| (least..=most).contains(&count);
    if ledger.rows != news.rows.len() as u64 || ledger.errors != news.errors.len() as u64 {
        return wrong("rows or errors are miscounted");
    }
    if ledger.offsets() != view.committed.0 - from.0 {
        return wrong("the ledger does not add up to the offsets advanced");
    }
    // A batch that is cut knows how many of its offsets were filtered and not which, so where a partition has both kinds only their
    // sum is exact.
    let both = partition.ever(Produced::Filtered) && partition.ever(Produced::Skipped);
    if !both && (!within(ledger.filtered, missing.filtered) || !within(ledger.skipped, missing.skipped)) {
        return wrong("filtered or skipped records are miscounted");
    }
    if ledger.expired > missing.expired || ledger.truncated > missing.truncated {
        return wrong("a gap is named where nothing was lost");
    }
    let change = format!("stream {id} {from}..{} {} rows {} errors", view.committed, ledger.rows, ledger.errors);
    Ok(Some(change))
}

/// One insert channel from one look to the next: its offsets are rows, or were passed over by INSERTs without any.
fn advance_channel(
    id: StreamId,
    (from, before): (Offset, Ledger),
    view: &StreamView,
    news: &Found,
) -> Result<Option<String>, Violation> {
    if view.committed < from {
        return Err(Violation::new("I3", format!("channel {id} went back from {from} to {}", view.committed)));
    }
    let Found { rows, errors } = news;
    if view.committed == from && rows.is_empty() && errors.is_empty() {
        return Ok(None);
    }
    let ledger = minus(view.ledger, before);
    let within = |offset: &u64| (from.0..view.committed.0).contains(offset);
    let others = ledger.errors + ledger.skipped + ledger.expired + ledger.truncated;
    if ledger.rows != rows.len() as u64
        || ledger.offsets() != view.committed.0 - from.0
        || others > 0
        || !errors.is_empty()
        || !rows.keys().all(within)
    {
        let found = format!("{} rows and {} errors found in {ledger:?}", rows.len(), errors.len());
        return Err(Violation::new("I1", format!("channel {id} from {from} to {}: {found}", view.committed)));
    }
    Ok(Some(format!("channel {id} {from}..{} {} rows", view.committed, ledger.rows)))
}

fn minus(now: Ledger, before: Ledger) -> Ledger {
    Ledger {
        rows: now.rows - before.rows,
        errors: now.errors - before.errors,
        filtered: now.filtered - before.filtered,
        skipped: now.skipped - before.skipped,
        expired: now.expired - before.expired,
        truncated: now.truncated - before.truncated,
    }
}
