//! `bulrush-worker-analytics`: reads its configuration, runs the workers, drains when it is asked to stop.

mod config;

use std::process::ExitCode;

use anyhow::Context as _;
use bulrush_catalog::Binary;
use bulrush_service::ops::OpsCommand;
use bulrush_service::{WorkerParts, open_objects, run_worker, telemetry};
use bulrush_upstream::fetch::FetchOptions;
use bulrush_upstream::webhook::WebhookClient;
use bulrush_worker_analytics::{Dependencies, start};
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
    let Config { worker, files, outbound } = config;
    let sealing = worker.sealing.clone();
    run_worker(worker, Binary::Analytics, async |parts: &WorkerParts| {
        let objects = open_objects(&files).await.context("the place of files could not be opened")?;
        let hooks = WebhookClient::new(outbound, FetchOptions::default())?;
        let deps = Dependencies::new(parts.store.clone(), objects).with_webhooks(hooks, sealing);
        anyhow::Ok(start(&parts.client, &deps, &parts.settings))
    })
    .await
}
