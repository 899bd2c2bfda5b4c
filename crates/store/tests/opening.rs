//! Opening a database: what is there, what is not, and what is something else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::error::Error as _;

use bulrush_store::{Scope, Store, StoreError};
use common::{ada, property, save, url};

/// The error and all that caused it, as an operator reads it.
fn told(error: &StoreError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn a_file_and_its_folders_are_made_and_keep_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("a/b/store.db").display());
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    save(&store, &property("p1", ada())).await;
    store.close().await;

    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    store.ping().await.unwrap();
    assert!(store.entities().get(&Scope::All, "p1").await.unwrap().is_some());
}

#[tokio::test]
async fn many_that_open_a_new_database_at_once_all_get_it() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let url = url(&folder);
        let opening = (0..4).map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Store::open(&url).await.map(drop) })
        });
        for opened in opening.collect::<Vec<_>>() {
            opened.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn migrating_again_and_from_two_stores_at_once_does_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let url = url(&folder);
    let (one, two) = tokio::join!(Store::open(&url), Store::open(&url));
    let (one, two) = (one.unwrap(), two.unwrap());
    let (first, second) = tokio::join!(one.migrate(), two.migrate());
    first.unwrap();
    second.unwrap();
    save(&one, &property("p1", ada())).await;
    one.migrate().await.unwrap();
    assert!(two.entities().get(&Scope::All, "p1").await.unwrap().is_some());
}

#[tokio::test]
async fn memory_databases_are_private_and_go_with_their_store() {
    let (one, two) = (common::memory().await.store, common::memory().await.store);
    save(&one, &property("p1", ada())).await;
    assert!(two.entities().get(&Scope::All, "p1").await.unwrap().is_none());
    let clone = one.clone();
    drop(one);
    assert!(clone.entities().get(&Scope::All, "p1").await.unwrap().is_some());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let text = "date,price\n2024-01-01,129.00\n".repeat(100);
    std::fs::write(&path, &text).unwrap();
    let refused = Store::open(&url(&folder)).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotADatabase { .. }), "{refused:?}");
    assert!(refused.to_string().contains("store.db"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused_and_left_as_it_is() {
    use sqlx::Connection as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut other =
        sqlx::SqliteConnection::connect(&format!("sqlite://{}?mode=rwc", path.display())).await.unwrap();
    sqlx::query("CREATE TABLE entities (mine TEXT)").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let refused = Store::open(&url(&folder)).await.unwrap_err();
    assert!(matches!(refused, StoreError::ForeignDatabase { .. }), "{refused:?}");
    let mut other = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display())).await.unwrap();
    let tables: i64 =
        sqlx::query_scalar("SELECT count(*) FROM sqlite_master").fetch_one(&mut other).await.unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn a_damaged_database_says_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&url(&folder)).await.unwrap();
    store.migrate().await.unwrap();
    save(&store, &property("p1", ada())).await;
    store.close().await;

    // Everything after the first page, which holds the header, is overwritten.
    let path = folder.path().join("store.db");
    let mut bytes = std::fs::read(&path).unwrap();
    assert!(bytes.len() > 8_192);
    bytes[4_096..].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();

    let met = match Store::open(&url(&folder)).await {
        Err(error) => error,
        Ok(store) => match store.migrate().await {
            Err(error) => error,
            Ok(()) => store.entities().get(&Scope::All, "p1").await.unwrap_err(),
        },
    };
    assert!(matches!(met, StoreError::Corrupt(_)), "{met:?}");
    assert!(told(&met).contains("restore a backup"), "{}", told(&met));
    assert!(!met.is_transient());
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("store.db"), "").unwrap();
    Store::open(&url(&folder)).await.unwrap().migrate().await.unwrap();
}

#[tokio::test]
async fn a_place_that_cannot_hold_a_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "a file").unwrap();
    let below_a_file = format!("sqlite:{}", folder.path().join("plain/deep/store.db").display());
    let refused = Store::open(&below_a_file).await.unwrap_err();
    assert!(matches!(refused, StoreError::Folder { .. }), "{refused:?}");
    assert!(refused.to_string().contains("plain"), "{refused}");

    std::fs::create_dir(folder.path().join("store.db")).unwrap();
    let refused = Store::open(&url(&folder)).await.unwrap_err();
    assert!(matches!(refused, StoreError::CannotOpen { .. }), "{refused:?}");
    assert!(refused.to_string().contains("store.db"), "{refused}");
}

#[tokio::test]
async fn a_closed_store_says_that_it_is_not_available() {
    let fixture = common::file().await;
    fixture.store.close().await;
    let refused = fixture.store.ping().await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)) && refused.is_transient(), "{refused:?}");
    assert!(fixture.store.begin().await.is_err());
}

#[tokio::test]
async fn nothing_can_be_read_before_the_tables_are_made() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    let refused = store.entities().get(&Scope::All, "x").await.unwrap_err();
    assert!(told(&refused).contains("no such table"), "{}", told(&refused));
    store.migrate().await.unwrap();
    assert!(store.entities().get(&Scope::All, "x").await.unwrap().is_none());
}
