//! `bulrush-worker-competitor`: reads its configuration, runs the workers, drains when it is asked to stop.

mod config;

use std::process::ExitCode;

use bulrush_catalog::Binary;
use bulrush_service::ops::OpsCommand;
use bulrush_service::{WorkerParts, run_worker, telemetry};
use bulrush_upstream::fetch::Fetcher;
use bulrush_worker_competitor::{Dependencies, start};
use clap::Parser as _;

use config::{Arguments, Config};

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(OpsCommand::Healthcheck) = arguments.command {
        return Ok(arguments.worker.ops.healthcheck());
    }
    telemetry::init(&arguments.telemetry)?;
    let config = Config::check(arguments)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(config: Config) -> anyhow::Result<()> {
    let Config { worker, policy, pages } = config;
    run_worker(worker, Binary::Competitor, async |parts: &WorkerParts| {
        let fetcher = Fetcher::new(policy, pages.fetch.clone())?;
        let deps = Dependencies::new(parts.store.clone(), fetcher).with_settings(pages);
        anyhow::Ok(start(&parts.client, &deps, &parts.settings))
    })
    .await
}
