//! A task of the model, as far as it can hurt the catalog: what it holds, what it is flushing, what it was told.

use crate::catalog::{CommitOutcome, CommitRequest, Epoch, Offset};

/// The stream, as one task holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    /// Under this epoch.
    pub epoch: Epoch,
    /// Committed up to here, as far as the task knows.
    pub committed: Offset,
    /// Fetched and logged up to here.
    pub logged: Offset,
}

/// How far a flush has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Its intent is there.
    Staged,
    /// Its object is there.
    Uploaded,
    /// Its commit was sent, and its end is not known.
    Unknown,
}

/// A flush under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flush {
    /// What is, or will be, sent.
    pub request: CommitRequest,
    /// How far it has come.
    pub step: Step,
}

/// One task. It may be a zombie: nobody tells it that the stream was granted to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Task {
    /// What it holds.
    pub held: Option<Held>,
    /// What it is flushing; never two at a time.
    pub flush: Option<Flush>,
    /// A grant on its way to it.
    pub granted: Option<(Epoch, Offset)>,
}

impl Task {
    /// Takes the grant that was on its way, unless it holds a newer one. A flush of an older grant goes on to its end.
    pub fn own(&mut self) {
        let Some((epoch, committed)) = self.granted.take() else { return };
        if self.held.is_none_or(|held| held.epoch < epoch) {
            self.held = Some(Held { epoch, committed, logged: committed });
        }
    }

    /// The flush has ended. `Committed` moves the committed offset; a fence or a conflict costs the stream, if it is still held
    /// under the epoch of the flush; after `FencedByIntent`, and a void of its own, the rows are written again.
    pub fn ended(&mut self, outcome: CommitOutcome) {
        let Some(Flush { request, .. }) = self.flush.take() else { return };
        let Some(held) = self.held.as_mut().filter(|held| held.epoch == request.epoch) else { return };
        match outcome {
            CommitOutcome::Committed => held.committed = request.end,
            CommitOutcome::FencedByEpoch | CommitOutcome::Conflict => self.held = None,
            CommitOutcome::FencedByIntent | CommitOutcome::FencedByVoid => {}
        }
    }
}
