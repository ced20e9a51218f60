//! How a person or a supervisor asks the process to stop.

use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use vfs::Clock;

/// How long a stop waits for stores that do not take what is visible: supervisors kill after half a minute.
const STOP_PATIENCE: Duration = Duration::from_secs(25);

/// Ctrl-C and SIGTERM, from when they are watched: before that they end the process at once.
#[derive(Debug)]
pub struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Watches them.
    ///
    /// # Errors
    /// If the operating system does not let it.
    pub fn watch() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot watch for Ctrl-C")?,
        })
    }

    /// Returns when the process is asked to stop, once more.
    pub async fn next(&mut self) {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Lets the node stop. Where a store is away or a disk is full, what is visible cannot be committed: it is in the write-ahead log, so
    /// a second signal, or the end of patience, ends the process without a loss.
    pub async fn let_stop(&mut self, stopping: impl Future<Output = ()>, clock: &dyn Clock) {
        let why = tokio::select! {
            biased;
            () = stopping => return,
            () = self.next() => "asked to stop once more".to_owned(),
            () = clock.sleep(STOP_PATIENCE) => format!("a store did not take all within {} s", STOP_PATIENCE.as_secs()),
        };
        tracing::warn!(
            "{why}: ending now; what is not committed is in the write-ahead log, and the next start takes it from there"
        );
    }
}
