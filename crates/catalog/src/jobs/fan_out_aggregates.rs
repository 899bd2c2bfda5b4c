//! `fan-out/aggregate`: sums the two days before for every publisher, by a job for each.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::aggregate::Granularity;
use super::fan_out_prices::{ComeTo, FanOutResult};
use crate::entry::JobKind;
use crate::payload::{Caller, Fields, PayloadProblems, Prepared, Sealer};

/// The name of the job: that of the jobs that it adds.
pub const NAME: &str = super::aggregate::NAME;

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

/// What is asked for: the two days before that of the slot, on each publisher's calendar.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FanOutAggregates {
    /// How long the buckets are. Weeks and months are those in which the day is.
    pub granularity: Granularity,
    /// How far it has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub come_to: Option<ComeTo>,
}

impl bulrush::Job for FanOutAggregates {
    const NAME: &'static str = NAME;
    type Output = FanOutResult;
}

fn prepare(
    data: &Map<String, Value>,
    _caller: &Caller<'_>,
    _sealer: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["granularity"]);
    let granularity = match fields.value("granularity") {
        None => Some(Granularity::Day),
        Some(_) => fields.one_of("granularity", &Granularity::ALL),
    };
    let Some(granularity) = granularity else { return Err(problems) };
    problems.into_result()?;
    Prepared::new(&FanOutAggregates { granularity, come_to: None }, Vec::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn days_are_summed_unless_something_else_is_said() {
        let caller = Caller { user: "root", may_name_others: true };
        let check = |data: Value| match prepare(data.as_object().unwrap(), &caller, None) {
            Ok(prepared) => Ok(Value::Object(prepared.data)),
            Err(problems) => Err(problems.0.into_iter().map(|problem| problem.field).collect::<Vec<_>>()),
        };
        assert_eq!(check(json!({})), Ok(json!({"granularity": "day"})));
        assert_eq!(check(json!({"granularity": "hour"})), Ok(json!({"granularity": "hour"})));
        assert_eq!(check(json!({"granularity": "year"})), Err(vec!["data.granularity".to_owned()]));
        assert_eq!(check(json!({"comeTo": {"atMs": 0}})), Err(vec!["data.comeTo".to_owned()]));
    }
}
