//! `bulrush demo`: the main job from end to end, in one process, with nothing installed.

mod chart;
mod client;
mod forecast_chart;
mod history;
mod show;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use bulrush_api::ApiConfig;
use bulrush_catalog::schedules::defaults;
use bulrush_outbound::OutboundPolicy;
use bulrush_service::{
    DataDir, Problems, Role, Sealing, Secret, Shutdown, TokenKeys, TokenOptions, args, telemetry,
};
use bulrush_worker_competitor::CompetitorSettings;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::platform::{Plan, Platform, settings};
use crate::token::mint;
use client::Client;

/// How long the pipeline may take before something must be wrong.
const PIPELINE_MAX: Duration = Duration::from_mins(2);
/// Between two looks at the job.
const LOOK_EVERY: Duration = Duration::from_millis(60);
/// Days ahead of the forecast.
const HORIZON: u32 = 30;
/// How often the schedule fires while it is watched, s, and how many times.
const FIRE_EVERY_S: u64 = 2;
const FIRES: u64 = 3;
/// Who the demo is.
const USER: &str = "ada";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// End after the pipeline, with 0 only if all of it succeeded
    #[arg(long)]
    once: bool,
    /// Keep the data in this folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The engine on a Redis instead of in the data folder
    #[arg(long, value_name = "URL")]
    redis: Option<Secret>,
    /// Port of the API; a free one if none is given
    #[arg(long, default_value_t = 0)]
    port: u16,
    #[command(flatten)]
    telemetry: args::TelemetryArgs,
}

/// Runs the pipeline, and goes on serving unless told otherwise.
pub async fn run(mut arguments: DemoArguments) -> anyhow::Result<()> {
    // The pipeline speaks for itself; what goes wrong is still logged.
    if arguments.telemetry.log == "info" {
        "warn".clone_into(&mut arguments.telemetry.log);
    }
    telemetry::init(&arguments.telemetry)?;
    let scratch =
        tempfile::Builder::new().prefix("bulrush-demo-").tempdir().context("no temporary folder")?;
    let data = DataDir::open(arguments.data.clone().unwrap_or_else(|| scratch.path().to_owned()))?;
    let shutdown = Shutdown::on_signals().context("the signals that stop the program cannot be watched")?;

    let mut problems = Problems::default();
    let catalog = args::catalog(settings(true), &mut problems);
    problems.finish()?;
    let tokens = TokenKeys::new(&data.token_secret()?, TokenOptions::default())?;
    let token = mint(&tokens, USER, "default", Role::User, Duration::from_hours(24))?;
    let sealing = Sealing::new(&data.seal_key()?)?;
    let catalog = catalog.context("no catalogue")?;
    let plan = Plan {
        data,
        engine: arguments.redis,
        database: None,
        files: None,
        api: ApiConfig {
            port: arguments.port,
            // Nobody would watch a schedule for a minute.
            schedule_interval: Duration::from_secs(FIRE_EVERY_S),
            ..ApiConfig::default()
        },
        defaults: defaults(&catalog, "UTC")?,
        catalog,
        tokens,
        sealing: Some(sealing),
        outbound: OutboundPolicy::default(),
        competitors: CompetitorSettings { currency: "USD".parse()?, ..CompetitorSettings::default() },
        sandbox: true,
    };
    let platform = Platform::start(plan, shutdown.clone()).await?;
    let client = Client::new(&platform.base_url(), &token)?;

    let competitors = platform.competitors();
    let folder = arguments.data.as_deref();
    let told = tokio::select! {
        told = tokio::time::timeout(PIPELINE_MAX, pipeline(&client, &competitors, folder)) => {
            told.unwrap_or_else(|_| Err(anyhow::anyhow!("the pipeline did not end within {} s", PIPELINE_MAX.as_secs())))
        }
        () = shutdown.begun() => Err(anyhow::anyhow!("stopped before the pipeline ended")),
    };
    if told.is_ok() && !arguments.once {
        invite(&platform.base_url(), &token);
        shutdown.begun().await;
        println!("\nstopping: what runs may end; Ctrl-C again does not wait");
    }
    platform.stop().await?;
    told
}

