//! SYSTEM VERIFY TABLE: proves from the log's ledgers and the parts that the offsets of every stream are covered once, and says where
//! not. With `Full` also from the rows in the Parquet files. It changes nothing, and a table that is damaged gets a verdict.
//!
//! ```text
//!   the log, record by record ──> an account per stream ──┬─ against the key that commits compare
//!                                                         ├─ against the parts' row counts and ranges
//!                                                         ├─ each part's object: there, in its length
//!                                                         └─ full: its checksums, and each row's _stream and _offset
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use catalog::{Catalog, CatalogError, Offset, OffsetRange, Part, StreamId, StreamIdentity, TableId, Version};
use futures::{StreamExt, stream};
use object_store::ObjectStore;
use vfs::{World, compute};

use super::ledger::Accounts;
use super::offsets::Offsets;
use crate::memory::MemoryBudget;
use crate::read::whole_part::{self as part, PartFault};
use crate::schema::{OFFSET_COLUMN, STREAM_COLUMN};

/// Objects that are looked at at a time.
const LOOKS: usize = 16;
/// What a row takes while its part is looked at: its stream and its offset, decoded, and the offset once more to be sorted.
const ROW_BYTES: u64 = 24;
/// So many faults of one stream are told; the rest are counted.
const FAULTS_TOLD: usize = 8;

/// Why there is no verdict. Of what a table is, it says nothing.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The table is gone, or the catalog does not answer.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// Less memory is left than it takes.
    #[error(
        "part {part} takes {bytes} bytes of memory to be read whole, beside {held} for the offsets of all parts, and what ingest and \
         other statements hold leaves less (memory.limit): run it again when less runs, or without FULL"
    )]
    Memory {
        /// The part that is read next.
        part: String,
        /// What that takes.
        bytes: u64,
        /// What is held already.
        held: u64,
    },
}

/// How closely a table is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// What the catalog says, and that the objects are there.
    Parts,
    /// The rows too.
    Full,
}

/// What was found of a stream, or of the table where `stream` is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamVerdict {
    /// The stream.
    pub stream: Option<StreamId>,
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// From its start to its committed offset.
    pub range: OffsetRange,
    /// Rows.
    pub rows: u64,
    /// Error rows.
    pub errors: u64,
    /// Records that the pipeline left out.
    pub filtered: u64,
    /// Offsets without a record: skipped, expired and truncated.
    pub gaps: u64,
    /// What is wrong; empty if every offset is covered once.
    pub faults: Vec<String>,
}

