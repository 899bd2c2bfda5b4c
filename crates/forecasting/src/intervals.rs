//! Intervals from the errors of the backtest.
//!
//! The spread of errors `h` steps ahead is `c h^p`, with the `c` and `p` under which the errors of all folds are most likely; a horizon
//! that no fold reached is served by the same curve, and since `p > 0` intervals widen. How many spreads an interval reaches is between
//! what normal errors ask for (for 95 % those of so small a sample: Student's t) and what the scaled errors themselves show, the more so
//! the more independent ones there are (conformal prediction: Vovk, Gammerman & Shafer 2005). Within a fold neighbouring errors are alike,
//! so what counts as independent is found as for seasons.

use std::collections::HashSet;

/// An error of the backtest, divided by what makes errors at different levels comparable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Miss {
    pub(crate) fold: usize,
    /// The index of the value that was missed.
    pub(crate) at: usize,
    /// Steps ahead, from 1.
    pub(crate) ahead: usize,
    pub(crate) error: f64,
}

/// The spread of errors over the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    scale: f64,
    power: f64,
    /// How many spreads the intervals of 80 and of 95 % reach.
    reach: [f64; 2],
}

/// Powers to choose from: errors of noise around a known level hardly grow, those of a random walk with the root, those of a trend that was
/// misjudged with the horizon itself.
const POWERS: [f64; 12] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0];

/// Quantiles of the normal distribution at 90 and 97.5 %.
const NORMAL: [f64; 2] = [1.281_551_565_544_6, 1.959_963_984_540_05];
const SHARES: [f64; 2] = [0.80, 0.95];

/// With so many independent errors, half of the reach is theirs.
const HALF: f64 = 30.0;

impl Spread {
    /// The spread of these errors; none of none.
    pub(crate) fn fit(misses: &[Miss]) -> Option<Self> {
        if misses.is_empty() {
            return None;
        }
        let n = misses.len() as f64;
        let (mut best, mut power, mut scale) = (f64::INFINITY, POWERS[0], 0.0);
        for candidate in POWERS {
            let (mut squares, mut logs) = (0.0, 0.0);
            for miss in misses {
                let unit = (miss.ahead as f64).powf(candidate);
                squares += (miss.error / unit).powi(2);
                logs += unit.ln();
            }
            let cost = n * (squares / n).max(1e-300).ln() + 2.0 * logs;
            if cost < best {
                (best, power, scale) = (cost, candidate, (squares / n).sqrt());
            }
        }
        let mut spread = Self { scale, power, reach: NORMAL };
        let independent = independent(misses, &spread);
        let mut sizes: Vec<f64> = if scale > 0.0 {
            misses.iter().map(|miss| (miss.error / spread.at(miss.ahead)).abs()).collect()
        } else {
            Vec::new()
        };
        let trust = independent / (independent + HALF);
        for (reach, (normal, share)) in spread.reach.iter_mut().zip(NORMAL.into_iter().zip(SHARES)) {
            // Of few errors the far ones are uncertain; the near ones lie nearer than normal ones, if anything, as far ones make their spread.
            let student = if share > 0.9 { student(normal, (independent - 1.0).max(2.0)) } else { normal };
            let shown = crate::prepare::quantile(&mut sizes, share * (1.0 + 1.0 / independent));
            *reach = if scale > 0.0 { student + trust * (shown - student) } else { student };
        }
        spread.reach[1] = spread.reach[1].max(spread.reach[0]);
        Some(spread)
    }

    fn at(&self, ahead: usize) -> f64 {
        self.scale * (ahead as f64).powf(self.power)
    }

    /// How far the intervals of 80 and of 95 % reach to either side, so many steps ahead.
    pub(crate) fn reach(&self, ahead: usize) -> [f64; 2] {
        self.reach.map(|reach| reach * self.at(ahead))
    }
}

/// How many independent errors there are, at least one for each fold that overlaps no other.
fn independent(misses: &[Miss], spread: &Spread) -> f64 {
    let values = misses.iter().map(|miss| miss.at).collect::<HashSet<_>>().len() as f64;
    let size = |miss: &Miss| miss.error / spread.at(miss.ahead).max(f64::MIN_POSITIVE);
    let (mut alike, mut total) = (0.0, 0.0);
    for pair in misses.windows(2).filter(|pair| pair[0].fold == pair[1].fold) {
        let (a, b) = (size(&pair[0]), size(&pair[1]));
        alike += a * b;
        total += f64::midpoint(a * a, b * b);
    }
    let alike = if total > 0.0 { (alike / total).clamp(0.0, 0.99) } else { 0.0 };
    let longest = misses.iter().map(|miss| miss.ahead).max().unwrap_or(1) as f64;
    (values * (1.0 - alike) / (1.0 + alike)).max(values / longest).max(2.0)
}

/// The quantile of Student's t where the normal one is `normal` (Abramowitz & Stegun 26.7.5).
fn student(normal: f64, free: f64) -> f64 {
    let z = normal;
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * free)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * free.powi(2))
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * free.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn student_s_quantiles_are_those_of_the_tables() {
        for (free, at90, at975) in [(3.0, 1.638, 3.182), (8.0, 1.397, 2.306), (30.0, 1.310, 2.042)] {
            assert!(
                (student(NORMAL[0], free) - at90).abs() < 0.01
                    && (student(NORMAL[1], free) - at975).abs() < 0.05
            );
        }
    }

    #[test]
    fn errors_that_grow_with_the_root_are_seen_to() {
        // Signs change at random enough; sizes are exact.
        let misses: Vec<Miss> = (0..8)
            .flat_map(|fold| {
                (1..=20).map(move |ahead| {
                    let sign = if (fold * 31 + ahead * 17) % 5 < 2 { 1.0 } else { -1.0 };
                    Miss { fold, at: fold * 20 + ahead, ahead, error: sign * 2.0 * (ahead as f64).sqrt() }
                })
            })
            .collect();
        let spread = Spread::fit(&misses).unwrap();
        assert!((spread.power - 0.5).abs() < 1e-9 && (spread.scale - 2.0).abs() < 1e-9, "{spread:?}");
        assert!(spread.reach(40)[1] > spread.reach(20)[1] && spread.reach(20)[1] > spread.reach(20)[0]);
    }

    #[test]
    fn no_errors_at_all_are_intervals_of_no_width() {
        let misses =
            [Miss { fold: 0, at: 1, ahead: 1, error: 0.0 }, Miss { fold: 0, at: 2, ahead: 2, error: 0.0 }];
        assert_eq!(Spread::fit(&misses).unwrap().reach(2), [0.0, 0.0]);
        assert!(Spread::fit(&[]).is_none());
    }
}
