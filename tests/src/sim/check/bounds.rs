//! Memory and logs stay within their limits (I8), but for what is in hand.

use warehouse::write::messages::Heartbeat;

use super::Violation;
use crate::sim::plan::Plan;

/// Checks one worker.
///
/// # Errors
/// If it holds more than it may.
pub fn check_bounds(heartbeat: &Heartbeat, plan: &Plan) -> Result<(), Violation> {
    let Heartbeat { address, memory_used, memory_limit, wal_bytes, .. } = heartbeat;
    let in_hand = 64 << 10;
    if *memory_used > memory_limit + memory_limit / 2 + in_hand {
        return Err(Violation::new("I8", format!("{address} holds {memory_used} bytes, its limit is {memory_limit}")));
    }
    let (limit, in_hand) = (plan.wal_bytes_max, 40 << 10);
    if *wal_bytes > limit + 2 * plan.wal.segment_bytes + in_hand {
        return Err(Violation::new("I8", format!("the log of {address} has {wal_bytes} bytes, its limit is {limit}")));
    }
    Ok(())
}
