//! Queues in order: due jobs are promoted, jobs of dead workers taken back, finished ones trimmed, and what queues have to tell each other
//! is delivered. Workers do this with each renewal; here it is done for queues that no worker lives for, so that workers may be scaled
//! down to none.

use bulrush::port::{Backend, Result};
use bulrush_catalog::Queue;
use bulrush_service::configure_queues;
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;

use crate::Dependencies;
use crate::pause::{Pause, sleep, spread};

/// Slices of one queue in one pass, at most: a queue with much to do leaves room to the others.
const SLICES: usize = 50;
/// Queues that are kept in order at the same time.
const AT_ONCE: usize = 4;

/// Keeps all queues in order until it is to stop.
pub(crate) async fn run(deps: Dependencies, stop: CancellationToken) {
    let mut pause = Pause::up_to(deps.pace.trouble.min(deps.pace.maintenance));
    let mut is_configured = false;
    loop {
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            done = pass(&deps, &mut is_configured) => done,
        };
        let go_on = match done {
            Ok(()) => {
                if pause.is_troubled() {
                    tracing::info!("queues are kept in order again");
                }
                pause.reset();
                // Several instances come at different times.
                sleep(spread(deps.pace.maintenance), &stop).await
            }
            Err(error) => {
                if !pause.is_troubled() {
                    tracing::warn!(%error, "queues cannot be kept in order now; trying again");
                }
                // A store that comes back may have lost its settings.
                is_configured = false;
                pause.wait(&stop).await
            }
        };
        if !go_on {
            return;
        }
    }
}

/// One pass over all queues. A queue with trouble does not keep the others from theirs.
async fn pass(deps: &Dependencies, is_configured: &mut bool) -> Result<()> {
    if !*is_configured {
        configure_queues(&*deps.backend, &deps.catalog).await?;
        *is_configured = true;
    }
    let all: Vec<_> = deps.catalog.queues().iter().map(|queue| maintain(&*deps.backend, queue)).collect();
    let done: Vec<Result<()>> = stream::iter(all).buffer_unordered(AT_ONCE).collect().await;
    done.into_iter().collect()
}

async fn maintain(backend: &dyn Backend, queue: &Queue) -> Result<()> {
    let name = queue.name();
    for _ in 0..SLICES {
        let done = backend.maintain(name).await?;
        if done.rescued > 0 {
            tracing::warn!(queue = %name, jobs = done.rescued, "jobs of lost workers were taken back");
        }
        if !done.outbox.is_empty() {
            bulrush::flow::deliver(backend, name, done.outbox).await?;
        }
        if !done.more {
            break;
        }
    }
    Ok(())
}
