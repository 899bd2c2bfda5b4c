//! Variances of coefficients that hold where residuals are of unequal width, or alike in time.

use super::Errors;
use crate::StatisticsError;
use crate::orthogonal::{Orthogonal, dot};
use crate::watch::{Watch, check};

/// A leverage this close to 1 is a row that its own column fits exactly: its residual is nothing, whatever it is divided by.
const LEVERAGE_MAX: f64 = 1.0 - 1e-10;

/// How many lags suit so many rows: 4 (n / 100)^(2/9) of Newey and West, and at least the `season` that rows may have in common.
pub fn bartlett_lags(rows: usize, season: usize) -> usize {
    let usual = (4.0 * (rows as f64 / 100.0).powf(2.0 / 9.0)).floor() as usize;
    usual.max(season).min(rows.saturating_sub(1) / 2)
}

/// The variances of the coefficients of the columns scaled to length 1; none for classical errors.
pub(super) fn variances(
    errors: &Errors,
    made: &Orthogonal,
    inverse: &[Vec<f64>],
    residuals: &[f64],
    watch: &dyn Watch,
) -> Result<Option<Vec<f64>>, StatisticsError> {
    let meat = match errors {
        Errors::Classical => return Ok(None),
        Errors::Hc3 => {
            let mut leverage = vec![0.0; residuals.len()];
            for q in &made.q {
                for (leverage, q) in leverage.iter_mut().zip(q) {
                    *leverage += q * q;
                }
            }
            let weight = |(residual, leverage): (&f64, &f64)| {
                if *leverage >= LEVERAGE_MAX { 0.0 } else { residual / (1.0 - leverage) }
            };
            let weights: Vec<f64> = residuals.iter().zip(&leverage).map(weight).collect();
            products(&scores(made, &weights), None, watch)?
        }
        Errors::Hac { lags, positions } => {
            let scores = scores(made, residuals);
            let mut meat = products(&scores, None, watch)?;
            for lag in 1..=*lags {
                let weight = 1.0 - lag as f64 / (*lags as f64 + 1.0);
                let pairs = pairs(residuals.len(), lag, positions.as_deref());
                let lagged = products(&scores, Some(&pairs), watch)?;
                for (n, row) in meat.iter_mut().enumerate() {
                    for (m, value) in row.iter_mut().enumerate() {
                        *value += weight * (lagged[n][m] + lagged[m][n]);
                    }
                }
            }
            let rows = residuals.len() as f64;
            let correction = rows / (rows - made.q.len() as f64);
            meat.iter_mut().flatten().for_each(|value| *value *= correction);
            meat
        }
    };
    // (X'X)⁻¹ X'DX (X'X)⁻¹ is R⁻¹ (Q'DQ) R⁻ᵀ.
    let variance = |row: &Vec<f64>| {
        let half: Vec<f64> = meat.iter().map(|meat| dot(meat, row)).collect();
        dot(row, &half).max(0.0)
    };
    Ok(Some(inverse.iter().map(variance).collect()))
}

/// Each orthogonal column times the weights of the rows.
fn scores(made: &Orthogonal, weights: &[f64]) -> Vec<Vec<f64>> {
    made.q.iter().map(|q| q.iter().zip(weights).map(|(q, weight)| q * weight).collect()).collect()
}

/// The rows `lag` apart, the later first.
fn pairs(rows: usize, lag: usize, positions: Option<&[i64]>) -> Vec<(usize, usize)> {
    let Some(positions) = positions else { return (lag..rows).map(|late| (late, late - lag)).collect() };
    let mut early = 0;
    let mut pairs = Vec::new();
    for (late, at) in positions.iter().enumerate() {
        let wanted = at.saturating_sub(lag as i64);
        while positions[early] < wanted {
            early += 1;
        }
        if early < late && positions[early] == wanted {
            pairs.push((late, early));
        }
    }
    pairs
}

/// The sums of products of each two columns, of the same row or of the rows of `pairs`.
fn products(
    scores: &[Vec<f64>],
    pairs: Option<&[(usize, usize)]>,
    watch: &dyn Watch,
) -> Result<Vec<Vec<f64>>, StatisticsError> {
    let mut sums = vec![vec![0.0; scores.len()]; scores.len()];
    for (n, left) in scores.iter().enumerate() {
        check(watch)?;
        for (m, right) in scores.iter().enumerate() {
            sums[n][m] = match pairs {
                None => dot(left, right),
                Some(pairs) => pairs.iter().map(|(late, early)| left[*late] * right[*early]).sum(),
            };
        }
    }
    Ok(sums)
}
