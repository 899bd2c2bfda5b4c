//! Weather in Open-Meteo's format.

mod climate;
mod open_meteo;
mod seattle;
mod time_zone;

pub(crate) use open_meteo::routes;
pub(crate) use seattle::{RecordError, SeattleRecord};

/// The weather of one day, in the units that Open-Meteo has by default, but for the wind. Unrounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Day {
    /// °C.
    pub temperature_max: f64,
    /// °C.
    pub temperature_min: f64,
    /// mm.
    pub precipitation: f64,
    /// m/s.
    pub wind_speed: f64,
    /// WMO code 4677.
    pub weather_code: u8,
    /// Seconds; not everybody observes it.
    pub sunshine: Option<f64>,
}

impl Day {
    /// °C.
    fn temperature_mean(&self) -> f64 {
        f64::midpoint(self.temperature_max, self.temperature_min)
    }
}
