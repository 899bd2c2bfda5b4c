//! The configuration of the binary: options and variables, checked as a whole.

use bulrush_catalog::Binary;
use bulrush_outbound::OutboundPolicy;
use bulrush_service::args::{self, OutboundArgs, TelemetryArgs};
use bulrush_service::ops::OpsCommand;
use bulrush_service::{ConfigError, Problems, WorkerArgs, WorkerConfig};
use bulrush_worker_competitor::{CompetitorArgs, CompetitorSettings};
use clap::Parser;

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
    #[command(flatten)]
    pub pages: CompetitorArgs,
}

/// A configuration that can be used.
pub(crate) struct Config {
    pub worker: WorkerConfig,
    pub policy: OutboundPolicy,
    pub pages: CompetitorSettings,
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
        let policy = arguments.outbound.policy(&mut problems);
        let pages = arguments.pages.settings(&mut problems);
        problems.finish()?;
        // Each of them is missing only with a problem noted, which ended the check above.
        let (Some(worker), Some(pages)) = (worker, pages) else {
            return Err(ConfigError { problems: Vec::new() });
        };
        Ok(Self { worker, policy, pages })
    }
}

#[cfg(test)]
mod tests {
    use bulrush_catalog::competitor::Currency;

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
        assert_eq!((config.pages.pause, config.pages.currency), (None, Currency::EUR));
        assert!(config.pages.fetch.user_agent.starts_with("bulrush/"));
    }
}
