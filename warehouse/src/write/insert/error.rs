//! Why an INSERT did not end as committed, sorted by what a client does next.

use catalog::CatalogError;

/// A failed INSERT. But for `Unknown`, nothing of it was committed, and nothing will be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InsertError {
    /// Nothing was inserted; the same INSERT may well succeed now.
    #[error("nothing was inserted: {cause}; try again")]
    TryAgain {
        /// What came between.
        cause: String,
    },
    /// The table is gone.
    #[error("nothing was inserted: the table was dropped meanwhile")]
    TableGone,
    /// The rows go to more parts than one commit holds.
    #[error(
        "nothing was inserted: the rows go to {parts} parts, more than one commit can hold; insert rows of fewer partitions at a time, or give the table a coarser PARTITION BY"
    )]
    TooManyParts {
        /// How many there would be, at least.
        parts: usize,
    },
    /// The rows could not be written, and would not be another time.
    #[error("nothing was inserted: {cause}")]
    Failed {
        /// Why.
        cause: String,
    },
    /// The commit was sent, and the catalog closed before it said how it ended.
    #[error(
        "the catalog closed before it said whether the rows were committed ({cause}); an INSERT with a label is told by being sent again, one without by a query"
    )]
    Unknown {
        /// What the catalog said.
        cause: String,
    },
    /// The server stops.
    #[error("nothing was inserted: the server is stopping; connect again")]
    Closing,
}

impl InsertError {
    pub(super) fn try_again(cause: impl ToString) -> Self {
        Self::TryAgain { cause: cause.to_string() }
    }
}

/// Of a call before the commit.
impl From<CatalogError> for InsertError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::NotFound { .. } => Self::TableGone,
            CatalogError::MaybeCommitted { .. } | CatalogError::Unavailable { .. } => Self::try_again(error),
            CatalogError::Closed => Self::Closing,
            error => Self::Failed { cause: error.to_string() },
        }
    }
}
