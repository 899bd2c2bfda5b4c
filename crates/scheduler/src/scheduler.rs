//! The tasks of the scheduler, running together.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use bulrush_service::{Watched, Workers};

use crate::schedules::{ScheduleMetrics, Tickers, put_defaults};
use crate::{Dependencies, fan_out, forgetting, maintenance, outbox, webhooks};

/// The scheduler, running. Dropping it stops it without waiting.
#[must_use = "dropping the scheduler stops it"]
pub struct Scheduler {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    tickers: Tickers,
    workers: Option<Workers>,
}

/// Starts the scheduler. To be called within a tokio runtime. It begins to work when the stores answer, whenever that is.
pub fn start(deps: &Dependencies) -> Scheduler {
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(maintenance::run(deps.clone(), stop.clone()));
    tasks.spawn(webhooks::relay(deps.clone(), stop.clone()));
    tasks.spawn(webhooks::sweep(deps.clone(), stop.clone()));
    tasks.spawn(forgetting::run(deps.clone(), stop.clone()));
    tasks.spawn(outbox::run(deps.clone(), stop.clone()));
    tasks.spawn(put_defaults(deps.clone(), stop.clone()));
    Scheduler { stop, tasks, tickers: Tickers::start(deps), workers: Some(fan_out::start(deps)) }
}

impl Scheduler {
    /// Resolves if a task ends by itself, which none should: the log says why.
    pub async fn ended(&mut self) {
        if let Some(Err(error)) = self.tasks.join_next().await {
            tracing::error!(%error, "a task of the scheduler ended by itself");
        }
    }

    /// What its tickers have done, for a registry of metrics.
    pub fn schedule_metrics(&self) -> ScheduleMetrics {
        ScheduleMetrics::new(self.tickers.clone())
    }

    /// Its own worker, for somebody who watches it.
    pub fn watched(&self) -> Vec<Watched> {
        self.workers.iter().flat_map(Workers::watched).collect()
    }

    /// Begins nothing more, fires nothing more, gives up what it has claimed, and joins every task.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        self.tickers.shutdown().await;
        if let Some(workers) = self.workers.take() {
            workers.shutdown().await;
        }
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a task of the scheduler ended by itself");
            }
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
