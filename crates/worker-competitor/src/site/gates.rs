//! One request at a time to each site, within this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Sites that are remembered before those that nobody waits for are forgotten.
const SITES_MAX: usize = 1_000;

/// A gate for each site.
#[derive(Debug, Default)]
pub(super) struct Gates(Mutex<HashMap<String, Arc<Semaphore>>>);

impl Gates {
    /// Goes through the gate of a site, or gives up after `patience`. Dropping the permit lets the next one through.
    pub async fn enter(&self, site: &str, patience: Duration) -> Option<OwnedSemaphorePermit> {
        let gate = self.gate(site);
        tokio::time::timeout(patience, gate.acquire_owned()).await.ok()?.ok()
    }

    fn gate(&self, site: &str) -> Arc<Semaphore> {
        // No code under the lock panics half way through a change.
        let mut gates = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = gates.get(site) {
            return gate.clone();
        }
        if gates.len() >= SITES_MAX {
            // Whoever is within, or waits, holds the gate too.
            gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        gates.entry(site.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_is_within_and_sites_do_not_wait_for_each_other() {
        let gates = Gates::default();
        let within = gates.enter("a", Duration::ZERO).await;
        assert!(within.is_some());
        assert!(gates.enter("a", Duration::ZERO).await.is_none());
        assert!(gates.enter("b", Duration::ZERO).await.is_some());
        drop(within);
        assert!(gates.enter("a", Duration::ZERO).await.is_some());
    }

    #[tokio::test]
    async fn gates_that_nobody_is_at_are_forgotten() {
        let gates = Gates::default();
        let within = gates.enter("held", Duration::ZERO).await;
        for n in 0..3 * SITES_MAX {
            assert!(gates.enter(&format!("site-{n}"), Duration::ZERO).await.is_some());
        }
        assert!(gates.0.lock().unwrap().len() <= SITES_MAX);
        assert!(gates.enter("held", Duration::ZERO).await.is_none(), "a gate with somebody within stays");
        drop(within);
    }
}
