//! The walk: all records take one step before any takes the next, so that each step's CPU time stands alone.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use catalog::{CatalogService, KafkaSource, RecordFormat, StartPosition, StreamId, TaskIndex, WriterId};
use tokio::sync::watch;
use vfs::{DurableLocalStore, LocalDisk, OsRandom, SystemClock, World};
use wal::{Durable, Record, Wal, WalPosition, WalSettings};
use warehouse::memory::MemoryBudget;
use warehouse::write::batch::Batch;
use warehouse::write::commit::Committer;
use warehouse::write::decode::{PipelineDecoder, StreamOrigin};
use warehouse::write::flush::Flusher;
use warehouse::write::memtable::{Held, Memtable};
use warehouse::write::source::{Fetched, KafkaConnector, SourceConnector, SourceEvent, SourceOptions, SourceStream};

use super::meters::{NotingCatalog, NotingCompute};
use crate::feed::Feed;
use crate::ground::Ground;
use crate::meter::Meter;
use crate::workload::Workload;

/// As the server's default settings.
const QUEUE_BYTES: u64 = 16 << 20;
const BATCH_BYTES: u64 = 2 << 20;
/// Appends on their way to the disk, as a task has them.
const IN_FLIGHT: usize = 16;

/// One step, and what it took.
pub(super) struct Stage {
    pub(super) name: &'static str,
    cpu: Duration,
}

impl Stage {
    pub(super) fn nanos(&self) -> f64 {
        self.cpu.as_nanos() as f64
    }
}

/// What was seen on the way.
#[derive(Default)]
pub(super) struct Walked {
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) stages: Vec<Stage>,
    pub(super) memtable_bytes: u64,
    pub(super) wal_bytes: u64,
    pub(super) fsyncs: u64,
    pub(super) part_bytes: u64,
    pub(super) parts: u64,
    pub(super) commits: u64,
}

impl Walked {
    /// All steps together.
    pub(super) fn nanos(&self) -> f64 {
        self.stages.iter().map(Stage::nanos).sum()
    }

    fn note(&mut self, name: &'static str, cpu: Duration) {
        self.stages.push(Stage { name, cpu });
    }
}

/// All that the steps need.
pub(super) struct Walk {
    feed: Feed,
    ground: Ground,
    connector: KafkaConnector,
    incarnation: Arc<str>,
    compute: Arc<NotingCompute>,
    catalog: Arc<NotingCatalog>,
    world: World,
    wal: Wal,
    objects: Arc<DurableLocalStore>,
    flush_bytes: u64,
    walked: Walked,
}

impl Walk {
    /// A catalog, a WAL and an object store in `directory`.
    pub(super) async fn prepare(
        workload: &Workload,
        feed: Feed,
        directory: &Path,
        flush_bytes: u64,
    ) -> anyhow::Result<Self> {
        let compute = Arc::new(NotingCompute::default());
        let world = World {
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(OsRandom),
            compute: Arc::clone(&compute) as _,
        };
        let source = KafkaSource {
            brokers: feed.bootstrap.clone(),
            topics: feed.topic.as_str().into(),
            format: RecordFormat::Json,
            start: StartPosition::Earliest,
            properties: BTreeMap::new(),
        };
        let connector = KafkaConnector::new(Arc::clone(&world.clock));
        let incarnation = connector.topic(&source).await?.incarnation;
        let (file, table) = (directory.join("catalog.redb"), workload.dataset().new_table());
        let ground = Ground::prepare(&file, &world, table, source, &incarnation, workload.partitions).await?;
        let disk = Arc::new(LocalDisk::open(directory.join("wal")).await?);
        let (wal, _) = Wal::open(disk, WalSettings::default(), world.clone()).await?;
        Ok(Self {
            feed,
            connector,
            incarnation: incarnation.into(),
            compute,
            catalog: Arc::new(NotingCatalog::new(ground.catalog.clone())),
            world,
            wal,
            objects: Arc::new(DurableLocalStore::open(directory.join("objects")).await?),
            flush_bytes,
            ground,
            walked: Walked::default(),
        })
    }

