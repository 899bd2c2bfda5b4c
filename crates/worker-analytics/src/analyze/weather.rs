//! How weather moves a figure: a regression on the weather, with all else that moves it held the same.

use std::collections::BTreeMap;

use bulrush_catalog::jobs::AnalyzeParams;
use bulrush_catalog::jobs::analyze::{Control, StandardErrors};
use bulrush_statistics::{
    Coefficient, Column as Figures, Errors, ErrorsUsed, FTest, OlsSettings, Regression, StatisticsError,
    bartlett_lags, ols,
};
use jiff::civil::Date;
use serde::Serialize;

use super::halt::Halt;
use super::roles::Role;
use super::table::Table;
use super::words::{chance, figure, list, percent};
use super::{AnalyzeError, Finding};

/// Rows that there must be beyond the columns, so that errors mean something.
const ROWS_BEYOND: usize = 10;
/// A day with so much rain, mm, is a rainy day.
const RAINY_MM: f64 = 1.0;
/// The share of days that a column of the weather must be known on, or it costs more days than it tells.
const KNOWN_MIN: f64 = 0.5;
/// Days that may be alike for a reason of their own.
const WEEK: usize = 7;
const USUAL: [&str; 3] = ["price", "occupancy", "bookings"];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    target: String,
    /// Columns of the weather, in the order of the coefficients.
    weather: Vec<String>,
    controls: Vec<&'static str>,
    regression: Regression,
    /// Why errors are of this kind.
    errors_chosen: String,
    /// What all weather together explains beyond the rest.
    weather_jointly: Option<Joint>,
    effects: Vec<Effect>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Joint {
    #[serde(flatten)]
    test: FTest,
    partial_r2: f64,
}

/// What a step that people know does to the target.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Effect {
    name: &'static str,
    about: &'static str,
    estimate: f64,
    low: Option<f64>,
    high: Option<f64>,
    p: Option<f64>,
    /// As a share of the target's mean.
    of_mean: Option<f64>,
}

/// Rows in which everything is known.
struct Rows {
    target: Vec<f64>,
    days: Vec<Date>,
    positions: Vec<i64>,
    weather: Vec<(Role, Figures)>,
    holidays: Vec<Figures>,
}

pub(super) fn find(table: &Table, params: &AnalyzeParams, halt: &Halt) -> Result<Finding, AnalyzeError> {
    let (column, numbers) = table.target(params.target.as_deref(), &USUAL)?;
    let name = column.name.clone();
    table.check_gaps(&name, |row| numbers[row].is_some())?;
    let mut notes = Vec::new();
    let controls: Vec<Control> =
        params.controls.clone().unwrap_or_else(|| Control::ALL.iter().map(|(control, _)| *control).collect());
    let weather = weather(table, params, (&name, numbers), &mut notes)?;
    let rows = rows(table, numbers, weather, controls.contains(&Control::Holiday), &mut notes);
    let others = others(&rows, &controls);
    let needed = rows.weather.len() + others.len() + 1 + ROWS_BEYOND;
    if rows.target.len() < needed {
        let (rows, columns) = (rows.target.len(), needed - 1 - ROWS_BEYOND);
        return Err(StatisticsError::TooFewRows { name, rows, columns, needed }.into());
    }
    let of_weather: Vec<Figures> = rows.weather.iter().map(|(_, figures)| figures.clone()).collect();
    let all: Vec<Figures> = of_weather.iter().chain(&others).cloned().collect();

    let confidence = params.confidence.unwrap_or(0.95);
    let plain = OlsSettings { confidence, ..OlsSettings::default() };
    let first = ols(&name, &rows.target, &all, &plain, halt)?;
    halt.said(50, "measuring errors");
    let (errors, errors_chosen) = errors(params, &first, &rows);
    let settings = OlsSettings { errors, ..plain.clone() };
    let regression = ols(&name, &rows.target, &all, &settings, halt)?;
    for dropped in &regression.dropped {
        notes.push(match &dropped.said_by[..] {
            [] => format!("{} is zero on each day and was left out", dropped.name),
            [one] if one == "intercept" => format!("{} never changes and was left out", dropped.name),
            several => format!(
                "{} says the same as {} together and was left out",
                dropped.name,
                list(several.iter().map(String::as_str))
            ),
        });
    }
    if regression.condition_number.is_some_and(|number| number > 30.0) {
        notes.push(format!(
            "some columns say nearly the same (condition number {}): their single effects are uncertain",
            figure(regression.condition_number.unwrap_or_default())
        ));
    }
    let kept = |figures: &Figures| regression.coefficient(&figures.name).is_some();
    if !of_weather.iter().any(kept) {
        return Err(AnalyzeError::NoWeather {
            advice: "every column of the weather was left out, as none changes",
        });
    }
    halt.said(65, "comparing with and without weather");
    let jointly = match ols(&name, &rows.target, &others, &plain, halt) {
        Ok(without) => regression.beyond(&without),
        // Without controls all that is explained is explained by the weather.
        Err(StatisticsError::NoColumns { .. }) => regression.f.clone().map(|f| (f, regression.r2)),
        Err(error) => return Err(error.into()),
    };
    let jointly = jointly.map(|(test, partial_r2)| Joint { test, partial_r2 });
    let mean = rows.target.iter().sum::<f64>() / rows.target.len() as f64;
    let effects = effects(&name, &rows, &others, &regression, &settings, mean, halt)?;
    let (summary, figures) = told(&name, &regression, jointly.as_ref(), &effects);
    let document = Document {
        weather: of_weather
            .iter()
            .filter(|figures| kept(figures))
            .map(|figures| figures.name.clone())
            .collect(),
        controls: Control::ALL
            .iter()
            .filter(|(one, _)| controls.contains(one))
            .map(|(_, name)| *name)
            .collect(),
        target: name,
        regression,
        errors_chosen,
        weather_jointly: jointly,
        effects,
    };
    Ok(Finding { document: serde_json::to_value(document)?, summary, figures, notes })
}

