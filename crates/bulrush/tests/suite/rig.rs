//! What a case works with: an empty queue on a clock that stands still, and short words for the port's calls.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use bulrush::clock::{Clock, ManualClock};
use bulrush::model::{
    Event, JobId, JobPage, JobState, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName,
};
use bulrush::port::{
    AddReply, Added, AdminCommand, AdminReply, AdminResult, Backend, BoxFuture, Error, Finding, Maintained,
    QueueInfo, Reason,
};

use super::hand::Hand;

/// The moment at which every case begins.
pub const START: Millis = 1_700_000_000_000;

/// Makes a backend; called again by [`Rig::reopen`].
type Open = Box<dyn Fn(Arc<dyn Clock>) -> BoxFuture<'static, Arc<dyn Backend>> + Send + Sync>;

/// A backend with one empty queue, of which the case knows the clock. Derefs to the queue.
pub struct Rig {
    pub backend: Arc<dyn Backend>,
    pub clock: ManualClock,
    main: Queue,
    open: Open,
    keeps: bool,
}

/// A queue of a backend, with the port's calls in short.
#[derive(Clone)]
pub struct Queue {
    pub backend: Arc<dyn Backend>,
    pub name: QueueName,
    clock: ManualClock,
}

impl Rig {
    /// A rig on a backend that forgets everything when it is closed.
    #[allow(dead_code, reason = "each backend uses one of the two")]
    pub async fn open(
        open: impl Fn(Arc<dyn Clock>) -> BoxFuture<'static, Arc<dyn Backend>> + Send + Sync + 'static,
    ) -> Self {
        Self::make(Box::new(open), false).await
    }

    /// A rig on a backend that finds everything again when it is opened once more.
    #[allow(dead_code, reason = "each backend uses one of the two")]
    pub async fn durable(
        open: impl Fn(Arc<dyn Clock>) -> BoxFuture<'static, Arc<dyn Backend>> + Send + Sync + 'static,
    ) -> Self {
        Self::make(Box::new(open), true).await
    }

    async fn make(open: Open, keeps: bool) -> Self {
        let clock = ManualClock::at(START);
        let backend = open(Arc::new(clock.clone())).await;
        let main = Queue { backend: backend.clone(), name: name("main"), clock: clock.clone() };
        Self { backend, clock, main, open, keeps }
    }

    /// Another queue of the same backend.
    pub fn queue(&self, text: &str) -> Queue {
        Queue { backend: self.backend.clone(), name: name(text), clock: self.clock.clone() }
    }

    /// Closes the backend and opens it again on the same data. False if the backend keeps nothing; nothing was done then.
    pub async fn reopen(&mut self) -> bool {
        if self.keeps {
            // Time passes between two lives of a process.
            self.advance(1);
            self.close().await;
        }
        self.keeps
    }

    /// As [`reopen`](Self::reopen), within the same millisecond.
    pub async fn reopen_at_once(&mut self) -> bool {
        if self.keeps {
            self.close().await;
        }
        self.keeps
    }

    /// Closes the backend, which is returned, and opens the next one, on the same data if it keeps any.
    pub async fn close(&mut self) -> Arc<dyn Backend> {
        let closed = self.backend.clone();
        closed.close().await.expect("it can be closed");
        self.backend = (self.open)(Arc::new(self.clock.clone())).await;
        self.main.backend = self.backend.clone();
        closed
    }

    /// What every case must leave behind: no invariant broken, and all of it found again by a backend that keeps it.
    pub async fn assert_sound(&mut self) {
        let before = self.picture().await;
        if !self.reopen().await {
            return;
        }
        let after = self.picture().await;
        assert_eq!(after.len(), before.len(), "jobs after a restart");
        for (place, job) in before {
            let found = after.get(&place).unwrap_or_else(|| panic!("{place:?} is gone after a restart"));
            // Whoever ran a job is gone with the process, so active jobs are given back.
            if job.state() != JobState::Active {
                assert_eq!(*found, job, "after a restart");
            }
        }
    }

    /// All jobs of all queues, each queue verified.
    async fn picture(&self) -> BTreeMap<(QueueName, JobId), JobView> {
        let mut picture = BTreeMap::new();
        for queue in self.backend.queues().await.expect("queues can be listed") {
            let queue = self.queue(queue.as_str());
            assert_eq!(queue.findings(false).await, [], "broken invariants of queue {}", queue.name);
            for job in queue.all(PageRequest::default()).await {
                picture.insert((queue.name.clone(), job.id().clone()), job);
            }
        }
        picture
    }
}

impl Deref for Rig {
    type Target = Queue;
    fn deref(&self) -> &Queue {
        &self.main
    }
}

impl Queue {
    /// Adds jobs, and gives the whole answer.
    pub async fn try_add(&self, jobs: Vec<NewJob>) -> Result<AddReply, Error> {
        self.backend.add(&self.name, jobs).await
    }

    /// Adds jobs.
    pub async fn add_all(&self, jobs: Vec<NewJob>) -> Vec<Added> {
        self.try_add(jobs).await.expect("the jobs can be added").added
    }

    /// Adds one job.
    pub async fn add(&self, job: NewJob) -> Added {
        self.add_all(vec![job]).await.remove(0)
    }

