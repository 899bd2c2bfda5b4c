//! Analyses a CSV file and prints JSON: `cargo run --release -p bulrush-statistics --example analyze -- COMMAND FILE [OPTIONS]`.
//!
//! `describe FILE COLUMN`, `correlate FILE COLUMN COLUMN`, `autocorrelation FILE COLUMN LAG`,
//! `regress FILE TARGET COLUMNS [classical|hc3|hac:LAGS] [TOLERANCE]`, `importance FILE TARGET COLUMNS HOLDOUT REPEATS [TREES]`; columns are
//! parted by commas, an empty cell is missing. What `scripts/analytics-check` compares with other programs. With
//! `BULRUSH_CHECK_SEEDED_BUG=1` one figure of each answer is off by a millionth and a half, for the check of the check.

use std::collections::HashMap;

use bulrush_statistics::{
    Boosting, Column, Errors, ImportanceData, ImportanceSettings, OlsSettings, autocorrelation, correlate,
    describe, feature_importance, ols,
};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// How far the seeded bug is off.
const OFF: f64 = 1.5e-6;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let get = |place: usize| arguments.get(place).map(String::as_str).ok_or("an argument is missing");
    let file = Table::read(get(1)?)?;
    let mut answer = match get(0)? {
        "describe" => serde_json::to_value(describe(get(2)?, file.column(get(2)?)?)?)?,
        "correlate" => serde_json::to_value(correlate(file.column(get(2)?)?, file.column(get(3)?)?))?,
        "autocorrelation" => {
            json!({ "autocorrelation": autocorrelation(file.column(get(2)?)?, get(3)?.parse()?) })
        }
        "regress" => {
            let target = file.whole(get(2)?)?;
            let columns = get(3)?.split(',').map(|name| Ok(Column::new(name, file.whole(name)?)));
            let columns = columns.collect::<Result<Vec<_>, Failure>>()?;
            let errors = match get(4).unwrap_or("classical") {
                "classical" => Errors::Classical,
                "hc3" => Errors::Hc3,
                other => Errors::Hac {
                    lags: other.strip_prefix("hac:").ok_or("unknown errors")?.parse()?,
                    positions: None,
                },
            };
            let usual = OlsSettings::default();
            let tolerance = get(5).map_or(Ok(usual.tolerance), str::parse)?;
            let fit = ols(get(2)?, &target, &columns, &OlsSettings { errors, tolerance, ..usual }, &())?;
            serde_json::to_value(fit)?
        }
        "importance" => {
            let target = file.whole(get(2)?)?;
            let names: Vec<&str> = get(3)?.split(',').collect();
            let columns = names.iter().map(|name| Ok((*name, file.column(name)?)));
            let columns = columns.collect::<Result<Vec<_>, Failure>>()?;
            let positions: Vec<i64> = (0..target.len() as i64).collect();
            let usual = Boosting::default();
            let boosting = Boosting { trees: get(6).map_or(Ok(usual.trees), str::parse)?, ..usual };
            let settings = ImportanceSettings {
                holdout: get(4)?.parse()?,
                repeats: get(5)?.parse()?,
                boosting,
                ..ImportanceSettings::default()
            };
            let data = ImportanceData {
                name: get(2)?,
                target: &target,
                positions: &positions,
                columns: &columns,
                groups: &[],
            };
            serde_json::to_value(feature_importance(&data, &settings, &())?)?
        }
        other => return Err(format!("there is no command {other:?}").into()),
    };
    if std::env::var_os("BULRUSH_CHECK_SEEDED_BUG").is_some() {
        spoil(&mut answer);
    }
    println!("{answer}");
    Ok(())
}

/// Makes one figure of each answer wrong, and turns the order of importances round.
fn spoil(answer: &mut Value) {
    for path in ["/mean", "/pearson", "/autocorrelation", "/coefficients/1/error"] {
        if let Some(value) = answer.pointer_mut(path)
            && let Some(number) = value.as_f64()
        {
            *value = json!(number * (1.0 + OFF));
        }
    }
    if let Some(features) = answer.get_mut("features").and_then(Value::as_array_mut) {
        let turned: Vec<Value> = features.iter().rev().map(|one| one["mean"].clone()).collect();
        for (feature, mean) in features.iter_mut().zip(turned) {
            feature["mean"] = mean;
        }
    }
}

struct Table(HashMap<String, Vec<Option<f64>>>);

impl Table {
    fn read(path: &str) -> Result<Self, Failure> {
        let mut reader = csv::Reader::from_path(path)?;
        let names: Vec<String> = reader.headers()?.iter().map(ToOwned::to_owned).collect();
        let mut columns = vec![Vec::new(); names.len()];
        for row in reader.records() {
            for (column, cell) in columns.iter_mut().zip(row?.iter()) {
                // A cell that is no number, a date or a word, is missing as a figure.
                column.push(cell.parse::<f64>().ok());
            }
        }
        Ok(Self(names.into_iter().zip(columns).collect()))
    }

    fn column(&self, name: &str) -> Result<&[Option<f64>], Failure> {
        Ok(self.0.get(name).ok_or_else(|| format!("there is no column {name:?}"))?)
    }

    fn whole(&self, name: &str) -> Result<Vec<f64>, Failure> {
        let values: Option<Vec<f64>> = self.column(name)?.iter().copied().collect();
        Ok(values.ok_or_else(|| format!("a value of {name:?} is missing"))?)
    }
}
