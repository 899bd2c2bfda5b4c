//! Reads a queue's events and makes deliveries of them.

use std::collections::HashMap;
use std::convert::Infallible;

use bulrush::Producer;
use bulrush::model::{Event, JobId, JobView};
use bulrush_catalog::Queue;
use bulrush_catalog::jobs::DeliverWebhook;
use bulrush_store::{NewDelivery, StoreError, WebhookPosition};
use tokio::time::{Duration, Instant};

use super::catching_up::{each_ended_since, end_of};
use super::error::RelayError;
use super::payload::delivery;
use super::watchers::{Watchers, Watching, told_of};
use crate::Dependencies;

/// Events of one read.
const PAGE: usize = 1_000;
/// Jobs that are read in one call: each may carry a megabyte.
const JOBS: usize = 50;
/// Deliveries of one transaction.
const DELIVERIES: usize = 500;
/// A place that moves over events which concern nobody is kept this often.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// Between two tries where webhooks changed in between.
const CHANGED_PAUSE: Duration = Duration::from_millis(200);

/// The reader of one queue.
pub(super) struct Reader<'a> {
    deps: &'a Dependencies,
    watchers: &'a Watchers,
    producer: &'a Producer,
    /// The queue that is read.
    queue: &'a Queue,
    /// The queue of the jobs that send.
    deliveries: &'a Queue,
}

/// What came of keeping deliveries.
enum Kept {
    Yes,
    /// Another instance has read these events.
    Overtaken,
    /// A webhook was removed in between: what was made for it cannot be kept.
    Changed,
}

/// Where a reader is: `at` may be ahead of what is kept.
struct Place {
    kept: Option<i64>,
    at: WebhookPosition,
    kept_when: Instant,
}

impl<'a> Reader<'a> {
    pub fn new(
        deps: &'a Dependencies,
        watchers: &'a Watchers,
        producer: &'a Producer,
        queue: &'a Queue,
        deliveries: &'a Queue,
    ) -> Self {
        Self { deps, watchers, producer, queue, deliveries }
    }

    fn name(&self) -> &str {
        self.queue.name().as_str()
    }

    /// Moves the place to the end of the stream: nobody has a webhook, so nothing before it matters to anybody.
    pub async fn skip(&self) -> Result<(), RelayError> {
        let positions = self.deps.store.webhook_positions();
        let kept = positions.get(self.name()).await?;
        let tail = self.tail().await?;
        // Asked after the end was read: a webhook that is there by now may be told of what came before it.
        if kept.is_some_and(|kept| kept.position == tail.position) || !self.watchers.is_empty().await? {
            return Ok(());
        }
        let from = kept.map(|kept| kept.position);
        let moved: Result<bool, StoreError> =
            self.deps.store.write(async |tx| positions.advance(tx, self.name(), from, tail).await).await;
        moved?;
        Ok(())
    }

    /// The end of the stream.
    async fn tail(&self) -> Result<WebhookPosition, RelayError> {
        let now = self.deps.backend.now().await?;
        let info = self.deps.backend.info(self.queue.name()).await?;
        Ok(WebhookPosition { position: signed(info.last_event), at_ms: signed(now) })
    }

    /// Where to read on. A queue that was never read begins with the oldest event that is there: what is older than a webhook is not told
    /// to it.
    async fn place(&self) -> Result<Place, RelayError> {
        let kept = self.deps.store.webhook_positions().get(self.name()).await?;
        let at = kept.unwrap_or(WebhookPosition { position: 0, at_ms: 0 });
        Ok(Place { kept: kept.map(|kept| kept.position), at, kept_when: Instant::now() })
    }

