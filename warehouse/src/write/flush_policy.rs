//! When a memtable is flushed: a pure decision.

use std::time::Duration;

/// What the decision looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushView {
    /// Bytes that are not frozen.
    pub bytes: u64,
    /// How long the first of them has been there.
    pub age: Duration,
    /// The pipeline's `flush_bytes`.
    pub bytes_max: u64,
    /// The pipeline's `flush_interval`.
    pub age_max: Duration,
    /// Whether the process's memory runs short.
    pub memory_pressed: bool,
    /// Whether the process's memory is spent: intake has stopped.
    pub memory_spent: bool,
    /// Whether somebody waits for these rows to be committed: a PAUSE, a move, or the WAL, whose oldest record is here.
    pub wanted: bool,
}

/// Why a memtable is flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlushReason {
    /// It has `flush_bytes`.
    Bytes,
    /// Its first row is `flush_interval` old.
    Age,
    /// Memory runs short.
    Memory,
    /// Somebody waits for it.
    Wanted,
}

/// Under pressure, a smaller memtable than this is left alone while intake still runs: its part would be tiny.
const PRESSED_BYTES_MIN: u64 = 8 << 20;

/// Whether to flush now, and why.
pub fn flush_due(view: FlushView) -> Option<FlushReason> {
    if view.wanted {
        return Some(FlushReason::Wanted);
    }
    if view.bytes == 0 && view.age == Duration::ZERO {
        return None;
    }
    if view.bytes >= view.bytes_max {
        Some(FlushReason::Bytes)
    } else if view.age >= view.age_max {
        Some(FlushReason::Age)
    } else if view.memory_spent || (view.memory_pressed && view.bytes >= PRESSED_BYTES_MIN) {
        Some(FlushReason::Memory)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: FlushView = FlushView {
        bytes: 1 << 20,
        age: Duration::from_secs(1),
        bytes_max: 256 << 20,
        age_max: Duration::from_secs(60),
        memory_pressed: false,
        memory_spent: false,
        wanted: false,
    };

    #[test]
    fn bytes_age_memory_and_demand_each_cause_a_flush() {
        assert_eq!(flush_due(QUIET), None);
        assert_eq!(flush_due(FlushView { bytes: 256 << 20, ..QUIET }), Some(FlushReason::Bytes));
        assert_eq!(flush_due(FlushView { age: QUIET.age_max, ..QUIET }), Some(FlushReason::Age));
        assert_eq!(flush_due(FlushView { memory_spent: true, ..QUIET }), Some(FlushReason::Memory));
        assert_eq!(flush_due(FlushView { wanted: true, ..QUIET }), Some(FlushReason::Wanted));
    }

    #[test]
    fn pressure_alone_leaves_tiny_memtables_alone() {
        assert_eq!(flush_due(FlushView { memory_pressed: true, ..QUIET }), None);
        let large = FlushView { memory_pressed: true, bytes: PRESSED_BYTES_MIN, ..QUIET };
        assert_eq!(flush_due(large), Some(FlushReason::Memory));
    }
}
