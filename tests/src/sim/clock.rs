//! Simulated time. Each process has a clock of its own over its runtime's paused time; what is shared by all has the time of the
//! whole history.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use vfs::{Clock, Moment, WallTime};

/// When a history begins, in microseconds since 1970.
const EPOCH: i64 = 1_700_000_000_000_000;

/// A process's clock. To be asked only within its runtime.
#[derive(Debug)]
pub struct ProcessClock {
    origin: tokio::time::Instant,
    began: Duration,
    skew_micros: i64,
}

impl ProcessClock {
    /// A clock that shows `now`, made within the runtime whose time it follows. Its wall clock is wrong by `skew_micros`.
    pub fn new(now: Duration, skew_micros: i64) -> Self {
        Self { origin: tokio::time::Instant::now(), began: now, skew_micros }
    }

    /// The history's time at this process.
    pub fn time(&self) -> Duration {
        self.began + self.origin.elapsed()
    }

    /// The runtime's instant at a time of the history.
    pub fn instant(&self, at: Duration) -> tokio::time::Instant {
        self.origin + at.saturating_sub(self.began)
    }
}

#[async_trait]
impl Clock for ProcessClock {
    fn now(&self) -> Moment {
        Moment::new(self.time())
    }

    fn wall(&self) -> WallTime {
        WallTime(EPOCH + self.skew_micros + self.time().as_micros() as i64)
    }

    async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep_until(self.instant(moment.since(Moment::default()))).await;
    }
}

/// The time of the whole history, which the simulator sets: for what all processes share.
#[derive(Clone, Debug, Default)]
pub struct SharedClock(Arc<AtomicU64>);

impl SharedClock {
    /// Moves it on.
    pub fn set(&self, now: Duration) {
        self.0.store(now.as_micros() as u64, Ordering::Relaxed);
    }

    /// The history's time.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Clock for SharedClock {
    fn now(&self) -> Moment {
        Moment::new(self.time())
    }

    fn wall(&self) -> WallTime {
        WallTime(EPOCH + self.time().as_micros() as i64)
    }

    async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep(moment.since(self.now())).await;
    }
}
