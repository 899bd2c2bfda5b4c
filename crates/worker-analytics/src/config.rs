//! The configuration of the binary: options and variables, checked as a whole.

use bulrush_catalog::Binary;
use bulrush_outbound::OutboundPolicy;
use bulrush_service::args::{self, OutboundArgs, TelemetryArgs};
use bulrush_service::ops::OpsCommand;
use bulrush_service::{ConfigError, FilesArgs, Problems, WorkerArgs, WorkerConfig};
use bulrush_store::Place;
use clap::Parser;

/// Runs the jobs that compute from the data and send out what comes of it: analyses, exports, messages for webhooks.
///
/// Limits of queues are set by variables BULRUSH_QUEUE_<NAME>_CONCURRENCY, _ATTEMPTS, _RATE_MAX and so on.
#[derive(Debug, Parser)]
#[command(name = "bulrush-worker-analytics", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Option<OpsCommand>,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub worker: WorkerArgs,
    #[command(flatten)]
    pub files: FilesArgs,
    #[command(flatten)]
    pub outbound: OutboundArgs,
}

/// A configuration that can be used.
#[derive(Debug)]
pub(crate) struct Config {
    pub worker: WorkerConfig,
    pub files: Place,
    pub outbound: OutboundPolicy,
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
        let worker = arguments.worker.check(Binary::Analytics, environment, &mut problems);
        let files = arguments.files.place(&mut problems);
        if !arguments.files.is_given() {
            problems.push("BULRUSH_FILES", "is missing; give it or its option, such as --files data/files");
        }
        let outbound = arguments.outbound.policy(&mut problems);
        problems.finish()?;
        // Each of them is missing only with a problem noted, which ended the check above.
        let (Some(worker), Some(files)) = (worker, files) else {
            return Err(ConfigError { problems: Vec::new() });
        };
        Ok(Self { worker, files, outbound })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[&str]) -> Result<Config, ConfigError> {
        let arguments = Arguments::try_parse_from(["x"].iter().chain(options)).unwrap();
        Config::check_with(arguments, [])
    }

    #[test]
    fn all_that_is_missing_is_told_at_once() {
        let text = check(&[]).unwrap_err().to_string();
        for name in ["BULRUSH_ENGINE", "DATABASE_URL", "BULRUSH_FILES"] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
    }

    #[test]
    fn the_folder_of_files_has_two_names() {
        for option in ["--files", "--export-dir"] {
            let config =
                check(&["--engine", "memory:", "--database", "sqlite::memory:", option, "f"]).unwrap();
            assert_eq!(config.files, Place::Folder("f".into()));
        }
    }
}
