//! Which columns tell a figure best.

use std::collections::{BTreeMap, BTreeSet};

use bulrush_catalog::jobs::AnalyzeParams;
use bulrush_statistics::{
    Boosting, FeatureGroup, ImportanceData, ImportanceReport, ImportanceSettings, feature_importance,
};
use serde_json::json;

use super::halt::Halt;
use super::table::{Cells, Column, Table};
use super::words::{figure, percent};
use super::{AnalyzeError, Finding};

const USUAL: [&str; 3] = ["price", "occupancy", "bookings"];
/// Most different words of a column: more of them are names, not kinds.
const WORDS_MAX: usize = 32;
/// The smallest group whose columns are shuffled together.
const GROUP_MIN: usize = 2;

/// A column for the trees.
struct Feature {
    name: String,
    group: Option<&'static str>,
    values: Vec<Option<f64>>,
}

pub(super) fn find(table: &Table, params: &AnalyzeParams, halt: &Halt) -> Result<Finding, AnalyzeError> {
    let (column, numbers) = table.target(params.target.as_deref(), &USUAL)?;
    let name = column.name.clone();
    table.check_gaps(&name, |row| numbers[row].is_some())?;
    let kept: Vec<usize> = (0..numbers.len()).filter(|row| numbers[*row].is_some()).collect();
    let target: Vec<f64> = kept.iter().filter_map(|row| numbers[*row]).collect();
    let positions = table.positions();
    let positions: Vec<i64> = kept.iter().map(|row| positions[*row]).collect();
    let mut notes = Vec::new();
    let features = features(table, params, &name, &kept, &mut notes)?;
    let columns: Vec<(&str, &[Option<f64>])> =
        features.iter().map(|feature| (feature.name.as_str(), feature.values.as_slice())).collect();
    let groups: Vec<FeatureGroup> = ["calendar", "weather", "holidays"]
        .into_iter()
        .map(|group| FeatureGroup {
            name: group.to_owned(),
            columns: (0..features.len()).filter(|place| features[*place].group == Some(group)).collect(),
        })
        .filter(|group| group.columns.len() >= GROUP_MIN)
        .collect();
    let usual = ImportanceSettings::default();
    let settings = ImportanceSettings {
        holdout: params.holdout.unwrap_or(usual.holdout),
        repeats: params.repeats.unwrap_or(usual.repeats),
        seed: params.seed.unwrap_or(usual.seed),
        boosting: Boosting { trees: params.trees.unwrap_or(usual.boosting.trees), ..usual.boosting },
    };
    halt.said(30, "growing trees");
    let data = ImportanceData {
        name: &name,
        target: &target,
        positions: &positions,
        columns: &columns,
        groups: &groups,
    };
    let report = feature_importance(&data, &settings, halt)?;
    let (summary, figures) = told(&name, &report, &mut notes);
    let document = json!({
        "target": name,
        "holdout": settings.holdout,
        "repeats": settings.repeats,
        "seed": settings.seed,
        "report": report,
    });
    Ok(Finding { document, summary, figures, notes })
}

/// What the day itself says.
const CALENDAR: [&str; 4] = ["weekday", "month", "dayOfYear", "trend"];

fn calendar(table: &Table, name: &str, kept: &[usize]) -> Vec<Option<f64>> {
    let positions = table.positions();
    let value = |row: &usize| {
        let day = table.days()[*row];
        Some(match name {
            "weekday" => f64::from(day.weekday().to_monday_one_offset()),
            "month" => f64::from(day.month()),
            "dayOfYear" => f64::from(day.day_of_year()),
            _ => positions[*row] as f64,
        })
    };
    kept.iter().map(value).collect()
}

