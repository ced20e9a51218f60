//! The real binary as a process of its own, so that it can be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::Sql;

/// How a server is started.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The binary: `env!("CARGO_BIN_EXE_millrace-under-test")`.
    pub binary: PathBuf,
    /// Its data directory.
    pub data_dir: PathBuf,
    /// What FAILPOINTS says; empty for none.
    pub failpoints: String,
    /// Further environment, such as settings.
    pub environment: Vec<(String, String)>,
}

impl ServerOptions {
    /// A server without failpoints.
    pub fn new(binary: &str, data_dir: &Path) -> Self {
        let (failpoints, environment) = (String::new(), Vec::new());
        Self { binary: binary.into(), data_dir: data_dir.to_owned(), failpoints, environment }
    }
}

/// A running server.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    /// Its MySQL port.
    pub mysql_port: u16,
    /// Its HTTP port.
    pub http_port: u16,
}

impl ServerProcess {
    /// Starts it, and waits until it says where it listens.
    ///
    /// # Errors
    /// If it ends before it is ready: the error holds what it wrote to standard error.
    pub async fn start(options: &ServerOptions) -> anyhow::Result<Self> {
        let log = options.data_dir.with_extension("log");
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&log)?;
        let mut child = Command::new(&options.binary)
            .args(["standalone", "--mysql-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0", "--data-dir"])
            .arg(&options.data_dir)
            .env("FAILPOINTS", &options.failpoints)
            .envs(options.environment.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", options.binary.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("it has a standard output")?).lines();
        let (mut mysql_port, mut http_port) = (None, None);
        while mysql_port.is_none() || http_port.is_none() {
            let Some(line) = lines.next_line().await? else {
                let status = child.wait().await?;
                bail!("the server ended with {status} before it was ready:\n{}", tail(&log));
            };
            let words: Vec<&str> = line.split_whitespace().collect();
            let port = |address: &str| address.rsplit(':').next().and_then(|port| port.parse().ok());
            match words.as_slice() {
                ["mysql", address, ..] => mysql_port = port(address),
                ["http", address, ..] => http_port = port(address),
                _ => {}
            }
        }
        // Whatever it prints later is read away, so that it never blocks on a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let (mysql_port, http_port) = (mysql_port.context("a MySQL port")?, http_port.context("an HTTP port")?);
        Ok(Self { child, mysql_port, http_port })
    }

    /// A new session.
    ///
    /// # Errors
    /// If it does not let the client in.
    pub async fn sql(&self) -> anyhow::Result<Sql> {
        Sql::connect(self.mysql_port).await
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// If there is nothing to kill.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await.context("cannot kill the server")
    }

    /// Waits until it has died by itself, as a crash point makes it. `false` if it lives after `within`.
    ///
    /// # Errors
    /// If the operating system does not say.
    pub async fn died(&mut self, within: Duration) -> anyhow::Result<bool> {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => status.map(|_| true).context("cannot wait for the server"),
            Err(_) => Ok(false),
        }
    }

    /// Waits until `sql` yields `expected`.
    ///
    /// # Errors
    /// If it does not within `within`: the error holds what it yields instead.
    pub async fn until(&self, sql: &str, expected: i64, within: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        let mut session = self.sql().await?;
        loop {
            let found = session.number(sql).await;
            match found {
                Ok(found) if found == expected => return Ok(()),
                found if Instant::now() > deadline => {
                    bail!("{sql} should be {expected}, and is {found:?} after {within:?}");
                }
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
