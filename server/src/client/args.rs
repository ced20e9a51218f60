//! The flags of `millrace sql`, and where its statements come from: the command line, standard input, or a prompt.

use std::fmt;
use std::io::{ErrorKind, IsTerminal, Read};

use vfs::SystemClock;

use super::connection::ConnectOptions;
use super::printer::Format;
use super::repl::Repl;
use super::shell::{Shell, ShellError};
use super::statements::{Splitter, Statement};
use crate::mysql::auth::{Plugin, Secret};

/// Ask a running server in SQL: statements with -e, from standard input, or at a prompt.
#[derive(Clone, clap::Args)]
pub struct SqlArgs {
    /// Run these statements, separated by ';', and leave; may be given several times
    #[arg(short = 'e', long, value_name = "SQL")]
    pub execute: Vec<String>,
    /// The server's name or address
    #[arg(short = 'H', long, default_value = "127.0.0.1")]
    pub host: String,
    /// The server's MySQL port
    #[arg(short = 'P', long, default_value_t = 9030)]
    pub port: u16,
    /// The user to log in as
    #[arg(short = 'u', long, default_value = "root")]
    pub user: String,
    /// The user's password; other users of this machine can see a command line, so better set the variable
    #[arg(short = 'p', long, env = "MILLRACE_PASSWORD", hide_env_values = true)]
    pub password: Option<Secret>,
    /// The database to begin in
    #[arg(short = 'D', long)]
    pub database: Option<String>,
    /// How answers are shown
    #[arg(short = 'f', long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

impl fmt::Debug for SqlArgs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SqlArgs")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Runs `millrace sql`. The first error ends it unless a person sits at the prompt; it is returned, not printed.
pub async fn run(args: SqlArgs) -> anyhow::Result<()> {
    // The message names its causes already; whoever prints the chain must not print them twice.
    run_by_input(args).await.map_err(|error| anyhow::anyhow!(error.to_string()))
}

/// Runs what the flags, standard input or a person says.
async fn run_by_input(args: SqlArgs) -> anyhow::Result<()> {
    let options = ConnectOptions {
        host: args.host,
        port: args.port,
        user: args.user,
        password: args.password.unwrap_or_else(|| Secret::new(String::new())),
        database: args.database,
        plugin: Plugin::CachingSha2,
    };
    let shell = Shell::open(options, args.format, Box::new(SystemClock::new())).await?;
    if !args.execute.is_empty() {
        let statements = args.execute.iter().flat_map(|text| split(text)).collect();
        return run_all(shell, statements).await;
    }
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Repl::new(shell).run().await;
    }
    let mut text = String::new();
    stdin.lock().read_to_string(&mut text)?;
    run_all(shell, split(&text)).await
}

async fn run_all(mut shell: Shell, statements: Vec<Statement>) -> anyhow::Result<()> {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    for statement in &statements {
        match shell.run(statement, &mut out).await {
            Ok(()) => {}
            // Whoever reads our output has seen enough, like `head`.
            Err(ShellError::Print(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    shell.close().await;
    Ok(())
}

fn split(text: &str) -> Vec<Statement> {
    let mut splitter = Splitter::default();
    splitter.push(text);
    let mut statements: Vec<Statement> = std::iter::from_fn(|| splitter.next()).collect();
    statements.extend(splitter.finish());
    statements
}
