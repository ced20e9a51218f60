//! Commit: durable parts and the offsets that they cover become visible together, in one catalog transaction (I1 to I4).
//!
//! | step | now guaranteed | if the process dies here |
//! |---|---|---|
//! | frozen | nothing new | replay, or fetched again |
//! | parts uploaded | durable, invisible | orphans: the sweeper takes the intent, then the file |
//! | commit sent | unknown | the token settles whether it happened; nothing is deleted on it |
//! | committed | **exactly once** | replay skips what the catalog has |
//!
//! Owns the retries of one flush; the rules of the transaction are the catalog's.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use catalog::{
    CatalogError, CatalogService, CommitOutcome, CommitRequest, CommitToken, Conflict, Epoch, Fenced, Ledger, Part,
    Pipeline, StreamAdvance, StreamId, Table, Version, WriterId, commit_settled,
};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::sync::{Mutex, watch};
use vfs::{World, planted};
use wal::Wal;

use super::failpoint::crash_point;
use super::flush::{FlushError, Flusher, PartPlan};
use super::memtable::{Frozen, FrozenStream, Memtable, RETIRE_AFTER};
use super::messages::{Retry, TroubleKind};
use super::trouble::Told;
use crate::memory::MemoryBudget;

/// The first wait after a store refused, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A commit that takes longer is reported as trouble; it goes on.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);
/// Parts that are encoded and uploaded at a time: each is in memory while it is.
const UPLOADS: usize = 4;
/// A store that was away leaves a memtable as large as the memory limit: it is flushed in pieces of no more than so many times
/// `flush_bytes`, or these bytes, so that a flush itself needs no more memory than it usually does (I8).
const PIECE_FLUSHES: u64 = 2;
const PIECE_BYTES_MAX: u64 = 1 << 30;

/// Flushes and commits the memtable of one task.
#[derive(Debug)]
pub struct Committer {
    /// The pipeline.
    pub pipeline: Arc<Pipeline>,
    /// Its target.
    pub table: Arc<Table>,
    /// Whose commits these are.
    pub writer: WriterId,
    /// Writes the parts.
    pub flusher: Flusher,
    /// Takes the commit.
    pub catalog: Arc<dyn CatalogService>,
    /// Whose rows are committed.
    pub memtable: Arc<Memtable>,
    /// What needs them no longer afterwards.
    pub wal: Wal,
    /// Charged with what a flush itself needs.
    pub budget: Arc<MemoryBudget>,
    /// Time and randomness.
    pub world: World,
    /// What the commit waits for at the moment, for reports; `None` when it waits for nothing.
    pub trouble: watch::Sender<Option<Told>>,
}

/// A stream that is no longer this task's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The epoch under which it was held. It may be held anew by now, under a newer one that is not lost.
    pub epoch: Epoch,
    /// Why.
    pub cause: String,
}

/// How a flush ended.
#[derive(Debug, Default)]
pub struct Committed {
    /// The last version that it made.
    pub version: Option<Version>,
    /// Streams that are no longer this task's. Their rows are dropped.
    pub lost: BTreeMap<StreamId, Lost>,
    /// Why the whole task has to end: the table or pipeline is not what it knew.
    pub ended: Option<String>,
}

impl Committer {
    /// Commits all of `frozen`, in as many commits as its parts need. Waits out stores that are away.
    pub async fn commit(&self, frozen: Frozen) -> Committed {
        let mut done = Committed::default();
        let mut rest = frozen;
        while !rest.streams.is_empty() && done.ended.is_none() {
            let taken = self.commit_once(&mut rest, &mut done).await;
            if let Some(taken) = taken {
                advance(&mut rest, &taken);
            }
        }
        self.trouble.send_replace(None);
        done
    }

