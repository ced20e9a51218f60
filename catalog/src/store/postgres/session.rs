//! One session with a Postgres server, over `tokio-postgres`: logs in, is set up for its purpose, runs calls in one round trip,
//! hears notifications. Owns what is concluded from a call that failed: refused by a server that goes on, or lost.
//!
//! **If the server, the network or we die here:** the session is over, and with it on the server its transaction and its locks.
//! What was sent last may have been done: [`PgError::Lost`] never says otherwise.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::{BoxFuture, FutureExt, maybe_done};
use futures::stream::TryStreamExt;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_postgres::error::Severity;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{AsyncMessage, Client, Row, SimpleQueryMessage, Statement};

use super::address::PostgresAddress;
use super::schema::{Purpose, SERVER_MIN, set_up};

/// How long a server may take to let this program in.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to answer what was sent at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long the cause of a lost connection is waited for: it is noted in the moment in which calls fail.
const CAUSE_WITHIN: Duration = Duration::from_secs(1);

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PgError {
    /// The server refused it, and goes on.
    Refused {
        /// Which condition, as Postgres numbers them: `42501`.
        code: String,
        /// In the server's words.
        message: String,
    },
    /// The session is over, and what the server did last is not known.
    Lost(String),
    /// What is there is not what this program made.
    Damaged(String),
}

impl PgError {
    /// Whether trying again, with a new session, may help by itself: a server that is being restarted, or has no place for now.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Refused { code, .. } => ["57P01", "57P02", "57P03", "53300"].contains(&code.as_str()),
            Self::Damaged(_) => false,
        }
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, message } => write!(f, "{message} ({code})"),
            Self::Lost(cause) | Self::Damaged(cause) => f.write_str(cause),
        }
    }
}

/// A value sent to the server.
#[derive(Clone)]
pub(super) enum Param {
    Bytes(Bytes),
    Number(i64),
    Text(String),
    /// `bytea[]`
    List(Vec<Bytes>),
}

/// Without what is in it: the library logs what it sends, and what the catalog holds is nobody's business.
impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(items) => write!(f, "{} items", items.len()),
        }
    }
}

impl ToSql for Param {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Bytes(bytes) => bytes.as_ref().to_sql(ty, out),
            Self::Number(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::List(items) => items.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>().to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        [Type::BYTEA, Type::INT8, Type::TEXT, Type::BYTEA_ARRAY].contains(ty)
    }

    to_sql_checked!();
}

/// One statement with its values; `sql` casts each: `$1::bytea`, `$2::int8`.
#[derive(Clone, Debug)]
pub(super) struct Call {
    sql: &'static str,
    params: Vec<Param>,
}

impl Call {
    pub(super) fn new(sql: &'static str, params: impl Into<Vec<Param>>) -> Self {
        Self { sql, params: params.into() }
    }
}

/// What a call yields.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Its rows.
    pub(super) rows: Vec<Row>,
    /// How many rows it read or wrote.
    pub(super) done: u64,
}

impl Answer {
    /// The number in column `column` of the first row.
    pub(super) fn number(&self, column: usize) -> Option<i64> {
        self.rows.first()?.try_get(column).ok()
    }
}

/// What a script yields: up to where it failed, if it did.
#[derive(Debug, Default)]
pub(super) struct Script {
    /// How many of its statements were done.
    pub(super) done: usize,
    /// The rows of all of them, as text.
    pub(super) rows: Vec<Vec<String>>,
    /// What ended it before its last statement.
    pub(super) failure: Option<PgError>,
}

/// A session. Dropped, it ends, and with it its transaction and its locks.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    driver: tokio::task::JoinHandle<()>,
    /// Holds the cause once the connection has ended.
    ended: watch::Receiver<Option<String>>,
    heard: Arc<Notify>,
    /// What is called often, which the server has parsed.
    statements: BTreeMap<&'static str, Statement>,
    /// Set once an answer was given up, or the connection has ended: such a session is of no further use.
    spent: AtomicBool,
    lock: i64,
}

