//! What the clients make of an outside world that fails.

mod common;

use std::error::Error as _;
use std::time::Duration;

use bulrush_sandbox::Fault;
use bulrush_upstream::weather::WeatherSeries;
use bulrush_upstream::{RetryPolicy, Secret, UpstreamConfig, UpstreamError, Upstreams};
use common::{PATIENCE, World, country, range, seattle};

/// Looks like a key, is in no other text.
const CANARY: &str = "canary+7f3a/9e=";

async fn a_week(world: &World) -> Result<WeatherSeries, UpstreamError> {
    world.upstreams.weather.archive(seattle(), range("2012-01-01", "2012-01-07")).await
}

#[tokio::test]
async fn server_errors_are_retried_until_one_answer_is_good() {
    let world = World::start();
    world.fail(2, Fault::ServerError { status: 503 });
    assert_eq!(a_week(&world).await.unwrap().days.len(), 7);
    assert_eq!(world.asked(), 3);
}

#[tokio::test]
async fn retries_are_bounded_and_the_last_error_is_told() {
    let world = World::start();
    world.fail(10, Fault::ServerError { status: 502 });
    let error = a_week(&world).await.unwrap_err();
    assert!(matches!(error, UpstreamError::ServerFailed { status: 502, .. }), "{error:?}");
    assert!(error.is_transient());
    assert!(error.to_string().contains("upstream connect error"), "{error}");
    assert_eq!(world.asked(), 3, "one try and two retries");
}

