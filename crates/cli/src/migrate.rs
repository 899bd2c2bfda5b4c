//! `bulrush migrate`: brings the tables of a database up to date, and nothing else. For a step of its own before a deploy.

use anyhow::Context as _;
use clap::Args;

use crate::database::DatabaseArguments;

/// Arguments of `migrate`.
#[derive(Debug, Args)]
pub struct MigrateArguments {
    #[command(flatten)]
    database: DatabaseArguments,
}

/// Migrates and says what there was to do. Several at once do no harm.
pub async fn run(arguments: MigrateArguments) -> anyhow::Result<()> {
    let store = arguments.database.open_as_it_is().await?;
    let missing = store.look().await.context("the database could not be looked at")?.missing_migrations;
    store.migrate().await.context("the database could not be brought up to date")?;
    store.close().await;
    match missing {
        0 => println!("the database was up to date"),
        1 => println!("the database is up to date, by 1 migration"),
        count => println!("the database is up to date, by {count} migrations"),
    }
    Ok(())
}
