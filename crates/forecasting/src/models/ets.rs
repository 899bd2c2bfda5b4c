//! Exponential smoothing as models of errors, trend and season (Hyndman, Koehler, Ord & Snyder 2008, "Forecasting with Exponential
//! Smoothing: The State Space Approach", tables 2.2 and 2.3), the best of them by the corrected criterion of Akaike.
//!
//! Our own, because the libraries for it have no seasons: `augurs-ets` 0.10 lists its seasonal models as missing (and brings `nalgebra`), and
//! without them no series of days or months is served. What is left out is what that book advises against: trends that multiply, and
//! additive errors beside a season that multiplies.
//!
//! Level, slope and season begin at what the first cycles show, and level and slope are then fitted beside the smoothing parameters. All
//! additive and multiplicative errors share one recursion in the error itself, `e = y - forecast`: they differ in their likelihood alone.

use crate::season::PHASES_MAX;
use crate::simplex::{DIMENSIONS_MAX, Point, minimise};
use crate::watch::{Cancelled, Stop};

/// The newest values that are fitted. What lies before has no weight left: at the smallest useful alpha of 0.01, 1 in 1,000.
const VALUES_MAX: usize = 730;

/// A series longer than this gets fewer models to choose from: their likelihoods differ by so much that the near relatives do not matter.
const LONG: usize = 300;

/// Bounds of damping, as in the R package `forecast`: less is no trend at all, more is not to be told from none.
const DAMPING: (f64, f64) = (0.8, 0.98);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trend {
    None,
    Additive,
    Damped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seasonal {
    None,
    Additive,
    Multiplicative,
}

/// Which of the models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    multiplicative_error: bool,
    trend: Trend,
    seasonal: Seasonal,
}

impl Kind {
    /// Its name in the literature, such as `ETS(A,Ad,M)`.
    pub(crate) fn name(self) -> String {
        let error = if self.multiplicative_error { "M" } else { "A" };
        let trend = match self.trend {
            Trend::None => "N",
            Trend::Additive => "A",
            Trend::Damped => "Ad",
        };
        let seasonal = match self.seasonal {
            Seasonal::None => "N",
            Seasonal::Additive => "A",
            Seasonal::Multiplicative => "M",
        };
        format!("ETS({error},{trend},{seasonal})")
    }

    /// Parameters and initial states that are free.
    fn freedom(self, period: usize) -> usize {
        let trend = match self.trend {
            Trend::None => 0,
            Trend::Additive => 2,
            Trend::Damped => 3,
        };
        // The season's numbers add up to a known sum, so one of them follows from the others; and the spread of the errors counts.
        3 + trend + if self.seasonal == Seasonal::None { 0 } else { period }
    }
}

/// What a model has learned, kept so that the next fit to a little more of the series begins there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Learned {
    pub(crate) kind: Kind,
    period: usize,
    point: Point,
}

/// Smoothing parameters, each in its own bounds.
#[derive(Debug, Clone, Copy)]
struct Parameters {
    alpha: f64,
    beta: f64,
    gamma: f64,
    phi: f64,
}

#[derive(Debug, Clone, Copy)]
struct State {
    level: f64,
    slope: f64,
    /// Of the season's phases; the value at index `t` is of phase `t % period`.
    season: [f64; PHASES_MAX],
}

/// A series with what all models of it begin with.
struct Start<'a> {
    values: &'a [f64],
    period: usize,
    additive: State,
    multiplicative: State,
    plain: State,
    /// Size of a typical change, the unit in which level and slope are searched.
    unit: f64,
    positive: bool,
}

/// Fits the best model, or the one of `learned` from where it stood, and continues the series.
///
/// `period` is 1 for no season, and at most [`PHASES_MAX`]. None where no model fits.
pub(crate) fn forecast(
    values: &[f64],
    period: usize,
    horizon: usize,
    learned: Option<&Learned>,
    stop: Stop<'_>,
) -> Result<Option<(Vec<f64>, Learned)>, Cancelled> {
    let cycles = VALUES_MAX / period.max(1) * period.max(1);
    let values = &values[values.len().saturating_sub(cycles)..];
    let period =
        if (2..=PHASES_MAX).contains(&period) && values.len() >= 2 * period + 3 { period } else { 1 };
    let start = Start::new(values, period);
    let mut best: Option<(f64, Learned)> = None;
    match learned.filter(|learned| learned.period == period && start.allows(learned.kind)) {
        Some(before) => {
            let (point, _) = start.fit(before.kind, Some(before.point), 90, stop)?;
            best = Some((0.0, Learned { point, ..*before }));
        }
        None => {
            for kind in start.kinds() {
                let (point, likelihood) = start.fit(kind, None, 220, stop)?;
                let (n, k) = (values.len() as f64, kind.freedom(period) as f64);
                if n - k - 1.0 <= 0.0 {
                    continue;
                }
                let criterion = likelihood + 2.0 * k + 2.0 * k * (k + 1.0) / (n - k - 1.0);
                if criterion.is_finite() && best.as_ref().is_none_or(|best| criterion < best.0) {
                    best = Some((criterion, Learned { kind, period, point }));
                }
            }
        }
    }
    Ok(best.map(|(_, learned)| (start.ahead(&learned, horizon), learned)))
}

