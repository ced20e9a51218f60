//! INSERT: rows that come from a client and not from a broker. They are answered after their commit, so until then nobody sees them
//! and nothing of them is logged: `writer -> (channel) -> parts -> commit`.
//!
//! ```text
//!   INSERT ─> [InsertWriter] ──few rows──> [channel of the table] ── what is in flight shares ──> one commit
//!                   └──many──> a channel of its own: parts as rows come ──────────────────────> one commit
//! ```
//!
//! | step | now guaranteed | if the process dies here |
//! |---|---|---|
//! | rows taken | nothing | the client has no answer |
//! | parts uploaded | durable, invisible | orphans: the sweeper takes the intent, then the file |
//! | commit sent | unknown | the client asks again under its label, which tells whether it happened |
//! | committed | all rows or none, once for each label | the same |
//!
//! A channel is a stream with offsets and an epoch of its own (`channel.rs`): one for all small INSERTs of a process into a table, as
//! long as there are any, and one for each large INSERT, whose offsets must not be in the way of others for as long as it lasts.
//! Owns the order of these steps. What a value of a column is, is decided before: rows come in the table's own columns.

mod channel;
mod error;
mod labels;
mod large;
mod rows;
mod uploads;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog::{
    CatalogError, ChannelCloser, ChannelIdentity, ChannelService, LabelOutcome, NodeId, Table, TableId, Version,
};
use object_store::ObjectStore;
use tokio::task::JoinHandle;
use vfs::World;

use super::flush::Flusher;
use crate::memory::MemoryBudget;
use channel::{ChannelTask, Inbox, Pending};
pub use error::InsertError;
use labels::{Labels, Taken};
pub use writer::InsertWriter;

/// What INSERTs work with.
#[derive(Clone, Debug)]
pub struct InsertParts {
    /// Clock, randomness, threads.
    pub world: World,
    /// Takes commits, and opens channels.
    pub catalog: Arc<dyn ChannelService>,
    /// Where parts go.
    pub objects: Arc<dyn ObjectStore>,
    /// Charged with rows until they are committed.
    pub budget: Arc<MemoryBudget>,
    /// This server's lasting name.
    pub node: NodeId,
}

/// Validated numbers of a process's INSERTs.
#[derive(Clone, Copy, Debug)]
pub struct InsertSettings {
    /// An INSERT of more bytes does not share its commit; nor do INSERTs of more bytes together share one.
    pub group_bytes: u64,
    /// A large INSERT writes parts whenever it has this many bytes in memory.
    pub flush_bytes: u64,
    /// How long a store may be away before the INSERTs that wait for it are given up. A commit that was sent is not.
    pub store_wait: Duration,
    /// A table's channel is closed when nothing was inserted for this long.
    pub idle: Duration,
    /// How often a large INSERT makes the intents of its uploads young again; well below the age at which they are swept.
    pub renew: Duration,
}

impl Default for InsertSettings {
    fn default() -> Self {
        Self {
            group_bytes: 8 << 20,
            flush_bytes: 128 << 20,
            store_wait: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            renew: Duration::from_secs(30),
        }
    }
}

/// An INSERT that is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inserted {
    /// The version that has its rows; `None` where there was none and no label.
    pub version: Option<Version>,
    /// How many rows.
    pub rows: u64,
    /// Whether an INSERT with the same label had been committed before: then this is how that one ended, and nothing was added.
    pub repeated: bool,
}

impl Inserted {
    fn before(outcome: LabelOutcome) -> Self {
        Self { version: Some(outcome.version), rows: outcome.rows, repeated: true }
    }
}

/// How an INSERT begins.
#[derive(Debug)]
pub enum Begun {
    /// It takes rows.
    Writer(InsertWriter),
    /// Its label is known: this is how the first one ended.
    Before(Inserted),
}

