//! Typed clients of the outside world: weather ([Open-Meteo]) and holidays ([Nager.Date], [Calendarific] when a key is
//! there, [OpenHolidays] for school holidays); and, for what users name, a guarded [`fetch`]er and a client of [`webhook`]s.
//!
//! What all clients promise:
//! - **Nothing from outside is believed.** Answers are read up to a bound, checked as a whole and turned into our own types;
//!   what does not fit is [`UpstreamError::BadData`] with the reason, never a half-filled value.
//! - **Errors say what to do.** [`UpstreamError::is_transient`] and [`UpstreamError::retry_after`] are all that a job needs to
//!   choose between retrying, waiting and giving up.
//! - **Keys stay secret.** An API key is a [`Secret`]; no error, log line or `Debug` output holds it, not even when the
//!   upstream echoes it back.
//! - **Every call ends.** There are limits on connecting, on the whole exchange, on the size of a body and on the number of
//!   retries. Dropping a future at any point leaves nothing behind.
//!
//! The base URLs come from [`UpstreamConfig`], so tests and the demo point all of them at the sandbox.
//!
//! [Open-Meteo]: https://open-meteo.com/en/docs
//! [Nager.Date]: https://date.nager.at/Api
//! [Calendarific]: https://calendarific.com/api-documentation
//! [OpenHolidays]: https://www.openholidaysapi.org/

mod config;
mod country;
mod date_range;
mod error;
mod http;
mod place;
mod secret;

pub mod fetch;
pub mod holidays;
pub mod weather;
pub mod webhook;

pub use config::{BaseUrl, BaseUrlError, UpstreamConfig};
pub use country::{CountryCode, CountryCodeError, SubdivisionCode, SubdivisionCodeError};
pub use date_range::{DateRange, DateRangeError};
pub use error::{Service, TransportError, UpstreamError};
pub use holidays::HolidayClient;
pub use http::{BuildError, HttpOptions, RetryPolicy};
pub use place::{Coordinates, CoordinatesError};
pub use secret::{Secret, SecretError};
pub use weather::WeatherClient;

use http::HttpClient;

/// All clients, sharing one connection pool and one cache. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Upstreams {
    /// Daily weather, past and forecast.
    pub weather: WeatherClient,
    /// Public and school holidays.
    pub holidays: HolidayClient,
}

impl Upstreams {
    /// Makes the clients; nothing is sent yet.
    ///
    /// # Errors
    /// [`BuildError`] if the TLS set-up of this machine cannot be used.
    pub fn new(config: UpstreamConfig) -> Result<Self, BuildError> {
        let http = HttpClient::new(&config.http)?;
        Ok(Self {
            weather: WeatherClient::new(http.clone(), config.weather_archive, config.weather_forecast),
            holidays: HolidayClient::new(
                http,
                config.nager,
                config.calendarific,
                config.open_holidays,
                config.calendarific_key,
            ),
        })
    }
}
