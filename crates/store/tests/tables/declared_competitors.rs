//! Who competes with whom, and the history of what they asked.

use crate::common::{ada, property, save};
use bulrush_store::{
    CompetitorPrice, DayRange, Declared, FenceError, NewCompetitor, Owner, PricesWanted, Scope, ShownPrice,
    Stay, Store, StoreError,
};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde_json::json;

fn hotel(id: &str) -> NewCompetitor {
    NewCompetitor { id: id.into(), name: format!("The {id}"), page: json!({"url": "https://hotel.example/"}) }
}

async fn declare(store: &Store, property: &str, id: &str) -> Declared {
    store.competitors().declare(&ada(), property, &hotel(id), 3).await.unwrap()
}

async fn ids(store: &Store, scope: &Scope, property: &str) -> Vec<String> {
    let found = store.competitors().list(scope, property, None, 100).await.unwrap();
    found.into_iter().map(|competitor| competitor.id).collect()
}

async fn a_competitor_is_declared_once_for_each_property_and_read_by_its_owner(store: &Store) {
    save(store, &property("inn", ada())).await;
    save(store, &property("castle", ada())).await;
    assert_eq!(declare(store, "inn", "b").await, Declared::New);
    assert_eq!(declare(store, "inn", "a").await, Declared::New);
    assert_eq!(declare(store, "castle", "a").await, Declared::New);
    let renamed = NewCompetitor { name: "Grand".into(), page: json!(null), ..hotel("a") };
    let again = store.competitors().declare(&ada(), "inn", &renamed, 3).await.unwrap();
    assert_eq!(again, Declared::Replaced);
    assert_eq!(ids(store, &ada().into(), "inn").await, ["a", "b"]);
    assert_eq!(ids(store, &ada().into(), "castle").await, ["a"]);
    assert_eq!(ids(store, &Scope::owner("acme", "bob"), "inn").await, [""; 0]);
    assert_eq!(ids(store, &Scope::Tenant("acme".into()), "inn").await, ["a", "b"]);
    let after = store.competitors().list(&ada().into(), "inn", Some("a"), 1).await.unwrap();
    assert_eq!(after.len(), 1);
    let read = store.competitors().get(&ada().into(), "castle", "a").await.unwrap().unwrap();
    assert_eq!((read.name.as_str(), read.page), ("Grand", json!(null)), "it is one, for both of them");
    assert_eq!(store.competitors().get(&ada().into(), "castle", "b").await.unwrap(), None);
}

async fn properties_that_somebody_competes_with_are_gone_through_each_once(store: &Store) {
    let bob = Owner::new("acme", "bob");
    for id in ["p1", "p2", "p3", "alone"] {
        save(store, &property(id, if id == "p3" { bob.clone() } else { ada() })).await;
    }
    for (of, id) in [("p2", "a"), ("p1", "a"), ("p1", "b")] {
        assert_eq!(declare(store, of, id).await, Declared::New);
    }
    assert_eq!(store.competitors().declare(&bob, "p3", &hotel("c"), 3).await.unwrap(), Declared::New);
    let page = async |after, limit| -> Vec<(String, String)> {
        let found = store.competitors().properties(after, limit).await.unwrap();
        found.into_iter().map(|row| (row.entity.id, row.entity.owner.user)).collect()
    };
    let named = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(id, user)| ((*id).to_owned(), (*user).to_owned())).collect()
    };
    assert_eq!(page(None, 2).await, named(&[("p1", "ada"), ("p2", "ada")]));
    assert_eq!(page(Some("p2"), 2).await, named(&[("p3", "bob")]));
    assert_eq!(page(Some("p3"), 2).await, []);
}

