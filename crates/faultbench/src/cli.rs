//! The command line.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::field::{self, Options, Scenario};
use crate::report::{Report, headline, table};
use crate::schedule::fresh_seed;
use crate::ticker::{self, TickerArguments};
use crate::worker::{self, WorkerArguments};
use crate::{process, prove, scenario};

/// Injects real faults into the engine on Redis and accounts for every job.
#[derive(Debug, Parser)]
#[command(name = "faultbench", version, about, long_about = None)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios
    Run {
        /// Their names, as `list` tells them
        #[arg(required = true)]
        scenarios: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Tell what scenarios there are
    List,
    /// Run the scenarios that every change must pass
    Smoke {
        #[command(flatten)]
        how: How,
    },
    /// Run all scenarios
    All {
        #[command(flatten)]
        how: How,
    },
    /// Show that the ledger catches each seeded bug
    Prove {
        #[command(flatten)]
        how: How,
    },
    /// Be a worker process of a run
    #[command(hide = true)]
    Worker(WorkerArguments),
    /// Be a ticker process of a run
    #[command(hide = true)]
    Ticker(TickerArguments),
    /// Become a program that dies with the process that asked for it
    #[command(hide = true)]
    Guarded {
        /// That process
        parent: u32,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        program: Vec<OsString>,
    },
}

#[derive(Debug, Clone, Copy, Args)]
struct How {
    /// The seed that all chance comes from; a new one each time unless given
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object a line, one for each scenario, and no table
    #[arg(long)]
    json: bool,
    /// Keep the folder of each run: journals, logs and the server's data
    #[arg(long)]
    keep: bool,
}

/// What the program does.
pub fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Worker(arguments) => worker::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Ticker(arguments) => ticker::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Guarded { parent, program } => {
            process::become_guarded(parent, &program).map(|()| ExitCode::SUCCESS)
        }
        Command::List => {
            list();
            Ok(ExitCode::SUCCESS)
        }
        Command::Run { scenarios, how } => {
            let find = |name: &String| {
                let known =
                    || scenario::ALL.iter().map(|scenario| scenario.name).collect::<Vec<_>>().join(", ");
                scenario::find(name)
                    .with_context(|| format!("there is no scenario {name:?}; there are {}", known()))
            };
            block_on(run_all(scenarios.iter().map(find).collect::<Result<_>>()?, how))
        }
        Command::Smoke { how } => {
            block_on(run_all(scenario::ALL.iter().filter(|scenario| scenario.smoke).collect(), how))
        }
        Command::All { how } => block_on(run_all(scenario::ALL.iter().collect(), how)),
        Command::Prove { how } => block_on(prove_all(how)),
    }
}

/// Runs to the end, or until somebody asks to end: then everything that was started is ended by its handle.
fn block_on(run: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    if !process::is_installed("redis-server") {
        bail!("redis-server is not installed; install Redis 7.0 or newer (apt-get install redis-server)");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut term = signal(SignalKind::terminate())?;
        tokio::select! {
            done = run => done,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = term.recv() => bail!("asked to end"),
        }
    })
}

fn options(how: How, seed: u64) -> Result<Options> {
    Ok(Options { program: std::env::current_exe()?, seed, bug: None, keep_folder: how.keep })
}

fn list() {
    for scenario in scenario::ALL {
        let smoke = if scenario.smoke { " [smoke]" } else { "" };
        println!("{}{smoke}\n    {}\n    must hold: {}", scenario.name, scenario.what, scenario.holds);
        if let Some(why) = scenario.open {
            println!("    known not to hold: {why}");
        }
    }
}

async fn run_all(scenarios: Vec<&Scenario>, how: How) -> Result<ExitCode> {
    let seed = how.seed.unwrap_or_else(fresh_seed);
    let mut reports: Vec<Report> = Vec::new();
    let mut skipped = 0;
    for scenario in scenarios {
        if let Some(missing) = scenario::missing(scenario) {
            skipped += 1;
            eprintln!("{}: left out: {missing}", scenario.name);
            continue;
        }
        eprintln!("{} (seed {seed}): {}", scenario.name, scenario.what);
        let report = field::run(scenario, &options(how, seed)?).await?;
        if how.json {
            println!("{}", report.json());
        }
        let words = report.words();
        if !words.is_empty() {
            eprintln!("{words}");
        }
        reports.push(report);
    }
    if !how.json {
        println!("{}", table(&reports));
    }
    let left_out = if skipped > 0 { format!("; {skipped} left out") } else { String::new() };
    eprintln!("{}{left_out}", headline(&reports));
    let failed = reports.iter().any(Report::fails);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn prove_all(how: How) -> Result<ExitCode> {
    let seed = how.seed.unwrap_or_else(fresh_seed);
    let mut caught_all = true;
    for proof in prove::ALL {
        let report = prove::run(proof, &options(how, seed)?).await?;
        let caught = proof.is_caught(&report);
        caught_all &= caught;
        let verdict = if caught { "caught" } else { "NOT CAUGHT" };
        println!("{verdict}: {} as {} (seed {seed})", proof.name(), proof.class_names());
        for violation in &report.violations {
            println!("    {violation}");
        }
        if how.json {
            println!("{}", report.json());
        }
    }
    Ok(if caught_all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
