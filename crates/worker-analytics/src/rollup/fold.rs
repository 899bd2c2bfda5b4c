//! A series, oldest first, folded into the figures of its buckets.

use super::Span;

/// What the values of a bucket come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// How many there are.
    pub count: u64,
    /// Their sum, added up with what rounding loses on the way; infinite where no number is large enough.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The median: see [`Figures::of`].
    pub p50: f64,
    /// What nine of ten do not exceed.
    pub p90: f64,
}

/// The figures of a bucket that has values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// When.
    pub span: Span,
    /// What.
    pub figures: Figures,
}

/// A bucket has more values than are held in memory for its percentiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a bucket holds more than {most} values")]
pub struct TooManyValues {
    /// The bucket.
    pub span: Span,
    /// The most that are held.
    pub most: usize,
}

/// Folds a series into buckets. Holds the values of one bucket at a time, eight bytes each.
#[derive(Debug)]
pub struct Folding<'s> {
    spans: &'s [Span],
    /// The bucket that is open; past the end after the last.
    at: usize,
    values: Vec<f64>,
    most: usize,
    done: Vec<Bucket>,
}

impl<'s> Folding<'s> {
    /// Into these buckets, which follow each other in time, of at most `most` values each.
    pub fn new(spans: &'s [Span], most: usize) -> Self {
        Self { spans, at: 0, values: Vec::new(), most, done: Vec::new() }
    }

    /// The next value, no older than those before; one outside of all buckets is left out.
    ///
    /// # Errors
    /// [`TooManyValues`] if its bucket is full.
    #[inline]
    pub fn push(&mut self, ts_ms: i64, value: f64) -> Result<(), TooManyValues> {
        let Some(mut span) = self.spans.get(self.at).copied() else { return Ok(()) };
        if ts_ms >= span.end_ms {
            match self.open_at(ts_ms) {
                Some(next) => span = next,
                None => return Ok(()),
            }
        }
        if ts_ms < span.start_ms {
            return Ok(());
        }
        if self.values.len() == self.most {
            return Err(TooManyValues { span, most: self.most });
        }
        self.values.push(value);
        Ok(())
    }

    /// Closes the open bucket and opens the one in which a moment is, or the next one after it.
    #[cold]
    fn open_at(&mut self, ts_ms: i64) -> Option<Span> {
        self.close();
        let rest = self.spans.get(self.at..)?;
        self.at += rest.partition_point(|span| span.end_ms <= ts_ms);
        self.spans.get(self.at).copied()
    }

    fn close(&mut self) {
        if let Some((span, figures)) = self.spans.get(self.at).copied().zip(Figures::of(&mut self.values)) {
            self.done.push(Bucket { span, figures });
        }
        self.values.clear();
    }

    /// The buckets that have values, in order.
    pub fn finish(mut self) -> Vec<Bucket> {
        self.close();
        self.done
    }
}

/// Folds a whole series, oldest first.
///
/// # Errors
/// [`TooManyValues`] if a bucket has more than `most`.
pub fn fold(
    series: impl IntoIterator<Item = (i64, f64)>,
    spans: &[Span],
    most: usize,
) -> Result<Vec<Bucket>, TooManyValues> {
    let mut folding = Folding::new(spans, most);
    for (ts_ms, value) in series {
        folding.push(ts_ms, value)?;
    }
    Ok(folding.finish())
}

impl Figures {
    /// The figures of some values, whose order is changed; none of none.
    ///
    /// Percentiles are exact: of `n` values in order the `p`th lies at the place `p (n - 1)`, counted from 0, and between two places in
    /// proportion. This is the definition of spreadsheets (PERCENTILE.INC), of `percentile_cont` in SQL and of NumPy.
    pub fn of(values: &mut [f64]) -> Option<Self> {
        let (first, rest) = values.split_first()?;
        let (mut sum, mut lost) = (*first, 0.0);
        let (mut min, mut max) = (*first, *first);
        for &value in rest {
            // Neumaier's sum: what the larger of two does not take in of the smaller is kept beside it.
            let next = sum + value;
            lost +=
                if f64::abs(sum) >= f64::abs(value) { (sum - next) + value } else { (value - next) + sum };
            sum = next;
            min = f64::min(min, value);
            max = f64::max(max, value);
        }
        let whole = sum + lost;
        Some(Self {
            count: values.len() as u64,
            sum: if whole.is_nan() { sum } else { whole },
            min,
            max,
            p90: percentile(values, 9, 10),
            p50: percentile(values, 1, 2),
        })
    }
}