/// Upload, enrich, read back, analyse, forecast, compare with competitors once and then by a schedule, export, all over HTTP as any client
/// would. The exported file is put into `folder`, or among the machine's temporary files.
async fn pipeline(client: &Client, competitors: &[Value], folder: Option<&Path>) -> anyhow::Result<()> {
    println!(
        "bulrush demo: an API, workers, a scheduler, a durable queue and a database, all in this process\n"
    );
    let csv = history::csv();
    let days = csv.lines().count() - 1;

    let upload = bar("1/8 upload");
    upload.set_message(format!("{days} days of a hotel's prices as CSV"));
    let file = client.upload("seattle-hotel-2015.csv", &csv).await.context("the upload failed")?;
    finish(&upload, &format!("file {} is in, {days} days", file.file_id));

    let enrich = bar("2/8 enrich");
    let job = client.enrich(&file.file_id).await.context("the enrichment could not be asked for")?;
    watch(client, &job, &enrich).await?;

    let read = bar("3/8 read back");
    let features = client.features(&file.property_id).await.context("the result could not be read")?;
    ensure!(features.len() == days, "{} of {days} days came back", features.len());
    finish(&read, &format!("{} enriched days", features.len()));

    let analyse = bar("4/8 analyse");
    let asked = json!({
        "propertyId": file.property_id, "analysisType": "weather-impact", "params": {"target": "occupancy"},
    });
    let job = client.add("analytics-heavy", "analyze", &asked).await.context("the analysis was refused")?;
    watch(client, &job, &analyse).await?;
    let analysis = client.analysis(&job).await.context("the analysis could not be read")?;

    let ahead = bar("5/8 forecast");
    let asked = json!({"productId": file.property_id, "metric": "bookings", "horizon": HORIZON});
    let job = client.add("forecast", "run-forecast", &asked).await.context("the forecast was refused")?;
    watch(client, &job, &ahead).await?;
    let forecast = client.forecast(&job).await.context("the forecast could not be read")?;
    ensure!(
        forecast.points.len() == HORIZON as usize,
        "{} of {HORIZON} days came back",
        forecast.points.len()
    );

    let compare = bar("6/8 compare");
    for competitor in competitors {
        client.declare(&file.property_id, competitor).await.context("a competitor could not be declared")?;
    }
    let stay = history::stay(&file.property_id);
    let job = client
        .add("competitor", "scrape-prices", &stay)
        .await
        .context("the prices of competitors could not be asked for")?;
    watch(client, &job, &compare).await?;
    let comparison = client.comparison(&file.property_id).await.context("the prices could not be read")?;
    ensure!(comparison.priced > 0, "no competitor has a price");

    let schedule = bar("7/8 schedule");
    let times = fire(client, &stay, &schedule).await?;
    finish(&schedule, &format!("it read the prices again at {}", times.join(", ")));

    let export = bar("8/8 export");
    let wanted = json!({"entity": "features", "format": "csv", "propertyId": file.property_id});
    let job = client.export(&wanted).await.context("the export was refused")?;
    watch(client, &job, &export).await?;
    let bytes = client.download(&job).await.context("the file could not be downloaded")?;
    let path = keep(&bytes, folder)?;

    println!("\n{}", show::facts(&features));
    println!("{}\n", show::days_table(&features));
    for line in show::chart(&features) {
        println!("{line}");
    }
    println!("\n{}", show::comparison(&comparison));
    println!("{}\n", show::prices_table(&comparison));
    println!("What moves the occupancy:");
    for sentence in &analysis.summary {
        println!("- {sentence}");
    }
    println!("\n{}\n", show::forecast(&forecast));
    for line in show::forecast_chart(&features, &forecast) {
        println!("{line}");
    }
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    println!(
        "\nThe enriched days as CSV, {lines} lines, {} KiB: {}",
        bytes.len().div_ceil(1024),
        path.display()
    );
    Ok(())
}

