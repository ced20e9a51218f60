//! A clock that only moves when somebody sleeps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use vfs::{Clock, Moment, WallTime};

/// Sleeping takes no time, and moves it.
#[derive(Debug, Default)]
pub(in crate::read) struct TestClock {
    now: Mutex<Moment>,
}

impl TestClock {
    pub(in crate::read) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Moment {
        *self.now.lock().unwrap()
    }

    fn wall(&self) -> WallTime {
        WallTime(1_400_000_000_000_000 + self.now().since(Moment::default()).as_micros() as i64)
    }

    async fn sleep_until(&self, moment: Moment) {
        {
            let mut now = self.now.lock().unwrap();
            *now = moment.max(now.after(Duration::from_micros(1)));
        }
        tokio::task::yield_now().await;
    }
}
