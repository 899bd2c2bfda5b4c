//! Sums by bucket: replaced as a whole, by whoever has read last.

use std::collections::BTreeMap;

use crate::common::{DEADLINE, Fixture, ada, property, save};
use bulrush_store::{
    EntityKind, FenceError, NewEntity, Replaced, Rollup, RollupPlace, RollupsWanted, Scope, Store, StoreError,
};

on_each!(
    rollups_are_read_back_by_their_owner_alone_page_by_page,
    a_replacement_leaves_nothing_of_what_reaches_into_its_time,
    who_has_read_before_somebody_else_wrote_is_told_to_read_again,
    many_rows_go_in_at_once,
    rollups_go_with_their_entity_and_need_one,
    impossible_rollups_are_refused,
);
on_shared!(two_replacements_at_once_are_one_after_the_other);

fn publisher(id: &str) -> NewEntity {
    NewEntity { kind: EntityKind::Publisher, ..property(id, ada()) }
}

/// A bucket of ten ms from `start_ms` on.
fn rollup(metric: &str, start_ms: i64, sum: f64) -> Rollup {
    Rollup {
        metric: metric.into(),
        start_ms,
        end_ms: start_ms + 10,
        count: 2,
        sum,
        min: 0.5,
        max: sum - 0.5,
        p50: sum / 2.0,
        p90: sum - 1.0,
        derived: BTreeMap::new(),
    }
}

async fn replace(
    store: &Store,
    job: &str,
    span_ms: (i64, i64),
    version: i64,
    rows: &[Rollup],
) -> Result<Replaced, FenceError> {
    store
        .fenced(job, 1, "nonce", async |tx| {
            Ok(store.rollups().replace(tx, ("pub", "day"), span_ms, version, rows).await?)
        })
        .await
}

/// The same, by a job that has read just before.
async fn put(store: &Store, span_ms: (i64, i64), rows: &[Rollup]) {
    let version = store.rollups().version("pub", "day").await.unwrap();
    assert_eq!(replace(store, "job", span_ms, version, rows).await.unwrap(), Replaced::Yes);
}

fn all() -> RollupsWanted {
    RollupsWanted { granularity: "day", starts_ms: (i64::MIN, i64::MAX), metric: None }
}

async fn there(store: &Store, scope: &Scope) -> Vec<Rollup> {
    store.rollups().list(scope, "pub", &all(), None, 10_000).await.unwrap()
}

async fn rollups_are_read_back_by_their_owner_alone_page_by_page(store: &Store) {
    save(store, &publisher("pub")).await;
    let derived = BTreeMap::from([("ctr".to_owned(), 0.015)]);
    let rows = [
        Rollup { derived, ..rollup("clicks", 0, 3.0) },
        rollup("impressions", 0, 200.0),
        rollup("clicks", 10, 5.0),
        rollup("impressions", 20, 7.0),
    ];
    put(store, (0, 100), &rows).await;
    assert_eq!(there(store, &ada().into()).await, rows);
    assert_eq!(there(store, &Scope::All).await, rows);
    assert_eq!(there(store, &Scope::owner("acme", "bob")).await, []);
    assert_eq!(there(store, &Scope::owner("globex", "ada")).await, []);

    let list = async |wanted: &RollupsWanted, after: Option<&RollupPlace>, limit| {
        store.rollups().list(&Scope::All, "pub", wanted, after, limit).await.unwrap()
    };
    let mut paged: Vec<Rollup> = Vec::new();
    loop {
        let page = list(&all(), paged.last().map(Rollup::place).as_ref(), 3).await;
        let is_last = page.len() < 3;
        paged.extend(page);
        if is_last {
            break;
        }
    }
    assert_eq!(paged, rows);
    let clicks = RollupsWanted { metric: Some("clicks".into()), ..all() };
    assert_eq!(list(&clicks, None, 10).await, [rows[0].clone(), rows[2].clone()]);
    let later = RollupsWanted { starts_ms: (10, 20), ..all() };
    assert_eq!(list(&later, None, 10).await, [rows[2].clone()]);
    // A place of another question is before all of this one.
    let early = RollupPlace { start_ms: 0, metric: "zebra".into() };
    assert_eq!(list(&later, Some(&early), 10).await, [rows[2].clone()]);
    assert_eq!(list(&RollupsWanted { granularity: "hour", ..all() }, None, 10).await, []);
}

async fn a_replacement_leaves_nothing_of_what_reaches_into_its_time(store: &Store) {
    save(store, &publisher("pub")).await;
    let before = [
        rollup("clicks", 0, 1.0),
        rollup("clicks", 10, 2.0),
        rollup("clicks", 20, 3.0),
        rollup("clicks", 30, 4.0),
    ];
    put(store, (0, 40), &before).await;
    // One that begins before the range and reaches into it is what another time zone leaves.
    put(store, (15, 30), &[rollup("requests", 15, 9.0)]).await;
    let left = [before[0].clone(), rollup("requests", 15, 9.0), before[3].clone()];
    assert_eq!(there(store, &Scope::All).await, left);
    put(store, (15, 30), &[rollup("requests", 15, 9.0)]).await;
    assert_eq!(there(store, &Scope::All).await, left, "twice is once");
    put(store, (0, 25), &[]).await;
    assert_eq!(there(store, &Scope::All).await, left[2..], "nothing comes in the place of what is gone");
}

