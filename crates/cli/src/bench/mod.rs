//! `bulrush bench`: what a backend does per second, how long a job waits, and what it costs.
//!
//! Figures of one run are comparable with each other, not with another day's: machines drift. Compare backends and versions within one
//! run, by ratio.

mod measure;
mod scenarios;

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::table::table;
use measure::Usage;
pub use scenarios::Scenario;

/// Arguments of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArguments {
    /// Backends to measure, one after the other within each run: memory:, file:DIRECTORY (a folder of its own is made in it) or the address of a Redis (a queue of its own is made on it)
    #[arg(long = "backend", value_name = "URL", default_values_t = [String::from("memory:")])]
    pub backends: Vec<String>,
    /// Scenarios, separated by commas
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [
        Scenario::Add, Scenario::AddBulk, Scenario::AddConcurrent, Scenario::Process, Scenario::Latency,
    ])]
    pub scenario: Vec<Scenario>,
    /// Jobs per scenario
    #[arg(long, default_value_t = 200_000)]
    pub jobs: usize,
    /// Jobs of one bulk add
    #[arg(long, default_value_t = 50)]
    pub batch: usize,
    /// Jobs processed at once; producers of add-concurrent
    #[arg(long, default_value_t = 100)]
    pub concurrency: usize,
    /// Threads of the client: what a queue's client does waits for the network and costs less on one; handlers that compute want more
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Bytes of a job's payload
    #[arg(long, default_value_t = 100)]
    pub payload: usize,
    /// Runs of everything, interleaved; the median is shown
    #[arg(long, default_value_t = 1)]
    pub runs: usize,
    /// Keep no events
    #[arg(long)]
    pub no_events: bool,
    /// Return a result from each job
    #[arg(long)]
    pub results: bool,
    /// Give each job an owner
    #[arg(long)]
    pub owner: bool,
    /// One JSON object a line instead of a table
    #[arg(long)]
    pub json: bool,
}

/// One measured scenario. What does not apply is null.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Row {
    backend: String,
    scenario: String,
    jobs: usize,
    seconds: f64,
    jobs_per_s: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    bytes_per_waiting_job: Option<f64>,
    bytes_per_finished_job: Option<f64>,
    server_cpu_us_per_job: Option<f64>,
    client_cpu_us_per_job: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Runs the scenarios on a runtime of their own and prints what came out.
pub fn run(arguments: BenchArguments) -> anyhow::Result<()> {
    let mut runtime = match arguments.threads {
        0 | 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime = runtime.worker_threads(arguments.threads.clamp(1, 1_024)).enable_all().build()?;
    runtime.block_on(measure_all(arguments))
}

async fn measure_all(arguments: BenchArguments) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for (name, value) in [
        ("--jobs", arguments.jobs),
        ("--batch", arguments.batch),
        ("--concurrency", arguments.concurrency),
        ("--threads", arguments.threads),
        ("--runs", arguments.runs),
    ] {
        if value == 0 {
            problems.push(format!("{name} is 0, it must be at least 1"));
        }
    }
    if arguments.batch > 1_000 {
        problems.push(format!("--batch is {}, a call takes at most 1000 jobs", arguments.batch));
    }
    if !problems.is_empty() {
        bail!("{}", problems.join("; "));
    }
    let mut runs: Vec<Vec<Row>> = Vec::new();
    for _ in 0..arguments.runs {
        let mut rows = Vec::new();
        for scenario in &arguments.scenario {
            for backend in &arguments.backends {
                let measured = scenarios::measure(*scenario, backend, &arguments).await?;
                if arguments.json && arguments.runs == 1 {
                    for row in &measured {
                        println!("{}", serde_json::to_string(row)?);
                    }
                }
                rows.extend(measured);
            }
        }
        runs.push(rows);
    }
    let rows = medians(&runs);
    if !arguments.json {
        println!("{}", rows_table(&rows));
        println!("{}", measure::machine());
    } else if arguments.runs > 1 {
        for row in &rows {
            println!("{}", serde_json::to_string(row)?);
        }
    }
    Ok(())
}

/// For each row the run whose throughput is the median.
fn medians(runs: &[Vec<Row>]) -> Vec<Row> {
    let rows = runs.first().map_or(0, Vec::len);
    (0..rows)
        .map(|at| {
            let mut same: Vec<&Row> = runs.iter().map(|run| &run[at]).collect();
            same.sort_by(|a, b| a.jobs_per_s.total_cmp(&b.jobs_per_s));
            same[same.len() / 2].clone()
        })
        .collect()
}

fn rows_table(rows: &[Row]) -> comfy_table::Table {
    let header = [
        "backend",
        "scenario",
        "jobs",
        "seconds",
        "jobs/s",
        "p50 ms",
        "p99 ms",
        "bytes/waiting",
        "bytes/finished",
        "server µs/job",
        "client µs/job",
        "",
    ];
    let mut table = table(header, 2..11);
    let optional =
        |value: Option<f64>, digits: usize| value.map_or(String::new(), |value| format!("{value:.digits$}"));
    for row in rows {
        table.add_row([
            row.backend.clone(),
            row.scenario.clone(),
            row.jobs.to_string(),
            format!("{:.2}", row.seconds),
            format!("{:.0}", row.jobs_per_s),
            optional(row.p50_ms, 3),
            optional(row.p99_ms, 3),
            optional(row.bytes_per_waiting_job, 0),
            optional(row.bytes_per_finished_job, 0),
            optional(row.server_cpu_us_per_job, 2),
            optional(row.client_cpu_us_per_job, 2),
            row.note.clone().unwrap_or_default(),
        ]);
    }
    table
}

impl Row {
    fn timed(backend: &str, scenario: &str, jobs: usize, usage: &Usage) -> Self {
        Self {
            backend: backend.to_owned(),
            scenario: scenario.to_owned(),
            jobs,
            seconds: usage.seconds,
            jobs_per_s: jobs as f64 / usage.seconds.max(f64::EPSILON),
            server_cpu_us_per_job: usage.server.map(|(cpu, _)| cpu / jobs as f64),
            client_cpu_us_per_job: usage.cpu_seconds.map(|cpu| cpu * 1e6 / jobs as f64),
            ..Self::default()
        }
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.to_possible_value().map(|value| value.get_name().to_owned());
        f.write_str(&name.unwrap_or_default())
    }
}