async fn what_is_one_too_many_or_somebody_else_s_is_not_declared(store: &Store) {
    save(store, &property("inn", ada())).await;
    let bob = Owner::new("acme", "bob");
    save(store, &property("bobs", bob.clone())).await;
    for id in ["a", "b", "c"] {
        assert_eq!(declare(store, "inn", id).await, Declared::New);
    }
    assert_eq!(declare(store, "inn", "d").await, Declared::Full);
    assert_eq!(declare(store, "inn", "c").await, Declared::Replaced, "what is there may change");
    assert_eq!(declare(store, "bobs", "e").await, Declared::NotYours);
    assert_eq!(declare(store, "nowhere", "e").await, Declared::NotYours);
    let stolen = store.competitors().declare(&bob, "bobs", &hotel("a"), 3).await.unwrap();
    assert_eq!(stolen, Declared::NotYours);
    // A property does not become a competitor.
    assert_eq!(declare(store, "inn", "inn").await, Declared::NotYours);
    assert_eq!(ids(store, &Scope::All, "inn").await, ["a", "b", "c"]);
    assert!(store.entities().get(&Scope::All, "d").await.unwrap().is_none(), "nothing is left of it");
}

async fn a_competitor_goes_with_the_last_property_that_it_competes_with(store: &Store) {
    save(store, &property("inn", ada())).await;
    save(store, &property("castle", ada())).await;
    for (property, id) in [("inn", "a"), ("castle", "a"), ("inn", "b"), ("castle", "c")] {
        assert_eq!(declare(store, property, id).await, Declared::New);
    }
    let release = async |scope: Scope, property: &str, id: &str| {
        store.competitors().release(&scope, property, id).await.unwrap()
    };
    let there = async |id: &str| store.entities().get(&Scope::All, id).await.unwrap().is_some();
    assert!(!release(Scope::owner("acme", "bob"), "inn", "a").await);
    assert!(release(ada().into(), "inn", "a").await);
    assert!(!release(ada().into(), "inn", "a").await);
    assert!(there("a").await, "the castle has it");
    assert!(release(ada().into(), "castle", "a").await);
    assert!(!there("a").await);
    assert_eq!(declare(store, "castle", "b").await, Declared::New);
    let gone: Result<bool, StoreError> =
        store.write(async |tx| store.entities().delete(tx, &ada().into(), "castle").await).await;
    assert!(gone.unwrap());
    assert!(there("b").await && !there("c").await, "it took along what was its own");
    // A name that is no competitor's is left alone.
    assert!(!release(ada().into(), "inn", "inn").await && there("inn").await);
}

const NIGHTS: Stay = Stay { check_in: date(2026, 12, 1), check_out: date(2026, 12, 3), adults: 2 };

fn price(competitor: &str, stay: Stay, day: i8, micros: i64) -> CompetitorPrice {
    let seen_on = date(2026, 11, day);
    CompetitorPrice {
        competitor: competitor.into(),
        name: competitor.into(),
        url: "https://hotel.example/".into(),
        stay,
        seen_on,
        seen_at_ms: i64::from(day),
        currency: "EUR".into(),
        price: Some(ShownPrice {
            price_micros: micros,
            shown_micros: micros,
            currency: "EUR".into(),
            rate: None,
            rates_day: None,
        }),
        room: None,
    }
}

async fn put(store: &Store, job: &str, prices: &[CompetitorPrice]) {
    let kept: Result<(), FenceError> = store
        .fenced(job, 1, "nonce", async |tx| Ok(store.competitor_prices().put(tx, "inn", prices).await?))
        .await;
    kept.unwrap();
}

async fn the_latest_price_of_each_competitor_and_the_last_stays_are_found(store: &Store) {
    save(store, &property("inn", ada())).await;
    let longer = Stay { check_out: date(2026, 12, 5), ..NIGHTS };
    put(store, "one", &[price("a", NIGHTS, 1, 10), price("b", NIGHTS, 1, 20), price("a", longer, 1, 30)])
        .await;
    put(store, "two", &[price("a", NIGHTS, 2, 11)]).await;
    let later = CompetitorPrice { seen_at_ms: 99, ..price("c", Stay { adults: 3, ..NIGHTS }, 2, 5) };
    put(store, "three", &[later]).await;
    let prices = store.competitor_prices();
    let latest = async |scope: Scope| {
        let found = prices.latest(&scope, "inn", NIGHTS, 10).await.unwrap();
        found.into_iter().map(|row| (row.competitor, row.price.unwrap().price_micros)).collect::<Vec<_>>()
    };
    assert_eq!(latest(ada().into()).await, [("a".to_owned(), 11), ("b".to_owned(), 20)]);
    assert_eq!(latest(Scope::owner("acme", "bob")).await, []);
    let stays = prices.last_stays(&ada().into(), "inn", 10).await.unwrap();
    assert_eq!(stays, [Stay { adults: 3, ..NIGHTS }, NIGHTS], "of the last day alone");
    assert_eq!(prices.last_stays(&Scope::owner("acme", "bob"), "inn", 10).await.unwrap(), []);
}

