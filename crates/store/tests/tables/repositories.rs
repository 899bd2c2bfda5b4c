//! Every repository, on a file and on a memory database.

use crate::common::{ada, features_of, property, save, seen, upload};
use bulrush_store::{
    DailyWeather, DayRange, Entity, EntityKind, FenceError, FileState, GridCell, Holiday, HolidayKind,
    Location, NewEntity, Owner, Saved, Scope, Season, Store, StoreError, WeatherDay,
};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

on_each!(
    an_entity_is_read_back_as_it_was_saved_and_saving_again_replaces_it,
    entities_are_listed_by_kind_in_pages,
    entities_with_impossible_values_are_refused_by_name,
    deleting_an_entity_takes_its_days_and_its_series_with_it_and_leaves_its_files,
    observations_upserted_twice_are_there_once_with_the_last_value,
    more_observations_than_one_statement_holds_are_all_stored,
    observations_that_are_no_numbers_or_of_no_entity_are_refused_and_nothing_of_the_batch_is_kept,
    the_days_of_an_entity_are_those_of_its_time_zone,
    features_are_read_back_as_they_were_stored_and_replaced_as_a_whole,
    features_that_no_calendar_has_are_refused_by_name,
    weather_is_asked_for_only_where_it_is_missing_or_a_stale_forecast,
    a_forecast_never_replaces_what_was_observed,
    holidays_are_read_for_the_country_and_the_region,
    a_year_without_holidays_is_not_asked_for_again,
    a_claim_is_held_by_one_until_it_is_released_or_ends,
    a_file_goes_through_its_states_and_no_others,
    files_are_listed_newest_first_in_pages,
    text_that_looks_like_sql_is_only_text,
);

async fn an_entity_is_read_back_as_it_was_saved_and_saving_again_replaces_it(store: &Store) {
    let mut entity = property("p1", ada());
    entity.attributes.insert("stars".into(), 4.into());
    save(store, &entity).await;
    let first = store.entities().get(&Scope::All, "p1").await.unwrap().unwrap();
    assert_eq!(first.entity, entity);
    assert!(first.created_at_ms > 1_700_000_000_000);

    let renamed = NewEntity { name: "Pine".into(), location: None, country: None, time_zone: None, ..entity };
    save(store, &renamed).await;
    let second = store.entities().get(&ada().into(), "p1").await.unwrap().unwrap();
    assert_eq!(second.entity, renamed);
    assert_eq!(second.created_at_ms, first.created_at_ms);
}

async fn entities_are_listed_by_kind_in_pages(store: &Store) {
    for id in ["c", "a", "b"] {
        save(store, &property(id, ada())).await;
    }
    save(store, &NewEntity { kind: EntityKind::Park, ..property("park", ada()) }).await;
    let ids = |page: Vec<Entity>| page.into_iter().map(|row| row.entity.id).collect::<Vec<_>>();
    let scope = Scope::from(ada());
    let first = store.entities().list(&scope, EntityKind::Property, None, 2).await.unwrap();
    assert_eq!(ids(first), ["a", "b"]);
    let second = store.entities().list(&scope, EntityKind::Property, Some("b"), 2).await.unwrap();
    assert_eq!(ids(second), ["c"]);
}

async fn entities_with_impossible_values_are_refused_by_name(store: &Store) {
    let nowhere = Location { latitude: 91.0, longitude: 0.0 };
    for (entity, rule) in [
        (NewEntity { location: Some(nowhere), ..property("x", ada()) }, "entities_latitude_in_range"),
        (
            NewEntity { country: Some("USA".into()), ..property("x", ada()) },
            "entities_country_has_two_letters",
        ),
    ] {
        let refused = store.write(async |tx| store.entities().save(tx, &entity).await).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Refused { rule: named, .. } if named == rule), "{refused:?}");
        assert!(!refused.is_transient());
    }
    assert!(store.entities().get(&Scope::All, "x").await.unwrap().is_none());
}