async fn who_has_read_before_somebody_else_wrote_is_told_to_read_again(store: &Store) {
    save(store, &publisher("pub")).await;
    let (one, two) = ([rollup("clicks", 0, 1.0)], [rollup("clicks", 0, 2.0)]);
    let version = store.rollups().version("pub", "day").await.unwrap();
    assert_eq!(replace(store, "one", (0, 10), version, &one).await.unwrap(), Replaced::Yes);
    assert_eq!(replace(store, "two", (0, 10), version, &two).await.unwrap(), Replaced::Outdated);
    assert_eq!(there(store, &Scope::All).await, one);
    let version = store.rollups().version("pub", "day").await.unwrap();
    assert_eq!(replace(store, "two", (0, 10), version, &two).await.unwrap(), Replaced::Yes);
    assert_eq!(there(store, &Scope::All).await, two);
    assert_eq!(store.rollups().version("pub", "hour").await.unwrap(), 0, "hours are another matter");
}

/// Two stores on one database are what two worker processes are.
async fn two_replacements_at_once_are_one_after_the_other(fixture: &Fixture) {
    let (one, two) = (&fixture.store, &fixture.again().await);
    save(one, &publisher("pub")).await;
    put(one, (0, 30), &[rollup("clicks", 0, 1.0), rollup("clicks", 20, 1.0)]).await;
    let version = one.rollups().version("pub", "day").await.unwrap();
    let mut first = one.begin_fenced("one", 1, "nonce").await.unwrap();
    let rows = [rollup("clicks", 0, 2.0), rollup("clicks", 10, 2.0)];
    let done = one.rollups().replace(&mut first, ("pub", "day"), (0, 30), version, &rows).await.unwrap();
    assert_eq!(done, Replaced::Yes);
    let late = [rollup("clicks", 0, 3.0)];
    let mut waiting = std::pin::pin!(replace(two, "two", (0, 30), version, &late));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    first.commit().await.unwrap();
    let second = tokio::time::timeout(DEADLINE, waiting).await.expect("the second gets its turn");
    assert_eq!(second.unwrap(), Replaced::Outdated);
    assert_eq!(there(one, &Scope::All).await, rows);
}

async fn many_rows_go_in_at_once(store: &Store) {
    save(store, &publisher("pub")).await;
    let rows: Vec<Rollup> = (0..25_001).map(|n| rollup("clicks", n * 10, n as f64)).collect();
    put(store, (0, 1_000_000), &rows).await;
    let mut seen: Vec<Rollup> = Vec::new();
    while seen.len() < rows.len() {
        let after = seen.last().map(Rollup::place);
        seen.extend(store.rollups().list(&Scope::All, "pub", &all(), after.as_ref(), 10_000).await.unwrap());
    }
    assert_eq!(seen, rows);
}

async fn rollups_go_with_their_entity_and_need_one(store: &Store) {
    let needs = replace(store, "job", (0, 10), 0, &[rollup("clicks", 0, 1.0)]).await;
    assert!(matches!(needs, Err(FenceError::Store(StoreError::MissingReference(_)))), "{needs:?}");
    save(store, &publisher("pub")).await;
    put(store, (0, 10), &[rollup("clicks", 0, 1.0)]).await;
    let gone: Result<bool, StoreError> =
        store.write(async |tx| store.entities().delete(tx, &Scope::All, "pub").await).await;
    assert!(gone.unwrap());
    assert_eq!(there(store, &Scope::All).await, []);
    assert_eq!(store.rollups().version("pub", "day").await.unwrap(), 0);
}

async fn impossible_rollups_are_refused(store: &Store) {
    save(store, &publisher("pub")).await;
    for bad in [
        Rollup { sum: f64::INFINITY, ..rollup("clicks", 0, 1.0) },
        Rollup { derived: BTreeMap::from([("ctr".to_owned(), f64::NAN)]), ..rollup("clicks", 0, 1.0) },
    ] {
        let refused = replace(store, "job", (0, 10), 0, &[rollup("a", 0, 1.0), bad]).await;
        assert!(
            matches!(refused, Err(FenceError::Store(StoreError::NotANumber { index: 1, .. }))),
            "{refused:?}"
        );
    }
    for bad in
        [Rollup { count: 0, ..rollup("clicks", 0, 1.0) }, Rollup { end_ms: 0, ..rollup("clicks", 0, 1.0) }]
    {
        let refused = replace(store, "job", (0, 10), 0, &[bad]).await;
        assert!(matches!(refused, Err(FenceError::Store(StoreError::Refused { .. }))), "{refused:?}");
    }
    let unknown: Result<Replaced, FenceError> = store
        .fenced("job", 1, "nonce", async |tx| {
            let row = [rollup("clicks", 0, 1.0)];
            Ok(store.rollups().replace(tx, ("pub", "year"), (0, 10), 0, &row).await?)
        })
        .await;
    assert!(matches!(unknown, Err(FenceError::Store(StoreError::Refused { .. }))), "{unknown:?}");
    assert_eq!(there(store, &Scope::All).await, []);
}
