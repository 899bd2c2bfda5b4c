//! What a webhook is told: made once, and the same bytes from then on.

use bulrush::model::JobView;
use bulrush_catalog::jobs::WebhookEvent;
use bulrush_store::{NewDelivery, Webhook, derived_id, now_ms};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

/// Longest result that goes along, bytes. Whoever needs a longer one asks the API for it.
const RESULT_MAX: usize = 16 << 10;
/// Longest reason that goes along, in characters.
const REASON_MAX: usize = 2_000;

#[derive(Serialize)]
struct Told<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: &'a str,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    job_id: &'a str,
    queue: &'a str,
    name: &'a str,
    status: &'static str,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    /// There is a result, and it is too long.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    result_omitted: bool,
    finished_at: &'a str,
}

/// The delivery that tells `webhook` that `job` has ended so at `at_ms`. Its identifier follows from the three, so that telling twice makes
/// one; a job that is retried by hand ends again at another time, and is told again.
pub(super) fn delivery(webhook: &Webhook, job: &JobView, event: WebhookEvent, at_ms: i64) -> NewDelivery {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::UNIX_EPOCH).to_string();
    let result = if event == WebhookEvent::Completed { job.status.result.as_deref() } else { None };
    let text = result.and_then(|bytes| std::str::from_utf8(bytes).ok());
    let short: Option<&RawValue> =
        text.filter(|text| text.len() <= RESULT_MAX).and_then(|text| serde_json::from_str(text).ok());
    let told = Told {
        kind: event.as_str(),
        timestamp: &at,
        data: Data {
            job_id: job.id().as_str(),
            queue: job.queue.as_str(),
            name: &job.spec.name,
            status: status(event),
            attempts: job.status.attempts_made,
            failed_reason: match event {
                WebhookEvent::Failed => {
                    job.failed_reason().map(|text| text.chars().take(REASON_MAX).collect())
                }
                _ => None,
            },
            result: short,
            result_omitted: result.is_some() && short.is_none(),
            finished_at: &at,
        },
    };
    NewDelivery {
        id: derived_id(&[
            &webhook.id,
            job.queue.as_str(),
            job.id().as_str(),
            event.as_str(),
            &at_ms.to_string(),
        ]),
        webhook: webhook.id.clone(),
        event: event.as_str().to_owned(),
        job: Some(job.id().to_string()),
        // It is made of texts, numbers and JSON that was just read.
        payload: serde_json::to_string(&told).unwrap_or_default(),
        next_at_ms: now_ms(),
    }
}

fn status(event: WebhookEvent) -> &'static str {
    match event {
        WebhookEvent::Completed => "completed",
        WebhookEvent::Failed => "failed",
        WebhookEvent::Cancelled => "cancelled",
    }
}
