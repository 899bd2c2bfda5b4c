//! The producer's side of schedules: a handle to those of a queue.

use crate::clock::{Clock as _, SystemClock};
use crate::job::Job;
use crate::model::{NewJob, ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope};
use crate::port::{Added, Error, Put, PutReply, Result, ScheduleChange, ScheduleResult};
use crate::queue::Queue;

/// The schedules of a queue, or those of them within a scope. Cheap to clone.
///
/// ```
/// use bulrush::{Client, Job, Ticker, TickerOptions, model::Overlap};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Report { region: String }
///
/// impl Job for Report {
///     const NAME: &'static str = "report";
///     type Output = ();
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::connect("memory:").await?;
/// let reports = client.queue("reports")?;
/// let ticker = Ticker::start(client.backend(), [reports.name().clone()], TickerOptions::default());
///
/// let schedules = reports.schedules();
/// let nightly = schedules.cron("nightly", "30 2 * * *", &Report { region: "north".into() })?;
/// schedules.put(nightly.zone("Europe/Berlin").overlap(Overlap::Skip)).await?;
///
/// let there = schedules.get("nightly").await?.ok_or("it is gone")?;
/// assert_eq!(there.upcoming(3)?.len(), 3);
/// ticker.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Schedules {
    queue: Queue,
    scope: Scope,
}

impl Queue {
    /// The queue's schedules.
    pub fn schedules(&self) -> Schedules {
        Schedules { queue: self.clone(), scope: Scope::All }
    }
}

impl Schedules {
    /// Those of them within a scope.
    pub fn within(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// A schedule by a cron expression, in UTC, of a typed job with the queue's defaults; to be refined and then [put](Self::put).
    ///
    /// # Errors
    /// An id that is not allowed, or a payload that JSON cannot say.
    pub fn cron<J: Job>(&self, id: &str, expression: &str, payload: &J) -> Result<ScheduleSpec> {
        Ok(ScheduleSpec::cron(ScheduleId::new(id)?, expression, &self.job(payload)?)?)
    }

    /// A schedule by elapsed time, ms, of a typed job with the queue's defaults.
    ///
    /// # Errors
    /// As [`cron`](Self::cron).
    pub fn every<J: Job>(&self, id: &str, ms: u64, payload: &J) -> Result<ScheduleSpec> {
        Ok(ScheduleSpec::every(ScheduleId::new(id)?, ms, &self.job(payload)?)?)
    }

    fn job<J: Job>(&self, payload: &J) -> Result<NewJob> {
        self.queue.typed(payload).map_err(|error| Error::Payload { reason: error.to_string() })
    }

    /// Makes a schedule be as it is asked for; see [`put_schedule`](crate::port::Schedules::put_schedule).
    ///
    /// # Errors
    /// One that cannot be as it is asked for, or a backend that did not answer: then it may or may not be there, and putting it again
    /// settles the question.
    pub async fn put(&self, spec: ScheduleSpec) -> Result<PutReply> {
        self.queue.backend().put_schedule(self.queue.name(), &self.scope, spec, Put::Always).await
    }

    /// Makes many schedules be as they are asked for in one step, all or none; one answer each, in the order given. At most 1,000 and 4 MiB of
    /// payload, or what the queue's bounds say.
    ///
    /// # Errors
    /// As [`put`](Self::put), naming the first schedule that cannot be; an id that comes twice; more than a call may carry.
    pub async fn put_all(&self, specs: Vec<ScheduleSpec>) -> Result<Vec<PutReply>> {
        self.queue.backend().put_schedules(self.queue.name(), &self.scope, specs, Put::Always).await
    }

    /// Makes a default schedule, once ever: not over one that is there, nor again once it was removed.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn put_once(&self, spec: ScheduleSpec) -> Result<PutReply> {
        self.queue.backend().put_schedule(self.queue.name(), &self.scope, spec, Put::Once).await
    }

    /// Makes a schedule be as it is asked for, only over one that stands at this revision; with none, only where there is none.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub async fn put_at(&self, spec: ScheduleSpec, revision: Option<u64>) -> Result<PutReply> {
        self.queue.backend().put_schedule(self.queue.name(), &self.scope, spec, Put::At(revision)).await
    }

    /// Removes a schedule; the jobs that it has added stay. Says whether it was there.
    ///
    /// # Errors
    /// An id that is not allowed, or a backend that did not answer.
    pub async fn remove(&self, id: &str) -> Result<bool> {
        Ok(self.change(id, ScheduleChange::Remove).await? != ScheduleResult::Unknown)
    }

    /// Lets a schedule fire from now on.
    ///
    /// # Errors
    /// As [`remove`](Self::remove); an expression or a zone that this version does not understand, or a schedule that cannot be read.
    pub async fn enable(&self, id: &str) -> Result<ScheduleResult> {
        self.change(id, ScheduleChange::Enable).await
    }

    /// Lets a schedule fire no more.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn disable(&self, id: &str) -> Result<ScheduleResult> {
        self.change(id, ScheduleChange::Disable).await
    }

    async fn change(&self, id: &str, change: ScheduleChange) -> Result<ScheduleResult> {
        let (queue, ids) = (self.queue.name(), vec![ScheduleId::new(id)?]);
        let results = self.queue.backend().change_schedules(queue, &self.scope, ids, change).await?;
        Ok(results.first().copied().unwrap_or(ScheduleResult::Unknown))
    }

    /// A schedule by id.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn get(&self, id: &str) -> Result<Option<ScheduleView>> {
        let (queue, ids) = (self.queue.name(), vec![ScheduleId::new(id)?]);
        let mut found = self.queue.backend().get_schedules(queue, &self.scope, ids).await?;
        Ok(found.pop().flatten())
    }

    /// Schedules by id, from the one after `after` on.
    ///
    /// # Errors
    /// A backend that did not answer.
    pub async fn list(&self, after: Option<ScheduleId>, limit: usize) -> Result<SchedulePage> {
        self.queue.backend().list_schedules(self.queue.name(), &self.scope, after, limit).await
    }

    /// Adds a job of a schedule now, whether it is enabled or not. Its slots and its next one stay as they are. None for an unknown one.
    ///
    /// # Errors
    /// As [`get`](Self::get), and what can go wrong with an add.
    pub async fn run_now(&self, id: &str) -> Result<Option<Added>> {
        let Some(view) = self.get(id).await? else { return Ok(None) };
        let job_id =
            crate::model::JobId::generate(&view.spec.job.prefix, SystemClock.now(), crate::random::bits128());
        let now = self.queue.backend().now().await?;
        self.queue.add(view.spec.job_by_hand(job_id, now)).await.map(Some)
    }
}
