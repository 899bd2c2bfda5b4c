//! Many at once: writers, readers beside them, and tasks that are cancelled wherever they happen to be.

use crate::common::{DEADLINE, Fixture, ada, property, save, seen};
use bulrush_store::{FenceError, Scope, Store, StoreError};
use tokio::task::JoinSet;

on_each!(
    sixteen_writers_at_once_all_succeed_and_nothing_is_lost,
    readers_see_the_last_commit_while_somebody_writes,
    cancelled_writers_leave_nothing_half_and_the_store_usable,
);

on_shared!(sixteen_writers_of_two_stores_never_meet_a_busy_database);

const WRITERS: i64 = 16;
const ROUNDS: i64 = 25;

/// Sixteen tasks, each with transactions of its own that read nothing and write several tables.
async fn sixteen_writers_at_once_all_succeed_and_nothing_is_lost(store: &Store) {
    save(store, &property("p1", ada())).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_rounds(store.clone(), writer));
    }
    tokio::time::timeout(DEADLINE, async {
        while let Some(done) = writers.join_next().await {
            done.unwrap().unwrap();
        }
    })
    .await
    .expect("all writers end");
    assert_all_written(store).await;
}

async fn write_rounds(store: Store, writer: i64) -> Result<(), FenceError> {
    for round in 0..ROUNDS {
        let rows: Vec<_> = (0..20).map(|n| seen("price", (writer * ROUNDS + round) * 20 + n, 1.0)).collect();
        let job = format!("job-{writer}-{round}");
        store
            .fenced::<_, FenceError, _>(&job, 1, "w.1", async |tx| {
                store.observations().upsert(tx, "p1", &rows).await?;
                store.results().put(tx, &ada(), "k", &serde_json::json!({ "rows": rows.len() })).await?;
                Ok(())
            })
            .await?;
    }
    Ok(())
}

async fn assert_all_written(store: &Store) {
    let expected = (WRITERS * ROUNDS * 20).unsigned_abs();
    assert_eq!(
        store.observations().metrics(&Scope::All, "p1").await.unwrap(),
        [("price".to_owned(), expected)]
    );
    for writer in 0..WRITERS {
        let last = format!("job-{writer}-{}", ROUNDS - 1);
        assert!(store.results().get(&Scope::All, &last).await.unwrap().is_some());
    }
}

/// Two stores on one database are what two processes are: they meet at the database's locks and not in a queue of ours.
async fn sixteen_writers_of_two_stores_never_meet_a_busy_database(fixture: &Fixture) {
    let stores = [fixture.store.clone(), fixture.again().await];
    save(&stores[0], &property("p1", ada())).await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write_rounds(stores[usize::try_from(writer % 2).unwrap()].clone(), writer));
    }
    while let Some(done) = tokio::time::timeout(DEADLINE, writers.join_next()).await.expect("all writers end")
    {
        done.unwrap().unwrap();
    }
    assert_all_written(&stores[1]).await;
}

async fn readers_see_the_last_commit_while_somebody_writes(store: &Store) {
    save(store, &property("p1", ada())).await;
    let mut tx = store.begin().await.unwrap();
    store.observations().upsert(&mut tx, "p1", &[seen("price", 1, 1.0)]).await.unwrap();
    let observations = store.observations();
    let readers = (0..8).map(|_| observations.metrics(&Scope::All, "p1"));
    for read in tokio::time::timeout(DEADLINE, futures_util::future::join_all(readers)).await.unwrap() {
        assert_eq!(read.unwrap(), [], "what is not committed is not seen");
    }
    let status = store.pool_status();
    assert!(status.writer_busy && status.readers_max > 1, "{status:?}");
    tx.commit().await.unwrap();
    assert_eq!(store.observations().metrics(&Scope::All, "p1").await.unwrap(), [("price".to_owned(), 1)]);
}

/// Cancels writers and readers wherever they are: the number of times that a task may go on after waiting is drawn from a
/// seed, so that a failing run can be repeated with `STORE_SEED`.
async fn cancelled_writers_leave_nothing_half_and_the_store_usable(store: &Store) {
    let seed: u64 = match std::env::var("STORE_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => u64::from_le_bytes(random_bytes()),
    };
    println!("STORE_SEED={seed}");
    let mut draw = Draw(seed);
    save(store, &property("p1", ada())).await;
    let mut tasks = JoinSet::new();
    for n in 0..400_i64 {
        let polls = draw.below(12);
        let store = store.clone();
        tasks.spawn(cut_off(polls, async move {
            if n % 4 == 0 {
                return store.observations().metrics(&Scope::All, "p1").await.map(drop);
            }
            // Each writes two rows or none.
            store
                .write(async |tx| {
                    store.observations().upsert(tx, "p1", &[seen("left", n, 1.0)]).await?;
                    store.observations().upsert(tx, "p1", &[seen("right", n, 1.0)]).await
                })
                .await
        }));
    }
    let mut ended = 0;
    while let Some(outcome) = tokio::time::timeout(DEADLINE, tasks.join_next()).await.expect("no task hangs")
    {
        if let Some(done) = outcome.unwrap() {
            done.unwrap();
            ended += 1;
        }
    }
    assert!(
        (1..400).contains(&ended),
        "{ended} of 400 ended: some must end and some be cut off, or this shows nothing"
    );

    // All connections are there and none is inside a transaction that nobody ends: everything still works, at once.
    let after = async {
        let mut writers = JoinSet::new();
        for n in 0..16 {
            let store = store.clone();
            writers.spawn(async move {
                store
                    .write::<_, StoreError, _>(async |tx| {
                        store.observations().upsert(tx, "p1", &[seen("after", n, 1.0)]).await
                    })
                    .await
            });
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap().unwrap();
        }
        let readers = (0..16).map(|_| store.ping());
        for read in futures_util::future::join_all(readers).await {
            read.unwrap();
        }
        store.observations().metrics(&Scope::All, "p1").await.unwrap()
    };
    let metrics = tokio::time::timeout(DEADLINE, after).await.expect("the store is usable after the storm");
    let count =
        |name: &str| metrics.iter().find(|(metric, _)| metric == name).map_or(0, |(_, points)| *points);
    assert_eq!(count("after"), 16);
    assert_eq!(count("left"), count("right"), "a transaction is kept whole or not at all");
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

/// Numbers from a seed (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// Random bytes for a seed.
fn random_bytes() -> [u8; 8] {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
