//! A catalog with something of everything in it: what is dumped, verified and copied. Which of it, and how much, follows from a
//! seed.

use millrace_catalog::*;
use vfs::{Random, SeededRandom};

use crate::fixture::{Shop, intent, new_pipeline, new_table, node, range};

/// What may happen in a town; each can happen at any time.
const DEEDS: u64 = 18;

/// A shop that is being filled.
pub(crate) struct Town<'a> {
    pub(crate) shop: &'a Shop,
    random: SeededRandom,
    /// Streams of the shop's pipeline that are open and granted, and how far each is committed.
    pub(crate) streams: Vec<(Granted, u64)>,
    /// Channels that are open.
    pub(crate) channels: Vec<(Channel, u64)>,
    /// Commits that were answered.
    pub(crate) committed: Vec<(CommitRequest, Version)>,
    partitions: i32,
}

impl<'a> Town<'a> {
    pub(crate) fn new(shop: &'a Shop, seed: u64) -> Self {
        let random = SeededRandom::new(seed);
        Self { shop, random, streams: vec![], channels: vec![], committed: vec![], partitions: 0 }
    }

    /// One of everything.
    pub(crate) async fn with_everything(shop: &'a Shop) -> Self {
        let mut town = Self::new(shop, 1);
        for deed in (0..DEEDS).chain(0..DEEDS).chain([0, 1, 2, 6]) {
            town.happens(deed).await;
        }
        town
    }

    /// Some of it, in any order.
    pub(crate) async fn at_random(shop: &'a Shop, seed: u64, deeds: usize) -> Self {
        let mut town = Self::new(shop, seed);
        for _ in 0..deeds {
            let deed = town.below(DEEDS);
            town.happens(deed).await;
        }
        town
    }

    fn below(&self, limit: u64) -> u64 {
        self.random.next_u64() % limit
    }

    fn any<T>(&self, of: &[T]) -> Option<usize> {
        (!of.is_empty()).then(|| self.below(of.len() as u64) as usize)
    }

    async fn happens(&mut self, deed: u64) {
        let catalog = &self.shop.catalog;
        let fresh = self.shop.fresh();
        match deed {
            0 => {
                let granted = self.shop.stream(self.partitions).await;
                self.partitions += 1;
                self.streams.push((granted, 0));
            }
            1 | 2 => self.flush(PartKind::Rows).await,
            3 => self.errors_become_rows().await,
            4 => {
                let Some(at) = self.any(&self.streams) else { return };
                let granted = self.shop.regrant(self.streams[at].0.stream, Some(self.streams[at].0.owner.epoch)).await;
                self.streams[at].0 = granted;
            }
            5 => {
                let Some(at) = self.any(&self.streams) else { return };
                let (granted, _) = self.streams.swap_remove(at);
                catalog.close_stream(granted.stream, self.shop.lease.epoch).await.unwrap();
            }
            6 => {
                let identity = ChannelIdentity { node: node("n1"), process: 77, number: fresh };
                let channel = catalog.open_channel(self.shop.table.id, &identity).await.unwrap();
                self.channels.push((channel, 0));
                self.insert(&format!("load-{fresh}")).await;
            }
            7 => {
                let Some(at) = self.any(&self.channels) else { return };
                let (channel, _) = self.channels.swap_remove(at);
                let closer = if self.below(2) == 0 { ChannelCloser::Itself } else { ChannelCloser::Another };
                catalog.close_channel(self.shop.table.id, &channel.identity, closer).await.unwrap();
            }
            8 => self.truncate().await,
            9 => {
                // A table with a log, which is dropped and leaves it, or not.
                let table = catalog.create_table(new_table(&format!("t{fresh}")), false).await.unwrap();
                let identity = ChannelIdentity { node: node("n1"), process: 78, number: fresh };
                catalog.open_channel(table.id, &identity).await.unwrap();
                if self.below(2) == 0 {
                    catalog.drop_table("default", &table.name, false).await.unwrap();
                }
            }
            10 => drop(catalog.garbage(1_000).await.unwrap()),
            11 => {
                let user = (format!("user{fresh}"), Credential::CachingSha2([7; 32]));
                catalog.create_users(&[user], false).await.unwrap();
            }
            12 => {
                let writer = WriterId::Task(self.shop.pipeline.id, TaskIndex(9));
                catalog.void(writer, CommitToken(u128::from(fresh))).await.unwrap();
            }
            13 => {
                let part = self.shop.part(vec![]);
                let writer = WriterId::Task(self.shop.pipeline.id, TaskIndex(0));
                catalog.stage(&[intent(writer, &part)]).await.unwrap();
            }
            14 => self.seek().await,
            15 => {
                let definition = PipelineDefinition::of(&catalog.pipeline("default", "clicks_in").await.unwrap());
                let definition = PipelineDefinition { projection: format!("ts AS t{fresh}"), ..definition };
                self.change(ChangeKind::Alter(Box::new(definition))).await;
            }
            16 => self.incident().await,
            _ => {
                let table =
                    catalog.create_unnamed_table(new_table(&format!("u{fresh}")), &node("n1"), 7).await.unwrap();
                self.second_pipeline(&table).await;
            }
        }
    }

