//! Who is to be told what: the enabled webhooks, read again only when they have changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bulrush::model::{Event, EventKind, JobView, Owner};
use bulrush_catalog::jobs::WebhookEvent;
use bulrush_store::{Store, StoreError, Webhook, WebhooksMark};

/// How much longer ago than a webhook something may have happened for it to be told, ms: the clocks of two machines differ.
const CLOCKS_MS: i64 = 5_000;

/// The enabled webhooks as they stood at one moment.
#[derive(Debug, Default)]
pub(super) struct Watching {
    /// By the hash that events carry; owners whose hashes are equal stand together.
    by_owner: HashMap<u64, Vec<Webhook>>,
}

impl Watching {
    fn of(webhooks: Vec<Webhook>) -> Self {
        let mut by_owner: HashMap<u64, Vec<Webhook>> = HashMap::new();
        for webhook in webhooks {
            by_owner.entry(owner_of(&webhook).hash64()).or_default().push(webhook);
        }
        Self { by_owner }
    }

    /// Whether an event may concern anybody, before its job is looked at.
    pub fn may_concern(&self, event: &Event) -> bool {
        event.owner_hash != 0
            && told_of(event.kind).is_some()
            && self.by_owner.contains_key(&event.owner_hash)
    }

    /// The webhooks that are to be told that `job` has ended so at `at_ms`: its owner's, nobody else's.
    pub fn of_job<'w>(
        &'w self,
        job: &'w JobView,
        event: WebhookEvent,
        at_ms: i64,
    ) -> impl Iterator<Item = &'w Webhook> {
        let owner = job.spec.owner.as_deref();
        let candidates = owner.and_then(|owner| self.by_owner.get(&owner.hash64())).into_iter().flatten();
        candidates.filter(move |webhook| {
            owner.is_some_and(|owner| *owner == owner_of(webhook))
                && webhook.events.iter().any(|name| name == event.as_str())
                && at_ms + CLOCKS_MS >= webhook.created_at_ms
        })
    }
}

fn owner_of(webhook: &Webhook) -> Owner {
    Owner { tenant: webhook.owner.tenant.clone(), user: webhook.owner.user.clone() }
}

/// What a kind of change is called, if it is told.
pub(super) fn told_of(kind: EventKind) -> Option<WebhookEvent> {
    match kind {
        EventKind::Completed => Some(WebhookEvent::Completed),
        EventKind::Failed => Some(WebhookEvent::Failed),
        EventKind::Cancelled => Some(WebhookEvent::Cancelled),
        _ => None,
    }
}

/// The enabled webhooks as they stand now.
pub(super) struct Watchers {
    store: Store,
    last: Mutex<(WebhooksMark, Arc<Watching>)>,
}

impl Watchers {
    pub fn new(store: Store) -> Self {
        Self { store, last: Mutex::default() }
    }

    /// Whether there is none at this moment.
    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.store.webhooks().mark().await?.is_empty())
    }

    /// Those of this moment. Who asks after reading events gets every webhook that was there before them.
    pub async fn now(&self) -> Result<Arc<Watching>, StoreError> {
        // The mark comes first: what changes after it is seen the next time.
        let mark = self.store.webhooks().mark().await?;
        {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            if last.0 == mark {
                return Ok(last.1.clone());
            }
        }
        let watching = if mark.is_empty() {
            Arc::default()
        } else {
            Arc::new(Watching::of(self.store.webhooks().enabled().await?))
        };
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = (mark, watching.clone());
        Ok(watching)
    }
}
