//! The configuration of the binary: options and variables, checked as a whole.

use std::net::SocketAddr;

use bulrush_catalog::Catalog;
use bulrush_catalog::schedules::DefaultSchedule;
use bulrush_scheduler::ScheduleArgs;
use bulrush_service::args::{self, EngineArgs, StoreArgs, TelemetryArgs};
use bulrush_service::ops::{OpsArgs, OpsCommand};
use bulrush_service::{ConfigError, Problems, Secret};
use clap::Parser;

/// Fires schedules, keeps queues in order and tells webhooks what happened. Any number of instances may run.
#[derive(Debug, Parser)]
#[command(name = "bulrush-scheduler", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Option<OpsCommand>,
    #[command(flatten)]
    pub telemetry: TelemetryArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub store: StoreArgs,
    #[command(flatten)]
    pub ops: OpsArgs,
    #[command(flatten)]
    pub schedules: ScheduleArgs,
}

/// A configuration that can be used.
#[derive(Debug)]
pub(crate) struct Config {
    pub engine: Secret,
    pub database: Secret,
    pub ops: Option<SocketAddr>,
    pub catalog: Catalog,
    pub defaults: Vec<DefaultSchedule>,
}

impl Config {
    /// Checks everything, the environment's settings of queues included.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(arguments: &Arguments) -> Result<Self, ConfigError> {
        Self::check_with(arguments, args::environment())
    }

    fn check_with(
        arguments: &Arguments,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut problems = Problems::default();
        let database = arguments.store.url(&mut problems);
        let engine = arguments.engine.url(&mut problems);
        // One that is given and cannot be used is noted already.
        if arguments.store.database.is_none() && arguments.store.database_file.is_none() {
            problems.push(
                "DATABASE_URL",
                "is missing; give it or its option, such as --database postgres://bulrush@localhost/bulrush",
            );
        }
        let catalog = args::catalog(environment, &mut problems);
        let defaults = catalog.as_ref().map(|catalog| arguments.schedules.defaults(catalog, &mut problems));
        problems.finish()?;
        // Each of them is missing only with a problem noted, which ended the check above.
        let (Some(engine), Some(database), Some(catalog)) = (engine, database, catalog) else {
            return Err(ConfigError { problems: Vec::new() });
        };
        Ok(Self { engine, database, ops: arguments.ops.ops, catalog, defaults: defaults.unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_missing_or_wrong_is_told_at_once() {
        let arguments = Arguments::try_parse_from(["x", "--schedules-zone", "Berlin"]).unwrap();
        let odd = [("BULRUSH_QUEUE_EXPORT_ATTEMPTS".to_owned(), "0".to_owned())];
        let text = Config::check_with(&arguments, odd).unwrap_err().to_string();
        for name in ["BULRUSH_ENGINE", "DATABASE_URL", "BULRUSH_QUEUE_EXPORT_ATTEMPTS"] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
        let text = Config::check_with(&arguments, []).unwrap_err().to_string();
        assert!(text.contains("BULRUSH_SCHEDULES_ZONE") && text.contains("Europe/Berlin"), "{text}");
    }

    #[test]
    fn secrets_are_not_printed() {
        let arguments = Arguments::try_parse_from([
            "x",
            "--engine",
            "redis://:canary@h",
            "--database",
            "postgres://u:canary@h/d",
        ])
        .unwrap();
        let config = Config::check_with(&arguments, []).unwrap();
        assert!(!format!("{config:?}").contains("canary"));
    }
}