    /// Takes all steps.
    pub(super) async fn go(mut self) -> anyhow::Result<Walked> {
        let fetched = self.fetch().await?;
        let batches = self.decode(fetched)?;
        let payloads = self.encode(&batches);
        let positions = self.log(&batches, payloads).await?;
        self.publish_and_commit(batches, positions).await?;
        let Self { feed, wal, ground, mut walked, .. } = self;
        let stats = wal.stats();
        walked.fsyncs = stats.fsyncs;
        let snapshot = ground.catalog.snapshot(ground.table.id).await?;
        let committed: u64 = snapshot.streams.values().map(|stream| stream.committed.0).sum();
        ensure!(committed == walked.records, "{} records were sent, and {committed} are committed", walked.records);
        walked.parts = snapshot.parts.len() as u64;
        walked.part_bytes = snapshot.parts.iter().map(|part| part.bytes).sum();
        wal.close().await?;
        feed.end().await?;
        Ok(walked)
    }

    /// Broker to batches of raw records.
    async fn fetch(&mut self) -> anyhow::Result<Vec<Fetched>> {
        let options = SourceOptions {
            read_committed: true,
            queue_bytes: QUEUE_BYTES,
            batch_bytes: BATCH_BYTES,
            max_record_bytes: self.ground.pipeline.settings.max_record_bytes,
            keys: false,
            headers: false,
        };
        let mut source = self.connector.open(&self.ground.pipeline.source, options).await?;
        let mut partition_of = BTreeMap::new();
        for held in &self.ground.streams {
            let partition = held.stream.partition().partition;
            partition_of.insert(held.stream.id, partition);
            let stream = SourceStream {
                stream: held.stream.id,
                topic: self.feed.topic.as_str().into(),
                incarnation: Arc::clone(&self.incarnation),
                partition,
                position: held.granted.committed,
            };
            source.add(stream).await?;
        }
        let mut ends: BTreeMap<i32, u64> = BTreeMap::new();
        let mut fetched = Vec::new();
        self.feed.go().await?;
        let meter = Meter::start();
        loop {
            match source.next().await {
                SourceEvent::Fetched(batch) => {
                    ends.insert(partition_of[&batch.stream], batch.range.end.0);
                    fetched.push(batch);
                    self.feed.seen(&ends).await?;
                }
                SourceEvent::HighWatermark { .. } | SourceEvent::Idle => {}
                other => bail!("the source says {other:?}"),
            }
            self.feed.check()?;
            if let Some(sent) = self.feed.sent().filter(|sent| ends.values().sum::<u64>() == sent.records) {
                self.walked.note("fetch (librdkafka, source)", meter.read().cpu);
                (self.walked.records, self.walked.bytes) = (sent.records, sent.bytes);
                return Ok(fetched);
            }
        }
    }

    /// Raw records to Arrow.
    fn decode(&mut self, fetched: Vec<Fetched>) -> anyhow::Result<Vec<Batch>> {
        let mut decoder = PipelineDecoder::new(Arc::clone(&self.ground.table), Arc::clone(&self.ground.pipeline))?;
        let origin = |stream: StreamId| {
            let held = self.ground.streams.iter().find(|held| held.stream.id == stream).context("a granted stream")?;
            let topic = self.feed.topic.as_str().into();
            Ok::<_, anyhow::Error>(StreamOrigin { stream, topic, partition: held.stream.partition().partition })
        };
        let mut batches = Vec::with_capacity(fetched.len());
        let meter = Meter::start();
        for records in fetched {
            batches.push(decoder.decode(&origin(records.stream)?, &records));
        }
        self.walked.note("decode (JSON to Arrow)", meter.read().cpu);
        let errors: u64 = batches.iter().map(|batch| batch.ledger.errors).sum();
        ensure!(errors == 0, "{errors} records did not become rows");
        Ok(batches)
    }

    /// Arrow to the WAL's payload.
    fn encode(&mut self, batches: &[Batch]) -> Vec<bytes::Bytes> {
        let (fence, schema) = (self.ground.pipeline.fence, self.ground.table.schema);
        let meter = Meter::start();
        let payloads = batches.iter().map(|batch| batch.encode(fence, schema)).collect();
        self.walked.note("encode (Arrow IPC)", meter.read().cpu);
        payloads
    }

