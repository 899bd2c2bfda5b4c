//! The downhill simplex of Nelder & Mead (1965), for the few parameters of a smoothing model.
//!
//! Our own because the libraries' ones take each point as a vector on the heap and cannot be stopped between two evaluations; here a point
//! is an array, and `stop` is asked before each evaluation.

use crate::watch::{Cancelled, Stop};

/// The most parameters of a model.
pub(crate) const DIMENSIONS_MAX: usize = 8;

/// A point of the search; only the first few coordinates are used.
pub(crate) type Point = [f64; DIMENSIONS_MAX];

/// Searches for the smallest value of `cost` from `start`, whose first simplex reaches `steps` far. Each coordinate with a step of 0 stays.
/// Ends after `evaluations`, or when the simplex is flat. A cost that is no number counts as infinite.
pub(crate) fn minimise(
    start: Point,
    steps: &[f64],
    evaluations: usize,
    stop: Stop<'_>,
    mut cost: impl FnMut(&Point) -> f64,
) -> Result<(Point, f64), Cancelled> {
    let count = steps.len().min(DIMENSIONS_MAX);
    let mut left = evaluations;
    let mut measure = |point: &Point| {
        stop.check()?;
        left = left.saturating_sub(1);
        let value = cost(point);
        Ok((if value.is_nan() { f64::INFINITY } else { value }, left))
    };
    let mut corners: Vec<(Point, f64)> = Vec::with_capacity(count + 1);
    corners.push((start, measure(&start)?.0));
    for axis in 0..count {
        let mut corner = start;
        corner[axis] += steps[axis];
        corners.push((corner, measure(&corner)?.0));
    }
    loop {
        corners.sort_by(|a, b| a.1.total_cmp(&b.1));
        let (best, worst, next) = (corners[0].1, corners[count].1, corners[count - 1].1);
        let flat = worst.is_finite() && (worst - best) <= 1e-7 * (best.abs() + 1e-7);
        let mut centre = [0.0; DIMENSIONS_MAX];
        for (point, _) in &corners[..count] {
            for axis in 0..count {
                centre[axis] += point[axis] / count as f64;
            }
        }
        let towards = |far: f64| {
            let mut point = start;
            for axis in 0..count {
                point[axis] = centre[axis] + far * (centre[axis] - corners[count].0[axis]);
            }
            point
        };
        let reflected = towards(1.0);
        let (value, left) = measure(&reflected)?;
        if flat || left == 0 {
            return Ok(if value < best { (reflected, value) } else { corners[0] });
        }
        if value < best {
            let expanded = towards(2.0);
            let (further, _) = measure(&expanded)?;
            corners[count] = if further < value { (expanded, further) } else { (reflected, value) };
        } else if value < next {
            corners[count] = (reflected, value);
        } else {
            let contracted = towards(if value < worst { 0.5 } else { -0.5 });
            let (nearer, _) = measure(&contracted)?;
            if nearer < value.min(worst) {
                corners[count] = (contracted, nearer);
            } else {
                let anchor = corners[0].0;
                for (point, value) in &mut corners[1..] {
                    for axis in 0..count {
                        point[axis] = f64::midpoint(point[axis], anchor[axis]);
                    }
                    *value = measure(point)?.0;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwatched;

    #[test]
    fn the_bottom_of_a_bent_valley_is_found() {
        let start = [-1.2, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let valley = |p: &Point| (1.0 - p[0]).powi(2) + 100.0 * (p[1] - p[0] * p[0]).powi(2);
        let (point, value) = minimise(start, &[0.5, 0.5], 1_000, Stop(&Unwatched), valley).unwrap();
        assert!((point[0] - 1.0).abs() < 1e-2 && (point[1] - 1.0).abs() < 1e-2, "{point:?}, {value}");
    }

    #[test]
    fn what_is_no_number_is_never_chosen() {
        let cost = |p: &Point| if p[0] < 0.0 { f64::NAN } else { p[0] };
        let (point, value) = minimise([1.0; 8], &[-0.7], 200, Stop(&Unwatched), cost).unwrap();
        assert!(point[0] >= 0.0 && value < 0.1, "{point:?}, {value}");
    }
}