/// The value at `part` of `whole` of the way through some values, at least one, in order.
fn percentile(values: &mut [f64], part: usize, whole: usize) -> f64 {
    let way = (values.len() - 1) * part;
    let (place, beyond) = (way / whole, (way % whole) as f64 / whole as f64);
    let (_, low, above) = values.select_nth_unstable_by(place, f64::total_cmp);
    let low = *low;
    if beyond == 0.0 {
        return low;
    }
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
    // Not by their difference, which may be too large for a number.
    low * (1.0 - beyond) + high * beyond
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn span(start_ms: i64, end_ms: i64) -> Span {
        Span { start_ms, end_ms }
    }

    fn figures(values: &[f64]) -> Figures {
        Figures::of(&mut values.to_vec()).unwrap()
    }

    #[test]
    fn figures_are_those_that_a_spreadsheet_has() {
        let four = figures(&[3.0, 1.0, 2.0, 10.0]);
        assert_eq!((four.count, four.sum, four.min, four.max), (4, 16.0, 1.0, 10.0));
        // Between the places 1 and 2, and at 0.9 × 3 = 2.7: 3 + 0.7 × (10 - 3).
        assert!((four.p50 - 2.5).abs() < 1e-12 && (four.p90 - 7.9).abs() < 1e-12, "{four:?}");
        let one = figures(&[7.0]);
        assert_eq!((one.p50, one.p90), (7.0, 7.0));
        let eleven: Vec<f64> = (0..11).rev().map(f64::from).collect();
        assert_eq!((figures(&eleven).p50, figures(&eleven).p90), (5.0, 9.0));
        assert!(Figures::of(&mut []).is_none());
    }

    #[test]
    fn a_sum_loses_nothing_to_rounding() {
        assert_eq!(figures(&[1.0, 1e100, 1.0, -1e100]).sum.to_bits(), 2.0_f64.to_bits());
        assert_eq!(figures(&[0.1; 10]).sum.to_bits(), 1.0_f64.to_bits());
        // What is too large for a number says so, and its percentiles are numbers.
        let huge = figures(&[f64::MAX, f64::MAX]);
        assert_eq!((huge.sum, huge.p50), (f64::INFINITY, f64::MAX));
        assert!(figures(&[f64::MIN, f64::MAX]).p90.is_finite());
    }

    #[test]
    fn a_value_belongs_to_the_bucket_that_it_begins_and_not_to_the_one_that_it_ends() {
        let spans = [span(0, 10), span(10, 20), span(20, 30), span(30, 40)];
        let series = [(-1, 1.0), (0, 2.0), (9, 3.0), (10, 4.0), (35, 5.0), (39, 6.0), (40, 7.0), (99, 8.0)];
        let found: Vec<_> =
            fold(series, &spans, 10).unwrap().iter().map(|b| (b.span.start_ms, b.figures.sum)).collect();
        assert_eq!(found, [(0, 5.0), (10, 4.0), (30, 11.0)], "a bucket of nothing is none");
        assert_eq!(fold([], &spans, 10).unwrap(), []);
        assert_eq!(fold(series, &[], 10).unwrap(), []);
    }

    #[test]
    fn a_bucket_holds_no_more_than_its_bound() {
        let spans = [span(0, 10), span(10, 20)];
        let series = [(0, 1.0), (1, 1.0), (10, 1.0), (11, 1.0), (12, 1.0)];
        assert!(fold(series, &spans, 3).is_ok());
        assert_eq!(fold(series, &spans, 2), Err(TooManyValues { span: spans[1], most: 2 }));
    }
}
