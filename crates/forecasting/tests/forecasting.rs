//! What holds of every forecast, whatever the history: it is whole and finite, or an error says what is wrong.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bulrush_forecasting::{
    Forecast, ForecastError, HORIZON_MAX, History, Model, Settings, Stage, Step, Unwatched, Watch, forecast,
};
use jiff::ToSpan as _;
use jiff::civil::{Date, date};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

const FIRST: Date = date(2024, 1, 1);

fn history(values: Vec<f64>) -> History {
    History::new(FIRST, Step::Day, values.into_iter().map(Some).collect()).expect("a history")
}

fn ahead(horizon: usize) -> Settings {
    Settings { horizon, ..Settings::default() }
}

/// Between -1 and 1, the same for the same number, and of no period.
fn noise(at: usize) -> f64 {
    let mut x = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// Sales with a week and some noise; what comes next is known to be around 40.
fn sales(len: usize) -> Vec<f64> {
    (0..len).map(|day| 35.0 + (day % 7) as f64 * 2.0 + 2.0 * noise(day)).collect()
}

fn check(forecast: &Forecast, history: &History, settings: &Settings) {
    assert_eq!(forecast.points.len(), settings.horizon);
    let mut day = history.last();
    for point in &forecast.points {
        let next = match history.step() {
            Step::Day => day + 1.day(),
            Step::Week => day + 1.week(),
            Step::Month => day.first_of_month() + 1.month(),
        };
        if history.step() == Step::Month {
            assert_eq!((point.day.year(), point.day.month()), (next.year(), next.month()));
        } else {
            assert_eq!(point.day, next);
        }
        day = point.day;
        let order = [point.low95, point.low80, point.mean, point.high80, point.high95];
        assert!(order.iter().all(|value| value.is_finite()) && order.is_sorted(), "{point:?}");
        assert!(!settings.non_negative || point.low95 >= 0.0, "{point:?}");
    }
    let weights: f64 = forecast.models.iter().map(|model| model.weight).sum();
    assert!((weights - 1.0).abs() < 1e-9, "{:?}", forecast.models);
    for model in &forecast.models {
        assert_eq!(model.weight == 0.0, model.left_out.is_some(), "{model:?}");
        assert!(
            [model.mape, model.mase, model.smape].iter().flatten().all(|value| value.is_finite()),
            "{model:?}"
        );
    }
    let accuracy = &forecast.accuracy;
    let shares = [accuracy.mase, accuracy.smape, accuracy.coverage80, accuracy.coverage95];
    assert!(
        shares.iter().all(|value| value.is_finite()) && accuracy.mape.is_none_or(f64::is_finite),
        "{accuracy:?}"
    );
    assert!(accuracy.folds > 0 && accuracy.coverage80 <= accuracy.coverage95);
    assert!(forecast.cleaning.outliers.iter().all(|found| found.replaced.is_finite()));
}

/// Histories of many kinds: smooth, jumpy, mostly zero, huge, tiny, with gaps.
fn any_values() -> impl Strategy<Value = Vec<Option<f64>>> {
    let one = prop_oneof![
        8 => (0.0..100.0_f64).prop_map(Some),
        3 => Just(Some(0.0)),
        1 => Just(None),
        1 => (-1e6..1e6_f64).prop_map(Some),
    ];
    let scale = prop_oneof![Just(1.0), Just(1e-300), Just(1e294), Just(1e-3), Just(5e-324)];
    (prop::collection::vec(one, 10..120), scale, any::<bool>()).prop_map(|(values, scale, trend)| {
        let grown = |at: usize, value: f64| if trend { value + at as f64 } else { value };
        values.iter().enumerate().map(|(at, value)| value.map(|value| grown(at, value) * scale)).collect()
    })
}

#[test]
fn every_history_gets_a_whole_forecast_or_an_error_that_says_why() {
    let seed =
        std::env::var("PROPTEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand_seed);
    println!("PROPTEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&u64::to_le_bytes(seed));
    let config = Config { cases: 96, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let step = prop_oneof![Just(Step::Day), Just(Step::Week), Just(Step::Month)];
    let case = (any_values(), step, 1..40_usize, any::<bool>());
    runner
        .run(&case, |(values, step, horizon, non_negative)| {
            let Ok(history) = History::new(date(2020, 1, 31), step, values) else { return Ok(()) };
            let settings = Settings { horizon, non_negative, models: Model::ALL.to_vec() };
            match forecast(&history, &settings, &Unwatched) {
                Ok(done) => check(&done, &history, &settings),
                Err(error) => {
                    let known =
                        matches!(error, ForecastError::TooShort { .. } | ForecastError::Constant { .. });
                    assert!(known, "{error}");
                }
            }
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("with PROPTEST_SEED={seed}: {failure}"));
}

/// A seed that differs from run to run.
fn rand_seed() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0)
}

#[test]
fn the_same_history_has_the_same_forecast() {
    let history = history(sales(100));
    let one = forecast(&history, &ahead(14), &Unwatched).expect("a forecast");
    assert_eq!(one, forecast(&history, &ahead(14), &Unwatched).expect("a forecast"));
    check(&one, &history, &ahead(14));
    assert_eq!(one.season, Some(7));
    assert!(
        one.accuracy.mase < 1.0 && one.points.iter().all(|point| (30.0..60.0).contains(&point.mean)),
        "{one:?}"
    );
    let widths: Vec<f64> = one.points.iter().map(|point| point.high95 - point.low95).collect();
    assert!(widths.is_sorted() && widths[13] > widths[0], "{widths:?}");
}

#[test]
fn numbers_at_both_ends_of_what_there_is_are_forecast_as_any_other() {
    let plain = forecast(&history(sales(100)), &ahead(7), &Unwatched).expect("a forecast");
    for scale in [1e290, 1e-290] {
        let scaled = history(sales(100).iter().map(|value| value * scale).collect());
        let done = forecast(&scaled, &ahead(7), &Unwatched).expect("a forecast");
        for (one, other) in plain.points.iter().zip(&done.points) {
            assert!(
                (one.mean - other.mean / scale).abs() < 1e-6
                    && (one.low95 - other.low95 / scale).abs() < 1e-6
            );
        }
    }
}

#[test]
fn errors_beside_changes_that_are_only_rounding_are_numbers_all_the_same() {
    for tiny in [1e-300, 1e-20] {
        // Nearly nothing for long, then as much as there is.
        let values =
            (0..200).map(|at| if at < 130 { tiny * (at % 2) as f64 } else { 1e11 * (2.0 + noise(at)) });
        let (history, settings) = (history(values.collect()), ahead(14));
        let forecast = forecast(&history, &settings, &Unwatched).expect("it can be forecast");
        check(&forecast, &history, &settings);
        assert!(forecast.accuracy.mase < 1e9, "{:?}", forecast.accuracy);
    }
}

#[test]
fn bad_histories_are_errors_that_name_the_value_and_what_to_do() {
    let points = |values: &[f64]| -> Vec<(Date, f64)> {
        values
            .iter()
            .enumerate()
            .map(|(at, value)| (FIRST + i64::try_from(at).unwrap().days(), *value))
            .collect()
    };
    let said = |error: ForecastError| error.to_string();
    assert_eq!(
        said(History::from_points(&[]).unwrap_err()),
        "the history has no values; a forecast needs at least 10"
    );
    let one = History::from_points(&points(&[3.0])).expect("one value is a series");
    assert_eq!(
        said(forecast(&one, &ahead(5), &Unwatched).unwrap_err()),
        "the history spans 1 day, and a forecast of 5 days needs 10; add older values"
    );
    let short = history(sales(20));
    assert_eq!(
        said(forecast(&short, &ahead(30), &Unwatched).unwrap_err()),
        "the history spans 20 days, and a forecast of 30 days needs 45; add older values or ask for at most 13"
    );
    assert!(forecast(&short, &ahead(13), &Unwatched).is_ok());
    assert_eq!(
        said(forecast(&history(vec![7.0; 60]), &ahead(7), &Unwatched).unwrap_err()),
        "all 60 values of the history are 7; a forecast needs values that change, so check where they come from"
    );
    assert!(matches!(
        forecast(&history(vec![0.0; 60]), &ahead(7), &Unwatched),
        Err(ForecastError::Constant { value: 0.0, count: 60 })
    ));
    let mut broken = points(&sales(30));
    broken[3].1 = f64::NAN;
    assert_eq!(
        said(History::from_points(&broken).unwrap_err()),
        "the value of 2024-01-04 is NaN, which is not a number; correct it or leave the day out"
    );
    broken[3].1 = f64::NEG_INFINITY;
    assert!(said(History::from_points(&broken).unwrap_err()).starts_with("the value of 2024-01-04 is -inf"));
    broken[3].1 = 1e301;
    assert!(
        said(History::from_points(&broken).unwrap_err())
            .starts_with("the value of 2024-01-04 is 1e301, beyond ±1e300")
    );
    broken[3] = (FIRST, 5.0);
    assert!(said(History::from_points(&broken).unwrap_err()).starts_with("2024-01-01 has two values"));
}

#[test]
fn a_year_that_is_missing_is_named_from_its_first_day_to_its_last() {
    let all = i64::from(4 * 365);
    let points: Vec<(Date, f64)> = (0..all)
        .map(|at| (FIRST + at.days(), 10.0 + (at % 7) as f64))
        .filter(|point| point.0.year() != 2025)
        .collect();
    assert_eq!(
        History::from_points(&points).unwrap_err().to_string(),
        "values are missing from 2025-01-01 to 2025-12-31, 365 days in a row; at most 364 can be filled in, so add them or begin the history \
         after 2025-12-31"
    );
    let third: Vec<Option<f64>> =
        (0..60).map(|at| (!(20..45).contains(&at)).then_some(f64::from(at))).collect();
    assert!(matches!(
        History::new(FIRST, Step::Week, third),
        Err(ForecastError::GapTooLong { steps: 25, limit: 20, .. })
    ));
}

#[test]
fn the_step_is_found_and_what_has_none_is_refused() {
    let every = |days: i64, count: i64| -> Vec<(Date, f64)> {
        (0..count).rev().map(|at| (FIRST + (at * days).days(), at as f64)).collect()
    };
    assert_eq!(History::from_points(&every(1, 30)).expect("days").step(), Step::Day);
    let weeks = History::from_points(&every(7, 30)).expect("weeks");
    assert_eq!((weeks.step(), weeks.observed(), weeks.first()), (Step::Week, 30, FIRST));
    let ends: Vec<(Date, f64)> =
        (0..30_i64).map(|at| ((FIRST + at.months()).last_of_month(), (at * 5 % 7) as f64)).collect();
    let months = History::from_points(&ends).expect("ends of months");
    assert_eq!((months.step(), months.values().len()), (Step::Month, 30));
    let done = forecast(&months, &ahead(3), &Unwatched).expect("a forecast");
    assert_eq!(
        done.points.iter().map(|point| point.day).collect::<Vec<_>>(),
        [date(2026, 7, 31), date(2026, 8, 31), date(2026, 9, 30)]
    );
    assert!(matches!(History::from_points(&every(10, 30)), Err(ForecastError::Irregular { .. })));
    // Two points thousands of years apart take no memory of that size.
    let far = [(date(1, 1, 1), 1.0), (date(1, 1, 2), 2.0), (date(9000, 1, 1), 3.0)];
    assert!(matches!(History::from_points(&far), Err(ForecastError::TooManyGaps { observed: 3, .. })));
}

#[test]
fn horizons_models_and_days_that_cannot_be_are_refused() {
    let some = history(sales(100));
    for horizon in [0, HORIZON_MAX + 1, usize::MAX] {
        assert!(matches!(forecast(&some, &ahead(horizon), &Unwatched), Err(ForecastError::Horizon { .. })));
    }
    let none = Settings { models: Vec::new(), ..ahead(7) };
    assert_eq!(forecast(&some, &none, &Unwatched), Err(ForecastError::NoModels));
    let trend = history((0..60).map(|t| t as f64 + 2.0 * noise(t)).collect());
    let seasonal = Settings { models: vec![Model::Seasonal], ..ahead(7) };
    assert_eq!(forecast(&trend, &seasonal, &Unwatched), Err(ForecastError::NoSeason));
    let end = History::new(date(9999, 9, 1), Step::Day, sales(100).into_iter().map(Some).collect())
        .expect("a history");
    assert!(matches!(forecast(&end, &ahead(30), &Unwatched), Err(ForecastError::Calendar { .. })));
    assert!(
        "holt".parse::<Model>().is_err() && Model::ALL.iter().all(|model| model.name().parse() == Ok(*model))
    );
}

#[test]
fn demand_is_never_negative_and_models_that_cannot_speak_say_why() {
    let falling = history((0..80).map(|t| (60.0 - t as f64 + 6.0 * noise(t)).max(0.0)).collect());
    let settings = Settings { non_negative: true, ..ahead(30) };
    let done = forecast(&falling, &settings, &Unwatched).expect("a forecast");
    check(&done, &falling, &settings);
    let seasonal = done.models.iter().find(|report| report.model == Model::Seasonal).expect("a report");
    assert_eq!((seasonal.weight, seasonal.left_out.as_deref()), (0.0, Some("no season was found")));
}

#[test]
fn gaps_and_outliers_are_reported_with_their_days() {
    let mut values: Vec<Option<f64>> = sales(120).into_iter().map(Some).collect();
    values[40] = None;
    values[41] = None;
    values[70] = Some(400.0);
    let history = History::new(FIRST, Step::Day, values).expect("a history");
    let done = forecast(&history, &ahead(14), &Unwatched).expect("a forecast");
    let gap = done.cleaning.gaps[0];
    assert_eq!(
        (done.cleaning.observed, gap.from, gap.to, gap.steps),
        (118, FIRST + 40.days(), FIRST + 41.days(), 2)
    );
    let found = done.cleaning.outliers[0];
    assert_eq!((done.cleaning.outliers.len(), found.day, found.value), (1, FIRST + 70.days(), 400.0));
    assert!((found.replaced - 37.0).abs() < 6.0, "{found:?}");
}

#[test]
fn intervals_hold_as_many_values_as_they_say() {
    let (mut inside, mut count) = ([0.0; 2], 0.0);
    for series in 0..90 {
        let at = |day: usize| noise(series * 1_000 + day) + noise(series * 1_000 + day + 500);
        let mut level = 100.0;
        let values: Vec<f64> = (0..134)
            .map(|day| {
                // A third each: noise around a level, a random walk, a week on a trend.
                level += if series % 3 == 1 { 2.0 * at(day) } else { 0.0 };
                let rest =
                    if series % 3 == 2 { 8.0 * f64::from(day % 7 > 4) + 0.3 * day as f64 } else { 0.0 };
                level + rest + 3.0 * at(day + 250)
            })
            .collect();
        let (known, actual) = values.split_at(120);
        let done = forecast(&history(known.to_vec()), &ahead(14), &Unwatched).expect("a forecast");
        for (point, actual) in done.points.iter().zip(actual) {
            count += 1.0;
            inside[0] += f64::from(u8::from((point.low80..=point.high80).contains(actual)));
            inside[1] += f64::from(u8::from((point.low95..=point.high95).contains(actual)));
        }
    }
    let shares = inside.map(|inside| 100.0 * inside / count);
    assert!((shares[0] - 80.0).abs() < 5.0 && (shares[1] - 95.0).abs() < 3.5, "{shares:?}");
}

/// Counts how often it is asked, and says stop at the nth time.
struct Until {
    asked: AtomicUsize,
    stop_at: usize,
    stages: Mutex<Vec<Stage>>,
}

impl Watch for Until {
    fn stage(&self, stage: Stage) {
        self.stages.lock().expect("no panic").push(stage);
    }

    fn is_cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) >= self.stop_at
    }
}

#[test]
fn a_forecast_ends_at_the_first_word_and_tells_its_stages() {
    let history = history(sales(200));
    let watch = |stop_at| Until { asked: AtomicUsize::new(0), stop_at, stages: Mutex::default() };
    let whole = watch(usize::MAX);
    assert!(forecast(&history, &ahead(14), &whole).is_ok());
    assert_eq!(
        *whole.stages.lock().expect("no panic"),
        [Stage::Preprocessing, Stage::Models, Stage::Ensemble, Stage::Accuracy]
    );
    let asked = whole.asked.load(Ordering::Relaxed);
    // Asked before every evaluation of a fit, so what lies between two questions is one pass over the series.
    assert!(asked > 1_000, "{asked}");
    for stop_at in [0, 1, 10, 500, asked - 1] {
        let early = watch(stop_at);
        assert_eq!(forecast(&history, &ahead(14), &early), Err(ForecastError::Cancelled));
        assert_eq!(early.asked.load(Ordering::Relaxed), stop_at + 1, "nothing was computed after it");
    }
}