impl<'a> Start<'a> {
    fn new(values: &'a [f64], period: usize) -> Self {
        let changes: f64 = values.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum();
        let largest = values.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        let unit = (changes / values.len() as f64).max(largest * 1e-9).max(f64::MIN_POSITIVE);
        let positive = values.iter().all(|value| *value > 1e-6 * largest);
        let (level, slope) = first_line(values, period);
        let plain = State { level, slope, season: [0.0; PHASES_MAX] };
        let (mut additive, mut multiplicative) = (plain, plain);
        if period > 1 {
            (additive.season, multiplicative.season) = first_season(values, period);
            let without: Vec<f64> =
                values.iter().enumerate().map(|(t, value)| value - additive.season[t % period]).collect();
            (additive.level, additive.slope) = first_line(&without, period);
            let without: Vec<f64> = values
                .iter()
                .enumerate()
                .map(|(t, value)| value / multiplicative.season[t % period])
                .collect();
            (multiplicative.level, multiplicative.slope) = first_line(&without, period);
        }
        Self { values, period, additive, multiplicative, plain, unit, positive }
    }

    fn allows(&self, kind: Kind) -> bool {
        self.positive || !(kind.multiplicative_error || kind.seasonal == Seasonal::Multiplicative)
    }

    /// The models to choose from.
    fn kinds(&self) -> Vec<Kind> {
        let seasonals: &[Seasonal] =
            if self.period > 1 { &[Seasonal::Additive, Seasonal::Multiplicative] } else { &[Seasonal::None] };
        let mut kinds = Vec::with_capacity(12);
        for &seasonal in seasonals {
            for trend in [Trend::None, Trend::Additive, Trend::Damped] {
                for multiplicative_error in [false, true] {
                    let kind = Kind { multiplicative_error, trend, seasonal };
                    let multiplies = seasonal == Seasonal::Multiplicative;
                    let near = self.values.len() > LONG && multiplicative_error != multiplies;
                    if self.allows(kind) && (multiplicative_error || !multiplies) && !near {
                        kinds.push(kind);
                    }
                }
            }
        }
        kinds
    }

    fn state(&self, kind: Kind) -> State {
        match kind.seasonal {
            Seasonal::None => self.plain,
            Seasonal::Additive => self.additive,
            Seasonal::Multiplicative => self.multiplicative,
        }
    }

    /// Parameters and first state that a point of the search stands for: alpha, then level, then what the model has of slope, beta, phi, gamma.
    fn read(&self, kind: Kind, point: &Point) -> (Parameters, State) {
        let mut state = self.state(kind);
        let alpha = within(point[0], 1e-4, 0.9999);
        state.level += point[1] * self.unit;
        let mut next = 2;
        let mut take = || {
            next += 1;
            point[next - 1]
        };
        let (mut beta, mut phi, mut gamma) = (0.0, 1.0, 0.0);
        if kind.trend == Trend::None {
            state.slope = 0.0;
        } else {
            state.slope += take() * self.unit * 0.1;
            beta = alpha * within(take(), 1e-4, 0.9999);
            if kind.trend == Trend::Damped {
                phi = within(take(), DAMPING.0, DAMPING.1);
            }
        }
        if kind.seasonal != Seasonal::None {
            gamma = (1.0 - alpha) * within(take(), 1e-4, 0.9999);
        }
        (Parameters { alpha, beta, gamma, phi }, state)
    }

    fn fit(
        &self,
        kind: Kind,
        from: Option<Point>,
        evaluations: usize,
        stop: Stop<'_>,
    ) -> Result<(Point, f64), Cancelled> {
        let mut point = [0.0; DIMENSIONS_MAX];
        let mut steps = Vec::with_capacity(DIMENSIONS_MAX);
        // Where the search begins: alpha 0.3, beta a tenth of it, damping near its upper end, gamma a twentieth.
        point[0] = -0.85;
        steps.extend([1.2, 1.0]);
        if kind.trend != Trend::None {
            point[3] = -2.2;
            steps.extend([1.0, 1.2]);
            if kind.trend == Trend::Damped {
                point[4] = 1.5;
                steps.push(-1.5);
            }
        }
        if kind.seasonal != Seasonal::None {
            point[steps.len()] = -3.0;
            steps.push(1.5);
        }
        if let Some(from) = from {
            point = from;
            // Level and slope belong to where the series began to be fitted, which may be elsewhere now.
            for step in &mut steps {
                *step *= 0.4;
            }
        }
        let (point, likelihood) = minimise(point, &steps, evaluations, stop, |point| {
            let (parameters, mut state) = self.read(kind, point);
            self.run(kind, parameters, &mut state)
        })?;
        Ok((point, likelihood))
    }

