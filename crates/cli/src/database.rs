//! Which database a command works on, and how to get at it.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use bulrush_service::{DataDir, Problems, Secret};
use bulrush_store::Store;
use clap::Args;

/// Which database.
#[derive(Debug, Clone, Args)]
pub struct DatabaseArguments {
    /// The database: postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH. As for `bulrush serve`, it goes before the one in --data. It may
    /// hold a password and is never printed
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, value_name = "URL", global = true)]
    database: Option<Secret>,
    /// File that holds the database's URL
    #[arg(long, env = "DATABASE_URL_FILE", value_name = "FILE", global = true)]
    database_file: Option<PathBuf>,
    /// The data folder of a server; its database is in it. The server may be running
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

impl DatabaseArguments {
    /// Opens the database that they name and brings its tables up to date.
    pub async fn open(&self) -> anyhow::Result<Store> {
        let store = self.open_as_it_is().await?;
        store.migrate().await.context("the database could not be brought up to date")?;
        Ok(store)
    }

    /// Opens the database that they name.
    pub async fn open_as_it_is(&self) -> anyhow::Result<Store> {
        let mut problems = Problems::default();
        let given = Secret::resolve(
            "DATABASE_URL",
            self.database.as_ref(),
            self.database_file.as_deref(),
            &mut problems,
        );
        problems.finish()?;
        let url = match (given, &self.data) {
            (Some(url), _) => url.expose().to_owned(),
            (None, Some(data)) => {
                // A mistyped folder must not become one.
                if !data.is_dir() {
                    bail!(
                        "{} is no data folder; give the folder that `bulrush serve --data` uses",
                        data.display()
                    );
                }
                DataDir::open(data)?.database_url()
            }
            (None, None) => {
                bail!("which database? give --data DIR (the folder of `bulrush serve`) or --database URL")
            }
        };
        Store::open(&url).await.context("the database could not be opened")
    }
}
