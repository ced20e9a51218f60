//! `millrace catalog dump | verify | copy`: what an operator does with a catalog that no server has open.

use std::fmt;
use std::io::{BufWriter, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use catalog::tools::{self, CopyProgress, DumpError, VerifyProgress};
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use vfs::World;

use crate::compose::{Absent, open_catalog_store};
use crate::console::{complain, say};
use crate::data_dir::DataDir;
use crate::mysql::auth::Secret;
use crate::settings::{CatalogAddress, Settings};

/// How often progress is drawn.
const TICK: Duration = Duration::from_millis(200);

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum CatalogCommand {
    /// Print every record, a JSON object a line. Passwords are not in it.
    ///
    /// What cannot be read is a line with its error, and does not end the dump.
    Dump(DumpArgs),
    /// Read every record and check that each agrees with the others; ends with 1 where one does not.
    ///
    /// Nothing is written. SYSTEM VERIFY, asked of a running server, checks the parts themselves.
    Verify(Place),
    /// Copy a catalog to another store, or take over one that was restored; the target must be empty.
    ///
    /// Stop the servers of the source first: a copy of what changes meanwhile is refused. One that was interrupted is run again.
    Copy(CopyArgs),
}

/// Which catalog.
#[derive(Clone, Args)]
#[group(skip)]
pub struct Place {
    /// Where the catalog is: redb:PATH, or postgres://user@host:port/database?schema=name
    #[arg(long, env = "MILLRACE_CATALOG", hide_env_values = true, value_name = "URL")]
    catalog: Option<Secret>,
    /// The data directory whose own catalog is meant, without --catalog
    #[arg(long, env = "MILLRACE_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A settings file with a section [catalog], for its url and password_file
    #[arg(long, env = "MILLRACE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Where its values may hold a password they are left out.
impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("data_dir", &self.data_dir).field("config", &self.config).finish_non_exhaustive()
    }
}

/// The flags of `millrace catalog dump`.
#[derive(Clone, Debug, Args)]
pub struct DumpArgs {
    /// Which catalog.
    #[command(flatten)]
    place: Place,
    /// Only keys that begin so: table/, log/3/
    #[arg(long, default_value = "", value_name = "TEXT")]
    prefix: String,
}

/// The flags of `millrace catalog copy`.
#[derive(Clone, Args)]
pub struct CopyArgs {
    /// The catalog that is copied; a password is better kept in the variable than in a command line
    #[arg(long, env = "MILLRACE_CATALOG_FROM", hide_env_values = true, value_name = "URL")]
    from: Secret,
    /// Where it goes: a file that is not there yet, or an empty schema
    #[arg(long, env = "MILLRACE_CATALOG_TO", hide_env_values = true, value_name = "URL")]
    to: Secret,
}

impl fmt::Debug for CopyArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyArgs").finish_non_exhaustive()
    }
}

/// Runs one of them.
///
/// # Errors
/// If a store cannot be opened or read, or something is not as it should be; the message names it.
pub async fn run(command: CatalogCommand) -> anyhow::Result<()> {
    let world = World::system();
    match command {
        CatalogCommand::Dump(args) => dump(args, &world).await,
        CatalogCommand::Verify(place) => verify(place, &world).await,
        CatalogCommand::Copy(args) => copy(args, &world).await,
    }
}

impl Place {
    /// By flags, then the settings, then the data directory.
    fn address(&self) -> anyhow::Result<CatalogAddress> {
        let flag = self.catalog.as_ref().map(|url| ("MILLRACE__CATALOG__URL".to_owned(), url.expose().to_owned()));
        let settings = Settings::load(self.config.as_deref(), std::env::vars().chain(flag))?;
        match (settings.catalog.url, &self.data_dir) {
            (Some(address), _) => Ok(address),
            (None, Some(data_dir)) => Ok(CatalogAddress::Redb(DataDir::catalog_in(data_dir))),
            (None, None) => {
                bail!("which catalog? Name it with --catalog URL, or with --data-dir DIR for a server's own")
            }
        }
    }
}

async fn dump(args: DumpArgs, world: &World) -> anyhow::Result<()> {
    let address = args.place.address()?;
    let store = open_catalog_store(&address, Absent::Refused, world).await?;
    let report = tools::dump(&*store, world, &args.prefix, &mut BufWriter::new(std::io::stdout())).await;
    store.close().await;
    let report = match report {
        // Whoever reads has seen enough.
        Err(DumpError::Write(error)) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
        report => report.with_context(|| format!("of {address}"))?,
    };
    let plural =
        |count: u64, what: &str| if count == 1 { format!("{count} {what}") } else { format!("{count} {what}s") };
    complain(format_args!("{} of {address}", plural(report.keys, "record")));
    if !report.is_of_one_version {
        complain(format_args!("a server wrote to it meanwhile: what was dumped was never there at one moment"));
    }
    match report.unreadable {
        0 => Ok(()),
        unreadable => bail!("{} could not be read: each has its error in its line", plural(unreadable, "record")),
    }
}

async fn verify(place: Place, world: &World) -> anyhow::Result<()> {
    let address = place.address()?;
    let store = open_catalog_store(&address, Absent::Refused, world).await?;
    let bar = bar();
    let mut progress = |at: VerifyProgress| {
        bar.set_message(format!("{} records read, {} tables checked", at.keys, at.tables));
    };
    let report = tools::verify(&*store, world, &mut progress).await;
    bar.finish_and_clear();
    store.close().await;
    let report = report.with_context(|| format!("of {address}"))?;
    // A reader that has gone away takes nothing with it.
    for finding in &report.findings {
        say(format_args!("{}: {}; {}", finding.key, finding.what, finding.means));
    }
    let read = format!("{address}: {} records, {} tables", report.keys, report.tables);
    if !report.is_of_one_version {
        complain(format_args!(
            "a server wrote to it meanwhile: a finding may be a trace of that. Stop the server and verify again to be sure"
        ));
    }
    match report.findings.len() as u64 + report.further {
        0 => say(format_args!("{read}: all agree")),
        findings => bail!("{read}: {findings} findings, of which {} are above", report.findings.len()),
    }
    Ok(())
}

async fn copy(args: CopyArgs, world: &World) -> anyhow::Result<()> {
    let [from, to] = [("--from", &args.from), ("--to", &args.to)]
        .map(|(flag, url)| url.expose().parse::<CatalogAddress>().with_context(|| format!("in {flag}")));
    let (from, to) = (from?, to?);
    if from == to {
        bail!("--from and --to are the same: {from}");
    }
    let source = open_catalog_store(&from, Absent::Refused, world).await?;
    let target = open_catalog_store(&to, Absent::Made, world).await?;
    let bar = bar();
    let mut progress = |at: CopyProgress| {
        let waiting = if at.waits.is_zero() { "" } else { "; waiting whether a server still has it" };
        bar.set_message(format!("{} records written, {} read again{waiting}", at.written, at.checked));
    };
    let report = tools::copy(&*source, &*target, world, &mut progress).await;
    bar.finish_and_clear();
    source.close().await;
    target.close().await;
    let report = report.with_context(|| format!("from {from} to {to}"))?;
    say(format_args!(
        "{} is copied to {to}, as era {}: {} records, {} bytes, read again and the same (SHA-256 {})",
        report.id, report.era, report.keys, report.bytes, report.checksum
    ));
    say(format_args!("start the server with --catalog '{to}'; once it was, the catalog at {from} is refused"));
    Ok(())
}

/// On a terminal, how far it is.
fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::new_spinner().with_style(style);
    bar.enable_steady_tick(TICK);
    bar
}
