//! The model: two tasks, two epochs, three batches, one commit of unknown outcome, and a sweeper that is never too early.
//!
//! What can happen at any time, in any order: a task fetches, flushes and commits; the stream is granted anew, to either task,
//! and the message is slow; a task dies; the sweeper takes any intent, of whatever age (I10: no clock decides); and the one
//! commit whose answer is lost was never sent on, or arrives whenever it likes, before or after it is sent again.
//!
//! A late commit arrives in one of two ways: as a whole request, which some server runs from the start, or as a transaction that
//! has read already, and happens only if what it read is unchanged.
//!
//! The names of parts that nothing refers to any more are given again, so that the number of flushes is not bounded: those that
//! are written again and again lead back to states that are known.

use stateright::{Model, Property};

use crate::catalog::{Catalog, CommitOutcome, CommitRequest, Epoch, Offset, PartId, Parts, Standing, admit};
use crate::properties;
use crate::rules::Rule;
use crate::task::{Flush, Held, Step, Task};

/// Batches to be committed.
pub const BATCHES: Offset = 3;
/// The newest epoch that is ever granted.
const EPOCHS: Epoch = 2;

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Protocol {
    /// Whether both tasks are the same share of the pipeline, on two workers, and so write to one slot.
    pub has_one_slot: bool,
    /// The rule that is broken.
    pub broken: Option<Rule>,
}

/// A commit that was answered "unknown", and has not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Late {
    /// A server will run it from the start.
    Request(CommitRequest),
    /// It has read already.
    Transaction(CommitRequest, Standing),
}

impl Late {
    /// Its part.
    pub fn part(&self) -> PartId {
        match self {
            Self::Request(request) | Self::Transaction(request, _) => request.part,
        }
    }
}

/// What the sweeper has in hand: an intent, and whether its part was visible when it looked.
pub type InHand = Option<(PartId, bool)>;

/// All there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The catalog.
    pub catalog: Catalog,
    /// The tasks.
    pub tasks: [Task; 2],
    /// The commit on its way, after its answer was lost.
    pub late: Option<Late>,
    /// Whether an answer may still be lost.
    pub may_be_unknown: bool,
    /// Whether a task may still die.
    pub may_die: bool,
    /// The sweeper.
    pub sweeper: InHand,
    /// Objects that are in the store.
    pub objects: Parts,
    /// Objects that were deleted.
    pub deleted: Parts,
    /// Whether the task of the late commit was told that it will never happen.
    pub is_late_forgotten: bool,
    /// A task was told of a commit that is not there.
    pub was_lied_to: bool,
    /// A commit happened after its task had been told that it never will.
    pub has_risen: bool,
}

/// Named as the functions of the product that do it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The manager grants the stream to a task; the message is on its way.
    Grant(usize),
    /// The message arrives.
    Own(usize),
    /// A batch is fetched and logged.
    Log(usize),
    /// A flush begins: the intent of its part, if it has one, is written.
    Stage(usize),
    /// Its object is written.
    Upload(usize),
    /// Its commit is sent, and answered.
    Commit(usize),
    /// Its commit is sent, and the answer is lost: as a request or as a transaction it is on its way, perhaps for ever.
    CommitUnknown(usize, Arrival),
    /// The identical commit is sent again, and answered.
    CommitSettled(usize),
    /// Instead, it is voided.
    Void(usize),
    /// A broken rule: what is unknown is taken for failed, or for done.
    Presume(usize),
    /// The late commit arrives.
    Arrive,
    /// The process of a task dies.
    Die(usize),
    /// The sweeper finds an intent, and looks whether its part is visible.
    FindIntent(PartId),
    /// It claims the intent. What is garbage now is deleted at once: later would be kinder.
    ClaimIntent,
}

/// In which form a commit is late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arrival {
    /// As a request.
    Request,
    /// As a transaction.
    Transaction,
}

impl Protocol {
    fn is_broken(&self, rule: Rule) -> bool {
        self.broken == Some(rule)
    }