    /// Adds jobs with the ids given, in that order.
    pub async fn add_ids(&self, ids: &[&str]) {
        for added in self.add_all(ids.iter().map(|id| job(id)).collect()).await {
            assert!(added.is_new(), "{added:?}");
        }
    }

    /// A worker of this queue: the number makes its id.
    pub fn hand(&self, number: u64) -> Hand {
        Hand::new(self.backend.clone(), self.name.clone(), number)
    }

    /// A job that may be gone.
    pub async fn find(&self, text: &str) -> Option<JobView> {
        self.backend.get(&self.name, &[id(text)]).await.expect("jobs can be read").remove(0)
    }

    /// A job that must be there.
    pub async fn job(&self, text: &str) -> JobView {
        self.find(text).await.unwrap_or_else(|| panic!("job {text} is gone"))
    }

    /// The state of a job that must be there.
    pub async fn state(&self, text: &str) -> JobState {
        self.job(text).await.state()
    }

    pub async fn info(&self) -> QueueInfo {
        self.backend.info(&self.name).await.expect("a queue can be read")
    }

    pub async fn page(&self, request: PageRequest) -> JobPage {
        self.backend.page(&self.name, request).await.expect("a queue can be read")
    }

    /// All jobs of a request, page by page.
    pub async fn all(&self, mut request: PageRequest) -> Vec<JobView> {
        let mut jobs = Vec::new();
        request.limit = request.limit.max(100);
        loop {
            let page = self.page(request.clone()).await;
            jobs.extend(page.jobs);
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => return jobs,
            }
        }
    }

    pub async fn try_admin(&self, command: AdminCommand) -> Result<AdminReply, Error> {
        self.backend.admin(&self.name, command).await
    }

    pub async fn admin(&self, command: AdminCommand) -> AdminReply {
        self.try_admin(command).await.expect("the command can be carried out")
    }

    /// A command on one job.
    pub async fn admin_one(&self, command: AdminCommand) -> AdminResult {
        let reply = self.admin(command).await;
        assert_eq!(reply.results.len(), 1);
        reply.results[0]
    }

    pub async fn cancel(&self, text: &str) -> AdminResult {
        self.admin_one(AdminCommand::Cancel(vec![id(text)])).await
    }

    pub async fn remove(&self, text: &str) -> AdminResult {
        self.admin_one(AdminCommand::Remove(vec![id(text)])).await
    }

    pub async fn retry(&self, text: &str) -> AdminResult {
        self.admin_one(AdminCommand::Retry { ids: vec![id(text)], data: None }).await
    }

    /// Changes the settings.
    pub async fn configure(&self, change: impl FnOnce(&mut QueueConfig)) {
        let mut config = self.info().await.config;
        change(&mut config);
        self.backend.configure(&self.name, config).await.expect("the settings can be used");
    }

    pub async fn maintain(&self) -> Maintained {
        self.backend.maintain(&self.name).await.expect("a queue can be maintained")
    }

    /// Moves the clock.
    pub fn advance(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }

    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Lets time pass with a pass of maintenance each second, as it does while any worker lives. Returns how many were rescued.
    pub async fn pass(&self, ms: u64) -> usize {
        let mut rescued = self.maintain().await.rescued;
        for part in (0..ms).step_by(1_000) {
            self.advance((ms - part).min(1_000));
            rescued += self.maintain().await.rescued;
        }
        rescued
    }

    /// Lets the lease of every worker that does not renew run out, and its jobs be rescued. Returns how many were.
    pub async fn lose_workers(&self) -> usize {
        // A grace may have opened with the first pass, and takes one lease.
        let lease = self.info().await.config.lease_ms;
        self.pass(2 * lease).await
    }

    /// Events after a position.
    pub async fn events(&self, after: u64) -> Vec<Event> {
        let page = self.backend.events(&self.name, after, usize::MAX, Duration::ZERO).await;
        page.expect("events can be read").events
    }

    /// Why a job does not run.
    pub async fn reasons(&self, text: &str) -> Vec<Reason> {
        let explanation = self.backend.explain(&self.name, &id(text)).await.expect("a queue can be read");
        explanation.unwrap_or_else(|| panic!("job {text} is gone")).reasons
    }

    /// What a check finds.
    pub async fn findings(&self, repair: bool) -> Vec<Finding> {
        let (mut findings, mut cursor) = (Vec::new(), Some(0));
        while let Some(from) = cursor {
            let page = self.backend.verify(&self.name, from, repair).await.expect("a queue can be checked");
            findings.extend(page.findings);
            cursor = page.next;
        }
        findings
    }
}

/// An id.
pub fn id(text: &str) -> JobId {
    JobId::new(text).expect("the case uses good ids")
}

/// A queue's name.
pub fn name(text: &str) -> QueueName {
    QueueName::new(text).expect("the case uses good names")
}

/// A job with nothing special about it.
pub fn job(text: &str) -> NewJob {
    NewJob::new(id(text), "work", "{}")
}

/// Ids as text, to compare.
pub fn ids<'a>(jobs: impl IntoIterator<Item = &'a JobView>) -> Vec<&'a str> {
    jobs.into_iter().map(|job| job.spec.id.as_str()).collect()
}

/// Polls until `probe` gives a value; fails with what was seen last when that takes too long.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(seen) if tokio::time::Instant::now() >= deadline => panic!("{what} did not happen: {seen}"),
            // The only sleep of the suite.
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
}
