//! What happens to connections: calls that are dropped in the middle, sockets that die or fall silent, locks that others hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bulrush_store::{Scope, Store, StoreError};
use common::postgres::{Postgres, admin};
use common::proxy::{Mode, Proxy};
use common::{DEADLINE, ada, property, save, seen};
use sqlx::{AssertSqlSafe, Executor as _};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Short limits, so that a test waits for them.
const LIMITS: &str = "connections=6&acquire_timeout_ms=2000&statement_timeout_ms=2000&lock_timeout_ms=500";

async fn migrated(url: &str) -> Store {
    let store = Store::open(url).await.unwrap();
    store.migrate().await.unwrap();
    save(&store, &property("p1", ada())).await;
    store
}

/// Writes two rows or none.
async fn write_two(store: &Store, n: i64) -> Result<(), StoreError> {
    store
        .write(async |tx| {
            store.observations().upsert(tx, "p1", &[seen("left", n, 1.0)]).await?;
            store.observations().upsert(tx, "p1", &[seen("right", n, 1.0)]).await
        })
        .await
}

/// The states of a database's sessions that are in a transaction, however it goes.
async fn transactions(database: &Postgres) -> Vec<String> {
    let sql = format!(
        "SELECT state || ': ' || query FROM pg_stat_activity WHERE datname = '{}' AND state LIKE 'idle in transaction%'",
        database.name
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut admin().await).await.unwrap()
}

/// Waits until no session of the database is in a transaction.
async fn eventually_no_transaction(database: &Postgres) {
    let ended = async {
        while !transactions(database).await.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let waited = timeout(DEADLINE, ended).await;
    assert!(waited.is_ok(), "still in a transaction: {:?}", transactions(database).await);
}

/// Calls that are dropped at every await, thousands of times; the seed of `STORE_SEED` repeats a run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_dropped_in_the_middle_poison_no_connection_and_leak_none() {
    let seed: u64 = match std::env::var("STORE_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => random_seed(),
    };
    println!("STORE_SEED={seed}");
    let draws = Arc::new(AtomicU64::new(seed));
    let database = Postgres::create().await;
    let store = migrated(&database.url_with("connections=6&acquire_timeout_ms=60000")).await;
    let mut tasks = JoinSet::new();
    for worker in 0..8_i64 {
        let (store, draws) = (store.clone(), draws.clone());
        tasks.spawn(async move {
            let mut ended = 0;
            for n in 0..400 {
                // Counted in polls and not in time, so that the drop falls between any two steps.
                let polls = draw(&draws) % 14;
                let n = worker * 1_000 + n;
                let done = if n % 4 == 0 {
                    cut_off(polls, async { store.observations().metrics(&Scope::All, "p1").await.map(drop) })
                        .await
                } else {
                    cut_off(polls, write_two(&store, n)).await
                };
                if let Some(done) = done {
                    done.unwrap();
                    ended += 1;
                }
            }
            ended
        });
    }
    let mut ended = 0;
    while let Some(count) = timeout(DEADLINE, tasks.join_next()).await.expect("no call hangs") {
        ended += count.unwrap();
    }
    assert!(
        (1..3_200).contains(&ended),
        "{ended} of 3200 ended: some must and some must not, or this shows nothing"
    );
    eventually_no_transaction(&database).await;
    // Every connection that there may be is asked for, and none is lent out in a transaction: what one writes, another sees at once.
    for n in 0..50 {
        write_two(&store, 100_000 + n).await.unwrap();
        let metrics = store.observations().metrics(&Scope::All, "p1").await.unwrap();
        assert_eq!(metrics[0].1, metrics[1].1, "a transaction is kept whole or not at all: {metrics:?}");
    }
    let all = timeout(DEADLINE, futures_util::future::join_all((0..6).map(|_| store.ping()))).await;
    all.expect("no connection is lost").into_iter().collect::<Result<Vec<_>, _>>().unwrap();
    store.close().await;
}

