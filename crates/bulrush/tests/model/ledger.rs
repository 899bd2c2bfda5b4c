//! What everybody was promised, kept apart from the queue, and the checks of it. Names are those of the invariants of the fault plan.

use std::collections::{HashMap, HashSet, VecDeque};

use bulrush::core::Core;
use bulrush::model::{
    Finished, JobId, JobState, JobView, Millis, NewJob, Outcome, PageRequest, QueueConfig, Token,
};
use bulrush::port::{AddOutcome, Settled, StepReply};
use bytes::Bytes;

use crate::command::Order;
use crate::world::{ById, MARGIN, Picture};

/// Who holds a key: id, fingerprint, until when.
type Holder = (JobId, Option<u64>, Option<Millis>);

/// What is known from outside.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The queue's time: the latest that anybody has shown it.
    now: Millis,
    keys: HashMap<String, Holder>,
    specs: ById<(String, Option<u64>, Option<u64>)>,
    /// Results by the token that was told ok.
    results: HashMap<(JobId, Token), Option<Bytes>>,
    /// Tokens of each job since it was added last.
    tokens: ById<Vec<Token>>,
    /// Starts since the rate was set.
    starts: VecDeque<Millis>,
    /// Place among those that were added and only ever waited in line.
    in_line: ById<u64>,
    next_place: u64,
    /// Jobs that somebody may retry with this command.
    may_leave_its_end: HashSet<JobId>,
    before: Picture,
    last_event: u64,
}

impl Ledger {
    pub fn sees_time(&mut self, clock: Millis) {
        self.now = self.now.max(clock);
    }

    /// The queue's time.
    pub fn time(&self) -> Millis {
        self.now
    }

    pub fn forgets_starts(&mut self) {
        self.starts.clear();
    }

    pub fn forgets_keys(&mut self) {
        self.keys.clear();
    }

    fn holder(&self, key: &str) -> Option<&Holder> {
        self.keys.get(key).filter(|(.., until)| until.is_none_or(|until| until > self.now))
    }

    /// I16, I18: what must become of each job of an add.
    pub fn expected(
        &mut self,
        before: &Picture,
        jobs: &[NewJob],
        config: &QueueConfig,
    ) -> Vec<(JobId, AddOutcome)> {
        let unstarted = |job: &&JobView| {
            matches!(job.state(), JobState::Waiting | JobState::Delayed | JobState::WaitingChildren)
        };
        let mut depth = before.values().filter(unstarted).count() as u64;
        let mut states: HashMap<JobId, JobState> =
            before.iter().map(|(id, job)| (id.clone(), job.state())).collect();
        let mut outcomes = Vec::new();
        for job in jobs {
            let id = &job.spec.id;
            if let Some(state) = states.get(id) {
                outcomes.push((id.clone(), AddOutcome::SameId { state: *state }));
                continue;
            }
            if let Some(dedup) = &job.spec.dedup
                && let Some((holder, fingerprint, _)) = self.holder(&dedup.key)
            {
                let same = *fingerprint == dedup.fingerprint;
                let outcome = if same { AddOutcome::SameKey } else { AddOutcome::KeyConflict };
                outcomes.push((holder.clone(), outcome));
                continue;
            }
            if let Some(depth_max) = config.depth_max.filter(|max| depth >= *max) {
                outcomes.push((id.clone(), AddOutcome::Full { depth_max }));
                continue;
            }
            depth += 1;
            let delayed = matches!(job.when, bulrush::model::When::After(ms) if ms > 0);
            let state = match (job.children.is_empty(), delayed) {
                (false, _) => JobState::WaitingChildren,
                (true, true) => JobState::Delayed,
                (true, false) => JobState::Waiting,
            };
            states.insert(id.clone(), state);
            self.hold(job);
            outcomes.push((id.clone(), AddOutcome::New));
        }
        outcomes
    }

    fn hold(&mut self, job: &NewJob) {
        if let Some(dedup) = &job.spec.dedup {
            let until = dedup.ttl_ms.map(|ttl| self.now + ttl);
            self.keys.insert(dedup.key.to_string(), (job.spec.id.clone(), dedup.fingerprint, until));
            let known = (dedup.key.to_string(), dedup.ttl_ms, dedup.fingerprint);
            self.specs.insert(job.spec.id.clone(), known);
        }
    }

    pub fn added(&mut self, job: &NewJob) {
        self.start_anew(&job.spec.id);
        let plain = !job.spec.lifo && job.children.is_empty() && job.when == bulrush::model::When::Now;
        if plain {
            self.next_place += 1;
            self.in_line.insert(job.spec.id.clone(), self.next_place);
        }
    }

    fn start_anew(&mut self, id: &JobId) {
        self.tokens.remove(id);
        self.in_line.remove(id);
        if !self.keys.values().any(|(holder, ..)| holder == id) {
            self.specs.remove(id);
        }
    }

    /// A child or follow-up comes in, if it is not there.
    pub fn delivers(&mut self, before: &Picture, job: &NewJob) {
        if !before.contains_key(&job.spec.id) {
            self.start_anew(&job.spec.id);
        }
    }

