//! What becomes of a batch once the log has answered: it is published, or it is fetched again.
//!
//! A batch becomes visible only if it goes on where its stream ends (I3). Whatever else comes out of the log, after a full disk
//! for instance, is a repetition, or lies behind a hole; its record stays in the log until a commit, or the task, is past it.

use std::sync::Arc;

use catalog::{Epoch, OffsetRange, StreamId};
use vfs::planted;
use wal::{WalError, WalPosition};

use super::failpoint::crash_point;
use super::intake::{IntakeCommand, Logging};
use super::memtable::{Cursors, Held};
use super::source::SourceStream;
use super::task::{Running, Stay, Stream, Task, TaskEnd};

impl Task {
    /// The oldest batch on its way into the log has arrived there, or has not.
    pub(super) fn logged(
        &mut self,
        logging: Logging,
        outcome: Result<WalPosition, WalError>,
        running: &mut Running,
    ) -> Result<(), TaskEnd> {
        let (stream, epoch) = (logging.batch.stream, logging.epoch);
        match outcome {
            Ok(position) => {
                crash_point("log.after");
                running.log_trouble = None;
                self.arrived(logging, position, running);
                Ok(())
            }
            Err(error @ WalError::DiskFull) => {
                self.disk_is_full(error.to_string(), running);
                self.refused(stream, epoch, logging.batch.range, running);
                Ok(())
            }
            Err(error @ WalError::Fenced { .. }) => {
                self.lose(stream, epoch, error.to_string(), running);
                Ok(())
            }
            Err(error) => Err(TaskEnd::WalLost(error.to_string())),
        }
    }

    fn arrived(&self, logging: Logging, position: WalPosition, running: &mut Running) {
        let (id, range) = (logging.batch.stream, logging.batch.range);
        let held = running.streams.get_mut(&id).filter(|stream| stream.report.epoch == logging.epoch);
        let (Some(stream), Some(Cursors { logged, .. })) = (held, self.memtable.cursors_of(id)) else {
            // Fenced, or let go. Nothing of this epoch is needed, and what a newer one has logged stands behind this record.
            self.wal.release(id.0, position);
            return;
        };
        if logged < range.start || range.end <= logged {
            stream.debris = Some(position);
            if logged < range.start && !stream.refetching && stream.stay == Stay::Kept {
                running.asks.push_back(refetch(id, stream, logged));
            }
            return;
        }
        self.publish(logging, logged, position, stream);
    }

    fn publish(&self, logging: Logging, logged: catalog::Offset, position: WalPosition, stream: &mut Stream) {
        let Logging { batch, charge, epoch, newest_timestamp_ms, .. } = logging;
        // Of a batch that repeats the end of what is logged, the rest.
        let batch = batch.slice(OffsetRange::new(logged, batch.range.end));
        let visible = batch.range.end;
        if self.memtable.publish(epoch, Held { batch, position, charge }, self.world.clock.now()) {
            (stream.refetching, stream.debris) = (false, None);
            stream.report.visible = visible;
            if let Some(newest) = newest_timestamp_ms {
                stream.report.visible_timestamp_ms = Some(newest);
                let age_ms = (self.world.clock.wall().0 / 1_000).saturating_sub(newest).max(0);
                metrics::histogram!("millrace_visible_latency_seconds").record(age_ms as f64 / 1_000.0);
            }
        }
        crash_point("memtable.after");
    }

    /// Not logged. What follows it in the queue has a hole before it; the stream is fetched again from the hole, once.
    fn refused(&self, id: StreamId, epoch: Epoch, range: OffsetRange, running: &mut Running) {
        let held =
            running.streams.get_mut(&id).filter(|stream| stream.report.epoch == epoch && stream.stay == Stay::Kept);
        let (Some(stream), Some(Cursors { logged, .. })) = (held, self.memtable.cursors_of(id)) else { return };
        if range.start <= logged || !stream.refetching {
            running.asks.push_back(refetch(id, stream, logged));
        }
    }
}

fn refetch(id: StreamId, stream: &mut Stream, position: catalog::Offset) -> IntakeCommand {
    stream.refetching = true;
    if planted::is("refetch-lost") {
        return IntakeCommand::Remove(id);
    }
    let again = SourceStream {
        stream: id,
        topic: Arc::clone(&stream.report.topic),
        incarnation: Arc::clone(&stream.incarnation),
        partition: stream.report.partition,
        position,
    };
    IntakeCommand::Again(again, stream.report.epoch)
}
