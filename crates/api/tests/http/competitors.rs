//! Competitors over real HTTP: whose they are, what of them is refused, and what is read of their prices.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crate::common::{Answer, Fixture, Who, start, start_with};
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use bulrush_store::{
    CompetitorPrice, EntityKind, FenceError, NewEntity, Observation, Owner, Saved, ShownPrice, Stay,
    StoreError,
};
use jiff::civil::date;
use jiff::tz::TimeZone;
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/properties/inn/competitors";

async fn send(api: &Fixture, who: Who, method: Method, path: &str, body: &Value) -> Answer {
    let request = api.as_who(who, method, path).header("content-type", "application/json");
    Answer::of(request.body(body.to_string()).send().await.unwrap()).await
}

/// A property of Ada's.
pub async fn property(api: &Fixture, id: &str) {
    let entity = NewEntity {
        id: id.into(),
        owner: Owner::new("acme", "ada"),
        kind: EntityKind::Property,
        name: "The Inn".into(),
        location: None,
        country: None,
        time_zone: None,
        attributes: serde_json::Map::new(),
    };
    let saved: Result<Saved, StoreError> =
        api.store.write(async |tx| api.store.entities().save(tx, &entity).await).await;
    assert_eq!(saved.unwrap(), Saved::Yes);
}

fn hotel(name: &str) -> Value {
    json!({"name": name, "page": {
        "url": "https://hotel.example/rooms?from={checkIn}&to={checkOut}&adults={adults}",
        "selectors": {"offer": ".room", "price": ".rate .amount", "soldOut": ".full"},
        "currency": "EUR", "priceFor": "night",
    }})
}

#[tokio::test]
async fn competitors_are_declared_read_changed_and_removed_by_their_owner() {
    let api = start().await;
    property(&api, "inn").await;
    property(&api, "castle").await;
    let made = api.post(Who::Ada, PATH, &hotel("Alpenblick")).await;
    let competitor = made.expect(201)["competitor"].clone();
    assert_eq!((&competitor["name"], &competitor["page"]), (&json!("Alpenblick"), &hotel("x")["page"]));
    let path = made.header("location").to_owned();
    assert_eq!(path, format!("{PATH}/{}", competitor["id"].as_str().unwrap()));
    assert_eq!(api.get(Who::Ada, &path).await.expect(200)["competitor"], competitor);

    // Under a name of one's own, as often as one likes.
    let mine = format!("{PATH}/seeufer");
    let first = send(&api, Who::Ada, Method::PUT, &mine, &hotel("Seeufer")).await.expect(201);
    let again = send(&api, Who::Ada, Method::PUT, &mine, &hotel("Hotel Seeufer")).await.expect(200);
    let id = first["competitor"]["id"].as_str().unwrap();
    assert_eq!(
        (&again["competitor"]["id"], &again["competitor"]["name"]),
        (&json!(id), &json!("Hotel Seeufer"))
    );
    assert_eq!(api.get(Who::Ada, &mine).await.expect(200)["competitor"], again["competitor"]);
    // One for two properties.
    let castle = format!("/api/v1/properties/castle/competitors/{id}");
    let shared = send(&api, Who::Ada, Method::PUT, &castle, &hotel("Seeufer")).await.expect(201);
    assert_eq!(shared["competitor"]["id"], id);

    let list = api.get(Who::Viewer, PATH).await.expect(200);
    assert_eq!((&list["propertyId"], list["competitors"].as_array().unwrap().len()), (&json!("inn"), 2));
    for who in [Who::Bob, Who::OtherAda] {
        for (method, path) in [
            (Method::GET, PATH),
            (Method::POST, PATH),
            (Method::GET, &path),
            (Method::PUT, &path),
            (Method::DELETE, &path),
            (Method::GET, "/api/v1/competitors/inn"),
            (Method::GET, "/api/v1/competitors/inn/prices"),
        ] {
            let foreign = send(&api, who, method.clone(), path, &hotel("x")).await;
            assert_eq!(foreign.problem(404), "unknown_property", "{method} {path}");
            let never = path.replace("inn", "nowhere");
            assert_eq!(foreign.text, send(&api, who, method, &never, &hotel("x")).await.text);
        }
    }
    assert_eq!(send(&api, Who::Viewer, Method::DELETE, &mine, &json!({})).await.problem(403), "forbidden");
    send(&api, Who::Ada, Method::DELETE, &mine, &json!({})).await.expect(200);
    assert_eq!(
        send(&api, Who::Ada, Method::DELETE, &mine, &json!({})).await.problem(404),
        "unknown_competitor"
    );
    assert_eq!(api.get(Who::Ada, &castle).await.status, 200, "it competes with the castle still");
    // An administrator declares for the property's owner.
    send(&api, Who::Admin, Method::PUT, &mine, &hotel("Seeufer")).await.expect(201);
    assert_eq!(api.get(Who::Ada, &mine).await.status, 200);
}

