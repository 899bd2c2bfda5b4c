//! A database sorts texts by its language; the store pages through identifiers by their bytes.

use bulrush_store::{EntityKind, NewApiKey, Scope, Store};

use crate::common::postgres::Postgres;
use crate::common::{ada, property, save};

#[tokio::test]
async fn lists_are_in_the_order_of_bytes_whatever_the_language_of_the_database() {
    let database = Postgres::create_with_language().await;
    let store = Store::open(&database.url).await.unwrap();
    store.migrate().await.unwrap();
    let ids = ["A", "B", "_", "a", "b", "~", "\u{e4}"];
    for id in ids {
        save(&store, &property(id, ada())).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page =
            store.entities().list(&Scope::All, EntityKind::Property, after.as_deref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.entity.id.clone());
        seen.extend(page.into_iter().map(|row| row.entity.id));
    }
    assert_eq!(seen, ids);
    // "~" follows every identifier only by its bytes.
    let key = NewApiKey { owner: ada(), role: "user".into(), name: "k".into(), expires_at_ms: None };
    store.api_keys().issue(&key).await.unwrap();
    assert_eq!(store.api_keys().list(&Scope::All, None, 10).await.unwrap().len(), 1);
    store.close().await;
}
