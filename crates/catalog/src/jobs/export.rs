//! `export/export`: a user's data as a file to download.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::entry::JobKind;
use crate::payload::{Caller, EntityRef, Fields, PayloadProblems, Prepared, Sealer};
use crate::suggest::nearest;
use crate::templates::{JobTemplate, Placeholder};

/// The name of the job.
pub const NAME: &str = "export";

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

pub(crate) const TEMPLATE: JobTemplate = JobTemplate {
    queue: "export",
    job: NAME,
    name: "Export to a file",
    description: "Writes your observations, features or things to a file to download.",
    data: r#"{"entity": "{entity}", "format": "{format}", "propertyId": "{propertyId}", "startDate": "{startDate}", "endDate": "{endDate}"}"#,
    options: "{}",
    placeholders: &[
        Placeholder::with_default("entity", "which rows", r#""features""#, r#""observations""#),
        Placeholder::with_default("format", "csv, json, ndjson or xlsx", r#""xlsx""#, r#""csv""#),
        Placeholder::optional("propertyId", "the one property whose rows are wanted", r#""my-property""#),
        Placeholder::optional("startDate", "the first day that is wanted", r#""2026-01-01""#),
        Placeholder::optional("endDate", "the last day", r#""2026-12-31""#),
    ],
};

/// Most conditions of one export.
const FILTERS_MAX: usize = 20;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// Which rows.
    pub entity: ExportEntity,
    /// What kind of file.
    pub format: ExportFormat,
    /// The one property whose rows are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub property_id: Option<String>,
    /// The one publisher whose rows are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher_id: Option<String>,
    /// The one product whose rows are wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_id: Option<String>,
    /// The first day that is wanted, as the thing's time zone has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<Date>,
    /// The last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<Date>,
    /// What rows must have: `metric` of observations, attributes of things.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub filters: Map<String, Value>,
    /// The client's own name for this export.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// Whose data.
    pub user_id: String,
}

impl Export {
    /// The one thing whose rows are wanted.
    pub fn about(&self) -> Option<&str> {
        self.property_id.as_deref().or(self.publisher_id.as_deref()).or(self.product_id.as_deref())
    }
}

impl bulrush::Job for Export {
    const NAME: &'static str = NAME;
    type Output = ExportResult;
}

/// Which rows an export is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportEntity {
    /// What was seen of things over time: a row for each value.
    Observations,
    /// Weather, holidays and calendar: a row for each day of a thing.
    Features,
    /// Properties: a row for each.
    Properties,
    /// Products.
    Products,
    /// Publishers.
    Publishers,
    /// Parks.
    Parks,
    /// Rides and shows.
    Attractions,
    /// Accounts at market places.
    SellerAccounts,
    /// Warehouses.
    Warehouses,
    /// Other people's properties and products.
    Competitors,
}

impl ExportEntity {
    /// All of them, with their names on the wire.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::Observations, "observations"),
        (Self::Features, "features"),
        (Self::Properties, "properties"),
        (Self::Products, "products"),
        (Self::Publishers, "publishers"),
        (Self::Parks, "parks"),
        (Self::Attractions, "attractions"),
        (Self::SellerAccounts, "seller-accounts"),
        (Self::Warehouses, "warehouses"),
        (Self::Competitors, "competitors"),
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find_map(|&(entity, name)| (entity == self).then_some(name)).unwrap_or_default()
    }

    /// Whether its rows stand at a time, so that days can be chosen.
    pub fn has_days(self) -> bool {
        matches!(self, Self::Observations | Self::Features)
    }
}

/// What kind of file an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportFormat {
    /// RFC 4180, UTF-8, a header line.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// A workbook of Excel.
    Xlsx,
}

impl ExportFormat {
    /// All of them, with their names on the wire and as endings of files.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Csv, "csv"), (Self::Json, "json"), (Self::Ndjson, "ndjson"), (Self::Xlsx, "xlsx")];

    /// The name on the wire, and the ending of a file.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find_map(|&(format, name)| (format == self).then_some(name)).unwrap_or_default()
    }

    /// The media type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportResult {
    /// True: a job that did not succeed has no result.
    pub success: bool,
    /// The export, and the file that it is: `GET /exports/{id}`.
    pub export_id: String,
    /// Where to download it, below the API's address.
    pub file_path: String,
    /// What kind of file.
    pub format: ExportFormat,
    /// Rows, the header not counted.
    pub rows: u64,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, hexadecimal.
    pub sha256: String,
}

