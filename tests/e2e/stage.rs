//! A server in a temporary directory, with a session: what most tests begin with.

use std::path::PathBuf;
use std::time::Duration;

use millrace_tests::{Broker, Ledger, ServerOptions, ServerProcess, Sql, events, eventually};
use tempfile::TempDir;

/// The product, built for tests.
pub const BINARY: &str = env!("CARGO_BIN_EXE_millrace-under-test");
/// How long anything may take that should take a moment: the machine may be busy.
pub const SOON: Duration = Duration::from_secs(30);
/// Every record that became a row or an error row.
pub const ALL_EVENTS: &str = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM `events$errors`)";

/// A running server of its own.
pub struct Stage {
    pub options: ServerOptions,
    pub server: ServerProcess,
    pub sql: Sql,
    pub directory: TempDir,
}

impl Stage {
    /// A server with default settings.
    pub async fn open() -> Self {
        Self::open_with(&[]).await
    }

    /// A server with these settings.
    pub async fn open_with(settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let options = ServerOptions::new(BINARY, &directory.path().join("data"));
        let options = settings.iter().fold(options, |options, (name, value)| options.with(name, value));
        Stopped { options, directory }.start().await
    }

    /// A server that takes `broker`'s events, with these settings of the pipeline.
    pub async fn with_events(broker: &Broker, pipeline: &str) -> Self {
        let mut stage = Self::open().await;
        stage.take_events(broker, pipeline).await;
        stage
    }

    /// Creates the table and the pipeline of events.
    pub async fn take_events(&mut self, broker: &Broker, pipeline: &str) {
        for statement in events::ddl(broker, pipeline) {
            self.sql.run(&statement).await.unwrap();
        }
    }

    /// Kills the server and starts it again, on what is in its data directory.
    pub async fn kill_and_start(self) -> Self {
        let Self { options, server, sql, directory } = self;
        drop(sql);
        server.kill().await.unwrap();
        let server = ServerProcess::start(&options).await.unwrap();
        let sql = server.sql().await.unwrap();
        Self { options, server, sql, directory }
    }

    /// Stops the server in good order; what it leaves can be looked at.
    pub async fn stop(self) -> Stopped {
        let Self { options, server, sql, directory } = self;
        drop(sql);
        server.stop().await.unwrap();
        Stopped { options, directory }
    }

    /// Kills the server; what it leaves can be looked at.
    pub async fn kill(self) -> Stopped {
        let Self { options, server, sql, directory } = self;
        drop(sql);
        server.kill().await.unwrap();
        Stopped { options, directory }
    }

    /// The table of events adds up, and each byte of its parts is as it was written.
    pub async fn prove_events(&mut self) {
        let verdicts = self.sql.rows("SYSTEM VERIFY TABLE events FULL").await.unwrap();
        assert!(verdicts.iter().all(|row| row.iter().flatten().any(|cell| cell == "ok")), "{verdicts:?}");
    }

    /// Waits until the statement yields this number.
    pub async fn until(&self, sql: &str, expected: i64) {
        self.server.until(sql, expected, SOON).await.unwrap_or_else(|error| panic!("{error:#}"));
    }

    /// Waits until every record of the ledger is seen, and each once.
    pub async fn until_all_of(&mut self, ledger: &Ledger) {
        self.until(ALL_EVENTS, ledger.len() as i64).await;
        ledger.check(&events::seen(&mut self.sql).await.unwrap()).unwrap();
    }

    /// Waits until the one value of the statement contains `words`; returns it.
    pub async fn until_says(&mut self, sql: &str, words: &str) -> String {
        let session = &mut self.sql;
        eventually(&format!("{sql} says {words:?}"), SOON, async || match session.value(sql).await {
            Ok(value) if value.contains(words) => Ok(value),
            other => Err(format!("{other:?}")),
        })
        .await
    }
}

/// A server that does not run, and what it left.
pub struct Stopped {
    pub options: ServerOptions,
    pub directory: TempDir,
}

impl Stopped {
    /// Starts it again.
    pub async fn start(self) -> Stage {
        let server = ServerProcess::start(&self.options).await.unwrap();
        self.with(server).await
    }

    /// The stage of a server that was started.
    pub async fn with(self, server: ServerProcess) -> Stage {
        let sql = server.sql().await.unwrap();
        Stage { options: self.options, server, sql, directory: self.directory }
    }

    /// The words with which it refuses to start.
    pub async fn refusal(&self) -> String {
        match ServerProcess::start(&self.options).await {
            Ok(_) => panic!("it should not start"),
            Err(error) => format!("{error:#}"),
        }
    }

    /// Every file under a folder of the data directory.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let (mut files, mut folders) = (Vec::new(), vec![self.options.data_dir.join(folder)]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                // What says whose the parts are is none.
                if entry.ends_with("objects/_catalog") {
                    continue;
                }
                if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
            }
        }
        files.sort();
        files
    }
}

/// A message must name the place, the cause and the next step.
#[track_caller]
pub fn assert_says(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word:?} is missing in: {message}");
    }
    for ours in ["Error(", "Err(", "SqlError", "DataFusion", "anyhow", "panicked", "Internal error", "unwrap"] {
        assert!(!message.contains(ours), "{ours:?} should not be in: {message}");
    }
}