    /// One flush and one commit of a prefix of `rest`. Returns what was committed; streams that were lost leave `rest`.
    async fn commit_once(&self, rest: &mut Frozen, done: &mut Committed) -> Option<Frozen> {
        let (piece, parts) = match self.flush(rest).await {
            Ok(flushed) => flushed,
            Err(error) => {
                done.ended = Some(error.to_string());
                return None;
            }
        };
        let request = self.request(&piece, parts);
        if planted::is("wal-released-before-commit") {
            for (stream, taken) in &piece.streams {
                taken.batches.iter().for_each(|held| self.wal.release(stream.0, held.position));
            }
        }
        crash_point("commit.before");
        let began = self.world.clock.now();
        let outcome = self.settle(&request).await;
        metrics::histogram!("millrace_commit_seconds").record(self.world.clock.now().since(began).as_secs_f64());
        crash_point("commit.after");
        match outcome {
            Ok(CommitOutcome::Committed(version)) => {
                done.version = Some(version);
                self.retire(&piece);
                Some(piece)
            }
            Ok(CommitOutcome::Fenced(fenced)) => {
                self.fenced(fenced, rest, done);
                None
            }
            Ok(CommitOutcome::Conflict(conflict)) => {
                self.conflict(conflict, rest, done);
                None
            }
            Err(error) => {
                done.ended = Some(error.to_string());
                None
            }
        }
    }

    /// The longest prefix of `rest` whose parts fit into one commit, and these parts, durable. Waits for as long as a store is
    /// away: the rows stay in memory and in the WAL, and intake stops at their limits.
    async fn flush(&self, rest: &Frozen) -> Result<(Frozen, Vec<Part>), FlushError> {
        let mut piece = rest.clone();
        let piece_bytes = self.pipeline.settings.flush_bytes.saturating_mul(PIECE_FLUSHES).min(PIECE_BYTES_MAX);
        while bytes_of(&piece) > piece_bytes && batches_of(&piece) > 1 && halve(&mut piece) {}
        let plans = loop {
            match self.flusher.plan(&piece).await {
                Err(FlushError::TooManyParts { .. }) if halve(&mut piece) => {}
                plans => break plans?,
            }
        };
        let _working = self.budget.charge(plans.iter().map(PartPlan::bytes).sum());
        let plans = Mutex::new(plans);
        self.patiently(|| async { self.flusher.stage(&mut plans.lock().await).await }.boxed()).await?;
        let plans = plans.into_inner();
        let parts = stream::iter(plans).map(|plan| self.write(plan).boxed()).buffered(UPLOADS).try_collect().await?;
        Ok((piece, parts))
    }

    /// One part, under one name however often the store refuses it: else a store that refuses now and then would never take
    /// all parts of a large flush.
    async fn write(&self, plan: PartPlan) -> Result<Part, FlushError> {
        let encoded = self.flusher.encode(plan).await?;
        let _working = self.budget.charge(encoded.part.bytes);
        self.patiently(|| self.flusher.upload(&encoded).boxed()).await?;
        Ok(encoded.part)
    }

