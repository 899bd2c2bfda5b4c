//! Rows that only matter for a time: the fences of jobs that ended long ago, pages of competitors that nobody reads any more, turns at
//! sites that are over. Several instances may forget at once: what is gone is gone.

use bulrush_store::{StoreError, forget_fences, now_ms};
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

use crate::Dependencies;
use crate::pause::{sleep, spread};

/// Longer than any worker that has lost its job can still be running.
const FENCES_KEPT: Duration = Duration::from_hours(30 * 24);
/// A page that was not read for so long is read anew, whole.
const PAGES_KEPT: Duration = Duration::from_hours(30 * 24);
/// Longer than any site can be held.
const TURNS_KEPT: Duration = Duration::from_hours(24);
/// Rows of one transaction: others write in between.
const AT_ONCE: u32 = 1_000;

/// Forgets until it is to stop. What went wrong is tried again with the next look.
pub(crate) async fn run(deps: Dependencies, stop: CancellationToken) {
    while sleep(spread(deps.pace.forget), &stop).await {
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            done = pass(&deps) => done,
        };
        match done {
            Ok(0) => {}
            Ok(rows) => tracing::info!(rows, "rows that nobody needs any more were forgotten"),
            Err(error) => tracing::warn!(%error, "old rows cannot be forgotten now; trying again later"),
        }
    }
}

async fn pass(deps: &Dependencies) -> Result<u64, StoreError> {
    let store = &deps.store;
    let before =
        |kept: Duration| now_ms().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let mut all = 0;
    loop {
        let some: u64 = store
            .write::<_, StoreError, _>(async |tx| {
                let fences = forget_fences(tx, before(FENCES_KEPT), i64::from(AT_ONCE)).await?;
                let pages = store.competitor_pages().forget(tx, before(PAGES_KEPT), AT_ONCE).await?;
                let turns = store.site_turns().forget(tx, before(TURNS_KEPT), AT_ONCE).await?;
                Ok(fences + pages + turns)
            })
            .await?;
        all += some;
        if some < u64::from(AT_ONCE) {
            return Ok(all);
        }
    }
}
