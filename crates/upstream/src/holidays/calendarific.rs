//! Calendarific, version 2: `/api/v2/holidays?api_key=…&country=…&year=…`.

use jiff::civil::Date;
use serde::Deserialize;

use super::{Holiday, HolidayKind, check_count, check_year, checked_name, checked_subdivisions};
use crate::config::BaseUrl;
use crate::country::CountryCode;
use crate::error::{Service, UpstreamError};
use crate::http::{ApiRequest, BadData, HttpClient, json};
use crate::secret::Secret;

#[derive(Deserialize)]
struct Answer {
    meta: Meta,
    response: Response,
}

#[derive(Deserialize)]
struct Meta {
    code: u16,
    error_detail: Option<String>,
}

/// An object with the holidays, or an empty array where there are none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Response {
    Holidays { holidays: Vec<Entry> },
    Nothing([Entry; 0]),
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    country: Country,
    date: EntryDate,
    #[serde(default, rename = "type")]
    types: Vec<String>,
    primary_type: Option<String>,
    states: Option<States>,
}

#[derive(Deserialize)]
struct Country {
    id: String,
}

#[derive(Deserialize)]
struct EntryDate {
    /// A day; for equinoxes and the like a moment with an offset, whose first ten characters are the local day.
    iso: String,
}

/// `"All"`, or the states that have the holiday.
#[derive(Deserialize)]
#[serde(untagged)]
enum States {
    Some(Vec<State>),
    All(String),
}

#[derive(Deserialize)]
struct State {
    iso: String,
}

pub(super) async fn fetch(
    http: &HttpClient,
    base: &BaseUrl,
    country: CountryCode,
    year: i16,
    key: &Secret,
) -> Result<Vec<Holiday>, UpstreamError> {
    let request = ApiRequest::new(Service::Calendarific, base, &["api", "v2", "holidays"])
        .secret_query("api_key", key)
        .query("country", country.as_str())
        .query("year", &year.to_string());
    http.get(&request, |body| parse(body, country, year)).await
}

fn parse(body: &[u8], country: CountryCode, year: i16) -> Result<Vec<Holiday>, BadData> {
    let answer: Answer = json(body)?;
    if answer.meta.code != 200 {
        let detail = answer.meta.error_detail.unwrap_or_default();
        return Err(BadData(format!("a success with code {} inside: {detail}", answer.meta.code)));
    }
    let entries = match answer.response {
        Response::Holidays { holidays } => holidays,
        Response::Nothing([]) => Vec::new(),
    };
    check_count(entries.len())?;
    entries.iter().map(|entry| entry.holiday(country, year)).collect()
}

impl Entry {
    fn holiday(&self, country: CountryCode, year: i16) -> Result<Holiday, BadData> {
        let day = self.date.iso.get(..10).unwrap_or(&self.date.iso);
        let date: Date = day.parse().map_err(|_| BadData(format!("{:?} is no date", self.date.iso)))?;
        check_year(date, year)?;
        if !self.country.id.eq_ignore_ascii_case(country.as_str()) {
            return Err(BadData(format!("a holiday of {:?} came for {country}", self.country.id)));
        }
        let subdivisions = match &self.states {
            Some(States::Some(states)) => {
                let codes: Vec<String> = states.iter().map(|state| state.iso.to_ascii_uppercase()).collect();
                checked_subdivisions(country, codes.iter().map(String::as_str))?
            }
            Some(States::All(word)) if word != "All" => {
                return Err(BadData(format!("the states of a holiday are {word:?}")));
            }
            Some(States::All(_)) | None => Vec::new(),
        };
        Ok(Holiday {
            date,
            name: checked_name(&self.name)?,
            local_name: None,
            kind: self.kind(),
            subdivisions,
        })
    }

    fn kind(&self) -> HolidayKind {
        let is = |words: &[&str]| {
            self.types.iter().chain(&self.primary_type).any(|seen| {
                let seen = seen.to_ascii_lowercase();
                words.iter().any(|word| seen.contains(word))
            })
        };
        // Optional comes first: "Optional holiday" and "Restricted holiday" stand beside "National holiday" in some countries.
        if is(&["optional", "restricted"]) {
            HolidayKind::Optional
        } else if is(&["bank holiday"]) {
            HolidayKind::Bank
        } else if is(&[
            "national holiday",
            "federal holiday",
            "public holiday",
            "local holiday",
            "state holiday",
        ]) {
            HolidayKind::Public
        } else {
            HolidayKind::Observance
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    const BODY: &str = r#"{"meta":{"code":200},"response":{"holidays":[
        {"name":"New Year's Day","description":"…","country":{"id":"us","name":"United States"},
         "date":{"iso":"2025-01-01","datetime":{"year":2025,"month":1,"day":1}},"type":["National holiday"],
         "primary_type":"Federal Holiday","locations":"All","states":"All"},
        {"name":"March Equinox","country":{"id":"us","name":"United States"},
         "date":{"iso":"2025-03-20T05:01:29-04:00"},"type":["Season"],"states":"All"},
        {"name":"Patriot's Day","country":{"id":"us","name":"United States"},"date":{"iso":"2025-04-21"},
         "type":["Local holiday"],"locations":"MA, ME",
         "states":[{"id":22,"abbrev":"MA","name":"Massachusetts","exception":null,"iso":"us-ma"}]}]}}"#;

    fn usa() -> CountryCode {
        "US".parse().unwrap()
    }

    #[test]
    fn an_answer_becomes_holidays() {
        let holidays = parse(BODY.as_bytes(), usa(), 2025).unwrap();
        let seen: Vec<_> = holidays.iter().map(|h| (h.date, h.kind, h.subdivisions.len())).collect();
        assert_eq!(
            seen,
            [
                (date(2025, 1, 1), HolidayKind::Public, 0),
                (date(2025, 3, 20), HolidayKind::Observance, 0),
                (date(2025, 4, 21), HolidayKind::Public, 1),
            ]
        );
        assert_eq!(holidays[2].subdivisions[0].as_str(), "US-MA");
    }

    #[test]
    fn a_country_without_holidays_is_an_empty_list() {
        assert_eq!(parse(br#"{"meta":{"code":200},"response":[]}"#, usa(), 2025).unwrap(), []);
    }

    #[test]
    fn an_answer_for_another_question_is_refused() {
        let problem =
            |from: &str, to: &str| parse(BODY.replace(from, to).as_bytes(), usa(), 2025).unwrap_err().0;
        assert_eq!(problem("2025-01-01", "1925-01-01"), "a holiday is on 1925-01-01, not in 2025");
        assert_eq!(problem(r#""id":"us""#, r#""id":"de""#), "a holiday of \"de\" came for US");
        assert_eq!(problem("2025-04-21", "soon"), "\"soon\" is no date");
        assert_eq!(
            problem(r#""states":"All"}"#, r#""states":"Some"}"#),
            "the states of a holiday are \"Some\""
        );
        assert!(problem(r#""code":200"#, r#""code":426,"error_detail":"x""#).contains("code 426 inside: x"));
    }
}
