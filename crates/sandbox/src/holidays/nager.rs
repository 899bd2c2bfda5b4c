//! Nager.Date, version 3.

use actix_web::{HttpResponse, web};
use serde_json::json;

use super::rule::Holiday;
use super::{YEARS, countries, public};

pub(super) async fn public_holidays(path: web::Path<(String, String)>) -> HttpResponse {
    let (year, code) = path.into_inner();
    let Some(year) = year.parse::<i16>().ok().filter(|year| YEARS.contains(year)) else {
        return HttpResponse::BadRequest().json(json!({
            "type": "https://tools.ietf.org/html/rfc9110#section-15.5.1",
            "title": "One or more validation errors occurred.",
            "status": 400,
            "errors": {"year": [format!("The value '{year}' is not valid.")]},
        }));
    };
    let Some(country) = countries::find(&code) else {
        return HttpResponse::NotFound().finish();
    };
    let holidays: Vec<_> =
        public::holidays(country.code, year).iter().map(|holiday| entry(country.code, holiday)).collect();
    HttpResponse::Ok().json(holidays)
}

fn entry(country: &str, holiday: &Holiday) -> serde_json::Value {
    let global = holiday.regions.is_empty();
    json!({
        "date": holiday.date,
        "localName": holiday.local,
        "name": holiday.name,
        "countryCode": country,
        "fixed": false,
        "global": global,
        "counties": (!global).then_some(holiday.regions),
        "launchYear": null,
        "types": ["Public"],
    })
}
