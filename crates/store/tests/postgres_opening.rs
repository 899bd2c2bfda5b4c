//! Opening a PostgreSQL database: several at once, with the wrong key, at the wrong door; and the store's words for what a server says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::error::Error as _;

use bulrush_store::{Saved, Scope, Store, StoreError, now_ms};
use common::postgres::{Postgres, admin};
use common::proxy::{Mode, Proxy};
use common::{DEADLINE, ada, property, save, seen};
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::time::timeout;

/// The error and all that caused it, as an operator reads it.
fn told(error: &StoreError) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    std::iter::once(error.to_string()).chain(causes.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_migrate_a_new_database_at_once_all_get_it() {
    let database = Postgres::create().await;
    let migrating = (0..6).map(|_| {
        let url = database.url_with("connections=2");
        tokio::spawn(async move {
            let store = Store::open(&url).await?;
            store.migrate().await?;
            let look = store.look().await?;
            store.close().await;
            Ok::<_, StoreError>(look.missing_migrations)
        })
    });
    for migrated in migrating.collect::<Vec<_>>() {
        assert_eq!(timeout(DEADLINE, migrated).await.unwrap().unwrap().unwrap(), 0);
    }
}

#[tokio::test]
async fn a_look_tells_what_is_missing_and_changes_nothing() {
    let database = Postgres::create().await;
    let store = Store::open(&database.url).await.unwrap();
    let look = store.look().await.unwrap();
    assert!(
        look.missing_migrations >= 3 && look.is_supported && look.is_utf8 && !look.is_read_only,
        "{look:?}"
    );
    assert!((look.clock_ms.unwrap() - now_ms()).abs() < 60_000, "{look:?}");
    let refused = store.entities().get(&Scope::All, "x").await.unwrap_err();
    assert!(told(&refused).contains("does not exist"), "{}", told(&refused));
    store.migrate().await.unwrap();
    assert_eq!(store.look().await.unwrap().missing_migrations, 0);
    store.close().await;
    let closed = store.ping().await.unwrap_err();
    assert!(matches!(closed, StoreError::Unavailable(_)) && closed.is_transient(), "{closed:?}");
    assert!(store.begin().await.is_err());
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing_and_is_told() {
    let database = Postgres::create().await;
    // The last table of the second migration is somebody else's.
    database.connect().await.execute("CREATE TABLE webhook_deliveries (theirs INT)").await.unwrap();
    let store = Store::open(&database.url).await.unwrap();
    let refused = store.migrate().await.unwrap_err();
    assert!(told(&refused).contains("webhook_deliveries"), "{}", told(&refused));
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    let left: i64 = sqlx::query_scalar(tables).fetch_one(&mut database.connect().await).await.unwrap();
    assert_eq!(left, 1, "all of the migrations or none");
    store.close().await;
}

#[tokio::test]
async fn a_user_that_may_not_change_tables_starts_where_they_are_up_to_date() {
    let database = Postgres::create().await;
    Store::open(&database.url).await.unwrap().migrate().await.unwrap();
    let user = format!("reader_{}", database.name);
    let mut owner = database.connect().await;
    for sql in [
        format!("CREATE ROLE {user} LOGIN"),
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC".to_owned(),
        format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {user}"),
    ] {
        owner.execute(AssertSqlSafe(sql)).await.unwrap();
    }
    let url = database.url.replacen("bulrush@", &format!("{user}@"), 1);
    let store = Store::open(&url).await.unwrap();
    store.migrate().await.unwrap();
    let refused: Result<_, StoreError> =
        store.write(async |tx| store.entities().save(tx, &property("p1", ada())).await).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    store.close().await;
    let sql = format!("DROP OWNED BY {user}; DROP ROLE {user}");
    owner.execute(AssertSqlSafe(sql)).await.unwrap();
}

#[tokio::test]
async fn what_is_wrong_with_the_way_in_is_told_without_the_password() {
    let database = Postgres::create().await;
    let with_password = |url: &str| url.replacen("bulrush@", "nobody-here:hunter2@", 1);
    let refused = Store::open(&with_password(&database.url)).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoEntry(_)) && !refused.is_transient(), "{refused:?}");
    assert!(!format!("{} {refused:?}", told(&refused)).contains("hunter2"));
    let absent = database.url.replacen(&database.name, "no_such_database", 1);
    let refused = Store::open(&absent).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoEntry(_)), "{refused:?}");
    assert!(told(&refused).contains("no_such_database"), "{}", told(&refused));

    // Nobody listens; nobody answers.
    let proxy = Proxy::start().await;
    let url = proxy.url(&database, "acquire_timeout_ms=300").replacen("bulrush@", "bulrush:hunter2@", 1);
    for mode in [Mode::Silent, Mode::Closed] {
        proxy.set(mode).await;
        let away = timeout(DEADLINE, Store::open(&url)).await.expect("it ends").unwrap_err();
        assert!(matches!(away, StoreError::Unavailable(_)) && away.is_transient(), "{mode:?}: {away:?}");
        assert!(!format!("{} {away:?}", told(&away)).contains("hunter2"));
    }
    // What asks for encryption does not go on without.
    proxy.set(Mode::Pass).await;
    let encrypted = proxy.url(&database, "connections=2").replacen("sslmode=disable", "sslmode=require", 1);
    let refused = Store::open(&encrypted).await.unwrap_err();
    assert!(matches!(refused, StoreError::NoEntry(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_wait_for_each_other_are_told_apart_from_a_fault() {
    let database = Postgres::create().await;
    let store = Store::open(&database.url).await.unwrap();
    store.migrate().await.unwrap();
    let save_in = async |first: &'static str, second: &'static str, meet: &tokio::sync::Barrier| {
        store
            .write::<_, StoreError, _>(async |tx| {
                let _ = store.entities().save(tx, &property(first, ada())).await?;
                meet.wait().await;
                store.entities().save(tx, &property(second, ada())).await
            })
            .await
    };
    let meet = tokio::sync::Barrier::new(2);
    let both = async { tokio::join!(save_in("a", "b", &meet), save_in("b", "a", &meet)) };
    let (one, other) = timeout(DEADLINE, both).await.expect("the server ends it");
    let (won, lost) = if one.is_ok() { (one, other) } else { (other, one) };
    assert_eq!(won.unwrap(), Saved::Yes);
    let lost = lost.unwrap_err();
    assert!(matches!(lost, StoreError::Busy(_)) && lost.is_transient(), "{lost:?}");
    store.close().await;
}

#[tokio::test]
async fn what_a_server_says_has_the_store_s_words() {
    let database = Postgres::create().await;
    let store = Store::open(&database.url_with("statement_timeout_ms=300&lock_timeout_ms=200&connections=2"))
        .await
        .unwrap();
    store.migrate().await.unwrap();
    save(&store, &property("p1", ada())).await;
    // A text that PostgreSQL cannot keep.
    let mut odd = property("p2", ada());
    odd.name = "a\0b".into();
    let refused: Result<_, StoreError> = store.write(async |tx| store.entities().save(tx, &odd).await).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    // A copy that only reads.
    let sql = format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name);
    admin().await.execute(AssertSqlSafe(sql)).await.unwrap();
    let copy = Store::open(&database.url).await.unwrap();
    assert!(copy.look().await.unwrap().is_read_only);
    let refused: Result<_, StoreError> =
        copy.write(async |tx| copy.entities().save(tx, &property("p3", ada())).await).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))), "{refused:?}");
    copy.close().await;
    // No connection left.
    let sql = format!("ALTER DATABASE {} CONNECTION LIMIT 0", database.name);
    admin().await.execute(AssertSqlSafe(sql)).await.unwrap();
    let user = format!("guest_{}", database.name);
    admin().await.execute(AssertSqlSafe(format!("CREATE ROLE {user} LOGIN"))).await.unwrap();
    let url = database.url.replacen("bulrush@", &format!("{user}@"), 1);
    let full = Store::open(&format!("{url}&acquire_timeout_ms=300")).await.unwrap_err();
    assert!(matches!(full, StoreError::Unavailable(_)) && full.is_transient(), "{full:?}");
    admin().await.execute(AssertSqlSafe(format!("DROP ROLE {user}"))).await.unwrap();
    store.close().await;
}

/// Two writers that upsert the same rows in opposite orders: each batch is written in the order of its keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_the_same_rows_in_opposite_orders_do_not_block_each_other() {
    let database = Postgres::create().await;
    let store = Store::open(&database.url).await.unwrap();
    store.migrate().await.unwrap();
    save(&store, &property("p1", ada())).await;
    let rows: Vec<_> = (0..2_000).map(|n| seen("price", n, 1.0)).collect();
    let backwards: Vec<_> = rows.iter().rev().cloned().collect();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let (store, rows) = (store.clone(), if n % 2 == 0 { rows.clone() } else { backwards.clone() });
        writers.spawn(async move {
            store
                .write::<_, StoreError, _>(async |tx| store.observations().upsert(tx, "p1", &rows).await)
                .await
        });
    }
    while let Some(done) = timeout(DEADLINE, writers.join_next()).await.expect("all end") {
        done.unwrap().unwrap();
    }
    store.close().await;
}
