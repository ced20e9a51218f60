//! The part of a server's process that clients ask: INSERT and TRUNCATE, by the product's own code. It runs where the manager does, as
//! in the product, and dies with it; what it owes its clients then, they find out by asking again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use catalog::{Catalog, CatalogError, TableId, Version};
use server::sql::seams::TableControl;
use server::tables::Tables;
use tokio::sync::mpsc;
use vfs::World;
use warehouse::schema::row_schema;
use warehouse::write::insert::{Begun, InsertError, Inserted, Inserts};

/// How long a server that starts waits for a catalog that does not answer.
const START_PAUSE: Duration = Duration::from_millis(100);

/// What a client asks.
#[derive(Clone, Debug)]
pub struct Request {
    /// Which of its statements, and which attempt at it.
    pub of: Asked,
    /// What it says.
    pub what: Wanted,
    /// The client goes away after so long, if it was not answered before.
    pub leaves: Option<Duration>,
}

/// Which request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// An attempt at an INSERT.
    Insert(u64, usize),
    /// A TRUNCATE.
    Truncate(usize),
}

/// What a request says.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// INSERT rows of these ids, which come in so many pieces.
    Insert {
        /// The label.
        label: Option<String>,
        /// The ids, in order.
        ids: Vec<i64>,
        /// In how many pieces.
        pieces: usize,
    },
    /// TRUNCATE.
    Truncate,
}

/// How a request ended, by what the server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// OK.
    Done(Option<Inserted>),
    /// It did not happen, and never will.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

impl End {
    /// The version that an INSERT was answered with.
    pub fn version(&self) -> Option<Version> {
        match self {
            Self::Done(Some(inserted)) => inserted.version,
            _ => None,
        }
    }
}

/// Answers on their way to clients. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Told(Arc<Mutex<VecDeque<(Asked, End)>>>);

impl Told {
    fn add(&self, of: Asked, end: End) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back((of, end));
    }

    /// The next.
    pub fn take(&self) -> Option<(Asked, End)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Server {
    /// Its catalog.
    pub catalog: Catalog,
    /// Its INSERTs.
    pub inserts: Arc<Inserts>,
    /// Its TRUNCATEs.
    pub tables: Arc<Tables>,
    /// The table.
    pub table: TableId,
    /// Its world.
    pub world: World,
    /// Where answers go.
    pub told: Told,
}

impl Server {
    /// Puts away what its earlier processes left, as a server does that starts, and then serves until nobody asks any more.
    pub async fn run(self, mut requests: mpsc::Receiver<Request>) {
        while self.put_away().await.is_err() {
            self.world.clock.sleep(START_PAUSE).await;
        }
        while let Some(request) = requests.recv().await {
            let server = self.clone();
            tokio::spawn(async move { server.serve(request).await });
        }
    }

    async fn put_away(&self) -> Result<(), CatalogError> {
        let dead = self.catalog.channels_of_dead(self.inserts.node(), self.inserts.process()).await?;
        self.inserts.close_dead(&dead).await
    }

    async fn serve(&self, Request { of, what, leaves }: Request) {
        let clock = Arc::clone(&self.world.clock);
        let left = async {
            match leaves {
                Some(after) => clock.sleep(after).await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            biased;
            end = self.carry_out(what) => end,
            () = left => End::Unknown("its client has gone away".to_owned()),
        };
        self.told.add(of, end);
    }

    async fn carry_out(&self, what: Wanted) -> End {
        match what {
            Wanted::Truncate => match self.tables.truncate(self.table).await {
                Ok(()) => End::Done(None),
                // What it had sent may have happened.
                Err(cause) => End::Unknown(cause),
            },
            Wanted::Insert { label, ids, pieces } => match self.insert(label.as_deref(), &ids, pieces).await {
                Ok(inserted) => End::Done(Some(inserted)),
                Err(error @ InsertError::Unknown { .. }) => End::Unknown(error.to_string()),
                Err(error) => End::Refused(error.to_string()),
            },
        }
    }

    async fn insert(&self, label: Option<&str>, ids: &[i64], pieces: usize) -> Result<Inserted, InsertError> {
        let table = self.catalog.table_by_id(self.table).await?;
        let mut writer = match self.inserts.begin(Arc::clone(&table), label).await? {
            Begun::Before(inserted) => return Ok(inserted),
            Begun::Writer(writer) => writer,
        };
        for piece in ids.chunks(ids.len().div_ceil(pieces).max(1)) {
            let kinds: StringArray = piece.iter().map(|id| Some(format!("k{}", id % 3))).collect();
            let columns = vec![Arc::new(Int64Array::from(piece.to_vec())) as _, Arc::new(kinds) as _];
            let rows = RecordBatch::try_new(row_schema(&table), columns).expect("the table has these columns");
            writer.push(rows).await?;
        }
        writer.finish().await
    }
}
