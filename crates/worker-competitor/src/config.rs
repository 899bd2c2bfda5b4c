//! The configuration of the binary: options and variables, checked as a whole.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bulrush_catalog::Binary;
use bulrush_outbound::OutboundPolicy;
use bulrush_service::args::{self, OutboundArgs, TelemetryArgs};
use bulrush_service::ops::OpsCommand;
use bulrush_service::{ConfigError, Problems, WorkerArgs, WorkerConfig};
use bulrush_upstream::fetch::FetchOptions;
use bulrush_worker_competitor::money::{Currency, Rates};
use bulrush_worker_competitor::{Competitor, Manners};
use clap::Parser;

/// Longest pause between two requests to a site, ms.
const PAUSE_MS_MAX: u64 = 600_000;

/// Runs the jobs that read what competitors ask.
///
/// Limits of queues are set by variables BULRUSH_QUEUE_<NAME>_CONCURRENCY, _ATTEMPTS, _RATE_MAX and so on.
#[derive(Debug, Parser)]
#[command(name = "bulrush-worker-competitor", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Option<OpsCommand>,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub worker: WorkerArgs,
    #[command(flatten)]
    pub outbound: OutboundArgs,
    /// What the worker calls itself to the sites that it reads; it should say whom to turn to.
    #[arg(long, env = "BULRUSH_USER_AGENT", value_name = "TEXT")]
    pub user_agent: Option<String>,
    /// Pause between two requests to a site, ms, where its robots.txt does not ask for a longer one.
    #[arg(long, env = "BULRUSH_SITE_PAUSE_MS", value_name = "MS", default_value_t = 2_000)]
    pub site_pause_ms: u64,
    /// File of exchange rates: {"base": "EUR", "date": "2026-11-27", "rates": {"USD": 1.04}}. Built in are those of 2024-12-31.
    #[arg(long, env = "BULRUSH_RATES_FILE", value_name = "FILE")]
    pub rates_file: Option<PathBuf>,
    /// Currency of properties that name none.
    #[arg(long, env = "BULRUSH_CURRENCY", value_name = "CODE", default_value = "EUR")]
    pub currency: String,
    /// File of competitors for properties that have none declared: [{"id": "a", "name": "A", "page": {"url": "https://…"}}].
    #[arg(long, env = "BULRUSH_COMPETITORS_FILE", value_name = "FILE")]
    pub competitors_file: Option<PathBuf>,
}

/// A configuration that can be used.
pub(crate) struct Config {
    pub worker: WorkerConfig,
    pub policy: OutboundPolicy,
    pub fetch: FetchOptions,
    pub manners: Manners,
    pub rates: Rates,
    pub currency: Currency,
    pub fallback: Vec<Competitor>,
}

impl Config {
    /// Checks everything, the environment's settings of queues included.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(arguments: Arguments) -> Result<Self, ConfigError> {
        Self::check_with(arguments, args::environment())
    }

    fn check_with(
        arguments: Arguments,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let worker = arguments.worker.check(Binary::Competitor, environment, &mut problems);
        if arguments.site_pause_ms > PAUSE_MS_MAX {
            let seen = arguments.site_pause_ms;
            problems.push("BULRUSH_SITE_PAUSE_MS", format!("is {seen}; at most {PAUSE_MS_MAX}"));
        }
        let policy = arguments.outbound.policy(&mut problems);
        let user_agent = arguments.user_agent.filter(|text| {
            let is_good = (1..=200).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
            if !is_good {
                problems.push("BULRUSH_USER_AGENT", "must be 1 to 200 visible ASCII characters");
            }
            is_good
        });
        let rates = match &arguments.rates_file {
            None => Some(Rates::built_in()),
            Some(path) => file("BULRUSH_RATES_FILE", path, &mut problems)
                .and_then(|text| problems.keep("BULRUSH_RATES_FILE", Rates::from_json(&text))),
        };
        let currency = problems.keep("BULRUSH_CURRENCY", arguments.currency.parse::<Currency>());
        let fallback = match &arguments.competitors_file {
            None => Some(Vec::new()),
            Some(path) => file("BULRUSH_COMPETITORS_FILE", path, &mut problems).and_then(|text| {
                problems.keep("BULRUSH_COMPETITORS_FILE", Competitor::list_from_json(&text))
            }),
        };
        problems.finish()?;
        // Each of them is missing only with a problem noted, which ended the check above.
        let (Some(worker), Some(rates), Some(currency), Some(fallback)) = (worker, rates, currency, fallback)
        else {
            return Err(ConfigError { problems: Vec::new() });
        };
        let mut fetch = FetchOptions::default();
        if let Some(user_agent) = user_agent {
            fetch.user_agent = user_agent;
        }
        let manners = Manners { pause: Duration::from_millis(arguments.site_pause_ms), ..Manners::default() };
        Ok(Self { worker, policy, fetch, manners, rates, currency, fallback })
    }
}

/// The text of a file, or a problem noted.
fn file(name: &str, path: &Path, problems: &mut Problems) -> Option<String> {
    let text = std::fs::read_to_string(path);
    problems.keep(name, text.map_err(|error| format!("{} cannot be read: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str], environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let options = ["bulrush-worker-competitor"].iter().chain(options);
        let arguments = Arguments::try_parse_from(options).unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::check_with(arguments, environment.iter().map(owned))
    }

    const NEEDED: [&str; 4] = ["--engine", "memory:", "--database", "sqlite::memory:"];

    #[test]
    fn all_problems_are_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let broken = folder.path().join("broken.json");
        std::fs::write(&broken, "[{").unwrap();
        let broken = broken.to_str().unwrap();
        let options = [
            "--concurrency",
            "0",
            "--outbound-allow",
            "*",
            "--outbound-ports",
            "0",
            "--user-agent",
            "é",
            "--rates-file",
            "/absent",
            "--currency",
            "EURO",
            "--competitors-file",
            broken,
            "--site-pause-ms",
            "600001",
        ];
        let Err(error) = check(&options, &[("BULRUSH_QUEUE_COMPETITOR_ATTEMPTS", "0")]) else {
            panic!("this configuration cannot be used");
        };
        let text = error.to_string();
        for name in [
            "BULRUSH_ENGINE",
            "DATABASE_URL",
            "BULRUSH_WORKER_CONCURRENCY",
            "BULRUSH_OUTBOUND_ALLOW",
            "BULRUSH_OUTBOUND_PORTS",
            "BULRUSH_USER_AGENT",
            "BULRUSH_SITE_PAUSE_MS",
            "BULRUSH_RATES_FILE",
            "BULRUSH_CURRENCY",
            "BULRUSH_COMPETITORS_FILE",
            "BULRUSH_QUEUE_COMPETITOR_ATTEMPTS",
        ] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
    }

    #[test]
    fn the_defaults_are_the_catalogue_s_and_the_internet() {
        let config = check(&NEEDED, &[("COMPETITOR_WORKER_CONCURRENCY", "7")])
            .unwrap_or_else(|error| panic!("{error}"));
        let queue = config.worker.settings.catalog.find("competitor").unwrap();
        assert_eq!((queue.limits().concurrency, config.worker.settings.concurrency), (7, None));
        assert_eq!(config.policy, OutboundPolicy::default());
        assert_eq!((config.manners, config.currency), (Manners::default(), Currency::EUR));
        assert!(config.fetch.user_agent.starts_with("bulrush/"));
    }
}
