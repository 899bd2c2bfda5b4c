//! Webhooks and deliveries as their owner sees them.

use bulrush_store::{Delivery, Webhook};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
pub(super) struct WebhookAnswer {
    success: bool,
    webhook: WebhookView,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct WebhookList {
    pub success: bool,
    pub webhooks: Vec<WebhookView>,
    /// The id after which the next page begins; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A webhook.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct WebhookView {
    pub id: String,
    url: String,
    events: Vec<String>,
    enabled: bool,
    /// Why it is disabled, where that was not its owner's doing.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled_reason: Option<String>,
    /// What signs messages to it; only in the answer that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// Until when the secret of before signs along.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_secret_until: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl WebhookView {
    pub fn of(webhook: Webhook) -> Self {
        Self {
            id: webhook.id,
            url: webhook.url,
            events: webhook.events,
            enabled: webhook.enabled,
            disabled_reason: webhook.disabled_reason,
            secret: None,
            old_secret_until: webhook.old_secret.and_then(|old| moment(old.until_ms)),
            created_at: moment(webhook.created_at_ms),
            updated_at: moment(webhook.updated_at_ms),
        }
    }
}

impl WebhookAnswer {
    pub fn of(webhook: Webhook) -> Self {
        Self { success: true, webhook: WebhookView::of(webhook) }
    }

    pub fn with_secret(mut self, secret: String) -> Self {
        self.webhook.secret = Some(secret);
        self
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct DeliveryAnswer {
    pub success: bool,
    pub delivery: DeliveryView,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct DeliveryList {
    pub success: bool,
    pub deliveries: Vec<DeliveryView>,
    /// The cursor of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a webhook was told, or is to be told.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeliveryView {
    /// The same as the header `webhook-id`, at every attempt.
    id: String,
    event: String,
    /// The job that it is about.
    job_id: Option<String>,
    /// pending, delivered or failed.
    status: &'static str,
    /// Attempts made since it was last sent anew.
    attempts: i64,
    /// The HTTP status that the last attempt was answered with.
    response_status: Option<i64>,
    /// What went wrong with the last attempt.
    error: Option<String>,
    created_at: Option<String>,
    /// When it is sent (again); of a pending one.
    next_at: Option<String>,
    /// When its receiver got it.
    delivered_at: Option<String>,
}

impl DeliveryView {
    pub fn of(delivery: Delivery) -> Self {
        Self {
            id: delivery.id,
            event: delivery.event,
            job_id: delivery.job,
            status: delivery.status.as_str(),
            attempts: delivery.attempt,
            response_status: delivery.response_status,
            error: delivery.error,
            created_at: moment(delivery.created_at_ms),
            next_at: delivery.next_at_ms.and_then(moment),
            delivered_at: delivery.delivered_at_ms.and_then(moment),
        }
    }
}

fn moment(ms: i64) -> Option<String> {
    Timestamp::from_millisecond(ms).ok().map(|at| at.to_string())
}
