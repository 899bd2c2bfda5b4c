//! Weather from the sandbox through the client.

mod common;

use bulrush_sandbox::{Fault, FaultPlan};
use bulrush_upstream::weather::DailyWeather;
use bulrush_upstream::{Coordinates, UpstreamError};
use common::{World, range, seattle};

/// The recorded file, as the reference that the values are compared with.
const RECORD: &str = include_str!("../../sandbox/data/seattle-weather.csv");

#[tokio::test]
async fn four_years_of_seattle_come_through_exactly_in_one_call() {
    let world = World::start();
    let series = world.upstreams.weather.archive(seattle(), range("2012-01-01", "2015-12-31")).await.unwrap();
    assert_eq!(series.time_zone, "America/Los_Angeles");
    assert_eq!(series.days.len(), 1461);
    for (day, line) in series.days.iter().zip(RECORD.lines().skip(1)) {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |index: usize| fields[index].parse::<f64>().unwrap();
        assert_eq!(day.date.to_string(), fields[0]);
        assert_eq!(day.precipitation_mm, Some(number(1)), "{line}");
        assert_eq!(day.temperature_max_c, Some(number(2)), "{line}");
        assert_eq!(day.temperature_min_c, Some(number(3)), "{line}");
        let wind_ms = day.wind_speed_max_kmh.unwrap() / 3.6;
        assert!((wind_ms - number(4)).abs() < 1e-9, "{line}: {wind_ms}");
        let codes: &[u8] = match fields[5] {
            "sun" => &[0],
            "fog" => &[45],
            "drizzle" => &[51],
            "rain" => &[61, 63, 65],
            "snow" => &[71, 73, 75],
            other => panic!("{other} is not in the record"),
        };
        assert!(codes.contains(&day.weather_code.unwrap()), "{line}");
        assert_eq!(day.sunshine_s, None);
    }
    assert_eq!(world.asked(), 1);
}

#[tokio::test]
async fn a_forecast_has_every_value_of_every_day() {
    let world = World::start();
    let place = Coordinates::new(-33.87, 151.21).unwrap();
    let asked = range("2024-02-27", "2024-03-02");
    let series = world.upstreams.weather.forecast(place, asked).await.unwrap();
    assert_eq!(series.time_zone, "Australia/Sydney");
    assert_eq!(series.days.iter().map(|day| day.date).collect::<Vec<_>>(), asked.days().collect::<Vec<_>>());
    for day in &series.days {
        let DailyWeather {
            date,
            temperature_max_c: Some(max),
            temperature_min_c: Some(min),
            temperature_mean_c: Some(mean),
            precipitation_mm: Some(_),
            wind_speed_max_kmh: Some(_),
            weather_code: Some(_),
            sunshine_s: Some(_),
        } = *day
        else {
            panic!("{day:?} lacks a value");
        };
        assert!(min <= mean && mean <= max, "{date}");
    }
}

#[tokio::test]
async fn a_range_around_today_takes_one_call_to_each_product() {
    let world = World::start();
    let today = "2014-06-20".parse().unwrap();
    let weather = &world.upstreams.weather;
    let series = weather.daily(seattle(), range("2014-06-01", "2014-12-31"), today).await.unwrap().unwrap();
    assert_eq!(series.days.first().unwrap().date.to_string(), "2014-06-01");
    assert_eq!(series.days.last().unwrap().date.to_string(), "2014-07-05");
    assert_eq!(series.days.len(), 35);
    assert!(series.days.windows(2).all(|pair| pair[0].date.tomorrow().unwrap() == pair[1].date));
    let requests = world.sandbox.requests();
    assert_eq!((requests.of("/v1/archive"), requests.of("/v1/forecast")), (1, 1));
    assert!(requests.repeated().is_empty());

    let future = range("2015-01-01", "2015-01-02");
    assert_eq!(weather.daily(seattle(), future, today).await.unwrap(), None);
    assert_eq!(world.asked(), 2, "nobody is asked about the far future");
}

#[tokio::test]
async fn two_products_in_two_time_zones_are_not_mixed() {
    let world = World::start();
    let today = "2014-06-20".parse().unwrap();
    let asked = range("2014-06-13", "2014-06-14");
    world
        .sandbox
        .fail(FaultPlan {
            path: Some("/v1/forecast".to_owned()),
            count: 1,
            fault: Fault::Body { body: one_day("2014-06-14", "Europe/Berlin") },
        })
        .unwrap();
    let error = world.upstreams.weather.daily(seattle(), asked, today).await.unwrap_err();
    assert!(matches!(error, UpstreamError::BadData { .. }), "{error}");
    assert!(error.to_string().contains("America/Los_Angeles"), "{error}");
}

/// A good answer for one day.
fn one_day(day: &str, time_zone: &str) -> String {
    format!(
        r#"{{"timezone":"{time_zone}","daily_units":{{"temperature_2m_max":"°C","temperature_2m_min":"°C",
        "temperature_2m_mean":"°C","precipitation_sum":"mm","wind_speed_10m_max":"km/h"}},"daily":{{"time":["{day}"],
        "temperature_2m_max":[1],"temperature_2m_min":[0],"temperature_2m_mean":[0.5],"precipitation_sum":[0],
        "wind_speed_10m_max":[1],"weather_code":[0]}}}}"#
    )
}

#[tokio::test]
async fn what_the_service_refuses_is_said_in_its_words_and_not_tried_again() {
    let world = World::start();
    let before_1940 = range("1939-01-01", "1939-01-02");
    let error = world.upstreams.weather.archive(seattle(), before_1940).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Refused { status: 400, .. }), "{error:?}");
    assert!(error.to_string().contains("'start_date' is out of allowed range from 1940-01-01"), "{error}");
    assert!(!error.is_transient());
    assert_eq!(world.asked(), 1);
}