fn random_seed() -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes)
}

/// The next number of a shared sequence (splitmix64).
fn draw(state: &AtomicU64) -> u64 {
    let seed = state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
    let mut mixed = seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Polls `work` at most `polls` times, then drops it where it is.
async fn cut_off<T>(polls: u64, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(None);
        }
        left -= 1;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_is_dropped_between_its_statements_is_rolled_back() {
    let database = Postgres::create().await;
    let store = migrated(&database.url).await;
    for n in 0..20 {
        let mut tx = store.begin().await.unwrap();
        store.observations().upsert(&mut tx, "p1", &[seen("price", n, 1.0)]).await.unwrap();
        drop(tx);
    }
    eventually_no_transaction(&database).await;
    assert_eq!(store.observations().metrics(&Scope::All, "p1").await.unwrap(), []);
    store.close().await;
}

/// A statement that fails ends a transaction on PostgreSQL, which answers COMMIT with success all the same.
#[tokio::test]
async fn a_transaction_with_a_failed_statement_does_not_pretend_to_commit() {
    let database = Postgres::create().await;
    let store = migrated(&database.url).await;
    let mut tx = store.begin().await.unwrap();
    store.observations().upsert(&mut tx, "p1", &[seen("price", 1, 1.0)]).await.unwrap();
    let refused = store.observations().upsert(&mut tx, "no-such", &[seen("price", 1, 1.0)]).await;
    assert!(matches!(refused, Err(StoreError::MissingReference(_))), "{refused:?}");
    assert!(tx.commit().await.is_err());
    assert_eq!(store.observations().metrics(&Scope::All, "p1").await.unwrap(), []);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_that_die_are_replaced_and_only_the_calls_on_them_fail() {
    let database = Postgres::create().await;
    let proxy = Proxy::start().await;
    let store = migrated(&proxy.url(&database, LIMITS)).await;
    for round in 0..5 {
        let mut tx = store.begin().await.unwrap();
        proxy.cut().await;
        let lost = store.observations().upsert(&mut tx, "p1", &[seen("lost", round, 1.0)]).await.unwrap_err();
        assert!(matches!(lost, StoreError::Unavailable(_)) && lost.is_transient(), "{lost:?}");
        drop(tx);
        eventually(&store).await;
    }
    assert_eq!(store.observations().metrics(&Scope::All, "p1").await.unwrap(), []);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_ends_its_sessions_or_goes_away_is_found_again() {
    let database = Postgres::create().await;
    let proxy = Proxy::start().await;
    let store = migrated(&proxy.url(&database, LIMITS)).await;
    // With a deadline it answers when the sessions are gone; without one, when they have been told.
    let sql = format!(
        "SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = '{}'",
        database.name
    );
    let mut tx = store.begin().await.unwrap();
    admin().await.execute(AssertSqlSafe(sql)).await.unwrap();
    let ended = store.observations().upsert(&mut tx, "p1", &[seen("lost", 1, 1.0)]).await.unwrap_err();
    assert!(matches!(ended, StoreError::Unavailable(_)) && ended.is_transient(), "{ended:?}");
    drop(tx);
    eventually(&store).await;

    proxy.set(Mode::Closed).await;
    let away = timeout(DEADLINE, store.begin()).await.expect("a call ends").unwrap_err();
    assert!(matches!(away, StoreError::Unavailable(_)), "{away:?}");
    let away = timeout(DEADLINE, store.ping()).await.expect("a call ends").unwrap_err();
    assert!(matches!(away, StoreError::Unavailable(_)), "{away:?}");
    proxy.set(Mode::Pass).await;
    eventually(&store).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_on_sockets_that_fall_silent_end_and_the_pool_heals() {
    let database = Postgres::create().await;
    let proxy = Proxy::start().await;
    let store = migrated(&proxy.url(&database, LIMITS)).await;
    // All connections are there, some at work and some idle.
    let open = futures_util::future::join_all((0..3).map(|_| store.begin())).await;
    futures_util::future::join_all((0..3).map(|_| store.ping())).await;
    let mut tx = open.into_iter().next().unwrap().unwrap();
    proxy.set(Mode::Silent).await;
    let calls = async {
        let in_transaction = store.observations().upsert(&mut tx, "p1", &[seen("lost", 1, 1.0)]).await;
        let others = futures_util::future::join_all((0..12).map(|_| store.ping())).await;
        others.into_iter().chain([in_transaction]).collect::<Vec<_>>()
    };
    for answer in timeout(DEADLINE, calls).await.expect("every call ends") {
        let silent = answer.unwrap_err();
        assert!(matches!(silent, StoreError::Unavailable(_)) && silent.is_transient(), "{silent:?}");
    }
    drop(tx);
    let committing = async {
        let tx = store.begin().await;
        tx.map(drop)
    };
    assert!(timeout(DEADLINE, committing).await.expect("every call ends").is_err());
    proxy.set(Mode::Pass).await;
    eventually(&store).await;
    // Not one but all: as many at once as there are connections.
    let all = futures_util::future::join_all((0..12).map(|n| write_two(&store, n)));
    for done in timeout(DEADLINE, all).await.expect("the pool is whole again") {
        done.unwrap();
    }
    store.close().await;
}

/// Calls until one succeeds: what is lent first may still be dead, and each failure takes one dead connection out.
async fn eventually(store: &Store) {
    let healed = async {
        while write_two(store, 0).await.is_err() || store.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
        store
            .write::<_, StoreError, _>(async |tx| store.entities().delete(tx, &Scope::All, "p1").await)
            .await
            .unwrap();
        save(store, &property("p1", ada())).await;
    };
    timeout(DEADLINE, healed).await.expect("the store is usable again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_held_elsewhere_makes_its_callers_busy_and_nobody_else() {
    let database = Postgres::create().await;
    let store = migrated(&database.url_with(LIMITS)).await;
    let mut elsewhere = database.connect().await;
    elsewhere.execute("BEGIN").await.unwrap();
    elsewhere.execute("UPDATE entities SET name = 'held' WHERE id = 'p1'").await.unwrap();
    // Three times as many as there are connections that write.
    let held = property("p1", ada());
    let callers =
        (0..9).map(|_| store.write::<_, StoreError, _>(async |tx| store.entities().save(tx, &held).await));
    let callers = futures_util::future::join_all(callers);
    let mut callers = std::pin::pin!(callers);
    let mut served = 0;
    let observations = store.observations();
    let answers = timeout(DEADLINE, async {
        loop {
            tokio::select! {
                answers = &mut callers => break answers,
                read = observations.metrics(&Scope::All, "p1") => {
                    read.unwrap();
                    served += 1;
                }
            }
        }
    });
    for answer in answers.await.expect("every caller is answered") {
        let busy = answer.unwrap_err();
        assert!(
            matches!(busy, StoreError::Busy(_) | StoreError::Unavailable(_)) && busy.is_transient(),
            "{busy:?}"
        );
    }
    assert!(served > 0, "readers went on");
    // The row alone is held.
    save(&store, &property("p2", ada())).await;
    elsewhere.execute("ROLLBACK").await.unwrap();
    save(&store, &property("p1", ada())).await;

    // A lock of the whole table holds readers as well; what does not need it is served.
    elsewhere.execute("BEGIN").await.unwrap();
    elsewhere.execute("LOCK TABLE entities IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let busy =
        timeout(DEADLINE, store.entities().get(&Scope::All, "p1")).await.expect("it ends").unwrap_err();
    assert!(matches!(busy, StoreError::Busy(_)), "{busy:?}");
    store.api_keys().check("blr_0123456789ab_x", 0).await.unwrap();
    store.ping().await.unwrap();
    elsewhere.execute("ROLLBACK").await.unwrap();
    store.close().await;
}
