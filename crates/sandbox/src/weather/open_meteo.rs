//! `/v1/archive` and `/v1/forecast`, in Open-Meteo's words: its parameters, its units, its errors.
//!
//! Of its variables the daily ones below are there. Unlike the original it has every day from 1940 to 2100, in the archive
//! and in the forecast alike, because tests and demos choose their own today.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use super::{Day, climate, time_zone};
use crate::server::Shared;

const FIRST: Date = date(1940, 1, 1);
const LAST: Date = date(2100, 12, 31);
/// Days that a forecast has if the request names none.
const FORECAST_DAYS: i64 = 7;
const FORECAST_DAYS_MAX: i64 = 16;
const PAST_DAYS_MAX: i64 = 92;
const KMH_PER_MS: f64 = 3.6;
const MPH_PER_MS: f64 = 2.236_936;
const KNOTS_PER_MS: f64 = 1.943_844;
const MM_PER_INCH: f64 = 25.4;

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config.route("/v1/archive", web::get().to(archive)).route("/v1/forecast", web::get().to(forecast));
}

type Query = web::Query<HashMap<String, String>>;

async fn archive(shared: web::Data<Shared>, query: Query) -> HttpResponse {
    respond(Request::read(&query, Product::Archive), &shared)
}

async fn forecast(shared: web::Data<Shared>, query: Query) -> HttpResponse {
    respond(Request::read(&query, Product::Forecast), &shared)
}

