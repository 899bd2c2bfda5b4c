//! Public and school holidays.
//!
//! Public ones come from Nager.Date, or from Calendarific where the caller or the configuration has a key for it; school
//! ones from OpenHolidays. All three end up in the same two types.

mod calendarific;
mod nager;
mod open_holidays;

use jiff::civil::Date;

use crate::config::BaseUrl;
use crate::country::{CountryCode, SubdivisionCode};
use crate::date_range::DateRange;
use crate::error::{Service, UpstreamError};
use crate::http::{BadData, HttpClient};
use crate::secret::Secret;

/// Years that make sense to ask for; the upstreams know fewer.
const YEARS: std::ops::RangeInclusive<i16> = 1900..=2200;
/// Longest name of a holiday, in characters.
const NAME_MAX: usize = 200;
/// Most entries in one answer. The longest real one (all of a large country's observances) has about 600.
const ENTRIES_MAX: usize = 10_000;

/// How official a holiday is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HolidayKind {
    /// By law, most people do not work.
    Public,
    /// Banks and offices are closed.
    Bank,
    /// Schools are closed.
    School,
    /// Authorities are closed.
    Authorities,
    /// Most people take the day off.
    Optional,
    /// Observed, and people work.
    Observance,
}

/// One holiday of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holiday {
    /// The day.
    pub date: Date,
    /// English name; plain text, to be escaped wherever it is shown.
    pub name: String,
    /// Name in the country's own language, where the upstream has one.
    pub local_name: Option<String>,
    /// How official it is.
    pub kind: HolidayKind,
    /// The parts of the country that have it, such as `DE-BY`; empty if the whole country has.
    pub subdivisions: Vec<SubdivisionCode>,
}

/// School holidays, first to last day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchoolHoliday {
    /// First free day.
    pub start: Date,
    /// Last free day.
    pub end: Date,
    /// English name where there is one; plain text, to be escaped wherever it is shown.
    pub name: String,
    /// The parts of the country that have it; empty if the whole country has.
    pub subdivisions: Vec<SubdivisionCode>,
}

/// Client of the three sources of holidays. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HolidayClient {
    http: HttpClient,
    nager: BaseUrl,
    calendarific: BaseUrl,
    open_holidays: BaseUrl,
    calendarific_key: Option<Secret>,
}

impl HolidayClient {
    pub(crate) fn new(
        http: HttpClient,
        nager: BaseUrl,
        calendarific: BaseUrl,
        open_holidays: BaseUrl,
        calendarific_key: Option<Secret>,
    ) -> Self {
        Self { http, nager, calendarific, open_holidays, calendarific_key }
    }

    /// All holidays of a country in a year, by date: from Calendarific with `key` or else the configured key, from
    /// Nager.Date without any.
    ///
    /// # Errors
    /// [`UpstreamError`]; a country that Nager.Date does not know is [`UpstreamError::Refused`] with status 404. A day of
    /// another year in the answer is bad data.
    pub async fn public(
        &self,
        country: CountryCode,
        year: i16,
        key: Option<&Secret>,
    ) -> Result<Vec<Holiday>, UpstreamError> {
        let key = key.or(self.calendarific_key.as_ref());
        let service = if key.is_some() { Service::Calendarific } else { Service::Nager };
        if !YEARS.contains(&year) {
            let problem = format!("the year {year} is not between {} and {}", YEARS.start(), YEARS.end());
            return Err(UpstreamError::InvalidRequest { service, problem });
        }
        let mut holidays = match key {
            Some(key) => calendarific::fetch(&self.http, &self.calendarific, country, year, key).await?,
            None => nager::fetch(&self.http, &self.nager, country, year).await?,
        };
        holidays.sort_by_key(|holiday| holiday.date);
        Ok(holidays)
    }

    /// All school holidays that touch the range, by first day; those of one part of the country if `subdivision` is given.
    /// One call for every three years, which is the most that OpenHolidays answers at once.
    ///
    /// # Errors
    /// [`UpstreamError`]; holidays outside of the range, backwards or longer than a year are bad data, and so is an entry of
    /// another country.
    pub async fn school(
        &self,
        country: CountryCode,
        range: DateRange,
        subdivision: Option<&SubdivisionCode>,
    ) -> Result<Vec<SchoolHoliday>, UpstreamError> {
        if let Some(subdivision) = subdivision.filter(|s| !s.belongs_to(country)) {
            let problem = format!("{subdivision} is not a part of {country}");
            return Err(UpstreamError::InvalidRequest { service: Service::OpenHolidays, problem });
        }
        let mut holidays: Vec<SchoolHoliday> = Vec::new();
        for part in range.chunks(open_holidays::DAYS_MAX) {
            let mut more =
                open_holidays::fetch(&self.http, &self.open_holidays, country, part, subdivision).await?;
            if part.start() != range.start() {
                // What began earlier touches the part before, and came with that.
                more.retain(|holiday| holiday.start >= part.start());
            }
            holidays.append(&mut more);
        }
        holidays.sort_by_key(|holiday| (holiday.start, holiday.end));
        Ok(holidays)
    }
}

/// A name fit to be stored: some text, not too long, and no markup, which no holiday has in its name.
fn checked_name(name: &str) -> Result<String, BadData> {
    let name = name.trim();
    if name.is_empty() {
        return Err(BadData("a holiday has no name".to_owned()));
    }
    if name.chars().count() > NAME_MAX {
        return Err(BadData(format!("the name of a holiday has more than {NAME_MAX} characters")));
    }
    if name.chars().any(|c| c.is_control() || matches!(c, '<' | '>')) {
        return Err(BadData(format!("the name of a holiday has markup or control characters: {name:?}")));
    }
    Ok(name.to_owned())
}

/// Codes of parts of `country`.
fn checked_subdivisions<'a>(
    country: CountryCode,
    codes: impl Iterator<Item = &'a str>,
) -> Result<Vec<SubdivisionCode>, BadData> {
    codes
        .map(|code| {
            let code: SubdivisionCode = code.parse().map_err(|error| BadData(format!("{error}")))?;
            if code.belongs_to(country) {
                Ok(code)
            } else {
                Err(BadData(format!("{code} is not a part of {country}")))
            }
        })
        .collect()
}

fn check_year(date: Date, year: i16) -> Result<(), BadData> {
    if date.year() == year { Ok(()) } else { Err(BadData(format!("a holiday is on {date}, not in {year}"))) }
}

fn check_count(count: usize) -> Result<(), BadData> {
    if count <= ENTRIES_MAX {
        Ok(())
    } else {
        Err(BadData(format!("{count} holidays came; at most {ENTRIES_MAX} are accepted")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_bounded_text() {
        assert_eq!(checked_name(" Mariä Himmelfahrt ").unwrap(), "Mariä Himmelfahrt");
        assert_eq!(checked_name("Washington's Birthday & Co").unwrap(), "Washington's Birthday & Co");
        for bad in ["", "  ", "<script>alert(1)</script>", "a\u{0}b", "a\r\nb", &"x".repeat(201)] {
            assert!(checked_name(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
