//! The task that writes batches to the newest segment, in the order of the intake. Owns the segment's length, and what is done
//! when the disk is full; makes nothing durable but a new segment's header.
//!
//! One batch's way: room on disk -> a segment with room -> one write of a mark and the frames -> the syncer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot};
use vfs::{Disk, World, planted};

use crate::fences::Fences;
use crate::frame::{self, Kind};
use crate::intake::Batch;
use crate::mark::Mark;
use crate::segment;
use crate::shared::Shared;
use crate::syncer::{self, SegmentFile, ToSync, Written};
use crate::{WalError, WalPosition, WalSettings};

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) settings: WalSettings,
    pub(crate) world: World,
    pub(crate) shared: Arc<Shared>,
    pub(crate) to_sync: mpsc::Sender<ToSync>,
    /// The number of the segment that will be begun next.
    pub(crate) next_segment: u64,
    /// Where the one before it ends, durably: what its header will say.
    pub(crate) last_end: u64,
    /// The fences that the log records up to here: what the next header carries. Those not yet recorded are not among them, so
    /// that a header that is lost in the crash that comes while it is being made loses nothing.
    pub(crate) recorded: Fences,
    /// Absent until the first write, and after a segment is full: an idle WAL begins no segments.
    pub(crate) active: Option<Active>,
}

#[derive(Debug)]
pub(crate) struct Active {
    number: u64,
    bytes: u64,
    segment: SegmentFile,
}

impl Writer {
    /// Writes until the intake has ended.
    pub(crate) async fn run(mut self) {
        while let Some(batch) = self.shared.intake.next_batch().await {
            for stream in &batch.forgotten {
                self.recorded.forget(*stream);
            }
            match self.log(&batch).await {
                Ok(positions) => self.hand_on(batch, positions).await,
                Err(WalError::DiskFull) => {
                    tracing::warn!(
                        "the WAL's disk is full or below its reserve: appends are refused until there is room"
                    );
                    self.shared.intake.refuse(batch);
                }
                Err(error) => self.give_up(batch, error),
            }
        }
        self.write_last_mark().await;
        self.cut_after_failed_sync().await;
    }

    /// Writes the batch; nothing of it is in the log after an error.
    async fn log(&mut self, batch: &Batch) -> Result<Vec<WalPosition>, WalError> {
        let bytes = batch.entries.iter().map(|entry| entry.frame_bytes() as u64).sum();
        self.check_room(bytes).await?;
        self.ensure_segment().await?;
        let active = self.active.as_ref().expect("ensured");
        let (frames, positions) = active.encode(batch);
        self.append(frames).await?;
        self.recorded.raise_all(&batch.fences);
        for entry in &batch.entries {
            self.recorded.raise(entry.stream, entry.epoch);
        }
        Ok(positions)
    }

    async fn check_room(&self, bytes: u64) -> Result<(), WalError> {
        // A disk that does not even say how full it is will fail the write, with a better error.
        let Ok(free) = self.disk.free_bytes().await else { return Ok(()) };
        metrics::gauge!("millrace_wal_disk_free_bytes").set(free as f64);
        match free < self.settings.disk_reserve_bytes.saturating_add(bytes) {
            true => Err(WalError::DiskFull),
            false => Ok(()),
        }
    }

    /// Begins a segment if there is none that takes more.
    async fn ensure_segment(&mut self) -> Result<(), WalError> {
        match &self.active {
            Some(active) if active.bytes < self.settings.segment_bytes => return Ok(()),
            // A segment is followed by another only once all of it is durable: a torn tail can only be in the last.
            Some(_) => self.barrier().await?,
            None => {}
        }
        if let Some(full) = self.active.take() {
            self.last_end = full.bytes;
        }
        self.active = Some(self.begin_segment().await?);
        Ok(())
    }

    async fn begin_segment(&mut self) -> Result<Active, WalError> {
        let number = self.next_segment;
        let name = segment::file_name(number);
        let header = segment::header(number, self.last_end, &self.recorded);
        let bytes = header.len() as u64;
        let created = match self.disk.create(&name).await {
            Ok(file) => file.append(header).await.map(|()| file),
            Err(error) => Err(error),
        };
        let file = match created {
            Ok(file) => file,
            Err(error) if error.is_full() => {
                self.disk.remove(&name).await?; // Else the next attempt would find the name taken.
                return Err(WalError::DiskFull);
            }
            Err(error) => return Err(error.into()),
        };
        syncer::sync(&file, &*self.world.clock, &self.shared).await?;
        self.next_segment += 1;
        self.shared.with_ledger_and_retirer(|ledger| ledger.begin(number, bytes));
        Ok(Active { number, bytes, segment: SegmentFile { file, durable: Arc::new(AtomicU64::new(bytes)) } })
    }

