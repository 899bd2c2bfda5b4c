//! `webhooks/deliver`: a message for a webhook, sent until its receiver has it.
//!
//! An attempt is sent first and noted then, so a worker that dies in between sends it twice, under the same identifier: receivers are asked to
//! look at it. What was noted is noted behind the job's fence and in the delivery's round, so a run that was overtaken changes nothing.

mod schedule;

use std::time::Duration;

use bulrush::{Context, Failure, JobResult};
use bulrush_catalog::SealedText;
use bulrush_catalog::jobs::{DeliverWebhook, DeliverWebhookResult};
use bulrush_store::{
    AttemptOutcome, Delivery, DeliveryAttempt, DeliveryStatus, FenceError, Scope, StoreError, Webhook,
};
use bulrush_upstream::webhook::{Message, Outcome, WebhookClient, WebhookSecret};
use bytes::Bytes;

use crate::Dependencies;
use schedule::pause_after;

/// How long a job waits for a database that is away. No attempt is used, and nothing is sent meanwhile.
const STORE_AWAY: Duration = Duration::from_secs(5);
/// Longest error that is kept, in characters.
const ERROR_MAX: usize = 500;

/// Sends the message.
pub(crate) async fn run(
    deps: Dependencies,
    client: WebhookClient,
    payload: DeliverWebhook,
    ctx: Context,
) -> JobResult<DeliverWebhookResult> {
    let (delivery, webhook) = match find(&deps, &payload).await {
        Ok(Ok(found)) => found,
        Ok(Err(why)) => return Ok(nothing(why)),
        Err(error) => return Err(store_failure(&error)),
    };
    if !webhook.enabled {
        let note = "the webhook was disabled before this was sent";
        let attempt = attempt(AttemptOutcome::Failed, None, Some(note.to_owned()));
        return settle(&deps, &ctx, &payload, &attempt, Ok(nothing(note))).await;
    }
    let outcome = match secrets(&deps, &webhook) {
        Err(reason) => Outcome::Retry { status: None, after: None, reason },
        Ok(secrets) => {
            let message = Message {
                id: delivery.id.clone(),
                timestamp_s: deps.now().as_second(),
                body: Bytes::from(delivery.payload),
            };
            tokio::select! {
                biased;
                _ = ctx.stopped() => return Err(Failure::Cancelled),
                outcome = client.send(&webhook.url, &secrets, &message) => outcome,
            }
        }
    };
    if let Outcome::Gone = outcome {
        let reason = "the receiver answered 410: it wants nothing more";
        match deps.store.webhooks().disable(&webhook.id, reason).await {
            Ok(true) => tracing::info!(webhook = webhook.id, "disabled: its receiver answered 410"),
            Ok(false) => {}
            Err(error) => return Err(store_failure(&error)),
        }
    }
    let (attempt, ended) = judged(&deps, &ctx, outcome);
    settle(&deps, &ctx, &payload, &attempt, ended).await
}

/// What is to be sent and where to, or why nothing is.
type Found = Result<(Delivery, Webhook), &'static str>;

async fn find(deps: &Dependencies, payload: &DeliverWebhook) -> Result<Found, StoreError> {
    let Some(delivery) = deps.store.webhook_deliveries().get(&Scope::All, &payload.delivery_id).await? else {
        return Ok(Err("the delivery is gone, with its webhook"));
    };
    if delivery.round != payload.round {
        return Ok(Err("the delivery is being sent anew by another job"));
    }
    if delivery.status != DeliveryStatus::Pending {
        return Ok(Err("the delivery was settled before"));
    }
    let Some(webhook) = deps.store.webhooks().get(&Scope::All, &delivery.webhook).await? else {
        return Ok(Err("the webhook was removed"));
    };
    Ok(Ok((delivery, webhook)))
}

