//! Forecasts many series and says how long it took.
//!
//! `forecast_many < series.jsonl > forecasts.jsonl` reads a series a line, `{"name": …, "first": "2024-01-31", "step": "day", "values": [1,
//! null, …], "horizon": 30, "models": ["ma", …]}` (the last may be missing), and writes a forecast a line. `forecast_many --speed 200
//! [--days 1095]` makes up that many series of days and forecasts them 30 days ahead, on as many threads as there are processors, with all
//! models.

use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use bulrush_forecasting::{Forecast, History, Model, Settings, Stage, Step, Unwatched, Watch, forecast};
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: String,
    first: Date,
    step: String,
    values: Vec<Option<f64>>,
    horizon: usize,
    models: Option<Vec<String>>,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| -> Result<Option<usize>> {
        let Some(at) = words.iter().position(|word| word == name) else { return Ok(None) };
        let word = words.get(at + 1).with_context(|| format!("{name} needs a number"))?;
        Ok(Some(word.parse().with_context(|| format!("{name} {word}"))?))
    };
    if let Some(count) = number("--speed")? {
        return speed(count, number("--days")?.unwrap_or(3 * 365));
    }
    let mut out = stdout().lock();
    for line in stdin().lock().lines() {
        let line: Line = serde_json::from_str(&line?)?;
        writeln!(out, "{}", answer(line)?)?;
    }
    Ok(())
}

fn answer(line: Line) -> Result<Value> {
    let step = match line.step.as_str() {
        "day" => Step::Day,
        "week" => Step::Week,
        "month" => Step::Month,
        other => anyhow::bail!("{}: step {other:?} is none of day, week and month", line.name),
    };
    let models = match line.models {
        None => Model::ALL.to_vec(),
        Some(names) => names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?,
    };
    let settings = Settings { horizon: line.horizon, models, non_negative: false };
    let start = Instant::now();
    let done = History::new(line.first, step, line.values)
        .and_then(|history| forecast(&history, &settings, &Unwatched));
    let ms = start.elapsed().as_secs_f64() * 1e3;
    Ok(match done {
        Err(error) => json!({"name": line.name, "error": error.to_string(), "ms": ms}),
        Ok(done) => told(&line.name, &done, ms),
    })
}

fn told(name: &str, forecast: &Forecast, ms: f64) -> Value {
    let column = |of: fn(&bulrush_forecasting::ForecastPoint) -> f64| {
        forecast.points.iter().map(of).collect::<Vec<_>>()
    };
    let models: Vec<Value> = forecast
        .models
        .iter()
        .map(|model| {
            json!({"model": model.model.name(), "weight": model.weight, "mase": model.mase, "fitted": model.fitted, "left_out": model.left_out})
        })
        .collect();
    json!({
        "name": name, "ms": ms, "season": forecast.season, "models": models, "notes": forecast.notes,
        "mean": column(|point| point.mean),
        "low80": column(|point| point.low80), "high80": column(|point| point.high80),
        "low95": column(|point| point.low95), "high95": column(|point| point.high95),
        "mase": forecast.accuracy.mase, "coverage80": forecast.accuracy.coverage80, "coverage95": forecast.accuracy.coverage95,
        "folds": forecast.accuracy.folds, "outliers": forecast.cleaning.outliers.len(),
    })
}

/// Sales of days with a trend, a week, a year, noise, some gaps and some slips.
fn made_up(seed: usize, days: usize) -> Vec<Option<f64>> {
    let mut state = seed as u64 + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64
    };
    let (week, year, drift) = (next() * 20.0, next() * 30.0, next() * 0.05);
    (0..days)
        .map(|day| {
            let weekend = if day % 7 < 2 { week } else { 0.0 };
            let season = year * (day as f64 / 365.25 * std::f64::consts::TAU).sin();
            let noise: f64 = (0..4).map(|_| next() - 0.5).sum::<f64>() * 15.0;
            let slip = if next() < 0.003 { 200.0 } else { 0.0 };
            (next() > 0.01 || day == 0)
                .then_some((100.0 + drift * day as f64 + weekend + season + noise + slip).max(0.0))
        })
        .collect()
}

/// Notes the longest time between two questions whether to stop, which is how long a cancel may take.
struct Patience {
    asked: Mutex<Instant>,
    longest: AtomicU64,
}

impl Watch for Patience {
    fn stage(&self, _: Stage) {}

    fn is_cancelled(&self) -> bool {
        let now = Instant::now();
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let micros = now.duration_since(*asked).as_micros();
        self.longest.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
        *asked = now;
        false
    }
}

fn speed(count: usize, days: usize) -> Result<()> {
    let threads = std::thread::available_parallelism()?.get();
    let settings = Settings { non_negative: true, ..Settings::default() };
    let (next, longest) = (AtomicUsize::new(0), AtomicU64::new(0));
    let start = Instant::now();
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= count {
                    return Ok(());
                }
                let history = History::new(jiff::civil::date(2023, 1, 2), Step::Day, made_up(seed, days))?;
                let patience = Patience { asked: Mutex::new(Instant::now()), longest: AtomicU64::new(0) };
                forecast(&history, &settings, &patience)?;
                longest.fetch_max(patience.longest.into_inner(), Ordering::Relaxed);
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .try_for_each(|handle| handle.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    let seconds = start.elapsed().as_secs_f64();
    // What other programs take of the processors meanwhile is not ours.
    let own = processor_seconds().unwrap_or(seconds * threads as f64);
    println!(
        "{count} series of {days} days, {} ahead, all models, {threads} threads: {seconds:.1} s, {:.0} series a minute; {:.0} ms of a \
         processor each, so {:.0} series a minute on two",
        settings.horizon,
        count as f64 * 60.0 / seconds,
        own * 1e3 / count as f64,
        count as f64 * 120.0 / own
    );
    println!("the longest time until a cancel would be noticed: {:.1} ms", longest.into_inner() as f64 / 1e3);
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    }
    Ok(())
}

/// Time of processors that this program has taken, where the system tells: fields 14 and 15 of its line, in hundredths of a second.
fn processor_seconds() -> Option<f64> {
    let line = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some(ticks / 100.0)
}