    /// Reads until there is trouble.
    pub async fn run(&self) -> Result<Infallible, RelayError> {
        let mut place = self.place().await?;
        loop {
            let after = u64::try_from(place.at.position).unwrap_or(0);
            let page = self.deps.backend.events(self.queue.name(), after, PAGE, self.deps.pace.wait).await?;
            let next = WebhookPosition {
                position: signed(page.next),
                at_ms: page.events.last().map_or(place.at.at_ms, |event| signed(event.at)),
            };
            let ends = page.events.iter().any(|event| event.owner_hash != 0 && told_of(event.kind).is_some());
            let mut deliveries = Vec::new();
            if ends || page.gap {
                // Asked after the events were read, so whoever made a webhook before one of them is told.
                let watching = self.watchers.now().await?;
                if page.gap {
                    tracing::warn!(
                        queue = self.name(),
                        since_ms = place.at.at_ms,
                        "events were not read in time; webhooks are told of the jobs that have ended since and are kept"
                    );
                    // What is to be told is kept, not the jobs with all their data.
                    each_ended_since(self.deps, self.queue, place.at.at_ms, |job| {
                        deliveries.extend(told(&watching, job));
                    })
                    .await?;
                }
                deliveries.extend(self.of_events(&watching, &page.events).await?);
            }
            let is_moved = place.kept != Some(next.position);
            if deliveries.is_empty() && !page.gap && (!is_moved || place.kept_when.elapsed() < KEEP_EVERY) {
                place.at = next;
                continue;
            }
            match self.keep(place.kept, next, &deliveries).await? {
                Kept::Yes => {
                    place = Place { kept: Some(next.position), at: next, kept_when: Instant::now() };
                    self.send(deliveries).await;
                }
                Kept::Overtaken => place = self.place().await?,
                // The same events once more, for the webhooks that are there now; not at once, or a mark that does not move yet would
                // make a busy loop.
                Kept::Changed => tokio::time::sleep(CHANGED_PAUSE).await,
            }
        }
    }

    /// What the events of a page make. A job that is gone, or that was taken up again since, has nothing to be told of that end.
    async fn of_events(&self, watching: &Watching, events: &[Event]) -> Result<Vec<NewDelivery>, RelayError> {
        let mut ids: Vec<JobId> = Vec::new();
        for id in
            events.iter().filter(|event| watching.may_concern(event)).filter_map(|event| event.job.as_ref())
        {
            if !ids.contains(id) {
                ids.push(id.clone());
            }
        }
        let mut jobs: HashMap<JobId, JobView> = HashMap::new();
        for part in ids.chunks(JOBS) {
            let found = self.deps.backend.get(self.queue.name(), part).await?;
            jobs.extend(found.into_iter().flatten().map(|job| (job.id().clone(), job)));
        }
        let gone = ids.len() - jobs.len();
        if gone > 0 {
            tracing::warn!(
                queue = self.name(),
                jobs = gone,
                "jobs were gone before webhooks could be told of their end; let the queue keep more of them"
            );
        }
        Ok(ids.iter().filter_map(|id| jobs.get(id)).flat_map(|job| told(watching, job)).collect())
    }

    /// Keeps deliveries and the place behind them in one transaction; many go in several, the place with the last.
    async fn keep(
        &self,
        from: Option<i64>,
        to: WebhookPosition,
        deliveries: &[NewDelivery],
    ) -> Result<Kept, RelayError> {
        let mut parts = deliveries.chunks(DELIVERIES).peekable();
        loop {
            let part = parts.next().unwrap_or_default();
            let is_last = parts.peek().is_none();
            match self.keep_part(part, is_last.then_some((from, to))).await {
                Ok(true) if is_last => return Ok(Kept::Yes),
                Ok(true) => {}
                Ok(false) => return Ok(Kept::Overtaken),
                Err(StoreError::MissingReference(_)) => return Ok(Kept::Changed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// False, and nothing is kept, if the place has been moved by another.
    async fn keep_part(
        &self,
        part: &[NewDelivery],
        place: Option<(Option<i64>, WebhookPosition)>,
    ) -> Result<bool, StoreError> {
        let store = &self.deps.store;
        let mut tx = store.begin().await?;
        // The place first: another instance that does the same waits here and finds it moved.
        if let Some((from, to)) = place
            && !store.webhook_positions().advance(&mut tx, self.name(), from, to).await?
        {
            return Ok(false);
        }
        for delivery in part {
            store.webhook_deliveries().insert(&mut tx, delivery).await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Adds the jobs that send. What cannot be added now is found by the sweeper.
    async fn send(&self, deliveries: Vec<NewDelivery>) {
        if deliveries.is_empty() {
            return;
        }
        let count = deliveries.len();
        let jobs = deliveries
            .into_iter()
            .map(|new| DeliverWebhook { delivery_id: new.id, round: 0 }.job(self.deliveries, &new.webhook));
        match self.producer.add_bulk(jobs.collect()).await {
            Ok(_) => tracing::debug!(queue = self.name(), deliveries = count, "webhooks are told"),
            Err(error) => {
                tracing::warn!(queue = self.name(), deliveries = count, %error, "deliveries have no jobs yet; they get them later");
            }
        }
    }
}

/// The deliveries that tell how a job has ended.
fn told(watching: &Watching, job: &JobView) -> Vec<NewDelivery> {
    let Some((event, at_ms)) = end_of(job) else { return Vec::new() };
    watching.of_job(job, event, at_ms).map(|webhook| delivery(webhook, job, event, at_ms)).collect()
}

/// Times and places as the database has them.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