async fn deleting_an_entity_takes_its_days_and_its_series_with_it_and_leaves_its_files(store: &Store) {
    save(store, &property("p1", ada())).await;
    let scope = Scope::from(ada());
    let file = store
        .write::<_, StoreError, _>(async |tx| {
            store.observations().upsert(tx, "p1", &[seen("price", 0, 1.0)]).await?;
            store.features().upsert(tx, "p1", &[features_of(date(2024, 1, 1))]).await?;
            let file = store.files().insert(tx, &upload(ada(), "k")).await?;
            assert!(store.files().set_entity(tx, &scope, &file.id, "p1").await?);
            assert!(store.entities().delete(tx, &scope, "p1").await?);
            assert!(!store.entities().delete(tx, &scope, "p1").await?);
            Ok(file)
        })
        .await
        .unwrap();
    save(store, &property("p1", ada())).await;
    assert_eq!(store.observations().metrics(&scope, "p1").await.unwrap(), []);
    assert_eq!(store.features().extent(&scope, "p1").await.unwrap(), None);
    assert_eq!(store.files().get(&scope, &file.id).await.unwrap().unwrap().entity, None);
}

async fn observations_upserted_twice_are_there_once_with_the_last_value(store: &Store) {
    save(store, &property("p1", ada())).await;
    // The key 2 comes twice in one batch: the later one counts.
    let rows =
        [seen("price", 1, 10.0), seen("price", 2, 20.0), seen("occupancy", 2, 0.5), seen("price", 2, 21.0)];
    for _ in 0..2 {
        store
            .write::<_, StoreError, _>(async |tx| store.observations().upsert(tx, "p1", &rows).await)
            .await
            .unwrap();
    }
    store
        .write::<_, StoreError, _>(async |tx| {
            store.observations().upsert(tx, "p1", &[seen("price", 1, 11.0)]).await
        })
        .await
        .unwrap();
    let points = store.observations().range(&Scope::All, "p1", "price", (0, 3), 10).await.unwrap();
    assert_eq!(points.iter().map(|p| (p.ts_ms, p.value)).collect::<Vec<_>>(), [(1, 11.0), (2, 21.0)]);
    let one = store.observations().range(&Scope::All, "p1", "price", (1, 2), 10).await.unwrap();
    assert_eq!(one.len(), 1, "the end of a range is not part of it");
    assert_eq!(
        store.observations().metrics(&Scope::All, "p1").await.unwrap(),
        [("occupancy".to_owned(), 1), ("price".to_owned(), 2)]
    );
}

async fn more_observations_than_one_statement_holds_are_all_stored(store: &Store) {
    save(store, &property("p1", ada())).await;
    let rows: Vec<_> = (0..25_003_i64).map(|n| seen("price", n, n as f64)).collect();
    store
        .write::<_, StoreError, _>(async |tx| store.observations().upsert(tx, "p1", &rows).await)
        .await
        .unwrap();
    let points =
        store.observations().range(&Scope::All, "p1", "price", (0, i64::MAX), 100_000).await.unwrap();
    assert_eq!(points.len(), rows.len());
    assert!(points.iter().all(|point| point.value.to_bits() == (point.ts_ms as f64).to_bits()));
}

async fn observations_that_are_no_numbers_or_of_no_entity_are_refused_and_nothing_of_the_batch_is_kept(
    store: &Store,
) {
    save(store, &property("p1", ada())).await;
    for value in [f64::NAN, f64::INFINITY] {
        let rows = [seen("price", 1, 1.0), seen("price", 2, value)];
        let refused =
            store.write(async |tx| store.observations().upsert(tx, "p1", &rows).await).await.unwrap_err();
        assert!(matches!(refused, StoreError::NotANumber { index: 1, field: "value", .. }), "{refused:?}");
    }
    let refused: StoreError = store
        .write(async |tx| {
            store.observations().upsert(tx, "p1", &[seen("price", 1, 1.0)]).await?;
            store.observations().upsert(tx, "nobody", &[seen("price", 1, 1.0)]).await
        })
        .await
        .unwrap_err();
    assert!(matches!(refused, StoreError::MissingReference(_)), "{refused:?}");
    assert_eq!(store.observations().metrics(&Scope::All, "p1").await.unwrap(), []);
}

async fn the_days_of_an_entity_are_those_of_its_time_zone(store: &Store) {
    save(store, &property("p1", ada())).await;
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let rows = [
        seen("price", at("2024-01-02T07:59:00Z"), 1.0),
        seen("price", at("2024-01-02T08:00:00Z"), 2.0),
        seen("occupancy", at("2024-01-02T20:00:00Z"), 0.7),
        seen("price", at("1969-12-31T12:00:00Z"), 3.0),
    ];
    store
        .write::<_, StoreError, _>(async |tx| store.observations().upsert(tx, "p1", &rows).await)
        .await
        .unwrap();
    let days =
        |zone: TimeZone| async move { store.observations().days(&Scope::All, "p1", &zone).await.unwrap() };
    assert_eq!(days(TimeZone::UTC).await, [date(1969, 12, 31), date(2024, 1, 2)]);
    assert_eq!(
        days(TimeZone::get("America/Los_Angeles").unwrap()).await,
        [date(1969, 12, 31), date(2024, 1, 1), date(2024, 1, 2)]
    );
}

