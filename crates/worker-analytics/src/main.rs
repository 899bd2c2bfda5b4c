//! `bulrush-worker-analytics`: reads its configuration, runs the workers, drains when it is asked to stop.

mod config;

use std::process::ExitCode;

use anyhow::Context as _;
use bulrush::Client;
use bulrush_catalog::Binary;
use bulrush_service::ops::OpsCommand;
use bulrush_service::{Shutdown, log_engine, open_objects, open_store, telemetry};
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
    let shutdown = Shutdown::on_signals().context("signals cannot be watched")?;
    let Config { worker, files, outbound } = config;
    let parts = async {
        let store = open_store(&worker.database).await?;
        anyhow::Ok((store, open_objects(&files).await.context("the place of files could not be opened")?))
    };
    let (store, objects) = tokio::select! {
        parts = parts => parts?,
        () = shutdown.begun() => return Ok(()),
    };
    let client = Client::connect(worker.engine.expose()).await?;
    log_engine(&**client.backend());
    for queue in worker.settings.catalog.of_binary(Binary::Analytics) {
        client.backend().configure(queue.name(), queue.config()).await?;
    }
    let hooks = WebhookClient::new(outbound, FetchOptions::default())?;
    let deps = Dependencies::new(store.clone(), objects).with_webhooks(hooks, worker.sealing.clone());

    let workers = start(&client, &deps, &worker.settings);
    let drained = workers.run(worker.ops, client.backend().clone(), store.clone(), &shutdown).await?;
    client.backend().close().await?;
    store.close().await;
    tracing::info!(?drained, "stopped");
    Ok(())
}