impl StreamVerdict {
    /// What is wrong, in one text.
    pub fn detail(&self) -> String {
        let told = self.faults.iter().take(FAULTS_TOLD).cloned().collect::<Vec<_>>().join("; ");
        match self.faults.len().saturating_sub(FAULTS_TOLD) {
            0 => told,
            more => format!("{told}; and {more} more"),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Verifier {
    /// Where the log is.
    pub catalog: Catalog,
    /// Where the parts are.
    pub objects: Arc<dyn ObjectStore>,
    /// Threads.
    pub world: World,
    /// What it holds is charged as a query's.
    pub memory: Arc<MemoryBudget>,
}

impl Verifier {
    /// The verdict on every stream that ever went into the table, by id; last, if there is any, what is wrong with no stream in
    /// particular. `progress` is told in a few words how far it is.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify(
        &self,
        table: TableId,
        depth: Depth,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Vec<StreamVerdict>, VerifyError> {
        let mut accounts = Accounts::default();
        let head = self.read(table, Version::ZERO, &mut accounts, progress).await?;
        self.compare_checkpoints(table, head, &mut accounts, progress).await?;
        accounts.compare_parts();
        let mut offsets = Offsets::default();
        self.look_at_parts(depth, &mut accounts, &mut offsets, progress).await?;
        Ok(verdicts(accounts, &mut offsets))
    }

    /// Adds all records after `after`; the head that it has reached.
    async fn read(
        &self,
        table: TableId,
        after: Version,
        accounts: &mut Accounts,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Version, CatalogError> {
        let head = self.catalog.audit_head(table).await?;
        let (mut next, mut records) = (Some(after).filter(|after| *after < head), 0_usize);
        while let Some(after) = next {
            let page = self.catalog.audit(table, after, head).await?;
            records += page.entries.len();
            if page.entries.is_empty() {
                accounts.faults.push(format!("the log ends before its head {head}"));
            }
            for entry in page.entries {
                accounts.add(entry);
            }
            next = page.next;
            progress(format!("read {records} records of the log"));
        }
        Ok(head)
    }

    /// The key that commits compare stands between the log as it was read and the log after: commits go on meanwhile.
    async fn compare_checkpoints(
        &self,
        table: TableId,
        head: Version,
        accounts: &mut Accounts,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), CatalogError> {
        let mut keys: BTreeMap<StreamId, Option<Offset>> = BTreeMap::new();
        for id in accounts.streams.keys() {
            keys.insert(*id, self.catalog.audit_checkpoint(*id).await?);
        }
        let before: BTreeMap<StreamId, Offset> = accounts.streams.iter().map(|(id, of)| (*id, of.next)).collect();
        self.read(table, head, accounts, progress).await?;
        for (id, account) in &mut accounts.streams {
            // A pipeline that was dropped leaves its rows, and no key.
            let Some(Some(key)) = keys.get(id) else { continue };
            let least = before.get(id).copied().unwrap_or(account.stream.start);
            if *key < least || account.next < *key {
                account.faults.push(format!(
                    "its offset key stands at {key}, and its commits end at {} (I3)",
                    if *key < least { least } else { account.next }
                ));
            }
        }
        Ok(())
    }

    async fn look_at_parts(
        &self,
        depth: Depth,
        accounts: &mut Accounts,
        offsets: &mut Offsets,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), VerifyError> {
        let parts: Vec<Part> = accounts.parts.values().cloned().collect();
        let count = parts.len();
        if depth == Depth::Parts {
            let look = |part: Part| async move { (part::look(&*self.objects, &part).await, part) };
            let mut looks = stream::iter(parts).map(look).buffer_unordered(LOOKS);
            let mut done = 0;
            while let Some((found, part)) = looks.next().await {
                done += 1;
                progress(format!("looked at {done} of {count} parts"));
                if let Err(fault) = found {
                    blame(accounts, &part, &fault);
                }
            }
            return Ok(());
        }
        // One at a time: each is in memory whole.
        let mut charge = self.memory.hold(0);
        for (done, part) in parts.into_iter().enumerate() {
            progress(format!("read {done} of {count} parts"));
            let (held, bytes) = (offsets.bytes(), part.bytes + part.rows * ROW_BYTES);
            if !charge.try_resize(held + bytes) {
                return Err(VerifyError::Memory { part: part.id.to_string(), bytes, held });
            }
            match self.read_offsets(&part).await {
                Err(fault) => blame(accounts, &part, &fault),
                Ok(batches) => {
                    for (stream, fault) in offsets.add(&part, &batches) {
                        match accounts.streams.get_mut(&stream) {
                            Some(account) => account.faults.push(fault),
                            None => accounts.faults.push(fault),
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn read_offsets(&self, part: &Part) -> Result<Vec<arrow::array::RecordBatch>, PartFault> {
        let bytes = part::fetch(&*self.objects, part).await?;
        let part = part.clone();
        compute(&*self.world.compute, move || part::rows(&part, bytes, Some(&[STREAM_COLUMN, OFFSET_COLUMN]))).await
    }
}

/// Whatever is wrong with a part is wrong with each stream that it covers.
fn blame(accounts: &mut Accounts, part: &Part, fault: &PartFault) {
    for covered in &part.streams {
        if let Some(account) = accounts.streams.get_mut(&covered.stream) {
            account.faults.push(fault.to_string());
        }
    }
}

fn verdicts(accounts: Accounts, offsets: &mut Offsets) -> Vec<StreamVerdict> {
    let mut verdicts = Vec::new();
    for (id, account) in accounts.streams {
        let range = OffsetRange::new(account.stream.start, account.next);
        let mut faults = account.faults;
        faults.extend(offsets.compare(id, OffsetRange::new(account.from, account.next), &account.gaps));
        let (topic, partition) = match &account.stream.identity {
            StreamIdentity::Partition(of) => (of.topic.clone(), of.partition),
            StreamIdentity::Channel(of) => (format!("(INSERTs by the server {})", of.node), 0),
        };
        let ledger = account.ledger;
        verdicts.push(StreamVerdict {
            stream: Some(id),
            topic,
            partition,
            range,
            rows: ledger.rows,
            errors: ledger.errors,
            filtered: ledger.filtered,
            gaps: ledger.skipped + ledger.expired + ledger.truncated,
            faults,
        });
    }
    if !accounts.faults.is_empty() {
        verdicts.push(StreamVerdict {
            stream: None,
            topic: String::new(),
            partition: 0,
            range: OffsetRange::new(Offset(0), Offset(0)),
            rows: 0,
            errors: 0,
            filtered: 0,
            gaps: 0,
            faults: accounts.faults,
        });
    }
    verdicts
}
