//! The catalog of the model: the keys that a commit reads and writes, and its transactions. Each function bears the name of
//! the one in `millrace-catalog` whose rules it repeats. Knows no task and no sweeper.

use crate::rules::Rule;

/// Names a part, the commit that is to bring it, and that commit's token: a flush of the model writes one part at most.
pub type PartId = u8;
/// The batch all of whose records are filtered: its commit has offsets and no part, and so no intent that would stand guard.
const FILTERED: Offset = 1;
/// A position in the one stream; each batch is one offset.
pub type Offset = u8;
/// What a grant raises.
pub type Epoch = u8;

/// A small set of parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parts(u8);

impl Parts {
    /// Whether `part` is among them.
    pub fn contains(self, part: PartId) -> bool {
        self.0 & (1 << part) != 0
    }

    /// Adds one.
    pub fn insert(&mut self, part: PartId) {
        self.0 |= 1 << part;
    }

    /// Takes one out.
    pub fn remove(&mut self, part: PartId) {
        self.0 &= !(1 << part);
    }

    /// Those that are there, in order.
    pub fn iter(self) -> impl Iterator<Item = PartId> {
        (0..8).filter(move |part| self.contains(*part))
    }

    /// Keeps those that are also in `others`.
    pub fn retain(&mut self, others: Parts) {
        self.0 &= others.0;
    }

    /// The first that is not there.
    ///
    /// # Panics
    /// If all are.
    pub fn first_free(self) -> PartId {
        (0..8).find(|part| !self.contains(*part)).expect("fewer than eight parts are known at a time")
    }
}

impl FromIterator<PartId> for Parts {
    fn from_iter<I: IntoIterator<Item = PartId>>(parts: I) -> Self {
        let mut set = Self::default();
        parts.into_iter().for_each(|part| set.insert(part));
        set
    }
}

/// A commit as it is sent: one stream, one part, and the token that goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitRequest {
    /// The part and the token.
    pub part: PartId,
    /// Whose slot keeps the token.
    pub writer: usize,
    /// The epoch under which the stream is held.
    pub epoch: Epoch,
    /// The committed offset as the task knows it.
    pub start: Offset,
    /// How far it advances.
    pub end: Offset,
}

impl CommitRequest {
    /// Whether there is a part.
    pub fn has_part(&self) -> bool {
        (self.start..self.end).any(|offset| offset != FILTERED)
    }
}

/// What a commit reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    slot: Option<PartId>,
    is_voided: bool,
    epoch: Epoch,
    next: Offset,
    has_intents: bool,
}

/// How a commit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CommitOutcome {
    /// It happened, now or before.
    Committed,
    /// A void forbids it.
    FencedByVoid,
    /// The stream has a newer epoch.
    FencedByEpoch,
    /// The sweeper has its intent.
    FencedByIntent,
    /// The committed offset is another.
    Conflict,
}

/// A record of the table's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Logged {
    /// The request that was applied.
    pub request: CommitRequest,
    /// The newest epoch at that moment.
    pub newest: Epoch,
}

/// The catalog's keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Catalog {
    /// The stream's newest epoch.
    pub epoch: Epoch,
    /// Its checkpoint.
    pub next: Offset,
    /// The last commit of each writer.
    pub slots: [Option<PartId>; 2],
    /// Commits that must never happen.
    pub voids: Parts,
    /// Parts that are announced, and neither committed nor swept.
    pub intents: Parts,
    /// What was committed, in order.
    pub log: Vec<Logged>,
}

impl Catalog {
    /// A stream that was granted once, with nothing committed.
    pub fn new() -> Self {
        let (voids, intents) = Default::default();
        Self { epoch: 1, next: 0, slots: [None; 2], voids, intents, log: Vec::new() }
    }

    /// The commits that have happened.
    pub fn committed(&self) -> Parts {
        self.log.iter().map(|logged| logged.request.part).collect()
    }

    /// The parts that readers see.
    pub fn visible(&self) -> Parts {
        self.log.iter().filter(|logged| logged.request.has_part()).map(|logged| logged.request.part).collect()
    }

    /// `commit/mod.rs`, `read`.
    pub fn read(&self, request: &CommitRequest) -> Standing {
        Standing {
            slot: self.slots[request.writer],
            is_voided: self.voids.contains(request.part),
            epoch: self.epoch,
            next: self.next,
            has_intents: !request.has_part() || self.intents.contains(request.part),
        }
    }

    /// `Catalog::commit_once`: one transaction that reads, decides and writes.
    pub fn commit_once(&mut self, request: &CommitRequest, broken: Option<Rule>) -> CommitOutcome {
        match admit(&self.read(request), request, broken) {
            Some(outcome) => outcome,
            None => {
                self.apply(request);
                CommitOutcome::Committed
            }
        }
    }

    /// A transaction that read `standing`, and decided to apply its request, reaches the store now: it happens if nothing of
    /// what it read has changed.
    pub fn arrive(&mut self, request: &CommitRequest, standing: &Standing, broken: Option<Rule>) {
        if self.read(request) == *standing || broken == Some(Rule::ReadsAreCompared) {
            self.apply(request);
        }
    }

    /// PROTOCOL's steps 5 and 6.
    fn apply(&mut self, request: &CommitRequest) {
        self.intents.remove(request.part);
        self.log.push(Logged { request: *request, newest: self.epoch });
        self.next = request.end;
        self.slots[request.writer] = Some(request.part);
    }

    /// `Catalog::grant`: the epoch rises; the answer is where the stream begins.
    pub fn grant(&mut self) -> (Epoch, Offset) {
        self.epoch += 1;
        (self.epoch, self.next)
    }

    /// `Catalog::void_settled`: whether the commit will never happen; else it has.
    pub fn void_settled(&mut self, request: &CommitRequest) -> bool {
        if self.slots[request.writer] == Some(request.part) {
            return false;
        }
        self.voids.insert(request.part);
        true
    }

    /// `Catalog::claim_intent`, whose look at what is visible came before: by compare-and-set. Whether the object is garbage.
    pub fn claim_intent(&mut self, part: PartId, is_visible: bool, broken: Option<Rule>) -> bool {
        if !self.intents.contains(part) && broken != Some(Rule::IntentIsCompared) {
            return false;
        }
        self.intents.remove(part);
        !is_visible
    }
}

/// `commit/admit.rs`: how the commit ends with nothing written, or `None` if it is to be applied.
pub fn admit(standing: &Standing, request: &CommitRequest, broken: Option<Rule>) -> Option<CommitOutcome> {
    let kept = |rule| broken != Some(rule);
    if standing.slot == Some(request.part) {
        return kept(Rule::TokenIsRead).then_some(CommitOutcome::Committed);
    }
    if standing.is_voided && kept(Rule::VoidIsRead) {
        return Some(CommitOutcome::FencedByVoid);
    }
    if standing.epoch != request.epoch && kept(Rule::EpochIsCompared) {
        return Some(CommitOutcome::FencedByEpoch);
    }
    if standing.next != request.start && kept(Rule::OffsetIsCompared) {
        return Some(CommitOutcome::Conflict);
    }
    (!standing.has_intents && kept(Rule::IntentIsRead)).then_some(CommitOutcome::FencedByIntent)
}
