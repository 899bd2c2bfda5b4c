//! Prices of competitors, their pages, and turns at their sites.

use crate::common::{ada, property, save};
use bulrush_store::{
    CompetitorPage, CompetitorPrice, FenceError, Scope, ShownPrice, Stay, Store, StoreError, Turn,
};
use jiff::civil::{Date, date};
use serde_json::json;

const EARLY: Date = date(2000, 1, 1);

fn stay(day: i8) -> Stay {
    Stay { check_in: date(2026, 12, day), check_out: date(2026, 12, day + 2), adults: 2 }
}

fn price(competitor: &str, stay: Stay, seen_on: Date, micros: i64) -> CompetitorPrice {
    CompetitorPrice {
        competitor: competitor.into(),
        name: format!("The {competitor}"),
        url: "https://hotel.example/".into(),
        stay,
        seen_on,
        seen_at_ms: 1,
        currency: "EUR".into(),
        price: Some(ShownPrice {
            price_micros: micros,
            shown_micros: micros * 2,
            currency: "CHF".into(),
            rate: Some(0.5),
            rates_day: Some(date(2026, 11, 27)),
        }),
        room: Some("Double".into()),
    }
}

async fn put(store: &Store, job: &str, run: i64, prices: &[CompetitorPrice]) -> Result<(), FenceError> {
    store
        .fenced(job, run, "nonce", async |tx| Ok(store.competitor_prices().put(tx, "inn", prices).await?))
        .await
}

async fn all(store: &Store, scope: &Scope) -> Vec<CompetitorPrice> {
    store.competitor_prices().of_property(scope, "inn", EARLY, 1_000).await.unwrap()
}

async fn prices_are_read_back_by_their_owner_alone(store: &Store) {
    save(store, &property("inn", ada())).await;
    let sold_out = CompetitorPrice { price: None, room: None, ..price("b", stay(1), date(2026, 11, 1), 1) };
    let kept = [
        price("a", stay(1), date(2026, 11, 1), 99_500_000),
        sold_out,
        price("a", stay(5), date(2026, 11, 1), 7),
    ];
    put(store, "job", 1, &kept).await.unwrap();
    assert_eq!(all(store, &ada().into()).await, kept);
    assert_eq!(all(store, &Scope::owner("acme", "bob")).await, []);
    let later =
        store.competitor_prices().of_property(&Scope::All, "inn", date(2026, 12, 2), 10).await.unwrap();
    assert_eq!(later, kept[2..]);
    assert_eq!(store.competitor_prices().of_property(&Scope::All, "inn", EARLY, 2).await.unwrap(), kept[..2]);
}

async fn a_job_that_runs_twice_leaves_what_its_last_run_found(store: &Store) {
    save(store, &property("inn", ada())).await;
    let (night, morning) = (date(2026, 11, 1), date(2026, 11, 2));
    put(store, "job", 1, &[price("a", stay(1), night, 1), price("b", stay(1), night, 2)]).await.unwrap();
    let again = [price("a", stay(1), morning, 3)];
    put(store, "job", 2, &again).await.unwrap();
    assert_eq!(all(store, &Scope::All).await, again, "though midnight came between the runs");
    let late = put(store, "job", 1, &[price("c", stay(1), night, 4)]).await;
    assert!(matches!(late, Err(FenceError::Stale { .. })));
    assert_eq!(all(store, &Scope::All).await, again);
}

async fn jobs_of_one_day_share_a_row_and_those_of_two_days_make_a_history(store: &Store) {
    save(store, &property("inn", ada())).await;
    let (first, second) = (date(2026, 11, 1), date(2026, 11, 2));
    put(store, "one", 1, &[price("a", stay(1), first, 1)]).await.unwrap();
    put(store, "two", 1, &[price("a", stay(1), first, 2)]).await.unwrap();
    put(store, "three", 1, &[price("a", stay(1), second, 3)]).await.unwrap();
    assert_eq!(
        all(store, &Scope::All).await,
        [price("a", stay(1), first, 2), price("a", stay(1), second, 3)]
    );
}

async fn many_rows_and_twins_go_in_at_once(store: &Store) {
    save(store, &property("inn", ada())).await;
    let day = date(2026, 11, 1);
    let mut rows: Vec<_> = (0..150).map(|n| price(&format!("c{n:03}"), stay(1), day, n + 1)).collect();
    rows.push(price("c149", stay(1), day, 999));
    put(store, "job", 1, &rows).await.unwrap();
    let kept = all(store, &Scope::All).await;
    assert_eq!((kept.len(), kept[149].price.as_ref().unwrap().price_micros), (150, 999));
}