/// The INSERTs of a process.
pub struct Inserts {
    parts: InsertParts,
    settings: InsertSettings,
    /// Tells this process's channels from those of an earlier process of the same server.
    process: u64,
    /// Channels that were opened.
    opened: AtomicU64,
    labels: Arc<Labels>,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    closing: bool,
    inboxes: BTreeMap<TableId, Inbox>,
    tasks: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Inserts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inserts")
            .field("process", &self.process)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Inserts {
    /// No INSERT yet.
    pub fn new(parts: InsertParts, settings: InsertSettings) -> Arc<Self> {
        let process = parts.world.random.next_u64();
        let (opened, labels, tables) = (AtomicU64::new(0), Labels::new(), Mutex::default());
        Arc::new(Self { parts, settings, process, opened, labels, tables })
    }

    /// What tells this process from earlier ones of the same server.
    pub fn process(&self) -> u64 {
        self.process
    }

    /// The server's lasting name.
    pub fn node(&self) -> &NodeId {
        &self.parts.node
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an INSERT of rows in the columns of `table`. One whose label is in flight waits for the other's end first.
    ///
    /// # Errors
    /// If the label cannot be one, or the catalog does not answer.
    pub async fn begin(self: &Arc<Self>, table: Arc<Table>, label: Option<&str>) -> Result<Begun, InsertError> {
        let claim = match label {
            None => None,
            Some(label) => match self.labels.take(&*self.parts.catalog, table.id, label).await? {
                Taken::Claim(claim) => Some(claim),
                Taken::Before(outcome) => return Ok(Begun::Before(Inserted::before(outcome))),
            },
        };
        Ok(Begun::Writer(InsertWriter::new(Arc::clone(self), table, claim)))
    }

    /// Hands rows to the table's channel.
    async fn submit(self: &Arc<Self>, table: TableId, mut pending: Pending) -> Result<(), InsertError> {
        loop {
            let inbox = self.inbox(table)?;
            match inbox.send(pending).await {
                Ok(()) => return Ok(()),
                // It went to rest at this moment: the next one begins.
                Err(refused) => pending = refused.0,
            }
            self.tables().inboxes.retain(|_, known| !known.same_channel(&inbox));
        }
    }

    fn inbox(self: &Arc<Self>, table: TableId) -> Result<Inbox, InsertError> {
        let mut tables = self.tables();
        if tables.closing {
            return Err(InsertError::Closing);
        }
        if let Some(inbox) = tables.inboxes.get(&table).filter(|inbox| !inbox.is_closed()) {
            return Ok(inbox.clone());
        }
        let (inbox, task) = ChannelTask::new(Arc::clone(self), table);
        tables.inboxes.insert(table, inbox.clone());
        tables.tasks.retain(|task| !task.is_finished());
        tables.tasks.push(tokio::spawn(task.run()));
        Ok(inbox)
    }

    fn identity(&self) -> ChannelIdentity {
        let number = self.opened.fetch_add(1, Ordering::Relaxed);
        ChannelIdentity { node: self.parts.node.clone(), process: self.process, number }
    }

    fn flusher(&self, table: &Arc<Table>, channel: &catalog::Channel) -> Flusher {
        let catalog: Arc<dyn ChannelService> = Arc::clone(&self.parts.catalog);
        Flusher {
            table: Arc::clone(table),
            writer: catalog::WriterId::Channel(channel.stream),
            objects: Arc::clone(&self.parts.objects),
            catalog,
            world: self.parts.world.clone(),
        }
    }

    /// Closes a channel of this process. One that cannot be is closed by the server's next process: it has no rows in hand.
    async fn close(&self, table: TableId, identity: &ChannelIdentity) {
        if let Err(error) = self.parts.catalog.close_channel(table, identity, ChannelCloser::Itself).await {
            tracing::warn!(table = table.0, %error, "an insert channel could not be closed; the next start closes it");
        }
    }

    /// Closes channels that processes of this server left when they died.
    ///
    /// # Errors
    /// If the catalog does not answer; whoever starts next tries again.
    pub async fn close_dead(&self, dead: &[(TableId, ChannelIdentity)]) -> Result<(), CatalogError> {
        for (table, identity) in dead {
            self.parts.catalog.close_channel(*table, identity, ChannelCloser::Another).await?;
        }
        Ok(())
    }

    /// Takes nothing more, and returns once all that was taken is answered and the channels are closed.
    pub async fn shut_down(&self) {
        let tasks = {
            let mut tables = self.tables();
            tables.closing = true;
            tables.inboxes.clear();
            std::mem::take(&mut tables.tasks)
        };
        for task in tasks {
            // One that panicked has said so, and its waiters have their error.
            drop(task.await);
        }
    }
}
