//! API keys in place of a token: looked up in the store, and believed for half a minute, so that a revoked one is soon refused.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::StatusCode;
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::Owner;
use bulrush_store::{Scope, now_ms};
use governor::clock::DefaultClock;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::http::auth::{INVALID, Principal, refuse};
use crate::http::problem::Problem;
use crate::state::State;

/// What a key begins with.
pub const PREFIX: &str = "blr_";
/// How long a key that was good is believed.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// Keys that are remembered; more are looked up each time.
const REMEMBERED: usize = 10_000;
/// Keys that are none, a second, before they are answered with 429: guessing is hopeless, and should not cost much either.
const FAILURES_PER_S: NonZeroU32 = NonZeroU32::new(20).expect("twenty is not zero");

/// The keys that were good a moment ago.
pub struct Keys {
    /// By the SHA-256 of the key, so that none lies in memory for longer than a request.
    good: Mutex<HashMap<[u8; 32], (Principal, Instant)>>,
    failures: RateLimiter<NotKeyed, InMemoryState, DefaultClock>,
}

impl Default for Keys {
    fn default() -> Self {
        Self { good: Mutex::default(), failures: RateLimiter::direct(Quota::per_second(FAILURES_PER_S)) }
    }
}

/// Whether a key that was good is so still, as the store says now. An outage says nothing of a key.
pub async fn is_good(state: &State, id: &str) -> bool {
    let Ok(deps) = state.deps() else { return true };
    match deps.store.api_keys().get(&Scope::All, id).await {
        Ok(key) => key.is_some_and(|key| key.is_good_at(now_ms())),
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a key could not be looked at again");
            true
        }
    }
}

impl Keys {
    /// Who has this key.
    pub async fn identify(&self, state: &State, text: &str) -> Result<Principal, Problem> {
        let hash: [u8; 32] = Sha256::digest(text.as_bytes()).into();
        if let Some((principal, at)) = self.good.lock().unwrap_or_else(PoisonError::into_inner).get(&hash)
            && at.elapsed() < GOOD_FOR
            && SystemClock.now() < principal.valid_until_ms
        {
            return Ok(principal.clone());
        }
        let now = SystemClock.now() as i64;
        let keys = state.deps()?.store.api_keys();
        let Some(key) = keys.check(text, now).await? else {
            self.good.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
            if self.failures.check().is_err() {
                return Err(Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate_limited",
                    "Too many keys that are not valid; try again in a moment.",
                )
                .retry_after(1));
            }
            return Err(refuse("invalid_key", "The API key is not valid.", INVALID));
        };
        let role =
            key.role.parse().map_err(|_| refuse("invalid_key", "The API key is not valid.", INVALID))?;
        let principal = Principal {
            owner: Owner { tenant: key.owner.tenant, user: key.owner.user },
            role,
            valid_until_ms: key.expires_at_ms.map_or(u64::MAX, i64::unsigned_abs),
            key: Some(key.id.clone()),
        };
        // For people who look which keys are used; a request does not fail for it.
        if let Err(error) = keys.touch(&key.id, now).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the use of a key could not be noted");
        }
        let mut good = self.good.lock().unwrap_or_else(PoisonError::into_inner);
        if good.len() >= REMEMBERED {
            good.retain(|_, (_, at)| at.elapsed() < GOOD_FOR);
        }
        if good.len() < REMEMBERED {
            good.insert(hash, (principal.clone(), Instant::now()));
        }
        Ok(principal)
    }
}
