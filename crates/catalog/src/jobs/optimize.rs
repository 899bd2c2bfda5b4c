//! `optimization/optimize`: how much of a product to order, when, and where to put it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::run_forecast::METRIC_MAX;
use crate::entry::JobKind;
use crate::payload::{Caller, EntityRef, Fields, PayloadProblems, Prepared, Sealer};
use crate::templates::{JobTemplate, Placeholder};

/// The name of the job.
pub const NAME: &str = "optimize";

/// Highest cost and largest quantity.
pub const AMOUNT_MAX: f64 = 1e12;
/// Longest lead time, days.
pub const LEAD_TIME_MAX: f64 = 3_650.0;
/// Most warehouses of an allocation.
pub const WAREHOUSES_MAX: usize = 200;
/// The window of demand where none is given, days.
pub const WINDOW_DEFAULT: u32 = 365;
/// Longest window of demand, days.
pub const WINDOW_MAX: u64 = 3_650;

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

pub(crate) const TEMPLATE: JobTemplate = JobTemplate {
    queue: "optimization",
    job: NAME,
    name: "Optimize stock",
    description: "Computes order quantity, safety stock and reorder point of a product, and allocates the order to warehouses.",
    data: r#"{"productId": "{productId}", "constraints": "{constraints}", "warehouses": "{warehouses}", "windowDays": "{windowDays}"}"#,
    options: "{}",
    placeholders: &[
        Placeholder::required("productId", "the product", r#""my-product""#),
        Placeholder::required(
            "constraints",
            "costs, service level and lead time; what the product itself says may be left out",
            r#"{"orderingCost": 50, "holdingCostRate": 0.25, "serviceLevelZ": 1.65, "unitCost": 12, "leadTimeDays": 7}"#,
        ),
        Placeholder::optional(
            "warehouses",
            "where the order may go",
            r#"[{"id": "north", "share": 2, "onHand": 10}, {"id": "south", "share": 1, "capacity": 400}]"#,
        ),
        Placeholder::optional("windowDays", "days of demand to look back", "365"),
    ],
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Optimize {
    /// The product: an entity of the store, checked against the caller before the job was added.
    pub product_id: String,
    /// For whom.
    pub user_id: String,
    /// Costs, service level and lead time.
    pub constraints: Constraints,
    /// Where the order may go; empty: nothing is allocated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warehouses: Vec<WarehouseNeed>,
    /// Days of demand that are looked back at.
    #[serde(default = "default_window")]
    pub window_days: u32,
    /// Which of the product's series is its demand; none: `demand`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
}

fn default_window() -> u32 {
    WINDOW_DEFAULT
}

/// What an order costs and how sure the stock has to be. Money is in one currency, whichever.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Constraints {
    /// Cost of placing one order, whatever its size. More than 0.
    pub ordering_cost: f64,
    /// Cost of holding a unit for a year, as a share of what it costs. More than 0; 0.25 is a quarter.
    pub holding_cost_rate: f64,
    /// Standard deviations of demand that the safety stock covers: 1.65 for 95 %.
    pub service_level_z: f64,
    /// What a unit costs; none: as the product's attribute `unitCost` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_cost: Option<f64>,
    /// Days from an order to its arrival, the mean; none: as the product's attribute `leadTimeDays` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_time_days: Option<f64>,
    /// Standard deviation of the lead time, days; none: as the product's attribute `leadTimeSdDays` says, or 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lead_time_sd_days: Option<f64>,
    /// Smallest order, units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_min: Option<f64>,
    /// Units of a package: orders are whole packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order_multiple: Option<f64>,
}

/// What a warehouse has and needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WarehouseNeed {
    /// What it is called; each once.
    pub id: String,
    /// Its part of the demand, in proportion to the others'. None: as large as any other that says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Units that are there.
    #[serde(default)]
    pub on_hand: f64,
    /// Units that it can hold; none: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity: Option<f64>,
}

impl bulrush::Job for Optimize {
    const NAME: &'static str = NAME;
    type Output = OptimizeResult;
}

/// What came of it. All of it is read with `GET /optimizations/{resultId}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OptimizeResult {
    /// True: a job that computed nothing has no result.
    pub success: bool,
    /// The result.
    pub result_id: String,
    /// The product.
    pub product_id: String,
    /// The quantity at which ordering and holding together cost least, units.
    pub eoq: f64,
    /// What is kept for demand and deliveries that are not as expected, units.
    pub safety_stock: f64,
    /// The stock at which to order, units.
    pub reorder_point: f64,
    /// What to order: the quantity above in whole units and packages.
    pub order_quantity: f64,
    /// Where to put it; empty where no warehouse was named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allocation: Vec<Allocated>,
    /// What is to be known of it, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What a warehouse gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Allocated {
    /// The warehouse.
    pub id: String,
    /// Units of the order.
    pub quantity: f64,
    /// What is there then.
    pub stock: f64,
    /// For how many days of its mean demand; none where it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_of_supply: Option<f64>,
    /// What it keeps for surprises, if it orders for itself.
    pub safety_stock: f64,
    /// The stock at which it orders, if it orders for itself.
    pub reorder_point: f64,
}

