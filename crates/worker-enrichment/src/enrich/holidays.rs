//! Public and school holidays of the property's country, through the cache that all jobs share.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use bulrush::Context;
use bulrush_catalog::SealedText;
use bulrush_store::{DayRange, Holiday, HolidayKind};
use bulrush_upstream::{
    CountryCode, DateRange, Secret, SubdivisionCode, UpstreamError, holidays as upstream,
};
use jiff::civil::{Date, date};
use jiff::tz::TimeZone;

use super::property::Property;
use super::{EnrichError, Progress};
use crate::Dependencies;
use crate::single_flight::{self, Fill};

/// Years that the sources can be asked for.
const YEARS: RangeInclusive<i16> = 1900..=2200;
/// A year that is not over long since is asked for again after this long: governments move holidays.
const STALE_AFTER_MS: i64 = 30 * 24 * 3_600 * 1_000;
/// The cache's word for holidays that some part of the country keeps. A property of which nobody said in which part it lies
/// gets these as school holidays: guests come from all parts.
const ANY_PART: &str = "*";

/// The names of the holidays, by day.
#[derive(Debug, Default)]
pub(super) struct Holidays {
    /// Days off at the property's place. A year before and after the price history are known too, for what touches its ends.
    pub public: BTreeMap<Date, String>,
    /// Days without school.
    pub school: BTreeMap<Date, String>,
    /// What is missing and why.
    pub notes: Vec<String>,
}

/// Brings the holidays of the property's country into the cache and reads them from there.
pub(super) async fn of(
    deps: &Dependencies,
    ctx: &Context,
    progress: &Progress<'_>,
    property: &Property,
    (today, sealed_key): (Date, Option<&SealedText>),
) -> Result<Holidays, EnrichError> {
    let mut found = Holidays::default();
    let Some(country) = property.country else {
        let note = "No country is known for the property, so holidays were left out: give countryCode, or set the property's \
                    country.";
        found.notes.push(note.to_owned());
        return Ok(found);
    };
    let range = property.range;
    let years = (range.first.year() - 1).max(*YEARS.start())..=(range.last.year() + 1).min(*YEARS.end());
    if range.first.year() < *YEARS.start() || range.last.year() > *YEARS.end() {
        let note = format!("Holidays are known from {} to {} only.", YEARS.start(), YEARS.end());
        found.notes.push(note);
    }
    if years.is_empty() {
        return Ok(found);
    }
    progress.part((0, 1), format!("looking up the holidays of {country}"));
    let holder = super::holder(ctx);
    let part = |kind| Part { deps, ctx, progress, kind, country, years: years.clone(), today, sealed_key };

    let unknown = single_flight::fill(deps, &holder, &part(HolidayKind::Public)).await?;
    // The years around the history are asked for the sake of its ends alone: nobody misses them.
    let unknown = unknown.into_iter().filter(|year| (range.first.year()..=range.last.year()).contains(year));
    let unknown: Vec<String> = unknown.map(|year| year.to_string()).collect();
    if !unknown.is_empty() {
        let years = unknown.join(", ");
        found.notes.push(format!("The source of public holidays has none for {country} in {years}."));
    }
    single_flight::fill(deps, &holder, &part(HolidayKind::School)).await?;

    let around = DayRange::new(date(*years.start(), 1, 1), date(*years.end(), 12, 31));
    let holidays = read(deps, country, property.subdivision.as_ref(), around).await?;
    let in_range = |day: Date| (range.first..=range.last).contains(&day);
    found.public = by_day(&holidays, HolidayKind::Public);
    found.school = by_day(&holidays, HolidayKind::School);
    if found.school.is_empty() {
        found.notes.push(format!("OpenHolidays has no school holidays for {country}."));
    }
    found.school.retain(|day, _| in_range(*day));
    if holidays.iter().any(|holiday| holiday.region.as_deref() == Some(ANY_PART) && in_range(holiday.day)) {
        found.notes.push(format!(
            "School holidays differ between the parts of {country}, and the property's subdivision is not known: those of any \
             part count, and public holidays of parts do not. Set the property's attribute subdivision to a code of ISO 3166-2."
        ));
    }
    ctx.log(format!(
        "holidays of {country}: {} public and {} school days in the range",
        found.public.keys().filter(|day| in_range(**day)).count(),
        found.school.len()
    ));
    Ok(found)
}

/// What the cache has for the place: nationwide holidays and those of its part, of all parts if its own is not known.
async fn read(
    deps: &Dependencies,
    country: CountryCode,
    subdivision: Option<&SubdivisionCode>,
    range: DayRange,
) -> Result<Vec<Holiday>, EnrichError> {
    let regions = match subdivision {
        Some(code) => with_parents(code.as_str()),
        None => vec![ANY_PART.to_owned()],
    };
    let mut holidays = Vec::new();
    for region in regions {
        holidays.extend(deps.store.holidays().range(country.as_str(), Some(&region), range).await?);
    }
    Ok(holidays)
}

