//! `bulrush-scheduler`: reads its configuration, runs the scheduler, ends what it has begun when it is asked to stop.

mod config;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bulrush_scheduler::{Dependencies, start};
use bulrush_service::ops::{Ops, OpsCommand, OpsPort};
use bulrush_service::{
    Health, OutboxMetrics, Phase, Shutdown, log_engine, open_engine, open_store, telemetry,
};
use clap::Parser as _;
use prometheus::Registry;

use config::{Arguments, Config};

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(OpsCommand::Healthcheck) = arguments.command {
        return Ok(arguments.ops.healthcheck());
    }
    telemetry::init(&arguments.telemetry)?;
    let config = Config::check(&arguments)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(run(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn run(config: Config) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals().context("signals cannot be watched")?;
    // Open from the first moment, so that whoever looks after the process is told that it waits.
    let health = Health::new();
    let (ops, told) = Ops::starting(health.clone());
    let port = config.ops.map(|address| OpsPort::open(address, ops)).transpose()?;
    let parts =
        async { anyhow::Ok((open_store(&config.database).await?, open_engine(&config.engine).await?)) };
    let (store, backend) = tokio::select! {
        parts = parts => parts?,
        () = shutdown.begun() => return Ok(()),
    };
    log_engine(&*backend);
    let registry = Registry::new();
    let deps = Dependencies::new(backend.clone(), store.clone(), Arc::new(config.catalog))
        .with_defaults(config.defaults)
        .with_outbox_metrics(OutboxMetrics::new(&registry)?);
    let mut scheduler = start(&deps);
    registry.register(Box::new(scheduler.schedule_metrics()))?;
    let ops = Ops::of_workers(health.clone(), backend.clone(), store.clone(), scheduler.watched())?;
    drop(told.set(ops.telling(registry)));
    health.set_phase(Phase::Ready);
    tracing::info!("scheduler started");

    tokio::select! {
        () = shutdown.begun() => {}
        () = scheduler.ended() => anyhow::bail!("a part of the scheduler ended by itself; the log says why"),
    }
    health.set_phase(Phase::Stopping);
    scheduler.shutdown().await;
    if let Some(port) = port {
        port.close().await;
    }
    backend.close().await?;
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}
