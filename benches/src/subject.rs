//! What is measured: the real server in this process, put together as `millrace standalone` does it, in an empty directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use arrow::array::RecordBatch;
use catalog::{CatalogService, Part, PipelineId};
use futures::TryStreamExt;
use server::compose::Node;
use server::data_dir::DataDir;
use server::mysql::{Answer, Login, SqlSession};
use server::settings::Settings;
use tempfile::TempDir;
use vfs::World;

use crate::dataset::Dataset;
use crate::feed::Feed;

/// The name of the one pipeline.
const PIPELINE: &str = "bench_in";

/// Where its pipeline is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    /// The end of what is visible, by partition.
    pub(crate) visible: BTreeMap<i32, u64>,
    /// The same by stream.
    pub(crate) visible_of_stream: BTreeMap<u64, u64>,
    /// Bytes charged to the memory limit.
    pub(crate) memory_used: u64,
    /// Commits of its tasks.
    pub(crate) commits: u64,
    /// What troubles a task, or why a stream does not go on.
    pub(crate) trouble: Option<String>,
}

impl Positions {
    /// Visible records.
    pub(crate) fn records(&self) -> u64 {
        self.visible.values().sum()
    }
}

/// A running server.
pub(crate) struct Subject {
    node: Node,
    session: Box<dyn SqlSession>,
    pipeline: Option<PipelineId>,
    _directory: TempDir,
}

impl Subject {
    /// Starts it on free ports. Settings come from the environment, as the product's own, and `with` on top of them.
    pub(crate) async fn start(directory: TempDir, with: &[(&str, String)]) -> anyhow::Result<Self> {
        let free = ["MILLRACE__MYSQL__LISTEN", "MILLRACE__HTTP__LISTEN"]
            .map(|name| (name.to_owned(), "127.0.0.1:0".to_owned()));
        let with = with.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        let settings = Settings::load(None, std::env::vars().chain(free).chain(with))?;
        let world = World::system();
        let data_dir = DataDir::open(directory.path(), &*world.random)?;
        let node = Node::start(settings, data_dir, world).await?;
        let login = Login {
            user: "root".to_owned(),
            database: Some("default".to_owned()),
            connection_id: 0,
            peer: "millrace-bench".to_owned(),
            attributes: BTreeMap::new(),
        };
        let session = node.sessions.open(login).await.map_err(|error| anyhow!("{}", error.message))?;
        Ok(Self { node, session, pipeline: None, _directory: directory })
    }

    /// Runs a statement; its rows.
    pub(crate) async fn sql(&mut self, statement: &str) -> anyhow::Result<Vec<RecordBatch>> {
        let failed = |error: server::mysql::SqlError| anyhow!("{statement}: {}", error.message);
        match self.session.execute(statement).await.map_err(failed)? {
            Answer::Done { .. } => Ok(Vec::new()),
            Answer::Rows { stream, .. } => stream.try_collect().await.map_err(failed),
        }
    }

    /// Makes the table and its pipeline, which begins to read.
    pub(crate) async fn ingest(&mut self, dataset: Dataset, feed: &Feed, settings: &str) -> anyhow::Result<()> {
        self.sql(&dataset.ddl()).await?;
        let (table, brokers, topic) = (dataset.table(), &feed.bootstrap, &feed.topic);
        self.sql(&format!(
            "CREATE PIPELINE {PIPELINE} INTO {table} AS SELECT * FROM KAFKA (brokers = '{brokers}', topic = '{topic}', \
             format = 'json', start = 'earliest') WITH ({settings})"
        ))
        .await?;
        self.pipeline = Some(self.node.catalog.pipeline("default", PIPELINE).await?.id);
        Ok(())
    }