#[tokio::test]
async fn what_no_worker_could_use_is_refused_by_its_field() {
    let api = start().await;
    property(&api, "inn").await;
    let page = |page: Value| json!({"name": "Hotel", "page": page});
    let url = "https://hotel.example/";
    for (body, field) in [
        (json!({"name": "", "page": {"url": url}}), "name"),
        (json!({"name": "x".repeat(201), "page": {"url": url}}), "name"),
        (page(json!({})), "page.url"),
        (page(json!([])), "page"),
        (page(json!({"url": "http://127.0.0.1/"})), "page.url"),
        (page(json!({"url": "http://169.254.169.254/latest"})), "page.url"),
        (page(json!({"url": "file:///etc/passwd"})), "page.url"),
        (page(json!({"url": "https://hotel.example:22/"})), "page.url"),
        (page(json!({"url": "https://user:pass@hotel.example/"})), "page.url"),
        (page(json!({"url": "https://{location}/"})), "page.url"),
        (page(json!({"url": "https://hotel.example/{date}"})), "page.url"),
        (page(json!({"url": url, "selectors": {"price": "p["}})), "page.selectors.price"),
        (page(json!({"url": url, "selectors": {"price": "p:has(b)"}})), "page.selectors.price"),
        (page(json!({"url": url, "selectors": {"room": "h2"}})), "page.selectors.price"),
        (page(json!({"url": url, "selector": "p"})), "page.selector"),
        (page(json!({"url": url, "currency": "EURO"})), "page.currency"),
        (page(json!({"url": url, "priceFor": "week"})), "page.priceFor"),
    ] {
        for (method, path) in [(Method::POST, PATH.to_owned()), (Method::PUT, format!("{PATH}/x"))] {
            let answer = send(&api, Who::Ada, method, &path, &body).await;
            assert_eq!(answer.fields(), [field], "{body}");
        }
    }
    let twice = json!({"name": 1, "page": {}});
    assert_eq!(api.post(Who::Ada, PATH, &twice).await.status, 422);
    assert_eq!(api.get(Who::Ada, PATH).await.expect(200)["competitors"], json!([]));
}

#[tokio::test]
async fn a_property_has_so_many_competitors_and_no_more() {
    let api = start().await;
    property(&api, "inn").await;
    for n in 0..50 {
        let path = format!("{PATH}/h{n}");
        send(&api, Who::Ada, Method::PUT, &path, &hotel("Hotel")).await.expect(201);
    }
    assert_eq!(api.post(Who::Ada, PATH, &hotel("One more")).await.problem(409), "too_many_competitors");
    send(&api, Who::Ada, Method::PUT, &format!("{PATH}/h7"), &hotel("Hotel Seven")).await.expect(200);
    assert_eq!(api.get(Who::Ada, PATH).await.expect(200)["competitors"].as_array().unwrap().len(), 50);
    // A name is no way to a thing of another kind.
    send(&api, Who::Ada, Method::DELETE, &format!("{PATH}/h7"), &json!({})).await.expect(200);
    send(&api, Who::Ada, Method::PUT, &format!("{PATH}/inn"), &hotel("Inn")).await.expect(201);
    let inn = api.store.entities().get(&bulrush_store::Scope::All, "inn").await.unwrap().unwrap();
    assert_eq!(inn.entity.kind, EntityKind::Property);
}

