//! Who is connected and what each is doing: for SHOW PROCESSLIST, SHOW STATUS and KILL.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;
use vfs::{Clock, Moment};

use super::redact;
use crate::mysql::Login;

/// Statements longer than this are shown cut.
const SHOWN_CHARACTERS_MAX: usize = 1_024;

/// One session, as SHOW PROCESSLIST shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) connection_id: u32,
    pub(crate) user: String,
    pub(crate) peer: String,
    pub(crate) database: Option<String>,
    /// What it executes; `None` while it waits for its client.
    pub(crate) statement: Option<String>,
    /// How far that is, where it tells.
    pub(crate) state: Option<String>,
    /// For how long it has been doing that.
    pub(crate) seconds: u64,
}

/// Counts over all sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) connections: u64,
    pub(crate) statements: u64,
    pub(crate) connected: u64,
    pub(crate) connected_max: u64,
    /// Prepared statements of all sessions.
    pub(crate) prepared: u64,
    pub(crate) running: u64,
    pub(crate) uptime_seconds: u64,
}

#[derive(Debug)]
struct Entry {
    user: String,
    peer: String,
    database: Option<String>,
    statement: Option<String>,
    /// How far that is, where it tells.
    state: Option<String>,
    since: Moment,
    prepared: usize,
    /// Cancels the statement at hand.
    cancel: CancellationToken,
    /// Ends the connection.
    killed: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<u32, Entry>,
    connections: u64,
    connected_max: usize,
    statements: u64,
}

/// All sessions of the process.
#[derive(Debug)]
pub(crate) struct Sessions {
    clock: Arc<dyn Clock>,
    started: Moment,
    state: Mutex<State>,
}

impl Sessions {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { started: clock.now(), clock, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session; it is taken out when what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>, login: &Login) -> Presence {
        let entry = Entry {
            user: login.user.clone(),
            peer: login.peer.clone(),
            database: login.database.clone(),
            statement: None,
            state: None,
            since: self.clock.now(),
            prepared: 0,
            cancel: CancellationToken::new(),
            killed: CancellationToken::new(),
        };
        let mut state = self.state();
        state.connections += 1;
        state.entries.insert(login.connection_id, entry);
        state.connected_max = state.connected_max.max(state.entries.len());
        Presence { sessions: Arc::clone(self), connection_id: login.connection_id }
    }

    /// Cancels what a session is executing, and with `query_only` unset all that it may ask later. `false` where there is
    /// no such session.
    pub(crate) fn kill(&self, connection_id: u32, query_only: bool) -> bool {
        let mut state = self.state();
        match state.entries.get_mut(&connection_id) {
            Some(entry) => {
                // In this order: who sees the connection ended finds its statement ended as well.
                entry.cancel.cancel();
                if !query_only {
                    entry.killed.cancel();
                }
                true
            }
            None => false,
        }
    }

    pub(crate) fn rows(&self) -> Vec<SessionRow> {
        let now = self.clock.now();
        let row = |(connection_id, entry): (&u32, &Entry)| SessionRow {
            connection_id: *connection_id,
            user: entry.user.clone(),
            peer: entry.peer.clone(),
            database: entry.database.clone(),
            statement: entry.statement.clone(),
            state: entry.state.clone(),
            seconds: now.since(entry.since).as_secs(),
        };
        self.state().entries.iter().map(row).collect()
    }

    pub(crate) fn counters(&self) -> Counters {
        let state = self.state();
        Counters {
            connections: state.connections,
            statements: state.statements,
            connected: state.entries.len() as u64,
            connected_max: state.connected_max as u64,
            prepared: state.entries.values().map(|entry| entry.prepared as u64).sum(),
            running: state.entries.values().filter(|entry| entry.statement.is_some()).count() as u64,
            uptime_seconds: self.clock.now().since(self.started).as_secs(),
        }
    }
}

/// One session's place among them.
#[derive(Debug)]
pub(crate) struct Presence {
    sessions: Arc<Sessions>,
    connection_id: u32,
}

impl Presence {
    /// Tells how far the statement is.
    pub(crate) fn set_state(&self, state: &str) {
        if let Some(entry) = self.sessions.state().entries.get_mut(&self.connection_id) {
            entry.state = Some(state.to_owned());
        }
    }

    /// A statement begins. Returns what cancels it, or `None` where the session was killed.
    pub(crate) fn begin(&self, statement: &str) -> Option<CancellationToken> {
        let shown = redact::shown(statement).chars().take(SHOWN_CHARACTERS_MAX).collect();
        let now = self.sessions.clock.now();
        let mut state = self.sessions.state();
        state.statements += 1;
        let entry = state.entries.get_mut(&self.connection_id)?;
        if entry.killed.is_cancelled() {
            return None;
        }
        entry.statement = Some(shown);
        entry.since = now;
        // A KILL QUERY between two statements is for neither.
        entry.cancel = CancellationToken::new();
        Some(entry.cancel.clone())
    }

    /// The statement has ended; or its rows have, where it had any.
    pub(crate) fn end(&self) {
        let now = self.sessions.clock.now();
        if let Some(entry) = self.sessions.state().entries.get_mut(&self.connection_id) {
            entry.statement = None;
            entry.since = now;
        }
    }

    /// Cancelled by a KILL of the session.
    pub(crate) fn killed(&self) -> CancellationToken {
        let state = self.sessions.state();
        state.entries.get(&self.connection_id).map_or_else(CancellationToken::new, |entry| entry.killed.clone())
    }

    /// The session has so many prepared statements now.
    pub(crate) fn set_prepared(&self, count: usize) {
        if let Some(entry) = self.sessions.state().entries.get_mut(&self.connection_id) {
            entry.prepared = count;
        }
    }

    /// The session uses another database now.
    pub(crate) fn set_database(&self, database: Option<&str>) {
        if let Some(entry) = self.sessions.state().entries.get_mut(&self.connection_id) {
            entry.database = database.map(str::to_owned);
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.sessions.state().entries.remove(&self.connection_id);
    }
}

#[cfg(test)]
mod tests {
    use vfs::SystemClock;

    use super::*;

    fn login(connection_id: u32) -> Login {
        Login {
            user: "root".into(),
            database: None,
            connection_id,
            peer: "127.0.0.1:5".into(),
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn a_session_is_listed_while_it_lasts() {
        let sessions = Arc::new(Sessions::new(Arc::new(SystemClock::new())));
        let first = sessions.enter(&login(7));
        let second = sessions.enter(&login(8));
        assert!(first.begin("SELECT 1").is_some());
        assert_eq!((sessions.counters().connected, sessions.counters().running), (2, 1));
        first.end();
        drop(second);
        assert_eq!(sessions.rows().iter().map(|row| row.connection_id).collect::<Vec<_>>(), [7]);
        assert_eq!((sessions.counters().connections, sessions.counters().running), (2, 0));
    }

    #[test]
    fn kill_query_ends_one_statement_and_kill_all_of_them() {
        let sessions = Arc::new(Sessions::new(Arc::new(SystemClock::new())));
        let presence = sessions.enter(&login(7));
        let cancel = presence.begin("SELECT 1").unwrap();
        assert!(sessions.kill(7, true) && cancel.is_cancelled());
        assert!(!presence.begin("SELECT 2").unwrap().is_cancelled() && !presence.killed().is_cancelled());
        assert!(sessions.kill(7, false) && presence.killed().is_cancelled() && presence.begin("SELECT 3").is_none());
        assert!(!sessions.kill(9, true));
    }
}
