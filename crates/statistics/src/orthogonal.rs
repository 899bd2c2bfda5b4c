//! Columns made orthogonal, one after the other: the QR factorization on which the regression stands.
//!
//! Each column is scaled to length 1 and freed of the ones before it, twice ("twice is enough": Giraud, Langou and Rozložník, 2005), which is
//! as exact as Householder's reflections. It yields the orthogonal columns themselves, from which leverages and robust errors are made, and
//! decides in the columns' own order what is left out: a column that the ones before it already say. No library's pivoting does that.

use crate::StatisticsError;
use crate::watch::{Watch, check};

/// X = Q R over the columns that are kept.
pub(crate) struct Orthogonal {
    /// The places of the kept columns among those given.
    pub kept: Vec<usize>,
    /// The others, with the kept ones (by their place among all) that make them up.
    pub dropped: Vec<(usize, Vec<usize>)>,
    /// Orthogonal columns of length 1, one for each kept.
    pub q: Vec<Vec<f64>>,
    /// Upper triangle by columns: `r[j]` holds `j + 1` values. Of the columns scaled to length 1.
    pub r: Vec<Vec<f64>>,
    /// The lengths of the kept columns.
    pub scale: Vec<f64>,
}

/// A share of a dropped column that another must have to be told of.
const TOLD: f64 = 1e-6;

impl Orthogonal {
    /// Factors `columns`. One of which less than `tolerance` is left, when all before it are taken out, is dropped.
    pub fn of(columns: &[&[f64]], tolerance: f64, watch: &dyn Watch) -> Result<Self, StatisticsError> {
        let mut made =
            Self { kept: Vec::new(), dropped: Vec::new(), q: Vec::new(), r: Vec::new(), scale: Vec::new() };
        for (place, column) in columns.iter().enumerate() {
            check(watch)?;
            let largest = column.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
            if largest == 0.0 {
                made.dropped.push((place, Vec::new()));
                continue;
            }
            let length = largest * norm(column.iter().map(|value| value / largest));
            let mut left: Vec<f64> = column.iter().map(|value| value / length).collect();
            let mut said = made.take_out(&mut left);
            for (said, more) in said.iter_mut().zip(made.take_out(&mut left)) {
                *said += more;
            }
            let rest = norm(left.iter().copied());
            // No more columns than rows: what is left then is rounding.
            if rest <= tolerance || made.q.len() >= column.len() {
                let shares = made.solve(said);
                let of = shares.iter().zip(&made.kept).filter(|(share, _)| share.abs() > TOLD);
                let of = of.map(|(_, kept)| *kept).collect();
                made.dropped.push((place, of));
                continue;
            }
            for value in &mut left {
                *value /= rest;
            }
            said.push(rest);
            made.q.push(left);
            made.r.push(said);
            made.scale.push(length);
            made.kept.push(place);
        }
        Ok(made)
    }

    /// Takes the orthogonal columns out of `values`; returns how much of each there was.
    pub fn take_out(&self, values: &mut [f64]) -> Vec<f64> {
        let shares: Vec<f64> = self.q.iter().map(|q| dot(q, values)).collect();
        for (q, share) in self.q.iter().zip(&shares) {
            for (value, q) in values.iter_mut().zip(q) {
                *value -= share * q;
            }
        }
        shares
    }

    /// Solves R b = z.
    pub fn solve(&self, mut z: Vec<f64>) -> Vec<f64> {
        for j in (0..z.len()).rev() {
            z[j] /= self.r[j][j];
            let b = z[j];
            for (z, r) in z.iter_mut().zip(&self.r[j][..j]) {
                *z -= r * b;
            }
        }
        z
    }

    /// The rows of R⁻¹.
    pub fn inverse(&self) -> Vec<Vec<f64>> {
        let size = self.r.len();
        let mut rows = vec![vec![0.0; size]; size];
        for j in 0..size {
            let mut unit = vec![0.0; j + 1];
            unit[j] = 1.0;
            for (row, value) in rows.iter_mut().zip(self.solve(unit)) {
                row[j] = value;
            }
        }
        rows
    }

