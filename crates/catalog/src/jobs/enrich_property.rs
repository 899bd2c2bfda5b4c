//! `enrichment/enrich-property`: weather, holidays and calendar features for every day of a property's price history.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::entry::JobKind;
use crate::follow_ups::{FollowUp, mapped};
use crate::payload::{Caller, EntityRef, Fields, PayloadProblems, Prepared, SealedText, Sealer};
use crate::templates::{JobTemplate, Placeholder};

/// The name of the job.
pub const NAME: &str = "enrich-property";

/// The field that brings a client's own key for the holiday service.
const KEY_FIELD: &str = "calendarificApiKey";

pub(crate) const KIND: JobKind =
    JobKind::typed(NAME, prepare).hiding(&[KEY_FIELD]).followed_by(&[FollowUp {
        queue: "analytics-heavy",
        kind: "analyze",
        name: "summary",
        about: "Describes the property's figures with the features that they have now.",
        make: summary,
    }]);

pub(crate) const TEMPLATE: JobTemplate = JobTemplate {
    queue: "enrichment",
    job: NAME,
    name: "Enrich a property",
    description: "Adds weather, holidays and calendar to every day of a property's price history.",
    data: r#"{"propertyId": "{propertyId}", "location": "{location}", "countryCode": "{countryCode}"}"#,
    options: "{}",
    placeholders: &[
        Placeholder::required("propertyId", "the property whose days are enriched", r#""my-property""#),
        Placeholder::required("location", "where it is", r#"{"latitude": 47.27, "longitude": 11.39}"#),
        Placeholder::optional("countryCode", "whose holidays count, two letters of ISO 3166-1", r#""AT""#),
    ],
};

/// With no data of its own the job that follows reads the property's features.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    property_id: String,
    user_id: String,
    analysis_type: &'static str,
}

fn summary(payload: &[u8], result: &[u8]) -> Result<Option<Vec<u8>>, serde_json::Error> {
    mapped(payload, result, |asked: EnrichProperty, done| {
        // A property without days has nothing to be described.
        (done.days_enriched > 0).then_some(Summary {
            property_id: done.property_id,
            user_id: asked.user_id,
            analysis_type: "summary",
        })
    })
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrichProperty {
    /// The property: an entity of the store, checked against the caller before the job was added.
    pub property_id: String,
    /// For whom.
    pub user_id: String,
    /// Where the property is.
    pub location: GeoPoint,
    /// Whose holidays count: two upper-case letters, ISO 3166-1. Without one there are no holiday features.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country_code: Option<String>,
    /// The client's own key for Calendarific, sealed. The worker opens it for the request that needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendarific_api_key: Option<SealedText>,
}

impl bulrush::Job for EnrichProperty {
    const NAME: &'static str = NAME;
    type Output = EnrichPropertyResult;
}

/// A place on the globe.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct GeoPoint {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrichPropertyResult {
    /// True: a job that did not succeed has no result.
    pub success: bool,
    /// The property.
    pub property_id: String,
    /// Days that have features now.
    pub days_enriched: u64,
    /// The first of them; none for a property without observations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_day: Option<Date>,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_day: Option<Date>,
    /// How many of them have weather.
    pub days_with_weather: u64,
    /// How many are public holidays.
    pub public_holidays: u64,
    /// How many are school holidays.
    pub school_holidays: u64,
    /// What the features lack, for people: a source that had nothing for some days, a country without school holidays.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn prepare(
    data: &Map<String, Value>,
    caller: &Caller<'_>,
    sealer: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["propertyId", "userId", "location", "countryCode", KEY_FIELD]);
    let property_id = fields.text("propertyId", 256);
    let user_id = fields.user_id(caller);
    let location = fields.place("location");
    let country_code = fields.country("countryCode");
    let calendarific_api_key = fields.secret(KEY_FIELD, sealer);
    let (Some(property_id), Some(user_id), Some(location)) = (property_id, user_id, location) else {
        return Err(problems);
    };
    problems.into_result()?;
    let payload = EnrichProperty { property_id, user_id, location, country_code, calendarific_api_key };
    Prepared::new(&payload, vec![EntityRef { field: "propertyId", kinds: &["property"] }])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::payload::SealError;

    struct Reverse;
    impl Sealer for Reverse {
        fn seal(&self, plain: &str) -> Result<SealedText, SealError> {
            SealedText::new(format!("sealed:v1:{}", plain.chars().rev().collect::<String>()))
        }
    }

    fn check(data: Value, sealer: Option<&dyn Sealer>) -> Result<EnrichProperty, Vec<(String, String)>> {
        let Value::Object(data) = data else { unreachable!("the tests give objects") };
        let caller = Caller { user: "ada", may_name_others: false };
        match prepare(&data, &caller, sealer) {
            Ok(prepared) => Ok(serde_json::from_value(Value::Object(prepared.data)).unwrap()),
            Err(problems) => Err(problems.0.into_iter().map(|p| (p.field, p.message)).collect()),
        }
    }

    #[test]
    fn the_smallest_payload_is_taken_and_gets_its_user_from_the_caller() {
        let data = json!({"propertyId": "p1", "location": {"latitude": 47.6, "longitude": -122}, "countryCode": "us"});
        let payload = check(data, None).unwrap();
        assert_eq!((payload.user_id.as_str(), payload.country_code.as_deref()), ("ada", Some("US")));
        assert!((payload.location.longitude + 122.0).abs() < 1e-9);
    }

    #[test]
    fn every_bad_field_is_named_at_once() {
        let data = json!({
            "propertyId": "", "userId": "bob", "location": {"latitude": 91, "longitude": "0x5A"},
            "countryCode": "'; DROP", "lattitude": 3,
        });
        let problems = check(data, None).unwrap_err();
        let named: Vec<&str> = problems.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(
            named,
            [
                "data.lattitude",
                "data.propertyId",
                "data.userId",
                "data.location.latitude",
                "data.location.longitude",
                "data.countryCode"
            ]
        );
        for bad in [json!("USA"), json!("🇺🇸"), json!(7), json!("")] {
            let data =
                json!({"propertyId": "p", "location": {"latitude": 0, "longitude": 0}, "countryCode": bad});
            assert_eq!(check(data, None).unwrap_err()[0].0, "data.countryCode");
        }
    }

    #[test]
    fn a_key_is_sealed_or_refused_with_what_to_do_and_never_kept() {
        let data = json!({"propertyId": "p", "location": {"latitude": 0, "longitude": 0}, "calendarificApiKey": "canary-77"});
        let payload = check(data.clone(), Some(&Reverse)).unwrap();
        let stored = serde_json::to_string(&payload).unwrap();
        assert!(stored.contains("sealed:v1:77-yranac") && !stored.contains("canary-77"), "{stored}");
        assert!(!format!("{payload:?}").contains("yranac"));
        let problems = check(data, None).unwrap_err();
        assert_eq!(problems[0].0, "data.calendarificApiKey");
        assert!(
            problems[0].1.contains("CALENDARIFIC_API_KEY") && !problems[0].1.contains("canary"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_plain_key_in_a_stored_payload_is_not_read_as_a_sealed_one() {
        let stored = json!({"propertyId": "p", "userId": "u", "location": {"latitude": 0, "longitude": 0}, "calendarificApiKey": "plain"});
        assert!(serde_json::from_value::<EnrichProperty>(stored).is_err());
    }
}
