//! Which engine a command looks at, and how to get at it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use bulrush::port::Error;
use bulrush::{Client, Queue};
use bulrush_catalog::Catalog;
use bulrush_service::{DataDir, Problems, Secret, args};
use clap::Args;

/// Which engine.
#[derive(Debug, Clone, Args)]
pub struct EngineArguments {
    /// The engine's store: file:PATH, or a Redis: redis://HOST:PORT/DB, rediss://…, unix:///PATH. It may hold a password and is never
    /// printed
    #[arg(
        long = "engine",
        visible_alias = "redis",
        id = "engine-url",
        env = "BULRUSH_ENGINE",
        hide_env_values = true,
        value_name = "URL",
        global = true
    )]
    engine: Option<Secret>,
    /// The data folder of a server; its engine's store is in it. The server must not be running: one process at a time
    // An id of its own: a job's data has the name, too.
    #[arg(
        long = "data",
        id = "data-folder",
        value_name = "DIR",
        global = true,
        conflicts_with = "engine-url"
    )]
    data: Option<PathBuf>,
    /// One JSON object a line instead of a table
    #[arg(long, global = true)]
    pub json: bool,
}

/// An engine that a command has opened.
pub struct Engine {
    pub client: Client,
    pub catalog: Catalog,
}

impl EngineArguments {
    /// Whether they name one.
    pub fn is_given(&self) -> bool {
        self.engine.is_some() || self.data.is_some()
    }

    /// The address of the engine that they name.
    pub fn url(&self) -> anyhow::Result<String> {
        match (&self.engine, &self.data) {
            (Some(url), _) => Ok(url.expose().to_owned()),
            (None, Some(data)) => {
                // A look must not make a store where there is none.
                if !data.is_dir() {
                    bail!(
                        "{} is no data folder; give the folder that `bulrush serve --data` uses",
                        data.display()
                    );
                }
                Ok(DataDir::open(data)?.engine_url())
            }
            (None, None) => {
                bail!("which engine? give --data DIR (the folder of `bulrush serve`) or --engine URL")
            }
        }
    }
}

impl Engine {
    /// Opens the engine that the arguments name.
    pub async fn open(arguments: &EngineArguments) -> anyhow::Result<Self> {
        let url = arguments.url()?;
        let client = Client::connect(&url).await.map_err(|error| {
            let hint = match &error {
                Error::Locked { .. } => {
                    " (a running server is asked over HTTP instead: GET /api/v1/jobs and its neighbours)"
                }
                _ => "",
            };
            anyhow::Error::new(error).context(format!("the engine could not be opened{hint}"))
        })?;
        let mut problems = Problems::default();
        let catalog = args::catalog(args::environment(), &mut problems);
        problems.finish()?;
        Ok(Self { client, catalog: catalog.unwrap_or_default() })
    }

    /// A queue of the catalogue by name or alias, or one that the engine has.
    pub async fn queue(&self, name: &str) -> anyhow::Result<Queue> {
        match self.catalog.find(name) {
            Ok(queue) => Ok(self.client.queue_with(queue.name().clone(), queue.options())),
            Err(unknown) => {
                let queue = self.client.queue(name).with_context(|| unknown.to_string())?;
                let there = self.client.backend().queues().await?;
                if there.contains(queue.name()) { Ok(queue) } else { Err(unknown.into()) }
            }
        }
    }

    /// Lets go of the store.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.client.backend().close().await?)
    }
}
