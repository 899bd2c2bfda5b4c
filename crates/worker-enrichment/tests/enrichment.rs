//! What an enriched property looks like.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bulrush::model::JobState;
use bulrush_store::{DailyWeather, Season};
use bulrush_worker_enrichment::RESULT_KIND;
use common::{MUNICH, SEATTLE, SYDNEY, World, ada, days, payload, property, seen};
use jiff::civil::{Date, date};
use serde_json::{Value, json};

/// What was really observed at Seattle-Tacoma.
const RECORD: &str = include_str!("../../sandbox/data/seattle-weather.csv");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_weather_of_seattle_comes_through_exactly() {
    let (world, workers) = World::running().await;
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-12-31").await;
    let job = world.add("inn", SEATTLE, None).await;
    let result = world.completed(&job).await;

    assert_eq!((result.days_enriched, result.days_with_weather), (365, 365));
    assert_eq!((result.first_day, result.last_day), (Some(date(2015, 1, 1)), Some(date(2015, 12, 31))));
    let features = world.features("inn").await;
    let year = RECORD.lines().filter(|line| line.starts_with("2015"));
    let mut compared = 0;
    for (line, day) in year.zip(&features) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| fields[at].parse::<f64>().unwrap();
        assert_eq!(fields[0].parse::<Date>().unwrap(), day.day);
        assert_eq!(day.weather.precipitation_mm, Some(number(1)), "{line}");
        assert_eq!(day.weather.temperature_max_c, Some(number(2)), "{line}");
        assert_eq!(day.weather.temperature_min_c, Some(number(3)), "{line}");
        let wind_kmh = day.weather.wind_speed_max_kmh.unwrap();
        assert!((wind_kmh - number(4) * 3.6).abs() < 0.006, "{line}: {wind_kmh}");
        assert_eq!(day.weather.weather_code == Some(0), fields[5] == "sun", "{line}");
        compared += 1;
    }
    assert_eq!((compared, features.len()), (365, 365));

    let fourth = world.day("inn", "2015-07-04").await;
    assert!(fourth.public_holiday.as_deref().unwrap().contains("Independence Day"), "{fourth:?}");
    assert_eq!((fourth.days_to_holiday, fourth.days_since_holiday), (Some(0), Some(0)));
    let labour = world.day("inn", "2015-09-05").await;
    assert!(labour.long_weekend && labour.weekend, "the Saturday before Labour Day: {labour:?}");
    let thanksgiving = world.day("inn", "2015-11-26").await;
    assert!(thanksgiving.school_holiday.is_some() && thanksgiving.long_weekend, "{thanksgiving:?}");
    let last = world.day("inn", "2015-12-31").await;
    assert_eq!(last.days_to_holiday, Some(1), "New Year of the year after is known: {last:?}");
    assert_eq!((last.season, last.iso_week, last.weekday), (Season::Winter, 53, 4));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_result_is_kept_with_the_features_and_the_job_tells_how_it_goes() {
    let (world, workers) = World::running().await;
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-01-31").await;
    let job = world.add("inn", SEATTLE, None).await;
    let result = world.completed(&job).await;

    let document = world.document(&job).await.expect("a result document");
    assert_eq!((document.kind.as_str(), &document.owner), (RESULT_KIND, &ada()));
    assert_eq!(document.document, serde_json::to_value(&result).unwrap());
    assert_eq!(document.document["daysEnriched"], 31);
    let view = world.ended(&job).await;
    let progress = view.status.progress.as_ref().unwrap();
    assert_eq!((progress.percent, progress.message.as_deref()), (100, Some("31 days enriched")));
    let log = world.logs(&job).await.join("\n");
    for words in ["price history: 31 days with prices", "weather: 31 days with values", "holidays of US: "] {
        assert!(log.contains(words), "{words:?} is not in {log}");
    }
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bavarian_property_has_the_holidays_of_bavaria() {
    let (world, workers) = World::running().await;
    let mut inn = property("inn", MUNICH, None);
    inn.time_zone = Some("Europe/Berlin".into());
    inn.attributes.insert("subdivision".into(), "DE-BY".into());
    world.save(&inn).await;
    world.price("inn", "2024-01-01", "2024-12-31").await;
    let result = world.enrich("inn", MUNICH, Some("DE")).await;

    assert_eq!(world.day("inn", "2024-01-06").await.public_holiday.as_deref(), Some("Epiphany"));
    assert_eq!(world.day("inn", "2024-08-15").await.school_holiday.as_deref(), Some("Summer holidays"));
    assert_eq!(world.day("inn", "2024-07-01").await.school_holiday, None, "Bavaria comes last");
    assert_eq!(world.day("inn", "2024-03-08").await.public_holiday, None, "Berlin's alone");
    let bridge = world.day("inn", "2024-05-10").await;
    assert!(bridge.long_weekend && bridge.public_holiday.is_none(), "the Friday after Ascension: {bridge:?}");
    assert!((60..120).contains(&result.school_holidays), "{result:?}");
    assert_eq!(result.notes, Vec::<String>::new());
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_the_part_of_the_country_is_not_known_school_holidays_of_any_part_count_and_it_is_said() {
    let (world, workers) = World::running().await;
    world.property("inn", MUNICH, Some("DE"), "2024-01-01", "2024-12-31").await;
    let result = world.enrich("inn", MUNICH, None).await;

    assert_eq!(world.day("inn", "2024-01-06").await.public_holiday, None);
    let july = world.day("inn", "2024-07-15").await.school_holiday.unwrap();
    assert!(july.starts_with("Summer holidays (") && july.ends_with(" regions)"), "{july}");
    assert!(result.notes.iter().any(|note| note.contains("subdivision")), "{result:?}");

    let mut elsewhere = property("elsewhere", MUNICH, Some("DE"));
    elsewhere.attributes.insert("subdivision".into(), "AT-7".into());
    world.save(&elsewhere).await;
    world.price("elsewhere", "2024-02-01", "2024-02-02").await;
    let result = world.enrich("elsewhere", MUNICH, None).await;
    assert!(result.notes.iter().any(|note| note.contains("\"AT-7\" is no part of DE")), "{result:?}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn south_of_the_equator_january_is_summer_and_an_unknown_country_is_no_failure() {
    let (world, workers) = World::running().await;
    world.property("inn", SYDNEY, Some("AU"), "2023-12-30", "2024-07-02").await;
    let result = world.enrich("inn", SYDNEY, None).await;

    assert_eq!(world.day("inn", "2024-01-15").await.season, Season::Summer);
    assert_eq!(world.day("inn", "2024-07-01").await.season, Season::Winter);
    assert_eq!(result.days_with_weather, result.days_enriched);
    assert_eq!((result.public_holidays, result.school_holidays), (0, 0));
    let notes = result.notes.join("\n");
    assert!(notes.contains("none for AU in 2023, 2024"), "{notes}");
    assert!(notes.contains("no school holidays for AU"), "{notes}");
    let day = world.day("inn", "2024-01-01").await;
    assert_eq!((day.days_to_holiday, day.long_weekend), (None, false));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_country_there_is_weather_and_it_is_said_what_is_missing() {
    let (world, workers) = World::running().await;
    world.property("inn", SEATTLE, None, "2015-06-01", "2015-06-03").await;
    let result = world.enrich("inn", SEATTLE, None).await;
    assert_eq!((result.days_with_weather, result.public_holidays), (3, 0));
    assert!(result.notes[0].contains("countryCode"), "{result:?}");
    assert_eq!(world.sandbox.requests().of("/api"), 0);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_day_between_the_first_and_the_last_price_is_enriched_leap_days_included() {
    let (world, workers) = World::running().await;
    world.save(&property("inn", MUNICH, Some("DE"))).await;
    world
        .observe("inn", &[seen(date(2024, 2, 27).at(9, 0, 0, 0)), seen(date(2024, 3, 2).at(9, 0, 0, 0))])
        .await;
    let result = world.enrich("inn", MUNICH, None).await;
    assert_eq!(result.days_enriched, 5);
    let leap = world.day("inn", "2024-02-29").await;
    assert_eq!((leap.month, leap.weekday, leap.iso_week), (2, 4, 9));
    assert!(leap.weather.temperature_max_c.is_some());
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_are_those_of_the_property_through_changes_of_the_clock() {
    let (world, workers) = World::running().await;
    let mut inn = property("inn", SEATTLE, Some("US"));
    inn.time_zone = Some("America/Los_Angeles".into());
    world.save(&inn).await;
    // 23:30 on the 7th of March 2015 (UTC-8), the eve of the change, and 23:30 on the 1st of November (UTC-8), its end.
    let rows = [seen(date(2015, 3, 8).at(7, 30, 0, 0)), seen(date(2015, 11, 2).at(7, 30, 0, 0))];
    world.observe("inn", &rows).await;
    let result = world.enrich("inn", SEATTLE, None).await;
    assert_eq!((result.first_day, result.last_day), (Some(date(2015, 3, 7)), Some(date(2015, 11, 1))));
    assert_eq!(result.days_enriched, 240, "every day once, whatever its hours");
    assert_eq!(world.features("inn").await.len(), 240);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coming_days_have_the_forecast_and_later_ones_no_weather_with_the_reason() {
    let (world, workers) = World::running().await;
    // Today is 2026-03-20, so the forecast ends on 2026-04-04.
    world.property("inn", MUNICH, Some("DE"), "2026-03-01", "2026-04-30").await;
    let result = world.enrich("inn", MUNICH, None).await;
    assert_eq!((result.days_enriched, result.days_with_weather), (61, 35));
    assert!(world.day("inn", "2026-04-04").await.weather.temperature_max_c.is_some());
    let beyond = world.day("inn", "2026-04-05").await;
    assert_eq!(beyond.weather, DailyWeather::default());
    assert!(beyond.public_holiday.is_none() && beyond.long_weekend, "Easter Sunday: {beyond:?}");
    assert!(result.notes.iter().any(|note| note.contains("2026-04-05 to 2026-04-30")), "{result:?}");
    let requests = world.sandbox.requests();
    assert_eq!((requests.of("/v1/archive"), requests.of("/v1/forecast")), (1, 1));

    assert_eq!(world.enrich("inn", MUNICH, None).await, result);
    assert_eq!(world.sandbox.requests(), requests, "all of it was cached");

    // Seven hours later there is a new forecast; what is final is not asked for again.
    world.clock.advance(std::time::Duration::from_hours(7));
    world.enrich("inn", MUNICH, None).await;
    let again = world.sandbox.requests();
    assert_eq!(
        again.of("/api") + again.of("/SchoolHolidays"),
        requests.of("/api") + requests.of("/SchoolHolidays")
    );
    let archive: Vec<_> = again.paths.iter().filter(|path| path.path == "/v1/archive").collect();
    assert!(
        archive[0].queries.iter().all(|query| query.count == 1),
        "the final days were fetched once: {archive:?}"
    );
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_before_the_archive_and_holidays_before_their_tables_are_left_out_with_a_reason() {
    let (world, workers) = World::running().await;
    world.property("inn", MUNICH, Some("DE"), "1939-12-30", "1940-01-02").await;
    let result = world.enrich("inn", MUNICH, None).await;
    assert_eq!((result.days_enriched, result.days_with_weather, result.public_holidays), (4, 2, 0));
    let notes = result.notes.join("\n");
    assert!(notes.contains("1940-01-01") && notes.contains("none for DE in 1939, 1940"), "{notes}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn running_twice_leaves_what_running_once_leaves() {
    let (world, workers) = World::running().await;
    world.property("inn", SEATTLE, Some("US"), "2014-12-01", "2015-02-28").await;
    let job = world.add("inn", SEATTLE, None).await;
    let first = (world.completed(&job).await, world.features("inn").await);
    let requests = world.sandbox.requests();
    // A job of its own, with the same work.
    assert_eq!(world.enrich("inn", SEATTLE, None).await, first.0);
    assert_eq!(world.features("inn").await, first.1);
    assert_eq!(world.sandbox.requests(), requests, "nothing was fetched again");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_summary_follows_and_belongs_to_the_owner_of_the_job() {
    let (world, workers) = World::running().await;
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-01-02").await;
    let job = world.add("inn", SEATTLE, None).await;
    world.completed(&job).await;
    let summaries = world.summaries("inn").await;
    assert_eq!(summaries.len(), 1);
    let spec = &summaries[0].spec;
    assert_eq!((&*spec.name, spec.owner.as_ref().unwrap().user.as_str()), ("summary", "ada"));
    let data: Value = serde_json::from_slice(&spec.data).unwrap();
    assert_eq!(data, json!({"propertyId": "inn", "userId": "ada", "analysisType": "summary"}));

    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_what_follows_is_switched_off_nothing_does() {
    let mut world = World::new().await;
    let off = [("BULRUSH_QUEUE_ENRICHMENT_FOLLOW_UPS".to_owned(), "off".to_owned())];
    world.catalog = bulrush_catalog::Catalog::with_settings(off).unwrap();
    let workers = world.start();
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-01-02").await;
    world.enrich("inn", SEATTLE, None).await;
    workers.shutdown().await;
    let queues = world.queue().backend().queues().await.unwrap();
    assert_eq!(queues.iter().map(bulrush::model::QueueName::as_str).collect::<Vec<_>>(), ["enrichment"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_under_any_name() {
    let (world, workers) = World::running().await;
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-01-02").await;
    let mut job = world.job(&payload("inn", SEATTLE, None));
    job.spec.name = "nightly-refresh".into();
    let id = world.queue().add(job).await.unwrap().id;
    assert_eq!(world.ended(&id).await.state(), JobState::Completed);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_is_fetched_in_ranges_not_by_day() {
    let (world, workers) = World::running().await;
    world.property("inn", MUNICH, Some("DE"), "2001-01-01", "2001-01-01").await;
    world.price("inn", "2024-12-31", "2024-12-31").await;
    let result = world.enrich("inn", MUNICH, None).await;
    assert_eq!((result.days_enriched, result.days_with_weather), (8_766, 8_766));
    let requests = world.sandbox.requests();
    assert_eq!(requests.of("/v1"), 3, "a request for ten years");
    assert_eq!(requests.of("/api"), 26, "a request for each year and its neighbours");
    assert_eq!(requests.repeated(), Vec::<String>::new());
    assert_eq!(days("2001-01-01", "2024-12-31").days().count(), 8_766);
    workers.shutdown().await;
}
