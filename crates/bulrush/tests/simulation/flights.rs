//! Takes of jobs, as the store's door saw them: each is in flight from the take until the store has accepted its settle, or has
//! taken the job back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulrush::model::{JobId, JobView, Millis, QueueConfig, QueueName, Taken, Token, WorkerId};

use super::ledger::{Class, Findings};
use super::store::LEASE_MS;

/// One take of a job.
#[derive(Debug, Clone)]
pub struct Flight {
    pub token: Token,
    group: Option<Arc<str>>,
    /// Its worker died or stood still for longer than its lease meanwhile.
    pub struck: bool,
    pub end: Option<End>,
}

/// How a flight ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The store took the worker's word of its end.
    Settled,
    /// The store gave the job to others.
    TakenBack,
}

/// All flights, and the limits that they must keep.
#[derive(Default)]
pub struct Flights {
    all: BTreeMap<JobId, Vec<Flight>>,
    /// Jobs in flight.
    open: BTreeMap<QueueName, BTreeSet<JobId>>,
    /// When the store last heard of a worker.
    heard: BTreeMap<WorkerId, Millis>,
    limits: BTreeMap<QueueName, QueueConfig>,
    starts: BTreeMap<QueueName, Vec<Millis>>,
    in_flight_at_faults: usize,
    findings: Findings,
}

impl Flights {
    /// What a queue is set to.
    pub fn limit(&mut self, queue: &QueueName, config: QueueConfig) {
        self.limits.insert(queue.clone(), config);
    }

    /// Jobs of a queue that are in flight.
    pub fn open_in(&self, queue: &QueueName) -> Vec<JobId> {
        self.open.get(queue).into_iter().flatten().cloned().collect()
    }

    /// All jobs in flight, with their queues.
    pub fn open(&self) -> Vec<(QueueName, JobId)> {
        let pair = |queue: &QueueName, id: &JobId| (queue.clone(), id.clone());
        self.open.iter().flat_map(|(queue, ids)| ids.iter().map(move |id| pair(queue, id))).collect()
    }

    pub fn of(&self, id: &JobId) -> &[Flight] {
        self.all.get(id).map_or(&[], Vec::as_slice)
    }

    pub fn in_flight_at_faults(&self) -> usize {
        self.in_flight_at_faults
    }

    /// A worker gave the store a sign of life.
    pub fn hears(&mut self, worker: WorkerId, now: Millis) {
        self.heard.insert(worker, now);
    }

    /// A fault strikes a worker: whatever is in flight on it at this moment may have to run again.
    pub fn strike(&mut self, worker: WorkerId) {
        let open = self.all.values_mut().flatten().filter(|flight| flight.end.is_none());
        for flight in open.filter(|flight| flight.token.worker == worker) {
            flight.struck = true;
            self.in_flight_at_faults += 1;
        }
    }

    /// The store accepted a settle, now or when it was sent before.
    pub fn settled(&mut self, queue: &QueueName, id: &JobId, token: Token) {
        let flights = self.all.get_mut(id).into_iter().flatten();
        if let Some(flight) = flights.into_iter().find(|flight| flight.token == token && flight.end.is_none())
        {
            flight.end = Some(End::Settled);
            self.open.entry(queue.clone()).or_default().remove(id);
        }
    }

    /// Which of the tokens still hold, by the records of the jobs in flight. What no longer holds was taken back just now: by the
    /// hello of its own worker, or because its lease was over.
    pub fn look(
        &mut self,
        queue: &QueueName,
        views: &BTreeMap<JobId, JobView>,
        now: Millis,
        hello: Option<WorkerId>,
    ) {
        for id in self.open_in(queue) {
            let valid = views.get(&id).and_then(|job| job.active).map(|active| active.token);
            let flights = self.all.get_mut(&id).into_iter().flatten();
            for flight in flights.filter(|flight| flight.end.is_none() && valid != Some(flight.token)) {
                flight.end = Some(End::TakenBack);
                let worker = flight.token.worker;
                let silent = now.saturating_sub(self.heard.get(&worker).copied().unwrap_or(0));
                if hello != Some(worker) && silent < LEASE_MS {
                    let text = format!("{id}@{}: heard of {silent} ms before", flight.token);
                    self.findings.entry(Class::TakenFromLiving).or_default().push(text);
                }
                self.open.entry(queue.clone()).or_default().remove(&id);
            }
        }
    }

    /// Jobs were taken, or are told of again.
    pub fn taken(&mut self, queue: &QueueName, taken: &[Arc<Taken>], now: Millis) {
        let mut new = 0;
        for job in taken {
            let id = &job.spec.id;
            let flights = self.all.entry(id.clone()).or_default();
            if flights.iter().any(|flight| flight.token == job.token) {
                continue;
            }
            if let Some(other) = flights.iter().find(|flight| flight.end.is_none()) {
                let text = format!("{id} was taken as {} while {} holds", job.token, other.token);
                self.findings.entry(Class::TwoTokens).or_default().push(text);
            }
            let group = job.spec.group.clone();
            flights.push(Flight { token: job.token, group, struck: false, end: None });
            self.open.entry(queue.clone()).or_default().insert(id.clone());
            self.starts.entry(queue.clone()).or_default().push(now);
            new += 1;
        }
        if new > 0 {
            self.check_caps(queue, now);
        }
    }

    fn check_caps(&mut self, queue: &QueueName, now: Millis) {
        let Some(config) = self.limits.get(queue) else { return };
        let mut by_group: BTreeMap<Option<&str>, u32> = BTreeMap::new();
        for id in self.open.get(queue).into_iter().flatten() {
            let open = self.all.get(id).into_iter().flatten().find(|flight| flight.end.is_none());
            if let Some(flight) = open {
                *by_group.entry(flight.group.as_deref()).or_default() += 1;
            }
        }
        let all: u32 = by_group.values().sum();
        let exceeded = config.concurrency.filter(|cap| all > *cap);
        let mut texts: Vec<String> =
            exceeded.into_iter().map(|cap| format!("{queue} runs {all} of {cap} at {now}")).collect();
        for (group, runs) in by_group {
            let settings = group.map_or(config.group_default, |name| config.group(name));
            if let Some(cap) = settings.concurrency.filter(|cap| runs > *cap) {
                texts.push(format!("{queue}: group {group:?} runs {runs} of {cap} at {now}"));
            }
        }
        if !texts.is_empty() {
            self.findings.entry(Class::LimitExceeded).or_default().extend(texts);
        }
    }

    /// What was found on the way, and windows of time with too many starts.
    pub fn judge(&self) -> Findings {
        let mut findings = self.findings.clone();
        for (queue, starts) in &self.starts {
            let Some(rate) = self.limits.get(queue).and_then(|config| config.rate) else { continue };
            for window in starts.windows(rate.max as usize + 1) {
                let (first, last) = (window[0], window[rate.max as usize]);
                if last - first < rate.per_ms {
                    let text = format!("{queue}: {} starts from {first} to {last}, {rate:?}", window.len());
                    findings.entry(Class::LimitExceeded).or_default().push(text);
                }
            }
        }
        findings
    }
}
