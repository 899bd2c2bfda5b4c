//! A ticker process of a run: fires the schedules of a queue as the scheduler does, until it is asked to end.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::model::QueueName;
use bulrush::port::Backend;
use bulrush::{Ticker, TickerOptions};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::door::Door;
use crate::journal::Journal;
use crate::wrong::Bug;

/// How a ticker process works.
#[derive(Debug, Clone, Args)]
pub struct TickerArguments {
    /// Address of the store.
    #[arg(long)]
    pub store: String,
    /// The queue whose schedules it fires.
    #[arg(long)]
    pub queue: String,
    /// How long the server may take to answer, ms.
    #[arg(long)]
    pub answer_ms: u64,
    /// A bug to have.
    #[arg(long)]
    pub bug: Option<Bug>,
}

impl TickerArguments {
    /// As a command line.
    pub fn words(&self) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["ticker".into()];
        let mut put = |name: &str, value: OsString| words.extend([name.into(), value]);
        put("--store", self.store.clone().into());
        put("--queue", self.queue.clone().into());
        put("--answer-ms", self.answer_ms.to_string().into());
        if let Some(bug) = self.bug {
            put("--bug", bug.name().into());
        }
        words
    }
}

/// Runs a ticker until it is asked to end.
pub fn run(arguments: &TickerArguments) -> Result<()> {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .with_ansi(false)
        .init();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(tick(arguments))
}

async fn tick(arguments: &TickerArguments) -> Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let answer = Duration::from_millis(arguments.answer_ms);
    let options = RedisOptions { connect_within: answer, answer_within: answer, ..RedisOptions::default() };
    let store = connect_redis_with(&arguments.store, options).await.context("the store cannot be opened")?;
    // It writes nothing down: what came of its slots is seen from outside.
    let nowhere = Journal::open(std::path::Path::new("/dev/null"))?;
    let store: Arc<dyn Backend> = Arc::new(Door::new(store, nowhere, arguments.bug));
    let ticker = Ticker::start(&store, [QueueName::new(&arguments.queue)?], TickerOptions::default());
    term.recv().await;
    let stats = ticker.shutdown().await;
    println!(
        "fired {}, stale {}, missed {}, failed calls {}",
        stats.fired, stats.stale, stats.missed, stats.errors
    );
    store.close().await?;
    Ok(())
}
