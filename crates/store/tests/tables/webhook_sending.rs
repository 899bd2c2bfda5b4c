//! What the sender and the relay of webhooks leave in the tables.

use bulrush_store::{
    AttemptOutcome, DeliveryAttempt, DeliveryStatus, NewDelivery, NewWebhook, Owner, Scope, Store,
    StoreError, Webhook, WebhookChange, WebhookPosition, now_ms,
};

use crate::common::ada;

on_each!(
    an_attempt_is_noted_in_its_round_and_settles_a_delivery_once,
    what_is_overdue_is_found_in_pages_and_given_up_in_its_round,
    a_secret_that_was_replaced_signs_along_until_its_time_is_over,
    the_enabled_webhooks_have_another_mark_after_each_change,
    of_two_that_read_the_same_events_one_moves_the_place,
    a_place_moves_with_the_deliveries_of_its_transaction_or_not_at_all,
);

async fn make(store: &Store, owner: Owner) -> Webhook {
    let new = NewWebhook {
        owner,
        url: "https://example.com/hook".into(),
        events: vec!["job.completed".into()],
        secret: "sealed:v1:00".into(),
    };
    store.webhooks().create(&new, 100).await.unwrap().unwrap()
}

fn delivery(id: &str, webhook: &Webhook, next_at_ms: i64) -> NewDelivery {
    NewDelivery {
        id: id.into(),
        webhook: webhook.id.clone(),
        event: "job.completed".into(),
        job: None,
        payload: "{}".into(),
        next_at_ms,
    }
}

async fn insert(store: &Store, new: &NewDelivery) {
    let kept: Result<bool, StoreError> =
        store.write(async |tx| store.webhook_deliveries().insert(tx, new).await).await;
    assert!(kept.unwrap());
}

async fn record(store: &Store, id: &str, round: i64, outcome: AttemptOutcome) -> bool {
    let attempt = DeliveryAttempt { outcome, response_status: Some(500), error: Some("it said no".into()) };
    let noted: Result<bool, StoreError> =
        store.write(async |tx| store.webhook_deliveries().record(tx, id, round, &attempt).await).await;
    noted.unwrap()
}

async fn an_attempt_is_noted_in_its_round_and_settles_a_delivery_once(store: &Store) {
    let made = make(store, ada()).await;
    insert(store, &delivery("d1", &made, 1_000)).await;
    let row = async || store.webhook_deliveries().get(&Scope::All, "d1").await.unwrap().unwrap();

    assert!(record(store, "d1", 0, AttemptOutcome::RetryAt(9_000)).await);
    let kept = row().await;
    assert_eq!((kept.status, kept.attempt, kept.next_at_ms), (DeliveryStatus::Pending, 1, Some(9_000)));
    assert_eq!((kept.response_status, kept.error.as_deref()), (Some(500), Some("it said no")));

    assert_eq!(store.webhook_deliveries().requeue(&Scope::All, "d1", 10_000).await.unwrap(), Some(1));
    for outcome in [AttemptOutcome::Delivered, AttemptOutcome::Failed, AttemptOutcome::RetryAt(1)] {
        assert!(!record(store, "d1", 0, outcome).await, "a round that was overtaken");
    }
    assert_eq!((row().await.attempt, row().await.next_at_ms), (0, Some(10_000)));

    assert!(record(store, "d1", 1, AttemptOutcome::Delivered).await);
    let kept = row().await;
    assert_eq!((kept.status, kept.attempt, kept.next_at_ms), (DeliveryStatus::Delivered, 1, None));
    assert!(kept.delivered_at_ms.is_some());
    assert!(!record(store, "d1", 1, AttemptOutcome::Failed).await, "it is settled");
    assert!(!record(store, "no-such", 0, AttemptOutcome::Failed).await);

    assert_eq!(store.webhook_deliveries().requeue(&Scope::All, "d1", 1).await.unwrap(), Some(2));
    assert!(record(store, "d1", 2, AttemptOutcome::Failed).await);
    let kept = row().await;
    assert_eq!((kept.status, kept.next_at_ms, kept.delivered_at_ms), (DeliveryStatus::Failed, None, None));
}

async fn what_is_overdue_is_found_in_pages_and_given_up_in_its_round(store: &Store) {
    let made = make(store, ada()).await;
    for (id, at_ms) in [("b", 1_000), ("a", 1_000), ("c", 2_000), ("late", 9_000), ("done", 500)] {
        insert(store, &delivery(id, &made, at_ms)).await;
    }
    assert!(record(store, "done", 0, AttemptOutcome::Delivered).await);
    let (mut seen, mut after): (Vec<String>, Option<(i64, String)>) = (Vec::new(), None);
    loop {
        let from = after.as_ref().map(|(ms, id)| (*ms, id.as_str()));
        let page = store.webhook_deliveries().overdue(9_000, from, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.next_at_ms.unwrap(), last.id.clone()));
        seen.extend(page.into_iter().map(|row| row.id));
    }
    assert_eq!(seen, ["a", "b", "c"]);
    assert!(!store.webhook_deliveries().give_up("a", 1, "gone").await.unwrap(), "another round");
    assert!(store.webhook_deliveries().give_up("a", 0, "gone").await.unwrap());
    assert!(!store.webhook_deliveries().give_up("a", 0, "gone").await.unwrap());
    let kept = store.webhook_deliveries().get(&Scope::All, "a").await.unwrap().unwrap();
    assert_eq!((kept.status, kept.attempt, kept.error.as_deref()), (DeliveryStatus::Failed, 0, Some("gone")));
}

