//! What a statement says, once it is read and before anything is looked up. Owns the shape, neither syntax nor meaning.

use std::collections::BTreeMap;
use std::fmt;

use catalog::PartitionTransform;
use datafusion::sql::sqlparser::ast;

use super::headings::Heading;
use super::seams::OffsetsByTopic;

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Statement {
    /// SELECT, WITH, VALUES, and EXPLAIN of them.
    Query(Query),
    /// CREATE DATABASE.
    CreateDatabase { name: String, if_not_exists: bool },
    /// DROP DATABASE.
    DropDatabase { name: String, if_exists: bool },
    /// CREATE TABLE.
    CreateTable(Box<CreateTable>),
    /// CREATE TABLE … FROM KAFKA, and EXPLAIN of it.
    CreateTableFrom(Box<CreateTableFrom>),
    /// DROP TABLE, of one or several.
    DropTable { tables: Vec<Name>, if_exists: bool },
    /// TRUNCATE TABLE.
    Truncate(Name),
    /// INSERT.
    Insert(Box<Insert>),
    /// CREATE PIPELINE.
    CreatePipeline(Box<CreatePipeline>),
    /// DROP PIPELINE.
    DropPipeline { pipeline: Name, if_exists: bool },
    /// PAUSE PIPELINE.
    PausePipeline(Name),
    /// RESUME PIPELINE: `how` says how the trouble that paused it is met from now on; keys as in WITH.
    ResumePipeline { pipeline: Name, how: BTreeMap<String, String> },
    /// ALTER PIPELINE, and EXPLAIN of it.
    AlterPipeline(Box<AlterPipeline>),
    /// SYSTEM VERIFY TABLE.
    VerifyTable { table: Name, full: bool },
    /// RETRY ERRORS.
    RetryErrors { pipeline: Name, condition: Option<Box<ast::Expr>> },
    /// CREATE USER, of one or several.
    CreateUser { users: Vec<UserClause>, if_not_exists: bool },
    /// ALTER USER … IDENTIFIED BY, and SET PASSWORD.
    AlterUser { users: Vec<UserClause>, if_exists: bool },
    /// DROP USER, of one or several.
    DropUser { users: Vec<Account>, if_exists: bool },
    /// SHOW, DESCRIBE.
    Show(Box<Show>),
    /// SET, of one or several variables.
    Set(Vec<Setting>),
    /// USE.
    Use(String),
    /// KILL.
    Kill { query_only: bool, connection: u32 },
    /// PREPARE.
    Prepare { name: String, source: PrepareSource },
    /// EXECUTE, USING the user variables of these names.
    Execute { name: String, arguments: Vec<String> },
    /// DEALLOCATE PREPARE.
    Deallocate(String),
    /// BEGIN, COMMIT, ROLLBACK: each statement stands for itself, and only a warning may come of it.
    Transaction(Transaction),
    /// What is accepted and does nothing here: savepoints, table locks.
    Nothing,
    /// What is known, and not built.
    Unsupported {
        /// What was asked for.
        what: String,
        /// What to do meanwhile.
        instead: &'static str,
    },
}

/// Where a transaction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transaction {
    Begin,
    Commit,
    Rollback,
    /// ROLLBACK TO a savepoint, which does not end it.
    RollbackTo,
}

/// Which user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The session's own.
    Current,
    /// The one of that name.
    Named(String),
}

/// One user of CREATE or ALTER USER. It holds what is kept of a password, which has no Debug.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct UserClause {
    pub(crate) account: Account,
    /// Nothing where no IDENTIFIED BY was typed.
    pub(crate) credential: Option<catalog::Credential>,
}

impl fmt::Debug for UserClause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserClause").field("account", &self.account).finish_non_exhaustive()
    }
}

/// Where PREPARE has its text from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PrepareSource {
    /// It stands there.
    Text(String),
    /// A user variable holds it.
    Variable(String),
}

/// A statement that yields rows through the engine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// The syntax tree.
    pub(crate) ast: Box<ast::Statement>,
    /// How its columns are headed, where that is known.
    pub(crate) headings: Vec<Heading>,
}

/// The name of a table or a pipeline, as typed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Name {
    /// Its database, where one was typed.
    pub(crate) database: Option<String>,
    /// Its own name.
    pub(crate) name: String,
}

/// CREATE TABLE.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CreateTable {
    pub(crate) table: Name,
    pub(crate) if_not_exists: bool,
    pub(crate) columns: Vec<ColumnClause>,
    pub(crate) partition_by: Vec<(String, PartitionTransform)>,
    pub(crate) order_by: Vec<String>,
    /// Options that were read and have no effect here, as typed.
    pub(crate) ignored: Vec<String>,
    /// AS SELECT: what it is filled with, and where `columns` is empty what its columns are.
    pub(crate) query: Option<Query>,
}

