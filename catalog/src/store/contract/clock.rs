//! A clock that stands still unless it is told otherwise, or somebody sleeps by it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use vfs::{Clock, Moment, WallTime};

/// A clock for checks: it moves by [`ManualClock::advance`], and at once to wherever somebody wants to sleep until.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<Duration>);

impl ManualClock {
    /// Lets `by` pass.
    pub fn advance(&self, by: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += by;
    }

    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Moment {
        Moment::new(self.elapsed())
    }

    fn wall(&self) -> WallTime {
        WallTime(i64::try_from(self.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    async fn sleep_until(&self, moment: Moment) {
        self.advance(moment.since(self.now()));
        tokio::task::yield_now().await;
    }
}