    pub fn is_ordered(&mut self, order: &Order, before: &Picture) {
        let named = |n: &u8| JobId::new(&format!("j{n}")).expect("a good id");
        match order {
            Order::Retry(n, _) => {
                // It goes to the end of its line.
                self.in_line.remove(&named(n));
                self.may_leave_its_end.insert(named(n));
            }
            Order::RetryFailed(_) => {
                let failed = before.values().filter(|job| job.state() == JobState::Failed);
                self.may_leave_its_end.extend(failed.map(|job| job.id().clone()));
            }
            Order::Reschedule(n, _) | Order::SetPriority(n, _) => drop(self.in_line.remove(&named(n))),
            _ => {}
        }
    }

    /// I4, I5, I7: what a settle did.
    pub fn settled(&mut self, finished: &Finished, settled: Settled, before: &Picture, after: &Picture) {
        let (id, token) = (finished.id(), finished.job.token);
        let held = before.get(id).and_then(|job| job.active).is_some_and(|active| active.token == token);
        let repeated = before.get(id).is_some_and(|job| job.status.settled_by == Some(token));
        let expected = match before.get(id) {
            None => Settled::Unknown,
            Some(_) if held || repeated => Settled::Ok,
            Some(_) => Settled::Stale,
        };
        assert_eq!(settled, expected, "{id} settled with {token}");
        if !held {
            return;
        }
        self.in_line.remove(id);
        let cancelled = before[id].active.is_some_and(|active| active.cancel_requested);
        if let Outcome::Complete { result, .. } = &finished.outcome {
            self.results.insert((id.clone(), token), result.clone());
        }
        let Some(job) = after.get(id) else { return };
        // It may have been taken again in the same call.
        if job.status.run != token.run {
            return;
        }
        let made = before[id].status.attempts_made;
        let (state, attempts) = (job.state(), job.status.attempts_made);
        let ends = match &finished.outcome {
            Outcome::Complete { .. } => Some(JobState::Completed),
            _ if cancelled => Some(JobState::Cancelled),
            Outcome::Cancelled => Some(JobState::Cancelled),
            Outcome::Fail { .. } => Some(JobState::Failed),
            Outcome::Retry { .. } if made >= job.spec.attempts => Some(JobState::Failed),
            Outcome::Retry { .. } => None,
            Outcome::Snooze { .. } | Outcome::RateLimited { .. } | Outcome::Release => {
                assert_eq!(attempts, made - 1, "{id}: {:?} burns no attempt", finished.outcome);
                None
            }
        };
        match ends {
            Some(end) => assert_eq!(state, end, "{id} after {:?}", finished.outcome),
            None => assert!(matches!(state, JobState::Waiting | JobState::Delayed), "{id} is {state}"),
        }
    }

    /// I4, I10, I12, I13, I14: what was taken.
    pub fn took(&mut self, reply: &StepReply, before: &Picture, after: &Picture, config: &QueueConfig) {
        let mut last_place: HashMap<_, u64> = HashMap::new();
        for taken in &reply.taken {
            let id = &taken.spec.id;
            assert!(taken.run_at <= self.now, "{id} started before its time");
            assert_eq!(taken.started, self.now);
            let tokens = self.tokens.entry(id.clone()).or_default();
            assert!(tokens.iter().all(|old| old.run < taken.token.run), "{id}: runs must grow");
            assert!(tokens.iter().all(|old| old.nonce() != taken.token.nonce()), "{id}: a nonce came twice");
            tokens.push(taken.token);
            if let Some(place) = self.in_line.remove(id) {
                let line = (taken.spec.group.clone(), taken.spec.priority);
                let last = last_place.insert(line, place);
                assert!(last.is_none_or(|last| last < place), "{id} overtook others of its line");
            }
            self.starts.push_back(self.now);
        }
        if reply.taken.is_empty() {
            return;
        }
        for (line, place) in &last_place {
            for job in after.values().filter(|job| job.state() == JobState::Waiting) {
                let same = (job.spec.group.clone(), job.spec.priority) == *line;
                let passed = same && self.in_line.get(job.id()).is_some_and(|other| other < place);
                assert!(!passed, "{} was passed over", job.id());
            }
        }
        let plain = reply.taken.iter().filter(|job| job.spec.group.is_none());
        if let Some(least) = plain.map(|job| job.spec.priority).max() {
            let waits =
                after.values().filter(|job| job.state() == JobState::Waiting && job.spec.group.is_none());
            for job in waits.filter(|job| before.contains_key(job.id())) {
                assert!(job.spec.priority >= least, "{} is more urgent than what was taken", job.id());
            }
        }
        let active: Vec<&JobView> = after.values().filter(|job| job.state() == JobState::Active).collect();
        assert!(config.concurrency.is_none_or(|cap| active.len() <= cap as usize), "too many run at once");
        for taken in &reply.taken {
            let group = &taken.spec.group;
            let cap = group.as_ref().map_or(config.group_default, |name| config.group(name)).concurrency;
            let running = active.iter().filter(|job| job.spec.group == *group).count();
            assert!(cap.is_none_or(|cap| running <= cap as usize), "too many of {group:?} run at once");
        }
        if let Some(rate) = config.rate {
            while self.starts.front().is_some_and(|at| at + rate.per_ms <= self.now) {
                self.starts.pop_front();
            }
            assert!(self.starts.len() <= rate.max as usize, "too many starts in one window");
        }
    }