async fn features_are_read_back_as_they_were_stored_and_replaced_as_a_whole(store: &Store) {
    save(store, &property("p1", ada())).await;
    let range = DayRange::new(date(2023, 12, 1), date(2024, 2, 29));
    let mut days: Vec<_> = range.days().map(features_of).collect();
    days[24].public_holiday = Some("Christmas Day".into());
    days[24].school_holiday = Some("Winter Break".into());
    days[24].weather = DailyWeather::default();
    days[25].weather = DailyWeather {
        temperature_max_c: Some(-1.5),
        temperature_min_c: Some(-7.25),
        temperature_mean_c: Some(-4.0),
        precipitation_mm: Some(3.5),
        wind_speed_max_kmh: Some(33.0),
        sunshine_s: Some(1_800.0),
        weather_code: Some(75),
    };
    (days[25].long_weekend, days[25].weekend, days[25].season) = (true, true, Season::Autumn);
    for _ in 0..2 {
        store
            .write::<_, StoreError, _>(async |tx| store.features().upsert(tx, "p1", &days).await)
            .await
            .unwrap();
    }
    assert_eq!(store.features().range(&ada().into(), "p1", range).await.unwrap(), days);
    assert_eq!(store.features().extent(&ada().into(), "p1").await.unwrap(), Some((range, 91)));
    let some = DayRange::new(date(2023, 12, 25), date(2023, 12, 26));
    assert_eq!(store.features().range(&ada().into(), "p1", some).await.unwrap(), days[24..26]);

    let plain = features_of(date(2023, 12, 25));
    store
        .write::<_, StoreError, _>(async |tx| {
            store.features().upsert(tx, "p1", std::slice::from_ref(&plain)).await
        })
        .await
        .unwrap();
    assert_eq!(store.features().range(&ada().into(), "p1", some).await.unwrap()[0], plain);
}

async fn features_that_no_calendar_has_are_refused_by_name(store: &Store) {
    save(store, &property("p1", ada())).await;
    let day = features_of(date(2024, 1, 1));
    let mut wrong = [day.clone(), day.clone(), day.clone(), day];
    wrong[0].weekday = 8;
    wrong[1].month = 0;
    wrong[2].iso_week = 54;
    // Days before the year 0 would not sort as text.
    wrong[3].day = Date::MIN;
    let rules = ["weekday_in_range", "month_in_range", "iso_week_in_range", "day_is_a_date"];
    for (row, rule) in wrong.iter().zip(rules) {
        let rows = std::slice::from_ref(row);
        let refused =
            store.write(async |tx| store.features().upsert(tx, "p1", rows).await).await.unwrap_err();
        assert!(
            matches!(&refused, StoreError::Refused { rule: named, .. } if named.contains(rule)),
            "{refused:?}"
        );
    }
    let mut no_number = features_of(date(2024, 1, 1));
    no_number.weather.sunshine_s = Some(f64::NAN);
    let refused =
        store.write(async |tx| store.features().upsert(tx, "p1", &[no_number]).await).await.unwrap_err();
    assert!(matches!(refused, StoreError::NotANumber { index: 0, field: "sunshine_s", .. }), "{refused:?}");
}

fn cell() -> GridCell {
    GridCell::around(Location::new(47.61, -122.34).unwrap())
}

fn weather_on(day: Date, temperature: f64, observed: bool) -> WeatherDay {
    let weather = DailyWeather { temperature_max_c: Some(temperature), ..DailyWeather::default() };
    WeatherDay { day, weather, observed }
}

