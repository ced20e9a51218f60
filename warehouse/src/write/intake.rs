//! Intake: fetch, decode, log. Takes what a task's source hands out and appends it to the WAL.
//!
//! | step | now guaranteed | if the process dies here |
//! |---|---|---|
//! | fetched | nothing | the next owner fetches again from the committed offset |
//! | decoded | every offset is a row, an error row, filtered or a named gap | as above |
//! | append begun | nothing yet | as above; a half-written record is cut at replay |
//!
//! The next batch is fetched and decoded while the WAL syncs this one: the task waits for the sync, not the intake.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catalog::{Epoch, ErrorPolicy, Gap, GapKind, GapPolicy, Offset, OffsetRange, Pipeline, StreamId, Table};
use tokio::sync::mpsc;
use vfs::{World, compute};
use wal::{Durable, Record, Wal, WalError};

use super::batch::Batch;
use super::decode::{PipelineDecoder, StreamOrigin};
use super::failpoint::crash_point;
use super::memory::MemoryBudget;
use super::messages::StreamCondition;
use super::source::{Fetched, Records, Source, SourceError, SourceEvent, SourceStream};

/// Batches that may be on their way from the intake to the task.
pub(super) const IN_FLIGHT_MAX: usize = 16;
/// How long the intake waits before it asks a full disk again.
const DISK_FULL_RETRY: Duration = Duration::from_millis(500);

/// What a task asks of its intake.
#[derive(Debug)]
pub(super) enum IntakeCommand {
    /// Hand out this stream under this epoch, from its position.
    Add(SourceStream, Epoch),
    /// Hand out nothing more of it.
    Remove(StreamId),
    /// Hand out nothing more at all, and say so by [`IntakeEvent::Ended`].
    End,
}

/// A batch on its way into the log.
#[derive(Debug)]
pub(super) struct Logging {
    pub batch: Batch,
    pub epoch: Epoch,
    pub durable: Durable,
    pub payload_bytes: u64,
    pub newest_timestamp_ms: Option<i64>,
}

/// What an intake tells its task.
#[derive(Debug)]
pub(super) enum IntakeEvent {
    Logging(Box<Logging>),
    HighWatermark(StreamId, Offset),
    /// The stream is handed out no more.
    Condition(StreamId, Epoch, StreamCondition),
    /// Trouble, or `None` when it has passed. The flag says that it does not pass by itself.
    Trouble(Option<(String, bool)>),
    /// The WAL is lost: nothing can be logged any more.
    WalLost(String),
    /// The answer to [`IntakeCommand::End`]: nothing comes after it.
    Ended,
}

/// See the module.
pub(super) struct Intake {
    pub pipeline: Arc<Pipeline>,
    pub table: Arc<Table>,
    pub source: Box<dyn Source>,
    pub decoder: Option<PipelineDecoder>,
    pub wal: Wal,
    pub budget: Arc<MemoryBudget>,
    /// Set while the WAL is over its limit.
    pub wal_full: Arc<AtomicBool>,
    pub world: World,
    pub commands: mpsc::Receiver<IntakeCommand>,
    pub events: mpsc::Sender<IntakeEvent>,
    pub streams: BTreeMap<StreamId, IntakeStream>,
    pub troubled: bool,
}

#[derive(Debug)]
pub(super) struct IntakeStream {
    epoch: Epoch,
    source: SourceStream,
}

/// The task is gone: there is nobody to take in for.
struct Closed;

impl Intake {
    /// Runs until the task ends it or is gone.
    pub(super) async fn run(mut self) {
        // An error means that the task dropped its end, which it does only when it ends itself.
        let _closed = self.take_in().await;
    }

