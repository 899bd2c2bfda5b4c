//! `analytics-heavy/analyze`: what a property's figures look like, what moves them, and how they go on.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::run_forecast::ForecastModel;
use crate::entry::JobKind;
use crate::payload::{Caller, EntityRef, Fields, PayloadProblems, Prepared, Sealer};
use crate::suggest::nearest;
use crate::templates::{JobTemplate, Placeholder};

/// The name of the job.
pub const NAME: &str = "analyze";

/// Most rows that a job may bring: 54 years of days.
pub const ROWS_MAX: usize = 20_000;
/// Most columns of a row.
pub const COLUMNS_MAX: usize = 100;
/// Longest name of a column, bytes.
pub const COLUMN_NAME_MAX: usize = 128;
/// Most columns that can be named in one parameter.
const NAMED_MAX: usize = 50;
/// Longest forecast, days.
pub const HORIZON_MAX: u64 = 365;
/// Largest seed: the largest whole number that every JSON reader keeps.
const SEED_MAX: u64 = (1 << 53) - 1;

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

pub(crate) const TEMPLATE: JobTemplate = JobTemplate {
    queue: "analytics-heavy",
    job: NAME,
    name: "Analyse a property",
    description: "Describes a property's figures, finds what moves them, or forecasts them.",
    data: r#"{"propertyId": "{propertyId}", "analysisType": "{analysisType}", "data": "{data}", "params": "{params}"}"#,
    options: "{}",
    placeholders: &[
        Placeholder::required("propertyId", "the property that is analysed", r#""my-property""#),
        Placeholder::with_default(
            "analysisType",
            "summary, weather-impact, demand-forecast or feature-importance",
            r#""weather-impact""#,
            r#""summary""#,
        ),
        Placeholder::optional(
            "data",
            "rows to analyse in place of the property's own",
            r#"[{"date": "2026-01-01", "price": 129.0, "temperature": -2.5}]"#,
        ),
        Placeholder::optional("params", "what the analysis is told", r#"{"target": "price"}"#),
    ],
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Analyze {
    /// The property: an entity of the store, checked against the caller before the job was added.
    pub property_id: String,
    /// For whom.
    pub user_id: String,
    /// Which analysis.
    pub analysis_type: AnalysisType,
    /// Rows to analyse, a day each: objects with a date and figures, flags or words. Without any, the property's observations and features
    /// are read from the store.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<Value>,
    /// What the analysis is told.
    #[serde(default, skip_serializing_if = "AnalyzeParams::is_empty")]
    pub params: AnalyzeParams,
}

impl bulrush::Job for Analyze {
    const NAME: &'static str = NAME;
    type Output = AnalyzeResult;
}

/// Which analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnalysisType {
    /// What the figures look like: distribution, trend, seasons, outliers, what goes together.
    Summary,
    /// How weather moves a figure.
    WeatherImpact,
    /// How a figure goes on.
    DemandForecast,
    /// Which columns tell a figure best.
    FeatureImportance,
}

impl AnalysisType {
    /// All of them, with their names on the wire.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Summary, "summary"),
        (Self::WeatherImpact, "weather-impact"),
        (Self::DemandForecast, "demand-forecast"),
        (Self::FeatureImportance, "feature-importance"),
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find_map(|&(kind, name)| (kind == self).then_some(name)).unwrap_or_default()
    }

    /// The parameters that it takes.
    fn params(self) -> &'static [&'static str] {
        match self {
            Self::Summary => &["startDate", "endDate", "dateColumn", "metrics", "outlierThreshold"],
            Self::WeatherImpact => &[
                "startDate",
                "endDate",
                "dateColumn",
                "target",
                "weather",
                "controls",
                "standardErrors",
                "lags",
                "confidence",
            ],
            Self::DemandForecast => &["startDate", "endDate", "dateColumn", "target", "horizon", "models"],
            Self::FeatureImportance => &[
                "startDate",
                "endDate",
                "dateColumn",
                "target",
                "features",
                "holdout",
                "repeats",
                "seed",
                "trees",
            ],
        }
    }
}

