//! `bulrush-worker-competitor`: reads its configuration, runs the workers, drains when it is asked to stop.

mod config;

use anyhow::Context as _;
use bulrush::Client;
use bulrush_catalog::Binary;
use bulrush_service::{Drained, Shutdown, log_engine, telemetry};
use bulrush_store::Store;
use bulrush_upstream::fetch::Fetcher;
use bulrush_worker_competitor::{Dependencies, start};
use clap::Parser as _;

use config::{Arguments, Config};

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    telemetry::init(&arguments.telemetry)?;
    let config = Config::check(arguments)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("signals cannot be watched")?;
    let store = Store::open(config.database.expose()).await?;
    store.migrate().await?;
    let client = Client::connect(config.engine.expose()).await?;
    log_engine(&**client.backend());
    for queue in config.settings.catalog.of_binary(Binary::Competitor) {
        client.backend().configure(queue.name(), queue.config()).await?;
    }
    let fetcher = Fetcher::new(config.policy, config.fetch)?;
    let deps = Dependencies::new(store.clone(), fetcher)
        .with_manners(config.manners)
        .with_rates(config.rates)
        .with_currency(config.currency)
        .with_fallback(config.fallback);

    let workers = start(&client, &deps, &config.settings);
    shutdown.begun().await;
    let hurries = workers.hurries();
    let hurry = tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            shutdown.forced().await;
            hurries.iter().for_each(bulrush::Hurry::stop_now);
        }
    });
    workers.shutdown().await;
    hurry.abort();
    client.backend().close().await?;
    store.close().await;
    let drained = if shutdown.is_forced() { Drained::CutShort } else { Drained::Whole };
    tracing::info!(?drained, "stopped");
    Ok(())
}
