//! Trend, seasons and remainder by MSTL (Bandara, Hyndman & Bergmeir 2021; the library `stlrs`), each season continued by its last cycle and
//! the rest by exponential smoothing, as `stlf` of the R package `forecast` does.

use stlrs::Mstl;

use super::{Memory, Seen, ets};
use crate::prepare::Prepared;
use crate::watch::{Cancelled, Stop};

pub(super) fn forecast(
    prepared: &Prepared,
    horizon: usize,
    memory: &mut Memory,
    stop: Stop<'_>,
) -> Result<Option<Seen>, Cancelled> {
    let values = prepared.transformed();
    let mut periods: Vec<usize> = prepared.seasons.iter().map(|season| season.steps()).collect();
    periods.sort_unstable();
    periods.retain(|period| values.len() / 2 >= *period);
    if periods.is_empty() {
        return Ok(None);
    }
    stop.check()?;
    let Ok(parts) = Mstl::fit(&values, &periods) else { return Ok(None) };
    stop.check()?;
    let mut rest = values.clone();
    for season in parts.seasonal() {
        rest.iter_mut().zip(season).for_each(|(value, part)| *value -= part);
    }
    let Some((mut ahead, learned)) = ets::forecast(&rest, 1, horizon, memory.seasonal.as_ref(), stop)? else {
        return Ok(None);
    };
    memory.seasonal = Some(learned);
    for (season, period) in parts.seasonal().iter().zip(&periods) {
        let last = &season[season.len() - period..];
        ahead.iter_mut().enumerate().for_each(|(step, value)| *value += last[step % period]);
    }
    for value in &mut ahead {
        *value = prepared.transform.invert(*value);
    }
    let periods: Vec<String> = periods.iter().map(usize::to_string).collect();
    Ok(Some(Seen { ahead, fitted: format!("MSTL({}) and {}", periods.join(", "), learned.kind.name()) }))
}
