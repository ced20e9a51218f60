//! `sim`: runs simulated histories by seed, and says which of them broke an invariant.

#![allow(clippy::print_stdout, reason = "a command line program answers on standard output")]

use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Parser};
use millrace_tests::sim::faults::{CLASSES, Class};
use millrace_tests::sim::log::Keep;
use millrace_tests::sim::{Campaign, Options, Outcome, campaign, planted};
use tracing_subscriber::EnvFilter;

// As the product: a history is half allocations.
server::use_jemalloc!();

/// Runs whole histories of the product on simulated time, disks, stores, network and broker, and checks every invariant.
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many histories, each with the next seed.
    #[arg(long, default_value_t = 1)]
    histories: u64,
    /// Which faults there may be: classes with commas between, or all, or none.
    #[arg(long, default_value = "all")]
    faults: String,
    /// Whether faults may follow from each other: some, none, or the name of the one chain that all histories are to have; behind
    /// `drawn-`, or `drawn-none`, as if their seeds had drawn so.
    #[arg(long, default_value = "some")]
    chains: String,
    /// Whether SEEK and ALTER change the pipeline in some histories.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    statements: bool,
    /// Whether clients INSERT into the table in some histories, and now and then TRUNCATE it.
    #[arg(long, default_value_t = true, action = ArgAction::Set)]
    inserts: bool,
    /// Operations in a history.
    #[arg(long, default_value_t = 200)]
    operations: usize,
    /// Faults in a history.
    #[arg(long, default_value_t = 3)]
    faults_per_history: usize,
    /// Workers in a history.
    #[arg(long, default_value_t = 3)]
    workers: usize,
    /// Plants this bug, or each of `all` in turn, and counts histories until it is caught.
    #[arg(long)]
    planted: Option<String>,
    /// Ends after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Threads, each with histories of its own.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Prints the event log.
    #[arg(long)]
    log: bool,
    /// Prints, as it happens, the event log and what the product traces of it (RUST_LOG chooses), on standard error.
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.trace {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("debug"));
        tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_env_filter(filter)
            .with_writer(std::io::stderr)
            .init();
    }
    match run(&arguments) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("sim: {message}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let options = Options {
        classes: classes(&arguments.faults)?,
        chain: arguments.chains.parse()?,
        statements: arguments.statements,
        inserts: arguments.inserts,
        operations: arguments.operations,
        faults: arguments.faults_per_history,
        workers: arguments.workers,
        planted: None,
        log: match (arguments.trace, arguments.log) {
            (true, _) => Keep::Live,
            (false, true) => Keep::All,
            (false, false) => Keep::Last,
        },
    };
    let campaign = Campaign {
        seed: arguments.seed,
        histories: arguments.histories,
        time: arguments.seconds.map(Duration::from_secs),
        jobs: arguments.jobs,
        stop_at_first: false,
        options,
    };
    match arguments.planted.as_deref() {
        None => Ok(histories(&campaign, arguments)),
        Some(name) => hunts(name, &campaign, arguments),
    }
}

fn classes(text: &str) -> Result<Vec<Class>, String> {
    match text {
        "all" => Ok(CLASSES.to_vec()),
        "none" | "" => Ok(Vec::new()),
        some => some.split(',').map(str::parse).collect(),
    }
}

fn histories(campaign: &Campaign, arguments: &Arguments) -> ExitCode {
    if campaign.histories == 1 {
        let outcome = campaign::one(campaign.seed, &campaign.options);
        if arguments.log && !arguments.trace {
            outcome.log.lines().for_each(|line| println!("{line}"));
        }
        println!(
            "{} events, hash {:016x}, {:.3} s of its time",
            outcome.log.count(),
            outcome.log.hash(),
            outcome.lasted.as_secs_f64()
        );
        return ended(&[outcome], arguments);
    }
    let mut done = 0_u64;
    let report = campaign.run(|outcome| {
        done += 1;
        if outcome.violation.is_some() {
            println!("seed {} fails", outcome.seed);
        }
        if done.is_multiple_of(1_000) {
            eprintln!("{done} histories");
        }
    });
    let seconds = report.took.as_secs_f64().max(0.001);
    let rate = report.histories as f64 / seconds;
    println!(
        "{} histories in {seconds:.1} s: {rate:.1} per second, {:.1} per second and core; {} failed",
        report.histories,
        rate / campaign.jobs.max(1) as f64,
        report.failed.len()
    );
    ended(&report.failed, arguments)
}

/// Says what failed, and how to see it again.
fn ended(outcomes: &[Outcome], arguments: &Arguments) -> ExitCode {
    let mut code = ExitCode::SUCCESS;
    for outcome in outcomes {
        let Some(violation) = &outcome.violation else { continue };
        code = ExitCode::FAILURE;
        println!("\nseed {}: {violation}", outcome.seed);
        if !arguments.log && !arguments.trace {
            println!("last events:");
            outcome.log.lines().for_each(|line| println!("  {line}"));
        }
        println!("again: {}", again(outcome.seed, arguments));
    }
    code
}

fn again(seed: u64, arguments: &Arguments) -> String {
    let Arguments { faults, chains, statements, inserts, operations, faults_per_history, workers, planted, .. } =
        arguments;
    let statements = if *statements { "" } else { " --statements false" };
    let inserts = if *inserts { "" } else { " --inserts false" };
    let planted = planted.as_ref().map(|name| format!(" --planted {name}")).unwrap_or_default();
    format!(
        "cargo run --release -p millrace-tests --bin sim -- --seed {seed} --faults {faults} --chains {chains}{statements}{inserts} --operations {operations} \
         --faults-per-history {faults_per_history} --workers {workers}{planted} --log"
    )
}

fn hunts(name: &str, campaign: &Campaign, arguments: &Arguments) -> Result<ExitCode, String> {
    let bugs: Vec<vfs::planted::Bug> =
        vfs::planted::ALL.iter().filter(|bug| name == "all" || bug.name == name).copied().collect();
    if bugs.is_empty() {
        let names: Vec<&str> = vfs::planted::ALL.iter().map(|bug| bug.name).collect();
        return Err(format!("there is no planted bug {name:?}: name one of {}, or all", names.join(", ")));
    }
    if let ([bug], 1) = (bugs.as_slice(), campaign.histories) {
        let options = Options { planted: Some(bug.name), ..campaign.options.clone() };
        let outcome = campaign::one(campaign.seed, &options);
        outcome.log.lines().filter(|_| arguments.log).for_each(|line| println!("{line}"));
        return Ok(ended(&[outcome], arguments));
    }
    println!("{}", planted::HEAD);
    let mut missed = 0;
    for bug in bugs {
        let caught = planted::hunt(bug, campaign);
        println!("{}", caught.row());
        if let (Some(seed), Some(by)) = (caught.seed, &caught.by) {
            eprintln!("{}: seed {seed}: {}", bug.name, by.message.chars().take(300).collect::<String>());
        }
        missed += u32::from(caught.after.is_none());
    }
    println!("\n{missed} not caught");
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
