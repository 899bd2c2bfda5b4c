//! OpenHolidays' school holidays.

use std::collections::HashMap;

use actix_web::{HttpResponse, web};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::YEARS;
use super::countries::{self, Country};
use super::school::{self, SchoolHoliday};
use crate::hash;

/// The longest time that one request may span, in years, as in the original.
const SPAN_YEARS_MAX: i64 = 3;

pub(super) async fn school_holidays(query: web::Query<HashMap<String, String>>) -> HttpResponse {
    match answer(&query) {
        Ok(entries) => HttpResponse::Ok().json(entries),
        Err(detail) => HttpResponse::BadRequest().content_type("application/problem+json").json(json!({
            "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
            "title": "Bad Request",
            "status": 400,
            "detail": detail,
        })),
    }
}

fn answer(query: &HashMap<String, String>) -> Result<Vec<Value>, String> {
    let get = |name: &str| query.get(name).map(String::as_str);
    let day = |name: &str| -> Result<Date, String> {
        let text = get(name).ok_or_else(|| format!("The {name} field is required."))?;
        text.parse().map_err(|_| format!("The value '{text}' is not valid for {name}."))
    };
    let code = get("countryIsoCode").ok_or("The countryIsoCode field is required.")?;
    let (from, to) = (day("validFrom")?, day("validTo")?);
    if to < from {
        return Err("validTo must not be before validFrom.".to_owned());
    }
    if to > from.saturating_add(SPAN_YEARS_MAX.years()) {
        return Err(format!("The time span must not exceed {SPAN_YEARS_MAX} years."));
    }
    let Some(country) = countries::find(code) else { return Ok(Vec::new()) };
    let subdivision = get("subdivisionCode").filter(|code| !code.is_empty());
    let language = get("languageIsoCode").unwrap_or_default();
    // Those of Christmas began in the year before.
    let years = (from.year() - 1).max(*YEARS.start())..=to.year().min(*YEARS.end());
    let holidays = years.flat_map(|year| school::holidays(country, year));
    Ok(holidays
        .filter(|holiday| holiday.first <= to && holiday.last >= from)
        .filter(|holiday| {
            subdivision.is_none_or(|code| holiday.regions.is_empty() || holiday.regions.contains(&code))
        })
        .map(|holiday| entry(country, language, &holiday))
        .collect())
}

fn entry(country: &Country, language: &str, holiday: &SchoolHoliday) -> Value {
    let nationwide = holiday.regions.is_empty();
    let mut names = vec![
        json!({"language": country.language, "text": holiday.local}),
        json!({"language": "EN", "text": holiday.name}),
    ];
    names.dedup_by(|a, b| a["language"] == b["language"]);
    // A language that is there is given alone, as in the original.
    if names.iter().any(|name| name["language"] == language) {
        names.retain(|name| name["language"] == language);
    }
    let mut entry = json!({
        "id": id(holiday),
        "startDate": holiday.first,
        "endDate": holiday.last,
        "type": "School",
        "name": names,
        "regionalScope": if nationwide { "National" } else { "Regional" },
        "temporalScope": "FullDay",
        "nationwide": nationwide,
    });
    if !nationwide {
        let short = |code: &&str| code.split_once('-').map_or("", |(_, part)| part).to_owned();
        entry["subdivisions"] =
            holiday.regions.iter().map(|code| json!({"code": code, "shortName": short(code)})).collect();
    }
    entry
}

/// A number in the form of a UUID, the same for the same holidays.
fn id(holiday: &SchoolHoliday) -> String {
    let text = format!("{} {} {:?} {}", holiday.first, holiday.last, holiday.regions, holiday.local);
    let high = hash::of_bytes(text.as_bytes());
    let low = hash::mix(&[high.cast_signed()]);
    let hex = format!("{high:016x}{low:016x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
