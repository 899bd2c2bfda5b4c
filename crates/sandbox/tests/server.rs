//! The sandbox over HTTP, as its clients see it.

use bulrush_sandbox::{Fault, FaultPlan, Sandbox, SandboxConfig};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

struct World {
    sandbox: Sandbox,
    client: Client,
}

impl World {
    fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
        Self { sandbox: Sandbox::start(SandboxConfig::default()).expect("a free port"), client }
    }

    async fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.sandbox.base_url())).send().await.expect("an answer")
    }

    async fn json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.expect("JSON")
    }

    async fn refusal(&self, path: &str) -> (u16, String) {
        let response = self.get(path).await;
        (response.status().as_u16(), response.text().await.expect("a body"))
    }
}

const DAY: &str =
    "/v1/archive?latitude=47.45&longitude=-122.31&start_date=2012-01-02&end_date=2012-01-02&timezone=auto";

#[tokio::test]
async fn seattle_has_the_weather_that_was_observed_in_the_units_asked_for() {
    let world = World::start();
    let daily = "daily=temperature_2m_max,temperature_2m_min,temperature_2m_mean,precipitation_sum,wind_speed_10m_max,weather_code,sunshine_duration";
    let answer = world.json(&format!("{DAY}&{daily}")).await;
    assert_eq!(answer["timezone"], "America/Los_Angeles");
    assert_eq!(answer["utc_offset_seconds"], -8 * 3600);
    assert_eq!(
        answer["daily"],
        json!({
            "time": ["2012-01-02"], "temperature_2m_max": [10.6], "temperature_2m_min": [2.8],
            "temperature_2m_mean": [6.7], "precipitation_sum": [10.9], "wind_speed_10m_max": [16.2],
            "weather_code": [63], "sunshine_duration": [null]
        })
    );
    assert_eq!(answer["daily_units"]["wind_speed_10m_max"], "km/h");
    let other =
        format!("{DAY}&{daily}&wind_speed_unit=ms&temperature_unit=fahrenheit&precipitation_unit=inch");
    let other = world.json(&other).await;
    assert_eq!(other["daily"]["wind_speed_10m_max"], json!([4.5]));
    assert_eq!(other["daily"]["temperature_2m_max"], json!([51.08]));
    assert_eq!(other["daily"]["precipitation_sum"], json!([0.43]));
    assert_eq!(other["daily_units"]["precipitation_sum"], "inch");
}

#[tokio::test]
async fn weather_requests_that_the_original_refuses_are_refused_in_its_words() {
    let world = World::start();
    let rest = "&start_date=2024-01-01&end_date=2024-01-02";
    for (path, reason) in [
        (format!("/v1/archive?latitude=91&longitude=0{rest}"), "Latitude must be in range"),
        (format!("/v1/archive?latitude=NaN&longitude=0{rest}"), "Latitude must be in range"),
        (format!("/v1/archive?latitude=1,2&longitude=0{rest}"), "Value of type 'Float' required"),
        (format!("/v1/archive?longitude=0{rest}"), "'latitude' is required"),
        (format!("/v1/archive?latitude=0&longitude=0{rest}&daily=magic"), "invalid String value magic"),
        (format!("/v1/archive?latitude=0&longitude=0{rest}&timezone=Mars/Base"), "Invalid timezone"),
        (format!("/v1/archive?latitude=0&longitude=0{rest}&wind_speed_unit=bft"), "invalid String value bft"),
        ("/v1/archive?latitude=0&longitude=0".to_owned(), "must be set"),
        (
            "/v1/archive?latitude=0&longitude=0&start_date=2024-02-30&end_date=2024-03-01".to_owned(),
            "Invalid date",
        ),
        (
            "/v1/archive?latitude=0&longitude=0&start_date=2024-02-02&end_date=2024-02-01".to_owned(),
            "larger or equals",
        ),
        (
            "/v1/archive?latitude=0&longitude=0&start_date=0001-01-01&end_date=9999-12-31".to_owned(),
            "out of allowed range",
        ),
        ("/v1/forecast?latitude=0&longitude=0&forecast_days=17".to_owned(), "Allowed range 0 to 16"),
    ] {
        let (status, body) = world.refusal(&path).await;
        assert_eq!(status, 400, "{path}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"], true);
        assert!(body["reason"].as_str().unwrap().contains(reason), "{path}: {body}");
    }
}

#[tokio::test]
async fn a_forecast_without_dates_has_a_week() {
    let world = World::start();
    let answer =
        world.json("/v1/forecast?latitude=52.52&longitude=13.41&daily=weather_code&past_days=2").await;
    assert_eq!(answer["daily"]["time"].as_array().unwrap().len(), 9);
    assert_eq!(answer["daily"]["weather_code"].as_array().unwrap().len(), 9);
    assert_eq!(answer["timezone"], "GMT");
}

