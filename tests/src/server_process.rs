//! The real binary as a process of its own, so that it can be killed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::Sql;

const ANY_PORT: &str = "127.0.0.1:0";
/// How long a server may take to commit what is visible, and end.
const STOP_WITHIN: Duration = Duration::from_secs(30);

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
    /// Where it is told to listen for MySQL clients.
    pub mysql_listen: String,
    /// Where it is told to listen for HTTP.
    pub http_listen: String,
    /// Its settings file, if it has one.
    pub config: Option<PathBuf>,
    /// What it writes to standard error, over all its lives. A test that fills the server's disk has it on another.
    pub log: PathBuf,
}

impl ServerOptions {
    /// A server without failpoints.
    pub fn new(binary: &str, data_dir: &Path) -> Self {
        Self {
            binary: binary.into(),
            data_dir: data_dir.to_owned(),
            failpoints: String::new(),
            environment: Vec::new(),
            mysql_listen: ANY_PORT.to_owned(),
            http_listen: ANY_PORT.to_owned(),
            config: None,
            log: data_dir.with_extension("log"),
        }
    }

    /// With a setting: `wal.disk_reserve`.
    #[must_use]
    pub fn with(mut self, setting: &str, value: &str) -> Self {
        let name = format!("MILLRACE__{}", setting.to_ascii_uppercase().replace('.', "__"));
        self.environment.push((name, value.to_owned()));
        self
    }

    fn command(&self) -> anyhow::Result<Command> {
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut command = Command::new(&self.binary);
        command
            .args([
                "standalone",
                "--mysql-listen",
                &self.mysql_listen,
                "--http-listen",
                &self.http_listen,
                "--data-dir",
            ])
            .arg(&self.data_dir)
            .env("FAILPOINTS", &self.failpoints)
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true);
        if let Some(config) = &self.config {
            command.arg("--config").arg(config);
        }
        Ok(command)
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
    log: PathBuf,
}

impl Drop for ServerProcess {
    /// A test that failed says what its server has said: the directory is gone afterwards.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's log ends with:\n{}", tail(&self.log));
        }
    }
}

impl ServerProcess {
    /// Starts it, and waits until it says where it listens.
    ///
    /// # Errors
    /// If it ends before it is ready: the error holds what it wrote to standard error.
    pub async fn start(options: &ServerOptions) -> anyhow::Result<Self> {
        let mut command = options.command()?;
        let mut child = command.spawn().with_context(|| format!("cannot start {}", options.binary.display()))?;
        let mut lines = BufReader::new(child.stdout.take().context("it has a standard output")?).lines();
        let (mut mysql_port, mut http_port) = (None, None);
        while mysql_port.is_none() || http_port.is_none() {
            let Some(line) = lines.next_line().await? else {
                let status = child.wait().await?;
                bail!("the server ended with {status} before it was ready:\n{}", tail(&options.log));
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
        Ok(Self { child, mysql_port, http_port, log: options.log.clone() })
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

    /// Asks it to stop, as an operator does.
    ///
    /// # Errors
    /// If there is nobody to ask.
    pub fn ask_to_stop(&self) -> anyhow::Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?)).context("it has ended already")?;
        Ok(kill_process(pid, Signal::TERM)?)
    }

    /// Asks it to stop, and waits until it has.
    ///
    /// # Errors
    /// If it does not within half a minute, or ends with an error.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.ask_to_stop()?;
        let status =
            tokio::time::timeout(STOP_WITHIN, self.child.wait()).await.context("the server does not stop")??;
        if status.success() { Ok(()) } else { bail!("the server stopped with {status}") }
    }

    /// What HTTP answers: the status and the body.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn http(&self, path: &str) -> anyhow::Result<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http_port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).context("an HTTP status")?;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
        Ok((status, body))
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

/// The last lines of a log. A device is not read: the one that takes nothing gives without an end.
fn tail(log: &Path) -> String {
    let text = if log.is_file() { std::fs::read_to_string(log).unwrap_or_default() } else { String::new() };
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