/// What an analysis is told. Which of them it takes depends on the analysis; each has a default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalyzeParams {
    /// The first day that counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<Date>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<Date>,
    /// The column of `data` that holds the day. Otherwise the first of `date`, `day`, `ds`, `datetime` and `timestamp` that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date_column: Option<String>,
    /// Summary: the figures to describe. Otherwise all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// Summary: from how many robust standard deviations on a day is an outlier, 2 to 20; 4 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outlier_threshold: Option<f64>,
    /// The figure to explain or to forecast. Otherwise one that is there: price, occupancy or bookings, for a forecast bookings first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Weather impact: the columns of the weather. Otherwise those whose names say so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weather: Vec<String>,
    /// Weather impact: what else is held the same. Otherwise all that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controls: Option<Vec<Control>>,
    /// Weather impact: how errors are computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard_errors: Option<StandardErrors>,
    /// Weather impact: how many days errors reach with `hac`, 1 to 60; otherwise it follows from the number of days, at least 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lags: Option<usize>,
    /// Weather impact: the confidence of intervals, 0.5 to 0.999; 0.95 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Feature importance: the columns to compare. Otherwise calendar, weather, holidays, flags and words; other figures are
    /// outcomes themselves, and count where they are named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// Feature importance: the share of days, the last ones, that is held out for the score, 0.05 to 0.5; 0.2 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holdout: Option<f64>,
    /// Feature importance: how often each column is shuffled, 1 to 50; 10 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats: Option<usize>,
    /// Feature importance: what the shuffling follows from; 42 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Feature importance: most trees, 1 to 1000; 300 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trees: Option<usize>,
    /// Demand forecast: how many days ahead, 1 to 365; 30 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon: Option<usize>,
    /// Demand forecast: the models that may take part. Otherwise all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<ForecastModel>,
}

impl AnalyzeParams {
    /// Whether nothing is told.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What is held the same while the weather changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Control {
    /// The day of the week.
    Weekday,
    /// The month of the year.
    Month,
    /// Public and school holidays, where they are known.
    Holiday,
    /// A line through time.
    Trend,
}

impl Control {
    /// All of them, with their names on the wire.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::Weekday, "weekday"),
        (Self::Month, "month"),
        (Self::Holiday, "holiday"),
        (Self::Trend, "trend"),
    ];
}

/// How errors of a regression are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StandardErrors {
    /// `hac` where the residuals of neighbouring days are alike, `hc3` where they are not.
    Auto,
    /// As if residuals were independent and equally wide.
    Classical,
    /// Residuals may be wider on some days than on others.
    Hc3,
    /// That, and residuals of neighbouring days may be alike (Newey and West).
    Hac,
}

impl StandardErrors {
    /// All of them, with their names on the wire.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Auto, "auto"), (Self::Classical, "classical"), (Self::Hc3, "hc3"), (Self::Hac, "hac")];
}

/// What came of it, in short; the whole is a document among the results, under the identifier of the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnalyzeResult {
    /// True: a job that did not succeed has no result.
    pub success: bool,
    /// The document with everything: the job's identifier.
    pub result_id: String,
    /// The property.
    pub property_id: String,
    /// Which analysis.
    pub analysis_type: AnalysisType,
    /// Days that were analysed.
    pub days: u64,
    /// The first of them.
    pub first_day: Date,
    /// The last of them.
    pub last_day: Date,
    /// What was found, in sentences.
    pub summary: Vec<String>,
    /// The figures that matter most, by name.
    pub figures: BTreeMap<String, f64>,
    /// What is to be known of the result: columns that were left out, days that are missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn prepare(
    data: &Map<String, Value>,
    caller: &Caller<'_>,
    _: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["propertyId", "userId", "analysisType", "data", "params"]);
    let property_id = fields.text("propertyId", 256);
    let user_id = fields.user_id(caller);
    let analysis_type = fields.one_of("analysisType", &AnalysisType::ALL);
    let rows = rows(&mut fields);
    let params = params(&mut fields, analysis_type);
    let (Some(property_id), Some(user_id), Some(analysis_type)) = (property_id, user_id, analysis_type)
    else {
        return Err(problems);
    };
    problems.into_result()?;
    let payload = Analyze { property_id, user_id, analysis_type, data: rows, params };
    Prepared::new(&payload, vec![EntityRef { field: "propertyId", kinds: &["property"] }])
}

/// The rows, as far as their shape goes: what they hold is judged by the worker, who says which row is wrong.
fn rows(fields: &mut Fields<'_>) -> Vec<Value> {
    let rows = match fields.value("data") {
        None => return Vec::new(),
        Some(Value::Array(rows)) => rows,
        Some(_) => {
            fields.problem(
                "data",
                "must be an array of rows, such as [{\"date\": \"2026-01-01\", \"price\": 129}]",
            );
            return Vec::new();
        }
    };
    if rows.len() > ROWS_MAX {
        fields.problem("data", format!("has {} rows; give at most {ROWS_MAX}", rows.len()));
        return Vec::new();
    }
    let mut wrong = 0;
    for (place, row) in rows.iter().enumerate() {
        let message = match row {
            Value::Object(row) if row.len() <= COLUMNS_MAX => continue,
            Value::Object(row) => format!("has {} columns; give at most {COLUMNS_MAX}", row.len()),
            _ => "must be an object with a date and figures, such as {\"date\": \"2026-01-01\", \"price\": 129}"
                .to_owned(),
        };
        fields.problem(&format!("data[{place}]"), message);
        wrong += 1;
        if wrong == 10 {
            break;
        }
    }
    rows.clone()
}