    /// A flush, or error rows, of some stream as all stands now.
    async fn flush(&mut self, kind: PartKind) {
        let Some(at) = self.any(&self.streams) else { return };
        let (granted, next) = self.streams[at].clone();
        let offsets = range(next, next + 1 + self.below(9));
        let mut request = self.shop.unstaged_flush(at as u32, &[(&granted, offsets)]);
        let pipeline = self.shop.catalog.pipeline("default", "clicks_in").await.unwrap();
        request.pipeline = Some((pipeline.id, pipeline.fence));
        if kind == PartKind::Errors {
            request.parts[0].kind = kind;
            request.streams[0].ledger = Ledger { errors: offsets.offsets(), ..Ledger::default() };
        }
        self.commit(request).await;
        self.streams[at].1 = offsets.end.0;
    }

    pub(crate) async fn commit(&mut self, mut request: CommitRequest) {
        request.table_fence = self.shop.catalog.table_by_id(self.shop.table.id).await.unwrap().fence;
        self.shop.stage(&request).await;
        let version = self.shop.committed(&request).await;
        self.committed.push((request, version));
    }

    /// The newest channel takes some rows.
    async fn insert(&mut self, label: &str) {
        let (Channel { stream, epoch, .. }, next) = self.channels.last().unwrap().clone();
        let range = range(next, next + 1 + self.below(5));
        let rows = range.offsets();
        let request = CommitRequest {
            writer: WriterId::Channel(stream),
            pipeline: None,
            streams: vec![StreamAdvance {
                stream,
                epoch,
                range,
                ledger: Ledger { rows, ..Ledger::default() },
                gaps: vec![],
            }],
            parts: vec![self.shop.part(vec![PartStream { stream, range, rows }])],
            labels: vec![CommitLabel { label: label.to_owned(), rows }],
            ..self.shop.unstaged_flush(0, &[])
        };
        self.commit(request).await;
        self.channels.last_mut().unwrap().1 = range.end.0;
    }

    /// Error rows, of which all become rows.
    async fn errors_become_rows(&mut self) {
        let before = self.committed.len();
        self.flush(PartKind::Errors).await;
        let Some((request, _)) = self.committed.get(before).cloned() else { return };
        let catalog = &self.shop.catalog;
        let covered = request.parts[0].streams.clone();
        let moved = ErrorsMoved { stream: covered[0].stream, rows: covered[0].rows, filtered: 0 };
        let added = self.shop.part(covered);
        catalog.stage(&[intent(WriterId::Rewrite(self.shop.table.id), &added)]).await.unwrap();
        let request = RewriteRequest {
            token: CommitToken(u128::from(self.shop.fresh())),
            table: self.shop.table.id,
            table_fence: request.table_fence,
            pipeline: request.pipeline.unwrap(),
            schema: request.schema,
            seen: catalog.error_rewrites(self.shop.table.id).await.unwrap(),
            removed: request.parts,
            added: vec![added],
            moved: vec![moved],
        };
        assert_eq!(catalog.rewrite(&request).await, Ok(RewriteOutcome::Committed));
    }