type WeatherColumn = (String, Role, Vec<Option<f64>>);

/// The columns of the weather: those named, or one each for temperature, precipitation, wind and sunshine.
fn weather(
    table: &Table,
    params: &AnalyzeParams,
    (explained, target): (&str, &[Option<f64>]),
    notes: &mut Vec<String>,
) -> Result<Vec<WeatherColumn>, AnalyzeError> {
    let mut found: Vec<WeatherColumn> = Vec::new();
    if params.weather.is_empty() {
        let of = |role: Role| {
            table
                .columns()
                .iter()
                .find(|column| column.role == role && column.known() > 0 && column.numbers().is_some())
                .and_then(|column| Some((column.name.clone(), role, column.numbers()?.to_vec())))
        };
        let both =
            of(Role::TemperatureMax).zip(of(Role::TemperatureMin)).map(|((_, _, max), (_, _, min))| {
                let middle = max.iter().zip(&min).map(|(max, min)| Some(f64::midpoint((*max)?, (*min)?)));
                ("temperature".to_owned(), Role::Temperature, middle.collect())
            });
        found.extend(of(Role::Temperature).or(both).or_else(|| of(Role::TemperatureMax)));
        found.extend([Role::Precipitation, Role::Wind, Role::Sunshine].into_iter().filter_map(of));
    } else {
        for name in &params.weather {
            if name == explained {
                notes.push(format!("{name} is what is explained, and was left out of the weather"));
                continue;
            }
            let (column, numbers) = table.numbers("params.weather", name)?;
            found.push((name.clone(), column.role, numbers.to_vec()));
        }
    }
    let days = target.iter().flatten().count();
    found.retain(|(name, _, values)| {
        let both = target.iter().zip(values).filter(|(target, value)| target.is_some() && value.is_some());
        let known = both.count();
        let is_enough = known as f64 >= KNOWN_MIN * days as f64;
        if !is_enough {
            notes.push(format!("{name} is known on {known} of {days} days and was left out"));
        }
        is_enough
    });
    if found.is_empty() {
        return Err(AnalyzeError::NoWeather {
            advice: "enrich the property, or send columns with these names, or name yours in params.weather",
        });
    }
    Ok(found)
}

