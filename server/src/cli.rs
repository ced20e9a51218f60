//! The command line: what `millrace` can be told, and how it ends.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;
use warehouse::read::engine::STACK_BYTES;

use crate::catalog_tools::CatalogCommand;
use crate::client::SqlArgs;
use crate::console::complain;
use crate::mysql::auth::Secret;
use crate::settings::Settings;
use crate::{catalog_tools, client, demo, standalone};

/// Takes Kafka topics into columnar tables exactly once, and answers SQL about them over the MySQL protocol.
#[derive(Debug, Parser)]
#[command(name = "millrace", version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Try it, with nothing else installed:
  millrace demo                       a broker, a year of flights and a server, in one process
  millrace sql                        in a second terminal: ask it something

Then on your own Kafka:
  millrace standalone --data-dir ./millrace-data
  millrace sql -e \"CREATE TABLE clicks (ts TIMESTAMP, user_id BIGINT, kind VARCHAR(20)) ORDER BY (ts)\"
  millrace sql -e \"CREATE PIPELINE clicks_in INTO clicks AS SELECT * FROM KAFKA (brokers = 'localhost:9092', \
topic = 'clicks', format = 'json', start = 'earliest')\"

Settings: docs/settings.md. Statements: docs/sql.md.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a broker, a year of real flights and a server in this process, and watch them arrive.
    ///
    /// Needs nothing installed. Without --data-dir it works in a temporary directory that is removed at the end.
    Demo(DemoArgs),
    /// Start a server with its own embedded catalog, for any Kafka. State outlives restarts and kills.
    Standalone(StandaloneArgs),
    /// Ask a running server: a small SQL client for its MySQL port.
    Sql(SqlArgs),
    /// Look into a catalog, check it, or move it to another store.
    #[command(subcommand)]
    Catalog(CatalogCommand),
}

/// Flags that every server takes.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// A settings file (TOML); see docs/settings.md.
    #[arg(long, env = "MILLRACE_CONFIG")]
    pub config: Option<PathBuf>,
    /// Where MySQL clients connect. [default: 127.0.0.1:9030]
    #[arg(long)]
    pub mysql_listen: Option<SocketAddr>,
    /// Where /healthz, /readyz and /metrics are. [default: 127.0.0.1:8030]
    #[arg(long)]
    pub http_listen: Option<SocketAddr>,
}

/// The flags of `millrace standalone`.
#[derive(Clone, Args)]
pub struct StandaloneArgs {
    /// Where the write-ahead log is kept, and by default everything else: catalog and parts. Made if it is not there.
    #[arg(long, env = "MILLRACE_DATA_DIR")]
    pub data_dir: PathBuf,
    /// Where the catalog is: redb:PATH, or postgres://user@host:port/database?schema=name. [default: in the data directory]
    ///
    /// A password is better kept in the settings (catalog.password_file) than here, where other users of the machine see it.
    #[arg(long, env = "MILLRACE_CATALOG", hide_env_values = true, value_name = "URL")]
    pub catalog: Option<Secret>,
    /// Where the parts are: file:PATH, s3://bucket/prefix?endpoint=URL, gs://…, az://…. [default: in the data directory]
    #[arg(long, env = "MILLRACE_OBJECT_STORE", hide_env_values = true, value_name = "URL")]
    pub object_store: Option<Secret>,
    /// The rest.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The flags of `millrace demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Keep the data here, instead of in a temporary directory that is removed at the end.
    #[arg(long)]
    pub data_dir: Option<PathBuf>,
    /// End once all flights are committed, instead of serving until Ctrl-C.
    #[arg(long)]
    pub exit_when_done: bool,
    /// The rest.
    #[command(flatten)]
    pub server: ServerArgs,
}

impl ServerArgs {
    /// The settings of file, environment and flags.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn settings(&self) -> anyhow::Result<Settings> {
        self.settings_with([])
    }

    /// The same, with further flags.
    fn settings_with<const N: usize>(&self, flags: [(&str, Option<String>); N]) -> anyhow::Result<Settings> {
        let of_every_server = [
            ("MYSQL__LISTEN", self.mysql_listen.map(|address| address.to_string())),
            ("HTTP__LISTEN", self.http_listen.map(|address| address.to_string())),
        ];
        let flags = of_every_server.into_iter().chain(flags);
        let flags = flags.filter_map(|(key, value)| value.map(|value| (format!("MILLRACE__{key}"), value)));
        // Flags come last, and so win.
        Settings::load(self.config.as_deref(), std::env::vars().chain(flags))
    }
}

/// Without addresses: people write passwords into them.
impl fmt::Debug for StandaloneArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { data_dir, server, .. } = self;
        f.debug_struct("StandaloneArgs").field("data_dir", data_dir).field("server", server).finish_non_exhaustive()
    }
}

impl StandaloneArgs {
    /// As [`ServerArgs::settings`].
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub fn settings(&self) -> anyhow::Result<Settings> {
        let text = |url: &Option<Secret>| url.as_ref().map(|url| url.expose().to_owned());
        self.server
            .settings_with([("CATALOG__URL", text(&self.catalog)), ("OBJECT_STORE__URL", text(&self.object_store))])
    }
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let threads = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("millrace")
        .thread_stack_size(STACK_BYTES)
        .build();
    let runtime = match threads {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("error: cannot start threads: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Demo(args) => {
                start_logging("warn");
                demo::run(args).await
            }
            Command::Standalone(args) => {
                start_logging("info");
                standalone::run(args).await
            }
            Command::Sql(args) => client::run(args).await,
            Command::Catalog(command) => {
                start_logging("warn");
                catalog_tools::run(command).await
            }
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error; `MILLRACE_LOG` takes `tracing`'s filters, such as `info,millrace_warehouse=debug`.
///
/// A line that cannot be written is lost: where a log is on the disk that is full, the subscriber's complaint of it, an `eprintln`, would
/// panic, and with it end the task that meets the full disk.
fn start_logging(default: &str) {
    let filter = EnvFilter::try_from_env("MILLRACE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let subscriber =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // Tests start several servers in one process: the first logger serves them all.
    drop(subscriber.try_init());
}
