//! What goes wrong on a task's way, on its way to the report: told by who meets it, kept with since when by the task.

use super::messages::{Retry, Trouble, TroubleKind};

/// Trouble as it is met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// What is wrong, and the next step.
    pub message: String,
    /// Whether it will not pass without a person.
    pub lasting: bool,
    /// Where it is.
    pub kind: TroubleKind,
    /// When it is tried again, where that is known.
    pub retry: Option<Retry>,
}

impl Told {
    /// Trouble that passes.
    pub fn passing(kind: TroubleKind, message: String, retry: Option<Retry>) -> Self {
        Self { message, lasting: false, kind, retry }
    }

    /// The trouble, since `now`, or since the same was met before.
    pub(super) fn since(self, before: Option<Trouble>, now: i64) -> Trouble {
        let Self { message, lasting, kind, retry } = self;
        let since = before.filter(|before| before.message == message).map_or(now, |before| before.since);
        Trouble { message, since, lasting, kind, retry }
    }
}
