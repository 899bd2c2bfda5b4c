//! `webhooks/deliver`: a message for a webhook, sent until its receiver has it.
//!
//! The message itself stands in the database; the job says which, so that it is the same bytes at every attempt.

use bulrush::model::{JobId, NewJob};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalog::Queue;
use crate::entry::JobKind;
use crate::payload::{Caller, Fields, PayloadProblems, Prepared, Sealer};

/// The name of the job.
pub const NAME: &str = "deliver";

/// The queue that it runs in.
pub const QUEUE: &str = "webhooks";

/// What a webhook is told of when somebody tries it out.
pub const TEST_EVENT: &str = "webhook.test";

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

/// What is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliverWebhook {
    /// The delivery.
    pub delivery_id: String,
    /// Which of its rounds: a delivery that is sent anew begins another, and jobs of the one before end without a word.
    #[serde(default)]
    pub round: i64,
}

impl bulrush::Job for DeliverWebhook {
    const NAME: &'static str = NAME;
    type Output = DeliverWebhookResult;
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliverWebhookResult {
    /// Whether the receiver has it from this job.
    pub delivered: bool,
    /// The HTTP status of its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_status: Option<u16>,
    /// Why nothing was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a webhook can be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WebhookEvent {
    /// A job ended well.
    Completed,
    /// A job failed for good.
    Failed,
    /// A job ended on request.
    Cancelled,
}

impl WebhookEvent {
    /// All of them, with their names on the wire.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Completed, "job.completed"),
        (Self::Failed, "job.failed"),
        (Self::Cancelled, "job.cancelled"),
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find_map(|&(event, name)| (event == self).then_some(name)).unwrap_or_default()
    }
}

impl DeliverWebhook {
    /// The id of the job: one for each delivery and round, so that adding it twice is adding it once.
    pub fn job_id(&self, queue: &Queue) -> JobId {
        let prefix = queue.entry().prefix;
        JobId::derive(prefix, &JobId::generate(prefix, 0, 0), &format!("{} {}", self.delivery_id, self.round))
    }

    /// The job, in the group of its webhook: one receiver that does not answer holds up no other.
    pub fn job(&self, queue: &Queue, webhook: &str) -> NewJob {
        let (limits, data) = (queue.limits(), serde_json::to_vec(self).unwrap_or_default());
        NewJob::new(self.job_id(queue), NAME, data)
            .attempts(limits.attempts)
            .backoff(limits.backoff.backoff())
            .timeout_ms(limits.timeout_ms)
            .group(webhook)
    }
}

fn prepare(
    data: &Map<String, Value>,
    _: &Caller<'_>,
    _: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["deliveryId", "round"]);
    let delivery_id = fields.text("deliveryId", 64);
    let round = if data.contains_key("round") { fields.whole("round", 0, 1_000_000) } else { Some(0) };
    let (Some(delivery_id), Some(round)) = (delivery_id, round) else { return Err(problems) };
    problems.into_result()?;
    Prepared::new(&DeliverWebhook { delivery_id, round: round as i64 }, Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Catalog;

    #[test]
    fn a_delivery_has_one_job_for_each_round_in_the_group_of_its_webhook() {
        let catalog = Catalog::default();
        let queue = catalog.find(QUEUE).expect("the queue");
        let of = |delivery_id: &str, round| DeliverWebhook { delivery_id: delivery_id.into(), round };
        assert_eq!(of("d", 0).job_id(queue), of("d", 0).job_id(queue));
        assert_ne!(of("d", 0).job_id(queue), of("d", 1).job_id(queue));
        assert_ne!(of("d", 1).job_id(queue), of("d 1", 0).job_id(queue));
        let job = of("d", 2).job(queue, "w-1");
        assert_eq!(catalog.of_id(&job.spec.id).map(Queue::name), Some(queue.name()));
        assert_eq!((job.spec.group.as_deref(), job.spec.attempts), (Some("w-1"), 10));
        let read: DeliverWebhook = serde_json::from_slice(&job.spec.data).expect("its own payload");
        assert_eq!(read, of("d", 2));
        assert_eq!(queue.config().group_default.concurrency, Some(2));
    }

    #[test]
    fn a_payload_by_hand_is_checked() {
        let caller = Caller { user: "root", may_name_others: true };
        let check = |data: Value| {
            let data = data.as_object().cloned().unwrap_or_default();
            prepare(&data, &caller, None)
                .map_err(|problems| problems.0.into_iter().map(|problem| problem.field).collect::<Vec<_>>())
        };
        assert!(check(serde_json::json!({"deliveryId": "d"})).is_ok());
        assert_eq!(check(serde_json::json!({})).err(), Some(vec!["data.deliveryId".to_owned()]));
        let odd = serde_json::json!({"deliveryId": "d", "round": -1, "more": 1});
        let fields = check(odd).err().unwrap_or_default();
        assert!(
            fields.contains(&"data.round".to_owned()) && fields.contains(&"data.more".to_owned()),
            "{fields:?}"
        );
    }
}