fn respond(request: Result<Request, String>, shared: &Shared) -> HttpResponse {
    match request {
        Ok(request) => HttpResponse::Ok().json(request.answer(shared)),
        Err(reason) => HttpResponse::BadRequest().json(json!({"error": true, "reason": reason})),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Product {
    Archive,
    Forecast,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Variable {
    TemperatureMax,
    TemperatureMin,
    TemperatureMean,
    Precipitation,
    WindSpeedMax,
    WeatherCode,
    Sunshine,
}

impl Variable {
    const ALL: [Self; 7] = [
        Self::TemperatureMax,
        Self::TemperatureMin,
        Self::TemperatureMean,
        Self::Precipitation,
        Self::WindSpeedMax,
        Self::WeatherCode,
        Self::Sunshine,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::TemperatureMax => "temperature_2m_max",
            Self::TemperatureMin => "temperature_2m_min",
            Self::TemperatureMean => "temperature_2m_mean",
            Self::Precipitation => "precipitation_sum",
            Self::WindSpeedMax => "wind_speed_10m_max",
            Self::WeatherCode => "weather_code",
            Self::Sunshine => "sunshine_duration",
        }
    }
}

/// A unit: its name and what to do with a value in ours.
struct Unit {
    name: &'static str,
    factor: f64,
    offset: f64,
}

impl Unit {
    const fn new(name: &'static str, factor: f64, offset: f64) -> Self {
        Self { name, factor, offset }
    }

    /// To two decimals, which keeps every recorded value as it is: records have one, and the factors at most one more.
    fn of(&self, value: f64) -> f64 {
        ((value * self.factor + self.offset) * 100.0).round() / 100.0
    }
}

struct Request {
    latitude: f64,
    longitude: f64,
    zone: TimeZone,
    zone_name: String,
    start: Date,
    end: Date,
    variables: Vec<Variable>,
    temperature: Unit,
    precipitation: Unit,
    wind: Unit,
}

impl Request {
    fn read(query: &HashMap<String, String>, product: Product) -> Result<Self, String> {
        let get = |name: &str| query.get(name).map(String::as_str);
        let latitude = coordinate(get("latitude"), "Latitude", 90.0)?;
        let longitude = coordinate(get("longitude"), "Longitude", 180.0)?;
        let zone_name = match get("timezone") {
            Some("auto") => time_zone::at(latitude, longitude),
            Some(name) => name.to_owned(),
            None => "GMT".to_owned(),
        };
        let zone = time_zone::named(&zone_name).ok_or("Invalid timezone")?;
        let (start, end) = days(query, product, &zone)?;
        Ok(Self {
            latitude,
            longitude,
            zone,
            zone_name,
            start,
            end,
            variables: variables(get("daily"))?,
            temperature: match get("temperature_unit").unwrap_or("celsius") {
                "celsius" => Unit::new("°C", 1.0, 0.0),
                "fahrenheit" => Unit::new("°F", 1.8, 32.0),
                other => return Err(invalid("TemperatureUnit", other)),
            },
            precipitation: match get("precipitation_unit").unwrap_or("mm") {
                "mm" => Unit::new("mm", 1.0, 0.0),
                "inch" => Unit::new("inch", 1.0 / MM_PER_INCH, 0.0),
                other => return Err(invalid("PrecipitationUnit", other)),
            },
            wind: match get("wind_speed_unit").unwrap_or("kmh") {
                "kmh" => Unit::new("km/h", KMH_PER_MS, 0.0),
                "ms" => Unit::new("m/s", 1.0, 0.0),
                "mph" => Unit::new("mp/h", MPH_PER_MS, 0.0),
                "kn" => Unit::new("kn", KNOTS_PER_MS, 0.0),
                other => return Err(invalid("WindspeedUnit", other)),
            },
        })
    }

    fn unit(&self, variable: Variable) -> &str {
        match variable {
            Variable::TemperatureMax | Variable::TemperatureMin | Variable::TemperatureMean => {
                self.temperature.name
            }
            Variable::Precipitation => self.precipitation.name,
            Variable::WindSpeedMax => self.wind.name,
            Variable::WeatherCode => "wmo code",
            Variable::Sunshine => "s",
        }
    }

    fn value(&self, variable: Variable, day: &Day) -> Value {
        match variable {
            Variable::TemperatureMax => json!(self.temperature.of(day.temperature_max)),
            Variable::TemperatureMin => json!(self.temperature.of(day.temperature_min)),
            Variable::TemperatureMean => json!(self.temperature.of(day.temperature_mean())),
            Variable::Precipitation => json!(self.precipitation.of(day.precipitation)),
            Variable::WindSpeedMax => json!(self.wind.of(day.wind_speed)),
            Variable::WeatherCode => json!(day.weather_code),
            Variable::Sunshine => json!(day.sunshine.map(|seconds| (seconds * 100.0).round() / 100.0)),
        }
    }

    fn answer(&self, shared: &Shared) -> Value {
        let dates: Vec<Date> = self.start.series(1.day()).take_while(|date| *date <= self.end).collect();
        let days: Vec<Day> = dates
            .iter()
            .map(|date| {
                let observed = shared.seattle.at(self.latitude, self.longitude, *date);
                observed.unwrap_or_else(|| climate::day(self.latitude, self.longitude, *date))
            })
            .collect();
        let mut units = Map::from_iter([("time".to_owned(), json!("iso8601"))]);
        let mut daily = Map::from_iter([("time".to_owned(), json!(dates))]);
        for &variable in &self.variables {
            units.insert(variable.name().to_owned(), json!(self.unit(variable)));
            let values: Vec<Value> = days.iter().map(|day| self.value(variable, day)).collect();
            daily.insert(variable.name().to_owned(), values.into());
        }
        let noon = self.start.at(12, 0, 0, 0).to_zoned(self.zone.clone());
        json!({
            // The original names the middle of the cell of its grid that the place is in.
            "latitude": (self.latitude * 10.0).round() / 10.0,
            "longitude": (self.longitude * 10.0).round() / 10.0,
            // Fixed, so that the same question has the same ETag.
            "generationtime_ms": 0.25,
            "utc_offset_seconds": noon.as_ref().map_or(0, |noon| noon.offset().seconds()),
            "timezone": self.zone_name,
            "timezone_abbreviation": noon.map_or_else(|_| "GMT".to_owned(), |noon| noon.strftime("%Z").to_string()),
            "elevation": 38.0,
            "daily_units": units,
            "daily": daily,
        })
    }
}

fn coordinate(value: Option<&str>, name: &str, limit: f64) -> Result<f64, String> {
    let text = value.ok_or_else(|| format!("Parameter '{}' is required", name.to_lowercase()))?;
    let number: f64 = text
        .parse()
        .map_err(|_| format!("Value of type 'Float' required for key '{}'.", name.to_lowercase()))?;
    if number.abs() <= limit {
        Ok(number)
    } else {
        Err(format!("{name} must be in range of -{limit:.0} to {limit:.0}°. Given: {number:?}."))
    }
}

fn variables(list: Option<&str>) -> Result<Vec<Variable>, String> {
    let mut variables = Vec::new();
    for name in list.unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
        let variable = Variable::ALL.into_iter().find(|variable| variable.name() == name);
        let variable = variable.ok_or_else(|| invalid("ForecastVariableDaily", name))?;
        if !variables.contains(&variable) {
            variables.push(variable);
        }
    }
    Ok(variables)
}

fn invalid(what: &str, value: &str) -> String {
    format!("Data corrupted at path ''. Cannot initialize {what} from invalid String value {value}.")
}

/// First and last day of the answer.
fn days(query: &HashMap<String, String>, product: Product, zone: &TimeZone) -> Result<(Date, Date), String> {
    let day = |name: &str| {
        query
            .get(name)
            .map(|text| {
                text.parse::<Date>()
                    .map_err(|_| format!("Invalid date format for '{name}'. Make sure to use 'YYYY-MM-DD'"))
            })
            .transpose()
    };
    let number = |name: &str, default: i64, max: i64| match query.get(name).map(|text| text.parse::<i64>()) {
        None => Ok(default),
        Some(Ok(value)) if (0..=max).contains(&value) => Ok(value),
        Some(_) => Err(format!("Parameter '{name}' is invalid. Allowed range 0 to {max}.")),
    };
    let (start, end) = match (day("start_date")?, day("end_date")?) {
        (Some(start), Some(end)) => (start, end),
        (None, None) if product == Product::Forecast => {
            let today = Timestamp::now().to_zoned(zone.clone()).date();
            let past = number("past_days", 0, PAST_DAYS_MAX)?;
            let days = number("forecast_days", FORECAST_DAYS, FORECAST_DAYS_MAX)?;
            (today.saturating_sub(past.days()), today.saturating_add((days - 1).max(0).days()))
        }
        _ => return Err("Both 'start_date' and 'end_date' must be set".to_owned()),
    };
    if end < start {
        return Err("End-date must be larger or equals than start-date".to_owned());
    }
    for (name, day) in [("start_date", start), ("end_date", end)] {
        if !(FIRST..=LAST).contains(&day) {
            return Err(format!("Parameter '{name}' is out of allowed range from {FIRST} to {LAST}"));
        }
    }
    Ok((start, end))
}
