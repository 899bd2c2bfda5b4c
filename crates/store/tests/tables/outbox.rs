//! A job is written beside the data that it is about, and is there for relays until one of them is done with it.

use bulrush_store::{OutboxRow, Store, StoreError};
use serde_json::json;

use crate::common::{ada, property};

on_each!(
    a_row_is_there_if_its_transaction_commits_and_not_otherwise,
    rows_are_read_in_order_until_they_are_marked,
    what_can_never_be_a_job_is_kept_with_the_reason_and_out_of_the_way,
    marked_rows_are_forgotten_in_bounded_steps,
    a_row_for_no_queue_is_refused_by_name,
);

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
    let number = |row: &OutboxRow| {
        let job: serde_json::Value = serde_json::from_str(&row.job).unwrap();
        job["n"].as_i64().unwrap()
    };
    rows.iter().map(number).collect()
}

async fn mark(store: &Store, rows: &[OutboxRow], now_ms: i64) -> u64 {
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let marked: Result<u64, StoreError> =
        store.write(async |tx| store.outbox().mark(tx, &ids, now_ms).await).await;
    marked.unwrap()
}

/// Reads and marks what one relay would at once.
async fn relay(store: &Store, limit: u32) -> Vec<OutboxRow> {
    let rows = store.outbox().pending(None, limit).await.unwrap();
    assert_eq!(mark(store, &rows, 1_000).await, rows.len() as u64);
    rows
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

async fn rows_are_read_in_order_until_they_are_marked(store: &Store) {
    put(store, 700).await;
    let first = store.outbox().pending(None, 450).await.unwrap();
    assert_eq!(numbers(&first), (0..450).collect::<Vec<_>>());
    assert_eq!(first[0].queue, "sync");
    // Nobody has marked them, so they are there still: whoever read them may have died.
    assert_eq!(store.outbox().pending(None, 450).await.unwrap(), first);
    let after = store.outbox().pending(Some(&first[449].place()), 5_000).await.unwrap();
    assert_eq!(numbers(&after), (450..700).collect::<Vec<_>>());
    assert_eq!(mark(store, &first, 1_000).await, 450);
    assert_eq!(mark(store, &first[..1], 2_000).await, 0, "it keeps its first instant");
    assert_eq!(numbers(&relay(store, 5_000).await), (450..700).collect::<Vec<_>>());
    assert_eq!(relay(store, 10).await, []);
}

async fn what_can_never_be_a_job_is_kept_with_the_reason_and_out_of_the_way(store: &Store) {
    put(store, 3).await;
    let rows = store.outbox().pending(None, 10).await.unwrap();
    assert!(store.outbox().refuse(&rows[0].id, "there is no queue \"sync\"", 1_000).await.unwrap());
    assert!(!store.outbox().refuse(&rows[0].id, "another", 2_000).await.unwrap());
    assert_eq!(numbers(&relay(store, 10).await), [1, 2]);
    assert!(!store.outbox().refuse(&rows[1].id, "too late", 2_000).await.unwrap());
    assert_eq!(store.outbox().lag().await.unwrap().unsent, 0);
    let refused = store.outbox().refused(10).await.unwrap();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].reason.as_str(), refused[0].refused_at_ms), ("there is no queue \"sync\"", 1_000));
    assert_eq!(refused[0].job, rows[0].job);
    assert_eq!(store.outbox().forget(5_000, 10).await.unwrap(), 2, "what was added");
    assert_eq!(store.outbox().forget_refused(1_000, 10).await.unwrap(), 0);
    assert_eq!(store.outbox().forget_refused(1_001, 10).await.unwrap(), 1);
}

async fn marked_rows_are_forgotten_in_bounded_steps(store: &Store) {
    put(store, 5).await;
    relay(store, 4).await;
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