impl Drop for Session {
    /// The socket is closed at once: a session that hangs would hold its locks for as long as it does.
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Logs in.
    pub(super) async fn open(address: &PostgresAddress, purpose: Purpose) -> Result<Self, PgError> {
        let login = async {
            let config = address.config(purpose.name());
            // Not "lost": whoever tries again finds the same certificates.
            let tls = address.tls.connector().map_err(PgError::Damaged)?;
            let (client, mut connection) = config.connect(tls).await.map_err(not_let_in)?;
            let heard = Arc::new(Notify::new());
            let (end, ended) = watch::channel(None);
            let to_wake = Arc::clone(&heard);
            let driver = tokio::spawn(async move {
                let cause = loop {
                    match poll_fn(|context| connection.poll_message(context)).await {
                        Some(Ok(AsyncMessage::Notification(_))) => to_wake.notify_one(),
                        Some(Ok(message)) => tracing::debug!(?message, "Postgres says"),
                        Some(Err(error)) => break describe(&error),
                        None => break "it was closed".to_owned(),
                    }
                };
                // First the cause, then whoever waits for an answer learns that there will be none.
                end.send_replace(Some(cause));
                drop(connection);
            });
            let (statements, spent) = (BTreeMap::new(), AtomicBool::new(false));
            let mut session = Self { client, driver, ended, heard, statements, spent, lock: 0 };
            session.set_up(address, purpose).await?;
            Ok(session)
        };
        let in_time = timeout(CONNECT_WITHIN, login).await;
        in_time.unwrap_or_else(|_| Err(PgError::Lost(format!("it did not answer within {CONNECT_WITHIN:?}"))))
    }

    async fn set_up(&mut self, address: &PostgresAddress, purpose: Purpose) -> Result<(), PgError> {
        let Script { rows, failure, .. } = self.script(&set_up(purpose, &address.schema)).await;
        failure.map_or(Ok(()), Err)?;
        let told = rows.first().and_then(|row| {
            let [version, standby, lock] = <&[String; 3]>::try_from(row.as_slice()).ok()?;
            Some((version.parse::<u32>().ok()?, standby != "f", lock.parse().ok()?))
        });
        let refused = |message: &str| PgError::Refused { code: "0A000".to_owned(), message: message.to_owned() };
        self.lock = match told {
            Some((_, true, _)) => {
                return Err(refused("the server is a standby, which answers what is old: name the primary"));
            }
            Some((version, false, lock)) if version >= SERVER_MIN => lock,
            _ => return Err(refused("PostgreSQL 13 or later is needed")),
        };
        let wanted = purpose.statements();
        let prepared = pipelined(wanted.iter().map(|sql| self.client.prepare(sql).boxed()).collect()).await;
        for (sql, statement) in wanted.iter().zip(prepared) {
            match statement {
                Ok(statement) => drop(self.statements.insert(sql, statement)),
                Err(error) => return Err(self.failure(error).await),
            }
        }
        Ok(())
    }

    /// The number of the advisory lock under which a process commits: one for each schema.
    pub(super) fn lock_number(&self) -> i64 {
        self.lock
    }

    /// Whether it can be given to somebody else.
    pub(super) fn is_sound(&self) -> bool {
        !self.spent.load(Relaxed) && !self.client.is_closed()
    }

    /// Runs `calls`, one after another, in one round trip; an answer for each. A call that is refused does not hold up the next
    /// one, so whoever runs several looks at each answer. After [`PgError::Lost`] the session is over.
    ///
    /// Only statements of the session's purpose keep their order; others are parsed first.
    pub(super) async fn run(&self, calls: Vec<Call>) -> Vec<Result<Answer, PgError>> {
        let count = calls.len();
        let requests = calls.into_iter().map(|call| self.request(call).boxed()).collect();
        let Ok(answers) = timeout(ANSWER_WITHIN, pipelined(requests)).await else {
            return (0..count).map(|_| Err(self.gave_up())).collect();
        };
        let mut outcomes = Vec::with_capacity(count);
        for answer in answers {
            outcomes.push(match answer {
                Ok(answer) => Ok(answer),
                Err(error) => Err(self.failure(error).await),
            });
        }
        outcomes
    }

    /// As [`Session::run`], with one call.
    pub(super) async fn call(&self, call: Call) -> Result<Answer, PgError> {
        let gave_up = |_| Err(self.gave_up());
        match timeout(ANSWER_WITHIN, self.request(call)).await.map_or_else(gave_up, Ok)? {
            Ok(answer) => Ok(answer),
            Err(error) => Err(self.failure(error).await),
        }
    }

    async fn request(&self, call: Call) -> Result<Answer, tokio_postgres::Error> {
        let rows = match self.statements.get(call.sql) {
            Some(statement) => self.client.query_raw(statement, call.params).await?,
            None => self.client.query_raw(call.sql, call.params).await?,
        };
        let (mut rows, mut answer) = (pin!(rows), Answer::default());
        while let Some(row) = rows.try_next().await? {
            answer.rows.push(row);
        }
        answer.done = rows.rows_affected().unwrap_or_default();
        Ok(answer)
    }

