//! The ground for benchmarks below the server: an embedded catalog with a table, a pipeline, and all of its streams granted
//! to this process, as its manager would have done it.

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use catalog::store::RedbStore;
use catalog::{
    Catalog, Epoch, GrantOutcome, GrantRequest, Granted, KafkaSource, LeaseOutcome, LeaseRequest, NewPipeline,
    NewTable, NodeId, Offset, Owner, PartitionIdentity, Pipeline, PipelineSettings, Stream, Table, TaskIndex,
};
use vfs::World;

/// Longer than any benchmark, so that nobody has to renew it.
const LEASE_MS: u64 = 86_400_000;

/// A stream that may be committed to.
pub(crate) struct Held {
    /// The stream.
    pub(crate) stream: Arc<Stream>,
    /// Its grant.
    pub(crate) granted: Granted,
}

/// See the module.
pub(crate) struct Ground {
    /// The catalog.
    pub(crate) catalog: Catalog,
    /// The table.
    pub(crate) table: Arc<Table>,
    /// The pipeline into it.
    pub(crate) pipeline: Arc<Pipeline>,
    /// Its streams, by partition.
    pub(crate) streams: Vec<Held>,
    store: Arc<RedbStore>,
}

impl Ground {
    /// Makes all of it, in a new file.
    pub(crate) async fn prepare(
        file: &Path,
        world: &World,
        table: NewTable,
        source: KafkaSource,
        incarnation: &str,
        partitions: i32,
    ) -> anyhow::Result<Self> {
        let store = Arc::new(RedbStore::open(file, Arc::clone(&world.clock)).await?);
        let catalog = Catalog::open(Arc::clone(&store) as _, world.clone()).await?;
        let table = catalog.create_table(table, false).await?;
        let topic = source.topics.to_string();
        let new = NewPipeline {
            database: "default".to_owned(),
            name: "bench_in".to_owned(),
            table: table.id,
            source,
            projection: "*".to_owned(),
            filter: None,
            settings: PipelineSettings::default(),
        };
        let pipeline = catalog.create_pipeline(new, false).await?;
        let holder = NodeId("bench".to_owned());
        let lease = LeaseRequest { pipeline: pipeline.id, holder: holder.clone(), seen: None, duration_ms: LEASE_MS };
        let LeaseOutcome::Held(lease) = catalog.lease(&lease).await? else { bail!("the lease is not to be had") };
        let identity = |partition| PartitionIdentity {
            pipeline: pipeline.id,
            topic: topic.clone(),
            incarnation: incarnation.to_owned(),
            partition,
            generation: 0,
        };
        let wanted: Vec<_> = (0..partitions).map(|partition| (identity(partition), Offset(0))).collect();
        let mut streams = Vec::new();
        for (stream, task) in catalog.open_streams(&wanted, lease.epoch).await?.into_iter().zip(0..) {
            let address = "bench".to_owned();
            let (node, epoch, pipeline_fence) = (holder.clone(), Epoch(0), pipeline.fence);
            let owner = Owner { epoch, node, address, task: TaskIndex(task), pipeline_fence };
            let request = GrantRequest { stream: stream.id, expected: None, manager: lease.epoch, owner };
            match catalog.grant(&request).await? {
                GrantOutcome::Granted(granted) => streams.push(Held { stream, granted }),
                other => bail!("a new stream was not granted: {other:?}"),
            }
        }
        Ok(Self { catalog, table, pipeline, streams, store })
    }

    /// Closes the file.
    pub(crate) async fn close(self) {
        self.store.close().await;
    }
}
