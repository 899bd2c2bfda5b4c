//! Daily weather from Open-Meteo: one call for a place and a range of days.

mod wire;

use jiff::ToSpan as _;
use jiff::civil::Date;

use crate::config::BaseUrl;
use crate::date_range::DateRange;
use crate::error::{Service, UpstreamError};
use crate::http::{ApiRequest, HttpClient};
use crate::place::Coordinates;

/// The archive has a day for certain only some days later (ERA5 lags by five); later days come from the forecast.
const ARCHIVE_LAG_DAYS: i64 = 7;
/// The forecast reaches this many days beyond today.
const FORECAST_DAYS: i64 = 15;

/// The weather of one day at one place. A value that the upstream has not is `None`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DailyWeather {
    /// The day, in the place's own time zone.
    pub date: Date,
    /// Highest temperature 2 m above ground, °C.
    pub temperature_max_c: Option<f64>,
    /// Lowest temperature 2 m above ground, °C.
    pub temperature_min_c: Option<f64>,
    /// Mean temperature 2 m above ground, °C.
    pub temperature_mean_c: Option<f64>,
    /// Rain, showers and melted snow, mm.
    pub precipitation_mm: Option<f64>,
    /// Highest wind speed 10 m above ground, km/h.
    pub wind_speed_max_kmh: Option<f64>,
    /// The day's most severe weather, WMO code 4677, 0 to 99.
    pub weather_code: Option<u8>,
    /// Sunshine, seconds.
    pub sunshine_s: Option<f64>,
}

/// Consecutive days at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct WeatherSeries {
    /// IANA name of the time zone whose days these are.
    pub time_zone: String,
    /// One entry per day, in order, no day left out.
    pub days: Vec<DailyWeather>,
}

/// Client of Open-Meteo's archive and forecast. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WeatherClient {
    http: HttpClient,
    archive: BaseUrl,
    forecast: BaseUrl,
}

impl WeatherClient {
    pub(crate) fn new(http: HttpClient, archive: BaseUrl, forecast: BaseUrl) -> Self {
        Self { http, archive, forecast }
    }

    /// Past weather, in one call. The archive begins in 1940 and ends some days before today.
    ///
    /// # Errors
    /// [`UpstreamError`]; an answer that does not have exactly the days asked for is bad data.
    pub async fn archive(
        &self,
        place: Coordinates,
        range: DateRange,
    ) -> Result<WeatherSeries, UpstreamError> {
        self.fetch(&self.archive, "archive", place, range).await
    }

    /// Weather of the last three months and the next two weeks, in one call.
    ///
    /// # Errors
    /// [`UpstreamError`]; an answer that does not have exactly the days asked for is bad data.
    pub async fn forecast(
        &self,
        place: Coordinates,
        range: DateRange,
    ) -> Result<WeatherSeries, UpstreamError> {
        self.fetch(&self.forecast, "forecast", place, range).await
    }

    /// All that is known about the range as seen on `today`: its old days from the archive, recent and coming ones from the
    /// forecast, so at most two calls. Days that nobody can forecast yet are left off at the end; `None` if that is all of
    /// them.
    ///
    /// # Errors
    /// [`UpstreamError`] of the call that failed, or bad data if both calls place the days in different time zones.
    pub async fn daily(
        &self,
        place: Coordinates,
        range: DateRange,
        today: Date,
    ) -> Result<Option<WeatherSeries>, UpstreamError> {
        let (past, recent) = split(range, today);
        let mut series = match past {
            Some(past) => Some(self.archive(place, past).await?),
            None => None,
        };
        if let Some(recent) = recent {
            let rest = self.forecast(place, recent).await?;
            match &mut series {
                Some(series) if series.time_zone != rest.time_zone => {
                    return Err(UpstreamError::BadData {
                        service: Service::OpenMeteo,
                        url: self.forecast.to_string(),
                        problem: format!(
                            "the archive has the place in time zone {}, the forecast in {}",
                            series.time_zone, rest.time_zone
                        ),
                    });
                }
                Some(series) => series.days.extend(rest.days),
                None => series = Some(rest),
            }
        }
        Ok(series)
    }

    async fn fetch(
        &self,
        base: &BaseUrl,
        product: &str,
        place: Coordinates,
        range: DateRange,
    ) -> Result<WeatherSeries, UpstreamError> {
        let request = ApiRequest::new(Service::OpenMeteo, base, &["v1", product])
            .query("latitude", &place.latitude().to_string())
            .query("longitude", &place.longitude().to_string())
            .query("start_date", &range.start().to_string())
            .query("end_date", &range.end().to_string())
            .query("daily", wire::VARIABLES)
            .query("timezone", "auto");
        self.http.get(&request, |body| wire::parse(body, range)).await
    }
}

/// The parts of the range that the archive and the forecast answer for on `today`.
fn split(range: DateRange, today: Date) -> (Option<DateRange>, Option<DateRange>) {
    let archive_end = today.saturating_sub(ARCHIVE_LAG_DAYS.days());
    let forecast_start = archive_end.saturating_add(1.day());
    let forecast_end = today.saturating_add(FORECAST_DAYS.days());
    (range.within(Date::MIN, archive_end), range.within(forecast_start, forecast_end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn old_days_go_to_the_archive_and_the_far_future_to_nobody() {
        let today = date(2026, 3, 20);
        let range = |a, b| DateRange::new(a, b).unwrap();
        assert_eq!(
            split(range(date(2026, 1, 1), date(2026, 12, 31)), today),
            (
                Some(range(date(2026, 1, 1), date(2026, 3, 13))),
                Some(range(date(2026, 3, 14), date(2026, 4, 4)))
            )
        );
        let old = range(date(2020, 1, 1), date(2020, 1, 2));
        assert_eq!(split(old, today), (Some(old), None));
        let recent = range(date(2026, 3, 19), date(2026, 3, 21));
        assert_eq!(split(recent, today), (None, Some(recent)));
        assert_eq!(split(range(date(2026, 5, 1), date(2026, 5, 2)), today), (None, None));
    }
}
