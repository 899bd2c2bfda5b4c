//! `forecast/run-forecast`: what will be sold of a product in the next days, by several models weighted by how well they did.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::entry::JobKind;
use crate::payload::{Caller, EntityRef, Fields, PayloadProblems, Prepared, Sealer};
use crate::suggest::nearest;
use crate::templates::{JobTemplate, Placeholder};

/// The name of the job.
pub const NAME: &str = "run-forecast";

/// Longest horizon, days.
pub const HORIZON_MAX: u64 = 365;
/// The horizon where none is given, days.
pub const HORIZON_DEFAULT: u32 = 30;
/// Most entries of the list of models.
const MODELS_MAX: usize = 16;
/// Longest name of a metric, bytes.
pub(super) const METRIC_MAX: usize = 64;
/// How a list says that all models may take part.
const ALL: &str = "all";

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

pub(crate) const TEMPLATE: JobTemplate = JobTemplate {
    queue: "forecast",
    job: NAME,
    name: "Forecast demand",
    description: "Forecasts what will be sold of a product, or booked of a property, with intervals.",
    data: r#"{"productId": "{productId}", "horizon": "{horizon}", "models": "{models}", "metric": "{metric}"}"#,
    options: "{}",
    placeholders: &[
        Placeholder::required("productId", "the product or property that is forecast", r#""my-product""#),
        Placeholder::with_default("horizon", "days ahead", "30", "30"),
        Placeholder::with_default(
            "models",
            "which models may take part: ma, linear, exp, seasonal, or all",
            r#"["ma", "exp"]"#,
            r#"["all"]"#,
        ),
        Placeholder::optional(
            "metric",
            "the series; demand of a product, bookings of a property",
            r#""demand""#,
        ),
    ],
};

/// A family of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ForecastModel {
    /// The mean of the last days.
    #[serde(rename = "ma")]
    MovingAverage,
    /// A regression on trend and season.
    #[serde(rename = "linear")]
    Linear,
    /// Exponential smoothing.
    #[serde(rename = "exp")]
    ExponentialSmoothing,
    /// Seasons taken apart, where there are some.
    #[serde(rename = "seasonal")]
    Seasonal,
}

impl ForecastModel {
    /// All of them, with their names on the wire.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::MovingAverage, "ma"),
        (Self::Linear, "linear"),
        (Self::ExponentialSmoothing, "exp"),
        (Self::Seasonal, "seasonal"),
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find_map(|&(model, name)| (model == self).then_some(name)).unwrap_or_default()
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunForecast {
    /// The product or property: an entity of the store, checked against the caller before the job was added.
    pub product_id: String,
    /// For whom.
    pub user_id: String,
    /// Days ahead; weeks or months where the history has no more than one value of each.
    #[serde(default = "default_horizon")]
    pub horizon: u32,
    /// Which models may take part, each once. Empty: all.
    #[serde(default)]
    pub models: Vec<ForecastModel>,
    /// Which of its series; none: its demand, or a property's bookings or occupancy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
}

fn default_horizon() -> u32 {
    HORIZON_DEFAULT
}

impl bulrush::Job for RunForecast {
    const NAME: &'static str = NAME;
    type Output = RunForecastResult;
}

/// What came of it. The points are read with `GET /forecasts/{forecastId}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunForecastResult {
    /// True: a job that made no forecast has no result.
    pub success: bool,
    /// The forecast.
    pub forecast_id: String,
    /// The product.
    pub product_id: String,
    /// Steps ahead.
    pub horizon: u32,
    /// Mean absolute percentage error of the backtest, percent; none where nothing was sold on any of its days.
    pub accuracy: Option<f64>,
    /// How many points the forecast has.
    pub predictions: u32,
    /// The series that was forecast.
    pub metric: String,
    /// The season's length, steps; none where none was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub season: Option<u32>,
    /// Mean absolute scaled error of the backtest.
    pub mase: f64,
    /// Symmetric mean absolute percentage error of the backtest, percent.
    pub smape: f64,
    /// Points of the backtest within the interval of 80 %, percent.
    pub coverage80: f64,
    /// Points of the backtest within the interval of 95 %, percent.
    pub coverage95: f64,
    /// What is to be known of the forecast, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn prepare(
    data: &Map<String, Value>,
    caller: &Caller<'_>,
    _sealer: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["productId", "userId", "horizon", "models", "metric"]);
    let product_id = fields.text("productId", 256);
    let user_id = fields.user_id(caller);
    let horizon = match fields.value("horizon") {
        None => Some(u64::from(HORIZON_DEFAULT)),
        Some(_) => fields.whole("horizon", 1, HORIZON_MAX),
    };
    let models = models(&mut fields);
    let metric = fields.text_opt("metric", METRIC_MAX);
    let (Some(product_id), Some(user_id), Some(horizon)) = (product_id, user_id, horizon) else {
        return Err(problems);
    };
    problems.into_result()?;
    let horizon = u32::try_from(horizon).unwrap_or(u32::MAX);
    let payload = RunForecast { product_id, user_id, horizon, models, metric };
    Prepared::new(&payload, vec![EntityRef { field: "productId", kinds: &["product", "property"] }])
}