const STAY: Stay = Stay { check_in: date(2026, 12, 20), check_out: date(2026, 12, 22), adults: 2 };

fn price(competitor: &str, stay: Stay, day: i8, units: Option<i64>) -> CompetitorPrice {
    CompetitorPrice {
        competitor: competitor.into(),
        name: competitor.to_uppercase(),
        url: "https://hotel.example/".into(),
        stay,
        seen_on: date(2026, 11, day),
        seen_at_ms: 1_790_000_000_000 + i64::from(day),
        currency: "EUR".into(),
        price: units.map(|units| ShownPrice {
            price_micros: units * 1_000_000,
            shown_micros: units * 2_000_000,
            currency: "CHF".into(),
            rate: Some(0.5),
            rates_day: Some(date(2026, 10, 31)),
        }),
        room: Some("Double".into()),
    }
}

async fn put(api: &Fixture, job: &str, prices: &[CompetitorPrice]) {
    let store = &api.store;
    let kept: Result<(), FenceError> = store
        .fenced(job, 1, "nonce", async |tx| Ok(store.competitor_prices().put(tx, "inn", prices).await?))
        .await;
    kept.unwrap();
}

async fn own_price(api: &Fixture, price: f64) {
    let nights = (20..22).map(|day| date(2026, 12, day).at(12, 0, 0, 0).to_zoned(TimeZone::UTC).unwrap());
    let rows: Vec<Observation> = nights
        .map(|at| Observation {
            metric: "price".into(),
            ts_ms: at.timestamp().as_millisecond(),
            value: price,
        })
        .collect();
    let kept: Result<(), StoreError> =
        api.store.write(async |tx| api.store.observations().upsert(tx, "inn", &rows).await).await;
    kept.unwrap();
}