    /// Tries until a store that is away is there again.
    async fn patiently<'a>(
        &self,
        attempt: impl Fn() -> BoxFuture<'a, Result<(), FlushError>>,
    ) -> Result<(), FlushError> {
        let (mut wait, longest) = RETRY;
        let mut troubled = false;
        loop {
            let error = match attempt().await {
                Err(error) if error.passes() => error,
                outcome => {
                    if troubled {
                        self.trouble.send_replace(None);
                    }
                    return outcome;
                }
            };
            tracing::warn!(pipeline = self.pipeline.name, %error, "flush failed, trying again");
            troubled = true;
            let retry = Retry::At(self.world.clock.wall().0 + wait.as_micros() as i64);
            self.trouble.send_replace(Some(Told::passing(error.trouble(), error.to_string(), Some(retry))));
            self.world.clock.sleep(wait).await;
            wait = (wait * 2).min(longest);
        }
    }

    /// Sends the commit until its end is known, and says so if that takes long.
    async fn settle(&self, request: &CommitRequest) -> Result<CommitOutcome, CatalogError> {
        if request.parts.is_empty() && planted::is("empty-commit-skipped") {
            return Ok(CommitOutcome::Committed(Version::ZERO));
        }
        if planted::is("unknown-taken-as-failure") {
            return self.commit_or_undo(request).await;
        }
        let mut settling = pin!(commit_settled(&*self.catalog, &self.world, request));
        tokio::select! {
            biased;
            outcome = &mut settling => return outcome,
            () = self.world.clock.sleep(COMMIT_PATIENCE) => {}
        }
        let seconds = COMMIT_PATIENCE.as_secs();
        let message = format!(
            "the catalog has not answered a commit within {seconds} s; the same commit is sent until it does: check the catalog's store"
        );
        self.trouble.send_replace(Some(Told::passing(TroubleKind::Catalog, message, None)));
        settling.await
    }

    /// A planted bug: what has no answer is taken for failed.
    async fn commit_or_undo(&self, request: &CommitRequest) -> Result<CommitOutcome, CatalogError> {
        let outcome = self.catalog.commit(request).await;
        if !matches!(outcome, Err(CatalogError::MaybeCommitted { .. })) {
            return outcome;
        }
        for part in &request.parts {
            drop(self.flusher.objects.delete(&Path::from(part.path.as_str())).await);
        }
        Ok(CommitOutcome::Conflict(Conflict::Offsets(Vec::new())))
    }

    fn request(&self, piece: &Frozen, mut parts: Vec<Part>) -> CommitRequest {
        let advance = |(stream, taken): (&StreamId, &FrozenStream)| {
            let (mut ledger, mut gaps) = (Ledger::default(), Vec::new());
            for batch in taken.pieces() {
                ledger = ledger.plus(batch.ledger);
                gaps.extend(batch.gaps);
            }
            StreamAdvance { stream: *stream, epoch: taken.epoch, range: taken.range, ledger, gaps }
        };
        let mut streams: Vec<StreamAdvance> = piece.streams.iter().map(advance).collect();
        if streams.len() > 1 && planted::is("streams-committed-partially") {
            streams.pop();
        }
        if parts.len() > 1 && planted::is("parts-committed-partially") {
            parts.pop();
        }
        CommitRequest {
            token: CommitToken(self.world.random.next_u128()),
            writer: self.writer,
            table: self.table.id,
            table_fence: self.table.fence,
            pipeline: Some((self.pipeline.id, self.pipeline.fence)),
            schema: self.table.schema,
            streams,
            parts,
            labels: Vec::new(),
        }
    }

    fn retire(&self, piece: &Frozen) {
        crash_point("retire.before");
        let retire_at = self.world.clock.now().after(RETIRE_AFTER);
        for (stream, position) in self.memtable.committed(piece, retire_at) {
            self.wal.release(stream.0, position);
        }
        crash_point("retire.after");
    }

    fn fenced(&self, fenced: Fenced, rest: &mut Frozen, done: &mut Committed) {
        match fenced {
            Fenced::Streams(streams) => {
                for stream in streams {
                    self.lose(stream, "a newer epoch was granted to another owner".to_owned(), rest, done);
                }
            }
            // The sweeper took the files of a flush that took too long: the rows are still here, and are written again.
            Fenced::Intents(parts) => {
                tracing::warn!(?parts, "the sweeper took parts before their commit; writing them again")
            }
            Fenced::Table => done.ended = Some("its table was dropped or truncated".to_owned()),
            Fenced::Pipeline => done.ended = Some("its pipeline was dropped or changed".to_owned()),
            Fenced::Void => done.ended = Some("its commit was voided".to_owned()),
        }
    }

    fn conflict(&self, conflict: Conflict, rest: &mut Frozen, done: &mut Committed) {
        match conflict {
            Conflict::Offsets(streams) => {
                for (stream, committed) in streams {
                    let cause = format!("its committed offset is {committed}, not the one that this task began at");
                    self.lose(stream, cause, rest, done);
                }
            }
            Conflict::Labels(_) => done.ended = Some("its commit has labels, which only INSERTs leave".to_owned()),
            Conflict::Schema(schema) => done.ended = Some(format!("its table has columns of schema {schema} now")),
        }
    }

    fn lose(&self, stream: StreamId, cause: String, rest: &mut Frozen, done: &mut Committed) {
        let Some(FrozenStream { epoch, .. }) = rest.streams.remove(&stream) else { return };
        // Records of a newer epoch stand behind these.
        if let Some(last) = self.memtable.close(stream, epoch) {
            self.wal.release(stream.0, last);
        }
        done.lost.insert(stream, Lost { epoch, cause });
    }
}

