//! What a column is, by its name.

/// What a column says about a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// A figure of the property: what is described, explained and forecast.
    Figure,
    /// Mean temperature, °C.
    Temperature,
    /// Highest temperature, °C.
    TemperatureMax,
    /// Lowest temperature, °C.
    TemperatureMin,
    /// Rain and snow, mm.
    Precipitation,
    /// Wind.
    Wind,
    /// Sunshine.
    Sunshine,
    /// Any other word on the weather.
    OtherWeather,
    /// Whether it is a public holiday, or which.
    PublicHoliday,
    /// Whether it is in school holidays, or in which.
    SchoolHoliday,
    /// Anything else about holidays: days to the next one.
    AboutHolidays,
    /// What the day itself says: weekday, month. It is computed anew.
    Calendar,
    /// A flag or a word of the client's own.
    Other,
}

const NAMES: [(Role, &[&str]); 11] = [
    (
        Role::Temperature,
        &[
            "temperature",
            "temp",
            "temperaturemean",
            "temperaturemeanc",
            "temperaturec",
            "meantemperature",
            "avgtemperature",
            "averagetemperature",
            "temperatureavg",
            "tempmean",
            "tempavg",
            "avgtemp",
            "meantemp",
            "tavg",
            "temperature2mmean",
        ],
    ),
    (
        Role::TemperatureMax,
        &[
            "temperaturemax",
            "temperaturemaxc",
            "maxtemperature",
            "tempmax",
            "maxtemp",
            "tmax",
            "temperature2mmax",
        ],
    ),
    (
        Role::TemperatureMin,
        &[
            "temperaturemin",
            "temperatureminc",
            "mintemperature",
            "tempmin",
            "mintemp",
            "tmin",
            "temperature2mmin",
        ],
    ),
    (
        Role::Precipitation,
        &[
            "precipitation",
            "precipitationmm",
            "precipitationsum",
            "precip",
            "prcp",
            "rain",
            "rainmm",
            "rainfall",
        ],
    ),
    (
        Role::Wind,
        &["wind", "windspeed", "windspeedmax", "windspeedmaxkmh", "windspeedkmh", "windspeed10mmax"],
    ),
    (Role::Sunshine, &["sunshine", "sunshines", "sunshinehours", "sunshineduration", "sunhours"]),
    (Role::OtherWeather, &["weathercode", "weather", "conditions", "weathercondition"]),
    (Role::PublicHoliday, &["holiday", "isholiday", "publicholiday", "ispublicholiday", "holidayname"]),
    (Role::SchoolHoliday, &["schoolholiday", "isschoolholiday", "schoolholidays"]),
    (
        Role::AboutHolidays,
        &[
            "daystoholiday",
            "dayssinceholiday",
            "daystonextholiday",
            "dayssincelastholiday",
            "longweekend",
            "islongweekend",
        ],
    ),
    (
        Role::Calendar,
        &[
            "weekday",
            "dayofweek",
            "weekend",
            "isweekend",
            "month",
            "season",
            "isoweek",
            "week",
            "weekofyear",
            "dayofyear",
            "year",
            "quarter",
        ],
    ),
];

impl Role {
    /// What a column of this name is; a figure where the name says nothing.
    pub fn of(name: &str) -> Self {
        let plain: String =
            name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        NAMES
            .iter()
            .find(|(_, names)| names.contains(&plain.as_str()))
            .map_or(Self::Figure, |(role, _)| *role)
    }

    /// Whether it is about the weather.
    pub fn is_weather(self) -> bool {
        matches!(
            self,
            Self::Temperature
                | Self::TemperatureMax
                | Self::TemperatureMin
                | Self::Precipitation
                | Self::Wind
                | Self::Sunshine
                | Self::OtherWeather
        )
    }

    /// Whether it is about holidays.
    pub fn is_holiday(self) -> bool {
        matches!(self, Self::PublicHoliday | Self::SchoolHoliday | Self::AboutHolidays)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_understood_however_they_are_written_and_no_name_has_two_meanings() {
        for (name, role) in [
            ("temperatureMeanC", Role::Temperature),
            ("temp_max", Role::TemperatureMax),
            ("Precipitation (mm)", Role::Precipitation),
            ("is_holiday", Role::PublicHoliday),
            ("dayOfWeek", Role::Calendar),
            ("price", Role::Figure),
            ("", Role::Figure),
        ] {
            assert_eq!(Role::of(name), role, "{name}");
        }
        let all: Vec<&str> = NAMES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
