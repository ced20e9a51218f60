//! What can go wrong in a store, sorted by what a caller may conclude: it did not happen, or it may have happened.

/// What an error says about the commit that it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certainty {
    /// Nothing of the transaction is or will ever be in the store.
    DidNotHappen,
    /// The transaction may be in the store, or may still arrive there. Only something that it wrote can tell (I6).
    Unknown,
}

/// A failed operation on a [`KvStore`](super::KvStore). Each kind is one that callers treat differently.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another transaction wrote what this one had read. It did not happen: run the whole transaction again.
    #[error("the catalog transaction conflicts with another that committed first: run it again")]
    Conflict,
    /// The transaction is older than the store can judge. It did not happen: run the whole transaction again.
    #[error("the catalog transaction is older than 5 s: run it again, in less time")]
    TooOld,
    /// A key, a value or the whole transaction is over a limit. It did not happen, and never will as it stands.
    #[error("a catalog {what} of {bytes} bytes is over the limit of {limit} bytes: split it")]
    TooLarge {
        /// "key", "value" or "transaction".
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// The caller broke a rule of the seam, which is a defect in this program. It did not happen.
    #[error("the catalog transaction breaks a rule of its store: {what}")]
    Misuse {
        /// Which rule.
        what: String,
    },
    /// Nobody knows whether the transaction is in the store, nor whether it will be. Never retried blindly (I6).
    #[error("the outcome of the catalog transaction is unknown: {cause}")]
    MaybeCommitted {
        /// What was seen instead of an answer.
        cause: String,
    },
    /// The store could not be reached or could not work. It did not happen; it may succeed later.
    #[error("the catalog store is unavailable: {cause}")]
    Unavailable {
        /// Why.
        cause: String,
    },
    /// What the store holds is not what was written.
    #[error("the catalog store at {place} is damaged: {detail}; restore it from a copy")]
    Damaged {
        /// The file, or the key in it.
        place: String,
        /// What was found there.
        detail: String,
    },
    /// The store was made by a newer program.
    #[error(
        "the catalog store at {place} has format {found}, and this program knows formats up to {newest}: start the newer program"
    )]
    Newer {
        /// Where it is.
        place: String,
        /// Its format.
        found: u64,
        /// The newest format that this program knows.
        newest: u64,
    },
    /// Another process has the store's file open.
    #[error("the catalog store at {place} is in use by another process: stop that process, or name another")]
    Locked {
        /// The file.
        place: String,
    },
    /// The store has been closed, in good order or after a failure; it must be opened again. It did not happen.
    #[error("the catalog store is closed: {cause}")]
    Closed {
        /// Why it closed.
        cause: String,
    },
}

impl StoreError {
    /// What this error says about the transaction that it answers.
    pub fn outcome(&self) -> Certainty {
        match self {
            Self::MaybeCommitted { .. } => Certainty::Unknown,
            Self::Conflict
            | Self::TooOld
            | Self::TooLarge { .. }
            | Self::Misuse { .. }
            | Self::Unavailable { .. }
            | Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::Locked { .. }
            | Self::Closed { .. } => Certainty::DidNotHappen,
        }
    }

    /// Whether the transaction did not happen and the same one, run again, may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Conflict | Self::TooOld | Self::Unavailable { .. })
    }

    /// Whether the outcome is unknown.
    pub fn is_maybe_committed(&self) -> bool {
        self.outcome() == Certainty::Unknown
    }

    /// The word for this outcome in the metrics.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::TooOld => "too_old",
            Self::TooLarge { .. } => "too_large",
            Self::Misuse { .. } => "misuse",
            Self::MaybeCommitted { .. } => "maybe_committed",
            Self::Unavailable { .. } => "unavailable",
            Self::Damaged { .. } => "damaged",
            Self::Newer { .. } => "newer",
            Self::Locked { .. } => "locked",
            Self::Closed { .. } => "closed",
        }
    }
}

/// An error of a layer above that may have been caused by the store: what [`transact`](super::transact) looks through
/// to decide whether the transaction may be run again.
pub trait CausedByStore {
    /// The store's error at the bottom of this one, if there is one.
    fn store_error(&self) -> Option<&StoreError>;
}

impl CausedByStore for StoreError {
    fn store_error(&self) -> Option<&StoreError> {
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_maybe_committed_leaves_the_outcome_open_and_it_is_never_retryable() {
        let maybe = StoreError::MaybeCommitted { cause: "the reply was lost".into() };
        assert_eq!(maybe.outcome(), Certainty::Unknown);
        assert!(!maybe.is_retryable());
        for error in [StoreError::Conflict, StoreError::TooOld, StoreError::Unavailable { cause: String::new() }] {
            assert_eq!(error.outcome(), Certainty::DidNotHappen);
            assert!(error.is_retryable());
        }
        for error in [StoreError::Closed { cause: String::new() }, StoreError::Misuse { what: String::new() }] {
            assert_eq!(error.outcome(), Certainty::DidNotHappen);
            assert!(!error.is_retryable(), "running it again cannot help: {error}");
        }
    }
}
