//! What SHOW WARNINGS shows: notes, warnings and errors of the last statement that was not about them.

use crate::mysql::SqlError;

/// More than this many are counted, not kept.
const KEPT_MAX: usize = 64;

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Note,
    Warning,
    Error,
}

impl Level {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Note => "Note",
            Self::Warning => "Warning",
            Self::Error => "Error",
        }
    }
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Diagnostic {
    pub(crate) level: Level,
    pub(crate) code: u16,
    pub(crate) message: String,
}

/// Those of the last statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Diagnostics {
    kept: Vec<Diagnostic>,
    count: u64,
    errors: u64,
}

impl Diagnostics {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn note(&mut self, code: u16, message: impl Into<String>) {
        self.push(Level::Note, code, message.into());
    }

    pub(crate) fn warn(&mut self, code: u16, message: impl Into<String>) {
        self.push(Level::Warning, code, message.into());
    }

    pub(crate) fn error(&mut self, error: &SqlError) {
        self.errors += 1;
        self.push(Level::Error, error.code, error.message.clone());
    }

    fn push(&mut self, level: Level, code: u16, message: String) {
        self.count += 1;
        if self.kept.len() < KEPT_MAX {
            self.kept.push(Diagnostic { level, code, message });
        }
    }

    /// What was kept, oldest first.
    pub(crate) fn kept(&self) -> &[Diagnostic] {
        &self.kept
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many of them are errors.
    pub(crate) fn error_count(&self) -> u64 {
        self.errors
    }

    /// How many, as the protocol tells it.
    pub(crate) fn warnings(&self) -> u16 {
        u16::try_from(self.count).unwrap_or(u16::MAX)
    }
}
