//! The rules of PROTOCOL that the model can break, one at a time, to show that its properties would notice.

/// A rule that is kept unless it is named as broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Commit, step 1.
    TokenIsRead,
    /// Commit, step 2.
    VoidIsRead,
    /// Commit, step 4.
    EpochIsCompared,
    /// Commit, step 4.
    OffsetIsCompared,
    /// Commit, step 5.
    IntentIsRead,
    /// A transaction whose reads have changed does not happen.
    ReadsAreCompared,
    /// A part is durable before its commit is sent.
    UploadIsAwaited,
    /// An unknown outcome is not a failure.
    UnknownIsNoFailure,
    /// An unknown outcome is not a success.
    UnknownIsNoSuccess,
    /// The sweeper has the intent before it deletes the object.
    IntentGoesFirst,
    /// The sweeper takes an intent only if it is there.
    IntentIsCompared,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::TokenIsRead,
        Self::VoidIsRead,
        Self::EpochIsCompared,
        Self::OffsetIsCompared,
        Self::IntentIsRead,
        Self::ReadsAreCompared,
        Self::UploadIsAwaited,
        Self::UnknownIsNoFailure,
        Self::UnknownIsNoSuccess,
        Self::IntentGoesFirst,
        Self::IntentIsCompared,
    ];
}
