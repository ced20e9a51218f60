//! Replacing error parts by rows (PROTOCOL, "Removing parts"): one transaction that compares and raises `rewrite/<table>errors`, so
//! that of two that replace the same parts one succeeds. Appends of error parts go on beside it; they touch no key of it.
//!
//! | the process dies | then |
//! |---|---|
//! | before the transaction is sent | nothing happened; the parts have intents, which the sweeper takes |
//! | after it | it happened or not, and the token, kept with the count, says which |

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;

use crate::keys::rewrite::{ERRORS, RewriteRecord};
use crate::keys::{self, garbage::GarbageRecord};
use crate::store::{KvTransaction, Read};
use crate::transaction::Failure;
use crate::{
    Catalog, CatalogError, ErrorsMoved, Fenced, Part, PartKind, RewriteOutcome, RewriteRequest, StreamId, TableId,
};

use super::chunks;

const OPERATION: &str = "replacing error parts";
/// The pauses between attempts whose outcome is unknown: the first, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

impl Catalog {
    /// How often error parts of a table were replaced: read before the parts are, and compared by [`Catalog::rewrite`].
    pub async fn error_rewrites(&self, table: TableId) -> Result<u64, CatalogError> {
        self.once("looking up replaced error parts", |transaction| {
            async move { Ok(read(transaction, table).await?.count) }.boxed()
        })
        .await
    }

    /// Replaces error parts. Carried to a known end: the identical request is sent again for as long as the catalog does not answer.
    ///
    /// `Invalid` if it does not add up (I1).
    pub async fn rewrite(&self, request: &RewriteRequest) -> Result<RewriteOutcome, CatalogError> {
        let wrong = |fault| CatalogError::invalid(format!("the rewrite {}: {fault}", request.token));
        check(request).map_err(wrong)?;
        let chunks = &chunks::encode_rewrite(request, self.wall()).map_err(wrong)?;
        let (mut pause, longest) = PAUSE;
        let since = self.wall();
        loop {
            let attempt = self.once(OPERATION, |transaction| {
                async move { self.attempt_rewrite(transaction, request, chunks, since).await }.boxed()
            });
            match attempt.await {
                Err(error @ (CatalogError::MaybeCommitted { .. } | CatalogError::Unavailable { .. })) => {
                    tracing::warn!(token = %request.token, %error, "sending the same rewrite again");
                }
                outcome => return outcome,
            }
            self.world().clock.sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    async fn attempt_rewrite(
        &self,
        transaction: &mut dyn KvTransaction,
        request: &RewriteRequest,
        chunks: &[Vec<u8>],
        since: i64,
    ) -> Result<RewriteOutcome, Failure> {
        let record = read(transaction, request.table).await?;
        if record.tokens.contains(&request.token) {
            return Ok(RewriteOutcome::Committed);
        }
        let table = keys::table_fence::ser_key(request.table);
        let table = keys::get(transaction, &table, keys::table_fence::deser_value).await?;
        let is_known = |fence: &keys::table_fence::TableFenceRecord| {
            fence.fence == request.table_fence && fence.schema == request.schema
        };
        if table.filter(is_known).is_none() {
            return Ok(RewriteOutcome::Fenced(Fenced::Table));
        }
        let (pipeline, fence) = request.pipeline;
        let key = keys::pipeline_fence::ser_key(pipeline);
        if keys::get(transaction, &key, keys::pipeline_fence::deser_value).await? != Some(fence) {
            return Ok(RewriteOutcome::Fenced(Fenced::Pipeline));
        }
        if record.count != request.seen {
            return Ok(RewriteOutcome::Conflict);
        }
        let mut missing = Vec::new();
        for part in &request.added {
            let key = keys::intent::ser_key(part.id);
            match transaction.get(&key, Read::Serializable).await? {
                Some(_) => transaction.clear(&key),
                None => missing.push(part.id),
            }
        }
        if !missing.is_empty() {
            return Ok(RewriteOutcome::Fenced(Fenced::Intents(missing)));
        }
        // What is replaced is garbage once the queries that began before have ended (I7).
        for part in &request.removed {
            transaction.set(&keys::garbage::ser_key(&part.path), &keys::garbage::ser_value(&GarbageRecord { since }));
        }
        let record = keys::rewrite::ser_value(&record.with(request.token));
        transaction.set(&keys::rewrite::ser_key(request.table, ERRORS), &record);
        self.append_to_log(transaction, request.table, chunks);
        Ok(RewriteOutcome::Committed)
    }
}

async fn read(transaction: &mut dyn KvTransaction, table: TableId) -> Result<RewriteRecord, Failure> {
    let key = keys::rewrite::ser_key(table, ERRORS);
    Ok(keys::get(transaction, &key, keys::rewrite::deser_value).await?.unwrap_or_default())
}

/// I1: what the removed parts hold of each stream is a row, an error row that stays, or filtered.
fn check(request: &RewriteRequest) -> Result<(), String> {
    if request.removed.is_empty() || request.removed.iter().any(|part| part.kind != PartKind::Errors) {
        return Err("it replaces no error parts, or others".to_owned());
    }
    if request.added.iter().chain(&request.removed).any(|part| part.table != request.table) {
        return Err(format!("it has parts of other tables than {}", request.table));
    }
    let of_kind = |kind| request.added.iter().filter(move |part| part.kind == kind);
    let (before, rows, kept) =
        (counted(&request.removed), counted(of_kind(PartKind::Rows)), counted(of_kind(PartKind::Errors)));
    let moved: BTreeMap<StreamId, &ErrorsMoved> = request.moved.iter().map(|moved| (moved.stream, moved)).collect();
    if moved.len() != request.moved.len() {
        return Err("it names a stream twice".to_owned());
    }
    for stream in before.keys().chain(rows.keys()).chain(kept.keys()).chain(moved.keys()) {
        let of = |counts: &BTreeMap<StreamId, u64>| counts.get(stream).copied().unwrap_or(0);
        let gone = moved.get(stream).map_or((0, 0), |moved| (moved.rows, moved.filtered));
        if of(&rows) != gone.0 || of(&before) != of(&kept) + gone.0 + gone.1 {
            return Err(format!(
                "of {} error rows of stream {stream} {} become rows, {} are filtered and {} stay, and its parts hold {} rows",
                of(&before),
                gone.0,
                gone.1,
                of(&kept),
                of(&rows)
            ));
        }
    }
    Ok(())
}

/// Rows of each stream.
fn counted<'a>(parts: impl IntoIterator<Item = &'a Part>) -> BTreeMap<StreamId, u64> {
    let mut counted = BTreeMap::new();
    for covered in parts.into_iter().flat_map(|part| &part.streams) {
        *counted.entry(covered.stream).or_insert(0) += covered.rows;
    }
    counted
}