    /// Runs the statements of `sql`, which the server is sent in one message: it has all of them or none.
    pub(super) async fn script(&self, sql: &str) -> Script {
        let mut script = Script::default();
        let failure = match timeout(ANSWER_WITHIN, self.follow(sql, &mut script)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(self.failure(error).await),
            Err(_) => Some(self.gave_up()),
        };
        Script { failure, ..script }
    }

    async fn follow(&self, sql: &str, script: &mut Script) -> Result<(), tokio_postgres::Error> {
        let mut messages = pin!(self.client.simple_query_raw(sql).await?);
        while let Some(message) = messages.try_next().await? {
            match message {
                SimpleQueryMessage::CommandComplete(_) => script.done += 1,
                SimpleQueryMessage::Row(row) => {
                    let columns = (0..row.len()).map(|column| row.get(column).unwrap_or_default().to_owned());
                    script.rows.push(columns.collect());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Sends `sql` without waiting for the server's word, so that its effect comes before that of the next call.
    pub(super) fn send(&self, sql: &str) {
        // It is sent when it is first polled; the answer goes to nobody.
        drop(self.client.batch_execute(sql).now_or_never());
    }

    /// Returns once there was a notification since the last call, or after `patience`.
    pub(super) async fn notified(&self, patience: Duration) -> Result<(), PgError> {
        tokio::select! {
            () = self.heard.notified() => Ok(()),
            cause = self.cause() => Err(lost(cause)),
            () = tokio::time::sleep(patience) => Ok(()),
        }
    }

    /// What ended the connection; waits until something has.
    async fn cause(&self) -> String {
        let mut ended = self.ended.clone();
        let cause = ended.wait_for(Option::is_some).await.ok().and_then(|cause| cause.clone());
        cause.unwrap_or_else(|| "it was given up".to_owned())
    }

    fn gave_up(&self) -> PgError {
        self.spent.store(true, Relaxed);
        lost(format!("no answer within {ANSWER_WITHIN:?}"))
    }

    async fn failure(&self, error: tokio_postgres::Error) -> PgError {
        let goes_on = |severity| severity == Some(Severity::Error);
        if let Some(refusal) = error.as_db_error()
            && goes_on(refusal.parsed_severity())
        {
            let (code, message) = (refusal.code().code().to_owned(), refusal.message().to_owned());
            return PgError::Refused { code, message };
        }
        self.spent.store(true, Relaxed);
        if error.is_closed()
            && let Ok(cause) = timeout(CAUSE_WITHIN, self.cause()).await
        {
            return lost(cause);
        }
        lost(describe(&error))
    }
}

fn lost(cause: impl fmt::Display) -> PgError {
    PgError::Lost(format!("the connection to Postgres was lost: {cause}"))
}

/// Why there is no session. Here the server calls all that it refuses fatal.
fn not_let_in(error: tokio_postgres::Error) -> PgError {
    use std::error::Error;
    if let Some(refusal) = error.as_db_error() {
        return PgError::Refused { code: refusal.code().code().to_owned(), message: refusal.message().to_owned() };
    }
    if error.is_closed() || error.source().is_some_and(|source| source.is::<std::io::Error>()) {
        return PgError::Lost(format!("cannot reach it: {}", describe(&error)));
    }
    // A password that is missing, a way of asking for it that the library does not know, a server that does not know it itself.
    PgError::Refused { code: "28000".to_owned(), message: describe(&error) }
}

/// The library's error with its causes, which it does not show by itself.
fn describe(error: &tokio_postgres::Error) -> String {
    let mut said = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        said = format!("{said}: {cause}");
        source = cause.source();
    }
    said
}

/// Waits for all of `requests`, which the server gets in this order: a request is sent when it is first polled.
async fn pipelined<T>(requests: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut requests: Vec<_> = requests.into_iter().map(maybe_done).collect();
    for request in &mut requests {
        let _sent = futures::poll!(request);
    }
    let mut answers = Vec::with_capacity(requests.len());
    for request in &mut requests {
        (&mut *request).await;
        answers.push(Pin::new(request).take_output().expect("it has just ended"));
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_not_shown() {
        let secret = Bytes::from_static(b"hunter2");
        let shown =
            format!("{:?} {:?}", Param::Bytes(secret.clone()), Call::new("SELECT 1", [Param::List(vec![secret])]));
        assert_eq!(shown, "7 bytes Call { sql: \"SELECT 1\", params: [1 items] }");
    }
}
