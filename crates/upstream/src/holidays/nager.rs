//! Nager.Date, version 3: `/api/v3/PublicHolidays/{year}/{country}`.

use jiff::civil::Date;
use serde::Deserialize;

use super::{Holiday, HolidayKind, check_count, check_year, checked_name, checked_subdivisions};
use crate::config::BaseUrl;
use crate::country::CountryCode;
use crate::error::{Service, UpstreamError};
use crate::http::{ApiRequest, BadData, HttpClient, json};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    date: Date,
    local_name: Option<String>,
    name: String,
    country_code: String,
    /// ISO 3166-2 codes; null for the whole country.
    counties: Option<Vec<String>>,
    #[serde(default)]
    types: Vec<String>,
}

pub(super) async fn fetch(
    http: &HttpClient,
    base: &BaseUrl,
    country: CountryCode,
    year: i16,
) -> Result<Vec<Holiday>, UpstreamError> {
    let request = ApiRequest::new(
        Service::Nager,
        base,
        &["api", "v3", "PublicHolidays", &year.to_string(), country.as_str()],
    );
    http.get(&request, |body| parse(body, country, year)).await
}

fn parse(body: &[u8], country: CountryCode, year: i16) -> Result<Vec<Holiday>, BadData> {
    let entries: Vec<Entry> = json(body)?;
    check_count(entries.len())?;
    entries.iter().map(|entry| entry.holiday(country, year)).collect()
}

impl Entry {
    fn holiday(&self, country: CountryCode, year: i16) -> Result<Holiday, BadData> {
        check_year(self.date, year)?;
        if self.country_code != country.as_str() {
            return Err(BadData(format!("a holiday of {:?} came for {country}", self.country_code)));
        }
        Ok(Holiday {
            date: self.date,
            name: checked_name(&self.name)?,
            local_name: self.local_name.as_deref().map(checked_name).transpose()?,
            kind: kind(&self.types),
            subdivisions: checked_subdivisions(country, self.counties.iter().flatten().map(String::as_str))?,
        })
    }
}

/// The most official of the types. Old answers have none and are of public holidays only.
fn kind(types: &[String]) -> HolidayKind {
    const BY_RANK: [(&str, HolidayKind); 5] = [
        ("Public", HolidayKind::Public),
        ("Bank", HolidayKind::Bank),
        ("Authorities", HolidayKind::Authorities),
        ("School", HolidayKind::School),
        ("Optional", HolidayKind::Optional),
    ];
    if types.is_empty() {
        return HolidayKind::Public;
    }
    BY_RANK
        .into_iter()
        .find(|(name, _)| types.iter().any(|seen| seen == name))
        .map_or(HolidayKind::Observance, |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    const BODY: &str = r#"[
        {"date":"2024-01-06","localName":"Heilige Drei Könige","name":"Epiphany","countryCode":"DE","fixed":false,
         "global":false,"counties":["DE-BW","DE-BY","DE-ST"],"launchYear":null,"types":["Public"]},
        {"date":"2024-12-24","localName":"Heiligabend","name":"Christmas Eve","countryCode":"DE","fixed":false,
         "global":true,"counties":null,"launchYear":null,"types":["Optional","Bank"]}]"#;

    fn germany() -> CountryCode {
        "DE".parse().unwrap()
    }

    #[test]
    fn an_answer_becomes_holidays() {
        let holidays = parse(BODY.as_bytes(), germany(), 2024).unwrap();
        assert_eq!(holidays[0].date, date(2024, 1, 6));
        assert_eq!(holidays[0].local_name.as_deref(), Some("Heilige Drei Könige"));
        assert_eq!(holidays[0].kind, HolidayKind::Public);
        let parts: Vec<_> = holidays[0].subdivisions.iter().map(SubdivisionCode::as_str).collect();
        assert_eq!(parts, ["DE-BW", "DE-BY", "DE-ST"]);
        assert_eq!((holidays[1].kind, holidays[1].subdivisions.len()), (HolidayKind::Bank, 0));
    }

    use crate::country::SubdivisionCode;

    #[test]
    fn an_answer_for_another_question_is_refused() {
        let problem =
            |from: &str, to: &str| parse(BODY.replace(from, to).as_bytes(), germany(), 2024).unwrap_err().0;
        assert_eq!(problem("2024-01-06", "2023-01-06"), "a holiday is on 2023-01-06, not in 2024");
        assert_eq!(
            problem(r#""countryCode":"DE""#, r#""countryCode":"AT""#),
            "a holiday of \"AT\" came for DE"
        );
        assert_eq!(problem("DE-BW", "AT-9"), "AT-9 is not a part of DE");
        assert!(problem("DE-BW", "'; DROP").contains("not a subdivision code"));
        assert!(problem("Epiphany", "<script>alert(1)</script>").contains("markup"));
    }
}
