//! Webhooks and their deliveries.

use crate::common::{Fixture, ada};
use bulrush_store::{
    Delivery, DeliveryStatus, NewDelivery, NewWebhook, Owner, Scope, Store, StoreError, Webhook,
    WebhookChange, now_ms,
};

on_each!(
    a_webhook_is_read_back_as_it_was_made_and_changed_only_where_asked,
    a_tenant_has_no_more_webhooks_than_may_be,
    a_disabled_webhook_says_why_until_it_is_enabled_again,
    a_delivery_is_kept_once_and_goes_with_its_webhook,
    deliveries_are_listed_newest_first_in_pages,
    nobody_sees_changes_or_removes_what_somebody_else_owns,
);

on_shared!(a_settled_delivery_is_sent_again_as_if_it_were_new_or_forgotten_in_time);

const AT_MOST: u32 = 100;

fn new(owner: Owner) -> NewWebhook {
    NewWebhook {
        owner,
        url: "https://example.com/hook".into(),
        events: vec!["job.completed".into(), "job.\"odd\"".into()],
        secret: "sealed:v1:00".into(),
    }
}

async fn make(store: &Store, owner: Owner) -> Webhook {
    store.webhooks().create(&new(owner), AT_MOST).await.unwrap().unwrap()
}

fn delivery(id: &str, webhook: &Webhook) -> NewDelivery {
    NewDelivery {
        id: id.into(),
        webhook: webhook.id.clone(),
        event: "job.completed".into(),
        job: Some("job-1".into()),
        payload: "{ \"n\": 1.0 }".into(),
        next_at_ms: 5_000,
    }
}

async fn insert(store: &Store, new: &NewDelivery) -> Result<bool, StoreError> {
    store.write(async |tx| store.webhook_deliveries().insert(tx, new).await).await
}

async fn a_webhook_is_read_back_as_it_was_made_and_changed_only_where_asked(store: &Store) {
    let webhooks = store.webhooks();
    let made = make(store, ada()).await;
    let NewWebhook { url, events, secret, .. } = new(ada());
    assert_eq!((&made.url, &made.events, &made.secret, made.enabled), (&url, &events, &secret, true));
    assert_eq!(webhooks.get(&ada().into(), &made.id).await.unwrap().as_ref(), Some(&made));

    let change = WebhookChange { events: Some(Vec::new()), ..WebhookChange::default() };
    let changed = webhooks.update(&ada().into(), &made.id, &change).await.unwrap().unwrap();
    let expected = Webhook { events: Vec::new(), updated_at_ms: changed.updated_at_ms, ..made.clone() };
    assert_eq!(changed, expected);

    let change = WebhookChange {
        url: Some("https://example.org/".into()),
        secret: Some("sealed:v1:01".into()),
        enabled: Some(false),
        events: None,
    };
    let changed = webhooks.update(&ada().into(), &made.id, &change).await.unwrap().unwrap();
    assert_eq!(
        (changed.url.as_str(), changed.secret.as_str(), changed.enabled, changed.disabled_reason.as_deref()),
        ("https://example.org/", "sealed:v1:01", false, None)
    );
    assert_eq!(webhooks.get(&Scope::All, &made.id).await.unwrap(), Some(changed));
    assert!(webhooks.delete(&ada().into(), &made.id).await.unwrap());
    assert!(!webhooks.delete(&ada().into(), &made.id).await.unwrap());
    assert_eq!(webhooks.update(&ada().into(), &made.id, &change).await.unwrap(), None);
}

