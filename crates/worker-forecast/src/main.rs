//! `bulrush-worker-forecast`: reads its configuration, runs the workers, drains when it is asked to stop.

use std::process::ExitCode;

use bulrush_catalog::Binary;
use bulrush_service::args::{self, TelemetryArgs};
use bulrush_service::ops::OpsCommand;
use bulrush_service::{Problems, WorkerArgs, WorkerConfig, WorkerParts, run_worker, telemetry};
use bulrush_worker_forecast::{Dependencies, start};
use clap::Parser;

/// Runs the jobs that look ahead: forecasts of demand, and what to order for it.
///
/// Limits of queues are set by variables BULRUSH_QUEUE_<NAME>_CONCURRENCY, _ATTEMPTS, _RATE_MAX and so on.
#[derive(Debug, Parser)]
#[command(name = "bulrush-worker-forecast", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<OpsCommand>,
    #[command(flatten)]
    telemetry: TelemetryArgs,
    #[command(flatten)]
    worker: WorkerArgs,
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(OpsCommand::Healthcheck) = arguments.command {
        return Ok(arguments.worker.ops.healthcheck());
    }
    telemetry::init(&arguments.telemetry)?;
    let mut problems = Problems::default();
    let worker = arguments.worker.check(Binary::Forecast, args::environment(), &mut problems);
    problems.finish()?;
    // It is missing only with a problem noted, which ended the check above.
    if let Some(worker) = worker {
        tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(worker))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(worker: WorkerConfig) -> anyhow::Result<()> {
    run_worker(worker, Binary::Forecast, async |parts: &WorkerParts| {
        anyhow::Ok(start(&parts.client, &Dependencies::new(parts.store.clone()), &parts.settings))
    })
    .await
}