/// `DE-BY-AU` keeps the holidays of `DE-BY` too.
fn with_parents(code: &str) -> Vec<String> {
    let ends = code.match_indices('-').map(|(at, _)| at).skip(1).chain([code.len()]);
    ends.map(|end| code[..end].to_owned()).collect()
}

/// The names on each day, each once, in alphabetical order.
fn by_day(holidays: &[Holiday], kind: HolidayKind) -> BTreeMap<Date, String> {
    let mut names: BTreeMap<Date, BTreeSet<&str>> = BTreeMap::new();
    for holiday in holidays.iter().filter(|holiday| holiday.kind == kind) {
        names.entry(holiday.day).or_default().insert(&holiday.name);
    }
    let joined = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
    names.into_iter().map(|(day, names)| (day, joined(names))).collect()
}

/// The years of one kind of holidays that a job needs.
struct Part<'a> {
    deps: &'a Dependencies,
    ctx: &'a Context,
    progress: &'a Progress<'a>,
    kind: HolidayKind,
    country: CountryCode,
    years: RangeInclusive<i16>,
    today: Date,
    sealed_key: Option<&'a SealedText>,
}

impl Fill for Part<'_> {
    type Missing = Vec<i16>;
    /// Years for which the source has nothing.
    type Report = Vec<i16>;

    fn subject(&self) -> String {
        format!("holidays:{}:{}", self.kind.as_str(), self.country)
    }

    async fn missing(&self) -> Result<Option<Vec<i16>>, EnrichError> {
        let (first, last) = (*self.years.start(), *self.years.end());
        // Years that are over do not change any more.
        let settled = (self.today.year() - 1).clamp(first, last.saturating_add(1));
        let holidays = self.deps.store.holidays();
        let country = self.country.as_str();
        let mut missing =
            holidays.missing_years(country, self.kind, first..=settled.saturating_sub(1), i64::MIN).await?;
        let stale_before_ms = self.deps.now_ms().saturating_sub(STALE_AFTER_MS);
        missing.extend(holidays.missing_years(country, self.kind, settled..=last, stale_before_ms).await?);
        Ok(Some(missing).filter(|missing| !missing.is_empty()))
    }

    async fn fetch(&self, missing: Vec<i16>) -> Result<Vec<i16>, EnrichError> {
        match self.kind {
            HolidayKind::Public => self.fetch_public(missing).await,
            HolidayKind::School => self.fetch_school(&missing).await.map(|()| Vec::new()),
        }
    }
}