fn prepare(
    data: &Map<String, Value>,
    caller: &Caller<'_>,
    _sealer: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["productId", "userId", "constraints", "warehouses", "windowDays", "metric"]);
    let product_id = fields.text("productId", 256);
    let user_id = fields.user_id(caller);
    let window_days = match fields.value("windowDays") {
        None => Some(u64::from(WINDOW_DEFAULT)),
        Some(_) => fields.whole("windowDays", 2, WINDOW_MAX),
    };
    let metric = fields.text_opt("metric", METRIC_MAX);
    let constraints = constraints(data, &mut problems);
    let warehouses = warehouses(data, &mut problems);
    problems.into_result()?;
    let (Some(product_id), Some(user_id), Some(window_days), Some(constraints)) =
        (product_id, user_id, window_days, constraints)
    else {
        return Err(PayloadProblems::default());
    };
    let window_days = u32::try_from(window_days).unwrap_or(u32::MAX);
    let payload = Optimize { product_id, user_id, constraints, warehouses, window_days, metric };
    Prepared::new(&payload, vec![EntityRef { field: "productId", kinds: &["product"] }])
}

/// A number that must be more than 0.
fn positive(fields: &mut Fields<'_>, name: &str, max: f64) -> Option<f64> {
    let number = fields.number(name, 0.0, max)?;
    if number > 0.0 {
        return Some(number);
    }
    fields.problem(name, format!("must be more than 0, and at most {max}"));
    None
}

