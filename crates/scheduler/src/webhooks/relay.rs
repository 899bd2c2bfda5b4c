//! Which instance reads, and for how long.

use bulrush::Producer;
use bulrush_store::{new_id, now_ms};
use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::deliveries;
use super::error::RelayError;
use super::reader::Reader;
use super::watchers::Watchers;
use crate::Dependencies;
use crate::pause::{Pause, sleep, spread};

/// What the reading instance has claimed.
const SUBJECT: &str = "webhooks:relay";

/// Why an instance reads no longer.
enum Over {
    /// Another one has the claim.
    Lost,
    /// Nobody has a webhook.
    Nobody,
    Stopped,
}

/// Reads whenever no other instance does, until it is to stop.
pub(crate) async fn run(deps: Dependencies, stop: CancellationToken) {
    let mut pause = Pause::up_to(deps.pace.trouble);
    let Some(holder) = name(&stop).await else { return };
    let watchers = Watchers::new(deps.store.clone());
    loop {
        let begun = Instant::now();
        let turn = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            turn = turn(&deps, &holder, &watchers, &stop) => turn,
        };
        let go_on = match turn {
            Ok(Over::Stopped) => false,
            Ok(Over::Lost) => {
                pause.reset();
                sleep(spread(deps.pace.claim / 3), &stop).await
            }
            Ok(Over::Nobody) => {
                pause.reset();
                sleep(deps.pace.tail, &stop).await
            }
            Err(error) => {
                if begun.elapsed() > deps.pace.claim {
                    // It went well for a while: this is new.
                    pause.reset();
                }
                if !pause.is_troubled() {
                    tracing::warn!(%error, "webhooks cannot be told now; trying again");
                }
                pause.wait(&stop).await
            }
        };
        if !go_on {
            break;
        }
    }
    // Another instance need not wait for the end of the claim.
    if let Err(error) = deps.store.claims().release(SUBJECT, &holder).await {
        tracing::debug!(%error, "the claim on reading events runs out by itself");
    }
}

/// The instance's name in claims.
pub(super) async fn name(stop: &CancellationToken) -> Option<String> {
    let mut pause = Pause::up_to(std::time::Duration::from_secs(10));
    loop {
        match new_id() {
            Ok(id) => return Some(id),
            Err(error) => {
                tracing::error!(%error, "no name could be made");
                if !pause.wait(stop).await {
                    return None;
                }
            }
        }
    }
}

/// Claims `subject` for as long as the pace says, or extends the claim. Returns whether it has it.
pub(super) async fn claim(deps: &Dependencies, subject: &str, holder: &str) -> Result<bool, RelayError> {
    let now_ms = now_ms();
    let until_ms = now_ms.saturating_add(i64::try_from(deps.pace.claim.as_millis()).unwrap_or(i64::MAX));
    Ok(deps.store.claims().take(subject, holder, now_ms, until_ms).await?)
}

/// Reads while the claim lasts and anybody has a webhook.
async fn turn(
    deps: &Dependencies,
    holder: &str,
    watchers: &Watchers,
    stop: &CancellationToken,
) -> Result<Over, RelayError> {
    if !claim(deps, SUBJECT, holder).await? {
        return Ok(Over::Lost);
    }
    let to = deliveries(&deps.catalog)?;
    let producer = Producer::new(&deps.backend, to.name().clone());
    let queues = deps.catalog.queues().iter().filter(|queue| queue.name() != to.name());
    let readers: Vec<Reader<'_>> =
        queues.map(|queue| Reader::new(deps, watchers, &producer, queue, to)).collect();
    if watchers.is_empty().await? {
        for reader in &readers {
            reader.skip().await?;
        }
        return Ok(Over::Nobody);
    }
    tracing::info!("reading what happens to jobs, for webhooks");
    tokio::select! {
        biased;
        // The readers are dropped where they are: what was not kept is read again.
        over = hold(deps, holder, watchers, stop) => over,
        trouble = try_join_all(readers.iter().map(Reader::run)) => match trouble {
            Err(error) => Err(error),
            // None of them ends without trouble, and there is at least one queue.
            Ok(_) => Ok(Over::Lost),
        },
    }
}

/// Keeps the claim until it is lost or of no more use.
async fn hold(
    deps: &Dependencies,
    holder: &str,
    watchers: &Watchers,
    stop: &CancellationToken,
) -> Result<Over, RelayError> {
    loop {
        if !sleep(deps.pace.claim / 3, stop).await {
            return Ok(Over::Stopped);
        }
        if !claim(deps, SUBJECT, holder).await? {
            tracing::info!("another instance reads for webhooks now");
            return Ok(Over::Lost);
        }
        if watchers.is_empty().await? {
            return Ok(Over::Nobody);
        }
    }
}
