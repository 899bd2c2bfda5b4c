//! `fan-out/scrape-prices`: reads competitors' prices for every property that has competitors declared, by a job for each.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::scrape_prices::{ADULTS_MAX, NIGHTS_MAX};
use crate::entry::JobKind;
use crate::payload::{Caller, Fields, PayloadProblems, Prepared, Sealer};

/// The name of the job: that of the jobs that it adds.
pub const NAME: &str = "scrape-prices";

/// Farthest arrival that can be asked for, days.
pub const AHEAD_MAX: u64 = 365;

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

/// What is asked for: the stay, counted from the day of the slot, on the property's calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FanOutPrices {
    /// Days from then to the arrival.
    pub days_ahead: u32,
    /// Nights.
    pub nights: u32,
    /// Guests.
    pub adults: u32,
    /// How far it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub come_to: Option<ComeTo>,
}

/// How far a fan-out has come: its next run goes on from here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComeTo {
    /// The moment that all of its jobs are about, ms since 1970.
    pub at_ms: i64,
    /// The last thing that was looked at.
    pub after: String,
    /// What it had done by then.
    pub so_far: FanOutResult,
}

impl bulrush::Job for FanOutPrices {
    const NAME: &'static str = NAME;
    type Output = FanOutResult;
}

/// What came of a fan-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FanOutResult {
    /// Jobs that were added, or were there from an earlier run of the same one.
    pub jobs: u64,
    /// Things that were looked at.
    pub looked_at: u64,
    /// Things for which there is nothing to ask.
    pub absent: u64,
}

fn prepare(
    data: &Map<String, Value>,
    _caller: &Caller<'_>,
    _sealer: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["daysAhead", "nights", "adults"]);
    let mut whole = |name: &str, (min, max): (u64, u64), default: u32| match fields.value(name) {
        None => Some(default),
        Some(_) => fields.whole(name, min, max).and_then(|number| u32::try_from(number).ok()),
    };
    let days_ahead = whole("daysAhead", (0, AHEAD_MAX), 7);
    let nights = whole("nights", (1, u64::from(NIGHTS_MAX.unsigned_abs())), 1);
    let adults = whole("adults", (1, ADULTS_MAX), 2);
    let (Some(days_ahead), Some(nights), Some(adults)) = (days_ahead, nights, adults) else {
        return Err(problems);
    };
    problems.into_result()?;
    Prepared::new(&FanOutPrices { days_ahead, nights, adults, come_to: None }, Vec::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(data: &Value) -> Result<Value, Vec<String>> {
        let caller = Caller { user: "root", may_name_others: true };
        match prepare(data.as_object().unwrap(), &caller, None) {
            Ok(prepared) => Ok(Value::Object(prepared.data)),
            Err(problems) => Err(problems.0.into_iter().map(|problem| problem.field).collect()),
        }
    }

    #[test]
    fn a_stay_has_defaults_and_how_far_it_has_come_is_nobody_s_to_say() {
        assert_eq!(check(&json!({})).unwrap(), json!({"daysAhead": 7, "nights": 1, "adults": 2}));
        assert_eq!(check(&json!({"daysAhead": 0, "nights": 90})).unwrap()["nights"], 90);
        for (field, bad) in [
            ("daysAhead", json!(-1)),
            ("daysAhead", json!(366)),
            ("nights", json!(0)),
            ("nights", json!(91)),
            ("adults", json!("2")),
            ("comeTo", json!({"atMs": 0, "after": "x", "soFar": {}})),
        ] {
            assert_eq!(check(&json!({ field: bad })).unwrap_err(), [format!("data.{field}")], "{bad}");
        }
    }
}