/// What signs the message: the secret, and the one before while its receiver may still have that.
fn secrets(deps: &Dependencies, webhook: &Webhook) -> Result<Vec<WebhookSecret>, String> {
    let sealing = deps.sealing.as_ref().ok_or(
        "this worker has no key to open the webhook's secret with; give it the API's (BULRUSH_SEAL_KEY)",
    )?;
    let open = |sealed: &str| -> Result<WebhookSecret, String> {
        let sealed = SealedText::new(sealed.to_owned()).map_err(|error| error.to_string())?;
        let plain = sealing.open(&sealed).map_err(|error| error.to_string())?;
        plain
            .expose()
            .parse()
            .map_err(|error: bulrush_upstream::webhook::WebhookSecretError| error.to_string())
    };
    let mut secrets = vec![open(&webhook.secret)?];
    if let Some(old) = &webhook.old_secret
        && old.until_ms > deps.now().as_millisecond()
    {
        secrets.push(open(&old.secret)?);
    }
    Ok(secrets)
}

/// What an attempt came to, for the delivery and for the job.
fn judged(
    deps: &Dependencies,
    ctx: &Context,
    outcome: Outcome,
) -> (DeliveryAttempt, JobResult<DeliverWebhookResult>) {
    match outcome {
        Outcome::Delivered { status } => (
            attempt(AttemptOutcome::Delivered, Some(status), None),
            Ok(DeliverWebhookResult { delivered: true, response_status: Some(status), note: None }),
        ),
        Outcome::Retry { status, reason, .. } if ctx.attempt() >= ctx.spec().attempts => (
            attempt(AttemptOutcome::Failed, status, Some(format!("given up: {reason}"))),
            Err(Failure::Retry { message: reason, after: None }),
        ),
        Outcome::Retry { status, after, reason } => {
            let pause = pause_after(ctx.attempt()).max(after.unwrap_or_default());
            let pause_ms = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
            let at_ms = deps.now().as_millisecond().saturating_add(pause_ms);
            (
                attempt(AttemptOutcome::RetryAt(at_ms), status, Some(reason.clone())),
                Err(Failure::Retry { message: reason, after: Some(pause) }),
            )
        }
        Outcome::Gone => {
            let reason = "the receiver answered 410: it wants nothing more, and the webhook is disabled";
            let attempt = attempt(AttemptOutcome::Failed, Some(410), Some(reason.to_owned()));
            (attempt, Err(Failure::unrecoverable(reason)))
        }
        Outcome::Failed { code, status, reason } => {
            let reason = format!("{code}: {reason}");
            let attempt = attempt(AttemptOutcome::Failed, status, Some(reason.clone()));
            (attempt, Err(Failure::unrecoverable(reason)))
        }
    }
}

fn attempt(outcome: AttemptOutcome, response_status: Option<u16>, error: Option<String>) -> DeliveryAttempt {
    let error = error.map(|error| error.chars().take(ERROR_MAX).collect());
    DeliveryAttempt { outcome, response_status, error }
}

/// Notes the attempt and ends the job so.
async fn settle(
    deps: &Dependencies,
    ctx: &Context,
    payload: &DeliverWebhook,
    attempt: &DeliveryAttempt,
    ended: JobResult<DeliverWebhookResult>,
) -> JobResult<DeliverWebhookResult> {
    let (store, token) = (&deps.store, ctx.token());
    let noted = store
        .fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce(), async |tx| {
            Ok::<_, FenceError>(
                store.webhook_deliveries().record(tx, &payload.delivery_id, payload.round, attempt).await?,
            )
        })
        .await;
    match noted {
        Ok(_) => {
            if let Err(failure) = &ended {
                tracing::info!(job = %ctx.id(), attempt = ctx.attempt(), ?failure, "a webhook was not delivered");
            }
            ended
        }
        Err(FenceError::Store(error)) => Err(store_failure(&error)),
        // Another run has the job; what this one says does not count.
        Err(error) => Err(Failure::retry(error)),
    }
}

/// Nothing was sent, and that is well.
fn nothing(why: &str) -> DeliverWebhookResult {
    DeliverWebhookResult { delivered: false, response_status: None, note: Some(why.to_owned()) }
}

/// A database that is away uses up no attempt.
fn store_failure(error: &StoreError) -> Failure {
    if error.is_transient() { Failure::Snooze { after: STORE_AWAY } } else { Failure::retry(error) }
}
