//! One fetch for many jobs: whoever finds something missing in a cache claims it, fetches it, and the others find it there.
//!
//! Claims are rows of the store, so this holds between processes. A claim is kept alive while its holder fetches and ends by
//! itself soon after the holder died, so nobody waits long for a dead worker.

use std::future::Future;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::Dependencies;
use crate::enrich::EnrichError;

/// How long a claim outlives its last sign of life: as long as a worker's lease, so that a job that was rescued does not wait
/// for the claim of its own dead run.
const CLAIM_TTL: Duration = Duration::from_secs(10);
/// First and longest pause between two looks at a claim that somebody else holds.
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// A part of a cache that can be filled from outside.
pub(crate) trait Fill: Sync {
    /// What is not there.
    type Missing: Send;
    /// What its fetching had to tell.
    type Report: Default + Send;

    /// Names the part: whoever fills the same part has the same subject.
    fn subject(&self) -> String;
    /// Looks into the cache; nothing, if nothing is missing.
    fn missing(&self) -> impl Future<Output = Result<Option<Self::Missing>, EnrichError>> + Send;
    /// Fetches what is missing and puts it into the cache.
    fn fetch(&self, missing: Self::Missing)
    -> impl Future<Output = Result<Self::Report, EnrichError>> + Send;
}

/// Sees to it that nothing is missing: fetches it, or waits for whoever does. `holder` tells the runs of jobs apart.
pub(crate) async fn fill<F: Fill>(
    deps: &Dependencies,
    holder: &str,
    part: &F,
) -> Result<F::Report, EnrichError> {
    let subject = part.subject();
    let mut pause = PAUSE_FIRST;
    loop {
        if part.missing().await?.is_none() {
            return Ok(F::Report::default());
        }
        if let Some(claim) = Claim::take(deps, &subject, holder).await? {
            // Somebody may have filled it between the look and the claim.
            let report = match part.missing().await {
                Ok(None) => Ok(F::Report::default()),
                Ok(Some(missing)) => part.fetch(missing).await,
                Err(error) => Err(error),
            };
            claim.release().await;
            return report;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A claim that is held. Dropped, it is given back by a task of its own.
struct Claim {
    held: Option<Held>,
}

struct Held {
    deps: Dependencies,
    subject: String,
    holder: String,
    renewal: JoinHandle<()>,
}

impl Claim {
    async fn take(deps: &Dependencies, subject: &str, holder: &str) -> Result<Option<Self>, EnrichError> {
        if !extend(deps, subject, holder).await? {
            return Ok(None);
        }
        // On a task of its own: the holder may be waiting for, or inside of, a write transaction, and there is one at a time.
        let renewal = tokio::spawn({
            let (deps, subject, holder) = (deps.clone(), subject.to_owned(), holder.to_owned());
            async move {
                loop {
                    tokio::time::sleep(CLAIM_TTL / 3).await;
                    match extend(&deps, &subject, &holder).await {
                        Ok(true) => {}
                        // Without its claim the fetch goes on; at worst the same is fetched twice.
                        Ok(false) => {
                            return tracing::warn!(subject, "the claim ran out while its holder fetched");
                        }
                        Err(error) => tracing::warn!(subject, %error, "the claim could not be extended"),
                    }
                }
            }
        });
        let (deps, subject, holder) = (deps.clone(), subject.to_owned(), holder.to_owned());
        Ok(Some(Self { held: Some(Held { deps, subject, holder, renewal }) }))
    }

    async fn release(mut self) {
        if let Some(held) = self.held.take() {
            held.give_back().await;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(held) = self.held.take() else { return };
        held.renewal.abort();
        // Without a runtime the process is going down, and the claim ends by itself.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(held.give_back());
        }
    }
}

impl Held {
    async fn give_back(self) {
        self.renewal.abort();
        // Joined first: a renewal that is under way must not bring back what is released.
        let _ = self.renewal.await;
        if let Err(error) = self.deps.store.claims().release(&self.subject, &self.holder).await {
            tracing::warn!(subject = self.subject, %error, "a claim could not be given back; it ends by itself");
        }
    }
}

async fn extend(deps: &Dependencies, subject: &str, holder: &str) -> Result<bool, EnrichError> {
    let now_ms = deps.now_ms();
    let until_ms = now_ms.saturating_add(i64::try_from(CLAIM_TTL.as_millis()).unwrap_or(i64::MAX));
    Ok(deps.store.claims().take(subject, holder, now_ms, until_ms).await?)
}
