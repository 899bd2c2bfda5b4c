//! `bulrush doctor`: what is wrong with an engine's store and with a database, and how to put it right. It changes nothing there.

mod database;
mod file;
mod redis;
mod report;

use std::process::ExitCode;
use std::sync::Arc;

use bulrush::backend::Embedded;
use bulrush::clock::SystemClock;
use bulrush::port::{Check, Inspect as _};
use bulrush_service::Secret;
use clap::Args;

use self::report::Report;
use crate::engine::EngineArguments;

/// Arguments of `doctor`.
///
/// Ends with 0 if nothing is broken, with 2 if something is, and with 1 if there are warnings and `--strict` asks for that.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    #[command(flatten)]
    engine: EngineArguments,
    /// A database to be looked at: postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH. It may hold a password and is never printed
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL")]
    database: Option<Secret>,
    /// Take warnings for failures: end with 1 if there are any
    #[arg(long)]
    strict: bool,
}

/// Looks at the engine's store, at the database, or at both, and says what it found.
pub async fn run(arguments: DoctorArguments) -> ExitCode {
    let mut reports = Vec::new();
    match arguments.engine.url() {
        Ok(url) => reports.push(look(&url).await),
        // Who names a database alone asks for nothing else.
        Err(_) if arguments.database.is_some() && !arguments.engine.is_given() => {}
        Err(error) => reports.push(Report::of(
            "no store",
            Check::broken("address", error.to_string(), "see bulrush doctor --help"),
        )),
    }
    if let Some(url) = &arguments.database {
        reports.push(database::look(url.expose()).await);
    }
    for (index, report) in reports.iter().enumerate() {
        if index > 0 && !arguments.engine.json {
            println!();
        }
        report.print(arguments.engine.json);
    }
    Report::exit_code_of(&reports, arguments.strict)
}

async fn look(url: &str) -> Report {
    match url.split_once(':') {
        Some(("memory", "")) => {
            let mut report = Report::new("memory:");
            report.checks.clone_from(&Embedded::memory(Arc::new(SystemClock)).condition().checks);
            report
        }
        Some(("file", path)) if !path.is_empty() => file::look(path.into()).await,
        _ => redis::look(url).await,
    }
}
