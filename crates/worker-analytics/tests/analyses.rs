//! Analyses: what they find in data where it is known what there is, which data they refuse and with what words, and what is left when they
//! are cancelled, killed, or made twice.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../worker-enrichment/tests/common/mute.rs"]
#[allow(dead_code, unreachable_pub, reason = "it is shared with others, which use all of it")]
mod mute;

use std::collections::BTreeMap;
use std::time::Duration;

use bulrush::model::{Backoff, JobId, JobState, JobView, QueueConfig};
use bulrush::{Client, Queue};
use bulrush_catalog::Catalog;
use bulrush_catalog::jobs::{AnalysisType, Analyze, AnalyzeParams, AnalyzeResult};
use bulrush_service::{WorkerSettings, Workers};
use bulrush_store::{
    DailyWeather, DayFeatures, EntityKind, JobResult, NewEntity, Objects, Observation, Owner, Saved, Season,
    Store, StoreError,
};
use bulrush_worker_analytics::{ANALYSIS_RESULT_KIND, Dependencies, start};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_mins(2);
const ZONE: &str = "America/Los_Angeles";

struct World {
    store: Store,
    client: Client,
    catalog: Catalog,
    _folder: TempDir,
    deps: Dependencies,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store =
            Store::open(&format!("sqlite:{}", folder.path().join("store.db").display())).await.unwrap();
        store.migrate().await.unwrap();
        let objects = Objects::open(folder.path().join("files")).await.unwrap();
        let client = Client::connect("memory:").await.unwrap();
        let deps = Dependencies::new(store.clone(), objects);
        let world = Self { store, client, catalog: Catalog::default(), _folder: folder, deps };
        world.queue().configure(QueueConfig { lease_ms: 400, ..QueueConfig::default() }).await.unwrap();
        world
    }

    fn start(&self) -> Workers {
        start(&self.client, &self.deps, &WorkerSettings::named("test"))
    }

    fn queue(&self) -> Queue {
        let queue = self.catalog.find("analytics-heavy").unwrap();
        self.client.queue_with(queue.name().clone(), queue.options())
    }

    async fn property(&self, id: &str, owner: &Owner) {
        let entity = NewEntity {
            id: id.into(),
            owner: owner.clone(),
            kind: EntityKind::Property,
            name: id.into(),
            location: None,
            country: Some("US".into()),
            time_zone: Some(ZONE.into()),
            attributes: serde_json::Map::new(),
        };
        let saved: Result<Saved, StoreError> =
            self.store.write(async |tx| self.store.entities().save(tx, &entity).await).await;
        assert_eq!(saved.unwrap(), Saved::Yes);
    }

    /// Values at eleven in the evening, which is the next day in UTC.
    async fn observe(&self, id: &str, metric: &str, values: &[(Date, f64)]) {
        let zone = TimeZone::get(ZONE).unwrap();
        let rows: Vec<Observation> = values
            .iter()
            .map(|(day, value)| {
                let at = day.at(23, 0, 0, 0).to_zoned(zone.clone()).unwrap();
                Observation { metric: metric.into(), ts_ms: at.timestamp().as_millisecond(), value: *value }
            })
            .collect();
        let kept: Result<(), StoreError> =
            self.store.write(async |tx| self.store.observations().upsert(tx, id, &rows).await).await;
        kept.unwrap();
    }

    /// A property with a price that is known to follow weekday, warmth and rain, and the features of its days.
    async fn inn(&self) -> Vec<Weather> {
        let weather = seattle();
        self.property("inn", &ada()).await;
        let prices: Vec<(Date, f64)> = weather.iter().map(|day| (day.day, day.price())).collect();
        self.observe("inn", "price", &prices).await;
        let features: Vec<DayFeatures> = weather.iter().map(Weather::features).collect();
        let kept: Result<(), StoreError> =
            self.store.write(async |tx| self.store.features().upsert(tx, "inn", &features).await).await;
        kept.unwrap();
        weather
    }

    async fn add(&self, owner: &Owner, payload: &Analyze) -> JobId {
        let job = self.queue().typed(payload).unwrap();
        let job = job.owner(owner.tenant.clone(), owner.user.clone()).backoff(Backoff::fixed(1));
        self.queue().add(job).await.unwrap().id
    }

    async fn ended(&self, job: &JobId) -> JobView {
        let view = self.queue().wait_finished(job, DEADLINE).await.unwrap().unwrap();
        assert!(view.state().is_terminal(), "{job} did not end: {view:?}");
        view
    }

    async fn document(&self, job: &JobId) -> Option<JobResult> {
        self.store.results().get(&ada().into(), job.as_str()).await.unwrap()
    }

    /// The result and the document of an analysis that is expected to succeed.
    async fn found(&self, payload: &Analyze) -> (AnalyzeResult, Value) {
        let job = self.add(&ada(), payload).await;
        let view = self.ended(&job).await;
        assert_eq!(view.state(), JobState::Completed, "{:?}", view.failed_reason());
        let result: AnalyzeResult = view.output().unwrap().unwrap();
        assert_eq!((result.success, result.result_id.as_str()), (true, job.as_str()));
        let kept = self.document(&job).await.unwrap();
        assert_eq!((kept.kind.as_str(), kept.owner), (ANALYSIS_RESULT_KIND, ada()));
        assert_eq!(kept.document["summary"], json!(result.summary));
        assert!(result.summary.iter().all(|sentence| sentence.ends_with('.') && !sentence.contains("NaN")));
        (result, kept.document)
    }

    /// Why an analysis failed, at once and for good.
    async fn refused(&self, payload: &Analyze) -> String {
        let job = self.add(&ada(), payload).await;
        let view = self.ended(&job).await;
        let seen = (view.state(), view.status.attempts_made);
        assert_eq!(seen, (JobState::Failed, 1), "{:?} {:?}", payload.params, view.output::<Value>());
        assert!(self.document(&job).await.is_none());
        view.failed_reason().unwrap().to_owned()
    }

    /// Waits until what is known of the job is as wanted.
    async fn until(&self, job: &JobId, what: &str, is: impl Fn(&JobView) -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let view = self.queue().get(job).await.unwrap().unwrap();
            if is(&view) {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline && !view.state().is_terminal(),
                "{job}: {what} did not happen; last seen: {view:?}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A day of Seattle.
struct Weather {
    day: Date,
    rain: f64,
    warmth: f64,
    wind: f64,
    n: usize,
}

impl Weather {
    fn price(&self) -> f64 {
        let weekend = if self.day.weekday().to_monday_one_offset() >= 5 { 25.0 } else { 0.0 };
        let rainy = if self.rain >= 1.0 { -8.0 } else { 0.0 };
        100.0 + weekend + 1.5 * self.warmth + rainy + 4.0 * noise(self.n)
    }

    fn features(&self) -> DayFeatures {
        DayFeatures {
            day: self.day,
            weather: DailyWeather {
                temperature_mean_c: Some(self.warmth),
                precipitation_mm: Some(self.rain),
                wind_speed_max_kmh: Some(self.wind),
                ..DailyWeather::default()
            },
            public_holiday: (self.day.month() == 7 && self.day.day() == 4).then(|| "Independence Day".into()),
            school_holiday: None,
            days_to_holiday: None,
            days_since_holiday: None,
            long_weekend: false,
            weekday: self.day.weekday().to_monday_one_offset().unsigned_abs(),
            weekend: self.day.weekday().to_monday_one_offset() >= 6,
            month: self.day.month().unsigned_abs(),
            season: Season::Winter,
            iso_week: 1,
        }
    }

    fn row(&self) -> Value {
        json!({"date": self.day, "price": self.price(), "temperature": self.warmth, "rain": self.rain,
            "event": if self.n.is_multiple_of(9) { "fair" } else { "none" }, "isHoliday": self.n.is_multiple_of(50)})
    }
}

/// Four years of days, really observed.
fn seattle() -> Vec<Weather> {
    include_str!("../../sandbox/data/seattle-weather.csv")
        .lines()
        .skip(1)
        .enumerate()
        .map(|(n, line)| {
            let cells: Vec<&str> = line.split(',').collect();
            let number = |place: usize| cells[place].parse::<f64>().unwrap();
            let day = cells[0].parse().unwrap();
            Weather { day, rain: number(1), warmth: f64::midpoint(number(2), number(3)), wind: number(4), n }
        })
        .collect()
}

/// Between -1 and 1, without a pattern that an analysis would see.
fn noise(n: usize) -> f64 {
    ((n as f64 * 12.9898).sin() * 43_758.545_3).fract()
}

fn ada() -> Owner {
    Owner::new("acme", "ada")
}

fn analyze(analysis_type: AnalysisType, data: Vec<Value>, params: Value) -> Analyze {
    let params: AnalyzeParams = serde_json::from_value(params).unwrap();
    Analyze { property_id: "inn".into(), user_id: "ada".into(), analysis_type, data, params }
}

fn near(seen: f64, expected: f64, by: f64) {
    assert!((seen - expected).abs() <= by, "{seen} is not {expected} within {by}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_to_move_a_property_s_price_is_found_in_its_own_days() {
    let world = World::new().await;
    let workers = world.start();
    let weather = world.inn().await;

    let (result, document) =
        world.found(&analyze(AnalysisType::Summary, vec![], json!({"outlierThreshold": 6.0}))).await;
    let ends = (result.days, result.first_day, result.last_day);
    assert_eq!(
        ends,
        (1_461, date(2012, 1, 1), date(2015, 12, 31)),
        "days are the property's, not those of UTC"
    );
    let price = &document["analysis"]["metrics"][0];
    let mean = weather.iter().map(Weather::price).sum::<f64>() / 1_461.0;
    near(price["mean"].as_f64().unwrap(), mean, 1e-9);
    let groups = price["byWeekday"].as_array().unwrap();
    near(groups[4]["mean"].as_f64().unwrap() - groups[3]["mean"].as_f64().unwrap(), 25.0, 3.0);
    assert!(price["weekly"]["etaSquared"].as_f64().unwrap() > 0.3, "{price}");
    assert!(price["yearly"]["autocorrelation"].as_f64().unwrap() > 0.3, "{price}");
    assert_eq!(document["source"], "store");
    assert!(!document["analysis"]["correlations"].as_array().unwrap().is_empty());

    let (result, document) = world.found(&analyze(AnalysisType::WeatherImpact, vec![], json!({}))).await;
    near(result.figures["tenDegrees"], 15.0, 0.7);
    near(result.figures["rainyDay"], -8.0, 0.7);
    assert!(result.figures["r2"] > 0.9 && result.figures["weatherP"] < 1e-9, "{result:?}");
    let regression = &document["analysis"]["regression"];
    let warmth = &regression["coefficients"][1];
    assert_eq!(warmth["name"], "temperatureMeanC");
    assert!(warmth["low"].as_f64().unwrap() < 1.5 && warmth["high"].as_f64().unwrap() > 1.3, "{warmth}");
    assert_eq!(
        document["analysis"]["weather"],
        json!(["temperatureMeanC", "precipitationMm", "windSpeedMaxKmh"])
    );
    assert!(result.notes.iter().any(|note| note.contains("schoolHoliday")) || result.notes.is_empty());

    let params = json!({"repeats": 5});
    let (result, document) =
        world.found(&analyze(AnalysisType::FeatureImportance, vec![], params.clone())).await;
    assert!(result.figures["r2"] > 0.9, "{result:?}");
    let report = &document["analysis"]["report"];
    let names: Vec<&str> =
        report["features"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(&names[..2], ["weekday", "temperatureMeanC"]);
    let again = world.found(&analyze(AnalysisType::FeatureImportance, vec![], params)).await.1;
    assert_eq!(again["analysis"], document["analysis"], "the same seed, the same answer");

    let params = json!({"horizon": 14, "startDate": "2015-01-01"});
    let (result, document) = world.found(&analyze(AnalysisType::DemandForecast, vec![], params)).await;
    assert_eq!(
        (result.first_day, document["analysis"]["points"].as_array().unwrap().len()),
        (date(2015, 1, 1), 14)
    );
    assert_eq!(document["analysis"]["points"][0]["day"], "2016-01-01");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_sent_are_analysed_in_any_order_and_in_place_of_the_property_s() {
    let world = World::new().await;
    let workers = world.start();
    let mut rows: Vec<Value> = seattle()[..400].iter().map(Weather::row).collect();
    rows.reverse();
    let (result, document) = world
        .found(&analyze(AnalysisType::WeatherImpact, rows.clone(), json!({"controls": ["weekday"]})))
        .await;
    // Cold days are rainy ones, too, and the amount of rain says less than whether it rains.
    near(result.figures["tenDegrees"], 15.0, 2.5);
    assert_eq!((&document["source"], result.days), (&json!("data"), 400));
    // What is explained explains nothing, whoever calls it weather.
    let told = json!({"target": "price", "weather": ["price", "temperature"]});
    let (result, document) = world.found(&analyze(AnalysisType::WeatherImpact, rows.clone(), told)).await;
    assert_eq!(document["analysis"]["weather"], json!(["temperature"]));
    assert!(result.notes.iter().any(|note| note.starts_with("price is what is explained")), "{result:?}");
    let params = json!({"features": ["event", "weekday", "rain", "temperature"], "repeats": 3});
    let (_, document) = world.found(&analyze(AnalysisType::FeatureImportance, rows, params)).await;
    assert_eq!(document["analysis"]["report"]["features"].as_array().unwrap().len(), 4);

    // As a table without types is sent: numbers as texts, nothing as an empty text, days as moments.
    let rows: Vec<Value> = (0..60)
        .map(|n| {
            let price = if n == 7 { String::new() } else { format!("{}", 100 + n % 7) };
            let day = date(2024, 1, 1).checked_add(jiff::Span::new().days(n)).unwrap();
            json!({"Date": format!("{day}T12:00:00.000Z"), "price": price, "room": "Suite", "open": "true"})
        })
        .collect();
    let (_, document) = world.found(&analyze(AnalysisType::Summary, rows, json!({}))).await;
    let metrics = document["analysis"]["metrics"].as_array().unwrap();
    assert_eq!((metrics.len(), &metrics[0]["count"], &metrics[0]["missing"]), (1, &json!(59), &json!(1)));
    workers.shutdown().await;
}

/// Whatever is wrong, the job fails at once and says which row, which column, which value, and what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_data_are_refused_with_what_is_wrong_and_where() {
    let world = World::new().await;
    let workers = world.start();
    world.property("inn", &ada()).await;
    let day = |n: i32| date(2024, 1, 1).checked_add(jiff::Span::new().days(n)).unwrap();
    let rows = |count: i32, value: &dyn Fn(i32) -> Value| -> Vec<Value> {
        (0..count)
            .map(|n| json!({"date": day(n), "price": value(n), "temperature": noise(n as usize), "rain": noise(n as usize * 3)}))
            .collect()
    };
    let figures = |n: i32| json!(100.0 + noise(n as usize * 7));
    let with = |at: usize, change: Value| {
        let mut rows = rows(60, &figures);
        if change.is_object() {
            rows[at].as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        } else {
            rows[at] = change;
        }
        rows
    };
    let in_all: Vec<(Vec<Value>, &[&str])> = vec![
        (with(3, json!(7)), &["row 4 of data is 7"]),
        (with(3, json!(["2024-01-04", 7])), &["row 4 of data is an array"]),
        (with(5, json!({"date": null})), &["row 6 of data has no day in \"date\""]),
        (with(5, json!({"date": "05.01.2024"})), &["row 6", "\"05.01.2024\"", "\"2026-01-31\""]),
        (with(5, json!({"date": 17_000})), &["row 6", "17000", "no day"]),
        (with(5, json!({"date": "9999-01-01"})), &["row 6", "1900 to 2200"]),
        (with(5, json!({"date": "2024-01-03"})), &["2024-01-03 is in row 3 and in row 6"]),
        (with(8, json!({"price": "NaN"})), &["row 9", "\"NaN\"", "\"price\""]),
        (with(8, json!({"price": "inf"})), &["\"inf\""]),
        (with(8, json!({"price": 1e300})), &["row 9", "1e+300", "\"price\"", "1e15"]),
        (
            with(8, json!({"price": "cheap"})),
            &["\"price\" holds \"cheap\" in row 9 of data and 100", "in row 1"],
        ),
        (with(8, json!({"price": true})), &["holds true in row 9"]),
        (with(8, json!({"price": {"eur": 3}})), &["row 9", "an object", "\"price\""]),
        (with(0, json!({"x\u{0}y": 1})), &["no name that a column can have"]),
        (
            rows(400, &figures)
                .into_iter()
                .map(|mut row| {
                    row.as_object_mut().unwrap().remove("date");
                    row
                })
                .collect(),
            &["no column of data is called date, day, ds, datetime, timestamp", "params.dateColumn", "price"],
        ),
        (rows(1, &figures), &["too few"]),
    ];
    for analysis in [AnalysisType::Summary, AnalysisType::WeatherImpact, AnalysisType::FeatureImportance] {
        for (data, words) in &in_all {
            let said = world.refused(&analyze(analysis, data.clone(), json!({}))).await;
            let said_plainly =
                said.replace("in all of the 1 rows", "too few").replace("at least 40 are needed", "too few");
            assert!(words.iter().all(|word| said_plainly.contains(word)), "{analysis:?} {words:?}: {said}");
        }
    }
    let constant = rows(80, &|_| json!(99.5));
    // A year is missing in the middle.
    let torn: Vec<Value> = rows(900, &figures)
        .into_iter()
        .enumerate()
        .filter(|(n, _)| !(200..565).contains(n))
        .map(|(_, row)| row)
        .collect();
    let all: [(AnalysisType, Vec<Value>, Value, &[&str]); 14] = [
        (
            AnalysisType::WeatherImpact,
            constant.clone(),
            json!({}),
            &["\"price\" is 99.5 in all of the 80 rows"],
        ),
        (
            AnalysisType::FeatureImportance,
            constant.clone(),
            json!({}),
            &["\"price\" is 99.5 in all of the 80 rows"],
        ),
        (AnalysisType::DemandForecast, constant, json!({}), &["99.5"]),
        (
            AnalysisType::Summary,
            torn.clone(),
            json!({}),
            &["\"price\" has no value from 2024-07-19 to 2025-07-18, 365 days", "startDate"],
        ),
        (AnalysisType::WeatherImpact, torn.clone(), json!({}), &["2024-07-19 to 2025-07-18"]),
        (AnalysisType::FeatureImportance, torn.clone(), json!({}), &["2024-07-19 to 2025-07-18"]),
        (AnalysisType::DemandForecast, torn, json!({}), &["2024-07-19", "2025-07-18"]),
        (AnalysisType::DemandForecast, rows(1, &figures), json!({}), &["1"]),
        (
            AnalysisType::WeatherImpact,
            rows(15, &figures),
            json!({}),
            &["15 rows", "too few for", "are needed"],
        ),
        (
            AnalysisType::WeatherImpact,
            rows(60, &figures),
            json!({"target": "prise"}),
            &["params.target names \"prise\"", "did you mean \"price\"?"],
        ),
        (
            AnalysisType::WeatherImpact,
            (0..60).map(|n| json!({"date": day(n), "price": figures(n)})).collect(),
            json!({}),
            &["no weather is known"],
        ),
        (
            AnalysisType::Summary,
            rows(60, &figures),
            json!({"startDate": "2030-01-01"}),
            &["2030-01-01", "the data are of 2024-01-01 to 2024-02-29"],
        ),
        (
            AnalysisType::Summary,
            (0..60).map(|n| json!({"date": day(n), "room": "Suite"})).collect(),
            json!({}),
            &["no column of numbers"],
        ),
        (AnalysisType::Summary, vec![], json!({}), &["\"inn\" has no observations", "upload"]),
    ];
    for (analysis, data, params, words) in all {
        let said = world.refused(&analyze(analysis, data, params)).await;
        assert!(words.iter().all(|word| said.contains(word)), "{analysis:?} {words:?}: {said}");
    }
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_s_property_is_not_there_and_a_job_of_nobody_sees_nothing() {
    let world = World::new().await;
    let workers = world.start();
    world.property("inn", &Owner::new("globex", "ada")).await;
    let payload = analyze(AnalysisType::Summary, vec![], json!({}));
    assert!(world.refused(&payload).await.contains("no property \"inn\""));
    let id = world.queue().add(world.queue().typed(&payload).unwrap()).await.unwrap().id;
    let view = world.ended(&id).await;
    assert!(view.failed_reason().unwrap().contains("no owner"), "{view:?}");
    workers.shutdown().await;
}

/// What follows an enrichment has its own name and the least of data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_follows_an_enrichment_is_done() {
    let world = World::new().await;
    let workers = world.start();
    world.inn().await;
    let data = json!({"propertyId": "inn", "userId": "ada", "analysisType": "summary"});
    let job = world.queue().job("summary", data.to_string().into_bytes()).owner("acme", "ada");
    let id = world.queue().add(job).await.unwrap().id;
    let view = world.ended(&id).await;
    assert_eq!(view.state(), JobState::Completed, "{:?}", view.failed_reason());
    let result: AnalyzeResult = view.output().unwrap().unwrap();
    assert!(result.summary[0].starts_with("price is "), "{result:?}");
    workers.shutdown().await;
}

/// Long enough to be met in the middle, whatever the machine.
fn long() -> Analyze {
    let rows = (0..3_000_i32).map(|n| {
        let day = date(2010, 1, 1).checked_add(jiff::Span::new().days(n)).unwrap();
        let columns = (0..12)
            .map(|c: usize| (format!("c{c}"), json!((noise(n as usize * (2 * c + 3)) * 1e4).round() / 1e4)));
        let mut row: BTreeMap<String, Value> = columns.collect();
        let price: f64 = row.values().filter_map(Value::as_f64).map(|value| value.powi(3)).sum();
        row.extend([("date".to_owned(), json!(day)), ("price".to_owned(), json!(price))]);
        json!(row)
    });
    let features: Vec<String> = (0..12).map(|c| format!("c{c}")).collect();
    let params = json!({"target": "price", "features": features, "trees": 1_000, "repeats": 50});
    analyze(AnalysisType::FeatureImportance, rows.collect(), params)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_an_analysis_in_the_middle_of_its_computing_and_leaves_nothing() {
    let world = World::new().await;
    let workers = world.start();
    let job = world.add(&ada(), &long()).await;
    let is_computing = |view: &JobView| view.status.progress.as_ref().is_some_and(|seen| seen.percent >= 30);
    world.until(&job, "growing trees", is_computing).await;
    world.queue().cancel(&job).await.unwrap();
    let view = world.ended(&job).await;
    assert_eq!(view.state(), JobState::Cancelled, "{view:?}");
    assert!(world.document(&job).await.is_none());
    // Whatever computed is over: the worker has its slots again.
    world.inn().await;
    world.found(&analyze(AnalysisType::Summary, vec![], json!({}))).await;
    workers.shutdown().await;
}

/// A worker that is going to die: on a runtime of its own, as in a process of its own.
fn doomed(world: &World, client: &Client) -> (tokio::runtime::Runtime, Workers) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let workers = {
        let _entered = runtime.enter();
        start(client, &world.deps, &WorkerSettings::named("doomed"))
    };
    (runtime, workers)
}

/// The store's one writer is the test, so that the job stands before its last write when its worker dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_dies_in_the_middle_is_replaced_and_one_result_is_there() {
    let world = World::new().await;
    world.inn().await;
    let job = world.add(&ada(), &analyze(AnalysisType::WeatherImpact, vec![], json!({}))).await;
    let writer = world.store.begin().await.unwrap();
    let (runtime, held) = doomed(&world, &world.client);
    let is_done = |view: &JobView| view.status.progress.as_ref().is_some_and(|seen| seen.percent >= 90);
    world.until(&job, "keeping the result", is_done).await;
    runtime.shutdown_background();
    drop(writer);
    assert!(world.document(&job).await.is_none(), "nothing of a run that did not get to its end");
    let workers = world.start();
    let view = world.ended(&job).await;
    assert_eq!((view.state(), view.status.stalls), (JobState::Completed, 1), "{view:?}");
    let kept = world.document(&job).await.unwrap();
    assert!(kept.run >= 2, "written by a later run: {kept:?}");
    workers.shutdown().await;
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_end_was_not_heard_runs_again_and_leaves_the_last_run_s_result_alone() {
    let world = World::new().await;
    world.inn().await;
    let job = world.add(&ada(), &analyze(AnalysisType::Summary, vec![], json!({}))).await;
    let mute = Client::new(mute::Mute::new(world.client.backend().clone()));
    let (runtime, held) = doomed(&world, &mute);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let first = loop {
        if let Some(kept) = world.document(&job).await {
            break kept;
        }
        assert!(tokio::time::Instant::now() < deadline, "no result was written");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    runtime.shutdown_background();
    world.observe("inn", "price", &[(date(2016, 1, 1), 500.0)]).await;
    let workers = world.start();
    let view = world.ended(&job).await;
    assert_eq!((view.state(), view.status.stalls), (JobState::Completed, 1), "{view:?}");
    let last = world.document(&job).await.unwrap();
    assert!(last.run > first.run && last.document["days"] == 1_462, "{} {}", last.run, first.run);
    let told: AnalyzeResult = view.output().unwrap().unwrap();
    assert_eq!(json!(told.summary), last.document["summary"], "the engine and the store tell the same");
    workers.shutdown().await;
    drop(held);
}
