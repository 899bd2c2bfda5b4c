//! What every worker binary is told, checked as a whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bulrush_catalog::Binary;
use clap::Args;

use crate::args::{self, EngineArgs, SealArgs, StoreArgs};
use crate::ops::OpsArgs;
use crate::{Problems, Sealing, Secret, WorkerSettings};

/// The options that all worker binaries have.
#[derive(Debug, Clone, Args)]
pub struct WorkerArgs {
    /// Where the queues are.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Where the domain's data is.
    #[command(flatten)]
    pub store: StoreArgs,
    /// What opens secrets in payloads.
    #[command(flatten)]
    pub seal: SealArgs,
    /// Jobs of a queue that run at once, in place of what the catalogue says.
    #[arg(long, env = "BULRUSH_WORKER_CONCURRENCY", value_name = "SLOTS")]
    pub concurrency: Option<usize>,
    /// How long running jobs may go on when the worker is asked to stop, s.
    #[arg(long, env = "BULRUSH_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 30)]
    pub drain: u64,
    /// Where health and metrics are told.
    #[command(flatten)]
    pub ops: OpsArgs,
    /// What the worker is called in lists of workers; the name of the binary if nothing is given.
    #[arg(long, env = "BULRUSH_WORKER_NAME")]
    pub name: Option<String>,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct WorkerConfig {
    /// Where the queues are.
    pub engine: Secret,
    /// Where the domain's data is.
    pub database: Secret,
    /// Opens secrets in payloads.
    pub sealing: Option<Arc<Sealing>>,
    /// Where health and metrics are told.
    pub ops: Option<SocketAddr>,
    /// How the workers run.
    pub settings: WorkerSettings,
}

impl WorkerArgs {
    /// Checks everything, the settings of queues in `environment` included; what is wrong is noted, and then there is nothing.
    pub fn check(
        self,
        binary: Binary,
        environment: impl IntoIterator<Item = (String, String)>,
        problems: &mut Problems,
    ) -> Option<WorkerConfig> {
        let engine = self.engine.url(problems);
        let database = self.store.url(problems);
        // One that is given and cannot be used is noted already.
        if self.store.database.is_none() && self.store.database_file.is_none() {
            problems.push(
                "DATABASE_URL",
                "is missing; give it or its option, such as --database postgres://bulrush@localhost/bulrush",
            );
        }
        if self.concurrency == Some(0) {
            problems.push("BULRUSH_WORKER_CONCURRENCY", "is 0, so nothing would ever run; give at least 1");
        }
        let sealing = self.seal.sealing(None, problems).map(Arc::new);
        let catalog = args::catalog(environment, problems);
        let settings = WorkerSettings {
            catalog: catalog?,
            name: self.name.unwrap_or_else(|| binary.as_str().to_owned()),
            concurrency: self.concurrency,
            drain: Duration::from_secs(self.drain),
        };
        Some(WorkerConfig { engine: engine?, database: database?, sealing, ops: self.ops.ops, settings })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct All {
        #[command(flatten)]
        worker: WorkerArgs,
    }

    fn check(options: &[&str], environment: &[(&str, &str)]) -> Result<WorkerConfig, String> {
        let all = All::try_parse_from(["x"].iter().chain(options)).unwrap();
        let mut problems = Problems::default();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let config = all.worker.check(Binary::Analytics, environment.iter().map(owned), &mut problems);
        problems.finish().map_err(|error| error.to_string())?;
        Ok(config.unwrap())
    }

    #[test]
    fn all_problems_are_told_at_once_without_secrets() {
        let text =
            check(&["--concurrency", "0", "--seal-key", "canary"], &[("BULRUSH_QUEUE_EXPORT_ATTEMPTS", "0")])
                .unwrap_err();
        for name in [
            "BULRUSH_ENGINE",
            "DATABASE_URL",
            "BULRUSH_WORKER_CONCURRENCY",
            "BULRUSH_SEAL_KEY",
            "BULRUSH_QUEUE_EXPORT_ATTEMPTS",
        ] {
            assert!(text.contains(name), "{name} is not in {text}");
        }
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn a_worker_is_called_after_its_binary_unless_it_has_a_name() {
        let needed = ["--engine", "memory:", "--database", "sqlite::memory:"];
        let config = check(&needed, &[("QUEUE_CONCURRENCY_EXPORT", "7")]).unwrap();
        assert_eq!(config.settings.name, "bulrush-worker-analytics");
        assert_eq!(config.settings.catalog.find("export").unwrap().limits().concurrency, 7);
        let named = check(&[needed.as_slice(), &["--name", "w-1"]].concat(), &[]).unwrap();
        assert_eq!(named.settings.name, "w-1");
    }
}
