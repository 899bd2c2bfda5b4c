//! Jobs write behind their fence: a run that was overtaken cannot write.

use std::time::Duration;

use crate::common::{DEADLINE, Fixture, ada, property, save, seen};
use bulrush_store::{FenceError, Owner, Scope, Store, StoreError, forget_fences, now_ms};
use tokio::sync::oneshot;

on_each!(
    a_higher_run_wins_and_a_lower_one_is_refused_whatever_it_writes,
    the_same_run_needs_the_same_nonce,
    the_late_writer_is_refused_when_the_newer_run_wrote_first,
    the_newer_run_replaces_what_the_late_writer_wrote_first,
    an_old_run_that_waits_behind_the_newer_one_is_refused_when_its_turn_comes,
    a_newer_run_that_waits_behind_the_old_one_has_the_last_word,
    a_transaction_that_fails_leaves_neither_rows_nor_fence,
    jobs_do_not_share_fences,
    old_fences_are_forgotten_in_bounded_steps,
    a_run_below_one_is_refused,
);

on_shared!(writers_of_two_stores_are_fenced_from_each_other);

const KIND: &str = "enrichment/enrich-property";

/// Writes the result `text` as `run` of `job`.
async fn write(store: &Store, job: &str, run: i64, nonce: &str, text: &str) -> Result<(), FenceError> {
    let document = serde_json::json!({ "by": text });
    store
        .fenced(job, run, nonce, async |tx| Ok(store.results().put(tx, &ada(), KIND, &document).await?))
        .await
}

/// Who wrote the result of `job`, and in which run.
async fn written(store: &Store, job: &str) -> Option<(String, i64)> {
    let result = store.results().get(&Scope::All, job).await.unwrap()?;
    Some((result.document["by"].as_str().unwrap().to_owned(), result.run))
}

fn by(text: &str, run: i64) -> (String, i64) {
    (text.to_owned(), run)
}

#[track_caller]
fn assert_stale(refused: &Result<(), FenceError>, wanted: i64, holder: i64) {
    match refused {
        Err(error @ FenceError::Stale { run, current, .. }) => {
            assert_eq!((*run, *current), (wanted, holder));
            assert!(!error.is_transient());
        }
        other => panic!("run {wanted} should have been refused for run {holder}: {other:?}"),
    }
}

async fn a_higher_run_wins_and_a_lower_one_is_refused_whatever_it_writes(store: &Store) {
    save(store, &property("p1", ada())).await;
    write(store, "j", 1, "w1.1", "first").await.unwrap();
    write(store, "j", 3, "w2.1", "third").await.unwrap();
    for run in [1, 2] {
        let rows = [seen("price", 1, 1.0)];
        let late: Result<(), FenceError> = store
            .fenced("j", run, "w1.1", async |tx| Ok(store.observations().upsert(tx, "p1", &rows).await?))
            .await;
        assert_stale(&late, run, 3);
    }
    assert_eq!(store.observations().metrics(&Scope::All, "p1").await.unwrap(), []);
    assert_eq!(written(store, "j").await, Some(by("third", 3)));
}

async fn the_same_run_needs_the_same_nonce(store: &Store) {
    write(store, "j", 2, "w1.1", "mine").await.unwrap();
    write(store, "j", 2, "w1.1", "mine again").await.unwrap();
    assert_stale(&write(store, "j", 2, "w9.1", "somebody else's").await, 2, 2);
    assert_eq!(written(store, "j").await, Some(by("mine again", 2)));
}

async fn the_late_writer_is_refused_when_the_newer_run_wrote_first(store: &Store) {
    write(store, "j", 2, "new.1", "new").await.unwrap();
    assert_stale(&write(store, "j", 1, "old.1", "old").await, 1, 2);
    assert_eq!(written(store, "j").await, Some(by("new", 2)));
}

async fn the_newer_run_replaces_what_the_late_writer_wrote_first(store: &Store) {
    write(store, "j", 1, "old.1", "old").await.unwrap();
    write(store, "j", 2, "new.1", "new").await.unwrap();
    assert_eq!(written(store, "j").await, Some(by("new", 2)));
    assert_stale(&write(store, "j", 1, "old.1", "old").await, 1, 2);
}

