//! Measures of error, each over points that were not known when they were forecast.
//!
//! - MAPE: mean of `100 |y - f| / |y|` over the points with `y != 0`.
//! - sMAPE: mean of `200 |y - f| / (|y| + |f|)`, 0 where both are 0 (Makridakis 1993; as in the M4 competition).
//! - MASE: mean of `|y - f| / q`, `q` being the mean of `|y(t) - y(t - m)|` over what was known, with the season `m`, or 1 without one
//!   (Hyndman & Koehler 2006).

/// Sums of errors.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Measures {
    relative: f64,
    relative_count: usize,
    symmetric: f64,
    scaled: f64,
    count: usize,
}

impl Measures {
    /// Counts a point.
    pub(crate) fn add(&mut self, actual: f64, forecast: f64, scale: f64) {
        let error = (actual - forecast).abs();
        let both = actual.abs() + forecast.abs();
        if actual != 0.0 {
            self.relative += error / actual.abs();
            self.relative_count += 1;
        }
        self.symmetric += if both > 0.0 { 2.0 * error / both } else { 0.0 };
        self.scaled += error / scale;
        self.count += 1;
    }

    /// Percent; none if every actual value was 0, or so near to it that the error is beyond all numbers.
    pub(crate) fn mape(&self) -> Option<f64> {
        let mean = 100.0 * self.relative / self.relative_count as f64;
        (self.relative_count > 0 && mean.is_finite()).then_some(mean)
    }

    /// None if there was no point.
    pub(crate) fn mase(&self) -> Option<f64> {
        (self.count > 0).then(|| self.scaled / self.count as f64)
    }

    /// Percent; none if there was no point.
    pub(crate) fn smape(&self) -> Option<f64> {
        (self.count > 0).then(|| 100.0 * self.symmetric / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_as_their_authors_define_them() {
        let mut measures = Measures::default();
        assert_eq!((measures.mape(), measures.mase(), measures.smape()), (None, None, None));
        measures.add(100.0, 90.0, 5.0);
        measures.add(0.0, 0.0, 5.0);
        assert_eq!(measures.mape(), Some(10.0));
        assert_eq!(measures.mase(), Some(1.0));
        assert!((measures.smape().unwrap() - 100.0 * 20.0 / 190.0 / 2.0).abs() < 1e-12);
        let mut zeros = Measures::default();
        zeros.add(0.0, 3.0, 1.0);
        assert_eq!((zeros.mape(), zeros.smape()), (None, Some(200.0)));
    }
}