/// Takes what was committed off `rest`.
fn advance(rest: &mut Frozen, taken: &Frozen) {
    for (stream, piece) in &taken.streams {
        let Some(left) = rest.streams.get_mut(stream) else { continue };
        left.range.start = piece.range.end;
        left.batches.retain(|held| held.batch.range.end > left.range.start);
        if left.range.is_empty() {
            rest.streams.remove(stream);
        }
    }
}

fn batches_of(piece: &Frozen) -> usize {
    piece.streams.values().map(|stream| stream.batches.len()).sum()
}

fn bytes_of(piece: &Frozen) -> u64 {
    piece.streams.values().flat_map(|stream| &stream.batches).map(|held| held.charge.bytes()).sum()
}

/// Keeps about half, as a prefix of each stream: half of the batches, or of the one batch that there is. False if that is one
/// offset.
fn halve(piece: &mut Frozen) -> bool {
    let total = batches_of(piece);
    if total <= 1 {
        return halve_batch(piece);
    }
    let mut room = total / 2;
    piece.streams.retain(|_, stream| {
        let kept = stream.batches.len().min(room);
        room -= kept;
        stream.batches.truncate(kept);
        if let Some(last) = stream.batches.last() {
            stream.range.end = stream.range.end.min(last.batch.range.end);
        }
        kept > 0
    });
    true
}

