//! `bulrush-worker-competitor`: reads its configuration, runs the workers, drains when it is asked to stop.

mod config;

use std::process::ExitCode;

use anyhow::Context as _;
use bulrush::Client;
use bulrush_catalog::Binary;
use bulrush_service::ops::OpsCommand;
use bulrush_service::{Shutdown, log_engine, open_store, telemetry};
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
    let shutdown = Shutdown::on_signals().context("signals cannot be watched")?;
    let worker = config.worker;
    let store = tokio::select! {
        store = open_store(&worker.database) => store?,
        () = shutdown.begun() => return Ok(()),
    };
    let client = Client::connect(worker.engine.expose()).await?;
    log_engine(&**client.backend());
    for queue in worker.settings.catalog.of_binary(Binary::Competitor) {
        client.backend().configure(queue.name(), queue.config()).await?;
    }
    let fetcher = Fetcher::new(config.policy, config.fetch)?;
    let deps = Dependencies::new(store.clone(), fetcher)
        .with_manners(config.manners)
        .with_rates(config.rates)
        .with_currency(config.currency)
        .with_fallback(config.fallback);

    let workers = start(&client, &deps, &worker.settings);
    let drained = workers.run(worker.ops, client.backend().clone(), store.clone(), &shutdown).await?;
    client.backend().close().await?;
    store.close().await;
    tracing::info!(?drained, "stopped");
    Ok(())
}