fn prepare(
    data: &Map<String, Value>,
    caller: &Caller<'_>,
    _: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    const IDS: [(&str, &[&str]); 3] =
        [("propertyId", &["property"]), ("publisherId", &["publisher"]), ("productId", &["product"])];
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&[
        "entity",
        "format",
        "propertyId",
        "publisherId",
        "productId",
        "startDate",
        "endDate",
        "filters",
        "jobId",
        "userId",
    ]);
    let entity = match fields.value("entity") {
        None => Some(ExportEntity::Observations),
        Some(_) => fields.one_of("entity", &ExportEntity::ALL),
    };
    let format = fields.one_of("format", &ExportFormat::ALL);
    let [property_id, publisher_id, product_id] = IDS.map(|(field, _)| fields.text_opt(field, 256));
    let named: Vec<(&str, &[&str])> =
        IDS.into_iter().filter(|(field, _)| fields.value(field).is_some()).collect();
    if let [_, (second, _), ..] = named[..] {
        fields.problem(second, "is one too many: an export is about one thing, or about all");
    }
    let start_date = fields.day_opt("startDate");
    let end_date = fields.day_opt("endDate");
    if start_date.zip(end_date).is_some_and(|(start, end)| end < start) {
        fields.problem("endDate", "is before startDate");
    }
    let filters = filters(&mut fields, entity);
    let job_id = fields.text_opt("jobId", 256);
    let user_id = fields.user_id(caller);
    if let Some(entity) = entity.filter(|entity| !entity.has_days()) {
        for name in ["startDate", "endDate", "propertyId", "publisherId", "productId"] {
            if fields.value(name).is_some() {
                let text =
                    format!("does not go with {}, which are no rows of one thing or day", entity.as_str());
                fields.problem(name, text);
            }
        }
    }
    let (Some(entity), Some(format), Some(user_id)) = (entity, format, user_id) else {
        return Err(problems);
    };
    problems.into_result()?;
    let payload = Export {
        entity,
        format,
        property_id,
        publisher_id,
        product_id,
        start_date,
        end_date,
        filters,
        job_id,
        user_id,
    };
    Prepared::new(&payload, named.into_iter().map(|(field, kinds)| EntityRef { field, kinds }).collect())
}