fn halve_batch(piece: &mut Frozen) -> bool {
    let Some(stream) = piece.streams.values_mut().find(|stream| stream.range.offsets() > 1) else { return false };
    stream.range.end.0 = stream.range.start.0 + stream.range.offsets() / 2;
    true
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use catalog::{Fence, Offset, SchemaId, TaskIndex};
    use object_store::memory::InMemory;
    use vfs::Moment;

    use super::*;
    use crate::write::testing::{ScriptedCatalog, batch, held, log, pipeline, range, table, world};

    struct Rig {
        catalog: Arc<ScriptedCatalog>,
        committer: Committer,
        trouble: watch::Receiver<Option<Told>>,
    }

    impl Rig {
        /// Streams 1 and 2 under epoch 1; the catalog answers with `answers`, and then with `Committed`.
        async fn new(answers: impl IntoIterator<Item = Result<CommitOutcome, CatalogError>>) -> Self {
            let catalog = Arc::new(ScriptedCatalog::default());
            catalog.answers.lock().unwrap().extend(answers);
            let (table, writer) = (table(), WriterId::Task(pipeline().id, TaskIndex(0)));
            let flusher = Flusher {
                table: Arc::clone(&table),
                writer,
                objects: Arc::new(InMemory::new()),
                catalog: catalog.clone(),
                world: world(),
            };
            let (trouble, told) = watch::channel(None);
            let memtable = Memtable::new();
            memtable.open(StreamId(1), Epoch(1), Offset(0));
            memtable.open(StreamId(2), Epoch(1), Offset(0));
            let committer = Committer {
                pipeline: pipeline(),
                table,
                writer,
                flusher,
                catalog: catalog.clone(),
                memtable,
                wal: log().await,
                budget: MemoryBudget::new(1 << 30),
                world: world(),
                trouble,
            };
            Self { catalog, committer, trouble: told }
        }

        async fn publish(&self, stream: u64, offsets: Range<u64>) {
            let held = held(&self.committer.wal, &self.committer.budget, batch(stream, offsets)).await;
            assert!(self.committer.memtable.publish(Epoch(1), held, Moment::default()));
        }

        async fn commit(&self) -> Committed {
            let frozen = self.committer.memtable.freeze().unwrap();
            self.committer.commit(frozen).await
        }

        fn requests(&self) -> Vec<CommitRequest> {
            self.catalog.requests.lock().unwrap().clone()
        }

        fn advanced(&self) -> Vec<Vec<(u64, catalog::OffsetRange)>> {
            let of = |request: &CommitRequest| request.streams.iter().map(|of| (of.stream.0, of.range)).collect();
            self.requests().iter().map(of).collect()
        }
    }

    fn unknown() -> Result<CommitOutcome, CatalogError> {
        Err(CatalogError::MaybeCommitted { operation: "committing", cause: "lost".to_owned() })
    }

    #[tokio::test]
    async fn what_is_committed_is_released_in_the_log_and_not_before() {
        let rig = Rig::new([]).await;
        rig.publish(1, 0..10).await;
        rig.publish(2, 0..5).await;
        let frozen = rig.committer.memtable.freeze().unwrap();
        rig.publish(1, 10..20).await;
        assert!(rig.committer.wal.stats().oldest_needed.is_some());
        let done = rig.committer.commit(frozen).await;
        assert!(done.version.is_some() && done.lost.is_empty() && done.ended.is_none());
        assert_eq!(rig.advanced(), [[(1, range(0..10)), (2, range(0..5))]]);
        assert!(rig.committer.wal.stats().oldest_needed.is_some(), "offsets 10..20 are needed");
        rig.commit().await;
        assert_eq!(rig.committer.wal.stats().oldest_needed, None);
        assert_eq!(rig.requests()[0].pipeline, Some((pipeline().id, Fence(2))));
        assert_eq!(rig.requests()[0].schema, SchemaId(3));
    }

    #[tokio::test]
    async fn i2_a_fenced_stream_is_dropped_and_the_rest_is_written_without_it() {
        let rig = Rig::new([Ok(CommitOutcome::Fenced(Fenced::Streams(vec![StreamId(1)])))]).await;
        rig.publish(1, 0..10).await;
        rig.publish(2, 0..5).await;
        let done = rig.commit().await;
        assert_eq!(done.lost.keys().copied().collect::<Vec<_>>(), [StreamId(1)]);
        assert_eq!(done.lost[&StreamId(1)].epoch, Epoch(1));
        assert_eq!(rig.advanced()[1], [(2, range(0..5))]);
        let requests = rig.requests();
        assert_ne!(requests[0].token, requests[1].token, "another commit");
        let covered = requests[1].parts.iter().flat_map(|part| &part.streams).all(|of| of.stream == StreamId(2));
        assert!(covered, "the parts are rewritten");
        assert_eq!(rig.committer.memtable.cursors().keys().copied().collect::<Vec<_>>(), [StreamId(2)]);
    }

    #[tokio::test]
    async fn a_stream_whose_offsets_are_not_as_known_is_lost_and_the_rest_goes_on() {
        let conflict = Conflict::Offsets(vec![(StreamId(2), Offset(3))]);
        let rig = Rig::new([Ok(CommitOutcome::Conflict(conflict))]).await;
        rig.publish(1, 0..10).await;
        rig.publish(2, 0..5).await;
        let done = rig.commit().await;
        assert!(done.lost[&StreamId(2)].cause.contains("offset is 3"));
        assert!(done.version.is_some());
        assert_eq!(rig.advanced()[1], [(1, range(0..10))]);
    }

    #[tokio::test]
    async fn what_ddl_has_changed_ends_the_task() {
        let outcomes = [
            CommitOutcome::Fenced(Fenced::Table),
            CommitOutcome::Fenced(Fenced::Pipeline),
            CommitOutcome::Fenced(Fenced::Void),
            CommitOutcome::Conflict(Conflict::Schema(SchemaId(9))),
        ];
        for outcome in outcomes {
            let rig = Rig::new([Ok(outcome)]).await;
            rig.publish(1, 0..10).await;
            let done = rig.commit().await;
            assert!(done.ended.is_some() && done.version.is_none());
            assert_eq!(rig.requests().len(), 1);
            assert!(rig.committer.wal.stats().oldest_needed.is_some(), "nothing is released");
        }
    }

    #[tokio::test]
    async fn i7_parts_that_the_sweeper_took_are_written_again_under_new_names() {
        let rig = Rig::new([Ok(CommitOutcome::Fenced(Fenced::Intents(vec![])))]).await;
        rig.publish(1, 0..10).await;
        assert!(rig.commit().await.version.is_some());
        let requests = rig.requests();
        assert_eq!((requests.len(), &requests[0].streams), (2, &requests[1].streams));
        let names: std::collections::BTreeSet<_> =
            requests.iter().flat_map(|of| &of.parts).map(|part| part.id).collect();
        assert_eq!(names.len(), requests[0].parts.len() * 2);
    }

    #[tokio::test]
    async fn i6_a_commit_of_unknown_outcome_is_sent_again_unchanged() {
        let rig = Rig::new([unknown(), unknown()]).await;
        rig.publish(1, 0..10).await;
        assert!(rig.commit().await.version.is_some());
        let requests = rig.requests();
        assert_eq!(requests.len(), 3);
        assert!(requests.iter().all(|request| *request == requests[0]));
        assert_eq!(*rig.trouble.borrow(), None);
    }

    #[tokio::test]
    async fn a_request_that_the_catalog_finds_wrong_ends_the_task_with_its_words() {
        let rig = Rig::new([Err(CatalogError::Invalid { message: "it does not add up".to_owned() })]).await;
        rig.publish(1, 0..10).await;
        assert!(rig.commit().await.ended.unwrap().contains("it does not add up"));
    }

    #[tokio::test]
    async fn i8_a_memtable_that_has_grown_large_is_committed_in_pieces() {
        let mut rig = Rig::new([]).await;
        for start in 0..16 {
            rig.publish(1, start * 10..(start + 1) * 10).await;
        }
        let mut pipeline = (*pipeline()).clone();
        pipeline.settings.flush_bytes = rig.committer.memtable.mutable().0 / 8;
        rig.committer.pipeline = Arc::new(pipeline);
        rig.commit().await;
        let advanced: Vec<_> = rig.advanced().into_iter().flatten().map(|(_, range)| range).collect();
        assert!(advanced.len() >= 4 && advanced.iter().all(|range| range.offsets() <= 40), "{advanced:?}");
        assert!(
            advanced.windows(2).all(|pair| pair[0].end == pair[1].start) && advanced.last().unwrap().end == Offset(160)
        );
    }

    async fn frozen(streams: &[(u64, &[Range<u64>])]) -> Frozen {
        let (log, budget, memtable) = (log().await, MemoryBudget::new(1 << 30), Memtable::new());
        for (stream, batches) in streams {
            memtable.open(StreamId(*stream), Epoch(1), Offset(batches[0].start));
            for offsets in *batches {
                memtable.publish(
                    Epoch(1),
                    held(&log, &budget, batch(*stream, offsets.clone())).await,
                    Moment::default(),
                );
            }
        }
        memtable.freeze().unwrap()
    }

    #[tokio::test]
    async fn i3_halves_are_prefixes_that_together_are_the_whole() {
        let mut rest = frozen(&[(1, &[0..3, 3..10, 10..11]), (2, &[5..6]), (3, &[0..9, 9..12])]).await;
        let mut next: BTreeMap<StreamId, Offset> =
            rest.streams.iter().map(|(stream, of)| (*stream, of.range.start)).collect();
        let whole: u64 = rest.streams.values().map(|of| of.range.offsets()).sum();
        let mut taken = 0;
        for round in 0.. {
            if rest.streams.is_empty() {
                break;
            }
            let mut piece = rest.clone();
            // Ever deeper, down to single offsets.
            for _ in 0..round {
                halve(&mut piece);
            }
            for (stream, of) in &piece.streams {
                assert_eq!(of.range.start, next[stream]);
                assert_eq!(of.pieces().map(|batch| batch.range.offsets()).sum::<u64>(), of.range.offsets());
                next.insert(*stream, of.range.end);
                taken += of.range.offsets();
            }
            assert!(!piece.streams.is_empty());
            advance(&mut rest, &piece);
        }
        assert_eq!(taken, whole);
    }

    #[tokio::test]
    async fn a_single_offset_cannot_be_halved() {
        let mut piece = frozen(&[(1, &[7..8])]).await;
        assert!(!halve(&mut piece));
        let mut piece = frozen(&[(1, &[7..17])]).await;
        assert!(halve(&mut piece));
        assert_eq!(piece.streams[&StreamId(1)].range, range(7..12));
    }
}
