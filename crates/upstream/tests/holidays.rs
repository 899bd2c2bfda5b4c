//! Holidays from the sandbox through the client.

mod common;

use bulrush_sandbox::Fault;
use bulrush_upstream::holidays::{Holiday, HolidayKind};
use bulrush_upstream::{Secret, Service, SubdivisionCode, UpstreamError};
use common::{World, country, range};

#[tokio::test]
async fn without_a_key_nager_is_asked_and_with_one_calendarific_and_both_know_the_same_days() {
    let world = World::start();
    let key = Secret::new("a-key").unwrap();
    let holidays = &world.upstreams.holidays;
    for code in ["US", "DE", "FR", "GB", "ES", "IT", "NL", "AT", "CH", "CA"] {
        let nager = holidays.public(country(code), 2024, None).await.unwrap();
        let calendarific = holidays.public(country(code), 2024, Some(&key)).await.unwrap();
        assert!(nager.len() >= 9, "{code}");
        let days = |list: &[Holiday]| {
            list.iter().map(|h| (h.date, h.name.clone(), h.kind, h.subdivisions.clone())).collect::<Vec<_>>()
        };
        assert_eq!(days(&nager), days(&calendarific), "{code}");
        assert!(nager.iter().all(|h| h.kind == HolidayKind::Public && h.date.year() == 2024));
        assert!(nager.is_sorted_by_key(|h| h.date));
    }
    let requests = world.sandbox.requests();
    assert_eq!((requests.of("/api/v3/PublicHolidays/2024/"), requests.of("/api/v2/holidays")), (10, 10));
    assert!(requests.repeated().is_empty());
}

#[tokio::test]
async fn a_configured_key_is_used_where_the_call_has_none() {
    let world = World::with(|config| config.calendarific_key = Some(Secret::new("configured").unwrap()));
    world.upstreams.holidays.public(country("US"), 2024, None).await.unwrap();
    assert_eq!(world.sandbox.requests().of("/api/v2/holidays"), 1);
}

#[tokio::test]
async fn names_and_regions_come_through() {
    let world = World::start();
    let holidays = world.upstreams.holidays.public(country("DE"), 2024, None).await.unwrap();
    let epiphany = holidays.iter().find(|h| h.name == "Epiphany").unwrap();
    assert_eq!(epiphany.date.to_string(), "2024-01-06");
    assert_eq!(epiphany.local_name.as_deref(), Some("Heilige Drei Könige"));
    let regions: Vec<_> = epiphany.subdivisions.iter().map(SubdivisionCode::as_str).collect();
    assert_eq!(regions, ["DE-BW", "DE-BY", "DE-ST"]);
}

#[tokio::test]
async fn school_holidays_are_asked_for_in_spans_that_the_service_accepts() {
    let world = World::start();
    let bavaria = "DE-BY".parse().unwrap();
    let asked = range("2018-06-01", "2026-05-31");
    let holidays = world.upstreams.holidays.school(country("DE"), asked, Some(&bavaria)).await.unwrap();
    assert_eq!(world.asked(), 3, "eight years in spans of three");
    let summers: Vec<_> =
        holidays.iter().filter(|h| h.name == "Summer holidays").map(|h| h.start.year()).collect();
    assert_eq!(summers, [2018, 2019, 2020, 2021, 2022, 2023, 2024, 2025]);
    assert!(holidays.windows(2).all(|pair| pair[0] != pair[1]), "nothing twice at the seams");
    assert!(holidays.iter().all(|h| h.end >= asked.start() && h.start <= asked.end()));
    assert!(holidays.iter().all(|h| h.subdivisions.is_empty() || h.subdivisions.contains(&bavaria)));
}

#[tokio::test]
async fn holidays_over_the_seam_of_two_spans_come_once() {
    let world = World::start();
    // The first span ends on 27 December 2023, amid the Christmas holidays.
    let asked = range("2020-12-28", "2024-12-31");
    let holidays = world.upstreams.holidays.school(country("ES"), asked, None).await.unwrap();
    assert_eq!(world.asked(), 2);
    let christmas: Vec<_> =
        holidays.iter().filter(|h| h.name == "Christmas holidays").map(|h| h.start.year()).collect();
    assert_eq!(christmas, [2020, 2021, 2022, 2023, 2024]);
}

#[tokio::test]
async fn requests_that_make_no_sense_are_never_sent() {
    let world = World::start();
    let holidays = &world.upstreams.holidays;
    let year = holidays.public(country("DE"), 0, None).await.unwrap_err();
    assert!(matches!(year, UpstreamError::InvalidRequest { service: Service::Nager, .. }), "{year}");
    let foreign = "AT-9".parse().unwrap();
    let part =
        holidays.school(country("DE"), range("2024-01-01", "2024-12-31"), Some(&foreign)).await.unwrap_err();
    assert!(part.to_string().contains("AT-9 is not a part of DE"), "{part}");
    assert!(!year.is_transient() && !part.is_transient());
    assert_eq!(world.asked(), 0);
}

#[tokio::test]
async fn a_country_that_nobody_has_holidays_for_is_told_by_its_status() {
    let world = World::start();
    let error = world.upstreams.holidays.public(country("AQ"), 2024, None).await.unwrap_err();
    assert_eq!((error.status(), error.is_transient()), (Some(404), false));
    let key = Secret::new("a-key").unwrap();
    assert_eq!(world.upstreams.holidays.public(country("AQ"), 2024, Some(&key)).await.unwrap(), []);
    let school = world.upstreams.holidays.school(country("AQ"), range("2024-01-01", "2024-12-31"), None);
    assert_eq!(school.await.unwrap(), []);
}

#[tokio::test]
async fn holidays_of_another_year_or_with_markup_are_not_taken() {
    let world = World::start();
    let entry = |date: &str, name: &str| {
        format!(r#"[{{"date":"{date}","localName":"x","name":"{name}","countryCode":"DE","counties":null}}]"#)
    };
    for (body, problem) in [
        (entry("2023-01-01", "New Year's Day"), "a holiday is on 2023-01-01, not in 2024"),
        (entry("2024-01-01", "<script>alert(1)</script>"), "markup or control characters"),
        (entry("2024-13-01", "x"), "not the JSON that was expected"),
        (r#"{"holidays":[]}"#.to_owned(), "not the JSON that was expected"),
    ] {
        world.fail(1, Fault::Body { body });
        let error = world.upstreams.holidays.public(country("DE"), 2024, None).await.unwrap_err();
        assert!(matches!(error, UpstreamError::BadData { service: Service::Nager, .. }), "{error:?}");
        assert!(error.to_string().contains(problem), "{error}");
    }
}