    fn task_actions(&self, state: &State, index: usize, actions: &mut Vec<Action>) {
        let task = &state.tasks[index];
        if state.catalog.epoch < EPOCHS {
            actions.push(Action::Grant(index));
        }
        if task.granted.is_some() {
            actions.push(Action::Own(index));
        }
        if state.may_die && (task.held.is_some() || task.flush.is_some()) {
            actions.push(Action::Die(index));
        }
        if let Some(Held { committed, logged, .. }) = task.held {
            if logged < BATCHES {
                actions.push(Action::Log(index));
            }
            if committed < logged && task.flush.is_none() {
                actions.push(Action::Stage(index));
            }
        }
        let Some(Flush { step, .. }) = task.flush else { return };
        let may_be_sent = match step {
            Step::Staged => self.is_broken(Rule::UploadIsAwaited),
            Step::Uploaded => true,
            Step::Unknown => false,
        };
        if step == Step::Staged {
            actions.push(Action::Upload(index));
        }
        if may_be_sent {
            actions.push(Action::Commit(index));
            if state.may_be_unknown {
                let arrivals = [Arrival::Request, Arrival::Transaction];
                actions.extend(arrivals.map(|arrival| Action::CommitUnknown(index, arrival)));
            }
        }
        if step == Step::Unknown {
            actions.extend([Action::CommitSettled(index), Action::Void(index)]);
            if self.is_broken(Rule::UnknownIsNoFailure) || self.is_broken(Rule::UnknownIsNoSuccess) {
                actions.push(Action::Presume(index));
            }
        }
    }

    fn stage(&self, state: &mut State, index: usize) {
        let Some(held) = state.tasks[index].held else { return };
        let (part, writer) = (state.known_parts().first_free(), if self.has_one_slot { 0 } else { index });
        let request = CommitRequest { part, writer, epoch: held.epoch, start: held.committed, end: held.logged };
        if request.has_part() {
            state.catalog.intents.insert(part);
        }
        let step = if request.has_part() { Step::Staged } else { Step::Uploaded };
        state.tasks[index].flush = Some(Flush { request, step });
    }

    /// The commit of a task's flush is run by the catalog, and the task is told.
    fn commit(&self, state: &mut State, index: usize) {
        let Some(Flush { request, .. }) = state.tasks[index].flush else { return };
        let outcome = state.catalog.commit_once(&request, self.broken);
        state.tell(index, outcome);
    }

    fn void(&self, state: &mut State, index: usize) {
        let Some(Flush { request, .. }) = state.tasks[index].flush else { return };
        let is_void = state.catalog.void_settled(&request);
        state.tell(index, if is_void { CommitOutcome::FencedByVoid } else { CommitOutcome::Committed });
    }

    /// What PROTOCOL forbids: an unknown outcome is taken for one that is known.
    fn presume(&self, state: &mut State, index: usize) {
        let Some(Flush { request, .. }) = state.tasks[index].flush else { return };
        if self.is_broken(Rule::UnknownIsNoSuccess) {
            state.tell(index, CommitOutcome::Committed);
        } else {
            state.delete(request.part);
            state.tell(index, CommitOutcome::FencedByIntent);
        }
    }

    fn arrive(&self, state: &mut State) {
        let Some(late) = state.late.take() else { return };
        let before = state.catalog.log.len();
        match late {
            Late::Request(request) => drop(state.catalog.commit_once(&request, self.broken)),
            Late::Transaction(request, standing) => state.catalog.arrive(&request, &standing, self.broken),
        }
        state.has_risen |= state.is_late_forgotten && state.catalog.log.len() > before;
        state.is_late_forgotten = false;
    }

    /// The answer is lost. A transaction that would write nothing cannot be late: it has nothing to send.
    fn commit_unknown(&self, state: &mut State, index: usize, arrival: Arrival) -> Option<()> {
        let flush = state.tasks[index].flush.as_mut()?;
        flush.step = Step::Unknown;
        let request = flush.request;
        state.late = Some(match arrival {
            Arrival::Request => Late::Request(request),
            Arrival::Transaction => {
                let standing = state.catalog.read(&request);
                admit(&standing, &request, self.broken).is_none().then_some(Late::Transaction(request, standing))?
            }
        });
        state.may_be_unknown = false;
        Some(())
    }

