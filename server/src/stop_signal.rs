//! How a person or a supervisor asks the process to stop.

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

/// Returns when the process is asked to stop: Ctrl-C, or SIGTERM.
///
/// # Errors
/// If the signals cannot be watched.
pub async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    tokio::select! {
        biased;
        _ = terminate.recv() => Ok(()),
        interrupted = tokio::signal::ctrl_c() => interrupted.context("cannot watch for Ctrl-C"),
    }
}
