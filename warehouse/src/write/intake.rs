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
use vfs::{Moment, World, compute, planted};
use wal::{Durable, Record, Wal, WalError};

use super::batch::Batch;
use super::decode::{PipelineDecoder, StreamOrigin};
use super::failpoint::crash_point;
use super::messages::{Retry, StreamCondition, TroubleKind};
use super::source::kafka::RECONNECT_MAX_MS;
use super::source::{Fetched, Records, Source, SourceError, SourceEvent, SourceStream};
use super::trouble::Told;
use crate::memory::{Charge, MemoryBudget};

/// Batches that may be on their way from the intake to the task.
pub(super) const IN_FLIGHT_MAX: usize = 16;
/// How long the intake waits before it asks a full disk again.
pub(super) const DISK_FULL_RETRY: Duration = Duration::from_millis(500);
/// A broker that was away and of which nothing bad was heard for so long is there again, though it may have no records.
const TROUBLE_FADES: Duration = Duration::from_secs(30);

/// What a task asks of its intake.
#[derive(Debug)]
pub(super) enum IntakeCommand {
    /// Hand out this stream under this epoch, from its position.
    Add(SourceStream, Epoch),
    /// The same, after a rest: the full disk refused what came from there.
    Again(SourceStream, Epoch),
    /// Hand out nothing more of it.
    Remove(StreamId),
    /// The same, and say when it is done by [`IntakeEvent::Removed`].
    Release(StreamId, Epoch),
    /// Hand out nothing more at all, and say so by [`IntakeEvent::Ended`].
    End,
}

/// A batch on its way into the log.
#[derive(Debug)]
pub(super) struct Logging {
    pub batch: Batch,
    pub charge: Charge,
    pub epoch: Epoch,
    pub durable: Durable,
    pub payload_bytes: u64,
    pub unknown_fields: u64,
    pub newest_timestamp_ms: Option<i64>,
}

/// What an intake tells its task.
#[derive(Debug)]
pub(super) enum IntakeEvent {
    Logging(Box<Logging>),
    HighWatermark(StreamId, Offset),
    /// The stream is handed out no more.
    Condition(StreamId, Epoch, StreamCondition),
    /// The answer to [`IntakeCommand::Release`]: nothing of the stream under this epoch comes after it.
    Removed(StreamId, Epoch),
    /// Trouble, or `None` when it has passed.
    Trouble(Option<Told>),
    /// The disk of the log is full: it would help to commit what is logged.
    DiskFull(String),
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
    /// Nothing is fetched or appended before: the disk was full a moment ago.
    pub resting: Option<Moment>,
    /// A batch that the full disk refused, to be appended after the rest; unless its stream is removed.
    pub refused: Option<Decoded>,
    pub troubled: Option<Troubled>,
}

#[derive(Debug)]
pub(super) struct IntakeStream {
    epoch: Epoch,
    source: SourceStream,
}

/// Trouble that the task was told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Troubled {
    since: Moment,
    fades: bool,
}

