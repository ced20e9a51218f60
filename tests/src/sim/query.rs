//! Queries: each takes a snapshot and pins as the product does, and reads parts and memory through the product's readers. Owns
//! what was answered; whether that is right, the checkers say.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catalog::{Offset, PartKind, StreamId, StreamView, TableId, Version};
use futures::TryStreamExt;
use object_store::ObjectStore;
use tokio::sync::mpsc;
use vfs::World;
use warehouse::read::pin::MemtableScan;
use warehouse::read::session::{Freshness, SessionVector};
use warehouse::read::snapshot::{PinnedTable, SnapshotTaker};
use warehouse::schema::{error_schema, storage_schema};

use super::parts::{Parts, Unread};
use super::rows::Rows;

/// What a reader is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Which rows.
    pub freshness: Freshness,
    /// Whether it begins a session first.
    pub new_session: bool,
    /// How long it rests between its pin and its scans.
    pub rest: Duration,
    /// Whether it scans twice, as a self-join does.
    pub twice: bool,
    /// Whether it reads the parts from the store even if it knows them.
    pub anew: bool,
    /// What was committed when it was asked.
    pub asked: u64,
}

/// What was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Who asked.
    pub reader: usize,
    /// In which of its sessions.
    pub session: u64,
    /// What was asked.
    pub order: Order,
    /// What came of it.
    pub outcome: Result<Seen, Failed>,
}

/// The rows of an answer, under their vector.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The version.
    pub version: Version,
    /// The streams at it.
    pub streams: Arc<BTreeMap<StreamId, StreamView>>,
    /// The end of each.
    pub ends: BTreeMap<StreamId, Offset>,
    /// The rows.
    pub rows: Rows,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It may be: the faults of the history explain it.
    Excused(String),
    /// A part of this version is not there (I7), unless a TRUNCATE has taken it since.
    Gone(Version, String),
    /// It may never be.
    Wrong(&'static str, String),
}

impl Failed {
    /// A part of that version was not read.
    fn unread(version: Version, unread: Unread) -> Self {
        match unread {
            Unread::Gone(text) => Self::Gone(version, text),
            Unread::Twice(text) => Self::Wrong("I1", text),
            Unread::Trouble(text) => Self::Excused(text),
        }
    }
}

/// Answers wait here for the checkers. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Answers(Arc<Mutex<Vec<Answer>>>);

impl Answers {
    /// Takes what has come.
    pub fn take(&self) -> Vec<Answer> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, answer: Answer) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
    }
}

/// One reader, which carries out one order after another.
#[derive(Debug)]
pub struct Reader {
    /// Which.
    pub number: usize,
    /// Takes its snapshots.
    pub snapshots: SnapshotTaker,
    /// The table.
    pub table: TableId,
    /// Where parts are, as this process reaches it.
    pub objects: Arc<dyn ObjectStore>,
    /// The same, as it is.
    pub truth: Arc<dyn ObjectStore>,
    /// What was read of them.
    pub parts: Parts,
    /// Its world.
    pub world: World,
    /// Where answers go.
    pub answers: Answers,
}

impl Reader {
    /// Runs until nobody asks any more.
    pub async fn run(self, mut orders: mpsc::Receiver<Order>) {
        let (mut session, mut seen) = (1, SessionVector::new());
        while let Some(order) = orders.recv().await {
            if order.new_session {
                session += 1;
                seen = SessionVector::new();
            }
            let outcome = self.query(order, &seen).await;
            self.answers.add(Answer { reader: self.number, session, order, outcome });
        }
    }

    async fn query(&self, order: Order, seen: &SessionVector) -> Result<Seen, Failed> {
        let pins = self.snapshots.begin();
        let pinned = self.snapshots.pin(self.table, order.freshness, seen, &pins).await.map_err(|error| {
            let text = error.to_string();
            if text.contains("damaged") { Failed::Wrong("I3", text) } else { Failed::Excused(text) }
        })?;
        self.world.clock.sleep(order.rest).await;
        let rows = self.scan(&pinned, order).await?;
        if order.twice {
            self.world.clock.sleep(order.rest).await;
            let again = self.scan(&pinned, order).await?;
            if again != rows {
                let text = format!("two scans of one query see {} and {} rows", rows.count(), again.count());
                return Err(Failed::Wrong("I3", text));
            }
        }
        seen.answered(order.freshness, &pinned.ends);
        let PinnedTable { snapshot, ends, .. } = pinned;
        Ok(Seen { version: snapshot.version, streams: snapshot.streams, ends, rows })
    }

    async fn scan(&self, pinned: &PinnedTable, order: Order) -> Result<Rows, Failed> {
        let mut rows = Rows::default();
        let twice = |text| Failed::Wrong("I1", text);
        let objects = if order.anew { &self.objects } else { &self.truth };
        for part in pinned.snapshot.parts.iter() {
            let of_part = self.parts.read(part, objects, order.anew).await;
            let of_part = of_part.map_err(|unread| Failed::unread(pinned.snapshot.version, unread))?;
            rows.join(&of_part).map_err(twice)?;
        }
        for (address, ranges) in &pinned.memory {
            for (kind, schema) in
                [(PartKind::Rows, storage_schema(&pinned.snapshot.table)), (PartKind::Errors, error_schema())]
            {
                let projection = (0..schema.fields().len()).collect();
                let scan = MemtableScan { query: pinned.pins.query(), ranges: ranges.clone(), kind, projection };
                let read = pinned.pins.reader().scan(address, schema, scan).await;
                let read = read.map_err(|error| Failed::Excused(error.to_string()))?;
                let batches: Vec<_> = read.try_collect().await.map_err(|error| Failed::Excused(error.to_string()))?;
                for batch in &batches {
                    rows.add(kind, batch).map_err(twice)?;
                }
            }
        }
        Ok(rows)
    }
}
