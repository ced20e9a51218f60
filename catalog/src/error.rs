//! What can go wrong in the catalog, sorted by what a caller does next.

use crate::PipelineId;

/// A failed operation of the catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Nobody knows whether it happened, nor whether it yet will. Never to be treated as success or as failure (I6): a
    /// commit is settled by its token, everything else by running the same call again.
    #[error("{operation}: the catalog did not say whether it happened ({cause}); run it again, which settles it")]
    MaybeCommitted {
        /// What was tried.
        operation: &'static str,
        /// What was seen instead of an answer.
        cause: String,
    },
    /// It did not happen; later it may.
    #[error("{operation}: the catalog is unavailable ({cause}); nothing was changed, try again")]
    Unavailable {
        /// What was tried.
        operation: &'static str,
        /// Why it could not be.
        cause: String,
    },
    /// There is no such thing.
    #[error("there is no {what}")]
    NotFound {
        /// What, as the user would call it: "table `shop`.`click`; did you mean `clicks`?".
        what: String,
    },
    /// There is one already.
    #[error("{what} already exists")]
    AlreadyExists {
        /// What, as the user would call it.
        what: String,
    },
    /// The request cannot be carried out as it stands: place, cause, next step.
    #[error("{message}")]
    Invalid {
        /// The whole sentence.
        message: String,
    },
    /// Another manager leads the pipeline: this one stops.
    #[error("another manager leads pipeline {pipeline}: read its lease again")]
    NotLeader {
        /// The pipeline.
        pipeline: PipelineId,
    },
    /// A record is not what was written.
    #[error("the catalog is damaged at {key}: {cause}; restore it from a copy")]
    Damaged {
        /// The record's key.
        key: String,
        /// What was found.
        cause: String,
    },
    /// A record was written by a newer program.
    #[error(
        "the catalog's record {key} has format {found}, and this program reads formats up to {newest}: start the newer program"
    )]
    UnsupportedFormat {
        /// The record's key.
        key: String,
        /// Its format.
        found: u8,
        /// The newest format that this program reads.
        newest: u8,
    },
    /// The store has been closed. Says nothing of what was under way.
    #[error("the catalog is closed: the process is stopping, or its store has failed and must be opened again")]
    Closed,
}

impl CatalogError {
    /// There is no such thing.
    pub(crate) fn not_found(what: impl Into<String>) -> Self {
        Self::NotFound { what: what.into() }
    }

    /// The request cannot be carried out as it stands.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into() }
    }
}