    async fn truncate(&self) {
        let stream = |(granted, next): &(Granted, u64)| (granted.stream, (granted.owner.epoch, Offset(*next)));
        let request = TruncateRequest { table: self.shop.table.id, streams: self.streams.iter().map(stream).collect() };
        let truncated = self.shop.catalog.truncate_table(&request).await.unwrap();
        assert!(matches!(truncated, TruncateOutcome::Truncated(Some(_))), "{truncated:?}");
    }

    async fn seek(&mut self) {
        let Some(at) = self.any(&self.streams) else { return };
        let views = self.shop.catalog.streams(self.shop.pipeline.id).await.unwrap();
        let stream = self.streams[at].0.stream;
        let partition = views.iter().find(|view| view.stream.id == stream).unwrap().stream.partition().clone();
        let target = SeekTarget {
            topic: partition.topic,
            partition: partition.partition,
            incarnation: partition.incarnation,
            start: Offset(3),
            never_back: false,
        };
        let cuts = self.change(ChangeKind::Seek(vec![target])).await;
        let successor = cuts.first().and_then(|cut| cut.successor).expect("it was moved");
        self.streams[at] = (self.shop.regrant(successor, None).await, 3);
    }

    async fn change(&self, kind: ChangeKind) -> Vec<CutOver> {
        let catalog = &self.shop.catalog;
        let pipeline = self.shop.pipeline.id;
        let change = catalog.begin_change(pipeline, kind).await.unwrap().id;
        let drained = |(granted, next): &(Granted, u64)| DrainedStream {
            stream: granted.stream,
            epoch: Some(granted.owner.epoch),
            committed: Offset(*next),
        };
        let drained: Vec<DrainedStream> = self.streams.iter().map(drained).collect();
        match catalog.finish_change(pipeline, change, self.shop.lease.epoch, &drained).await.unwrap() {
            FinishOutcome::Done(cuts) => cuts,
            other => panic!("{other:?}"),
        }
    }

    async fn incident(&self) {
        let incident = Incident {
            number: 0,
            pipeline: self.shop.pipeline.id,
            stream: self.streams.first().map(|(granted, _)| granted.stream),
            kind: IncidentKind::Source,
            gap: None,
            cause: "the broker is away".into(),
            settle: "RESUME PIPELINE clicks_in".into(),
            opened: 0,
            settled: None,
            settled_by: None,
        };
        self.shop.catalog.open_incident(incident).await.unwrap();
        self.shop.catalog.resume_pipeline("default", "clicks_in", None, None).await.unwrap();
    }

    /// A table of several tries gets its name and a pipeline with a password, which is dropped or not.
    async fn second_pipeline(&self, table: &Table) {
        if self.below(2) == 0 {
            return;
        }
        let catalog = &self.shop.catalog;
        catalog.name_table(table.id).await.unwrap();
        let mut new = new_pipeline(&format!("p{}", table.id), table.id);
        new.source.properties = [("sasl.password".to_owned(), "hunter2".to_owned())].into();
        let pipeline = catalog.create_pipeline(new, false).await.unwrap();
        let request = LeaseRequest { pipeline: pipeline.id, holder: node("n1"), seen: None, duration_ms: 5_000 };
        let LeaseOutcome::Held(lease) = catalog.lease(&request).await.unwrap() else { panic!("nobody else leads") };
        let identity = PartitionIdentity { pipeline: pipeline.id, ..self.shop.identity(0) };
        catalog.open_stream(identity, Offset(5), lease.epoch).await.unwrap();
        if self.below(2) == 0 {
            catalog.drop_pipeline("default", &pipeline.name, false).await.unwrap();
        }
    }
}
