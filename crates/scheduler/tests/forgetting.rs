//! Tables that only matter for a time do not grow for ever.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bulrush::Client;
use bulrush_catalog::Catalog;
use bulrush_scheduler::{Dependencies, Pace, start};
use bulrush_store::{CompetitorPage, Store, StoreError, now_ms};
use serde_json::json;

const DEADLINE: Duration = Duration::from_mins(1);

fn page(fetched_at_ms: i64) -> CompetitorPage {
    CompetitorPage { etag: None, last_modified: None, document: json!({}), fetched_at_ms }
}

#[tokio::test]
async fn what_is_old_is_forgotten_and_what_is_in_use_stays() {
    let client = Client::connect("memory:").await.unwrap();
    let store = Store::open("sqlite::memory:").await.unwrap();
    store.migrate().await.unwrap();
    for (key, at) in [("old", 1), ("new", now_ms())] {
        let put: Result<(), StoreError> =
            store.write(async |tx| store.competitor_pages().put(tx, key, &page(at)).await).await;
        put.unwrap();
    }
    let pace = Pace { forget: Duration::from_millis(20), ..Pace::default() };
    let deps = Dependencies::new(client.backend().clone(), store.clone(), Arc::new(Catalog::default()));
    let scheduler = start(&deps.with_pace(pace));
    let gone = tokio::time::timeout(DEADLINE, async {
        while store.competitor_pages().get("old").await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(gone.await.is_ok(), "an old page stays");
    assert!(store.competitor_pages().get("new").await.unwrap().is_some());
    scheduler.shutdown().await;
    store.close().await;
}