    /// Runs over the values from a first state, which becomes the last one; the return is -2 times the likelihood's logarithm, but for a
    /// constant.
    fn run(&self, kind: Kind, by: Parameters, state: &mut State) -> f64 {
        let (mut level, mut slope) = (state.level, state.slope);
        let season = &mut state.season;
        let (mut squares, mut logs, mut phase) = (0.0, 0.0, 0);
        let multiplies = kind.seasonal == Seasonal::Multiplicative;
        for &value in self.values {
            let base = level + by.phi * slope;
            let part = season[phase];
            let expected = if multiplies { base * part } else { base + part };
            let error = value - expected;
            if kind.multiplicative_error {
                if expected <= 1e-9 * self.unit {
                    return f64::INFINITY;
                }
                let relative = error / expected;
                squares += relative * relative;
                logs += expected.ln();
            } else {
                squares += error * error;
            }
            if multiplies {
                level = base + by.alpha * error / part;
                slope = by.phi * slope + by.beta * error / part;
                season[phase] = part + by.gamma * error / base;
            } else {
                level = base + by.alpha * error;
                slope = by.phi * slope + by.beta * error;
                season[phase] = part + by.gamma * error;
            }
            phase += 1;
            if phase == self.period {
                phase = 0;
            }
        }
        (state.level, state.slope) = (level, slope);
        let n = self.values.len() as f64;
        // A series that a model explains wholly has no likelihood; the bound keeps the logarithm finite.
        n * (squares / n).max(1e-30).ln() + 2.0 * logs
    }

    /// The steps after the last value.
    fn ahead(&self, learned: &Learned, horizon: usize) -> Vec<f64> {
        let (by, mut state) = self.read(learned.kind, &learned.point);
        self.run(learned.kind, by, &mut state);
        let (mut damped, mut reach) = (1.0, 0.0);
        (0..horizon)
            .map(|step| {
                damped *= by.phi;
                reach += damped;
                let base = state.level + reach * state.slope;
                let part = state.season[(self.values.len() + step) % self.period];
                match learned.kind.seasonal {
                    Seasonal::None => base,
                    Seasonal::Additive => base + part,
                    Seasonal::Multiplicative => base * part,
                }
            })
            .collect()
    }
}

/// A number of the whole line as one between two bounds.
fn within(free: f64, low: f64, high: f64) -> f64 {
    low + (high - low) / (1.0 + (-free).exp())
}

/// Level before the first value and slope of the line through the first cycles.
fn first_line(values: &[f64], period: usize) -> (f64, f64) {
    let count = values.len().min(10.max(2 * period));
    let (n, first) = (count as f64, &values[..count]);
    let middle = (n - 1.0) / 2.0;
    let mean = first.iter().sum::<f64>() / n;
    let across: f64 = first.iter().enumerate().map(|(t, value)| (t as f64 - middle) * (value - mean)).sum();
    let spread = n * (n * n - 1.0) / 12.0;
    let slope = if spread > 0.0 { across / spread } else { 0.0 };
    (mean - slope * (middle + 1.0), slope)
}

/// The season of the first cycles, once as what is added and once as what multiplies: means of the phases around a running mean.
fn first_season(values: &[f64], period: usize) -> ([f64; PHASES_MAX], [f64; PHASES_MAX]) {
    let count = values.len().min((5 * period).max(2 * period + 3));
    let half = period / 2;
    let edge = if period.is_multiple_of(2) { 0.5 } else { 1.0 };
    let (mut added, mut times) = ([0.0; PHASES_MAX], [1.0; PHASES_MAX]);
    let (mut sums, mut shares, mut counts) = ([0.0; PHASES_MAX], [0.0; PHASES_MAX], [0.0; PHASES_MAX]);
    for at in half..count - half {
        let inner: f64 = values[at + 1 - half..at + half].iter().sum();
        let trend = (inner + edge * (values[at - half] + values[at + half])) / period as f64;
        let phase = at % period;
        sums[phase] += values[at] - trend;
        shares[phase] += if trend.abs() > 0.0 { values[at] / trend } else { 1.0 };
        counts[phase] += 1.0;
    }
    for phase in 0..period {
        if counts[phase] > 0.0 {
            added[phase] = sums[phase] / counts[phase];
            times[phase] = shares[phase] / counts[phase];
        }
    }
    let mean = added[..period].iter().sum::<f64>() / period as f64;
    added[..period].iter_mut().for_each(|part| *part -= mean);
    let mean = times[..period].iter().sum::<f64>() / period as f64;
    // A season that multiplies by nothing, or by less, is none; the models that would use it are not asked then.
    times[..period]
        .iter_mut()
        .for_each(|part| *part = if mean > 0.0 { (*part / mean).max(0.01) } else { 1.0 });
    (added, times)
}
