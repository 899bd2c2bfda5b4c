//! `bulrush doctor`: what is wrong with an engine's store, and how to put it right. It changes nothing there.

mod file;
mod redis;
mod report;

use std::process::ExitCode;
use std::sync::Arc;

use bulrush::backend::Embedded;
use bulrush::clock::SystemClock;
use bulrush::port::{Check, Inspect as _};
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
    /// Take warnings for failures: end with 1 if there are any
    #[arg(long)]
    strict: bool,
}

/// Looks at the store and says what it found.
pub async fn run(arguments: DoctorArguments) -> ExitCode {
    let report = match arguments.engine.url() {
        Ok(url) => look(&url).await,
        Err(error) => {
            Report::of("no store", Check::broken("address", error.to_string(), "see bulrush doctor --help"))
        }
    };
    report.print(arguments.engine.json);
    report.exit_code(arguments.strict)
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
