//! The family of exponential smoothing: the mean of the best ETS model and the Theta method, which err at different places (the combination
//! did better than each in the M3 and M4 competitions: Makridakis, Spiliotis & Assimakopoulos 2020).

use super::{Memory, Seen, ets, phases, theta};
use crate::prepare::Prepared;
use crate::watch::{Cancelled, Stop};

pub(super) fn forecast(
    prepared: &Prepared,
    horizon: usize,
    memory: &mut Memory,
    stop: Stop<'_>,
) -> Result<Option<Seen>, Cancelled> {
    // With a long season both see what is left without its waves. Otherwise ETS sees the values as they are: it has models for what
    // multiplies.
    let waves = prepared.waves.is_some();
    let even = prepared.without_waves();
    let period = prepared.short().unwrap_or(1);
    let smoothed = if waves {
        ets::forecast(&even, period, horizon, memory.smoothing.as_ref(), stop)?
            .map(|(ahead, learned)| (prepared.restore(ahead), learned))
    } else {
        ets::forecast(&prepared.values, period, horizon, memory.smoothing.as_ref(), stop)?
    };
    let season = phases(&even, period);
    let without: Vec<f64> = even.iter().enumerate().map(|(at, value)| value - season[at % period]).collect();
    let mut line = theta::forecast(&without, horizon, stop)?;
    for (step, value) in line.iter_mut().enumerate() {
        *value += season[(even.len() + step) % period];
    }
    let line = prepared.restore(line);
    Ok(Some(match smoothed {
        None => Seen { ahead: line, fitted: "Theta".to_owned() },
        Some((ahead, learned)) => {
            memory.smoothing = Some(learned);
            let ahead = ahead.iter().zip(&line).map(|(a, b)| f64::midpoint(*a, *b)).collect();
            Seen { ahead, fitted: format!("{} and Theta", learned.kind.name()) }
        }
    }))
}
