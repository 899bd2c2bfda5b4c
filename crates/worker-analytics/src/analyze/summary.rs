//! What the figures look like.

use std::collections::BTreeMap;

use bulrush_catalog::jobs::AnalyzeParams;
use bulrush_statistics::{
    Correlation, Description, GroupFigures, Outliers, Season, Trend, by_month, by_weekday, correlate,
    describe, outliers, trend, weekly, yearly,
};
use serde::Serialize;

use super::halt::Halt;
use super::table::{Column, Table};
use super::words::{chance, figure, percent};
use super::{AnalyzeError, Finding};

/// From how many robust standard deviations on a day is an outlier: of normal days one in 16,000.
const OUTLIER_THRESHOLD: f64 = 4.0;
/// Most outliers that are listed.
const OUTLIERS_MAX: usize = 100;
/// Most columns that are compared with each other.
const COMPARED_MAX: usize = 30;
/// Figures that are told of in sentences.
const TOLD_MAX: usize = 3;
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    metrics: Vec<Metric>,
    correlations: Vec<Pair>,
}

/// One figure.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    name: String,
    #[serde(flatten)]
    description: Description,
    by_weekday: Vec<GroupFigures>,
    by_month: Vec<GroupFigures>,
    trend: Option<Trend>,
    weekly: Option<Season>,
    yearly: Option<Season>,
    outliers: Outliers,
}

#[derive(Serialize)]
struct Pair {
    left: String,
    right: String,
    #[serde(flatten)]
    correlation: Correlation,
}

pub(super) fn find(table: &Table, params: &AnalyzeParams, halt: &Halt) -> Result<Finding, AnalyzeError> {
    let mut columns: Vec<&Column> = if params.metrics.is_empty() {
        table.figures().collect()
    } else {
        let named = params.metrics.iter().map(|name| Ok(table.numbers("params.metrics", name)?.0));
        named.collect::<Result<_, AnalyzeError>>()?
    };
    if columns.is_empty() {
        return Err(AnalyzeError::NoFigures);
    }
    let known = |row: usize| {
        columns.iter().any(|column| column.numbers().is_some_and(|numbers| numbers[row].is_some()))
    };
    table.check_gaps(&columns[0].name, known)?;
    let days = (0..table.days().len()).filter(|row| known(*row)).count();
    if days < 2 {
        return Err(AnalyzeError::TooFewDays { name: columns[0].name.clone(), days, needed: 2 });
    }
    let mut notes = Vec::new();
    let mut metrics = Vec::new();
    for (place, column) in columns.iter().enumerate() {
        halt.check()?;
        let percent = u8::try_from(20 + place * 60 / columns.len()).unwrap_or(80);
        halt.said(percent, &format!("describing {}", column.name));
        metrics.push(metric(table, column, params, halt)?);
    }
    for metric in metrics.iter().filter(|metric| metric.description.sd.is_none_or(|sd| sd == 0.0)) {
        notes.push(format!(
            "{} is {} on each of its {} days",
            metric.name,
            figure(metric.description.mean),
            metric.description.count
        ));
    }
    halt.said(80, "comparing");
    columns.extend(table.columns().iter().filter(|column| {
        column.role.is_weather() && column.numbers().is_some() && !params.metrics.contains(&column.name)
    }));
    if columns.len() > COMPARED_MAX {
        notes.push(format!(
            "the first {COMPARED_MAX} of {} columns were compared with each other",
            columns.len()
        ));
        columns.truncate(COMPARED_MAX);
    }
    let mut correlations = Vec::new();
    for (place, left) in columns.iter().enumerate() {
        for right in &columns[place + 1..] {
            halt.check()?;
            let both = left.numbers().zip(right.numbers());
            if let Some(correlation) = both.and_then(|(left, right)| correlate(left, right)) {
                correlations.push(Pair { left: left.name.clone(), right: right.name.clone(), correlation });
            }
        }
    }
    let (summary, figures) = told(&metrics);
    let document = serde_json::to_value(Document { metrics, correlations })?;
    Ok(Finding { document, summary, figures, notes })
}

