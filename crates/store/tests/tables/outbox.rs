//! A job is written beside the data that it is about, and handed to one relay until that one is done with it.

use bulrush_store::{OutboxRow, Store, StoreError};
use serde_json::json;

use crate::common::{DEADLINE, Fixture, ada, property};

on_each!(
    a_row_is_there_if_its_transaction_commits_and_not_otherwise,
    rows_are_taken_in_order_until_they_are_marked,
    a_relay_that_dies_leaves_its_rows_to_the_next_one,
    marked_rows_are_forgotten_in_bounded_steps,
    a_row_for_no_queue_is_refused_by_name,
);

on_shared!(two_relays_add_each_row_once_between_them);

async fn put(store: &Store, count: i64) {
    let done: Result<(), StoreError> = store
        .write(async |tx| {
            for n in 0..count {
                store.outbox().put(tx, "sync", &json!({ "n": n })).await?;
            }
            Ok(())
        })
        .await;
    done.unwrap();
}

fn numbers(rows: &[OutboxRow]) -> Vec<i64> {
    rows.iter().map(|row| row.job["n"].as_i64().unwrap()).collect()
}

/// Takes and marks what one relay would at once.
async fn relay(store: &Store, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
    store
        .write(async |tx| {
            let rows = store.outbox().take(tx, limit).await?;
            let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
            assert_eq!(store.outbox().mark(tx, &ids, 1_000).await?, ids.len() as u64);
            Ok(rows)
        })
        .await
}

async fn a_row_is_there_if_its_transaction_commits_and_not_otherwise(store: &Store) {
    let refused: Result<(), StoreError> = store
        .write(async |tx| {
            let _ = store.entities().save(tx, &property("p1", ada())).await?;
            store.outbox().put(tx, "sync", &json!({})).await?;
            store.observations().upsert(tx, "no-such", &[crate::common::seen("price", 1, 1.0)]).await
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(store.outbox().lag().await.unwrap().unsent, 0);
    put(store, 1).await;
    let lag = store.outbox().lag().await.unwrap();
    assert!(lag.unsent == 1 && lag.oldest_at_ms > Some(1_700_000_000_000), "{lag:?}");
}

async fn rows_are_taken_in_order_until_they_are_marked(store: &Store) {
    put(store, 700).await;
    let first = relay(store, 450).await.unwrap();
    assert_eq!(numbers(&first), (0..450).collect::<Vec<_>>());
    assert_eq!(first[0].queue, "sync");
    assert_eq!(numbers(&relay(store, 5_000).await.unwrap()), (450..700).collect::<Vec<_>>());
    assert_eq!(relay(store, 10).await.unwrap(), []);
    let again: Result<u64, StoreError> = store
        .write(async |tx| store.outbox().mark(tx, std::slice::from_ref(&first[0].id), 2_000).await)
        .await;
    assert_eq!(again.unwrap(), 0, "it keeps its first instant");
}

async fn a_relay_that_dies_leaves_its_rows_to_the_next_one(store: &Store) {
    put(store, 3).await;
    let mut tx = store.begin().await.unwrap();
    let taken = store.outbox().take(&mut tx, 10).await.unwrap();
    store.outbox().mark(&mut tx, &[taken[0].id.clone()], 1_000).await.unwrap();
    drop(tx);
    let next = async {
        loop {
            let rows = relay(store, 10).await.unwrap();
            if !rows.is_empty() {
                return rows;
            }
        }
    };
    assert_eq!(numbers(&tokio::time::timeout(DEADLINE, next).await.unwrap()), [0, 1, 2]);
}

async fn marked_rows_are_forgotten_in_bounded_steps(store: &Store) {
    put(store, 5).await;
    relay(store, 4).await.unwrap();
    assert_eq!(store.outbox().forget(1_000, 10).await.unwrap(), 0, "not before their time");
    assert_eq!(store.outbox().forget(1_001, 3).await.unwrap(), 3);
    assert_eq!(store.outbox().forget(1_001, 3).await.unwrap(), 1);
    assert_eq!(store.outbox().lag().await.unwrap().unsent, 1, "what is not added is never forgotten");
}

async fn a_row_for_no_queue_is_refused_by_name(store: &Store) {
    let refused: Result<String, StoreError> =
        store.write(async |tx| store.outbox().put(tx, "", &json!({})).await).await;
    assert!(
        matches!(&refused, Err(StoreError::Refused { rule, .. }) if rule == "outbox_queue_is_named"),
        "{refused:?}"
    );
}

/// Two stores on one database are what two relays are.
async fn two_relays_add_each_row_once_between_them(fixture: &Fixture) {
    put(&fixture.store, 200).await;
    let relays = [fixture.store.clone(), fixture.again().await].map(|store| {
        tokio::spawn(async move {
            let mut added = Vec::new();
            while store.outbox().lag().await.unwrap().unsent > 0 {
                added.extend(numbers(&relay(&store, 7).await.unwrap()));
            }
            added
        })
    });
    let mut added = Vec::new();
    for relay in relays {
        added.extend(tokio::time::timeout(DEADLINE, relay).await.unwrap().unwrap());
    }
    added.sort_unstable();
    assert_eq!(added, (0..200).collect::<Vec<_>>());
}