    async fn take_in(&mut self) -> Result<(), Closed> {
        loop {
            self.source.set_paused(!self.has_room());
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(IntakeCommand::Add(stream, epoch)) => self.add(stream, epoch).await?,
                    Some(IntakeCommand::Remove(stream)) => self.remove(stream).await,
                    Some(IntakeCommand::End) => return self.tell(IntakeEvent::Ended).await,
                    None => return Err(Closed),
                },
                event = self.source.next() => self.handle(event).await?,
            }
        }
    }

    fn has_room(&self) -> bool {
        self.budget.has_room() && !self.wal_full.load(Ordering::Relaxed)
    }

    async fn tell(&mut self, event: IntakeEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    async fn add(&mut self, stream: SourceStream, epoch: Epoch) -> Result<(), Closed> {
        let id = stream.stream;
        match self.source.add(stream.clone()).await {
            Ok(()) => {
                self.streams.insert(id, IntakeStream { epoch, source: stream });
                Ok(())
            }
            Err(error) => {
                self.tell(IntakeEvent::Condition(id, epoch, StreamCondition::Lost { cause: error.to_string() })).await?;
                self.trouble(Some(error)).await
            }
        }
    }

    async fn remove(&mut self, stream: StreamId) {
        self.streams.remove(&stream);
        self.source.remove(stream).await;
    }

    async fn trouble(&mut self, error: Option<SourceError>) -> Result<(), Closed> {
        if error.is_none() && !self.troubled {
            return Ok(());
        }
        self.troubled = error.is_some();
        let lasting = !matches!(error, Some(SourceError::Unreachable { .. }));
        self.tell(IntakeEvent::Trouble(error.map(|error| (error.to_string(), lasting)))).await
    }

    async fn handle(&mut self, event: SourceEvent) -> Result<(), Closed> {
        match event {
            SourceEvent::Fetched(fetched) => {
                self.trouble(None).await?;
                self.log(fetched).await
            }
            SourceEvent::HighWatermark { stream, offset } => self.tell(IntakeEvent::HighWatermark(stream, offset)).await,
            SourceEvent::OutOfRange { stream, wanted, low, high } => self.out_of_range(stream, wanted, low, high).await,
            SourceEvent::TopicChanged { stream, found } => {
                self.give_up(stream, StreamCondition::TopicChanged { found }).await
            }
            SourceEvent::Trouble(error) => self.trouble(Some(error)).await,
            SourceEvent::Idle => Ok(()),
        }
    }

    async fn give_up(&mut self, stream: StreamId, condition: StreamCondition) -> Result<(), Closed> {
        let Some(known) = self.streams.remove(&stream) else { return Ok(()) };
        self.source.remove(stream).await;
        self.tell(IntakeEvent::Condition(stream, known.epoch, condition)).await
    }

    /// Records that were never read are gone. Under `ON GAP SKIP` an expired range is recorded and passed over; a
    /// truncation needs another stream, and so the manager.
    async fn out_of_range(
        &mut self, stream: StreamId, wanted: Offset, low: Offset, high: Offset,
    ) -> Result<(), Closed> {
        if wanted >= low {
            return self.give_up(stream, StreamCondition::Truncated { wanted, high }).await;
        }
        if self.pipeline.settings.on_gap == GapPolicy::Pause {
            return self.give_up(stream, StreamCondition::Expired { wanted, low }).await;
        }
        let Some(known) = self.streams.get(&stream) else { return Ok(()) };
        let range = OffsetRange::new(wanted, low);
        tracing::warn!(stream = stream.0, %range, "records expired at the broker before they were read; passing over them");
        let (epoch, again) = (known.epoch, SourceStream { position: low, ..known.source.clone() });
        let gaps = vec![Gap { kind: GapKind::Expired, range }];
        self.log(Fetched { stream, range, records: Records::default(), gaps }).await?;
        self.add(again, epoch).await
    }

    /// Decodes and appends. Both keep the order of the stream: the intake does one batch at a time.
    async fn log(&mut self, fetched: Fetched) -> Result<(), Closed> {
        let Some(known) = self.streams.get(&fetched.stream) else { return Ok(()) };
        let epoch = known.epoch;
        let source = &known.source;
        let origin =
            StreamOrigin { stream: fetched.stream, topic: Arc::clone(&source.topic), partition: source.partition };
        crash_point("decode.before");
        let payload_bytes = fetched.records.bytes() as u64;
        let newest_timestamp_ms = fetched.records.iter().filter_map(|record| record.timestamp_ms).max();
        let (batch, payload) = self.decode(origin, fetched).await;
        if self.pipeline.settings.errors == ErrorPolicy::Pause
            && let Some((offset, message)) = first_error(&batch)
        {
            return self.give_up(batch.stream, StreamCondition::BadRecord { offset, message }).await;
        }
        crash_point("log.before");
        let stream = batch.stream;
        match self.append(Record { stream: stream.0, epoch: epoch.0, payload }).await? {
            Ok(durable) => {
                let logging = Logging { batch, epoch, durable, payload_bytes, newest_timestamp_ms };
                self.tell(IntakeEvent::Logging(Box::new(logging))).await
            }
            Err(error @ WalError::Fenced { .. }) => {
                self.give_up(stream, StreamCondition::Lost { cause: error.to_string() }).await
            }
            Err(error) => self.tell(IntakeEvent::WalLost(error.to_string())).await,
        }
    }

    async fn decode(&mut self, origin: StreamOrigin, fetched: Fetched) -> (Batch, bytes::Bytes) {
        let mut decoder = self.decoder.take().expect("the decoder is put back below");
        let (fence, schema) = (self.pipeline.fence, self.table.schema);
        let (decoder, batch, payload) = compute(&*self.world.compute, move || {
            let batch = decoder.decode(&origin, &fetched);
            let payload = batch.encode(fence, schema);
            (decoder, batch, payload)
        })
        .await;
        self.decoder = Some(decoder);
        (batch, payload)
    }

    /// Appends, and waits out a full disk: nothing is lost meanwhile, for nothing more is fetched.
    async fn append(&mut self, record: Record) -> Result<Result<Durable, WalError>, Closed> {
        let mut told = false;
        loop {
            match self.wal.append(record.clone()).await {
                Err(error @ WalError::DiskFull) => {
                    if !told {
                        self.troubled = true;
                        told = true;
                        self.tell(IntakeEvent::Trouble(Some((error.to_string(), false)))).await?;
                    }
                    self.world.clock.sleep(DISK_FULL_RETRY).await;
                    if self.events.is_closed() {
                        return Err(Closed);
                    }
                }
                outcome => return Ok(outcome),
            }
        }
    }
}

fn first_error(batch: &Batch) -> Option<(Offset, String)> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let errors = batch.errors.as_ref()?;
    let column = |name| errors.column_by_name(name).expect("the error schema has this column");
    let offset = column(crate::schema::OFFSET_COLUMN).as_primitive::<Int64Type>().value(0);
    Some((Offset(offset as u64), column("message").as_string::<i32>().value(0).to_owned()))
}