async fn a_secret_that_was_replaced_signs_along_until_its_time_is_over(store: &Store) {
    let made = make(store, ada()).await;
    let webhooks = store.webhooks();
    let foreign = Scope::owner("acme", "bob");
    assert_eq!(webhooks.rotate(&foreign, &made.id, "sealed:v1:01", 5_000).await.unwrap(), None);
    let rotated = webhooks.rotate(&ada().into(), &made.id, "sealed:v1:01", 5_000).await.unwrap().unwrap();
    let old = rotated.old_secret.clone().unwrap();
    assert_eq!(
        (rotated.secret.as_str(), old.secret.as_str(), old.until_ms),
        ("sealed:v1:01", "sealed:v1:00", 5_000)
    );
    assert_eq!(webhooks.get(&Scope::All, &made.id).await.unwrap(), Some(rotated));
    assert_eq!(webhooks.forget_old_secrets(4_999).await.unwrap(), 0);
    assert_eq!(webhooks.forget_old_secrets(5_000).await.unwrap(), 1);
    assert_eq!(webhooks.get(&Scope::All, &made.id).await.unwrap().unwrap().old_secret, None);
}

async fn the_enabled_webhooks_have_another_mark_after_each_change(store: &Store) {
    let webhooks = store.webhooks();
    let mut marks = vec![webhooks.mark().await.unwrap()];
    assert!(marks[0].is_empty());
    let made = make(store, ada()).await;
    marks.push(webhooks.mark().await.unwrap());
    assert!(!marks[1].is_empty());
    assert_eq!(webhooks.mark().await.unwrap(), marks[1], "nothing has changed");
    let other = make(store, Owner::new("other", "ada")).await;
    marks.push(webhooks.mark().await.unwrap());
    assert!(webhooks.delete(&Scope::All, &other.id).await.unwrap());
    make(store, Owner::new("other", "bob")).await;
    marks.push(webhooks.mark().await.unwrap());
    let disabled = WebhookChange { enabled: Some(false), ..WebhookChange::default() };
    webhooks.update(&Scope::All, &made.id, &disabled).await.unwrap();
    marks.push(webhooks.mark().await.unwrap());
    for (n, mark) in marks.iter().enumerate() {
        assert!(!marks[..n].contains(mark), "mark {n} was there before");
    }
    let owners: Vec<Owner> = webhooks.enabled().await.unwrap().into_iter().map(|row| row.owner).collect();
    assert_eq!(owners, [Owner::new("other", "bob")]);
}

async fn advance(store: &Store, from: Option<i64>, position: i64) -> bool {
    let to = WebhookPosition { position, at_ms: position * 10 };
    let moved: Result<bool, StoreError> =
        store.write(async |tx| store.webhook_positions().advance(tx, "forecast", from, to).await).await;
    moved.unwrap()
}

async fn of_two_that_read_the_same_events_one_moves_the_place(store: &Store) {
    let place = async || store.webhook_positions().get("forecast").await.unwrap();
    assert_eq!(place().await, None);
    assert!(!advance(store, Some(0), 1).await, "it stands nowhere");
    assert!(advance(store, None, 5).await);
    assert!(!advance(store, None, 6).await);
    assert_eq!(place().await, Some(WebhookPosition { position: 5, at_ms: 50 }));
    assert!(advance(store, Some(5), 9).await);
    assert!(!advance(store, Some(5), 8).await);
    assert_eq!(place().await, Some(WebhookPosition { position: 9, at_ms: 90 }));
    assert!(advance(store, Some(9), 2).await, "a store that has lost its data begins anew");
    assert_eq!(store.webhook_positions().get("sync").await.unwrap(), None);
}

async fn a_place_moves_with_the_deliveries_of_its_transaction_or_not_at_all(store: &Store) {
    let made = make(store, ada()).await;
    assert!(advance(store, None, 5).await);
    let both = async |webhook: &str, id: &str| -> Result<(), StoreError> {
        store
            .write(async |tx| {
                let new = NewDelivery { webhook: webhook.into(), ..delivery(id, &made, now_ms()) };
                let to = WebhookPosition { position: 7, at_ms: 70 };
                assert!(store.webhook_positions().advance(tx, "forecast", Some(5), to).await?);
                store.webhook_deliveries().insert(tx, &new).await?;
                Ok(())
            })
            .await
    };
    let orphan = both("no-such", "d1").await.unwrap_err();
    assert!(matches!(orphan, StoreError::MissingReference(_)), "{orphan:?}");
    assert_eq!(store.webhook_positions().get("forecast").await.unwrap().unwrap().position, 5);
    both(&made.id, "d1").await.unwrap();
    assert_eq!(store.webhook_positions().get("forecast").await.unwrap().unwrap().position, 7);
}