fn features(
    table: &Table,
    params: &AnalyzeParams,
    target: &str,
    kept: &[usize],
    notes: &mut Vec<String>,
) -> Result<Vec<Feature>, AnalyzeError> {
    let of_day = |name: &str| Feature {
        name: name.to_owned(),
        group: Some("calendar"),
        values: calendar(table, name, kept),
    };
    let mut features = Vec::new();
    if params.features.is_empty() {
        features.extend(CALENDAR.into_iter().map(of_day));
        for column in table.columns() {
            // Other figures are outcomes as the target is: they tell it without being its reason.
            let is_outcome = column.role == super::roles::Role::Figure;
            let is_known = column.role == super::roles::Role::Calendar || column.name == target;
            if !is_outcome && !is_known && !CALENDAR.contains(&column.name.as_str()) {
                features.extend(feature(column, kept, notes));
            }
        }
    } else {
        for name in &params.features {
            if name == target {
                notes.push(format!("{name} is what is to be told, and was left out of what tells it"));
            } else if table.columns().iter().all(|column| column.name != *name)
                && CALENDAR.contains(&name.as_str())
            {
                features.push(of_day(name));
            } else {
                features.extend(feature(table.column("params.features", name)?, kept, notes));
            }
        }
    }
    Ok(features)
}

fn feature(column: &Column, kept: &[usize], notes: &mut Vec<String>) -> Option<Feature> {
    let values = match (&column.cells, column.as_numbers()) {
        (_, Some(numbers)) => numbers,
        (Cells::Words(words), None) => {
            let kinds: BTreeSet<&String> = words.iter().flatten().collect();
            if kinds.len() > WORDS_MAX {
                notes.push(format!(
                    "{} has {} different words, more than {WORDS_MAX}, and was left out",
                    column.name,
                    kinds.len()
                ));
                return None;
            }
            let places: BTreeMap<&String, f64> = kinds.into_iter().zip((0_u32..).map(f64::from)).collect();
            words.iter().map(|word| word.as_ref().and_then(|word| places.get(word).copied())).collect()
        }
        _ => return None,
    };
    let values: Vec<Option<f64>> = kept.iter().map(|row| values[*row]).collect();
    if values.iter().all(Option::is_none) {
        notes.push(format!("{} is known on no day and was left out", column.name));
        return None;
    }
    let group = if column.role.is_weather() {
        Some("weather")
    } else if column.role.is_holiday() {
        Some("holidays")
    } else {
        None
    };
    Some(Feature { name: column.name.clone(), group, values })
}

fn told(
    target: &str,
    report: &ImportanceReport,
    notes: &mut Vec<String>,
) -> (Vec<String>, BTreeMap<String, f64>) {
    let mut figures = BTreeMap::from([
        ("r2".to_owned(), report.score.r2),
        ("mae".to_owned(), report.score.mae),
        ("rmse".to_owned(), report.score.rmse),
        ("meanRmse".to_owned(), report.mean_score.rmse),
    ]);
    if let Some(score) = report.same_weekday_score {
        figures.insert("sameWeekdayRmse".to_owned(), score.rmse);
    }
    let naive = [report.same_weekday_score, report.year_ago_score].into_iter().flatten();
    let best = naive.map(|score| score.rmse).fold(report.mean_score.rmse, f64::min);
    let mut said = vec![format!(
        "On the last {} days, which it has not seen, the model is off by {} on average and explains {} of {target}'s variation.",
        report.holdout_rows,
        figure(report.score.mae),
        percent(report.score.r2)
    )];
    if report.score.rmse > best {
        notes.push(format!(
            "the model does not beat a naive guess on the days held out (error {} against {}): what it says of columns means little",
            figure(report.score.rmse),
            figure(best)
        ));
    }
    let matters = |one: &&bulrush_statistics::Importance| one.mean > 2.0 * one.sd && one.mean > 0.001;
    let most: Vec<String> = report
        .features
        .iter()
        .filter(matters)
        .take(3)
        .map(|one| {
            figures.insert(format!("importance.{}", one.name), one.mean);
            format!("{} ({})", one.name, figure(one.mean))
        })
        .collect();
    said.push(if most.is_empty() {
        format!("No column tells {target} better than chance.")
    } else {
        format!("What tells {target} best, by how much R² falls without it: {}.", most.join(", "))
    });
    if report.features.iter().any(|one| one.name == "trend") {
        notes.push(
            "trend lies beyond what was learned on all days held out, so shuffling shows nothing of it"
                .to_owned(),
        );
    }
    (said, figures)
}