/// A batch before its append.
#[derive(Debug)]
pub(super) struct Decoded {
    batch: Batch,
    charge: Charge,
    record: Record,
    payload_bytes: u64,
    unknown_fields: u64,
    newest_timestamp_ms: Option<i64>,
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
            let (rests, until) = (self.resting.is_some(), self.resting.unwrap_or_default());
            self.source.set_paused(rests || !self.has_room());
            if !self.streams.is_empty() {
                crash_point("fetch.before");
            }
            tokio::select! {
                biased;
                command = self.commands.recv() => match command {
                    Some(IntakeCommand::Add(stream, epoch)) => self.add(stream, epoch).await?,
                    Some(IntakeCommand::Again(stream, epoch)) => {
                        self.rest();
                        self.add(stream, epoch).await?;
                    }
                    Some(IntakeCommand::Remove(stream)) => self.remove(stream).await,
                    Some(IntakeCommand::Release(stream, epoch)) => {
                        self.remove(stream).await;
                        self.tell(IntakeEvent::Removed(stream, epoch)).await?;
                    }
                    Some(IntakeCommand::End) => return self.tell(IntakeEvent::Ended).await,
                    None => return Err(Closed),
                },
                () = self.world.clock.sleep_until(until), if rests => {
                    self.resting = None;
                    if let Some(refused) = self.refused.take() {
                        self.append(refused).await?;
                    }
                }
                event = self.source.next(), if !rests => self.handle(event).await?,
            }
        }
    }

    fn rest(&mut self) {
        self.resting = Some(self.world.clock.now().after(DISK_FULL_RETRY));
    }

    fn has_room(&self) -> bool {
        self.budget.has_room() && !self.wal_full.load(Ordering::Relaxed)
    }

    async fn tell(&mut self, event: IntakeEvent) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    async fn add(&mut self, stream: SourceStream, epoch: Epoch) -> Result<(), Closed> {
        self.forget_refused(stream.stream);
        self.begin(stream, epoch).await
    }

    async fn begin(&mut self, stream: SourceStream, epoch: Epoch) -> Result<(), Closed> {
        let id = stream.stream;
        match self.source.add(stream.clone()).await {
            Ok(()) => {
                self.streams.insert(id, IntakeStream { epoch, source: stream });
                Ok(())
            }
            Err(error) => {
                self.streams.remove(&id);
                self.tell(IntakeEvent::Condition(id, epoch, StreamCondition::Lost { cause: error.to_string() }))
                    .await?;
                self.trouble(Some(error)).await
            }
        }
    }

    async fn remove(&mut self, stream: StreamId) {
        self.forget_refused(stream);
        self.streams.remove(&stream);
        self.source.remove(stream).await;
    }

    fn forget_refused(&mut self, stream: StreamId) {
        self.refused.take_if(|refused| refused.batch.stream == stream);
    }

    async fn trouble(&mut self, error: Option<SourceError>) -> Result<(), Closed> {
        if error.is_none() && self.troubled.is_none() {
            return Ok(());
        }
        let fades = matches!(error, Some(SourceError::Unreachable { .. }));
        self.troubled = error.is_some().then(|| Troubled { since: self.world.clock.now(), fades });
        let told = |error: SourceError| Told {
            message: error.to_string(),
            lasting: !fades,
            kind: TroubleKind::Source,
            retry: fades.then(|| Retry::Within(reconnect_ms(&self.pipeline))),
        };
        self.tell(IntakeEvent::Trouble(error.map(told))).await
    }

    async fn handle(&mut self, event: SourceEvent) -> Result<(), Closed> {
        match event {
            SourceEvent::Fetched(fetched) => {
                self.trouble(None).await?;
                self.log(fetched).await
            }
            SourceEvent::HighWatermark { stream, offset } => {
                self.tell(IntakeEvent::HighWatermark(stream, offset)).await
            }
            SourceEvent::OutOfRange { stream, wanted, low, high } => self.out_of_range(stream, wanted, low, high).await,
            SourceEvent::TopicChanged { stream, found } => {
                self.give_up(stream, StreamCondition::TopicChanged { found }).await
            }
            SourceEvent::Trouble(error) => self.trouble(Some(error)).await,
            SourceEvent::Idle => {
                let now = self.world.clock.now();
                let has_faded = |troubled: Troubled| troubled.fades && now.since(troubled.since) >= TROUBLE_FADES;
                if self.troubled.is_some_and(has_faded) { self.trouble(None).await } else { Ok(()) }
            }
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
        &mut self,
        stream: StreamId,
        wanted: Offset,
        low: Offset,
        high: Offset,
    ) -> Result<(), Closed> {
        if wanted >= low && planted::is("truncation-ignored") {
            return Ok(());
        }
        if wanted >= low {
            return self.give_up(stream, StreamCondition::Truncated { wanted, high }).await;
        }
        if self.pipeline.settings.on_gap == GapPolicy::Pause && !planted::is("out-of-range-resets") {
            return self.give_up(stream, StreamCondition::Expired { wanted, low }).await;
        }
        let Some(known) = self.streams.get(&stream) else { return Ok(()) };
        let range = OffsetRange::new(wanted, low);
        tracing::warn!(stream = stream.0, %range, "records expired at the broker before they were read; passing over them");
        let (epoch, again) = (known.epoch, SourceStream { position: low, ..known.source.clone() });
        let is_unnamed = planted::is("out-of-range-resets") || planted::is("expired-range-not-named");
        let gaps = if is_unnamed { Vec::new() } else { vec![Gap { kind: GapKind::Expired, range }] };
        self.log(Fetched { stream, range, records: Records::default(), gaps }).await?;
        // The gap may not have been logged, because the stream is fenced.
        if self.streams.contains_key(&stream) { self.begin(again, epoch).await } else { Ok(()) }
    }

    /// Decodes and appends. Both keep the order of the stream: the intake does one batch at a time.
    async fn log(&mut self, fetched: Fetched) -> Result<(), Closed> {
        let Some(known) = self.streams.get(&fetched.stream) else { return Ok(()) };
        let (stream, epoch) = (fetched.stream, known.epoch);
        let origin = StreamOrigin { stream, topic: Arc::clone(&known.source.topic), partition: known.source.partition };
        crash_point("decode.before");
        let payload_bytes = fetched.records.bytes() as u64;
        let newest_timestamp_ms = fetched.records.iter().filter_map(|record| record.timestamp_ms).max();
        let (batch, payload, unknown_fields) = self.decode(origin, fetched).await;
        let decoded = Decoded {
            charge: self.budget.charge(batch.bytes()),
            batch,
            record: Record { stream: stream.0, epoch: epoch.0, payload },
            payload_bytes,
            unknown_fields,
            newest_timestamp_ms,
        };
        match first_error(&decoded.batch).filter(|_| self.pipeline.settings.errors == ErrorPolicy::Pause) {
            None => self.append(decoded).await,
            Some((offset, message)) => self.stop_before(decoded, offset, message).await,
        }
    }

    /// Under `errors = pause` the stream stops before the bad record: what lies before it is taken in.
    async fn stop_before(&mut self, decoded: Decoded, offset: Offset, message: String) -> Result<(), Closed> {
        let range = OffsetRange::new(decoded.batch.range.start, offset);
        let stream = decoded.batch.stream;
        if !range.is_empty() {
            let batch = decoded.batch.slice(range);
            let payload = batch.encode(self.pipeline.fence, self.table.schema);
            let record = Record { payload, ..decoded.record };
            self.append(Decoded { batch, record, ..decoded }).await?;
        }
        // On a full disk it is fetched again, and found again, when there is room.
        if self.refused.take().is_some() {
            let Some(known) = self.streams.get(&stream) else { return Ok(()) };
            let (epoch, again) = (known.epoch, SourceStream { position: range.start, ..known.source.clone() });
            return self.begin(again, epoch).await;
        }
        self.give_up(stream, StreamCondition::BadRecord { offset, message }).await
    }

    /// The batch, its form in the log, and how many fields of its records nobody asked for.
    async fn decode(&mut self, origin: StreamOrigin, fetched: Fetched) -> (Batch, bytes::Bytes, u64) {
        let mut decoder = self.decoder.take().expect("the decoder is put back below");
        let (fence, schema) = (self.pipeline.fence, self.table.schema);
        let (decoder, batch, payload, unknown_fields) = compute(&*self.world.compute, move || {
            let before = decoder.unknown_fields();
            let batch = decoder.decode(&origin, &fetched);
            let payload = batch.encode(fence, schema);
            let unknown_fields = decoder.unknown_fields() - before;
            (decoder, batch, payload, unknown_fields)
        })
        .await;
        self.decoder = Some(decoder);
        (batch, payload, unknown_fields)
    }

    /// Appends. A full disk is waited out, and commands are heard meanwhile: a stream that moves, or a task that ends, must not
    /// wait for room that only their commit would make.
    async fn append(&mut self, decoded: Decoded) -> Result<(), Closed> {
        crash_point("log.before");
        let stream = decoded.batch.stream;
        let epoch = Epoch(decoded.record.epoch);
        match self.wal.append(decoded.record.clone()).await {
            Ok(durable) => {
                let Decoded { batch, charge, payload_bytes, unknown_fields, newest_timestamp_ms, .. } = decoded;
                let logging =
                    Logging { batch, charge, epoch, durable, payload_bytes, unknown_fields, newest_timestamp_ms };
                self.tell(IntakeEvent::Logging(Box::new(logging))).await
            }
            Err(error @ WalError::DiskFull) => {
                self.refused = Some(decoded);
                self.rest();
                self.tell(IntakeEvent::DiskFull(error.to_string())).await
            }
            Err(error @ (WalError::Fenced { .. } | WalError::TooLarge { .. })) => {
                self.give_up(stream, StreamCondition::Lost { cause: error.to_string() }).await
            }
            Err(error) => self.tell(IntakeEvent::WalLost(error.to_string())).await,
        }
    }
}

/// How long the source waits at the most before it tries a broker again.
fn reconnect_ms(pipeline: &Pipeline) -> u64 {
    let set = pipeline.source.properties.get("reconnect.backoff.max.ms").and_then(|millis| millis.parse().ok());
    set.unwrap_or(RECONNECT_MAX_MS)
}

fn first_error(batch: &Batch) -> Option<(Offset, String)> {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;
    let errors = batch.errors.as_ref()?;
    let column = |name| errors.column_by_name(name).expect("the error schema has this column");
    let offset = column(crate::schema::OFFSET_COLUMN).as_primitive::<Int64Type>().value(0);
    Some((Offset(offset as u64), column("message").as_string::<i32>().value(0).to_owned()))
}