#[tokio::test]
async fn timeouts_are_retried_too() {
    let world = World::with(|config| {
        // Nothing answers within a delay of a minute, so the limit may be as short as we like.
        config.http.total_timeout = Duration::from_millis(50);
        config.http.retry = RetryPolicy::without_delay(1);
    });
    world.fail(10, Fault::Delay { delay_ms: 60_000 });
    let error = a_week(&world).await.unwrap_err();
    assert!(matches!(error, UpstreamError::TimedOut { limit_ms: 50, .. }), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn a_late_answer_within_the_limit_is_an_answer() {
    let world = World::with(|config| config.http.total_timeout = PATIENCE);
    world.fail(1, Fault::Delay { delay_ms: 20 });
    assert!(a_week(&world).await.is_ok());
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn slow_down_is_told_with_its_time_and_never_retried() {
    let world = World::start();
    for (header, seconds) in [
        (Some("120"), 120),
        (None, 60),
        (Some("-1"), 60),
        (Some("1000000000000"), 3600),
        (Some("Fri, 06 Dec 2999 08:49:37 GMT"), 3600),
        (Some("Sun, 06 Nov 1994 08:49:37 GMT"), 1),
        (Some("0"), 1),
    ] {
        world.sandbox.reset();
        world.fail(1, Fault::RateLimited { retry_after: header.map(str::to_owned) });
        let error = a_week(&world).await.unwrap_err();
        assert!(matches!(error, UpstreamError::RateLimited { .. }), "{error:?}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(seconds)), "{header:?}");
        assert!(error.is_transient());
        assert_eq!(world.asked(), 1);
    }
}

#[tokio::test]
async fn answers_that_cannot_be_used_fail_cleanly_and_are_not_retried() {
    let world = World::start();
    for (fault, problem) in [
        (Fault::Html, "HTML"),
        (Fault::Malformed, "not the JSON that was expected"),
        (Fault::Body { body: String::new() }, "the body is empty"),
        (Fault::Body { body: "[NaN]".to_owned() }, "not the JSON that was expected"),
        (Fault::Body { body: "[".repeat(50_000) }, "not the JSON that was expected"),
        (Fault::Huge { bytes: 1 << 30 }, "longer than the limit of 8388608 bytes"),
    ] {
        world.sandbox.reset();
        world.fail(1, fault.clone());
        let error = a_week(&world).await.unwrap_err();
        assert!(matches!(error, UpstreamError::BadData { .. }), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
        assert!(!error.is_transient());
        assert_eq!(world.asked(), 1);
        assert!(a_week(&world).await.is_ok(), "after {fault:?} the client is as good as before");
    }
}

#[tokio::test]
async fn the_limit_of_a_body_is_sharp() {
    let world = World::with(|config| config.http.body_max = 100_000);
    // The huge body is white space: read whole, it is empty.
    for (bytes, problem) in
        [(100_000, "the body is empty"), (100_001, "longer than the limit of 100000 bytes")]
    {
        world.fail(1, Fault::Huge { bytes });
        let error = a_week(&world).await.unwrap_err();
        assert!(error.to_string().contains(problem), "{bytes}: {error}");
    }
    let small = World::with(|config| config.http.body_max = 100);
    let declared = a_week(&small).await.unwrap_err();
    assert!(declared.to_string().contains("longer than the limit of 100 bytes"), "{declared}");
}

#[tokio::test]
async fn a_broken_off_body_is_transient() {
    let world = World::start();
    world.fail(1, Fault::Truncated);
    let error = a_week(&world).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error:?}");
    assert!(error.is_transient());
    assert!(error.source().is_some());
}

#[tokio::test]
async fn nobody_there_is_transient() {
    let world = World::start();
    let World { sandbox, upstreams } = world;
    sandbox.shutdown().await;
    let error = upstreams.weather.archive(seattle(), range("2012-01-01", "2012-01-07")).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unreachable { .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn redirects_stay_on_their_host() {
    let world = World::start();
    let other = World::start();
    let elsewhere = format!("{}/v1/archive", other.sandbox.base_url());
    world.fail(1, Fault::Redirect { location: elsewhere });
    let error = a_week(&world).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { status: 302, .. }), "{error:?}");
    assert_eq!(other.asked(), 0, "no packet to the other place");

    for location in ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data/"] {
        world.fail(1, Fault::Redirect { location: location.to_owned() });
        let error = a_week(&world).await.unwrap_err();
        assert!(!error.is_transient(), "{error:?}");
    }

    let moved = "/v1/archive?latitude=47.45&longitude=-122.31&start_date=2012-01-01&end_date=2012-01-07&timezone=auto&daily=temperature_2m_max,temperature_2m_min,temperature_2m_mean,precipitation_sum,wind_speed_10m_max,weather_code";
    world.fail(1, Fault::Redirect { location: moved.to_owned() });
    assert_eq!(a_week(&world).await.unwrap().days.len(), 7);

    world.sandbox.reset();
    world.fail(100, Fault::Redirect { location: moved.to_owned() });
    assert!(matches!(a_week(&world).await, Err(UpstreamError::Refused { status: 302, .. })));
    assert!(world.asked() < 10, "a circle ends: {}", world.asked());
}

#[tokio::test]
async fn an_unchanged_answer_is_taken_from_the_cache() {
    let world = World::start();
    let first = a_week(&world).await.unwrap();
    assert_eq!(a_week(&world).await.unwrap(), first);
    assert_eq!(world.sandbox.requests().not_modified, 1);
    let other = world.upstreams.weather.archive(seattle(), range("2012-01-01", "2012-01-08")).await.unwrap();
    assert_eq!(other.days.len(), 8);
    assert_eq!(world.sandbox.requests().not_modified, 1, "another question has its own answer");
}

#[tokio::test]
async fn what_was_not_taken_is_not_cached_and_does_not_displace_what_was() {
    let world = World::start();
    let good = a_week(&world).await.unwrap();
    world.fail(1, Fault::Malformed);
    assert!(a_week(&world).await.is_err());
    assert_eq!(a_week(&world).await.unwrap(), good);
    assert_eq!(world.sandbox.requests().not_modified, 1);
}

#[tokio::test]
async fn without_a_cache_everything_is_sent_again() {
    let world = World::with(|config| config.http.cache_entries_max = 0);
    let first = a_week(&world).await.unwrap();
    assert_eq!(a_week(&world).await.unwrap(), first);
    assert_eq!(world.sandbox.requests().not_modified, 0);
}

#[tokio::test]
async fn a_key_is_in_no_error_whatever_the_service_answers() {
    let key = Secret::new(CANARY).unwrap();
    let world = World::with(|config| {
        config.calendarific_key = Some(key.clone());
        config.http.total_timeout = Duration::from_secs(5);
    });
    let echo = format!(r#"{{"meta":{{"code":200}},"response":"no such key: {CANARY}"}}"#);
    let echoed_code = format!(r#"{{"meta":{{"code":403,"error_detail":"{CANARY}"}},"response":[]}}"#);
    for fault in [
        Fault::Refused { status: 401 },
        Fault::ServerError { status: 500 },
        Fault::RateLimited { retry_after: None },
        Fault::Truncated,
        Fault::Malformed,
        Fault::Html,
        Fault::Huge { bytes: 1 << 30 },
        Fault::Redirect { location: format!("http://localhost:1/?api_key={CANARY}") },
        Fault::Body { body: echo },
        Fault::Body { body: echoed_code },
    ] {
        world.sandbox.reset();
        world.fail(10, fault.clone());
        let error = world.upstreams.holidays.public(country("US"), 2024, None).await.unwrap_err();
        assert_silent(&error, &format!("{fault:?}"));
    }
    let World { sandbox, upstreams } = world;
    sandbox.shutdown().await;
    let error = upstreams.holidays.public(country("US"), 2024, None).await.unwrap_err();
    assert_silent(&error, "nobody there");
    let debug = format!("{upstreams:?}");
    assert!(!debug.contains("canary"), "{debug}");
}

/// Neither the text, nor the debug output, nor a source of the error has a trace of the key.
fn assert_silent(error: &UpstreamError, when: &str) {
    let mut texts = vec![error.to_string(), format!("{error:?}"), format!("{error:#?}")];
    let mut source = error.source();
    while let Some(error) = source {
        texts.extend([error.to_string(), format!("{error:?}")]);
        source = error.source();
    }
    for text in texts {
        assert!(!text.contains("canary") && !text.contains("7f3a"), "{when}: {text}");
    }
}

#[tokio::test]
async fn a_refused_key_is_reported_as_such() {
    let world = World::start();
    let key = Secret::new("invalid-key").unwrap();
    let error = world.upstreams.holidays.public(country("US"), 2024, Some(&key)).await.unwrap_err();
    assert_eq!((error.status(), error.is_transient()), (Some(401), false));
    assert!(error.to_string().contains("Missing or invalid api credentials"), "{error}");
}

#[tokio::test]
async fn a_dropped_call_leaves_the_client_usable() {
    let world = World::with(|config| config.http.total_timeout = PATIENCE);
    world.fail(1, Fault::Delay { delay_ms: 60_000 });
    {
        let call = a_week(&world);
        tokio::pin!(call);
        // Dropped as soon as the request has arrived.
        loop {
            tokio::select! {
                biased;
                result = &mut call => panic!("answered in spite of the delay: {result:?}"),
                () = tokio::task::yield_now() => if world.asked() == 1 { break },
            }
        }
    }
    assert_eq!(a_week(&world).await.unwrap().days.len(), 7);
}

#[test]
fn the_real_world_is_the_default_and_needs_no_network_to_set_up() {
    let upstreams = Upstreams::new(UpstreamConfig::default());
    assert!(upstreams.is_ok(), "{upstreams:?}");
}
