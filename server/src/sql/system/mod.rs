//! The tables of `system` and `information_schema`: what stands behind every SHOW.
//!
//! `system` is ours: pipelines, tasks, streams, commits, parts, incidents. `information_schema` is MySQL's, as far as its
//! clients read it. A table is read when it is scanned: from the catalog, from [`Runtime`](super::seams::Runtime), or from
//! the session that asks.

pub(crate) mod cells;
mod commits;
mod empty;
mod errors;
mod incidents;
mod keys;
mod parts;
mod pipeline_versions;
mod pipelines;
mod provider;
mod reader;
mod schema_objects;
mod server;
mod settings;
mod streams;
mod tasks;
mod users;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use catalog::CatalogError;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::DataFusionError;

use cells::{Cell, Kind};
use provider::SystemProvider;

pub(crate) use parts::transform_name;
pub(crate) use reader::{Reader, SessionView};

/// A column: its name and its type.
pub(crate) type ColumnDef = (&'static str, Kind);
type Rows = Result<Vec<Vec<Cell>>, CatalogError>;

/// The schema of our own tables.
const SYSTEM: &str = "system";
/// MySQL's.
const INFORMATION_SCHEMA: &str = "information_schema";

/// Every such table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemTable {
    Pipelines,
    PipelineVersions,
    Tasks,
    Workers,
    Streams,
    Commits,
    Parts,
    Errors,
    Incidents,
    Settings,
    Users,
    Variables,
    Schemata,
    Tables,
    Columns,
    Statistics,
    SessionVariables,
    GlobalVariables,
    SessionStatus,
    GlobalStatus,
    Engines,
    CharacterSets,
    Collations,
    Plugins,
    ProcessList,
    Warnings,
    /// One of MySQL's that has no rows here; by its number.
    Empty(usize),
}

const NAMED: [SystemTable; 26] = [
    SystemTable::Pipelines,
    SystemTable::PipelineVersions,
    SystemTable::Tasks,
    SystemTable::Workers,
    SystemTable::Streams,
    SystemTable::Commits,
    SystemTable::Parts,
    SystemTable::Errors,
    SystemTable::Incidents,
    SystemTable::Settings,
    SystemTable::Users,
    SystemTable::Variables,
    SystemTable::Schemata,
    SystemTable::Tables,
    SystemTable::Columns,
    SystemTable::Statistics,
    SystemTable::SessionVariables,
    SystemTable::GlobalVariables,
    SystemTable::SessionStatus,
    SystemTable::GlobalStatus,
    SystemTable::Engines,
    SystemTable::CharacterSets,
    SystemTable::Collations,
    SystemTable::Plugins,
    SystemTable::ProcessList,
    SystemTable::Warnings,
];