/// The models of the list, each once, in their order; empty for all.
pub(super) fn models(fields: &mut Fields<'_>) -> Vec<ForecastModel> {
    let names = || ForecastModel::ALL.iter().map(|(_, name)| *name);
    let known = || names().collect::<Vec<_>>().join(", ");
    let list = match fields.value("models") {
        None => return Vec::new(),
        Some(Value::Array(list)) if (1..=MODELS_MAX).contains(&list.len()) => list,
        Some(_) => {
            let text = format!("must be a list of 1 to {MODELS_MAX} of {}, or [\"all\"]", known());
            fields.problem("models", text);
            return Vec::new();
        }
    };
    let mut models = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let name = value.as_str().unwrap_or_default();
        if name == ALL {
            if list.len() > 1 {
                fields.problem("models", "names all models and others; leave the others out");
            }
            return Vec::new();
        }
        if let Some((model, _)) = ForecastModel::ALL.iter().find(|(_, known)| *known == name) {
            models.push(*model);
            continue;
        }
        let near = nearest(name, names()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        fields.problem(&format!("models[{index}]"), format!("must be one of {}{near}", known()));
    }
    models.sort_unstable();
    models.dedup();
    models
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(data: &Value) -> Result<RunForecast, Vec<String>> {
        let caller = Caller { user: "ada", may_name_others: false };
        match prepare(data.as_object().unwrap(), &caller, None) {
            Ok(prepared) => Ok(serde_json::from_value(Value::Object(prepared.data)).unwrap()),
            Err(problems) => Err(problems.0.into_iter().map(|problem| problem.field).collect()),
        }
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        let least = check(&json!({"productId": "p"})).unwrap();
        assert_eq!((least.horizon, least.models.len(), least.user_id.as_str()), (30, 0, "ada"));
        assert_eq!(check(&json!({"productId": "p", "horizon": 30, "models": ["all"]})).unwrap(), least);
        let some = check(&json!({"productId": "p", "models": ["exp", "ma", "exp"]})).unwrap();
        assert_eq!(some.models, [ForecastModel::MovingAverage, ForecastModel::ExponentialSmoothing]);
        // What another program adds without the API's check is read with the same defaults.
        let bare: RunForecast = serde_json::from_value(json!({"productId": "p", "userId": "ada"})).unwrap();
        assert_eq!(bare, least);
    }

    #[test]
    fn c21_what_cannot_be_forecast_is_refused_by_its_field() {
        for (field, bad) in [
            ("horizon", json!(0)),
            ("horizon", json!(-30)),
            ("horizon", json!(1_000_000_000)),
            ("horizon", json!(30.5)),
            ("horizon", json!("30")),
            ("models", json!(["all", "ma"])),
            ("models", json!(["ma", "all"])),
            ("models", json!([])),
            ("models", json!("all")),
            ("models", json!(vec!["ma"; 10_000])),
            ("models[0]", json!(["prophet"])),
            ("models[1]", json!(["ma", 1])),
            ("models[0]", json!(["EXP"])),
            ("metric", json!("")),
            ("metric", json!("x".repeat(65))),
            ("metric", json!(1)),
            ("productId", json!("")),
            ("productId", json!(7)),
            ("userId", json!("bob")),
            ("horizont", json!(30)),
        ] {
            let mut data = json!({"productId": "p"});
            data[field.split('[').next().unwrap()] = bad.clone();
            assert_eq!(check(&data).unwrap_err(), [format!("data.{field}")], "{bad}");
        }
        assert_eq!(check(&json!({})).unwrap_err(), ["data.productId"]);
    }

    #[test]
    fn every_model_is_written_as_it_is_called() {
        for (model, name) in ForecastModel::ALL {
            assert_eq!(serde_json::to_value(model).unwrap(), json!(name));
            assert_eq!(model.as_str(), name);
        }
    }
}
