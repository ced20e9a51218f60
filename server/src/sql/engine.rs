//! The statement front as a whole: what all sessions share, and how one is opened.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::Catalog;
use vfs::World;
use warehouse::write::insert::Inserts;
use warehouse::write::source::SourceConnector;

use super::accounts::RootPassword;
use super::admission::{Admission, StatementLimits};
use super::limits::Limits;
use super::seams::{PipelineControl, PipelineProbe, QueryEngine, Runtime, TableCare, TableControl};
use super::session::Session;
use super::sessions::Sessions;
use super::variables::ServerFacts;
use crate::mysql::{Login, SessionFactory, SqlError, SqlSession};

/// What statements work with.
#[derive(Clone, Debug)]
pub struct Components {
    /// The catalog.
    pub catalog: Catalog,
    /// Runs queries.
    pub queries: Arc<dyn QueryEngine>,
    /// Carries out INSERTs.
    pub inserts: Arc<Inserts>,
    /// Empties tables.
    pub tables: Arc<dyn TableControl>,
    /// Pauses, resumes and drops pipelines.
    pub control: Arc<dyn PipelineControl>,
    /// Verifies tables, retries error rows.
    pub care: Arc<dyn TableCare>,
    /// Asks brokers.
    pub probe: Arc<dyn PipelineProbe>,
    /// Reads topics, for `kafka(…)` and for samples.
    pub sources: Arc<dyn SourceConnector>,
    /// What is going on.
    pub runtime: Arc<dyn Runtime>,
    /// Clock and randomness.
    pub world: World,
}

/// Settings of the statement front.
#[derive(Clone, Debug, Default)]
pub struct SqlSettings {
    /// What variables say of the server.
    pub facts: ServerFacts,
    /// What a statement may cost before it is understood.
    pub limits: Limits,
    /// How many run at a time.
    pub statements: StatementLimits,
    /// Who says what root's password is.
    pub root_password: RootPassword,
}

/// The statement front. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
}

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) components: Components,
    pub(crate) settings: SqlSettings,
    pub(crate) facts: Arc<ServerFacts>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) admission: Admission,
}

impl Engine {
    /// A statement front over `components`.
    pub fn new(components: Components, settings: SqlSettings) -> Self {
        let sessions = Arc::new(Sessions::new(Arc::clone(&components.world.clock)));
        let admission = Admission::new(settings.statements, Arc::clone(&components.world.clock));
        let facts = Arc::new(settings.facts.clone());
        Self { shared: Arc::new(Shared { components, settings, facts, sessions, admission }) }
    }
}

#[async_trait]
impl SessionFactory for Engine {
    async fn open(&self, login: Login) -> Result<Box<dyn SqlSession>, SqlError> {
        Ok(Box::new(Session::open(Arc::clone(&self.shared), login).await?))
    }
}
