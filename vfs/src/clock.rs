//! Time: a monotonic clock for waiting, and a wall clock for people. Owns no policy; no invariant may depend on it (I10).

use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;

/// A point on a process's monotonic clock. Points of two processes cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The point that lies `since_origin` after the clock's own, arbitrary origin.
    pub const fn new(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// How long after `earlier` this point is; zero if it is not after it.
    pub fn since(self, earlier: Moment) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `wait` later.
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(wait))
    }
}

/// Wall-clock time in microseconds since 1970-01-01 UTC, for people, never for decisions about safety.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WallTime(pub i64);

/// The seam of time.
#[async_trait]
pub trait Clock: Send + Sync + fmt::Debug {
    /// The monotonic clock.
    fn now(&self) -> Moment;
    /// The wall clock.
    fn wall(&self) -> WallTime;
    /// Returns once [`Clock::now`] has reached `moment`.
    async fn sleep_until(&self, moment: Moment);
    /// Returns after `wait`.
    async fn sleep(&self, wait: Duration) {
        self.sleep_until(self.now().after(wait)).await;
    }
}

/// The clock of the operating system.
#[derive(Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "this is the vfs::Clock that everybody else takes")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Moment {
        Moment(self.origin.elapsed())
    }

    #[expect(clippy::disallowed_methods, reason = "this is the vfs::Clock that everybody else takes")]
    fn wall(&self) -> WallTime {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallTime(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
    }

    async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep_until((self.origin + moment.0).into()).await;
    }
}
