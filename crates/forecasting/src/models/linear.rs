//! A straight line and the season's phases or waves, by least squares, with errors that are alike from step to step: the line says where the
//! series returns to, and the last error fades on the way there (regression with AR(1) errors, Cochrane & Orcutt 1949; Hyndman &
//! Athanasopoulos, "Forecasting: Principles and Practice", chapter 10).

use super::Seen;
use crate::prepare::Prepared;
use crate::regression::{dot, least_squares};
use crate::season::{self, waves};

pub(super) fn forecast(prepared: &Prepared, horizon: usize) -> Option<Seen> {
    let values = prepared.transformed();
    let phases = prepared.short().unwrap_or(1);
    let long = prepared.seasons.iter().find(|season| !season.is_short());
    let count = prepared.waves.as_ref().map_or(0, season::Waves::count);
    let columns = 1 + phases + 2 * count;
    let n = values.len() as f64;
    let write = |index: usize, row: &mut [f64]| {
        row.fill(0.0);
        row[0] = 2.0 * index as f64 / n - 1.0;
        row[1 + index % phases] = 1.0;
        if let Some(long) = long {
            waves(index, long.period, &mut row[1 + phases..]);
        }
    };
    let first = least_squares(&values, columns, write)?;
    let alike = season::autocorrelation(&first.residuals, 1)[1].clamp(0.0, 0.99);
    // Once more with what is new in each step: y(t) - r y(t-1) on x(t) - r x(t-1).
    let new: Vec<f64> = values.windows(2).map(|pair| pair[1] - alike * pair[0]).collect();
    let mut before = vec![0.0; columns];
    let second = least_squares(&new, columns, |index, row| {
        write(index, &mut before);
        write(index + 1, row);
        row.iter_mut().zip(&before).for_each(|(cell, before)| *cell -= alike * before);
    });
    let coefficients = second.map_or(first.coefficients, |fit| fit.coefficients);
    let mut row = vec![0.0; columns];
    let mut at = |index: usize| {
        write(index, &mut row);
        dot(&row, &coefficients)
    };
    let last = values.len() - 1;
    let mut error = values[last] - at(last);
    let ahead = (1..=horizon)
        .map(|step| {
            error *= alike;
            prepared.transform.invert(at(last + step) + error)
        })
        .collect();
    let season = match (phases > 1, count) {
        (false, 0) => String::new(),
        (true, 0) => format!(", {phases} phases"),
        (false, _) => format!(", {count} waves"),
        (true, _) => format!(", {phases} phases, {count} waves"),
    };
    Some(Seen { ahead, fitted: format!("line{season}, errors AR(1) {alike:.2}") })
}