/// INSERT.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Insert {
    pub(crate) table: Name,
    /// WITH LABEL: by which a retry is known again.
    pub(crate) label: Option<String>,
    /// The columns that it names, as typed; without, all of the table.
    pub(crate) columns: Option<Vec<String>>,
    pub(crate) source: InsertSource,
}

/// Where the rows of an INSERT come from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InsertSource {
    /// VALUES, row by row.
    Values(Vec<Vec<InsertValue>>),
    /// A query.
    Query(Box<ast::Query>),
}

/// One value of VALUES.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum InsertValue {
    /// DEFAULT.
    Default,
    /// An expression, mostly a literal.
    Expr(ast::Expr),
}

/// CREATE TABLE … FROM KAFKA.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CreateTableFrom {
    /// The table; without columns where these are to be told from a sample.
    pub(crate) create: CreateTable,
    /// KAFKA (…): keys in lower case.
    pub(crate) source: BTreeMap<String, String>,
    /// WITH (…), ON GAP and ON ERROR, of the pipeline: keys in lower case.
    pub(crate) settings: BTreeMap<String, String>,
    /// EXPLAIN: nothing is made.
    pub(crate) is_dry: bool,
}

/// One column of CREATE TABLE.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ColumnClause {
    pub(crate) name: String,
    pub(crate) kind: catalog::ColumnType,
    pub(crate) nullable: bool,
    pub(crate) default: Option<catalog::Scalar>,
    pub(crate) comment: String,
}

/// CREATE PIPELINE, its parts as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreatePipeline {
    pub(crate) pipeline: Name,
    pub(crate) if_not_exists: bool,
    pub(crate) table: Name,
    /// The SELECT list, as typed.
    pub(crate) projection: String,
    /// KAFKA (…): keys in lower case.
    pub(crate) source: BTreeMap<String, String>,
    /// WHERE, as typed.
    pub(crate) filter: Option<String>,
    /// WITH (…) and ON GAP: keys in lower case.
    pub(crate) settings: BTreeMap<String, String>,
}

/// ALTER PIPELINE, its parts as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlterPipeline {
    pub(crate) pipeline: Name,
    /// EXPLAIN stands before it: what it would do.
    pub(crate) explain: bool,
    pub(crate) what: AlterClauses,
}

/// What ALTER PIPELINE changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AlterClauses {
    /// SEEK TO.
    Seek(SeekClause),
    /// AS SELECT, SOURCE, SET, ON GAP and ON ERROR, in any order.
    Definition(Box<DefinitionClauses>),
}

/// Where SEEK TO goes, as typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SeekClause {
    Earliest,
    Latest,
    Timestamp(String),
    Offsets(OffsetsByTopic),
}

/// What of a pipeline becomes another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DefinitionClauses {
    /// The SELECT list and the WHERE, as typed.
    pub(crate) select: Option<(String, Option<String>)>,
    /// SOURCE (…): keys in lower case.
    pub(crate) source: BTreeMap<String, String>,
    /// SET (…), ON GAP and ON ERROR: keys in lower case.
    pub(crate) settings: BTreeMap<String, String>,
}

/// One assignment of SET.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Setting {
    /// A system variable of the session.
    Variable { name: String, value: ast::Expr },
    /// One of all sessions, by GLOBAL or PERSIST.
    Global { name: String },
    /// `@name`.
    User { name: String, value: ast::Expr },
    /// SET NAMES, or SET CHARACTER SET where `connection_follows_database`; `None` for DEFAULT.
    Names { charset: Option<String>, collation: Option<String> },
    /// SET TRANSACTION ISOLATION LEVEL: the level as `@@transaction_isolation` shows it.
    Isolation(&'static str),
    /// SET TRANSACTION READ ONLY or READ WRITE.
    ReadOnly(bool),
}

/// SHOW and DESCRIBE.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Show {
    pub(crate) what: ShowWhat,
    pub(crate) filter: ShowFilter,
}

/// What is to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShowWhat {
    Databases,
    Tables { full: bool, database: Option<String> },
    TableStatus { database: Option<String> },
    Columns { full: bool, table: Name },
    Indexes { table: Name },
    CreateTable(Name),
    CreateDatabase(String),
    CreatePipeline(Name),
    Pipelines { database: Option<String> },
    Topics(BTreeMap<String, String>),
    Tasks,
    Workers,
    Streams,
    Incidents,
    Settings,
    Variables { global: bool },
    Status { global: bool },
    Warnings,
    Errors,
    CountWarnings,
    CountErrors,
    Engines,
    Charset,
    Collation,
    Plugins,
    ProcessList { full: bool },
    Grants(Account),
    Users,
    Routines,
    Triggers,
    Events,
}

/// LIKE or WHERE of a SHOW.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ShowFilter {
    All,
    Like(String),
    Where(Box<ast::Expr>),
}