#[tokio::test]
async fn holidays_come_in_three_formats() {
    let world = World::start();
    let nager = world.json("/api/v3/PublicHolidays/2024/DE").await;
    assert_eq!(
        nager[1],
        json!({
            "date": "2024-01-06", "localName": "Heilige Drei Könige", "name": "Epiphany", "countryCode": "DE",
            "fixed": false, "global": false, "counties": ["DE-BW", "DE-BY", "DE-ST"], "launchYear": null,
            "types": ["Public"]
        })
    );
    let calendarific = world.json("/api/v2/holidays?api_key=k&country=us&year=2024").await;
    let first = &calendarific["response"]["holidays"][0];
    assert_eq!(first["date"]["iso"], "2024-01-01");
    assert_eq!((&first["states"], &first["type"]), (&json!("All"), &json!(["National holiday"])));
    let school = world
        .json("/SchoolHolidays?countryIsoCode=DE&languageIsoCode=EN&validFrom=2024-07-01&validTo=2024-08-31&subdivisionCode=DE-BY")
        .await;
    assert_eq!(school[0]["name"], json!([{"language": "EN", "text": "Summer holidays"}]));
    assert_eq!(school[0]["subdivisions"][1], json!({"code": "DE-BY", "shortName": "BY"}));
    assert_eq!(school.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn holiday_requests_that_the_originals_refuse_are_refused() {
    let world = World::start();
    for (path, status) in [
        ("/api/v3/PublicHolidays/2024/XX", 404),
        ("/api/v3/PublicHolidays/20x4/DE", 400),
        ("/api/v3/PublicHolidays/1800/DE", 400),
        ("/api/v2/holidays?country=US&year=2024", 401),
        ("/api/v2/holidays?api_key=invalid-1&country=US&year=2024", 401),
        ("/api/v2/holidays?api_key=k&country=USA&year=2024", 422),
        ("/api/v2/holidays?api_key=k&country=US&year=x", 422),
        ("/SchoolHolidays?validFrom=2024-01-01&validTo=2024-01-02", 400),
        ("/SchoolHolidays?countryIsoCode=DE&validFrom=2024-01-01&validTo=2027-01-02", 400),
        ("/SchoolHolidays?countryIsoCode=DE&validFrom=2024-01-02&validTo=2024-01-01", 400),
        ("/nothing/here", 404),
    ] {
        assert_eq!(world.refusal(path).await.0, status, "{path}");
    }
    assert_eq!(world.json("/api/v2/holidays?api_key=k&country=AQ&year=2024").await["response"], json!([]));
}

#[tokio::test]
async fn an_unchanged_answer_is_not_sent_again() {
    let world = World::start();
    let first = world.get(DAY).await;
    let etag = first.headers()["etag"].clone();
    let url = format!("{}{DAY}", world.sandbox.base_url());
    let again = world.client.get(&url).header("if-none-match", &etag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()["etag"], etag);
    assert!(again.bytes().await.unwrap().is_empty());
    let other = world.client.get(&url).header("if-none-match", "\"other\"").send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
    assert_eq!(world.sandbox.requests().not_modified, 1);
}

#[tokio::test]
async fn planned_faults_hit_the_next_requests_of_their_path_and_then_end() {
    let world = World::start();
    let faults = format!("{}/sandbox/faults", world.sandbox.base_url());
    let plan = json!({"path": "/v1/", "count": 2, "fault": {"kind": "rate-limited", "retryAfter": "7"}});
    let added = world.client.post(&faults).body(plan.to_string()).send().await.unwrap();
    assert_eq!(added.status(), StatusCode::NO_CONTENT);
    assert_eq!(world.json("/sandbox/faults").await[0]["count"], 2);
    world.json("/api/v3/PublicHolidays/2024/DE").await;
    for _ in 0..2 {
        let response = world.get(DAY).await;
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "7");
    }
    world.json(DAY).await;
    world.sandbox.fail(FaultPlan { path: None, count: 1, fault: Fault::Truncated }).unwrap();
    world.client.delete(&faults).send().await.unwrap();
    assert!(world.sandbox.faults().is_empty());
}

#[tokio::test]
async fn a_request_can_name_its_own_fault() {
    let world = World::start();
    assert_eq!(world.refusal(&format!("{DAY}&sandbox_fault=server-error%3D503")).await.0, 503);
    let url = format!("{}{DAY}", world.sandbox.base_url());
    let html = world.client.get(&url).header("x-sandbox-fault", "html").send().await.unwrap();
    assert_eq!(html.headers()["content-type"], "text/html; charset=utf-8");
    let late = world.client.get(&url).header("x-sandbox-fault", "delay=1").send().await.unwrap();
    assert_eq!(late.status(), StatusCode::OK);
    let cut = world.client.get(&url).header("x-sandbox-fault", "truncated").send().await.unwrap();
    assert!(cut.bytes().await.is_err(), "the connection must break");
    let half = world.client.get(&url).header("x-sandbox-fault", "malformed").send().await.unwrap();
    assert!(serde_json::from_slice::<Value>(&half.bytes().await.unwrap()).is_err());
    let huge = world.client.get(&url).header("x-sandbox-fault", "huge=200000").send().await.unwrap();
    assert_eq!(huge.bytes().await.unwrap().len(), 200_000);
    let away = world.client.get(&url).header("x-sandbox-fault", "redirect=/a").send().await.unwrap();
    assert_eq!((away.status(), &away.headers()["location"]), (StatusCode::FOUND, &"/a".parse().unwrap()));
    let (status, body) = world.refusal(&format!("{DAY}&api_key=canary&sandbox_fault=refused")).await;
    assert!(status == 401 && body.contains("api_key=canary"));
    let (status, body) = world.refusal(&format!("{DAY}&sandbox_fault=explode")).await;
    assert!(status == 400 && body.contains("\"explode\" is no fault"));
}

#[tokio::test]
async fn fault_plans_that_make_no_sense_are_refused_with_an_example() {
    let world = World::start();
    let faults = format!("{}/sandbox/faults", world.sandbox.base_url());
    for bad in [
        "",
        "[]",
        r#"{"fault":{"kind":"explode"}}"#,
        r#"{"fault":{"kind":"html"},"count":0}"#,
        r#"{"fault":{"kind":"server-error","status":200}}"#,
        r#"{"fault":{"kind":"delay","delayMs":99999999}}"#,
        r#"{"fault":{"kind":"html"},"paht":"/v1"}"#,
    ] {
        let response = world.client.post(&faults).body(bad).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{bad}");
        assert!(response.json::<Value>().await.unwrap()["error"].is_string());
    }
    assert!(world.sandbox.faults().is_empty());
}

#[tokio::test]
async fn requests_are_counted_over_http_too() {
    let world = World::start();
    world.json(DAY).await;
    world.json(DAY).await;
    world.json("/api/v2/holidays?api_key=canary&country=US&year=2024").await;
    let counts = world.json("/sandbox/requests").await;
    assert_eq!(counts["total"], 3);
    assert_eq!(
        counts["paths"][0],
        json!({
            "path": "/api/v2/holidays", "count": 1,
            "queries": [{"query": "api_key=***&country=US&year=2024", "count": 1}]
        })
    );
    assert_eq!(world.sandbox.requests().of("/v1/archive"), 2);
    assert_eq!(world.sandbox.requests().repeated().len(), 1);
    let requests = format!("{}/sandbox/requests", world.sandbox.base_url());
    world.client.delete(requests).send().await.unwrap();
    assert_eq!(world.json("/sandbox/requests").await["total"], 0);
}

#[tokio::test]
async fn after_shutdown_the_port_is_free_again() {
    let world = World::start();
    world.json(DAY).await;
    let address = world.sandbox.address();
    world.sandbox.shutdown().await;
    let again = Sandbox::start(SandboxConfig { host: address.ip(), port: address.port() }).unwrap();
    assert_eq!(again.address(), address);
    let taken = Sandbox::start(SandboxConfig { host: address.ip(), port: address.port() }).unwrap_err();
    assert!(taken.to_string().contains(&address.to_string()), "{taken}");
    again.shutdown().await;
}

#[tokio::test]
async fn hotels_write_their_prices_each_in_its_way_and_a_robot_s_rules_stand_beside_them() {
    let world = World::start();
    let stay = "checkin=2026-07-10&checkout=2026-07-12&adults=2";
    for (hotel, words) in [
        ("alpenblick", "\"@type\":\"Hotel\""),
        ("seeufer", "\"lowPrice\":\""),
        ("stadtgarten", "itemprop=\"price\" content=\""),
        ("grand-plaza", "<span class=\"amount\">$1,"),
        ("schlosshof", "&nbsp;&euro;"),
        ("edelweiss", "CHF 1’"),
        ("lumiere", "\u{a0}€ / nuit"),
        ("renovated", "of our euros"),
        ("full", "class=\"sold-out\""),
    ] {
        let (status, page) = world.refusal(&format!("/hotels/{hotel}?{stay}")).await;
        assert!(status == 200 && page.contains(words), "{hotel}: {page}");
        assert_eq!(world.refusal(&format!("/hotels/{hotel}?{stay}")).await.1, page);
    }
    assert_eq!(world.refusal("/hotels/alpenblick").await.0, 400);
    assert_eq!(world.refusal("/hotels/nowhere").await.0, 404);
    let moved = world.get(&format!("/hotels/moved?{stay}")).await;
    assert_eq!(moved.headers()["location"], format!("/hotels/alpenblick?{stay}").as_str());
    let inward = world.get("/hotels/inward").await;
    assert_eq!(inward.headers()["location"], "http://169.254.169.254/latest/meta-data/");
    let robots = world.refusal("/robots.txt").await.1;
    assert!(robots.contains("Disallow: /hotels/private/\nCrawl-delay: 0.2\n"), "{robots}");

    let page = world.get(&format!("/hotels/alpenblick?{stay}")).await;
    let etag = page.headers()["etag"].clone();
    let url = format!("{}/hotels/alpenblick?{stay}", world.sandbox.base_url());
    let again = world.client.get(url).header("if-none-match", etag).send().await.expect("an answer");
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    world.sandbox.fail(FaultPlan { path: None, count: 1, fault: Fault::Malformed }).expect("a plan");
    let half = world.get(&format!("/hotels/alpenblick?{stay}")).await;
    assert_eq!(half.headers()["content-type"], "text/html; charset=utf-8");
}
