//! The configuration of the binary: options and variables, checked as a whole.

use bulrush_catalog::Binary;
use bulrush_service::args::{self, TelemetryArgs};
use bulrush_service::ops::OpsCommand;
use bulrush_service::{ConfigError, Problems, Secret, WorkerArgs, WorkerConfig};
use bulrush_upstream::{BaseUrl, UpstreamConfig};
use clap::Parser;

/// Runs the jobs that bring data in: enrichment of price histories with weather, holidays and the calendar.
///
/// Limits of queues are set by variables BULRUSH_QUEUE_<NAME>_CONCURRENCY, _ATTEMPTS, _RATE_MAX and so on.
#[derive(Debug, Parser)]
#[command(name = "bulrush-worker-enrichment", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Option<OpsCommand>,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// One base URL for all upstreams, such as the sandbox's; the options below win over it.
    #[arg(long, env = "BULRUSH_UPSTREAM_URL", value_name = "URL")]
    pub upstream_url: Option<String>,
    /// Past weather, in Open-Meteo's format.
    #[arg(long, env = "BULRUSH_WEATHER_ARCHIVE_URL", value_name = "URL")]
    pub weather_archive_url: Option<String>,
    /// Weather to come, in Open-Meteo's format.
    #[arg(long, env = "BULRUSH_WEATHER_FORECAST_URL", value_name = "URL")]
    pub weather_forecast_url: Option<String>,
    /// Public holidays, in Nager.Date's format.
    #[arg(long, env = "BULRUSH_NAGER_URL", value_name = "URL")]
    pub nager_url: Option<String>,
    /// Public holidays, in Calendarific's format; asked where there is a key.
    #[arg(long, env = "BULRUSH_CALENDARIFIC_URL", value_name = "URL")]
    pub calendarific_url: Option<String>,
    /// School holidays, in OpenHolidays' format.
    #[arg(long, env = "BULRUSH_OPEN_HOLIDAYS_URL", value_name = "URL")]
    pub open_holidays_url: Option<String>,
    /// Key for Calendarific; never printed. Without one, public holidays come from Nager.Date.
    #[arg(long, env = "CALENDARIFIC_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub calendarific_api_key: Option<Secret>,
}

/// A configuration that can be used.
pub(crate) struct Config {
    pub worker: WorkerConfig,
    pub upstreams: UpstreamConfig,
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
        let upstreams = upstreams(&arguments, &mut problems);
        let worker = arguments.worker.check(Binary::Enrichment, environment, &mut problems);
        problems.finish()?;
        // It is missing only with a problem noted, which ended the check above.
        let Some(worker) = worker else { return Err(ConfigError { problems: Vec::new() }) };
        Ok(Self { worker, upstreams })
    }
}

fn upstreams(arguments: &Arguments, problems: &mut Problems) -> UpstreamConfig {
    let mut base = |name: &str, text: Option<&str>| {
        // A variable that is set to nothing is how compose passes on what nobody gave.
        let text = text.filter(|text| !text.is_empty())?;
        problems.keep(name, text.parse::<BaseUrl>())
    };
    let mut config = match base("BULRUSH_UPSTREAM_URL", arguments.upstream_url.as_deref()) {
        Some(all) => UpstreamConfig::all_at(&all),
        None => UpstreamConfig::default(),
    };
    for (place, name, text) in [
        (&mut config.weather_archive, "BULRUSH_WEATHER_ARCHIVE_URL", &arguments.weather_archive_url),
        (&mut config.weather_forecast, "BULRUSH_WEATHER_FORECAST_URL", &arguments.weather_forecast_url),
        (&mut config.nager, "BULRUSH_NAGER_URL", &arguments.nager_url),
        (&mut config.calendarific, "BULRUSH_CALENDARIFIC_URL", &arguments.calendarific_url),
        (&mut config.open_holidays, "BULRUSH_OPEN_HOLIDAYS_URL", &arguments.open_holidays_url),
    ] {
        if let Some(url) = base(name, text.as_deref()) {
            *place = url;
        }
    }
    config.calendarific_key = arguments
        .calendarific_api_key
        .as_ref()
        .and_then(|key| problems.keep("CALENDARIFIC_API_KEY", bulrush_upstream::Secret::new(key.expose())));
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str], environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let options = ["bulrush-worker-enrichment"].iter().chain(options);
        let arguments = Arguments::try_parse_from(options).unwrap();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Config::check_with(arguments, environment.iter().map(owned))
    }

    const NEEDED: [&str; 4] = ["--engine", "memory:", "--database", "sqlite::memory:"];

    #[test]
    fn all_problems_are_told_at_once_without_secrets() {
        let options = [
            "--concurrency",
            "0",
            "--nager-url",
            "http://user:canary@host",
            "--calendarific-api-key",
            "canary key",
            "--seal-key",
            "canary",
        ];
        let Err(error) = check(&options, &[("BULRUSH_QUEUE_ENRICHMENT_ATTEMPTS", "0")]) else {
            panic!("this configuration cannot be used");
        };
        let text = error.to_string();
        for name in [
            "BULRUSH_ENGINE",
            "DATABASE_URL",
            "BULRUSH_WORKER_CONCURRENCY",
            "BULRUSH_NAGER_URL",
            "CALENDARIFIC_API_KEY",
            "BULRUSH_SEAL_KEY",
            "BULRUSH_QUEUE_ENRICHMENT_ATTEMPTS",
        ] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn one_url_serves_all_upstreams_and_one_of_their_own_wins() {
        let own = ["--upstream-url", "http://127.0.0.1:8090", "--nager-url", "https://nager.example"];
        let config = check(&[NEEDED.as_slice(), own.as_slice()].concat(), &[])
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.upstreams.weather_archive.to_string(), "http://127.0.0.1:8090");
        assert_eq!(config.upstreams.open_holidays.to_string(), "http://127.0.0.1:8090");
        assert_eq!(config.upstreams.nager.to_string(), "https://nager.example");
    }

    #[test]
    fn the_defaults_are_the_catalogue_s_and_the_real_world() {
        let config = check(&NEEDED, &[("ENRICHMENT_WORKER_CONCURRENCY", "7")])
            .unwrap_or_else(|error| panic!("{error}"));
        let queue = config.worker.settings.catalog.find("enrichment").unwrap();
        assert_eq!((queue.limits().concurrency, config.worker.settings.concurrency), (7, None));
        assert_eq!(config.upstreams.nager.to_string(), "https://date.nager.at");
        assert!(config.worker.sealing.is_none());
    }
}
