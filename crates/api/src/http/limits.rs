//! How many requests a user and a tenant may send: token buckets in this process, so N processes let N times as many through.

use std::num::NonZeroU32;
use std::time::Duration;

use actix_web::http::StatusCode;
use bulrush::model::Owner;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::http::auth::Principal;
use crate::http::problem::Problem;

/// Requests between two looks for buckets that are full again and need not be kept.
const TIDY_EVERY: u32 = 10_000;

type Buckets<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock, NoOpMiddleware>;

/// The buckets.
pub struct Limits {
    users: Option<Buckets<Owner>>,
    tenants: Option<Buckets<String>>,
    clock: DefaultClock,
    until_tidy: AtomicU32,
}

impl Limits {
    /// Limits of so many requests a second, each with a burst of twice as many; 0 is none.
    pub fn new(user: u32, tenant: u32) -> Self {
        let quota = |per_second: u32| {
            let burst = NonZeroU32::new(per_second.saturating_mul(2))?;
            Some(Quota::per_second(NonZeroU32::new(per_second)?).allow_burst(burst))
        };
        Self {
            users: quota(user).map(RateLimiter::hashmap),
            tenants: quota(tenant).map(RateLimiter::hashmap),
            clock: DefaultClock::default(),
            until_tidy: AtomicU32::new(TIDY_EVERY),
        }
    }

    /// Counts a request, or says when to come back.
    pub fn admit(&self, principal: &Principal) -> Result<(), Problem> {
        if self.until_tidy.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.until_tidy.store(TIDY_EVERY, Ordering::Relaxed);
            if let Some(users) = &self.users {
                users.retain_recent();
            }
            if let Some(tenants) = &self.tenants {
                tenants.retain_recent();
            }
        }
        let owner = &principal.owner;
        // A user who is over the limit takes nothing from the tenant's.
        if let Some(Err(until)) = self.users.as_ref().map(|users| users.check_key(owner)) {
            return Err(too_many("user", until.wait_time_from(self.clock.now())));
        }
        if let Some(Err(until)) = self.tenants.as_ref().map(|tenants| tenants.check_key(&owner.tenant)) {
            return Err(too_many("tenant", until.wait_time_from(self.clock.now())));
        }
        Ok(())
    }
}

fn too_many(whose: &str, wait: Duration) -> Problem {
    let seconds = u32::try_from(wait.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "rate_limited",
        format!("This {whose} sends more requests than allowed; try again in {seconds} s."),
    )
    .retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use bulrush_service::Role;

    use super::*;

    fn principal(tenant: &str, user: &str) -> Principal {
        Principal {
            owner: Owner { tenant: tenant.into(), user: user.into() },
            role: Role::User,
            valid_until_ms: u64::MAX,
            key: None,
        }
    }

    /// Sends until it is refused; more than any clock lets through.
    fn flood(limits: &Limits, tenant: &str, user: impl Fn(usize) -> String) -> Option<Problem> {
        (0..100_000).find_map(|n| limits.admit(&principal(tenant, &user(n))).err())
    }

    #[test]
    fn a_flood_of_one_user_or_tenant_leaves_the_others_alone() {
        let limits = Limits::new(2, 100);
        assert!(flood(&limits, "a", |_| "x".into()).is_some_and(|p| p.to_string().contains("This user")));
        assert!(
            limits.admit(&principal("a", "y")).is_ok(),
            "what is refused takes nothing from the tenant's"
        );
        assert!(
            flood(&limits, "a", |n| n.to_string()).is_some_and(|p| p.to_string().contains("This tenant"))
        );
        assert!(limits.admit(&principal("b", "x")).is_ok(), "another tenant has its own");
        let off = Limits::new(0, 0);
        assert!((0..10_000).all(|_| off.admit(&principal("a", "x")).is_ok()));
    }

    #[test]
    fn who_is_over_a_limit_is_told_when_to_come_back() {
        let limits = Limits::new(1, 0);
        let problem = flood(&limits, "a", |_| "x".into()).expect("one a second is not as many");
        assert!(problem.to_string().contains("429 rate_limited"), "{problem}");
    }
}
