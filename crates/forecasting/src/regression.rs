//! Least squares on a few dozen columns, by the normal equations and Cholesky's factors. Columns are built to be of size 1 and nearly
//! orthogonal (phases of a season, sines, a centred trend), so the normal equations lose nothing that matters; a trace of ridge keeps a column
//! that says nothing new from dividing by zero.

/// Rows of columns, and what is fitted to them.
pub(crate) struct Fit {
    pub(crate) coefficients: Vec<f64>,
    pub(crate) residuals: Vec<f64>,
}

/// Fits `values` by the columns that `row` writes for each index. None where the columns cannot be told apart.
pub(crate) fn least_squares(
    values: &[f64],
    columns: usize,
    mut row: impl FnMut(usize, &mut [f64]),
) -> Option<Fit> {
    if columns == 0 || columns > values.len() {
        return None;
    }
    let mut gram = vec![0.0; columns * columns];
    let mut right = vec![0.0; columns];
    let mut cells = vec![0.0; columns];
    for (index, value) in values.iter().enumerate() {
        row(index, &mut cells);
        for (i, cell) in cells.iter().enumerate() {
            // Most cells of phases are 0.
            if *cell != 0.0 {
                right[i] += cell * value;
                for (sum, other) in gram[i * columns..=i * columns + i].iter_mut().zip(&cells) {
                    *sum += cell * other;
                }
            }
        }
    }
    let trace: f64 = (0..columns).map(|i| gram[i * columns + i]).sum();
    for i in 0..columns {
        gram[i * columns + i] += trace * 1e-10;
    }
    let coefficients = solve(&mut gram, right)?;
    let mut residuals = Vec::with_capacity(values.len());
    for (index, value) in values.iter().enumerate() {
        row(index, &mut cells);
        residuals.push(value - dot(&coefficients, &cells));
    }
    Some(Fit { coefficients, residuals })
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves a symmetric positive definite system, of which the lower half is given.
fn solve(gram: &mut [f64], mut right: Vec<f64>) -> Option<Vec<f64>> {
    let n = right.len();
    for i in 0..n {
        for j in 0..=i {
            let below = dot(&gram[i * n..i * n + j], &gram[j * n..j * n + j]);
            let rest = gram[i * n + j] - below;
            if i == j {
                if rest <= 0.0 || !rest.is_finite() {
                    return None;
                }
                gram[i * n + i] = rest.sqrt();
            } else {
                gram[i * n + j] = rest / gram[j * n + j];
            }
        }
    }
    for i in 0..n {
        right[i] = (right[i] - dot(&gram[i * n..i * n + i], &right[..i])) / gram[i * n + i];
    }
    for i in (0..n).rev() {
        let above: f64 = (i + 1..n).map(|k| gram[k * n + i] * right[k]).sum();
        right[i] = (right[i] - above) / gram[i * n + i];
    }
    right.iter().all(|value| value.is_finite()).then_some(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_exactly_and_a_repeated_column_does_no_harm() {
        let values: Vec<f64> = (0..50).map(|t| 3.0 - 0.5 * f64::from(t)).collect();
        let fit = least_squares(&values, 2, |t, row| row.copy_from_slice(&[1.0, t as f64 / 50.0])).unwrap();
        assert!((fit.coefficients[0] - 3.0).abs() < 1e-6 && (fit.coefficients[1] + 25.0).abs() < 1e-6);
        let twice = least_squares(&values, 3, |t, row| {
            row.copy_from_slice(&[1.0, t as f64 / 50.0, t as f64 / 50.0]);
        });
        assert!(twice.unwrap().residuals.iter().all(|rest| rest.abs() < 1e-4));
    }
}