    fn find_intent(&self, state: &mut State, part: PartId) {
        if self.is_broken(Rule::IntentGoesFirst) {
            state.delete(part);
        }
        state.sweeper = Some((part, state.catalog.visible().contains(part)));
    }
}

impl State {
    /// The task's flush has ended so, as far as it is told.
    fn tell(&mut self, index: usize, outcome: CommitOutcome) {
        let Some(Flush { request, .. }) = self.tasks[index].flush else { return };
        match outcome {
            CommitOutcome::Committed => self.was_lied_to |= !self.catalog.committed().contains(request.part),
            _ => self.is_late_forgotten |= self.late.as_ref().is_some_and(|late| late.part() == request.part),
        }
        self.tasks[index].ended(outcome);
    }

    fn delete(&mut self, part: PartId) {
        self.objects.remove(part);
        self.deleted.insert(part);
    }

    /// The parts that something refers to.
    fn known_parts(&self) -> Parts {
        let flushed = self.tasks.iter().filter_map(|task| task.flush).map(|flush| flush.request.part);
        let late = self.late.iter().map(Late::part);
        let in_hand = self.sweeper.iter().map(|(part, _)| *part);
        self.catalog
            .committed()
            .iter()
            .chain(self.catalog.intents.iter())
            .chain(flushed)
            .chain(late)
            .chain(in_hand)
            .collect()
    }

    /// Forgets what was known of parts that nothing refers to.
    fn forget_unknown(&mut self) {
        let known = self.known_parts();
        self.objects.retain(known);
        self.deleted.retain(known);
        self.catalog.voids.retain(known);
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    /// The first task holds the stream; nothing is fetched.
    fn init_states(&self) -> Vec<State> {
        let held = Some(Held { epoch: 1, committed: 0, logged: 0 });
        vec![State {
            catalog: Catalog::new(),
            tasks: [Task { held, ..Task::default() }, Task::default()],
            late: None,
            may_be_unknown: true,
            may_die: true,
            sweeper: None,
            objects: Parts::default(),
            deleted: Parts::default(),
            is_late_forgotten: false,
            was_lied_to: false,
            has_risen: false,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for index in 0..state.tasks.len() {
            self.task_actions(state, index, actions);
        }
        if state.late.is_some() {
            actions.push(Action::Arrive);
        }
        match state.sweeper {
            Some(_) => actions.push(Action::ClaimIntent),
            None => actions.extend(state.catalog.intents.iter().map(Action::FindIntent)),
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Grant(index) => state.tasks[index].granted = Some(state.catalog.grant()),
            Action::Own(index) => state.tasks[index].own(),
            Action::Log(index) => state.tasks[index].held.as_mut()?.logged += 1,
            Action::Stage(index) => self.stage(&mut state, index),
            Action::Upload(index) => {
                let flush = state.tasks[index].flush.as_mut()?;
                flush.step = Step::Uploaded;
                state.objects.insert(flush.request.part);
            }
            Action::Commit(index) | Action::CommitSettled(index) => self.commit(&mut state, index),
            Action::CommitUnknown(index, arrival) => self.commit_unknown(&mut state, index, arrival)?,
            Action::Void(index) => self.void(&mut state, index),
            Action::Presume(index) => self.presume(&mut state, index),
            Action::Arrive => self.arrive(&mut state),
            Action::Die(index) => {
                state.may_die = false;
                state.tasks[index] = Task::default();
            }
            Action::FindIntent(part) => self.find_intent(&mut state, part),
            Action::ClaimIntent => {
                let (part, is_visible) = state.sweeper.take()?;
                if state.catalog.claim_intent(part, is_visible, self.broken) {
                    state.delete(part);
                }
            }
        }
        state.forget_unknown();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}