async fn weather_is_asked_for_only_where_it_is_missing_or_a_stale_forecast(store: &Store) {
    let range = DayRange::new(date(2024, 1, 1), date(2024, 1, 10));
    assert_eq!(store.weather().missing(cell(), range, 0).await.unwrap(), [range]);
    let rows = [
        weather_on(date(2024, 1, 3), 5.0, true),
        weather_on(date(2024, 1, 4), 6.0, true),
        weather_on(date(2024, 1, 9), 7.0, false),
        // The source has nothing for this day, and says so for good.
        WeatherDay { day: date(2024, 1, 10), weather: DailyWeather::default(), observed: true },
    ];
    store
        .write::<_, StoreError, _>(async |tx| store.weather().upsert(tx, cell(), &rows, 1_000).await)
        .await
        .unwrap();
    let (head, middle) = (DayRange::new(date(2024, 1, 1), date(2024, 1, 2)), date(2024, 1, 5));
    assert_eq!(
        store.weather().missing(cell(), range, 1_000).await.unwrap(),
        [head, DayRange::new(middle, date(2024, 1, 8))]
    );
    assert_eq!(
        store.weather().missing(cell(), range, 1_001).await.unwrap(),
        [head, DayRange::new(middle, date(2024, 1, 9))],
        "the forecast is stale now"
    );
    assert_eq!(store.weather().range(cell(), range).await.unwrap(), rows);
    let elsewhere = GridCell::around(Location::new(-33.9, 18.4).unwrap());
    assert_eq!(store.weather().range(elsewhere, range).await.unwrap(), []);
}

async fn a_forecast_never_replaces_what_was_observed(store: &Store) {
    let day = date(2024, 1, 1);
    for (row, expected) in [
        (weather_on(day, 1.0, false), 1.0),
        (weather_on(day, 2.0, false), 2.0),
        (weather_on(day, 3.0, true), 3.0),
        (weather_on(day, 4.0, false), 3.0),
        (weather_on(day, 5.0, true), 5.0),
    ] {
        store
            .write::<_, StoreError, _>(async |tx| store.weather().upsert(tx, cell(), &[row], 1).await)
            .await
            .unwrap();
        let stored = store.weather().range(cell(), DayRange::new(day, day)).await.unwrap();
        assert_eq!(stored[0].weather.temperature_max_c, Some(expected));
    }
}

fn holiday(day: Date, name: &str, kind: HolidayKind, region: Option<&str>) -> Holiday {
    Holiday { day, name: name.into(), kind, region: region.map(Into::into) }
}

async fn replace_year(store: &Store, kind: HolidayKind, year: i16, holidays: &[Holiday], at_ms: i64) {
    store
        .write::<_, StoreError, _>(async |tx| {
            store.holidays().replace_year(tx, "de", kind, year, holidays, at_ms).await
        })
        .await
        .unwrap();
}

async fn holidays_are_read_for_the_country_and_the_region(store: &Store) {
    use HolidayKind::{Public, School};
    let new_year = holiday(date(2024, 1, 1), "Neujahr", Public, None);
    let kings = holiday(date(2024, 1, 6), "Heilige Drei Könige", Public, Some("DE-BY"));
    let other_year = holiday(date(2025, 1, 1), "Neujahr", Public, None);
    let school = holiday(date(2024, 1, 2), "Weihnachtsferien", School, Some("DE-BY"));
    let twice = [new_year.clone(), kings.clone(), kings.clone(), other_year, school.clone()];
    replace_year(store, Public, 2024, &twice, 1).await;
    replace_year(store, School, 2024, std::slice::from_ref(&school), 1).await;

    let range = DayRange::new(date(2024, 1, 1), date(2025, 12, 31));
    let read = |region: Option<&'static str>| async move {
        store.holidays().range("DE", region, range).await.unwrap()
    };
    assert_eq!(read(None).await, std::slice::from_ref(&new_year));
    assert_eq!(read(Some("DE-BY")).await, [new_year.clone(), school.clone(), kings]);

    replace_year(store, Public, 2024, std::slice::from_ref(&new_year), 2).await;
    assert_eq!(read(Some("DE-BY")).await, [new_year, school], "what the source no longer has is gone");
}

async fn a_year_without_holidays_is_not_asked_for_again(store: &Store) {
    use HolidayKind::{Public, School};
    let missing = |kind, since_ms| async move {
        store.holidays().missing_years("DE", kind, 2023..=2025, since_ms).await.unwrap()
    };
    assert_eq!(missing(School, 0).await, [2023, 2024, 2025]);
    replace_year(store, School, 2024, &[], 1_000).await;
    assert_eq!(missing(School, 1_000).await, [2023, 2025]);
    assert_eq!(missing(School, 1_001).await, [2023, 2024, 2025], "it is stale now");
    assert_eq!(missing(Public, 0).await, [2023, 2024, 2025]);
}