    /// Payloads to durable records.
    async fn log(&mut self, batches: &[Batch], payloads: Vec<bytes::Bytes>) -> anyhow::Result<Vec<WalPosition>> {
        let epochs: BTreeMap<StreamId, u64> =
            self.ground.streams.iter().map(|held| (held.stream.id, held.granted.owner.epoch.0)).collect();
        let mut waiting: VecDeque<Durable> = VecDeque::new();
        let mut positions = Vec::with_capacity(batches.len());
        self.compute.take();
        let meter = Meter::start();
        for (batch, payload) in batches.iter().zip(payloads) {
            let (stream, epoch) = (batch.stream.0, epochs[&batch.stream]);
            waiting.push_back(self.wal.append(Record { stream, epoch, payload }).await?);
            if waiting.len() == IN_FLIGHT
                && let Some(durable) = waiting.pop_front()
            {
                positions.push(durable.await?);
            }
        }
        for durable in waiting {
            positions.push(durable.await?);
        }
        let all = meter.read().cpu;
        let packing: Duration = self.compute.take().into_iter().sum();
        self.walked.note("log: LZ4 and checksum", packing);
        self.walked.note("log: write and fsync", all.saturating_sub(packing));
        self.walked.wal_bytes = self.wal.stats().bytes_on_disk;
        Ok(positions)
    }

    /// Logged batches to readers, and each memtable that is full to parts and a commit.
    async fn publish_and_commit(&mut self, batches: Vec<Batch>, positions: Vec<WalPosition>) -> anyhow::Result<()> {
        let (memtable, budget) = (Memtable::new(), MemoryBudget::new(u64::MAX / 16));
        let mut epochs = BTreeMap::new();
        for held in &self.ground.streams {
            let owner = &held.granted.owner;
            memtable.open(held.stream.id, owner.epoch, held.granted.committed);
            epochs.insert(held.stream.id, owner.epoch);
        }
        let committer = self.committer(&memtable, &budget);
        let (mut publishing, mut flushing) = (Duration::ZERO, Flushing::default());
        for (batch, position) in batches.into_iter().zip(positions) {
            let meter = Meter::start();
            let (epoch, charge) = (epochs[&batch.stream], budget.charge(batch.bytes()));
            self.walked.memtable_bytes += charge.bytes();
            memtable.publish(epoch, Held { batch, position, charge }, self.world.clock.now());
            publishing += meter.read().cpu;
            if memtable.mutable().0 >= self.flush_bytes {
                self.commit(&committer, &mut flushing).await?;
            }
        }
        self.commit(&committer, &mut flushing).await?;
        self.walked.note("publish (memtable)", publishing);
        self.walked.note("flush: sort", flushing.sort);
        self.walked.note("flush: gather, Parquet, ZSTD", flushing.encode);
        self.walked.note("flush: upload", flushing.upload);
        self.walked.note("intents and commit", flushing.catalog);
        Ok(())
    }

    fn committer(&self, memtable: &Arc<Memtable>, budget: &Arc<MemoryBudget>) -> Committer {
        let writer = WriterId::Task(self.ground.pipeline.id, TaskIndex(0));
        let flusher = Flusher {
            table: Arc::clone(&self.ground.table),
            writer,
            objects: Arc::clone(&self.objects) as _,
            catalog: Arc::clone(&self.catalog) as _,
            world: self.world.clone(),
        };
        let (trouble, _) = watch::channel(None);
        Committer {
            pipeline: Arc::clone(&self.ground.pipeline),
            table: Arc::clone(&self.ground.table),
            writer,
            flusher,
            catalog: Arc::clone(&self.catalog) as _,
            memtable: Arc::clone(memtable),
            wal: self.wal.clone(),
            budget: Arc::clone(budget),
            world: self.world.clone(),
            trouble,
        }
    }

    async fn commit(&mut self, committer: &Committer, flushing: &mut Flushing) -> anyhow::Result<()> {
        let Some(frozen) = committer.memtable.freeze() else { return Ok(()) };
        self.compute.take();
        self.catalog.take();
        let meter = Meter::start();
        let committed = committer.commit(frozen).await;
        let all = meter.read().cpu;
        ensure!(committed.lost.is_empty() && committed.ended.is_none(), "the flush ended as {committed:?}");
        // The first closure of a flush plans it, which is sorting; each of the others encodes one part.
        let mut computed = self.compute.take().into_iter();
        let sort = computed.next().unwrap_or_default();
        let (encode, catalog) = (computed.sum::<Duration>(), self.catalog.take());
        flushing.sort += sort;
        flushing.encode += encode;
        flushing.catalog += catalog;
        flushing.upload += all.saturating_sub(sort + encode + catalog);
        self.walked.commits += 1;
        Ok(())
    }
}

/// What flushes took, by what it was for.
#[derive(Default)]
struct Flushing {
    sort: Duration,
    encode: Duration,
    upload: Duration,
    catalog: Duration,
}
