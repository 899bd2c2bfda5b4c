//! The mean of the last values, after the season is taken out. How many of them: the count that errs least over the horizon within the
//! series itself.

use super::{Seen, phases};
use crate::prepare::Prepared;

/// Counts to choose from, in steps.
const WINDOWS: [usize; 9] = [1, 2, 3, 5, 7, 14, 28, 56, 91];

pub(super) fn forecast(prepared: &Prepared, horizon: usize) -> Seen {
    let even = prepared.without_waves();
    let period = prepared.short().unwrap_or(1);
    let season = phases(&even, period);
    let mut sums = Vec::with_capacity(even.len() + 1);
    sums.push(0.0);
    for (at, value) in even.iter().enumerate() {
        sums.push(sums[at] + value - season[at % period]);
    }
    let mean = |from: usize, to: usize| (sums[to] - sums[from]) / (to - from) as f64;
    let len = even.len();
    // Judged by the mean of the next values: what a constant forecast can hit. Of the newer half, so that an old regime does not choose.
    let reach = horizon.min(len / 4).max(1);
    let longest = len / 2;
    let error = |window: usize| {
        (longest.max(window)..=len - reach)
            .map(|at| (mean(at - window, at) - mean(at, at + reach)).abs())
            .sum::<f64>()
    };
    let window = WINDOWS
        .into_iter()
        .filter(|window| *window <= longest)
        .map(|window| (window, error(window)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(1, |best| best.0);
    let level = mean(len - window, len);
    let ahead = (0..horizon).map(|step| level + season[(len + step) % period]).collect();
    Seen { ahead: prepared.restore(ahead), fitted: format!("mean of the last {window}") }
}
