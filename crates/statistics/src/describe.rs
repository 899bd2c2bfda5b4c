//! What a sample looks like.

use serde::Serialize;

use crate::StatisticsError;
use crate::error::check_figures;

/// Figures of a sample. Those that need more values than there are, or a spread where there is none, are `None`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Description {
    /// Values that are there.
    pub count: usize,
    /// Values that are not.
    pub missing: usize,
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard deviation, with n - 1.
    pub sd: Option<f64>,
    /// The least.
    pub min: f64,
    /// The 5th percentile. All percentiles are interpolated linearly between neighbours (type 7 of Hyndman and Fan).
    pub p5: f64,
    /// The first quartile.
    pub q1: f64,
    /// The one in the middle.
    pub median: f64,
    /// The third quartile.
    pub q3: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The greatest.
    pub max: f64,
    /// Skewness, adjusted for the size of the sample (G1 of Joanes and Gill); needs three values.
    pub skewness: Option<f64>,
}

/// Describes a sample; `None` among the values is counted as missing.
///
/// # Errors
/// [`StatisticsError::Empty`] without any value; [`StatisticsError::NotANumber`] for the first that is none.
pub fn describe(name: &str, values: &[Option<f64>]) -> Result<Description, StatisticsError> {
    let mut known: Vec<f64> = values.iter().copied().flatten().collect();
    check_figures(name, &known)?;
    if known.is_empty() {
        return Err(StatisticsError::Empty { name: name.to_owned(), needed: 1 });
    }
    let (mean, squares) = moments(&known);
    let n = known.len() as f64;
    let sd = (known.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
    let skewness = skewness(&known, mean, squares);
    known.sort_unstable_by(f64::total_cmp);
    let at = |share| quantile(&known, share).unwrap_or(mean);
    Ok(Description {
        count: known.len(),
        missing: values.len() - known.len(),
        mean,
        sd,
        min: at(0.0),
        p5: at(0.05),
        q1: at(0.25),
        median: at(0.5),
        q3: at(0.75),
        p95: at(0.95),
        max: at(1.0),
        skewness,
    })
}

/// The quantile of sorted values at `share` (0 to 1), between neighbours by linear interpolation; none of no values.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = share.clamp(0.0, 1.0) * last as f64;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * (place - below as f64))
}

/// Mean and sum of squared deviations. Two passes: the second takes out what the first one's mean lacked.
pub(crate) fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let rough = values.iter().sum::<f64>() / n;
    let mean = rough + values.iter().map(|value| value - rough).sum::<f64>() / n;
    let (mut squares, mut left) = (0.0, 0.0);
    for value in values {
        let off = value - mean;
        squares += off * off;
        left += off;
    }
    (mean, (squares - left * left / n).max(0.0))
}

/// The mean of values.
pub(crate) fn mean(values: &[f64]) -> f64 {
    moments(values).0
}

/// The median; sorts the values.
pub(crate) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(values, 0.5)
}

/// Whether a spread is no more than what rounding makes of equal values.
pub(crate) fn is_flat(mean: f64, squares: f64, count: usize) -> bool {
    (squares / count.max(1) as f64).sqrt() <= 1e-13 * mean.abs()
}

fn skewness(values: &[f64], mean: f64, squares: f64) -> Option<f64> {
    let n = values.len() as f64;
    if values.len() < 3 || squares <= 0.0 || is_flat(mean, squares, values.len()) {
        return None;
    }
    let sd = (squares / n).sqrt();
    let third = values.iter().map(|value| ((value - mean) / sd).powi(3)).sum::<f64>() / n;
    let skewness = (n * (n - 1.0)).sqrt() / (n - 2.0) * third;
    skewness.is_finite().then_some(skewness)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    /// Whether a value has at least so many digits in common with a certified one.
    fn agrees(seen: f64, certified: f64, digits: i32) {
        assert!(
            (seen / certified - 1.0).abs() < 10_f64.powi(-digits),
            "{seen} and {certified} differ before digit {digits}"
        );
    }

    /// NIST StRD, univariate: certified mean and standard deviation of made-up data that a naive sum gets wrong.
    #[test]
    fn nist_numacc_keeps_its_digits() {
        let around = |centre: f64, step: f64| {
            let mut values = vec![centre];
            for _ in 0..500 {
                values.extend([centre - step, centre + step]);
            }
            some(&values)
        };
        // NumAcc2: 1.2 once, then 1.1 and 1.3 in turn; mean 1.2, standard deviation 0.1.
        let second = describe("NumAcc2", &around(1.2, 0.1)).unwrap();
        agrees(second.mean, 1.2, 14);
        agrees(second.sd.unwrap(), 0.1, 13);
        // NumAcc4: around 10,000,000.2; the data themselves hold eight digits of the deviation.
        let fourth = describe("NumAcc4", &around(10_000_000.2, 0.1)).unwrap();
        agrees(fourth.mean, 10_000_000.2, 14);
        agrees(fourth.sd.unwrap(), 0.1, 8);
        let first = describe("NumAcc1", &some(&[10_000_001.0, 10_000_003.0, 10_000_002.0])).unwrap();
        agrees(first.mean, 10_000_002.0, 15);
        agrees(first.sd.unwrap(), 1.0, 14);
    }

    #[test]
    fn what_is_missing_is_counted_and_left_out() {
        let seen = describe("x", &[Some(4.0), None, Some(1.0), Some(2.0), None, Some(9.0)]).unwrap();
        assert_eq!((seen.count, seen.missing), (4, 2));
        assert_eq!((seen.min, seen.median, seen.max, seen.mean), (1.0, 3.0, 9.0, 4.0));
        assert_eq!((seen.q1, seen.q3), (1.75, 5.25));
        // By pandas 2.2: Series([4, 1, 2, 9]).skew().
        agrees(seen.skewness.unwrap(), 1.330_937_732_247_670_3, 12);
    }

    #[test]
    fn figures_that_do_not_exist_are_none_and_never_nan() {
        let one = describe("x", &[Some(3.0)]).unwrap();
        assert_eq!((one.sd, one.skewness, one.p5, one.p95), (None, None, 3.0, 3.0));
        let equal = describe("x", &[Some(0.1); 40]).unwrap();
        assert_eq!(equal.skewness, None);
        assert!(equal.sd.unwrap() < 1e-15);
        let huge = describe("x", &[Some(1e100), Some(-1e100), Some(1e100)]).unwrap();
        assert!(huge.sd.unwrap().is_finite() && huge.skewness.unwrap().is_finite());
    }

    #[test]
    fn what_is_no_number_is_named_and_nothing_is_told_of_nothing() {
        assert_eq!(
            describe("price", &[None, None]).unwrap_err().to_string(),
            "\"price\" has no value; give at least 1"
        );
        for bad in [f64::NAN, f64::INFINITY, -1e101] {
            let error = describe("price", &[Some(1.0), Some(bad)]).unwrap_err().to_string();
            assert!(error.starts_with("value 2 of \"price\" is "), "{error}");
        }
    }
}
