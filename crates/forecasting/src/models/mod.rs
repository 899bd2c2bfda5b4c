//! The models. Each takes a prepared series and continues it; none knows of the others, of errors or of intervals.

mod ets;
mod linear;
mod moving_average;
mod seasonal;
mod smoothing;
mod theta;

use crate::Model;
use crate::prepare::Prepared;
use crate::watch::{Cancelled, Stop};

/// What models learned from an older part of the same series, so that the next fit need not search everything again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    smoothing: Option<ets::Learned>,
    seasonal: Option<ets::Learned>,
}

/// A model's forecast.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    /// One value for each step of the horizon.
    pub(crate) ahead: Vec<f64>,
    /// What was fitted.
    pub(crate) fitted: String,
}

/// Continues a series. None where the model cannot: it has no season to work with, or went astray.
pub(crate) fn run(
    model: Model,
    prepared: &Prepared,
    horizon: usize,
    memory: &mut Memory,
    stop: Stop<'_>,
) -> Result<Option<Seen>, Cancelled> {
    stop.check()?;
    let seen = match model {
        Model::MovingAverage => Some(moving_average::forecast(prepared, horizon)),
        Model::Linear => linear::forecast(prepared, horizon),
        Model::ExponentialSmoothing => smoothing::forecast(prepared, horizon, memory, stop)?,
        Model::Seasonal => seasonal::forecast(prepared, horizon, memory, stop)?,
    };
    Ok(seen.filter(|seen| sane(&prepared.values, &seen.ahead)).map(|mut seen| {
        hold_back(&prepared.values, prepared.short().unwrap_or(7), &mut seen.ahead);
        seen
    }))
}

/// How much further than ever before over the same time a forecast may go.
const FURTHER_MAX: f64 = 1.5;

/// Bends a forecast back that goes much further over the horizon than the series ever went in as much time: what is left of a trend that was
/// fitted to a few strange days, and would be continued for a month. `window` is how many values make a level.
fn hold_back(values: &[f64], window: usize, ahead: &mut [f64]) {
    let window = window.min(values.len() / 2).min(ahead.len()).max(1);
    let levels: Vec<f64> =
        values.windows(window).map(|part| part.iter().sum::<f64>() / window as f64).collect();
    let reach = ahead.len().min(levels.len() / 2).max(1);
    let most =
        levels.iter().zip(&levels[reach..]).map(|(before, after)| (after - before).abs()).fold(0.0, f64::max);
    // Where the history is too short to show so long a way, as if it went on likewise.
    let most = FURTHER_MAX * most * (ahead.len() as f64 / reach as f64);
    let end = ahead[ahead.len() - window..].iter().sum::<f64>() / window as f64;
    let way = end - levels[levels.len() - 1];
    let excess = way - way.clamp(-most, most);
    if excess != 0.0 {
        // Where the last level stands, in the middle of its values, all of the excess is taken off.
        let full = ahead.len() as f64 - (window as f64 - 1.0) / 2.0;
        for (step, value) in ahead.iter_mut().enumerate() {
            *value -= excess * (step + 1) as f64 / full;
        }
    }
}

/// Whether a forecast is of this world: within a hundred times the range of the history on either side of it.
fn sane(values: &[f64], ahead: &[f64]) -> bool {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let reach = 100.0 * (high - low).max(high.abs() * 1e-9);
    ahead.iter().all(|value| value.is_finite() && *value >= low - reach && *value <= high + reach)
}