/// A closed set: what is not known is refused, and nothing of it is ever run or becomes part of a query.
fn params(fields: &mut Fields<'_>, analysis: Option<AnalysisType>) -> AnalyzeParams {
    let map = match fields.value("params") {
        None => return AnalyzeParams::default(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            fields.problem("params", "must be an object, such as {\"target\": \"price\"}");
            return AnalyzeParams::default();
        }
    };
    // What a parameter may be depends on the analysis; without one they cannot be judged.
    let Some(analysis) = analysis else { return AnalyzeParams::default() };
    fields.within("params", map, |inner| {
        let known = analysis.params();
        for name in map.keys().filter(|name| !known.contains(&name.as_str())).take(10) {
            let others = AnalysisType::ALL.iter().filter(|(_, other)| *other != analysis.as_str());
            let takers: Vec<&str> = others
                .filter(|(other, _)| other.params().contains(&name.as_str()))
                .map(|(_, name)| *name)
                .collect();
            let hint = match (takers.is_empty(), nearest(name, known.iter().copied())) {
                (false, _) => {
                    format!("is no parameter of {}, but of {}", analysis.as_str(), takers.join(" and "))
                }
                (true, Some(near)) => format!("is not known; did you mean {near}?"),
                (true, None) => {
                    format!("is not known; {} takes {}", analysis.as_str(), known.join(", "))
                }
            };
            inner.problem(&name.chars().take(64).collect::<String>(), hint);
        }
        let takes = |name: &str| known.contains(&name) && map.get(name).is_some_and(|value| !value.is_null());
        let mut read = AnalyzeParams {
            start_date: inner.day_opt("startDate"),
            end_date: inner.day_opt("endDate"),
            date_column: inner.text_opt("dateColumn", COLUMN_NAME_MAX),
            ..AnalyzeParams::default()
        };
        if read.start_date.zip(read.end_date).is_some_and(|(start, end)| end < start) {
            inner.problem("endDate", "is before startDate");
        }
        if takes("metrics") {
            read.metrics = names(inner, "metrics");
        }
        if takes("outlierThreshold") {
            read.outlier_threshold = inner.number("outlierThreshold", 2.0, 20.0);
        }
        if takes("target") {
            read.target = inner.text_opt("target", COLUMN_NAME_MAX);
        }
        if takes("weather") {
            read.weather = names(inner, "weather");
        }
        if takes("controls") {
            read.controls = Some(words(inner, "controls", &Control::ALL));
        }
        if takes("standardErrors") {
            read.standard_errors = inner.one_of("standardErrors", &StandardErrors::ALL);
        }
        if takes("lags") {
            read.lags = inner.whole("lags", 1, 60).map(small);
            if !matches!(read.standard_errors, None | Some(StandardErrors::Auto | StandardErrors::Hac)) {
                inner.problem("lags", "goes with standardErrors \"hac\" or \"auto\" alone");
            }
        }
        if takes("confidence") {
            read.confidence = inner.number("confidence", 0.5, 0.999);
        }
        if takes("features") {
            read.features = names(inner, "features");
        }
        if takes("holdout") {
            read.holdout = inner.number("holdout", 0.05, 0.5);
        }
        if takes("repeats") {
            read.repeats = inner.whole("repeats", 1, 50).map(small);
        }
        if takes("seed") {
            read.seed = inner.whole("seed", 0, SEED_MAX);
        }
        if takes("trees") {
            read.trees = inner.whole("trees", 1, 1_000).map(small);
        }
        if takes("horizon") {
            read.horizon = inner.whole("horizon", 1, HORIZON_MAX).map(small);
        }
        if takes("models") {
            read.models = super::run_forecast::models(inner);
        }
        read
    })
}

