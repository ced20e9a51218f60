//! Memory and logs stay within their limits (I8), but for what is in hand.

use std::time::Duration;

use warehouse::write::messages::Heartbeat;

use super::Violation;
use crate::sim::plan::Plan;

/// How long a log may grow on over its limit until its worker has noticed.
const NOTICE: Duration = Duration::from_millis(400);

/// What one worker's log has over its limit.
#[derive(Debug, Default)]
pub struct Bounds {
    over: Option<Over>,
}

/// A log that is over its limit.
#[derive(Debug)]
struct Over {
    /// Since when its worker has had to notice.
    since: Duration,
    /// How large it was when that should have been noticed.
    noticed: Option<u64>,
    /// Whether it has grown on once more since. Where nobody needs what a log holds, its worker writes on, so that the segment can
    /// go, and has to notice anew.
    again: bool,
}

impl Bounds {
    /// The worker sleeps, or another has begun.
    pub fn reset(&mut self) {
        self.over = None;
    }

    /// Looks at the worker.
    ///
    /// # Errors
    /// If it holds more than it may.
    pub fn look(&mut self, heartbeat: &Heartbeat, now: Duration, plan: &Plan) -> Result<(), Violation> {
        let Heartbeat { address, memory_used, memory_limit, wal_bytes, .. } = heartbeat;
        if *memory_used > memory_limit + memory_limit / 2 + (64 << 10) {
            let text = format!("{address} holds {memory_used} bytes, its limit is {memory_limit}");
            return Err(Violation::new("I8", text));
        }
        let limit = plan.wal_bytes_max;
        if *wal_bytes <= limit {
            self.over = None;
            return Ok(());
        }
        let over = self.over.get_or_insert(Over { since: now, noticed: None, again: false });
        if now.saturating_sub(over.since) < NOTICE {
            return Ok(());
        }
        let noticed = *over.noticed.get_or_insert(*wal_bytes);
        // A worker that begins anew logs once more what it adopts, and segments of its last life stay until it has.
        let in_hand = limit + 2 * plan.wal.segment_bytes + (16 << 10);
        if *wal_bytes <= noticed + in_hand {
            return Ok(());
        }
        if over.again {
            let text =
                format!("the log of {address} has grown from {noticed} to {wal_bytes} bytes, and its limit is {limit}");
            return Err(Violation::new("I8", text));
        }
        *over = Over { since: now, noticed: None, again: true };
        Ok(())
    }
}
