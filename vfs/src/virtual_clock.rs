//! Virtual time, for tests.

use async_trait::async_trait;

use crate::{Clock, Moment, WallTime};

/// Tokio's clock: in a runtime whose time is paused, it moves on whenever nothing else is to be done.
#[derive(Debug)]
pub struct VirtualClock {
    origin: tokio::time::Instant,
}

impl VirtualClock {
    /// A clock whose origin is now, to be asked only within the runtime that it is made in.
    pub fn new() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Moment {
        Moment::new(self.origin.elapsed())
    }

    fn wall(&self) -> WallTime {
        WallTime(1_700_000_000_000_000 + self.origin.elapsed().as_micros() as i64)
    }

    async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep_until(self.origin + moment.since(Moment::default())).await;
    }
}
