//! A catalog of one table, whose snapshots are made by hand.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use catalog::{
    CatalogError, CatalogService, CommitOutcome, CommitRequest, CommitToken, Epoch, Fence, Ledger, NodeId, Offset,
    Owner, Part, PartitionIdentity, PipelineId, Stream, StreamId, StreamIdentity, StreamState, StreamView, Table,
    TableId, TableSnapshot, TaskIndex, UploadIntent, Version, VoidOutcome, WriterId,
};

use crate::read::resolver::TableResolver;

/// What a test does right before a snapshot is taken.
type Step = Box<dyn FnOnce() + Send>;

/// The catalog.
pub(in crate::read) struct FakeCatalog {
    table: Arc<Table>,
    state: Mutex<State>,
    steps: Mutex<VecDeque<Step>>,
}

#[derive(Default)]
struct State {
    version: u8,
    parts: Vec<Arc<Part>>,
    streams: BTreeMap<StreamId, StreamView>,
    snapshots: usize,
}

impl fmt::Debug for FakeCatalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeCatalog")
    }
}

impl FakeCatalog {
    pub(in crate::read) fn new(table: Arc<Table>) -> Arc<Self> {
        Arc::new(Self { table, state: Mutex::default(), steps: Mutex::default() })
    }

    /// Grants a stream, opening it where needed; answers its committed offset.
    pub(in crate::read) fn grant(&self, stream: StreamId, address: &str, epoch: Epoch) -> Offset {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let owner = Owner {
            epoch,
            node: NodeId(address.to_owned()),
            address: address.to_owned(),
            task: TaskIndex(0),
            pipeline_fence: Fence(1),
        };
        let view = state.streams.entry(stream).or_insert_with(|| self.opened(stream));
        view.owner = Some(owner);
        view.committed
    }

    fn opened(&self, stream: StreamId) -> StreamView {
        let identity = StreamIdentity::Partition(PartitionIdentity {
            pipeline: PipelineId(1),
            topic: "flights".to_owned(),
            incarnation: String::new(),
            partition: stream.0 as i32 - 1,
            generation: 0,
        });
        let stream = Stream { id: stream, identity, table: self.table.id, start: Offset(0), state: StreamState::Open };
        StreamView { stream: Arc::new(stream), committed: Offset(0), owner: None, ledger: Ledger::default() }
    }

    /// A commit: the parts and the ends become visible together.
    pub(in crate::read) fn commit_parts(&self, parts: &[Part], ends: &BTreeMap<StreamId, Offset>, _token: CommitToken) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        state.parts.extend(parts.iter().cloned().map(Arc::new));
        for (stream, end) in ends {
            state.streams.get_mut(stream).unwrap().committed = *end;
        }
    }

    /// Removes a stream, as if it was closed and no part named it any more.
    pub(in crate::read) fn forget(&self, stream: StreamId) {
        self.state.lock().unwrap().streams.remove(&stream);
    }

    /// The visible parts.
    pub(in crate::read) fn parts(&self) -> Vec<Arc<Part>> {
        self.state.lock().unwrap().parts.clone()
    }

    /// How many snapshots were taken.
    pub(in crate::read) fn snapshots(&self) -> usize {
        self.state.lock().unwrap().snapshots
    }

    /// Does `step` right before a coming snapshot is taken, one step each.
    pub(in crate::read) fn before_snapshot(&self, step: impl FnOnce() + Send + 'static) {
        self.steps.lock().unwrap().push_back(Box::new(step));
    }
}

#[async_trait]
impl CatalogService for FakeCatalog {
    async fn stage(&self, _intents: &[UploadIntent]) -> Result<(), CatalogError> {
        Ok(())
    }

    async fn commit(&self, _request: &CommitRequest) -> Result<CommitOutcome, CatalogError> {
        unimplemented!("tests commit by hand")
    }

    async fn void(&self, _writer: WriterId, _token: CommitToken) -> Result<VoidOutcome, CatalogError> {
        unimplemented!("tests commit by hand")
    }

    async fn snapshot(&self, table: TableId) -> Result<TableSnapshot, CatalogError> {
        assert_eq!(table, self.table.id);
        let step = self.steps.lock().unwrap().pop_front();
        if let Some(step) = step {
            step();
        }
        let mut state = self.state.lock().unwrap();
        state.snapshots += 1;
        let mut version = [0; 16];
        version[15] = state.version;
        Ok(TableSnapshot {
            version: Version(version),
            table: Arc::clone(&self.table),
            parts: Arc::new(state.parts.clone()),
            streams: Arc::new(state.streams.clone()),
        })
    }
}

#[async_trait]
impl TableResolver for FakeCatalog {
    async fn resolve(&self, database: &str, name: &str) -> Result<Arc<Table>, CatalogError> {
        let found = database.eq_ignore_ascii_case(&self.table.database) && name.eq_ignore_ascii_case(&self.table.name);
        let missing =
            || CatalogError::NotFound { what: format!("table `{database}`.`{name}`; did you mean `Flights`?") };
        found.then(|| Arc::clone(&self.table)).ok_or_else(missing)
    }
}