/// The season's phases, which add up to 0: means around a running mean over one period, of the newest cycles. For a period of 1 a single 0.
fn phases(values: &[f64], period: usize) -> Vec<f64> {
    let mut parts = vec![0.0; period.max(1)];
    let half = period / 2;
    // So many cycles that a phase is the mean of ten values or more, so few that a season that changes is followed.
    let from = values.len().saturating_sub(period * 12 + 2 * half);
    if period < 2 || values.len() < 2 * period + 1 {
        return parts;
    }
    let edge = if period.is_multiple_of(2) { 0.5 } else { 1.0 };
    let mut counts = vec![0.0; period];
    for at in from + half..values.len() - half {
        let inner: f64 = values[at + 1 - half..at + half].iter().sum();
        let trend = (inner + edge * (values[at - half] + values[at + half])) / period as f64;
        parts[at % period] += values[at] - trend;
        counts[at % period] += 1.0;
    }
    parts.iter_mut().zip(&counts).for_each(|(part, count)| *part /= f64::max(*count, 1.0));
    let mean = parts.iter().sum::<f64>() / period as f64;
    for part in &mut parts {
        *part -= mean;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::Noise;
    use crate::{Step, Unwatched};

    fn said(model: Model, values: &[f64], step: Step, horizon: usize) -> Seen {
        let observed: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        let prepared = Prepared::new(&observed, step);
        run(model, &prepared, horizon, &mut Memory::default(), Stop(&Unwatched)).unwrap().unwrap()
    }

    #[test]
    fn every_model_continues_a_trend_of_months_whose_season_grows_with_it() {
        let value = |t: usize| {
            (100.0 + 2.0 * t as f64) * (1.0 + 0.3 * (t as f64 * std::f64::consts::TAU / 12.0).sin())
        };
        let mut noise = Noise::new(1);
        let values: Vec<f64> = (0..96).map(|t| value(t) * (1.0 + 0.01 * noise.normal())).collect();
        // A mean lags behind a trend; how far is known.
        for (model, most) in [
            (Model::MovingAverage, 0.12),
            (Model::Linear, 0.08),
            (Model::ExponentialSmoothing, 0.05),
            (Model::Seasonal, 0.05),
        ] {
            let seen = said(model, &values, Step::Month, 12);
            for (step, ahead) in seen.ahead.iter().enumerate() {
                let wanted = value(96 + step);
                assert!(
                    (ahead / wanted - 1.0).abs() < most,
                    "{} at {step}: {ahead} for {wanted}",
                    seen.fitted
                );
            }
        }
    }

    #[test]
    fn the_season_s_models_are_chosen_where_there_is_one() {
        let mut noise = Noise::new(2);
        let added: Vec<f64> =
            (0..120).map(|t| 50.0 + [0.0, 3.0, 8.0, 1.0, 0.0, -4.0, -8.0][t % 7] + noise.normal()).collect();
        let seen = said(Model::ExponentialSmoothing, &added, Step::Day, 14);
        assert!(seen.fitted.contains(",N,A)") || seen.fitted.contains(",N,M)"), "{}", seen.fitted);
        assert_eq!(said(Model::Seasonal, &added, Step::Day, 14).fitted.split(" and").next(), Some("MSTL(7)"));
        let flat: Vec<f64> = (0..120).map(|_| 50.0 + noise.normal()).collect();
        assert!(said(Model::ExponentialSmoothing, &flat, Step::Day, 14).fitted.contains(",N,N)"));
    }

    #[test]
    fn a_forecast_that_runs_away_is_held_back_and_a_steady_trend_is_not() {
        let level: Vec<f64> = (0..60).map(|t| 100.0 + f64::from(t % 5)).collect();
        let mut away: Vec<f64> = (1..=30).map(|t| 100.0 - 15.0 * f64::from(t)).collect();
        hold_back(&level, 7, &mut away);
        let end = away[23..].iter().sum::<f64>() / 7.0;
        assert!((end - 102.0).abs() < 3.0, "{away:?}");
        let trend: Vec<f64> = (0..60).map(|t| 100.0 + f64::from(t)).collect();
        let steady: Vec<f64> = (60..90).map(|t| 100.0 + f64::from(t)).collect();
        let mut held = steady.clone();
        hold_back(&trend, 7, &mut held);
        assert_eq!(held, steady);
    }
}
