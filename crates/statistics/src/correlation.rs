//! How two figures go together.

use serde::Serialize;

use crate::describe::{is_flat, moments};
use crate::distributions::t_two_sided;

/// How two figures go together, over the rows where both are known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Correlation {
    /// Rows where both are known.
    pub pairs: usize,
    /// Pearson's coefficient, -1 to 1: how close to a straight line.
    pub pearson: f64,
    /// How likely one this far from zero is by chance; for rows that depend on each other, as days do, too small.
    pub pearson_p: Option<f64>,
    /// Spearman's coefficient: the same of the ranks, which no outlier moves far.
    pub spearman: f64,
    /// Its probability.
    pub spearman_p: Option<f64>,
}

/// Compares two figures row by row; none with fewer than three rows where both are known, or where one does not change.
pub fn correlate(left: &[Option<f64>], right: &[Option<f64>]) -> Option<Correlation> {
    let (a, b): (Vec<f64>, Vec<f64>) =
        left.iter().zip(right).filter_map(|(left, right)| left.zip(*right)).unzip();
    if a.len() < 3 {
        return None;
    }
    let pearson = pearson(&a, &b)?;
    let spearman = self::pearson(&ranks(&a), &ranks(&b))?;
    let chance = |r: f64| {
        let df = a.len() as f64 - 2.0;
        // On a line there is nothing left to chance.
        let rest = (1.0 - r) * (1.0 + r);
        if rest <= 0.0 { Some(0.0) } else { t_two_sided(r * (df / rest).sqrt(), df) }
    };
    Some(Correlation {
        pairs: a.len(),
        pearson,
        pearson_p: chance(pearson),
        spearman,
        spearman_p: chance(spearman),
    })
}

fn pearson(a: &[f64], b: &[f64]) -> Option<f64> {
    let ((mean_a, squares_a), (mean_b, squares_b)) = (moments(a), moments(b));
    if is_flat(mean_a, squares_a, a.len()) || is_flat(mean_b, squares_b, b.len()) {
        return None;
    }
    let (scale_a, scale_b) = (squares_a.sqrt(), squares_b.sqrt());
    let r: f64 = a.iter().zip(b).map(|(a, b)| (a - mean_a) / scale_a * ((b - mean_b) / scale_b)).sum();
    r.is_finite().then(|| r.clamp(-1.0, 1.0))
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut from = 0;
    while from < order.len() {
        // Sorted, so what is not above it is equal.
        let to = order[from..].partition_point(|n| values[*n] <= values[order[from]]) + from;
        for n in &order[from..to] {
            ranks[*n] = f64::midpoint(from as f64 + 1.0, to as f64);
        }
        from = to;
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn anscombe_s_first_set_has_its_known_correlation() {
        let x = some(&[10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0]);
        let y = some(&[8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68]);
        let seen = correlate(&x, &y).unwrap();
        assert!((seen.pearson - 0.816_420_516_345).abs() < 1e-11, "{seen:?}");
        assert!((seen.pearson_p.unwrap() - 0.002_169_628_873).abs() < 1e-11, "{seen:?}");
        assert!((seen.spearman - 0.818_181_818_182).abs() < 1e-11, "{seen:?}");
    }

    #[test]
    fn only_rows_where_both_are_known_count_and_what_does_not_change_goes_with_nothing() {
        let seen = correlate(
            &[Some(1.0), None, Some(2.0), Some(3.0), Some(4.0)],
            &[Some(2.0), Some(9.0), Some(4.0), Some(6.0), Some(8.0)],
        );
        let seen = seen.unwrap();
        assert_eq!((seen.pairs, seen.pearson, seen.pearson_p), (4, 1.0, Some(0.0)));
        assert_eq!(correlate(&some(&[1.0, 2.0, 3.0]), &some(&[0.1, 0.1, 0.1])), None);
        assert_eq!(correlate(&some(&[1.0, 2.0]), &some(&[1.0, 2.0])), None);
        assert_eq!(correlate(&[], &[]), None);
    }

    #[test]
    fn equal_values_share_a_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0, -0.0, 0.0]), [5.5, 3.0, 5.5, 4.0, 1.5, 1.5]);
    }
}