    /// How many times larger the largest singular value is than the smallest, of the columns scaled to length 1 (Belsley's condition
    /// number); one-sided rotations of Jacobi, exact also for the small ones.
    pub fn condition(&self, watch: &dyn Watch) -> Result<Option<f64>, StatisticsError> {
        let size = self.r.len();
        let padded = |column: &Vec<f64>| {
            let mut column = column.clone();
            column.resize(size, 0.0);
            column
        };
        let mut columns: Vec<Vec<f64>> = self.r.iter().map(padded).collect();
        for _ in 0..60 {
            let mut has_turned = false;
            for left in 0..size {
                check(watch)?;
                for right in left + 1..size {
                    let (before, after) = columns.split_at_mut(right);
                    has_turned |= turn(&mut before[left], &mut after[0]);
                }
            }
            if !has_turned {
                break;
            }
        }
        let lengths = columns.iter().map(|column| norm(column.iter().copied()));
        let (least, most) = lengths.fold((f64::INFINITY, 0.0_f64), |(a, b), x| (a.min(x), b.max(x)));
        Ok((least > 0.0 && most > 0.0).then(|| most / least).filter(|condition| condition.is_finite()))
    }
}

/// Turns two columns so that they are orthogonal; whether they were not.
fn turn(left: &mut [f64], right: &mut [f64]) -> bool {
    let (a, b, c) = (dot(left, left), dot(right, right), dot(left, right));
    if c.abs() <= 1e-15 * (a * b).sqrt() || c == 0.0 {
        return false;
    }
    let zeta = (b - a) / (2.0 * c);
    let t = zeta.signum() / (zeta.abs() + zeta.hypot(1.0));
    let cos = 1.0 / t.hypot(1.0);
    let sin = cos * t;
    for (l, r) in left.iter_mut().zip(right) {
        (*l, *r) = (cos * *l - sin * *r, sin * *l + cos * *r);
    }
    true
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_that_others_say_is_dropped_and_they_are_named() {
        let (one, x) = (vec![1.0; 6], vec![1.0, 2.0, 4.0, 7.0, 1.0, 0.0]);
        let y = [2.0, 0.0, 1.0, 5.0, 5.0, 3.0];
        let sum: Vec<f64> = x.iter().zip(y).map(|(x, y)| 3.0 * x - y).collect();
        let made = Orthogonal::of(&[&one, &x, &[0.0; 6], &y, &sum, &[4.0; 6]], 1e-10, &()).unwrap();
        assert_eq!(made.kept, [0, 1, 3]);
        assert_eq!(made.dropped, [(2, vec![]), (4, vec![1, 3]), (5, vec![0])]);
    }

    #[test]
    fn what_is_kept_is_orthogonal_whatever_it_was_before() {
        // Powers of numbers close to each other: nearly the same columns.
        let x: Vec<f64> = (0..40).map(|n| 10.0 + f64::from(n) / 100.0).collect();
        let powers: Vec<Vec<f64>> = (0..5).map(|power| x.iter().map(|x| x.powi(power)).collect()).collect();
        let columns: Vec<&[f64]> = powers.iter().map(Vec::as_slice).collect();
        let made = Orthogonal::of(&columns, 1e-15, &()).unwrap();
        for (n, a) in made.q.iter().enumerate() {
            for (m, b) in made.q.iter().enumerate() {
                let expected = if n == m { 1.0 } else { 0.0 };
                assert!((dot(a, b) - expected).abs() < 1e-14, "{n} {m}");
            }
        }
        assert!(made.condition(&()).unwrap().unwrap() > 1e9);
    }

    #[test]
    fn the_condition_of_two_columns_is_that_of_their_angle() {
        let cos: f64 = 0.6;
        let right = [cos, (1.0 - cos * cos).sqrt(), 0.0];
        let made = Orthogonal::of(&[&[1.0, 0.0, 0.0], &right], 1e-10, &()).unwrap();
        let expected = ((1.0 + cos) / (1.0 - cos)).sqrt();
        assert!((made.condition(&()).unwrap().unwrap() - expected).abs() < 1e-12);
    }
}
