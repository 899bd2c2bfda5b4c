//! `competitor/scrape-prices`: what a property's competitors ask for a stay, read from their pages.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::entry::JobKind;
use crate::payload::{Caller, EntityRef, Fields, PayloadProblems, Prepared, Sealer};
use crate::templates::{JobTemplate, Placeholder};

/// The name of the job.
pub const NAME: &str = "scrape-prices";

/// Longest stay that can be asked for, nights: sites quote no longer ones.
pub const NIGHTS_MAX: i32 = 90;
/// Most adults of one booking.
pub const ADULTS_MAX: u64 = 30;
/// Longest location, bytes.
const LOCATION_MAX: usize = 200;
/// The years that a stay may be in.
const YEARS: std::ops::RangeInclusive<i16> = 2000..=2100;

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

pub(crate) const TEMPLATE: JobTemplate = JobTemplate {
    queue: "competitor",
    job: NAME,
    name: "Compare with competitors",
    description: "Reads what a property's competitors ask for a stay, and compares.",
    data: r#"{"propertyId": "{propertyId}", "location": "{location}", "checkIn": "{checkIn}", "checkOut": "{checkOut}", "adults": "{adults}"}"#,
    options: "{}",
    placeholders: &[
        Placeholder::required("propertyId", "the property that is compared", r#""my-property""#),
        Placeholder::required("location", "where, as a guest would type it", r#""Innsbruck""#),
        Placeholder::required("checkIn", "the day of arrival", r#""2026-12-20""#),
        Placeholder::required("checkOut", "the day of departure", r#""2026-12-23""#),
        Placeholder::with_default("adults", "guests", "4", "2"),
    ],
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrapePrices {
    /// The property: an entity of the store, checked against the caller before the job was added.
    pub property_id: String,
    /// For whom.
    pub user_id: String,
    /// Where, as a guest would type it. Pages that search take it.
    pub location: String,
    /// The day of arrival.
    pub check_in: Date,
    /// The day of departure, after the arrival.
    pub check_out: Date,
    /// Guests.
    pub adults: u32,
}

impl bulrush::Job for ScrapePrices {
    const NAME: &'static str = NAME;
    type Output = ScrapePricesResult;
}

/// What came of it. Prices are per night, in `currency`, rounded to hundredths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScrapePricesResult {
    /// True: a job that read no page has no result.
    pub success: bool,
    /// The property.
    pub property_id: String,
    /// The day of arrival.
    pub check_in: Date,
    /// The day of departure.
    pub check_out: Date,
    /// Guests.
    pub adults: u32,
    /// The currency of all prices below, ISO 4217: the property's.
    pub currency: String,
    /// The day of the rates that other currencies were changed by; none if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates_day: Option<Date>,
    /// How many competitors gave a price.
    pub priced: u64,
    /// The lowest of their prices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The one in the middle; between two, their mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub median: Option<f64>,
    /// The highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The property's own price, the mean of the nights; none where a night has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub our_price: Option<f64>,
    /// The property's place among all prices, 1 being the cheapest; equal prices share a place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub our_rank: Option<u64>,
    /// Each competitor, by name.
    pub competitors: Vec<CompetitorOutcome>,
    /// What is to be known of the result, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What was found of one competitor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompetitorOutcome {
    /// The competitor.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How it went.
    pub status: CompetitorStatus,
    /// Its price per night.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<f64>,
    /// The price as the page shows it, with its currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// What it is for, if the page says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// Why there is no price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// How reading a competitor's page went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CompetitorStatus {
    /// It has a price.
    Priced,
    /// It has no room for this stay.
    SoldOut,
    /// The page is there, and the price is not where it was.
    Changed,
    /// It may not be read: its robots.txt or the rules for outgoing calls say so.
    Blocked,
    /// What is declared of it cannot be used.
    Misdeclared,
    /// It answers that the page is not there, or not for us.
    Refused,
    /// It could not be reached, or failed.
    Unreachable,
}

fn prepare(
    data: &Map<String, Value>,
    caller: &Caller<'_>,
    _sealer: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["propertyId", "userId", "location", "checkIn", "checkOut", "adults"]);
    let property_id = fields.text("propertyId", 256);
    let user_id = fields.user_id(caller);
    let location = fields.text("location", LOCATION_MAX);
    let check_in = fields.day("checkIn", YEARS);
    let check_out = fields.day("checkOut", YEARS);
    let adults = fields.whole("adults", 1, ADULTS_MAX);
    if let (Some(check_in), Some(check_out)) = (check_in, check_out) {
        let nights = check_in.until(check_out).map_or(0, |span| span.get_days());
        if nights < 1 {
            fields.problem("checkOut", format!("must be after checkIn ({check_in})"));
        } else if nights > NIGHTS_MAX {
            fields.problem("checkOut", format!("is {nights} nights after checkIn; at most {NIGHTS_MAX}"));
        }
    }
    let (Some(property_id), Some(user_id), Some(location)) = (property_id, user_id, location) else {
        return Err(problems);
    };
    let (Some(check_in), Some(check_out), Some(adults)) = (check_in, check_out, adults) else {
        return Err(problems);
    };
    problems.into_result()?;
    let adults = u32::try_from(adults).unwrap_or(u32::MAX);
    let payload = ScrapePrices { property_id, user_id, location, check_in, check_out, adults };
    Prepared::new(&payload, vec![EntityRef { field: "propertyId", kinds: &["property"] }])
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    fn check(change: &[(&str, Value)]) -> Result<ScrapePrices, Vec<String>> {
        let mut data = json!({
            "propertyId": "p1", "location": "Innsbruck", "checkIn": "2026-12-20", "checkOut": "2026-12-23", "adults": 2,
        });
        let data = data.as_object_mut().unwrap();
        for (field, value) in change {
            data.insert((*field).to_owned(), value.clone());
        }
        let caller = Caller { user: "ada", may_name_others: false };
        match prepare(data, &caller, None) {
            Ok(prepared) => Ok(serde_json::from_value(Value::Object(prepared.data)).unwrap()),
            Err(problems) => Err(problems.0.into_iter().map(|problem| problem.field).collect()),
        }
    }

    #[test]
    fn a_stay_is_taken_and_gets_its_user_from_the_caller() {
        let payload = check(&[]).unwrap();
        assert_eq!((payload.user_id.as_str(), payload.adults), ("ada", 2));
        assert_eq!((payload.check_in, payload.check_out), (date(2026, 12, 20), date(2026, 12, 23)));
        assert!(check(&[("checkOut", json!("2026-12-21")), ("adults", json!(30))]).is_ok());
        assert!(check(&[("checkOut", json!("2027-03-20"))]).is_ok(), "ninety nights");
    }

    #[test]
    fn c19_stays_that_cannot_be_are_refused_by_their_field() {
        for (field, bad) in [
            ("checkOut", json!("2026-12-20")),
            ("checkOut", json!("2026-12-19")),
            ("checkOut", json!("2027-03-21")),
            ("checkOut", json!("9999-12-31")),
            ("checkOut", json!("2026-02-30")),
            ("checkOut", json!("2026-12-23T12:00:00Z")),
            ("checkOut", json!("23.12.2026")),
            ("checkOut", json!(20_261_223)),
            ("checkOut", Value::Null),
            ("checkIn", json!("0000-01-01")),
            ("checkIn", json!("1999-12-31")),
            ("checkIn", json!("+002026-12-20")),
            ("checkIn", json!("")),
            ("adults", json!(0)),
            ("adults", json!(-1)),
            ("adults", json!(1_000_000)),
            ("adults", json!(1.5)),
            ("adults", json!("2")),
            ("adults", json!(1e300)),
            ("location", json!("x".repeat(10_240))),
            ("location", json!("a\nb")),
            ("location", json!({"latitude": 1, "longitude": 2})),
            ("propertyId", json!("")),
            ("userId", json!("bob")),
            ("rooms", json!(1)),
        ] {
            let named = check(&[(field, bad.clone())]).unwrap_err();
            assert_eq!(named, [format!("data.{field}")], "{bad}");
        }
        let all = check(&[("checkIn", json!(1)), ("adults", json!(0)), ("location", json!(""))]).unwrap_err();
        assert_eq!(all, ["data.location", "data.checkIn", "data.adults"]);
    }
}
