//! The tasks of the scheduler, running together.

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Dependencies, forgetting, maintenance, outbox, webhooks};

/// The scheduler, running. Dropping it stops it without waiting.
#[must_use = "dropping the scheduler stops it"]
pub struct Scheduler {
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// Starts the scheduler. To be called within a tokio runtime. It begins to work when the stores answer, whenever that is.
pub fn start(deps: &Dependencies) -> Scheduler {
    let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
    tasks.spawn(maintenance::run(deps.clone(), stop.clone()));
    tasks.spawn(webhooks::relay(deps.clone(), stop.clone()));
    tasks.spawn(webhooks::sweep(deps.clone(), stop.clone()));
    tasks.spawn(forgetting::run(deps.clone(), stop.clone()));
    tasks.spawn(outbox::run(deps.clone(), stop.clone()));
    Scheduler { stop, tasks }
}

impl Scheduler {
    /// Resolves if a task ends by itself, which none should: the log says why.
    pub async fn ended(&mut self) {
        if let Some(Err(error)) = self.tasks.join_next().await {
            tracing::error!(%error, "a task of the scheduler ended by itself");
        }
    }

    /// Begins nothing more, gives up what it has claimed, and joins every task.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
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