    /// Everything that must hold at every moment.
    pub fn check(&mut self, core: &mut Core, clock: Millis) {
        let findings = core.verify(0, false).findings;
        assert_eq!(findings, [], "broken invariants");
        let now = crate::world::picture(core);
        Self::counts(core, &now, clock);
        for (id, job) in &now {
            self.job(id, job, core);
        }
        self.release_keys(&now);
        let events = core.events_after(self.last_event, usize::MAX).events;
        assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position), "I17: positions grow");
        self.last_event = core.last_event();
        self.may_leave_its_end.clear();
        self.before = now;
    }

    /// I1, I2.
    fn counts(core: &Core, now: &Picture, clock: Millis) {
        let info = core.info(clock);
        for state in JobState::ALL {
            let request = PageRequest { state: Some(state), limit: 1_000, ..PageRequest::default() };
            let page = core.page(&request).expect("a queue can be read");
            let mut listed: Vec<&JobId> = page.jobs.iter().map(JobView::id).collect();
            listed.sort();
            let recorded: Vec<&JobId> =
                now.iter().filter(|(_, job)| job.state() == state).map(|(id, _)| id).collect();
            assert_eq!(listed, recorded, "I1: {state}");
            assert_eq!(info.counts.of(state), recorded.len() as u64, "I2: {state}");
        }
    }

    /// I3 to I7, I9 and I13 of one job.
    fn job(&self, id: &JobId, job: &JobView, core: &Core) {
        let status = &job.status;
        assert_eq!(job.active.is_some(), job.state() == JobState::Active, "I3: {id}");
        if let Some(active) = job.active {
            assert_eq!(active.token.run, status.run, "I3: {id}");
            let deadline =
                job.spec.timeout_ms.map(|timeout| active.started + timeout.div_ceil(1_000) * 1_000 + MARGIN);
            assert_eq!(active.deadline, deadline, "I3: {id}");
        }
        if job.state() == JobState::Completed {
            let winner = status.settled_by.unwrap_or_else(|| panic!("I5: {id} was completed by nobody"));
            assert_eq!(self.results.get(&(id.clone(), winner)), Some(&status.result), "I5: {id}");
        }
        assert!(
            job.state() != JobState::Failed || !status.errors.is_empty(),
            "I5: {id} failed without a reason"
        );
        if let Some(finished) = status.finished_on {
            assert!(status.processed_on.is_none_or(|at| at <= finished), "I5: {id}");
            assert!(status.created_at <= finished, "I5: {id}");
        }
        assert!(status.attempts_made <= job.spec.attempts, "I7: {id}");
        assert!(status.stalls <= core.config().stalls_max + 1, "I7: {id}");
        if let Some(old) = self.before.get(id).filter(|old| self.is_same(old, job)) {
            assert!(status.run >= old.status.run, "I4: {id}");
            let left = old.state().is_terminal() && old.state() != job.state();
            assert!(!left || self.may_leave_its_end.contains(id), "I6: {id} left {}", old.state());
        }
        let children = core.children(id, 0, 100);
        let pending =
            children.iter().filter(|child| child.state == bulrush::model::ChildState::Pending).count();
        assert_eq!(job.children_pending as usize, pending, "I9: {id}");
        assert!(job.state() != JobState::WaitingChildren || pending > 0, "I9: {id} waits for nobody");
    }

    /// Whether a job is the one that was there before, and not another of its id.
    fn is_same(&self, old: &JobView, new: &JobView) -> bool {
        old.status.created_at == new.status.created_at
            && old.spec.name == new.spec.name
            && new.status.run >= old.status.run
            && self.tokens.get(new.id()).is_none_or(|tokens| tokens.len() >= old.status.run as usize)
    }

    /// Keys end with their jobs or at their times; a retried job takes its key back if nobody holds it.
    fn release_keys(&mut self, now: &Picture) {
        let at = self.now;
        self.keys.retain(|_, (holder, _, until)| match until {
            Some(until) => *until > at,
            None => now.get(holder).is_some_and(|job| !job.state().is_terminal()),
        });
        for id in &self.may_leave_its_end {
            let Some(job) = now.get(id).filter(|job| job.state() == JobState::Waiting) else { continue };
            let was_ended = self.before.get(id).is_some_and(|old| old.state().is_terminal());
            if let Some(dedup) = job.spec.dedup.as_ref().filter(|_| was_ended)
                && !self.keys.contains_key(&*dedup.key)
            {
                let until = dedup.ttl_ms.map(|ttl| at + ttl);
                self.keys.insert(dedup.key.to_string(), (id.clone(), dedup.fingerprint, until));
            }
        }
    }
}
