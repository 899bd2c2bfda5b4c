//! `bulrush-api`: the HTTP API by itself.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bulrush_api::{ApiArgs, Deps, Server, Shared};
use bulrush_service::args::{
    EngineArgs, OutboundArgs, SealArgs, StoreArgs, TelemetryArgs, TokenArgs, catalog, environment,
};
use bulrush_service::ops::{OpsCommand, healthcheck};
use bulrush_service::{
    Drained, FilesArgs, Health, Metrics, Problems, Shutdown, log_engine, open_engine, open_objects,
    open_store, telemetry,
};
use clap::Parser;

/// The HTTP API: takes jobs and files in and tells how they are.
#[derive(Debug, Parser)]
#[command(name = "bulrush-api", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<OpsCommand>,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    store: StoreArgs,
    #[command(flatten)]
    files: FilesArgs,
    #[command(flatten)]
    tokens: TokenArgs,
    #[command(flatten)]
    seal: SealArgs,
    #[command(flatten)]
    outbound: OutboundArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(OpsCommand::Healthcheck) = arguments.command {
        return Ok(healthcheck(SocketAddr::new(arguments.api.host, arguments.api.port)));
    }
    // On the heap: the states of all that it waits for would make one type too deep for the compiler.
    Box::pin(run(arguments)).await?;
    Ok(ExitCode::SUCCESS)
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    telemetry::init(&arguments.telemetry)?;
    let mut problems = Problems::default();
    let mut config = arguments.api.config(&mut problems);
    config.outbound = arguments.outbound.policy(&mut problems);
    let tokens = arguments.tokens.keys(None, &mut problems);
    let sealing = arguments.seal.sealing(None, &mut problems);
    let catalog = catalog(environment(), &mut problems);
    let engine = arguments.engine.url(&mut problems);
    let database = arguments.store.url(&mut problems);
    let files = arguments.files.place(&mut problems);
    let mut needed = |name: &str, what: &str| problems.push(name, format!("is missing; give {what}"));
    if arguments.store.database.is_none() && arguments.store.database_file.is_none() {
        needed("DATABASE_URL", "the database, such as postgres://bulrush@localhost/bulrush");
    }
    if !arguments.files.is_given() {
        needed("BULRUSH_FILES", "the place of uploads, such as data/files or s3://bucket/files");
    }
    problems.finish()?;
    let (Some(tokens), Some(catalog), Some(engine), Some(database), Some(files)) =
        (tokens, catalog, engine, database, files)
    else {
        anyhow::bail!("the configuration is not whole");
    };
    let shutdown = Shutdown::on_signals().context("the signals that stop the program cannot be watched")?;
    let catalog = Arc::new(catalog);
    let shared = Shared {
        catalog: catalog.clone(),
        tokens: Arc::new(tokens),
        sealing: sealing.map(Arc::new),
        metrics: Arc::new(Metrics::new().context("the metrics cannot be set up")?),
        health: Health::new(),
        shutdown: shutdown.clone(),
    };
    let mut server = Server::bind(config, shared, Vec::new())?;
    println!("{}", server.base_url());
    // Whatever of it is away is waited for: the API answers meanwhile that it is not ready.
    let parts = async {
        let store = open_store(&database).await?;
        let objects = open_objects(&files).await?;
        anyhow::Ok((store, objects, open_engine(&engine).await?))
    };
    let (store, objects, backend) = tokio::select! {
        parts = parts => parts?,
        () = shutdown.begun() => {
            server.stop(&shutdown).await;
            return Ok(());
        }
    };
    log_engine(&*backend);
    server.serve(Deps::of(&backend, &catalog, store.clone(), objects));
    tokio::select! {
        () = shutdown.begun() => {}
        down = server.down() => return Err(down.into()),
    }
    let drained = server.stop(&shutdown).await;
    if drained == Drained::Whole {
        store.close().await;
    }
    backend.close().await?;
    Ok(())
}
