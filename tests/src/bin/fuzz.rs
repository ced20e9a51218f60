//! `fuzz`: damaged inputs for everything that reads bytes of strangers.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use millrace_tests::fuzz::{TARGETS, run, target};

server::use_jemalloc!();

/// Gives damaged inputs to a part of the product until the time is over or one is taken wrongly.
#[derive(Debug, Parser)]
#[command(name = "fuzz")]
struct Cli {
    /// What to give them to, or `all`.
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(TARGETS.iter().copied().chain(["all"])))]
    target: String,
    /// For how long, each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which damage: the same seed draws the same inputs, as long as the target says the same of them.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where an input lies while it is taken, and stays if it was taken wrongly.
    #[arg(long, default_value = "fuzz-input")]
    current: PathBuf,
    /// Give this input and nothing else.
    #[arg(long)]
    input: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let names: Vec<&str> = TARGETS.iter().copied().filter(|name| cli.target == "all" || cli.target == *name).collect();
    for name in names {
        let mut target = target(name)?;
        if let Some(path) = &cli.input {
            let input = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            println!("{name}: {:?}", target.take(&input));
            continue;
        }
        let outcome = run(&mut *target, cli.seed, Duration::from_secs(cli.seconds), &cli.current)?;
        println!("{name}: {} inputs, taken in {} ways", outcome.executions, outcome.ways);
        if let Some(finding) = outcome.finding {
            println!("{name}: wrong: {}", finding.what);
            println!("the input is in {0}; again: fuzz {name} --input {0}", cli.current.display());
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}
