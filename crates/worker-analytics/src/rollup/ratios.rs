//! What comes of dividing one metric's sum by another's.

use bulrush_store::Rollup;

/// A figure that two metrics of a bucket make.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// What it is called.
    pub name: &'static str,
    /// The metric whose sum is divided: its rollup has the figure.
    pub of: &'static str,
    /// The metric by whose sum.
    pub by: &'static str,
    /// What it is multiplied by.
    pub times: f64,
}

/// Clicks for each impression, impressions for each request for an advertisement, and revenue for a thousand impressions.
pub const RATIOS: [Ratio; 3] = [
    Ratio { name: "ctr", of: "clicks", by: "impressions", times: 1.0 },
    Ratio { name: "fillRate", of: "impressions", by: "requests", times: 1.0 },
    Ratio { name: "ecpm", of: "revenue", by: "impressions", times: 1_000.0 },
];

impl Ratio {
    /// The figure; none where there is nothing to divide by, so that it is a number wherever it is.
    pub fn value(&self, of: f64, by: f64) -> Option<f64> {
        let value = of / by * self.times;
        (by > 0.0 && value.is_finite()).then_some(value)
    }

    /// Gives the figure to the rollups of `rows`, which are in the order of metric and bucket.
    pub(crate) fn add_to(&self, rows: &mut [Rollup]) {
        let of = range(rows, self.of);
        let by: Vec<(i64, f64)> =
            rows[range(rows, self.by)].iter().map(|row| (row.start_ms, row.sum)).collect();
        for row in &mut rows[of] {
            let found = by.binary_search_by_key(&row.start_ms, |(start_ms, _)| *start_ms).ok();
            if let Some(value) = found.and_then(|at| self.value(row.sum, by[at].1)) {
                row.derived.insert(self.name.to_owned(), value);
            }
        }
    }
}

/// Where the rollups of a metric are.
fn range(rows: &[Rollup], metric: &str) -> std::ops::Range<usize> {
    let begin = rows.partition_point(|row| *row.metric < *metric);
    begin..begin + rows[begin..].partition_point(|row| &*row.metric == metric)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn row(metric: &str, start_ms: i64, sum: f64) -> Rollup {
        let figures = (1, sum, sum, sum);
        Rollup {
            metric: metric.into(),
            start_ms,
            end_ms: start_ms + 1,
            count: figures.0,
            sum,
            min: figures.1,
            max: figures.2,
            p50: figures.3,
            p90: sum,
            derived: BTreeMap::new(),
        }
    }

    #[test]
    fn a_figure_is_there_where_its_divisor_is_more_than_nothing_and_absent_everywhere_else() {
        let mut rows = [
            row("clicks", 0, 3.0),
            row("clicks", 1, 3.0),
            row("clicks", 2, 3.0),
            row("impressions", 0, 200.0),
            row("impressions", 1, 0.0),
            row("requests", 0, 400.0),
            row("requests", 1, 10.0),
            row("revenue", 0, 5.0),
            row("revenue", 1, 5.0),
        ];
        for ratio in RATIOS {
            ratio.add_to(&mut rows);
        }
        let derived: Vec<Vec<(&str, f64)>> = rows
            .iter()
            .map(|row| row.derived.iter().map(|(name, value)| (name.as_str(), *value)).collect())
            .collect();
        assert_eq!(
            derived,
            [
                vec![("ctr", 0.015)],
                vec![],
                vec![],
                vec![("fillRate", 0.5)],
                vec![("fillRate", 0.0)],
                vec![],
                vec![],
                vec![("ecpm", 25.0)],
                vec![],
            ]
        );
        for (of, by) in [(1.0, 0.0), (0.0, 0.0), (1.0, -1.0), (f64::MAX, 0.1), (1.0, f64::MIN_POSITIVE / 4.0)]
        {
            assert_eq!(RATIOS[2].value(of, by), None, "{of} by {by}");
        }
    }
}