fn small(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A list of columns, each once.
fn names(fields: &mut Fields<'_>, field: &str) -> Vec<String> {
    let is_name =
        |text: &str| (1..=COLUMN_NAME_MAX).contains(&text.len()) && !text.chars().any(char::is_control);
    let list = fields.value(field).and_then(Value::as_array);
    let texts: Option<Vec<&str>> =
        list.and_then(|list| list.iter().map(|one| one.as_str().filter(|text| is_name(text))).collect());
    match texts {
        Some(texts) if (1..=NAMED_MAX).contains(&texts.len()) => {
            let mut names: Vec<String> = Vec::new();
            for text in texts {
                if names.iter().any(|name| name == text) {
                    fields.problem(field, format!("names {text:?} twice"));
                } else {
                    names.push(text.to_owned());
                }
            }
            names
        }
        _ => {
            fields.problem(
                field,
                format!("must be an array of 1 to {NAMED_MAX} names of columns, each a text of at most {COLUMN_NAME_MAX} bytes"),
            );
            Vec::new()
        }
    }
}

/// A list of known words, each once; it may be empty.
fn words<T: Copy>(fields: &mut Fields<'_>, field: &str, known: &[(T, &'static str)]) -> Vec<T> {
    let find = |one: &Value| {
        let text = one.as_str()?;
        known.iter().position(|(_, name)| *name == text)
    };
    let list = fields.value(field).and_then(Value::as_array).filter(|list| list.len() <= known.len());
    let places: Option<Vec<usize>> = list.and_then(|list| list.iter().map(find).collect());
    match places {
        Some(places) if places.iter().enumerate().all(|(n, place)| !places[..n].contains(place)) => {
            places.into_iter().map(|place| known[place].0).collect()
        }
        _ => {
            let names: Vec<&str> = known.iter().map(|(_, name)| *name).collect();
            fields.problem(field, format!("must be an array of {}, each at most once", names.join(", ")));
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(data: Value) -> Result<Analyze, Vec<(String, String)>> {
        let Value::Object(data) = data else { unreachable!("the tests give objects") };
        let caller = Caller { user: "ada", may_name_others: false };
        match prepare(&data, &caller, None) {
            Ok(prepared) => {
                assert_eq!(prepared.entities, [EntityRef { field: "propertyId", kinds: &["property"] }]);
                Ok(serde_json::from_value(Value::Object(prepared.data)).unwrap())
            }
            Err(problems) => Err(problems.0.into_iter().map(|p| (p.field, p.message)).collect()),
        }
    }

    fn told(analysis: &str, params: Value) -> Result<AnalyzeParams, Vec<(String, String)>> {
        let mut data = json!({"propertyId": "p", "analysisType": analysis});
        data["params"] = params;
        check(data).map(|payload| payload.params)
    }

    fn refused(analysis: &str, params: Value) -> Vec<String> {
        told(analysis, params).unwrap_err().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn what_the_seed_and_what_follows_an_enrichment_ask_for_is_understood() {
        for (kind, name) in AnalysisType::ALL {
            let rows = json!([{"date": "2024-01-01", "price": 99.5, "holiday": true}]);
            let payload = check(json!({"propertyId": "p", "analysisType": name, "data": rows, "params": {}}));
            let payload = payload.unwrap();
            assert_eq!((payload.analysis_type, payload.user_id.as_str()), (kind, "ada"));
            assert_eq!(payload.data, *rows.as_array().unwrap());
        }
        let follow_up = json!({"propertyId": "p", "userId": "ada", "analysisType": "summary"});
        let payload: Analyze = serde_json::from_value(follow_up.clone()).unwrap();
        assert_eq!(check(follow_up.clone()).unwrap(), payload);
        assert_eq!(serde_json::to_value(&payload).unwrap(), follow_up, "what is not given is not stored");
        assert_eq!(
            check(json!({"propertyId": "p", "analysisType": "summary", "data": []})).unwrap().data,
            [0; 0]
        );
    }

    #[test]
    fn c20_analyses_that_are_none_and_data_that_are_no_rows_are_refused_by_their_field() {
        for (change, field) in [
            (json!({"analysisType": "__import__"}), "data.analysisType"),
            (json!({"analysisType": null}), "data.analysisType"),
            (json!({"analysisType": "Summary"}), "data.analysisType"),
            (json!({"data": {"date": "2024-01-01"}}), "data.data"),
            (json!({"data": "; drop table"}), "data.data"),
            (json!({"data": vec![0; ROWS_MAX + 1]}), "data.data"),
            (json!({"data": [{}, 7]}), "data.data[1]"),
            (json!({"data": [null]}), "data.data[0]"),
            (json!({"params": []}), "data.params"),
            (json!({"params": {"$where": "1"}}), "data.params.$where"),
            (json!({"params": {"; drop table": 1}}), "data.params.; drop table"),
            (json!({"params": {"__proto__": {}}}), "data.params.__proto__"),
            (json!({"propertyId": ""}), "data.propertyId"),
            (json!({"userId": "bob"}), "data.userId"),
            (json!({"rows": []}), "data.rows"),
        ] {
            let mut data = json!({"propertyId": "p", "analysisType": "summary"});
            data.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let problems = check(data).unwrap_err();
            assert_eq!(problems.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), [field]);
        }
        let wide: Map<String, Value> = (0..=COLUMNS_MAX).map(|n| (format!("c{n}"), json!(1))).collect();
        let problems =
            check(json!({"propertyId": "p", "analysisType": "summary", "data": [wide]})).unwrap_err();
        assert_eq!(problems[0].1, "has 101 columns; give at most 100");
        let many = json!({"propertyId": "p", "analysisType": "summary", "data": vec![1; 5_000]});
        assert_eq!(check(many).unwrap_err().len(), 10, "a few tell enough");
    }

    #[test]
    fn each_analysis_takes_its_own_parameters_and_no_other_s() {
        let told = told(
            "weather-impact",
            json!({"target": "price", "weather": ["temp"], "controls": [], "standardErrors": "hac", "lags": 7,
                "confidence": 0.9, "startDate": "2024-01-01", "endDate": "2024-12-31", "dateColumn": "when"}),
        );
        let told = told.unwrap();
        assert_eq!((told.controls, told.lags), (Some(vec![]), Some(7)));
        assert_eq!(told.standard_errors, Some(StandardErrors::Hac));
        let told = self::told(
            "feature-importance",
            json!({"features": ["a", "b"], "holdout": 0.5, "repeats": 50, "seed": SEED_MAX, "trees": 1}),
        );
        assert_eq!(told.unwrap().seed, Some(SEED_MAX));
        let told = self::told("demand-forecast", json!({"horizon": 365, "models": ["all"]})).unwrap();
        assert_eq!((told.horizon, told.models), (Some(365), Vec::new()));
        let told = self::told("summary", json!({"metrics": ["price"], "outlierThreshold": 2})).unwrap();
        assert_eq!(told.outlier_threshold, Some(2.0));

        let problems =
            self::told("summary", json!({"horizon": 3, "metrcs": ["price"], "zebra": 1})).unwrap_err();
        let said: Vec<&str> = problems.iter().map(|(_, message)| message.as_str()).collect();
        assert_eq!(said[0], "is no parameter of summary, but of demand-forecast");
        assert_eq!(said[1], "is not known; did you mean metrics?");
        assert!(said[2].contains("summary takes startDate, endDate"), "{said:?}");
    }

    #[test]
    fn parameters_out_of_their_range_are_refused() {
        for (analysis, params) in [
            ("demand-forecast", json!({"horizon": 0})),
            ("demand-forecast", json!({"horizon": 366})),
            ("demand-forecast", json!({"horizon": 30.5})),
            ("demand-forecast", json!({"horizon": "30"})),
            ("demand-forecast", json!({"models": ["all", "ma"]})),
            ("demand-forecast", json!({"models": []})),
            ("demand-forecast", json!({"models": vec!["ma"; 10_000]})),
            ("demand-forecast", json!({"target": ""})),
            ("demand-forecast", json!({"target": "a\u{0}b"})),
            ("feature-importance", json!({"holdout": 0.51})),
            ("feature-importance", json!({"holdout": 0})),
            ("feature-importance", json!({"repeats": 51})),
            ("feature-importance", json!({"seed": -1})),
            ("feature-importance", json!({"seed": SEED_MAX + 1})),
            ("feature-importance", json!({"trees": 1_001})),
            ("feature-importance", json!({"features": []})),
            ("feature-importance", json!({"features": ["a", "a"]})),
            ("feature-importance", json!({"features": [1]})),
            ("feature-importance", json!({"features": vec!["a"; 51]})),
            ("weather-impact", json!({"controls": ["moon"]})),
            ("weather-impact", json!({"standardErrors": "bootstrap"})),
            ("weather-impact", json!({"lags": 61})),
            ("weather-impact", json!({"lags": 3, "standardErrors": "hc3"})),
            ("weather-impact", json!({"confidence": 1})),
            ("summary", json!({"startDate": "2024-02-30"})),
            ("summary", json!({"startDate": "2024-02-02", "endDate": "2024-02-01"})),
            ("summary", json!({"outlierThreshold": 1e308})),
            ("summary", json!({"dateColumn": "x".repeat(129)})),
        ] {
            let last = params.as_object().unwrap().keys().map(|name| format!("data.params.{name}"));
            let named = refused(analysis, params.clone());
            assert!(named.len() == 1 && last.into_iter().any(|name| name == named[0]), "{params}: {named:?}");
        }
    }
}