    /// Where the pipeline is, by the workers' heartbeats: what they say is visible, a query sees.
    pub(crate) async fn positions(&self) -> Positions {
        let mut positions = Positions::default();
        for worker in self.node.manager.heartbeats().await {
            positions.memory_used += worker.memory_used;
            for task in &worker.tasks {
                positions.commits += task.commits;
                for stream in &task.streams {
                    positions.visible.insert(stream.partition, stream.visible.0);
                    positions.visible_of_stream.insert(stream.stream.0, stream.visible.0);
                    if stream.condition != warehouse::write::messages::StreamCondition::Owned {
                        positions.trouble = Some(format!("partition {}: {:?}", stream.partition, stream.condition));
                    }
                }
                if let Some(trouble) = &task.trouble {
                    positions.trouble = Some(trouble.message.clone());
                }
            }
        }
        positions.trouble = positions.trouble.or_else(|| self.node.manager.trouble(self.pipeline?));
        positions
    }

    /// Where MySQL clients connect.
    pub(crate) fn mysql_port(&self) -> u16 {
        self.node.mysql_address.port()
    }

    /// How often a table was committed to.
    pub(crate) async fn commits(&self, table: &str) -> anyhow::Result<u64> {
        let table = self.node.catalog.table("default", table).await?;
        Ok(self.node.catalog.commits(table.id, usize::MAX - 1).await?.len() as u64)
    }

    /// How many parts a table has, and their bytes.
    pub(crate) async fn stored(&self, table: &str) -> anyhow::Result<(usize, u64)> {
        let table = self.node.catalog.table("default", table).await?;
        let snapshot = self.node.catalog.snapshot(table.id).await?;
        Ok((snapshot.parts.len(), snapshot.parts.iter().map(|part| part.bytes).sum()))
    }

    /// Commits all that is visible.
    pub(crate) async fn commit_all(&mut self) -> anyhow::Result<()> {
        self.sql(&format!("PAUSE PIPELINE {PIPELINE}")).await.map(|_| ())
    }

    /// Records that are committed.
    pub(crate) async fn committed(&self) -> anyhow::Result<u64> {
        let pipeline = self.pipeline.context("there is a pipeline")?;
        Ok(self.node.catalog.streams(pipeline).await?.iter().map(|stream| stream.committed.0).sum())
    }

    /// The table's parts, and how many commits made them.
    pub(crate) async fn parts(&self, dataset: Dataset) -> anyhow::Result<Vec<Part>> {
        let table = self.node.catalog.table("default", dataset.table()).await?;
        let snapshot = self.node.catalog.snapshot(table.id).await?;
        Ok(snapshot.parts.iter().map(|part| Part::clone(part)).collect())
    }

    /// Fails unless the table has exactly so many rows, each offset once: a fast wrong answer is no result.
    pub(crate) async fn verify(&mut self, dataset: Dataset, records: u64) -> anyhow::Result<()> {
        use arrow::array::AsArray;
        use arrow::datatypes::Int64Type;
        let table = dataset.table();
        let of_offsets = format!("SELECT count(*) AS n FROM {table} GROUP BY _stream, _offset");
        let sql = format!("SELECT count(*), sum(n) FROM ({of_offsets}) AS offsets");
        let answer = self.sql(&sql).await?;
        let row = answer.iter().find(|batch| batch.num_rows() > 0).context("one row")?;
        let number = |column: usize| row.column(column).as_primitive::<Int64Type>().value(0);
        let (offsets, rows) = (number(0), number(1));
        match u64::try_from(offsets)? == records && offsets == rows {
            true => Ok(()),
            false => bail!("{records} records were sent, and {table} has {rows} rows of {offsets} offsets"),
        }
    }

    /// Stops it as an operator does.
    pub(crate) async fn stop(self) {
        drop(self.session);
        self.node.stop().await;
    }
}

/// A directory for one run, on the disk of `place`, or of the temporary files.
pub(crate) fn directory(place: Option<&Path>) -> anyhow::Result<TempDir> {
    let place = place.map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new()
        .prefix("millrace-bench-")
        .tempdir_in(&place)
        .with_context(|| format!("cannot make a directory in {}", place.display()))
}
