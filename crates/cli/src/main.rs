//! The `bulrush` command: parses its arguments and calls the module of the command's name.

mod bench;
mod database;
mod demo;
mod doctor;
mod engine;
mod job;
mod key;
mod migrate;
mod platform;
mod queue;
mod schedule;
mod secrets;
mod serve;
mod table;
mod template;
mod time;
mod token;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Background jobs: run the demo, serve the platform on one machine, look at queues, check a store, measure.
#[derive(Debug, Parser)]
#[command(name = "bulrush", version, about, long_about = None)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made for each run of the program")]
enum Command {
    /// Run the main job from end to end in one process, then keep serving
    Demo(demo::DemoArguments),
    /// Serve the whole platform from one process, with its data in one folder
    Serve(serve::ServeArguments),
    /// Measure a backend: adds, processing, latency, depth.
    Bench(bench::BenchArguments),
    /// Look at queues, pause, clean and check them
    Queue(queue::QueueArguments),
    /// Add, look at, retry and cancel single jobs
    Job(job::JobArguments),
    /// List and run the jobs that the catalogue ships ready
    Template(template::TemplateArguments),
    /// Look at schedules, put, run and remove them, and tell when they fire
    Schedule(schedule::ScheduleArguments),
    /// Bring the tables of a database up to date
    Migrate(migrate::MigrateArguments),
    /// Say what is wrong with an engine's store and with a database, and how to put it right
    Doctor(doctor::DoctorArguments),
    /// Make bearer tokens
    Token(token::TokenArguments),
    /// Make the secrets of a deployment, each in a file, where they are missing
    Secrets(secrets::SecretsArguments),
    /// Issue, list and revoke API keys
    Key(key::KeyArguments),
}

fn main() -> anyhow::Result<ExitCode> {
    // Built by the command that is run: the bench chooses its threads itself.
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match Arguments::parse().command {
        Command::Demo(arguments) => runtime()?.block_on(demo::run(arguments)),
        Command::Serve(arguments) => runtime()?.block_on(serve::run(arguments)),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Queue(arguments) => runtime()?.block_on(queue::run(arguments)),
        Command::Job(arguments) => runtime()?.block_on(job::run(arguments)),
        Command::Template(arguments) => runtime()?.block_on(template::run(arguments)),
        Command::Schedule(arguments) => runtime()?.block_on(schedule::run(arguments)),
        Command::Migrate(arguments) => runtime()?.block_on(migrate::run(arguments)),
        Command::Doctor(arguments) => return Ok(runtime()?.block_on(doctor::run(arguments))),
        Command::Token(arguments) => token::run(arguments),
        Command::Secrets(arguments) => secrets::run(&arguments),
        Command::Key(arguments) => runtime()?.block_on(key::run(arguments)),
    }?;
    Ok(ExitCode::SUCCESS)
}