fn rows(
    table: &Table,
    target: &[Option<f64>],
    weather: Vec<WeatherColumn>,
    with_holidays: bool,
    notes: &mut Vec<String>,
) -> Rows {
    let is_whole =
        |row: &usize| target[*row].is_some() && weather.iter().all(|(_, _, values)| values[*row].is_some());
    let kept: Vec<usize> = (0..target.len()).filter(is_whole).collect();
    let known = target.iter().flatten().count();
    if kept.len() < known {
        notes.push(format!("{} days without weather were left out", known - kept.len()));
    }
    let pick = |values: &[Option<f64>]| kept.iter().filter_map(|row| values[*row]).collect::<Vec<f64>>();
    let positions = table.positions();
    let holidays = table
        .columns()
        .iter()
        .filter(|column| with_holidays && matches!(column.role, Role::PublicHoliday | Role::SchoolHoliday));
    Rows {
        target: pick(target),
        days: kept.iter().map(|row| table.days()[*row]).collect(),
        positions: kept.iter().map(|row| positions[*row]).collect(),
        holidays: holidays
            .filter_map(|column| Some(Figures::new(column.name.clone(), pick(&column.as_numbers()?))))
            .filter(|figures| figures.values.len() == kept.len())
            .collect(),
        weather: weather
            .into_iter()
            .map(|(name, role, values)| (role, Figures::new(name, pick(&values))))
            .collect(),
    }
}

