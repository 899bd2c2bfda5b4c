//! The Theta method (Assimakopoulos & Nikolopoulos 2000), in the form of Hyndman & Billah (2003): simple exponential smoothing with half the
//! slope of the straight line as drift. It won the M3 competition, and beside an ETS model it errs at other places. No library for it was
//! found that would not bring a linear-algebra package along; the method is these few lines.

use crate::simplex::minimise;
use crate::watch::{Cancelled, Stop};

/// Continues a series without season.
pub(crate) fn forecast(values: &[f64], horizon: usize, stop: Stop<'_>) -> Result<Vec<f64>, Cancelled> {
    let n = values.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / n;
    let across: f64 = values.iter().enumerate().map(|(t, value)| (t as f64 - middle) * (value - mean)).sum();
    let spread = n * (n * n - 1.0) / 12.0;
    let slope = if spread > 0.0 { across / spread } else { 0.0 };
    let alpha_of = |free: f64| 0.01 + 0.989 / (1.0 + (-free).exp());
    let smooth = |alpha: f64| {
        // The first level is the mean of the first few values, so that a slip at the very first one is not carried along.
        let first = values.len().min(4);
        let mut level = values[..first].iter().sum::<f64>() / first as f64;
        let mut squares = 0.0;
        for value in values {
            let error = value - level;
            squares += error * error;
            level += alpha * error;
        }
        (level, squares)
    };
    let (point, _) = minimise([0.0; 8], &[1.5], 40, stop, |point| smooth(alpha_of(point[0])).1)?;
    let alpha = alpha_of(point[0]);
    let (level, _) = smooth(alpha);
    // How far the line is ahead of the smoothed level, in slopes.
    let lead = (1.0 - (1.0 - alpha).powf(n)) / alpha;
    Ok((0..horizon).map(|step| level + slope / 2.0 * (step as f64 + lead)).collect())
}