async fn a_tenant_has_no_more_webhooks_than_may_be(store: &Store) {
    let mut ids = Vec::new();
    for user in ["ada", "bob"] {
        let made = store.webhooks().create(&new(Owner::new("acme", user)), 2).await.unwrap().unwrap();
        ids.push(made.id);
    }
    assert_eq!(store.webhooks().create(&new(ada()), 2).await.unwrap(), None);
    assert!(store.webhooks().create(&new(Owner::new("other", "ada")), 2).await.unwrap().is_some());
    ids.sort_unstable();
    let page = async |after: Option<&str>| -> Vec<String> {
        let rows = store.webhooks().list(&Scope::Tenant("acme".into()), after, 1).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(page(None).await, ids[..1]);
    assert_eq!(page(Some(&ids[0])).await, ids[1..]);
    assert!(page(Some(&ids[1])).await.is_empty());
}

async fn a_disabled_webhook_says_why_until_it_is_enabled_again(store: &Store) {
    let webhooks = store.webhooks();
    let made = make(store, ada()).await;
    assert!(webhooks.disable(&made.id, "the receiver answered 410 Gone").await.unwrap());
    assert!(!webhooks.disable(&made.id, "another reason").await.unwrap(), "the first reason stays");
    let change = WebhookChange { url: Some("https://example.org/".into()), ..WebhookChange::default() };
    let moved = webhooks.update(&Scope::All, &made.id, &change).await.unwrap().unwrap();
    assert_eq!(
        (moved.enabled, moved.disabled_reason.as_deref()),
        (false, Some("the receiver answered 410 Gone"))
    );
    let change = WebhookChange { enabled: Some(true), ..WebhookChange::default() };
    let enabled = webhooks.update(&Scope::All, &made.id, &change).await.unwrap().unwrap();
    assert_eq!((enabled.enabled, enabled.disabled_reason), (true, None));
}

async fn a_delivery_is_kept_once_and_goes_with_its_webhook(store: &Store) {
    let made = make(store, ada()).await;
    assert!(insert(store, &delivery("d1", &made)).await.unwrap());
    let again = NewDelivery { payload: "another".into(), ..delivery("d1", &made) };
    assert!(!insert(store, &again).await.unwrap());
    let kept = store.webhook_deliveries().get(&ada().into(), "d1").await.unwrap().unwrap();
    let expected = Delivery {
        id: "d1".into(),
        webhook: made.id.clone(),
        event: "job.completed".into(),
        job: Some("job-1".into()),
        payload: "{ \"n\": 1.0 }".into(),
        round: 0,
        attempt: 0,
        status: DeliveryStatus::Pending,
        response_status: None,
        error: None,
        created_at_ms: kept.created_at_ms,
        next_at_ms: Some(5_000),
        delivered_at_ms: None,
    };
    assert_eq!(kept, expected);

    assert!(store.webhooks().delete(&ada().into(), &made.id).await.unwrap());
    assert_eq!(store.webhook_deliveries().get(&Scope::All, "d1").await.unwrap(), None);
    let orphan = insert(store, &delivery("d2", &made)).await.unwrap_err();
    assert!(matches!(orphan, StoreError::MissingReference(_)), "{orphan:?}");
}

async fn deliveries_are_listed_newest_first_in_pages(store: &Store) {
    let (made, other) = (make(store, ada()).await, make(store, ada()).await);
    for id in ["b", "a", "c"] {
        insert(store, &delivery(id, &made)).await.unwrap();
    }
    insert(store, &delivery("x", &other)).await.unwrap();
    let mut seen: Vec<Delivery> = Vec::new();
    loop {
        let before = seen.last().map(|last| (last.created_at_ms, last.id.as_str()));
        let page = store.webhook_deliveries().list(&ada().into(), &made.id, before, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    let mut sorted = seen.clone();
    sorted.sort_by(|a, b| (b.created_at_ms, &b.id).cmp(&(a.created_at_ms, &a.id)));
    assert_eq!(seen, sorted);
    let mut ids: Vec<&str> = seen.iter().map(|row| row.id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["a", "b", "c"], "each once, and none of the other webhook");
}

async fn nobody_sees_changes_or_removes_what_somebody_else_owns(store: &Store) {
    let made = make(store, ada()).await;
    insert(store, &delivery("d1", &made)).await.unwrap();
    let before = store.webhook_deliveries().get(&Scope::All, "d1").await.unwrap();
    for (scope, sees) in [
        (Scope::owner("acme", "ada"), true),
        (Scope::Tenant("acme".into()), true),
        (Scope::All, true),
        (Scope::owner("acme", "bob"), false),
        (Scope::owner("other", "ada"), false),
        (Scope::Tenant("other".into()), false),
        (Scope::owner("", ""), false),
    ] {
        let (webhooks, deliveries) = (store.webhooks(), store.webhook_deliveries());
        let seen = [
            webhooks.get(&scope, &made.id).await.unwrap().is_some(),
            !webhooks.list(&scope, None, 10).await.unwrap().is_empty(),
            deliveries.get(&scope, "d1").await.unwrap().is_some(),
            !deliveries.list(&scope, &made.id, None, 10).await.unwrap().is_empty(),
        ];
        assert_eq!(seen, [sees; 4], "{scope:?}");
        if !sees {
            let change = WebhookChange { enabled: Some(false), ..WebhookChange::default() };
            assert_eq!(webhooks.update(&scope, &made.id, &change).await.unwrap(), None, "{scope:?}");
            assert!(!webhooks.delete(&scope, &made.id).await.unwrap(), "{scope:?}");
            assert_eq!(deliveries.requeue(&scope, "d1", 1).await.unwrap(), None, "{scope:?}");
        }
    }
    assert_eq!(store.webhooks().get(&Scope::All, &made.id).await.unwrap(), Some(made));
    assert_eq!(store.webhook_deliveries().get(&Scope::All, "d1").await.unwrap(), before);
}

/// The sender that settles deliveries is not the store's, so the test writes what it would leave.
async fn a_settled_delivery_is_sent_again_as_if_it_were_new_or_forgotten_in_time(fixture: &Fixture) {
    let (store, deliveries) = (&fixture.store, fixture.store.webhook_deliveries());
    let made = make(store, ada()).await;
    for id in ["failed", "delivered", "pending", "young"] {
        insert(store, &delivery(id, &made)).await.unwrap();
    }
    for sql in [
        "UPDATE webhook_deliveries SET created_at = 1000 WHERE id <> 'young'",
        "UPDATE webhook_deliveries SET status = 'failed', attempt = 8, next_at = NULL, response_status = 500, error = 'x' \
         WHERE id IN ('failed', 'young')",
        "UPDATE webhook_deliveries SET status = 'delivered', attempt = 1, next_at = NULL, response_status = 204, \
         delivered_at = 2000 WHERE id = 'delivered'",
    ] {
        fixture.run(sql).await;
    }
    let status = async |id: &str| deliveries.get(&Scope::All, id).await.unwrap().map(|row| row.status);
    assert_eq!(status("delivered").await, Some(DeliveryStatus::Delivered));
    for id in ["failed", "delivered"] {
        assert_eq!(deliveries.requeue(&ada().into(), id, 9_000).await.unwrap(), Some(1));
        let row = deliveries.get(&Scope::All, id).await.unwrap().unwrap();
        assert_eq!(
            (row.status, row.attempt, row.response_status, row.error, row.next_at_ms, row.delivered_at_ms),
            (DeliveryStatus::Pending, 0, None, None, Some(9_000), None),
            "{id}"
        );
    }
    assert_eq!(deliveries.requeue(&Scope::All, "no-such", 1).await.unwrap(), None);

    let settle =
        "UPDATE webhook_deliveries SET status = 'failed', next_at = NULL WHERE id IN ('failed', 'delivered')";
    fixture.run(settle).await;
    let before_ms = now_ms() - 60_000;
    assert_eq!(deliveries.forget(before_ms, 1).await.unwrap(), 1, "a bounded bite");
    assert_eq!(deliveries.forget(before_ms, 10).await.unwrap(), 1);
    assert_eq!(deliveries.forget(before_ms, 10).await.unwrap(), 0);
    assert_eq!(status("pending").await, Some(DeliveryStatus::Pending), "it is still to be sent");
    assert_eq!(status("young").await, Some(DeliveryStatus::Failed));
}