#[tokio::test]
async fn the_latest_prices_of_a_stay_are_compared_with_each_other_and_with_one_s_own() {
    let config = ApiConfig { read_cache: Duration::from_mins(10), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    property(&api, "inn").await;
    let path = "/api/v1/competitors/inn";
    let nothing = api.get(Who::Viewer, path).await.expect(200);
    assert_eq!(
        (&nothing["priced"], &nothing["competitors"], &nothing["stay"]),
        (&json!(0), &json!([]), &Value::Null)
    );

    own_price(&api, 110.0).await;
    put(&api, "one", &[price("a", STAY, 1, Some(90)), price("b", STAY, 1, Some(50))]).await;
    let now = [price("a", STAY, 2, Some(100)), price("c", STAY, 2, Some(120)), price("d", STAY, 2, None)];
    put(&api, "two", &now).await;
    let stay = "checkIn=2026-12-20&checkOut=2026-12-22&adults=2";
    let first = api.get(Who::Ada, &format!("{path}?{stay}")).await;
    let answer = first.expect(200);
    for (member, value) in [
        ("propertyId", json!("inn")),
        ("stay", json!({"checkIn": "2026-12-20", "checkOut": "2026-12-22", "adults": 2})),
        ("nights", json!(2)),
        ("seenOn", json!("2026-11-02")),
        ("currency", json!("EUR")),
        ("priced", json!(2)),
        ("min", json!(100.0)),
        ("median", json!(110.0)),
        ("max", json!(120.0)),
        ("ourPrice", json!(110.0)),
        ("ourRank", json!(2)),
    ] {
        assert_eq!(answer[member], value, "{member}");
    }
    let listed: Vec<[&str; 3]> = answer["competitors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| ["competitorId", "status", "seenOn"].map(|member| one[member].as_str().unwrap()))
        .collect();
    let expected = [
        ["a", "priced", "2026-11-02"],
        ["b", "priced", "2026-11-01"],
        ["c", "priced", "2026-11-02"],
        ["d", "sold-out", "2026-11-02"],
    ];
    assert_eq!(listed, expected, "what is older is told and not compared");
    assert_eq!(
        answer["competitors"][0]["shown"],
        json!({"amount": 200.0, "currency": "CHF", "rate": 0.5, "ratesDay": "2026-10-31"})
    );

    // It is answered from the cache, and not at all to who has it.
    put(&api, "three", &[price("a", STAY, 3, Some(10))]).await;
    let cached = api.get(Who::Ada, &format!("{path}?{stay}")).await;
    assert_eq!(cached.text, first.text);
    let known = api.as_who(Who::Ada, Method::GET, &format!("{path}?{stay}"));
    let known = known.header("if-none-match", first.header("etag"));
    assert_eq!(Answer::of(known.send().await.unwrap()).await.status, 304);
    for (query, field) in [
        ("checkIn=2026-12-20", "checkOut"),
        ("checkIn=2026-12-22&checkOut=2026-12-20&adults=2", "checkOut"),
        ("checkIn=soon&checkOut=2026-12-20&adults=2", "checkIn"),
        ("checkIn=2026-12-20&checkOut=2026-12-22&adults=0", "adults"),
    ] {
        let answer = api.get(Who::Ada, &format!("{path}?{query}")).await;
        assert!(answer.fields().iter().any(|seen| seen == field), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn without_a_stay_the_one_that_was_asked_about_last_is_told() {
    let api = start().await;
    property(&api, "inn").await;
    let other = Stay { adults: 1, ..STAY };
    put(&api, "one", &[price("a", STAY, 1, Some(90))]).await;
    put(&api, "two", &[price("a", other, 2, Some(70))]).await;
    let answer = api.get(Who::Ada, "/api/v1/competitors/inn").await.expect(200);
    assert_eq!((&answer["stay"]["adults"], &answer["min"]), (&json!(1), &json!(70.0)));
    assert_eq!(answer["stays"], json!([{"checkIn": "2026-12-20", "checkOut": "2026-12-22", "adults": 1}]));
    assert_eq!((&answer["ourPrice"], &answer["ourRank"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_history_is_read_page_by_page() {
    let api = start().await;
    property(&api, "inn").await;
    for day in 1..=5 {
        put(&api, &format!("job-{day}"), &[price("a", STAY, day, Some(90)), price("b", STAY, day, None)])
            .await;
    }
    let path = "/api/v1/competitors/inn/prices";
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(Who::Ada, &format!("{path}?from=2026-11-02&to=2026-11-04&limit=4{cursor}")).await;
        let page = page.expect(200);
        for row in page["prices"].as_array().unwrap() {
            assert_eq!((&row["checkIn"], &row["adults"]), (&json!("2026-12-20"), &json!(2)));
            seen.push(format!(
                "{} {}",
                row["seenOn"].as_str().unwrap(),
                row["competitorId"].as_str().unwrap()
            ));
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let expected: Vec<String> =
        (2..=4).flat_map(|day| ["a", "b"].map(|of| format!("2026-11-0{day} {of}"))).collect();
    assert_eq!(seen, expected);
    let one = api.get(Who::Ada, &format!("{path}?competitor=b&to=2026-11-01")).await.expect(200);
    assert_eq!(
        (one["prices"].as_array().unwrap().len(), &one["prices"][0]["status"]),
        (1, &json!("sold-out"))
    );
    let stay = "checkIn=2026-12-21&checkOut=2026-12-22&adults=2";
    assert_eq!(api.get(Who::Ada, &format!("{path}?{stay}")).await.expect(200)["prices"], json!([]));
    assert_eq!(api.get(Who::Ada, &format!("{path}?cursor=x")).await.problem(400), "invalid_cursor");
    let backwards = api.get(Who::Ada, &format!("{path}?from=2026-11-02&to=2026-11-01")).await;
    assert_eq!(backwards.fields(), ["to"]);
}