/// What is held the same: a column for each weekday but Monday, each month but the first, holidays, years.
fn others(rows: &Rows, controls: &[Control]) -> Vec<Figures> {
    let yes_or_no = |name: String, is: &dyn Fn(Date) -> bool| {
        Figures::new(name, rows.days.iter().map(|day| f64::from(u8::from(is(*day)))).collect())
    };
    let mut columns = Vec::new();
    if controls.contains(&Control::Weekday) {
        let days = ["tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
        for (number, name) in (2_i8..).zip(days) {
            let is = move |day: Date| day.weekday().to_monday_one_offset() == number;
            columns.push(yes_or_no(format!("weekday.{name}"), &is));
        }
    }
    if controls.contains(&Control::Month) {
        let there: std::collections::BTreeSet<i8> = rows.days.iter().map(|day| day.month()).collect();
        for month in there.into_iter().skip(1) {
            columns.push(yes_or_no(format!("month.{month}"), &move |day: Date| day.month() == month));
        }
    }
    // A weekday or holiday that is on none of the days has no column.
    columns.extend(rows.holidays.iter().cloned());
    columns.retain(|column| column.values.iter().any(|value| *value != 0.0));
    if controls.contains(&Control::Trend) {
        let years = rows.positions.iter().map(|day| *day as f64 / 365.25).collect();
        columns.push(Figures::new("trend.years", years));
    }
    columns
}

/// The errors that were asked for, or those that the residuals ask for, and why.
fn errors(params: &AnalyzeParams, first: &Regression, rows: &Rows) -> (Errors, String) {
    let lags = params.lags.unwrap_or_else(|| bartlett_lags(rows.target.len(), WEEK));
    let hac = || Errors::Hac { lags, positions: Some(rows.positions.clone()) };
    let alike = first.residual_autocorrelation.unwrap_or_default();
    // Beyond two standard errors of a correlation of independent values.
    let are_alike = alike.abs() > 2.0 / (rows.target.len() as f64).sqrt();
    match params.standard_errors.unwrap_or(StandardErrors::Auto) {
        StandardErrors::Classical => (Errors::Classical, "classical, as asked for".to_owned()),
        StandardErrors::Hc3 => (Errors::Hc3, "HC3, as asked for".to_owned()),
        StandardErrors::Hac => (hac(), format!("Newey-West over {lags} days, as asked for")),
        StandardErrors::Auto if are_alike => (
            hac(),
            format!(
                "Newey-West over {lags} days: what is left over on one day is like the next day's (correlation {})",
                figure(alike)
            ),
        ),
        StandardErrors::Auto => (
            Errors::Hc3,
            format!(
                "HC3: what is left over on one day says nothing of the next (correlation {})",
                figure(alike)
            ),
        ),
    }
}

/// What ten degrees and a rainy day do.
fn effects(
    name: &str,
    rows: &Rows,
    others: &[Figures],
    regression: &Regression,
    settings: &OlsSettings,
    mean: f64,
    halt: &Halt,
) -> Result<Vec<Effect>, AnalyzeError> {
    let of = |name, about, times: f64, coefficient: &Coefficient| Effect {
        name,
        about,
        estimate: coefficient.estimate * times,
        low: coefficient.low.map(|low| low * times),
        high: coefficient.high.map(|high| high * times),
        p: coefficient.p,
        of_mean: Some(coefficient.estimate * times / mean).filter(|share| share.is_finite()),
    };
    let mut effects = Vec::new();
    let warmth = rows.weather.iter().find(|(role, _)| *role == Role::Temperature);
    if let Some(coefficient) = warmth.and_then(|(_, figures)| regression.coefficient(&figures.name)) {
        effects.push(of("tenDegrees", "a day that is 10 degrees warmer", 10.0, coefficient));
    }
    if let Some((_, rain)) = rows.weather.iter().find(|(role, _)| *role == Role::Precipitation) {
        // The same regression with yes or no in place of the amount.
        halt.said(80, "looking at rainy days");
        let is_rainy = rain.values.iter().map(|mm| f64::from(u8::from(*mm >= RAINY_MM))).collect();
        let mut columns = vec![Figures::new("rainyDay", is_rainy)];
        columns.extend(
            rows.weather.iter().filter(|(role, _)| *role != Role::Precipitation).map(|(_, f)| f.clone()),
        );
        columns.extend(others.iter().cloned());
        match ols(name, &rows.target, &columns, settings, halt) {
            Ok(fit) => effects.extend(
                fit.coefficient("rainyDay")
                    .map(|rainy| of("rainyDay", "a day with 1 mm of rain or more", 1.0, rainy)),
            ),
            Err(StatisticsError::Cancelled) => return Err(AnalyzeError::Stopped),
            // It rains every day, or never: nothing to be said of it.
            Err(_) => {}
        }
    }
    Ok(effects)
}

fn told(
    target: &str,
    regression: &Regression,
    jointly: Option<&Joint>,
    effects: &[Effect],
) -> (Vec<String>, BTreeMap<String, f64>) {
    let mut said = Vec::new();
    let mut figures =
        BTreeMap::from([("r2".to_owned(), regression.r2), ("adjustedR2".to_owned(), regression.adjusted_r2)]);
    if let Some(joint) = jointly {
        figures.insert("weatherPartialR2".to_owned(), joint.partial_r2);
        let p = joint.test.p.unwrap_or(1.0);
        figures.insert("weatherP".to_owned(), p);
        let share = percent(joint.partial_r2);
        // The test is one for errors that are independent; beside others its word would be too good.
        let is_tested = matches!(regression.errors, ErrorsUsed::Classical);
        said.push(if !is_tested {
            format!("Weather explains {share} of what weekday, season and the like leave of {target}.")
        } else if p < 0.05 {
            format!(
                "Weather explains {share} of what weekday, season and the like leave of {target} ({}).",
                chance(p)
            )
        } else {
            format!(
                "No effect of the weather on {target} can be told from chance ({share} explained, {}).",
                chance(p)
            )
        });
    }
    for effect in effects {
        figures.insert(effect.name.to_owned(), effect.estimate);
        let way = if effect.estimate >= 0.0 { "raises" } else { "lowers" };
        let about = effect.about;
        let size = figure(effect.estimate.abs());
        let share =
            effect.of_mean.map(|share| format!(", {} of its mean", percent(share.abs()))).unwrap_or_default();
        let range = effect.low.zip(effect.high);
        let range = range.map(|(low, high)| format!("; {} to {} at 95 %", figure(low), figure(high)));
        let range = range.filter(|_| (regression.confidence - 0.95).abs() < 1e-9).unwrap_or_default();
        said.push(match effect.p {
            Some(p) if p < 0.05 => {
                format!("All else the same, {about} {way} {target} by {size}{share} ({}{range}).", chance(p))
            }
            Some(p) => format!("All else the same, {about} makes no difference to {target} that can be told from chance ({}{range}).", chance(p)),
            None => format!("All else the same, {about} {way} {target} by {size}{share}."),
        });
    }
    said.push(format!(
        "All columns together explain {} of {target}'s variation on {} days.",
        percent(regression.r2),
        regression.rows
    ));
    (said, figures)
}
