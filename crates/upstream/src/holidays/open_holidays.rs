//! OpenHolidays: `/SchoolHolidays?countryIsoCode=…&languageIsoCode=…&validFrom=…&validTo=…&subdivisionCode=…`.

use jiff::civil::Date;
use serde::Deserialize;

use super::{SchoolHoliday, check_count, checked_name, checked_subdivisions};
use crate::config::BaseUrl;
use crate::country::{CountryCode, SubdivisionCode};
use crate::date_range::DateRange;
use crate::error::{Service, UpstreamError};
use crate::http::{ApiRequest, BadData, HttpClient, json};

/// The API answers with an error beyond three years.
pub(super) const DAYS_MAX: usize = 3 * 365;
/// The longest real school holidays last three months; a year is a mistake.
const LENGTH_DAYS_MAX: usize = 366;
/// The language of names that is asked for; entries without it have the country's own.
const LANGUAGE: &str = "EN";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    start_date: Date,
    end_date: Date,
    name: Vec<Text>,
    nationwide: bool,
    #[serde(default)]
    subdivisions: Option<Vec<Subdivision>>,
}

#[derive(Deserialize)]
struct Text {
    language: String,
    text: String,
}

#[derive(Deserialize)]
struct Subdivision {
    code: String,
}

pub(super) async fn fetch(
    http: &HttpClient,
    base: &BaseUrl,
    country: CountryCode,
    range: DateRange,
    subdivision: Option<&SubdivisionCode>,
) -> Result<Vec<SchoolHoliday>, UpstreamError> {
    let mut request = ApiRequest::new(Service::OpenHolidays, base, &["SchoolHolidays"])
        .query("countryIsoCode", country.as_str())
        .query("languageIsoCode", LANGUAGE)
        .query("validFrom", &range.start().to_string())
        .query("validTo", &range.end().to_string());
    if let Some(subdivision) = subdivision {
        request = request.query("subdivisionCode", subdivision.as_str());
    }
    http.get(&request, |body| parse(body, country, range)).await
}

fn parse(body: &[u8], country: CountryCode, range: DateRange) -> Result<Vec<SchoolHoliday>, BadData> {
    let entries: Vec<Entry> = json(body)?;
    check_count(entries.len())?;
    entries.iter().map(|entry| entry.school_holiday(country, range)).collect()
}

impl Entry {
    fn school_holiday(&self, country: CountryCode, range: DateRange) -> Result<SchoolHoliday, BadData> {
        let (start, end) = (self.start_date, self.end_date);
        let days = DateRange::new(start, end).map_err(|error| BadData(error.to_string()))?.days_count();
        if days > LENGTH_DAYS_MAX {
            return Err(BadData(format!("school holidays from {start} to {end} last {days} days")));
        }
        if range.within(start, end).is_none() {
            return Err(BadData(format!(
                "school holidays from {start} to {end} are outside {} to {}",
                range.start(),
                range.end()
            )));
        }
        let name = self
            .name
            .iter()
            .find(|name| name.language.eq_ignore_ascii_case(LANGUAGE))
            .or(self.name.first())
            .map_or("", |name| name.text.as_str());
        let codes = self.subdivisions.iter().flatten().map(|part| part.code.as_str());
        let subdivisions = if self.nationwide { Vec::new() } else { checked_subdivisions(country, codes)? };
        Ok(SchoolHoliday { start, end, name: checked_name(name)?, subdivisions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    const BODY: &str = r#"[
        {"id":"1","startDate":"2024-07-29","endDate":"2024-09-09","type":"School",
         "name":[{"language":"DE","text":"Sommerferien"},{"language":"EN","text":"Summer holidays"}],
         "regionalScope":"Regional","temporalScope":"FullDay","nationwide":false,
         "subdivisions":[{"code":"DE-BY","shortName":"BY"}]},
        {"id":"2","startDate":"2024-12-23","endDate":"2025-01-04","type":"School",
         "name":[{"language":"DE","text":"Weihnachtsferien"}],"nationwide":true}]"#;

    fn parse_with(from: &str, to: &str) -> Result<Vec<SchoolHoliday>, BadData> {
        let range = DateRange::new(date(2024, 1, 1), date(2024, 12, 31)).unwrap();
        parse(BODY.replace(from, to).as_bytes(), "DE".parse().unwrap(), range)
    }

    #[test]
    fn an_answer_becomes_school_holidays() {
        let holidays = parse_with("", "").unwrap();
        assert_eq!(
            holidays[0],
            SchoolHoliday {
                start: date(2024, 7, 29),
                end: date(2024, 9, 9),
                name: "Summer holidays".to_owned(),
                subdivisions: vec!["DE-BY".parse().unwrap()],
            }
        );
        assert_eq!(holidays[1].name, "Weihnachtsferien");
        assert!(holidays[1].subdivisions.is_empty());
    }

    #[test]
    fn impossible_periods_are_refused() {
        let problem = |from: &str, to: &str| parse_with(from, to).unwrap_err().0;
        assert!(problem("2024-09-09", "2024-07-28").contains("before it starts"));
        assert!(problem("2024-09-09", "2029-09-09").contains("last 1869 days"));
        assert!(problem("\"2025-01-04\"", "\"2026-01-04\"").contains("last 378 days"));
        assert!(
            parse_with("2024-07-29\",\"endDate\":\"2024-09-09", "2023-07-29\",\"endDate\":\"2023-09-09")
                .unwrap_err()
                .0
                .contains("are outside 2024-01-01 to 2024-12-31")
        );
        assert!(problem("DE-BY", "AT-1").contains("not a part of DE"));
        assert!(problem("Summer holidays", "<script>").contains("markup"));
    }
}