impl Part<'_> {
    async fn fetch_public(&self, missing: Vec<i16>) -> Result<Vec<i16>, EnrichError> {
        let key = self.open_key()?;
        let mut unknown = Vec::new();
        for (done, year) in missing.iter().copied().enumerate() {
            let message = format!("fetching the public holidays of {} in {year}", self.country);
            self.progress.part((done, missing.len()), message);
            let asked_ms = self.deps.now_ms();
            let holidays = match self.deps.upstreams.holidays.public(self.country, year, key.as_ref()).await {
                Ok(holidays) => holidays,
                // A country that the source does not know, in any year.
                Err(UpstreamError::Refused { status: 404, .. }) => {
                    unknown.extend(missing.into_iter().skip(done));
                    break;
                }
                // A year that it does not know.
                Err(UpstreamError::Refused { status: 400 | 422, .. }) => {
                    unknown.push(year);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let rows: Vec<Holiday> = holidays.iter().flat_map(public_rows).collect();
            self.keep(&[year], &rows, asked_ms).await?;
        }
        Ok(unknown)
    }

    async fn fetch_school(&self, missing: &[i16]) -> Result<(), EnrichError> {
        let runs: Vec<&[i16]> = missing.chunk_by(|a, b| a + 1 == *b).collect();
        for (done, years) in runs.iter().enumerate() {
            let (Some(first), Some(last)) = (years.first(), years.last()) else { continue };
            let message = format!("fetching the school holidays of {} from {first} to {last}", self.country);
            self.progress.part((done, runs.len()), message);
            let asked_ms = self.deps.now_ms();
            let range = DateRange::new(date(*first, 1, 1), date(*last, 12, 31))?;
            let holidays = self.deps.upstreams.holidays.school(self.country, range, None).await?;
            self.keep(years, &school_rows(&holidays), asked_ms).await?;
        }
        Ok(())
    }

    async fn keep(&self, years: &[i16], rows: &[Holiday], asked_ms: i64) -> Result<(), EnrichError> {
        let store = &self.deps.store;
        let mut tx = store.begin().await?;
        for year in years {
            let holidays = store.holidays();
            holidays.replace_year(&mut tx, self.country.as_str(), self.kind, *year, rows, asked_ms).await?;
        }
        tx.commit().await?;
        self.ctx.check().map_err(|_| EnrichError::Stopped)
    }

    fn open_key(&self) -> Result<Option<Secret>, EnrichError> {
        let Some(sealed) = self.sealed_key else { return Ok(None) };
        let sealing = self.deps.sealing.as_ref().ok_or(EnrichError::NoSealing)?;
        Ok(Some(Secret::new(sealing.open(sealed)?.expose())?))
    }
}

/// The rows of one public holiday. What people merely observe is no day off.
fn public_rows(holiday: &upstream::Holiday) -> Vec<Holiday> {
    if holiday.kind != upstream::HolidayKind::Public {
        return Vec::new();
    }
    let row =
        |region| Holiday { day: holiday.date, name: holiday.name.clone(), kind: HolidayKind::Public, region };
    if holiday.subdivisions.is_empty() {
        return vec![row(None)];
    }
    holiday.subdivisions.iter().map(|code| row(Some(code.as_str().to_owned()))).collect()
}

/// One row for each day and part of the country, and one for the days of any part, which says how many parts they are.
fn school_rows(holidays: &[upstream::SchoolHoliday]) -> Vec<Holiday> {
    let mut rows = Vec::new();
    let mut parts: BTreeMap<(Date, &str), BTreeSet<&str>> = BTreeMap::new();
    let row =
        |day, name: &str, region| Holiday { day, name: name.to_owned(), kind: HolidayKind::School, region };
    for holiday in holidays {
        for day in DayRange::new(holiday.start, holiday.end).days() {
            if holiday.subdivisions.is_empty() {
                rows.push(row(day, &holiday.name, None));
            }
            for code in &holiday.subdivisions {
                rows.push(row(day, &holiday.name, Some(code.as_str().to_owned())));
                parts.entry((day, &holiday.name)).or_default().insert(code.as_str());
            }
        }
    }
    for ((day, name), codes) in parts {
        let noun = if codes.len() == 1 { "region" } else { "regions" };
        let name = format!("{name} ({} {noun})", codes.len());
        rows.push(row(day, &name, Some(ANY_PART.to_owned())));
    }
    rows
}

/// Today at the property's place.
pub(super) fn today(deps: &Dependencies, zone: &TimeZone) -> Date {
    // Out of range only for a clock that is wrong by millennia.
    let now = jiff::Timestamp::from_millisecond(deps.now_ms()).unwrap_or(jiff::Timestamp::MAX);
    zone.to_datetime(now).date()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn school(start: Date, end: Date, name: &str, parts: &[&str]) -> upstream::SchoolHoliday {
        let subdivisions = parts.iter().map(|code| code.parse().unwrap()).collect();
        upstream::SchoolHoliday { start, end, name: name.to_owned(), subdivisions }
    }

    #[test]
    fn a_part_of_a_part_keeps_the_holidays_of_both() {
        assert_eq!(with_parents("DE-BY-AU"), ["DE-BY", "DE-BY-AU"]);
        assert_eq!(with_parents("DE-BY"), ["DE-BY"]);
    }

    #[test]
    fn school_holidays_are_one_row_a_day_and_part_and_one_for_any_part() {
        let rows = school_rows(&[
            school(date(2024, 7, 1), date(2024, 7, 2), "Summer", &["DE-BY", "DE-BW"]),
            school(date(2024, 7, 2), date(2024, 7, 2), "Summer", &["DE-SN"]),
            school(date(2024, 7, 1), date(2024, 7, 1), "Day", &[]),
        ]);
        let of = |region: Option<&str>| -> Vec<(Date, &str)> {
            let of_region = rows.iter().filter(|row| row.region.as_deref() == region);
            of_region.map(|row| (row.day, row.name.as_str())).collect()
        };
        let (first, second) = (date(2024, 7, 1), date(2024, 7, 2));
        assert_eq!(of(None), [(first, "Day")]);
        assert_eq!(of(Some("DE-SN")), [(second, "Summer")]);
        assert_eq!(of(Some("DE-BY")), [(first, "Summer"), (second, "Summer")]);
        assert_eq!(of(Some(ANY_PART)), [(first, "Summer (2 regions)"), (second, "Summer (3 regions)")]);
    }

    #[test]
    fn several_holidays_of_a_day_are_joined_each_once() {
        let day = date(2024, 5, 1);
        let row = |name: &str, region: Option<&str>| Holiday {
            day,
            name: name.to_owned(),
            kind: HolidayKind::Public,
            region: region.map(str::to_owned),
        };
        let names = by_day(
            &[row("May Day", None), row("Ascension", Some("DE-BY")), row("May Day", None)],
            HolidayKind::Public,
        );
        assert_eq!(names.get(&day).map(String::as_str), Some("Ascension, May Day"));
    }

    #[test]
    fn what_is_only_observed_is_no_public_holiday() {
        let mut holiday = upstream::Holiday {
            date: date(2024, 2, 14),
            name: "Valentine's Day".to_owned(),
            local_name: None,
            kind: upstream::HolidayKind::Observance,
            subdivisions: Vec::new(),
        };
        assert_eq!(public_rows(&holiday), []);
        holiday.kind = upstream::HolidayKind::Public;
        assert_eq!(public_rows(&holiday).len(), 1);
    }
}