async fn prices_go_with_their_property_and_need_one(store: &Store) {
    let missing = put(store, "job", 1, &[price("a", stay(1), date(2026, 11, 1), 1)]).await;
    assert!(matches!(missing, Err(FenceError::Store(StoreError::MissingReference(_)))), "{missing:?}");
    save(store, &property("inn", ada())).await;
    put(store, "job", 1, &[price("a", stay(1), date(2026, 11, 1), 1)]).await.unwrap();
    let gone: Result<bool, StoreError> =
        store.write(async |tx| store.entities().delete(tx, &Scope::All, "inn").await).await;
    assert!(gone.unwrap());
    save(store, &property("inn", ada())).await;
    assert_eq!(all(store, &Scope::All).await, []);
}

async fn impossible_prices_are_refused(store: &Store) {
    save(store, &property("inn", ada())).await;
    let day = date(2026, 11, 1);
    let backwards = Stay { check_out: stay(1).check_in, ..stay(1) };
    for bad in [
        price("a", backwards, day, 1),
        price("a", stay(1), day, 0),
        price("a", Stay { adults: 0, ..stay(1) }, day, 1),
    ] {
        assert!(matches!(
            put(store, "job", 1, &[bad]).await,
            Err(FenceError::Store(StoreError::Refused { .. }))
        ));
    }
}

async fn a_page_is_kept_until_a_newer_one_comes_or_nobody_reads_it(store: &Store) {
    let pages = store.competitor_pages();
    let page = |at: i64, n: i64| CompetitorPage {
        etag: Some(format!("\"{n}\"")),
        last_modified: None,
        document: json!({"n": n}),
        fetched_at_ms: at,
    };
    let keep = async |key: &str, page: CompetitorPage| {
        let kept: Result<(), StoreError> = store.write(async |tx| pages.put(tx, key, &page).await).await;
        kept.unwrap();
    };
    assert_eq!(pages.get("a").await.unwrap(), None);
    keep("a", page(10, 1)).await;
    keep("a", page(20, 2)).await;
    keep("a", page(15, 3)).await;
    assert_eq!(pages.get("a").await.unwrap(), Some(page(20, 2)));
    keep("b", page(5, 4)).await;
    let gone: Result<u64, StoreError> = store.write(async |tx| pages.forget(tx, 20, 10).await).await;
    assert_eq!(gone.unwrap(), 1);
    assert_eq!((pages.get("a").await.unwrap().is_some(), pages.get("b").await.unwrap()), (true, None));
}

async fn turns_at_a_site_come_one_after_the_other(store: &Store) {
    let turns = store.site_turns();
    let take = async |now, pause, patience| turns.take("site", now, pause, patience).await.unwrap();
    assert_eq!(take(1_000, 100, 250).await, Turn::At(1_000));
    assert_eq!(take(1_000, 100, 250).await, Turn::At(1_100));
    assert_eq!(take(1_010, 100, 250).await, Turn::At(1_200));
    assert_eq!(take(1_010, 100, 250).await, Turn::NotBefore(1_300));
    assert_eq!(turns.take("other", 1_010, 100, 0).await.unwrap(), Turn::At(1_010));
    assert_eq!(take(5_000, 100, 0).await, Turn::At(5_000), "time that passed is not saved up");
}

async fn a_site_that_asks_for_patience_is_left_alone_by_all(store: &Store) {
    let turns = store.site_turns();
    turns.hold("site", 1_000, 61_000).await.unwrap();
    turns.hold("site", 1_000, 2_000).await.unwrap();
    assert_eq!(turns.take("site", 1_500, 100, 5_000).await.unwrap(), Turn::NotBefore(61_000));
    assert_eq!(turns.take("site", 61_000, 100, 0).await.unwrap(), Turn::At(61_000));
    // A clock that was years ahead held it: whoever comes with the right time is not locked out.
    turns.hold("site", 1 << 50, i64::MAX).await.unwrap();
    assert_eq!(turns.take("site", 70_000, 100, 0).await.unwrap(), Turn::At(70_000));
    let gone: Result<u64, StoreError> = store.write(async |tx| turns.forget(tx, 70_101, 10).await).await;
    assert_eq!(gone.unwrap(), 1);
}

on_each!(
    prices_are_read_back_by_their_owner_alone,
    a_job_that_runs_twice_leaves_what_its_last_run_found,
    jobs_of_one_day_share_a_row_and_those_of_two_days_make_a_history,
    many_rows_and_twins_go_in_at_once,
    prices_go_with_their_property_and_need_one,
    impossible_prices_are_refused,
    a_page_is_kept_until_a_newer_one_comes_or_nobody_reads_it,
    turns_at_a_site_come_one_after_the_other,
    a_site_that_asks_for_patience_is_left_alone_by_all,
);