async fn a_history_is_read_page_by_page_in_the_order_of_its_days(store: &Store) {
    save(store, &property("inn", ada())).await;
    let longer = Stay { check_out: date(2026, 12, 5), ..NIGHTS };
    for day in 1..=5 {
        let rows = [price("a", NIGHTS, day, 10), price("b", NIGHTS, day, 20), price("a", longer, day, 30)];
        put(store, &format!("job-{day}"), &rows).await;
    }
    let all = PricesWanted {
        seen: DayRange::new(date(2026, 11, 2), date(2026, 11, 4)),
        stay: None,
        competitor: None,
    };
    let read = async |wanted: &PricesWanted, page: u32| {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let prices = store.competitor_prices();
            let found = prices.history(&ada().into(), "inn", wanted, after.as_ref(), page).await.unwrap();
            let Some(last) = found.last() else { return rows };
            after = Some(last.place());
            rows.extend(found.into_iter().map(|row| (row.seen_on, row.stay, row.competitor)));
        }
    };
    let days: Vec<Date> = (2..=4).map(|day| date(2026, 11, day)).collect();
    let expected: Vec<_> = days
        .iter()
        .flat_map(|day| [(NIGHTS, "a"), (NIGHTS, "b"), (longer, "a")].map(|(s, c)| (*day, s, c.to_owned())))
        .collect();
    for page in [1, 2, 100] {
        assert_eq!(read(&all, page).await, expected, "{page} a page");
    }
    let some = PricesWanted { stay: Some(NIGHTS), competitor: Some("a".into()), ..all.clone() };
    assert_eq!(
        read(&some, 2).await,
        days.iter().map(|day| (*day, NIGHTS, "a".to_owned())).collect::<Vec<_>>()
    );
    let foreign =
        store.competitor_prices().history(&Scope::owner("acme", "bob"), "inn", &all, None, 9).await.unwrap();
    assert_eq!(foreign, []);
}

async fn a_mean_of_days_needs_a_value_of_each(store: &Store) {
    save(store, &property("inn", ada())).await;
    let at = |day: i8, hour: i8| {
        date(2026, 7, day).at(hour, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap().timestamp().as_millisecond()
    };
    let rows = [(10, 8, 50.0), (10, 20, 100.0), (11, 8, 200.0)]
        .map(|(day, hour, value)| crate::common::seen("price", at(day, hour), value));
    let kept: Result<(), StoreError> =
        store.write(async |tx| store.observations().upsert(tx, "inn", &rows).await).await;
    kept.unwrap();
    let mean = async |first: i8, end: i8| {
        let days = (date(2026, 7, first), date(2026, 7, end));
        store.observations().mean_of_days(&ada().into(), "inn", "price", days, &TimeZone::UTC).await.unwrap()
    };
    assert_eq!(mean(10, 12).await, Some(150.0), "of each day the latest");
    assert_eq!((mean(10, 13).await, mean(12, 12).await, mean(12, 10).await), (None, None, None));
}

on_each!(
    a_competitor_is_declared_once_for_each_property_and_read_by_its_owner,
    properties_that_somebody_competes_with_are_gone_through_each_once,
    what_is_one_too_many_or_somebody_else_s_is_not_declared,
    a_competitor_goes_with_the_last_property_that_it_competes_with,
    the_latest_price_of_each_competitor_and_the_last_stays_are_found,
    a_history_is_read_page_by_page_in_the_order_of_its_days,
    a_mean_of_days_needs_a_value_of_each,
);