async fn a_claim_is_held_by_one_until_it_is_released_or_ends(store: &Store) {
    let claims = store.claims();
    assert!(claims.take("weather:1", "a", 0, 100).await.unwrap());
    assert!(!claims.take("weather:1", "b", 50, 150).await.unwrap());
    assert!(claims.take("weather:2", "b", 50, 150).await.unwrap());
    assert!(claims.take("weather:1", "a", 50, 200).await.unwrap(), "its holder extends it");
    assert!(!claims.take("weather:1", "b", 199, 300).await.unwrap());
    assert!(claims.take("weather:1", "b", 200, 300).await.unwrap(), "it ended");
    claims.release("weather:1", "a").await.unwrap();
    assert!(!claims.take("weather:1", "a", 201, 400).await.unwrap(), "only its holder releases it");
    claims.release("weather:1", "b").await.unwrap();
    assert!(claims.take("weather:1", "a", 201, 400).await.unwrap());
}

async fn a_file_goes_through_its_states_and_no_others(store: &Store) {
    use FileState::{Completed, Failed, Pending, Processing};
    let file = store.write(async |tx| store.files().insert(tx, &upload(ada(), "k")).await).await.unwrap();
    assert_eq!(
        (file.state, file.name.as_str(), file.display_name.as_str()),
        (Pending, "prices_2024.csv", "prices 2024.csv")
    );
    assert_eq!(store.files().get(&ada().into(), &file.id).await.unwrap().unwrap(), file);
    let id = file.id.as_str();
    for (next, problem, moved) in [
        (Completed, None, false),
        (Processing, None, true),
        (Processing, None, true),
        (Pending, None, false),
        (Failed, Some("row 7 has no date"), true),
        (Completed, None, false),
        (Processing, None, true),
        (Completed, None, true),
        (Failed, Some("too late"), false),
        (Processing, None, true),
    ] {
        let did = store.write(async |tx| store.files().set_state(tx, id, next, problem).await).await.unwrap();
        assert_eq!(did, moved, "to {next:?}");
        let row = store.files().get(&Scope::All, id).await.unwrap().unwrap();
        if moved {
            assert_eq!((row.state, row.problem.as_deref()), (next, problem));
        } else {
            assert_ne!(row.state, next);
        }
    }
    let unknown = store.write(async |tx| store.files().set_state(tx, "x", Processing, None).await).await;
    assert!(!unknown.unwrap());
}

async fn files_are_listed_newest_first_in_pages(store: &Store) {
    let mut ids = Vec::new();
    for key in ["1", "2", "3", "4", "5"] {
        ids.push(store.write(async |tx| store.files().insert(tx, &upload(ada(), key)).await).await.unwrap());
    }
    ids.sort_by_key(|file| std::cmp::Reverse((file.created_at_ms, file.id.clone())));
    let scope = Scope::from(ada());
    let mut listed = Vec::new();
    loop {
        let last = listed.last().map(|file: &bulrush_store::FileRow| (file.created_at_ms, file.id.clone()));
        let before = last.as_ref().map(|(at, id)| (*at, id.as_str()));
        let page = store.files().list(&scope, before, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        listed.extend(page);
    }
    assert_eq!(listed, ids);
}

async fn text_that_looks_like_sql_is_only_text(store: &Store) {
    let nasty = "x'; DROP TABLE entities; --";
    save(store, &NewEntity { name: nasty.into(), ..property(nasty, Owner::new(nasty, nasty)) }).await;
    let scope = Scope::owner(nasty, nasty);
    assert_eq!(store.entities().get(&scope, nasty).await.unwrap().unwrap().entity.name, nasty);
    assert!(
        store.entities().get(&Scope::owner("' OR '1'='1", "' OR '1'='1"), nasty).await.unwrap().is_none()
    );
    store
        .fenced::<_, FenceError, _>(nasty, 1, nasty, async |tx| {
            store
                .results()
                .put(tx, &Owner::new(nasty, nasty), nasty, &serde_json::json!({ "text": nasty }))
                .await?;
            Ok(())
        })
        .await
        .unwrap();
    let result = store.results().get(&scope, nasty).await.unwrap().unwrap();
    assert_eq!((result.run, result.kind.as_str(), &result.document["text"]), (1, nasty, &nasty.into()));
    assert_eq!(
        store.write(async |tx| store.entities().save(tx, &property("y", ada())).await).await.unwrap(),
        Saved::Yes
    );
}
