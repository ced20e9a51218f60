//! `millrace-bench`: what a byte of JSON costs on its way from a broker to a commit, and how long it takes.
//!
//! | command | tells |
//! |---|---|
//! | `ingest` | CPU time for each byte from broker to visible and to committed, wall rate, peak memory against the limit |
//! | `stages` | the same bytes through each step alone, on one thread |
//! | `latency` | produce-to-visible, at half of the rate that `ingest` finds or at a given one |
//! | `inserts` | rows and commits per second of many clients that insert single rows; the cost of an INSERT SELECT |
//! | `commits` | catalog commits per second and per fsync |
//!
//! The broker and the producer run in a process of their own, `produce`, so that their CPU time is not counted. The measure
//! is CPU time of this process: on a busy machine it repeats to a tenth or so, where wall time may double.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures the real machine with the real clock")]

mod commits;
mod dataset;
mod events;
mod feed;
mod flights;
mod ground;
mod ingest;
mod inserts;
mod latency;
mod machine;
mod meter;
mod prepared;
mod produce;
mod report;
mod stages;
mod subject;
mod topic;
mod window;
mod workload;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime::Builder;

// As in the product's own binary: allocation is a part of what is measured.
server::use_jemalloc!();

/// Measures Millrace on this machine.
#[derive(Debug, Parser)]
#[command(name = "millrace-bench", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// End with one line of JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// From a broker to visible and to committed, in the real server.
    Ingest(ingest::IngestArgs),
    /// Each step of the way alone, on one thread.
    Stages(stages::StagesArgs),
    /// From produced to visible, at a steady rate.
    Latency(latency::LatencyArgs),
    /// Commits to the embedded catalog, by several committers at once.
    Commits(commits::CommitsArgs),
    /// INSERTs of single rows by many clients, and one of many rows.
    Inserts(inserts::InsertsArgs),
    /// A broker and a producer, for the other commands.
    #[command(hide = true)]
    Produce(produce::ProduceArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILLRACE_LOG").unwrap_or_else(|_| "error".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let json = cli.json;
    let mut threads = Builder::new_multi_thread();
    let report = match cli.command {
        Command::Produce(args) => return produce::run(&args),
        Command::Ingest(args) => threads.enable_all().build()?.block_on(ingest::run(&args))?,
        Command::Latency(args) => threads.enable_all().build()?.block_on(latency::run(&args))?,
        Command::Inserts(args) => threads.enable_all().build()?.block_on(inserts::run(&args))?,
        Command::Commits(args) => threads.enable_all().build()?.block_on(commits::run(&args))?,
        // One thread, so that a step's CPU time is its own.
        Command::Stages(args) => Builder::new_current_thread().enable_all().build()?.block_on(stages::run(&args))?,
    };
    if json {
        println!("{report}");
    }
    Ok(())
}
