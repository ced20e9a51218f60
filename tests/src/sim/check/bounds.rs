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
    /// Since when it is over the limit, and how large it was when that should have been noticed.
    over: Option<(Duration, Option<u64>)>,
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
        let (since, noticed) = self.over.get_or_insert((now, None));
        if now.saturating_sub(*since) < NOTICE {
            return Ok(());
        }
        let noticed = *noticed.get_or_insert(*wal_bytes);
        // A worker that begins anew logs once more what it adopts, and segments of its last life stay until it has.
        let in_hand = limit + 2 * plan.wal.segment_bytes + (16 << 10);
        if *wal_bytes > noticed + in_hand {
            let text =
                format!("the log of {address} has grown from {noticed} to {wal_bytes} bytes, and its limit is {limit}");
            return Err(Violation::new("I8", text));
        }
        Ok(())
    }
}