impl SystemTable {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        NAMED.into_iter().chain((0..empty::TABLES.len()).map(Self::Empty))
    }

    /// The schemas that they are in.
    pub(crate) fn schemas() -> [&'static str; 2] {
        [INFORMATION_SCHEMA, SYSTEM]
    }

    /// Whether `name` is one of their schemas.
    pub(crate) fn is_schema(name: &str) -> bool {
        Self::schemas().iter().any(|schema| schema.eq_ignore_ascii_case(name))
    }

    /// The table of that name, without regard to case.
    pub(crate) fn find(schema: &str, name: &str) -> Option<Self> {
        Self::all().find(|table| table.schema().eq_ignore_ascii_case(schema) && table.name().eq_ignore_ascii_case(name))
    }

    /// The schema that it is in.
    pub(crate) fn schema(self) -> &'static str {
        match self {
            Self::Pipelines
            | Self::PipelineVersions
            | Self::Tasks
            | Self::Workers
            | Self::Streams
            | Self::Commits
            | Self::Parts
            | Self::Errors
            | Self::Incidents
            | Self::Settings
            | Self::Users
            | Self::Variables => SYSTEM,
            _ => INFORMATION_SCHEMA,
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Pipelines => "pipelines",
            Self::PipelineVersions => "pipeline_versions",
            Self::Tasks => "tasks",
            Self::Workers => "workers",
            Self::Streams => "streams",
            Self::Commits => "commits",
            Self::Parts => "parts",
            Self::Errors => "errors",
            Self::Incidents => "incidents",
            Self::Settings => "settings",
            Self::Users => "users",
            Self::Variables => "variables",
            Self::Schemata => "schemata",
            Self::Tables => "tables",
            Self::Columns => "columns",
            Self::Statistics => "statistics",
            Self::SessionVariables => "session_variables",
            Self::GlobalVariables => "global_variables",
            Self::SessionStatus => "session_status",
            Self::GlobalStatus => "global_status",
            Self::Engines => "engines",
            Self::CharacterSets => "character_sets",
            Self::Collations => "collations",
            Self::Plugins => "plugins",
            Self::ProcessList => "processlist",
            Self::Warnings => "warnings",
            Self::Empty(number) => empty::TABLES[number].0,
        }
    }

    /// Its columns.
    pub(crate) fn columns(self) -> &'static [ColumnDef] {
        match self {
            Self::Pipelines => pipelines::COLUMNS,
            Self::PipelineVersions => pipeline_versions::COLUMNS,
            Self::Tasks => tasks::COLUMNS,
            Self::Workers => workers::COLUMNS,
            Self::Streams => streams::COLUMNS,
            Self::Commits => commits::COLUMNS,
            Self::Parts => parts::COLUMNS,
            Self::Errors => errors::COLUMNS,
            Self::Incidents => incidents::COLUMNS,
            Self::Settings => settings::COLUMNS,
            Self::Users => users::COLUMNS,
            Self::Variables => server::DESCRIBED,
            Self::Schemata => schema_objects::SCHEMATA,
            Self::Tables => schema_objects::TABLES,
            Self::Columns => schema_objects::COLUMNS,
            Self::Statistics => keys::STATISTICS,
            Self::SessionVariables | Self::GlobalVariables | Self::SessionStatus | Self::GlobalStatus => {
                server::VARIABLES
            }
            Self::Engines => server::ENGINES,
            Self::CharacterSets => server::CHARACTER_SETS,
            Self::Collations => server::COLLATIONS,
            Self::Plugins => server::PLUGINS,
            Self::ProcessList => server::PROCESSLIST,
            Self::Warnings => server::WARNINGS,
            Self::Empty(number) => empty::TABLES[number].1,
        }
    }

    /// Its rows now. `wanted` are the columns that are asked for: some are costly.
    async fn rows(self, reader: &Reader, wanted: &[&str]) -> Rows {
        match self {
            Self::Pipelines => pipelines::rows(reader).await,
            Self::PipelineVersions => pipeline_versions::rows(reader).await,
            Self::Tasks => tasks::rows(reader).await,
            Self::Workers => workers::rows(reader).await,
            Self::Streams => streams::rows(reader).await,
            Self::Commits => commits::rows(reader).await,
            Self::Parts => parts::rows(reader).await,
            Self::Errors => errors::rows(reader).await,
            Self::Incidents => incidents::rows(reader).await,
            Self::Settings => settings::rows(reader),
            Self::Users => users::rows(reader).await,
            Self::Schemata => schema_objects::schemata(reader).await,
            Self::Tables => schema_objects::tables(reader, wanted).await,
            Self::Columns => schema_objects::columns(reader).await,
            Self::Statistics => keys::statistics(reader).await,
            Self::SessionVariables => server::variables(reader, server::Scope::Session),
            Self::GlobalVariables => server::variables(reader, server::Scope::Global),
            Self::Variables => server::described_variables(reader),
            Self::SessionStatus | Self::GlobalStatus => server::status(reader),
            Self::Engines => server::engines(),
            Self::CharacterSets => server::character_sets(),
            Self::Collations => server::collations(),
            Self::Plugins => server::plugins(),
            Self::ProcessList => server::processlist(reader),
            Self::Warnings => server::warnings(reader),
            Self::Empty(_) => Ok(Vec::new()),
        }
    }
}

/// The schemas of the system as one session sees them during one statement.
pub(crate) fn schemas(reader: Reader) -> BTreeMap<String, Arc<dyn SchemaProvider>> {
    let reader = Arc::new(reader);
    let schema = |name: &'static str| -> (String, Arc<dyn SchemaProvider>) {
        (name.to_owned(), Arc::new(SystemSchema { name, reader: Arc::clone(&reader) }))
    };
    SystemTable::schemas().map(schema).into()
}

/// One of them.
#[derive(Debug)]
struct SystemSchema {
    name: &'static str,
    reader: Arc<Reader>,
}

#[async_trait]
impl SchemaProvider for SystemSchema {
    fn table_names(&self) -> Vec<String> {
        SystemTable::all().filter(|table| table.schema() == self.name).map(|table| table.name().to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        let provider =
            |found| -> Arc<dyn TableProvider> { Arc::new(SystemProvider::new(found, Arc::clone(&self.reader))) };
        Ok(SystemTable::find(self.name, name).map(provider))
    }

    fn table_exist(&self, name: &str) -> bool {
        SystemTable::find(self.name, name).is_some()
    }
}
