//! `bulrush serve`: the whole platform in one process, its data in one folder.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use bulrush_api::ApiArgs;
use bulrush_scheduler::ScheduleArgs;
use bulrush_service::{DataDir, FilesArgs, Problems, Secret, Shutdown, args, telemetry};
use bulrush_worker_competitor::CompetitorArgs;
use clap::Args;

use crate::platform::{Plan, Platform, settings};

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Folder for the engine's store, the database, the files and the keys; made if it is not there
    #[arg(long, env = "BULRUSH_DATA", value_name = "DIR", default_value = "data")]
    data: PathBuf,
    /// Use a local stand-in for the weather and holiday services and for the pages of competitors
    #[arg(long)]
    sandbox: bool,
    /// The engine on a Redis instead of in the data folder
    #[arg(long, env = "REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis: Option<Secret>,
    /// Where the database is, if not in the data folder
    #[command(flatten)]
    store: args::StoreArgs,
    /// Where files are, if not in the data folder
    #[command(flatten)]
    files: FilesArgs,
    #[command(flatten)]
    api: ApiArgs,
    #[command(flatten)]
    tokens: args::TokenArgs,
    #[command(flatten)]
    seal: args::SealArgs,
    #[command(flatten)]
    outbound: args::OutboundArgs,
    #[command(flatten)]
    competitors: CompetitorArgs,
    #[command(flatten)]
    schedules: ScheduleArgs,
    #[command(flatten)]
    telemetry: args::TelemetryArgs,
}

/// Serves until asked to stop.
pub async fn run(arguments: ServeArguments) -> anyhow::Result<()> {
    telemetry::init(&arguments.telemetry)?;
    let data = DataDir::open(&arguments.data)?;
    let mut problems = Problems::default();
    let api = arguments.api.config(&mut problems);
    let tokens = arguments.tokens.keys(Some(data.token_secret()?), &mut problems);
    let sealing = arguments.seal.sealing(Some(data.seal_key()?), &mut problems);
    let outbound = arguments.outbound.policy(&mut problems);
    let competitors = arguments.competitors.settings(&mut problems);
    let catalog = args::catalog(settings(arguments.sandbox), &mut problems);
    let defaults = catalog.as_ref().map(|catalog| arguments.schedules.defaults(catalog, &mut problems));
    let database = arguments.store.url(&mut problems);
    let files = arguments.files.place(&mut problems);
    problems.finish()?;
    let tokens = tokens.context("no key for tokens")?;
    let catalog = catalog.context("no catalogue")?;
    let shutdown = Shutdown::on_signals().context("the signals that stop the program cannot be watched")?;
    let folder = data.path().display().to_string();
    let try_it = if tokens.can_mint() {
        format!("a token to try it with: bulrush token new --data {folder} --role user --sub ada")
    } else {
        "it takes the tokens of the issuer whose keys it has".to_owned()
    };
    let plan = Plan {
        data,
        engine: arguments.redis,
        database,
        files,
        api,
        catalog,
        defaults: defaults.unwrap_or_default(),
        tokens,
        sealing,
        outbound,
        competitors: competitors.context("no settings for the pages of competitors")?,
        sandbox: arguments.sandbox,
    };
    let platform = Platform::start(plan, shutdown.clone()).await?;
    // A server goes on when nobody reads what it says.
    let _ = writeln!(
        std::io::stdout(),
        "bulrush serves {} with its data in {folder}\n{try_it}",
        platform.base_url()
    );
    shutdown.begun().await;
    platform.stop().await
}
