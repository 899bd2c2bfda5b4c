//! The schedules that the platform has from its first start. Each is put once ever, by whichever scheduler comes first: the engine
//! remembers which were asked for, so an edit stays and a removal stays, whatever restarts or is deployed anew.

use bulrush::model::Scope;
use bulrush::port::{Put, PutOutcome, Result};
use bulrush_catalog::schedules::DefaultSchedule;
use tokio_util::sync::CancellationToken;

use crate::Dependencies;
use crate::pause::Pause;

/// Puts them, again and again while the store is away.
pub(crate) async fn put_defaults(deps: Dependencies, stop: CancellationToken) {
    let mut pause = Pause::up_to(deps.pace.trouble);
    for default in deps.defaults.iter() {
        loop {
            let done = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                done = put_one(&deps, default) => done,
            };
            match done {
                Ok(()) => break,
                Err(error) if error.is_transient() => {
                    if !pause.is_troubled() {
                        tracing::warn!(%error, "default schedules cannot be put now; trying again");
                    }
                    if !pause.wait(&stop).await {
                        return;
                    }
                }
                Err(error) => {
                    // The others are not to suffer for it.
                    tracing::error!(schedule = %default.spec.id, queue = default.queue, %error, "a default schedule cannot be put");
                    break;
                }
            }
        }
        pause.reset();
    }
    // A task that ends counts as one that went wrong.
    stop.cancelled().await;
}

async fn put_one(deps: &Dependencies, default: &DefaultSchedule) -> Result<()> {
    let Ok(queue) = deps.catalog.find(default.queue) else { return Ok(()) };
    let spec = default.spec.clone();
    let (id, queue) = (spec.id.clone(), queue.name());
    let reply = deps.backend.put_schedule(queue, &Scope::All, spec, Put::Once).await?;
    if reply.outcome == PutOutcome::New {
        tracing::info!(schedule = %id, %queue, "a default schedule was put");
    }
    Ok(())
}