/// Conditions on rows, each a plain value that must be met.
fn filters(fields: &mut Fields<'_>, entity: Option<ExportEntity>) -> Map<String, Value> {
    let map = match fields.value("filters") {
        None => return Map::new(),
        Some(Value::Object(map)) => map,
        Some(_) => {
            fields.problem("filters", "must be an object: {\"metric\": \"price\"}");
            return Map::new();
        }
    };
    if map.len() > FILTERS_MAX {
        fields.problem("filters", format!("has {} members; give at most {FILTERS_MAX}", map.len()));
        return Map::new();
    }
    for (name, value) in map {
        let at = format!("filters.{}", name.chars().take(64).collect::<String>());
        let is_name = |name: &str| {
            (1..=64).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        match (entity, value) {
            (Some(ExportEntity::Observations), _) if name != "metric" => {
                let hint = match nearest(name, ["metric"]) {
                    Some(near) => format!("is not known; did you mean {near}?"),
                    None => "is not known; observations are chosen by metric".to_owned(),
                };
                fields.problem(&at, hint);
            }
            (Some(ExportEntity::Features), _) => {
                fields.problem(&at, "is not known; features are chosen by their days and thing alone");
            }
            (_, _) if !is_name(name) => {
                fields.problem(&at, "is no name of an attribute: letters, digits, _ and -, at most 64");
            }
            (_, Value::String(text)) if text.len() <= 256 => {}
            (Some(ExportEntity::Observations), _) => {
                fields.problem(&at, "must be the name of a metric, such as \"price\"");
            }
            (_, Value::Number(_) | Value::Bool(_)) => {}
            _ => fields.problem(&at, "must be a text of at most 256 bytes, a number, true or false"),
        }
    }
    map.clone()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Wrong = Vec<(String, String)>;

    fn check(data: Value) -> Result<(Export, Vec<EntityRef>), Wrong> {
        let Value::Object(data) = data else { unreachable!("the tests give objects") };
        let caller = Caller { user: "ada", may_name_others: false };
        match prepare(&data, &caller, None) {
            Ok(prepared) => {
                Ok((serde_json::from_value(Value::Object(prepared.data)).unwrap(), prepared.entities))
            }
            Err(problems) => Err(problems.0.into_iter().map(|p| (p.field, p.message)).collect()),
        }
    }

    fn fields(data: Value) -> Vec<String> {
        check(data).unwrap_err().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn what_the_seeds_ask_for_is_understood() {
        let (ads, things) = check(json!({
            "jobId": "export-789", "publisherId": "pub-123", "format": "csv",
            "startDate": "2024-01-01", "endDate": "2024-01-31",
        }))
        .unwrap();
        assert_eq!((ads.entity, ads.about()), (ExportEntity::Observations, Some("pub-123")));
        assert_eq!(things, [EntityRef { field: "publisherId", kinds: &["publisher"] }]);
        let (products, _) = check(json!({
            "entity": "products", "format": "csv", "filters": {"category": "beverages"}, "userId": "ada",
        }))
        .unwrap();
        assert_eq!((products.entity, products.user_id.as_str()), (ExportEntity::Products, "ada"));
    }

    #[test]
    fn entities_and_formats_come_from_a_list() {
        for format in ["pdf", "pdf;rm", "../csv", "exe", "CSV", ""] {
            assert_eq!(fields(json!({"format": format})), ["data.format"], "{format:?}");
        }
        for entity in ["users", "pg_shadow", "products; drop"] {
            assert_eq!(fields(json!({"format": "csv", "entity": entity})), ["data.entity"], "{entity:?}");
        }
        assert_eq!(fields(json!({})), ["data.format"]);
    }

    #[test]
    fn filters_are_plain_values_of_what_there_is() {
        for (entity, filters) in [
            ("products", json!({"$gt": ""})),
            ("products", json!({"category": {"$ne": null}})),
            ("products", json!({"category": "x".repeat(257)})),
            ("observations", json!({"metrik": "price"})),
            ("observations", json!({"metric": 3})),
            ("features", json!({"season": "winter"})),
        ] {
            let named = fields(json!({"format": "csv", "entity": entity, "filters": filters}));
            assert!(
                named.len() == 1 && named[0].starts_with("data.filters."),
                "{entity} {filters}: {named:?}"
            );
        }
        assert_eq!(fields(json!({"format": "csv", "filters": [1]})), ["data.filters"]);
        let many: Map<String, Value> = (0..21).map(|n| (format!("a{n}"), json!(1))).collect();
        assert_eq!(fields(json!({"format": "csv", "entity": "parks", "filters": many})), ["data.filters"]);
    }

    #[test]
    fn days_are_days_in_their_order_and_only_of_what_has_days() {
        let named = fields(json!({"format": "csv", "startDate": "2024-02-30", "endDate": "31.01.2024"}));
        assert_eq!(named, ["data.startDate", "data.endDate"]);
        let named = fields(json!({"format": "csv", "startDate": "2024-02-02", "endDate": "2024-02-01"}));
        assert_eq!(named, ["data.endDate"]);
        let named =
            fields(json!({"format": "csv", "entity": "parks", "startDate": "2024-02-02", "productId": "p"}));
        assert_eq!(named, ["data.startDate", "data.productId"]);
        let named = fields(json!({"format": "csv", "propertyId": "a", "publisherId": "b", "userId": "bob"}));
        assert_eq!(named, ["data.publisherId", "data.userId"]);
    }
}
