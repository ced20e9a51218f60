//! How many statements read rows at a time: so many run, the others wait their turn for a while, and then are told so (I8).
//!
//! A statement holds its place until its rows are read or dropped. Only those wait that read tables: what an operator needs to
//! see what is going on (SHOW, `system.*`, KILL) never does.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datafusion::sql::sqlparser::ast::{ObjectName, Statement, Visitor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use vfs::Clock;
use warehouse::walk::walk;

use super::system::SystemTable;
use crate::mysql::SqlError;

/// MySQL's number for too much at a time (ER_TOO_MANY_CONCURRENT_TRXS).
const TOO_MANY: u16 = 1637;

/// The limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementLimits {
    /// Statements that read rows at a time.
    pub running_max: usize,
    /// How long one waits for its turn.
    pub wait_max: Duration,
}

impl Default for StatementLimits {
    fn default() -> Self {
        Self { running_max: 64, wait_max: Duration::from_secs(10) }
    }
}

/// The places.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: StatementLimits,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    clock: Arc<dyn Clock>,
}

/// A place among the statements that run; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        metrics::gauge!("millrace_statements_running").decrement(1.0);
    }
}

impl Admission {
    pub(crate) fn new(limits: StatementLimits, clock: Arc<dyn Clock>) -> Self {
        metrics::gauge!("millrace_statements_limit").set(limits.running_max as f64);
        Self { limits, places: Arc::new(Semaphore::new(limits.running_max)), waiting: AtomicUsize::new(0), clock }
    }

    /// A place for `statement`, once there is one; `None` where it needs none.
    ///
    /// # Errors
    /// 1637, if none became free in time.
    pub(crate) async fn enter(&self, statement: &Statement) -> Result<Option<Place>, SqlError> {
        if !reads_tables(statement) {
            return Ok(None);
        }
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        metrics::gauge!("millrace_statements_running").increment(1.0);
        Ok(Some(Place { _permit: permit }))
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, SqlError> {
        let _waiting = Waiting::new(&self.waiting);
        tokio::select! {
            biased;
            permit = Arc::clone(&self.places).acquire_owned() => Ok(permit.expect("the semaphore is never closed")),
            () = self.clock.sleep(self.limits.wait_max) => Err(self.refusal()),
        }
    }

    fn refusal(&self) -> SqlError {
        metrics::counter!("millrace_statements_refused_total").increment(1);
        let StatementLimits { running_max, wait_max } = self.limits;
        let message = format!(
            "Too many statements: {running_max} read rows already (query.statements_max), {} wait, and none ended within {} s; \
             SHOW PROCESSLIST lists them; end one with KILL QUERY, or try again later",
            self.waiting.load(Ordering::Relaxed),
            wait_max.as_secs()
        );
        SqlError::new(TOO_MANY, message)
    }
}

/// One that waits, as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        metrics::gauge!("millrace_statements_waiting").increment(1.0);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("millrace_statements_waiting").decrement(1.0);
    }
}

/// Whether a statement, its names resolved, reads anything but what the server says of itself.
fn reads_tables(statement: &Statement) -> bool {
    struct Reads;

    impl Visitor for Reads {
        type Break = ();

        fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
            if is_of_the_server(name) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        }
    }

    walk(statement, &mut Reads).is_break()
}

fn is_of_the_server(name: &ObjectName) -> bool {
    let schema = name.0.len().checked_sub(2).and_then(|at| name.0[at].as_ident());
    schema.is_some_and(|schema| SystemTable::is_schema(&schema.value))
}

#[cfg(test)]
mod tests {
    use datafusion::sql::sqlparser::parser::Parser;
    use vfs::SystemClock;

    use super::*;
    use crate::sql::dialect::MillraceDialect;

    fn statement(sql: &str) -> Statement {
        Parser::parse_sql(&MillraceDialect, sql).unwrap().remove(0)
    }

    #[test]
    fn what_an_operator_asks_never_waits() {
        for (sql, waits) in [
            ("SELECT 1", false),
            ("SELECT * FROM system.tasks", false),
            ("SELECT * FROM information_schema.tables t JOIN SYSTEM.parts p ON true", false),
            ("SELECT * FROM `default`.flights", true),
            ("SELECT (SELECT count(*) FROM `default`.flights)", true),
            ("EXPLAIN ANALYZE SELECT * FROM `default`.flights", true),
            ("SELECT * FROM system.tasks JOIN `default`.flights ON true", true),
        ] {
            assert_eq!(reads_tables(&statement(sql)), waits, "{sql}");
        }
    }

    fn one_place(wait_max: Duration) -> Admission {
        Admission::new(StatementLimits { running_max: 1, wait_max }, Arc::new(SystemClock::new()))
    }

    #[tokio::test(start_paused = true)]
    async fn i8_who_finds_no_place_is_told_when_none_comes() {
        let admission = one_place(Duration::from_secs(3));
        let query = statement("SELECT * FROM `default`.flights");
        let first = admission.enter(&query).await.unwrap();
        assert!(first.is_some());
        assert!(admission.enter(&statement("SELECT 1")).await.unwrap().is_none());
        let refused = admission.enter(&query).await.unwrap_err();
        assert_eq!(refused.code, TOO_MANY);
        assert!(refused.message.contains("statements_max") && refused.message.contains("KILL QUERY"), "{refused:?}");
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_of_the_first_that_ends() {
        let admission = one_place(Duration::from_secs(3_600));
        let query = statement("SELECT * FROM `default`.flights");
        let first = admission.enter(&query).await.unwrap();
        let (second, ()) = tokio::join!(admission.enter(&query), async { drop(first) });
        assert!(second.unwrap().is_some());
        assert_eq!(admission.waiting.load(Ordering::Relaxed), 0);
    }
}