/// Runs two writers of one job so that `second` asks for its transaction while `first` has its own open.
async fn overlap(
    [first_store, second_store]: [&Store; 2],
    first: (i64, &'static str),
    second: (i64, &'static str),
) -> [Result<(), FenceError>; 2] {
    let (opened, is_open) = oneshot::channel();
    let (go_on, may_go_on) = oneshot::channel::<()>();
    let holder = tokio::spawn({
        let store = first_store.clone();
        async move {
            let document = serde_json::json!({ "by": first.1 });
            let mut tx = store.begin_fenced("j", first.0, first.1).await?;
            opened.send(()).unwrap();
            may_go_on.await.unwrap();
            store.results().put(&mut tx, &ada(), KIND, &document).await?;
            tx.commit().await?;
            Ok(())
        }
    });
    is_open.await.unwrap();
    let mut waiting = std::pin::pin!(write(second_store, "j", second.0, second.1, second.1));
    // Asked once, it stands in line; it cannot get its turn before the first has ended.
    assert!(futures_util::poll!(&mut waiting).is_pending());
    go_on.send(()).unwrap();
    let second = tokio::time::timeout(DEADLINE, waiting).await.expect("the second writer gets its turn");
    [holder.await.unwrap(), second]
}

async fn an_old_run_that_waits_behind_the_newer_one_is_refused_when_its_turn_comes(store: &Store) {
    let [new, old] = overlap([store, store], (2, "new"), (1, "old")).await;
    new.unwrap();
    assert_stale(&old, 1, 2);
    assert_eq!(written(store, "j").await, Some(by("new", 2)));
}

async fn a_newer_run_that_waits_behind_the_old_one_has_the_last_word(store: &Store) {
    let [old, new] = overlap([store, store], (1, "old"), (2, "new")).await;
    old.unwrap();
    new.unwrap();
    assert_eq!(written(store, "j").await, Some(by("new", 2)));
}

/// Two stores on one database are what two worker processes are.
async fn writers_of_two_stores_are_fenced_from_each_other(fixture: &Fixture) {
    let (one, two) = (&fixture.store, &fixture.again().await);
    let [new, old] = overlap([one, two], (2, "new"), (1, "old")).await;
    new.unwrap();
    assert_stale(&old, 1, 2);
    let [next, last] = overlap([two, one], (3, "next"), (4, "last")).await;
    next.unwrap();
    last.unwrap();
    assert_eq!(written(two, "j").await, Some(by("last", 4)));
}

async fn a_transaction_that_fails_leaves_neither_rows_nor_fence(store: &Store) {
    let failed: Result<(), FenceError> = store
        .fenced("j", 5, "w1.1", async |tx| {
            store.results().put(tx, &ada(), KIND, &serde_json::json!({ "by": "five" })).await?;
            Ok(store.observations().upsert(tx, "nobody", &[seen("price", 1, 1.0)]).await?)
        })
        .await;
    assert!(matches!(failed, Err(FenceError::Store(StoreError::MissingReference(_)))), "{failed:?}");
    assert_eq!(written(store, "j").await, None);
    // Run 5 wrote nothing, so run 4 has not been overtaken in the tables.
    write(store, "j", 4, "w0.1", "four").await.unwrap();
    assert_eq!(written(store, "j").await, Some(by("four", 4)));
}

async fn jobs_do_not_share_fences(store: &Store) {
    write(store, "a", 7, "w1.1", "a").await.unwrap();
    write(store, "b", 1, "w1.2", "b").await.unwrap();
    assert_eq!(written(store, "b").await, Some(by("b", 1)));
}

async fn old_fences_are_forgotten_in_bounded_steps(store: &Store) {
    for job in ["a", "b", "c"] {
        write(store, job, 2, "w1.1", job).await.unwrap();
    }
    let forget = |before_ms, limit| async move {
        store.write::<_, StoreError, _>(async |tx| forget_fences(tx, before_ms, limit).await).await.unwrap()
    };
    assert_eq!(forget(0, 10).await, 0, "none is as old as that");
    let later = now_ms() + i64::try_from(Duration::from_hours(1).as_millis()).unwrap();
    assert_eq!(forget(later, 2).await, 2);
    assert_eq!(forget(later, 2).await, 1);
    write(store, "a", 1, "w1.1", "a").await.unwrap();
}

async fn a_run_below_one_is_refused(store: &Store) {
    for run in [0, -1, i64::MIN] {
        let refused = write(store, "j", run, "w1.1", "x").await;
        assert!(matches!(refused, Err(FenceError::Store(StoreError::Refused { .. }))), "{refused:?}");
    }
    write(store, "j", i64::MAX, "w1.1", "x").await.unwrap();
    assert_eq!(
        store.results().get(&Owner::new("acme", "ada").into(), "j").await.unwrap().unwrap().run,
        i64::MAX
    );
}