    /// Appends to the active segment, wholly or not at all.
    async fn append(&mut self, frames: BytesMut) -> Result<(), WalError> {
        let active = self.active.as_mut().expect("a segment was begun");
        let bytes = frames.len() as u64;
        match active.segment.file.append(frames.freeze()).await {
            Ok(()) => {}
            Err(error) if error.is_full() => {
                if planted::is("wal-full-disk-leaves-torn-frame") {
                    return Err(WalError::DiskFull);
                }
                // What was written of it must go, or the next write would stand behind a torn one. A cut needs no room.
                self.disk.truncate(&segment::file_name(active.number), active.bytes).await?;
                return Err(WalError::DiskFull);
            }
            Err(error) => return Err(error.into()),
        }
        active.bytes += bytes;
        metrics::counter!("millrace_wal_appended_bytes_total").increment(bytes);
        Ok(())
    }

    /// Gives the written batch to the syncer, which answers its appenders.
    async fn hand_on(&self, batch: Batch, positions: Vec<WalPosition>) {
        let Active { bytes: end, segment, .. } = self.active.as_ref().expect("the batch was written to it");
        let written = batch.entries.iter().zip(&positions).map(|(entry, position)| (entry.stream, *position));
        self.shared.with_ledger(|ledger| ledger.wrote(*end, written));
        let appenders = batch.entries.into_iter().map(|entry| entry.answer).zip(positions).collect();
        let written = ToSync::Written(Written { segment: segment.clone(), end: *end, appenders });
        // A syncer that is gone has had a failed sync; it has failed the intake, which says so to these appenders.
        if let Err(mpsc::error::SendError(ToSync::Written(written))) = self.to_sync.send(written).await {
            let error = self.shared.intake.end().unwrap_or(WalError::Closed);
            for (answer, _) in written.appenders {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }

    /// Returns once all that was written is durable.
    async fn barrier(&self) -> Result<(), WalError> {
        let (reached, wait) = oneshot::channel();
        let sent = self.to_sync.send(ToSync::Barrier(reached)).await;
        if sent.is_err() || wait.await.is_err() {
            return Err(self.shared.intake.end().unwrap_or(WalError::Closed));
        }
        Ok(())
    }

    /// After an error that leaves the file's end unknown, nothing may be written behind it.
    fn give_up(&self, batch: Batch, error: WalError) {
        tracing::error!(%error, "the WAL takes nothing more");
        self.shared.intake.fail(&error);
        for entry in batch.entries {
            let _ = entry.answer.send(Err(error.clone()));
        }
    }

    /// Ends an orderly life with a mark that proves all before it durable: from then on any damage is told from a torn tail.
    async fn write_last_mark(&mut self) {
        let fences = self.shared.intake.last_fences();
        if !matches!(self.shared.intake.end(), Some(WalError::Closed)) || (self.active.is_none() && fences.is_empty()) {
            return;
        }
        let batch = Batch { entries: Vec::new(), fences, forgotten: Vec::new() };
        let marked = async {
            self.barrier().await?;
            self.log(&batch).await
        };
        match marked.await {
            Ok(_) => self.hand_on(batch, Vec::new()).await,
            Err(error) => tracing::warn!(%error, "the WAL was closed without its last mark"),
        }
    }

    /// After a failed sync nobody knows what is durable of what came after the last good one, and nobody was told that it is: it
    /// goes. *(Else the next log finds it whole, begins a segment behind it, and a power loss leaves what looks like damage.)*
    async fn cut_after_failed_sync(&self) {
        let (Some(WalError::SyncFailed(_)), Some(active)) = (self.shared.intake.end(), &self.active) else { return };
        let durable = active.segment.durable.load(Ordering::Acquire);
        if let Err(error) = self.disk.truncate(&segment::file_name(active.number), durable).await {
            tracing::warn!(%error, "what a failed sync left in the WAL could not be cut");
        }
    }
}

impl Active {
    /// The bytes of a mark and the batch's frames, and where each frame will be.
    fn encode(&self, batch: &Batch) -> (BytesMut, Vec<WalPosition>) {
        let records: usize = batch.entries.iter().map(|entry| entry.frame_bytes()).sum();
        let mut out = BytesMut::with_capacity(records + 2 * frame::HEADER_BYTES + 16 * batch.fences.len());
        let at = |out: &BytesMut| WalPosition { segment: self.number, offset: self.bytes + out.len() as u64 };
        let durable = self.segment.durable.load(Ordering::Acquire);
        let position = at(&out);
        Mark { durable, fences: batch.fences.clone() }.write(&mut out, position);
        let mut positions = Vec::with_capacity(batch.entries.len());
        for entry in &batch.entries {
            let position = at(&out);
            frame::write(&mut out, position, Kind::Record, (entry.stream, entry.epoch), &entry.packed);
            positions.push(position);
        }
        (out, positions)
    }
}

impl Drop for Writer {
    /// However the writer ends, nobody may wait for it any more.
    fn drop(&mut self) {
        self.shared.intake.fail(&WalError::Closed);
        self.shared.end();
    }
}
