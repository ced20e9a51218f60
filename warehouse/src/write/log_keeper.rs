//! The worker's care for its log: how long the replay of the process before is kept, who must commit so that segments can go, and
//! what is done when the log is lost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use catalog::StreamId;
use vfs::{Moment, planted};
use wal::{Replay, Wal, WalError};

use super::task::TaskCommand;
use super::worker::{Worker, WorkerParts, WorkerSettings};

/// How long a restarted worker keeps logged records of streams that nobody grants to it again.
const RECOVERY_GRACE: Duration = Duration::from_secs(60);
/// How long it waits before it opens another log, after one was lost.
const REOPEN_AFTER: Duration = Duration::from_secs(1);

/// The open log, and what was in it when it was opened.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) wal: Wal,
    /// How many logs this process has opened, with this one.
    pub(super) number: u64,
    recovery: Option<Recovery>,
}

/// The replayed log. It must not live longer than needed: its views keep segments on the disk that nobody needs.
#[derive(Clone, Debug)]
struct Recovery {
    replay: Arc<Replay>,
    until: Moment,
}

impl Log {
    pub(super) async fn open(parts: &WorkerParts, settings: &WorkerSettings, number: u64) -> Result<Self, WalError> {
        let (wal, replay) = Wal::open(Arc::clone(&parts.wal_disk), settings.wal, parts.world.clone()).await?;
        let until = parts.world.clock.now().after(RECOVERY_GRACE);
        Ok(Self { wal, number, recovery: Some(Recovery { replay: Arc::new(replay), until }) })
    }

    /// What the process before has logged, while recovery lasts.
    pub(super) fn replay(&self) -> Option<Arc<Replay>> {
        self.recovery.as_ref().map(|recovery| Arc::clone(&recovery.replay))
    }
}

impl Worker {
    /// Ends recovery when it is due, and asks for commits while the log is large.
    pub(super) fn look_after_log(&self) {
        self.end_recovery_if_due();
        let state = self.state();
        let Some(log) = &state.log else { return };
        let stats = log.wal.stats();
        let limit = self.settings.wal_bytes_max;
        metrics::gauge!("millrace_wal_limit_bytes").set(limit as f64);
        // While nobody needs any of it, only a next segment lets the last one go: so it must be written on.
        let is_full = stats.bytes_on_disk >= limit && stats.oldest_needed.is_some();
        metrics::gauge!("millrace_wal_full").set(f64::from(is_full));
        self.wal_full.store(is_full && !planted::is("wal-limit-ignored"), Ordering::Relaxed);
        // While the replay is looked at no segment goes, and it is no use to ask for small commits.
        if stats.bytes_on_disk < limit / 10 * 6 || (log.recovery.is_some() && !is_full) {
            return;
        }
        while let Some((stream, _)) = log.wal.stats().oldest_needed {
            match state.tasks.values().find(|task| task.holds(StreamId(stream))) {
                // A full inbox means that the task is busy with something that ends in a flush or in its end.
                Some(task) => return drop(task.inbox.try_send(TaskCommand::Flush)),
                // It may yet be granted to this worker again.
                None if log.recovery.is_some() => return,
                None => log.wal.forget(stream),
            }
        }
    }

    /// Recovery ends when every stream of the replayed log is held again, or needs nothing of it any more, or its time is over. Records of
    /// the others are somebody else's now, or fetched again.
    ///
    /// *(If it waited for a stream that was adopted and has ended since, as after a SEEK, no segment could go for all of its time, though
    /// nobody needed one: the log would grow without a bound.)*
    fn end_recovery_if_due(&self) {
        let mut state = self.state();
        let Some(Log { wal, recovery: Some(recovery), .. }) = &state.log else { return };
        let is_held = |stream: u64| state.tasks.values().any(|task| task.holds(StreamId(stream)));
        let waits = |stream: &u64| !is_held(*stream) && wal.last_needed(*stream).is_some();
        let others: Vec<u64> = recovery.replay.streams().keys().copied().filter(waits).collect();
        if !others.is_empty() && self.parts.world.clock.now() < recovery.until {
            return;
        }
        let Some(log) = &mut state.log else { return };
        log.recovery = None;
        others.into_iter().for_each(|stream| log.wal.forget(stream));
    }

    /// A failed fsync is never retried: every stream is given up, and another log is opened for the next grants. Rows that were
    /// visible are adopted from what the lost one still holds, or fetched again from the committed offsets.
    ///
    /// A task that tells of the end of a log that was replaced since tells nothing new.
    pub(super) async fn replace_log(&self, number: u64, cause: String) {
        let (lost, tasks) = {
            let mut state = self.state();
            let Some(lost) = state.log.take_if(|log| log.number == number) else { return };
            state.log_trouble = Some(cause.clone());
            (lost, std::mem::take(&mut state.tasks))
        };
        tracing::error!(cause, "the write-ahead log is lost; giving up all streams and opening another");
        metrics::counter!("millrace_wal_lost_total").increment(1);
        for task in tasks.values() {
            task.abandon.cancel();
        }
        // Its own tasks must have ended before its files are read again: a last write would look like damage.
        if let Err(error) = lost.wal.close().await {
            tracing::debug!(%error, "the lost log has ended");
        }
        while !self.stop.is_cancelled() {
            match Log::open(&self.parts, &self.settings, number + 1).await {
                Ok(log) => {
                    let mut state = self.state();
                    (state.log, state.log_trouble) = (Some(log), None);
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "the write-ahead log cannot be opened, trying again");
                    self.state().log_trouble = Some(error.to_string());
                }
            }
            self.parts.world.clock.sleep(REOPEN_AFTER).await;
        }
    }
}