fn optional(
    fields: &mut Fields<'_>,
    name: &str,
    read: impl FnOnce(&mut Fields<'_>, &str) -> Option<f64>,
) -> Option<f64> {
    fields.value(name)?;
    read(fields, name)
}

fn constraints(data: &Map<String, Value>, problems: &mut PayloadProblems) -> Option<Constraints> {
    let map = match data.get("constraints") {
        Some(Value::Object(map)) => map,
        None | Some(Value::Null) => {
            let example = r#"{"orderingCost": 50, "holdingCostRate": 0.25, "serviceLevelZ": 1.65}"#;
            problems.push("data.constraints", format!("is required: {example}"));
            return None;
        }
        Some(_) => {
            problems.push("data.constraints", "must be an object");
            return None;
        }
    };
    let mut fields = Fields::new(map, "data.constraints", problems);
    fields.only(&[
        "orderingCost",
        "holdingCostRate",
        "serviceLevelZ",
        "unitCost",
        "leadTimeDays",
        "leadTimeSdDays",
        "orderMin",
        "orderMultiple",
    ]);
    let ordering_cost = positive(&mut fields, "orderingCost", AMOUNT_MAX);
    let holding_cost_rate = positive(&mut fields, "holdingCostRate", 100.0);
    let service_level_z = fields.number("serviceLevelZ", 0.0, 6.0);
    let amount = |fields: &mut Fields<'_>, name: &str| positive(fields, name, AMOUNT_MAX);
    let unit_cost = optional(&mut fields, "unitCost", amount);
    let order_min = optional(&mut fields, "orderMin", amount);
    let order_multiple = optional(&mut fields, "orderMultiple", amount);
    let days = |fields: &mut Fields<'_>, name: &str| fields.number(name, 0.0, LEAD_TIME_MAX);
    let lead_time_days = optional(&mut fields, "leadTimeDays", days);
    let lead_time_sd_days = optional(&mut fields, "leadTimeSdDays", days);
    Some(Constraints {
        ordering_cost: ordering_cost?,
        holding_cost_rate: holding_cost_rate?,
        service_level_z: service_level_z?,
        unit_cost,
        lead_time_days,
        lead_time_sd_days,
        order_min,
        order_multiple,
    })
}

fn warehouses(data: &Map<String, Value>, problems: &mut PayloadProblems) -> Vec<WarehouseNeed> {
    let list = match data.get("warehouses") {
        None | Some(Value::Null) => return Vec::new(),
        Some(Value::Array(list)) if (1..=WAREHOUSES_MAX).contains(&list.len()) => list,
        Some(_) => {
            problems.push("data.warehouses", format!("must be a list of 1 to {WAREHOUSES_MAX} warehouses"));
            return Vec::new();
        }
    };
    let mut warehouses: Vec<WarehouseNeed> = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let path = format!("data.warehouses[{index}]");
        let Value::Object(map) = value else {
            problems.push(path, "must be an object: {\"id\": \"north\", \"onHand\": 10}");
            continue;
        };
        let mut fields = Fields::new(map, &path, problems);
        fields.only(&["id", "share", "onHand", "capacity"]);
        let amount = |fields: &mut Fields<'_>, name: &str| fields.number(name, 0.0, AMOUNT_MAX);
        let id = fields.text("id", 128);
        let share = optional(&mut fields, "share", amount);
        let on_hand = optional(&mut fields, "onHand", amount).unwrap_or(0.0);
        let capacity = optional(&mut fields, "capacity", amount);
        let Some(id) = id else { continue };
        if warehouses.iter().any(|other| other.id == id) {
            fields.problem("id", "stands twice in the list");
        }
        warehouses.push(WarehouseNeed { id, share, on_hand, capacity });
    }
    if !warehouses.is_empty() && warehouses.iter().all(|one| one.share == Some(0.0)) {
        problems.push("data.warehouses", "all have the share 0; give at least one a part of the demand");
    }
    warehouses
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(data: &Value) -> Result<Optimize, Vec<String>> {
        let caller = Caller { user: "ada", may_name_others: false };
        match prepare(data.as_object().unwrap(), &caller, None) {
            Ok(prepared) => Ok(serde_json::from_value(Value::Object(prepared.data)).unwrap()),
            Err(problems) => Err(problems.0.into_iter().map(|problem| problem.field).collect()),
        }
    }

    fn seed() -> Value {
        json!({
            "productId": "p",
            "constraints": {"orderingCost": 50, "holdingCostRate": 0.25, "serviceLevelZ": 1.65},
        })
    }

    #[test]
    fn the_seed_s_own_payload_is_taken() {
        let payload = check(&seed()).unwrap();
        assert_eq!((payload.window_days, payload.warehouses.len()), (365, 0));
        assert_eq!(payload.constraints.unit_cost, None);
        let mut zero = seed();
        zero["constraints"]["leadTimeSdDays"] = json!(0);
        zero["constraints"]["serviceLevelZ"] = json!(0);
        assert_eq!(check(&zero).unwrap().constraints.lead_time_sd_days, Some(0.0));
    }

    #[test]
    fn c22_what_cannot_be_computed_with_is_refused_by_its_field() {
        for (field, bad) in [
            ("holdingCostRate", json!(0)),
            ("holdingCostRate", json!(-0.25)),
            ("holdingCostRate", json!(1e308)),
            ("orderingCost", json!(0)),
            ("orderingCost", json!(-1)),
            ("orderingCost", json!(1e308)),
            ("orderingCost", json!("50")),
            ("orderingCost", Value::Null),
            ("serviceLevelZ", json!(-1.65)),
            ("serviceLevelZ", json!(1e308)),
            ("serviceLevelZ", json!("NaN")),
            ("unitCost", json!(0)),
            ("leadTimeDays", json!(-7)),
            ("leadTimeDays", json!(1e9)),
            ("leadTimeSdDays", json!([1])),
            ("orderMultiple", json!(0)),
            ("orderMin", json!(-5)),
            ("serviceLevel", json!(0.95)),
        ] {
            let mut data = seed();
            data["constraints"][field] = bad.clone();
            assert_eq!(check(&data).unwrap_err(), [format!("data.constraints.{field}")], "{bad}");
        }
        for (field, bad, named) in [
            ("constraints", json!(null), "constraints"),
            ("constraints", json!([]), "constraints"),
            ("windowDays", json!(1), "windowDays"),
            ("windowDays", json!(3_651), "windowDays"),
            ("metric", json!("a\u{0}"), "metric"),
            ("warehouses", json!([]), "warehouses"),
            ("warehouses", json!({}), "warehouses"),
            ("warehouses", json!([1]), "warehouses[0]"),
            ("warehouses", json!([{"id": "a"}, {"id": "a"}]), "warehouses[1].id"),
            ("warehouses", json!([{"id": "a", "share": -1}]), "warehouses[0].share"),
            ("warehouses", json!([{"id": "a", "share": 0}]), "warehouses"),
            ("warehouses", json!([{"onHand": 1}]), "warehouses[0].id"),
            ("warehouses", json!(vec![json!({"id": "a"}); 201]), "warehouses"),
            ("productId", json!(""), "productId"),
            ("userId", json!("bob"), "userId"),
            ("constraint", json!({}), "constraint"),
        ] {
            let mut data = seed();
            data[field] = bad.clone();
            assert_eq!(check(&data).unwrap_err(), [format!("data.{named}")], "{bad}");
        }
        let all = check(&json!({"constraints": {"orderingCost": 0}})).unwrap_err();
        let expected = ["productId", "constraints.orderingCost", "constraints.holdingCostRate"];
        let expected = expected.into_iter().chain(["constraints.serviceLevelZ"]);
        assert_eq!(all, expected.map(|field| format!("data.{field}")).collect::<Vec<_>>());
    }
}