/// Writes the exported file where its reader finds it, under a name that nothing else has.
fn keep(bytes: &[u8], folder: Option<&Path>) -> anyhow::Result<PathBuf> {
    let temporary = std::env::temp_dir();
    let folder = folder.unwrap_or(&temporary);
    let mut file = tempfile::Builder::new()
        .prefix("bulrush-demo-")
        .suffix(".csv")
        .tempfile_in(folder)
        .with_context(|| format!("no file can be made in {}", folder.display()))?;
    std::io::Write::write_all(&mut file, bytes)?;
    Ok(file.keep()?.1)
}

/// Shows a job's progress until it has completed.
async fn watch(client: &Client, job: &str, bar: &ProgressBar) -> anyhow::Result<()> {
    let ended = loop {
        let job = client.job(job).await.context("the job could not be read")?;
        bar.set_position(u64::from(job.progress));
        bar.set_message(job.message.clone().unwrap_or_else(|| job.status.clone()));
        if matches!(job.status.as_str(), "completed" | "failed" | "cancelled") {
            break job;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    if ended.status != "completed" {
        bail!("job {job} {}: {}", ended.status, ended.failed_reason.unwrap_or_default());
    }
    finish(bar, &format!("job {job} completed"));
    Ok(())
}

/// Makes a schedule and watches it fire until its limit is reached; returns the times of day of its slots.
async fn fire(client: &Client, stay: &Value, bar: &ProgressBar) -> anyhow::Result<Vec<String>> {
    bar.set_message(format!("the prices again, every {FIRE_EVERY_S} s"));
    let schedule = client.schedule(stay, FIRE_EVERY_S, FIRES).await.context("the schedule was refused")?;
    let mut slots = Vec::new();
    loop {
        let now = client.standing(&schedule).await.context("the schedule could not be read")?;
        if let Some(slot) = now.last_slot.filter(|slot| slots.last() != Some(slot)) {
            slots.push(slot);
            bar.set_position(now.fired * 100 / FIRES);
            bar.set_message(format!("fired {} of {FIRES} times, at {}", now.fired, time_of_day(slot)));
        }
        let ended = match &now.last_job {
            Some(id) if now.over => {
                let job = client.job(id).await?;
                if matches!(job.status.as_str(), "failed" | "cancelled") {
                    bail!("job {id} {}: {}", job.status, job.failed_reason.unwrap_or_default());
                }
                job.status == "completed"
            }
            _ => false,
        };
        if ended {
            return Ok(slots.into_iter().map(time_of_day).collect());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// On the clock of this machine.
fn time_of_day(at: Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string()
}

fn invite(base_url: &str, token: &str) {
    println!("\nThe API goes on at {base_url} until Ctrl-C. To try it:\n");
    println!("  TOKEN={token}");
    println!("  curl -H \"Authorization: Bearer $TOKEN\" {base_url}/api/v1/jobs");
    println!("  curl {base_url}/health\n");
}

fn bar(step: &str) -> ProgressBar {
    let bar = ProgressBar::new(100);
    // The template is fixed, so that it can be read is known; without it the default style serves.
    if let Ok(style) = ProgressStyle::with_template("{prefix:14} [{bar:28}] {percent:>3}%  {msg}") {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    bar.set_prefix(step.to_owned());
    bar.tick();
    bar
}

fn finish(bar: &ProgressBar, text: &str) {
    bar.set_position(100);
    bar.finish_with_message(text.to_owned());
    // Bars are drawn on a terminal only, and the last one leaves the cursor in its line.
    if std::io::stderr().is_terminal() {
        eprintln!();
    } else {
        println!("{:14} done: {text}", bar.prefix());
    }
}