fn metric(
    table: &Table,
    column: &Column,
    params: &AnalyzeParams,
    halt: &Halt,
) -> Result<Metric, AnalyzeError> {
    let numbers = column.numbers().unwrap_or_default();
    let series = table.series(&column.name, numbers)?;
    let threshold = params.outlier_threshold.unwrap_or(OUTLIER_THRESHOLD);
    Ok(Metric {
        name: column.name.clone(),
        // Days between the first and the last that are not there are missing, too.
        description: describe(&column.name, series.values())?,
        by_weekday: by_weekday(&series),
        by_month: by_month(&series),
        trend: trend(&series, halt)?,
        weekly: weekly(&series),
        yearly: yearly(&series),
        outliers: outliers(&series, threshold, OUTLIERS_MAX, halt)?,
    })
}

fn told(metrics: &[Metric]) -> (Vec<String>, BTreeMap<String, f64>) {
    let (mut said, mut figures) = (Vec::new(), BTreeMap::new());
    for metric in metrics.iter().take(TOLD_MAX) {
        let Metric { name, description, .. } = metric;
        said.push(format!(
            "{name} is {} on average, {} to {} on nine days of ten ({} days).",
            figure(description.mean),
            figure(description.p5),
            figure(description.p95),
            description.count
        ));
        let mut note = |what: &str, value: Option<f64>| {
            if let Some(value) = value {
                figures.insert(format!("{name}.{what}"), value);
            }
        };
        note("mean", Some(description.mean));
        note("sd", description.sd);
        note("min", Some(description.min));
        note("median", Some(description.median));
        note("max", Some(description.max));
        note("outliers", Some(metric.outliers.count as f64));
        note("trendPerYear", metric.trend.as_ref().map(|trend| trend.per_year));
        note("weeklyStrength", metric.weekly.as_ref().map(|season| season.anova.eta_squared));
        note("yearlyStrength", metric.yearly.as_ref().map(|season| season.anova.eta_squared));
        if let Some((trend, p)) = metric.trend.as_ref().and_then(|trend| Some((trend, trend.p?)))
            && p < 0.05
        {
            let way = if trend.per_year > 0.0 { "rises" } else { "falls" };
            said.push(format!("{name} {way} by {} a year ({}).", figure(trend.per_year.abs()), chance(p)));
        }
        if let Some(season) = metric.weekly.as_ref().filter(|season| is_there(season)) {
            let by_mean = |a: &&GroupFigures, b: &&GroupFigures| a.mean.total_cmp(&b.mean);
            let most = metric.by_weekday.iter().max_by(by_mean);
            let least = metric.by_weekday.iter().min_by(by_mean);
            if let Some((most, least)) = most.zip(least) {
                let day = |group: &GroupFigures| WEEKDAYS[usize::from(group.key.clamp(1, 7)) - 1];
                said.push(format!(
                    "Weekdays make {} of {name}'s variation: most on {}s ({}), least on {}s ({}).",
                    percent(season.anova.eta_squared),
                    day(most),
                    figure(most.mean),
                    day(least),
                    figure(least.mean)
                ));
            }
        }
        if let Some(season) = metric.yearly.as_ref().filter(|season| is_there(season)) {
            said.push(format!("Months make {} of {name}'s variation.", percent(season.anova.eta_squared)));
        }
        if metric.outliers.count > 0 {
            let farthest = metric.outliers.days.iter().max_by(|a, b| a.score.total_cmp(&b.score));
            if let Some(day) = farthest {
                said.push(format!(
                    "{} of {name}'s days do not fit, most of all {}: {} where {} was to be expected.",
                    metric.outliers.count,
                    day.day,
                    figure(day.value),
                    figure(day.expected)
                ));
            }
        }
    }
    (said, figures)
}

/// Whether a season is worth a sentence: more than chance, and more than a trifle.
fn is_there(season: &Season) -> bool {
    season.anova.eta_squared >= 0.02 && season.anova.p.is_none_or(|p| p < 0.01)
}
