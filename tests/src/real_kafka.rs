//! The real Kafka that a run's tests share, and how a test that stops it keeps the others away.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, bail};
use tokio::process::Command;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::{Broker, real_kafka, require};

/// Whoever stops the broker holds it alone.
static IN_USE: RwLock<()> = RwLock::const_new(());
static TOPICS: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
enum Held {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()>, control: PathBuf },
}

/// A real Kafka, for the life of a test.
#[derive(Debug)]
pub struct RealKafka {
    /// Where it listens.
    pub bootstrap: String,
    held: Held,
}

impl RealKafka {
    /// The broker, which other tests use too; `None` where there is none.
    pub async fn shared() -> Option<Self> {
        let bootstrap = real_kafka()?;
        let held = Held::Shared { _guard: IN_USE.read().await };
        Some(Self { bootstrap, held })
    }

    /// The broker, used by nobody else in this process; `None` where there is none that can be steered.
    pub async fn alone() -> Option<Self> {
        let bootstrap = real_kafka()?;
        let hint = "skipped: the real Kafka cannot be stopped (set MILLRACE_TEST_KAFKA_CONTROL or run tests/components/kafka.sh)";
        let control = require("kafka", "MILLRACE_TEST_KAFKA_CONTROL", hint)?.into();
        let held = Held::Alone { _guard: IN_USE.write().await, control };
        Some(Self { bootstrap, held })
    }

    /// A new topic that no other test and no earlier run uses.
    ///
    /// # Errors
    /// If it cannot be created.
    pub async fn topic(&self, about: &str, partitions: i32, settings: &[(&str, &str)]) -> anyhow::Result<Broker> {
        let number = TOPICS.fetch_add(1, Ordering::Relaxed);
        let topic = format!("e2e-{about}-{}-{number}-{:08x}", std::process::id(), rand::random::<u32>());
        Broker::real(&self.bootstrap, &topic, partitions, settings).await
    }

    /// Stops, starts, kills or restarts the broker; returns when that is done.
    ///
    /// # Errors
    /// If it is not held alone, or the control script fails.
    pub async fn steer(&self, verb: &str) -> anyhow::Result<()> {
        let Held::Alone { control, .. } = &self.held else { bail!("a test that stops the broker must hold it alone") };
        let status = Command::new(control).arg(verb).status().await.with_context(|| control.display().to_string())?;
        if !status.success() {
            bail!("{} {verb} ended with {status}", control.display());
        }
        Ok(())
    }
}
