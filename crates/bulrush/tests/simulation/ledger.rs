//! What really happened, told by producers and handlers and seen at the store's door, kept outside of the store; in the end it is held
//! against what the store says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bulrush::model::{Dedup, JobId, JobState, JobView, QueueName, Token};
use tokio::time::Instant;

use super::cancels::Cancels;
use super::flights::{End, Flight, Flights};
use super::keys::Keys;
use super::lock;
use super::process::Process;
use super::store::LEASE_MS;

/// How long a run may go on that was asked to stop: two renewals, of which one is lost, then the grace that its worker gives it.
const HEED: Duration = Duration::from_millis(2 * LEASE_MS * 3 / 10 + STOP_GRACE_MS + 50);
/// How long a worker lets a handler go on that was asked to stop, ms.
pub const STOP_GRACE_MS: u64 = 500;

/// What must not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Acknowledged, and the store does not have it.
    Lost,
    /// In the store or run, and nobody ever sent it.
    Phantom,
    /// Not at its end long after the last fault.
    Stuck,
    /// Run again after a success that no fault explains.
    SerialDuplicate,
    /// Run twice at once, and no fault explains it.
    OverlappingDuplicate,
    /// More duplicates than jobs were in flight at the faults.
    TooManyDuplicates,
    /// The result or the effect is not that of the run that settled the job.
    WrongResult,
    /// A parent that ran although its children's ends forbade it.
    WrongFlow,
    /// A job given to another worker although the store had heard of its worker within the lease.
    TakenFromLiving,
    /// A job with two tokens that hold.
    TwoTokens,
    /// More starts in a window, or more runs at once, than allowed.
    LimitExceeded,
    /// A deduplication key that was not free when it had to be, or free when it was held, or a clash that names the wrong job.
    WrongKey,
    /// A cancelled job that ran or ended otherwise, or a job cancelled that nobody cancelled.
    WrongCancel,
    /// A run that was asked to stop and went on.
    Unheeded,
    /// The store's own check found something.
    Broken,
}

/// Findings by class.
pub type Findings = BTreeMap<Class, Vec<String>>;

/// A job that somebody wants.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub queue: QueueName,
    /// The backend said that it has it.
    pub acknowledged: bool,
    /// It comes into being with its parent's completion.
    pub follows: Option<JobId>,
    /// It comes into being with the flow's parent that waits for it.
    pub parent: Option<JobId>,
    /// Children whose failure fails it.
    pub strict_children: Vec<JobId>,
    /// One job per key.
    pub dedup: Option<Arc<Dedup>>,
}

impl Wanted {
    pub fn new(queue: &QueueName) -> Self {
        Self {
            queue: queue.clone(),
            acknowledged: false,
            follows: None,
            parent: None,
            strict_children: Vec::new(),
            dedup: None,
        }
    }
}

/// A handler at work.
struct Run {
    token: Token,
    process: Arc<Process>,
    from: Instant,
    to: Option<Instant>,
    succeeded: bool,
}

impl Run {
    /// When it ended, if it did.
    fn ended(&self) -> Option<Instant> {
        self.to.or(self.process.died())
    }
}

#[derive(Default)]
struct Book {
    wanted: BTreeMap<JobId, Wanted>,
    runs: BTreeMap<JobId, Vec<Run>>,
    /// The domain's `job_fences`: which run last wrote the job's effect.
    fences: BTreeMap<JobId, Token>,
    /// Who was told that another job stands for its own.
    stand_ins: Vec<(JobId, JobId)>,
    /// When the store was away, from and to.
    away: Vec<(Instant, Instant)>,
}

#[derive(Default)]
pub struct Ledger {
    book: Mutex<Book>,
    flights: Mutex<Flights>,
    keys: Mutex<Keys>,
    cancels: Mutex<Cancels>,
}

/// What the ledger found.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Verdict {
    pub jobs: usize,
    pub runs: usize,
    /// Takes whose handler ran although another one had succeeded, or ran too, because a process died or stood still.
    pub duplicates: usize,
    /// Jobs in flight on the workers that died or stood still, at that moment.
    pub in_flight_at_faults: usize,
    /// Adds that found their key held.
    pub clashes: usize,
    /// Jobs whose cancel was acknowledged.
    pub cancels: usize,
    pub findings: Findings,
}

type Stored<'a> = BTreeMap<&'a JobId, &'a JobView>;

impl Ledger {
    pub fn want(&self, id: &JobId, wanted: Wanted) {
        if let Some(dedup) = &wanted.dedup {
            self.keys().want(&wanted.queue, id, dedup);
        }
        self.book().wanted.entry(id.clone()).or_insert(wanted);
    }

    /// The backend said that it has the job.
    pub fn acknowledged(&self, id: &JobId) {
        if let Some(wanted) = self.book().wanted.get_mut(id) {
            wanted.acknowledged = true;
        }
    }

    /// The backend said that another job stands for this one.
    pub fn stands_for(&self, holder: &JobId, id: &JobId) {
        self.book().stand_ins.push((id.clone(), holder.clone()));
    }

    /// All jobs that anybody wants, with their queues.
    pub fn wanted(&self) -> Vec<(QueueName, JobId)> {
        self.book().wanted.iter().map(|(id, wanted)| (wanted.queue.clone(), id.clone())).collect()
    }

    /// The store was away.
    pub fn away(&self, from: Instant, to: Instant) {
        self.book().away.push((from, to));
    }

    /// A handler starts; the guard notes its end, however it comes.
    pub fn start(self: &Arc<Self>, id: &JobId, token: Token, process: &Arc<Process>) -> Running {
        let run = Run { token, process: process.clone(), from: Instant::now(), to: None, succeeded: false };
        self.book().runs.entry(id.clone()).or_default().push(run);
        Running { ledger: self.clone(), id: id.clone(), token }
    }

    /// Writes a job's effect, as the domain's store does: a higher run wins, and the same run needs the same nonce.
    pub fn write_effect(&self, id: &JobId, token: Token) -> bool {
        let mut book = self.book();
        let admitted = book.fences.get(id).is_none_or(|last| token.run > last.run || token == *last);
        if admitted {
            book.fences.insert(id.clone(), token);
        }
        admitted
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        lock(&self.book)
    }

    pub fn flights(&self) -> MutexGuard<'_, Flights> {
        lock(&self.flights)
    }

    pub fn keys(&self) -> MutexGuard<'_, Keys> {
        lock(&self.keys)
    }

    pub fn cancels(&self) -> MutexGuard<'_, Cancels> {
        lock(&self.cancels)
    }

    /// Holds the book against the jobs that the store has.
    pub fn judge(&self, jobs: &[JobView], broken: Vec<String>) -> Verdict {
        let stored: Stored<'_> = jobs.iter().map(|job| (job.id(), job)).collect();
        let (book, flights, keys, cancels) = (self.book(), self.flights(), self.keys(), self.cancels());
        let mut findings = Findings::new();
        if !broken.is_empty() {
            findings.insert(Class::Broken, broken);
        }
        let parent_of = |id: &JobId| book.wanted.get(id).and_then(|wanted| wanted.parent.as_ref());
        let told = [keys.findings().clone(), flights.judge(), cancels.judge(&stored, &flights, parent_of)];
        for (class, texts) in told.into_iter().flatten() {
            findings.entry(class).or_default().extend(texts);
        }
        let mut find = |class, text: String| findings.entry(class).or_default().push(text);
        book.judge_presence(&stored, &keys, &mut find);
        book.judge_ends(&stored, &mut find);
        book.judge_stops(&cancels, &mut find);
        let duplicates = book.judge_duplicates(&flights, &mut find);
        let in_flight_at_faults = flights.in_flight_at_faults();
        if duplicates > in_flight_at_faults {
            let text = format!("{duplicates}, and {in_flight_at_faults} jobs were in flight at faults");
            find(Class::TooManyDuplicates, text);
        }
        Verdict {
            jobs: stored.len(),
            runs: book.runs.values().map(Vec::len).sum(),
            duplicates,
            in_flight_at_faults,
            clashes: keys.clashes(),
            cancels: cancels.len(),
            findings,
        }
    }
}

impl Book {
    /// What must be there is, and nothing else.
    fn judge_presence(&self, stored: &Stored<'_>, keys: &Keys, find: &mut impl FnMut(Class, String)) {
        for (id, wanted) in &self.wanted {
            let before = wanted.follows.as_ref().and_then(|before| stored.get(before));
            let follows = before.is_some_and(|job| job.state() == JobState::Completed);
            // Whose key was held when it was delivered does not come again.
            let parent = wanted.parent.as_ref().is_some_and(|parent| stored.contains_key(parent));
            let child = parent && !keys.was_refused(id);
            if (wanted.acknowledged || follows || child) && !stored.contains_key(id) {
                find(Class::Lost, format!("{id}: {wanted:?}"));
            }
        }
        for (id, holder) in &self.stand_ins {
            if !stored.contains_key(holder) {
                find(Class::Lost, format!("{holder}, which stands for {id}"));
            }
        }
        let known: BTreeSet<&JobId> = stored.keys().copied().chain(self.runs.keys()).collect();
        for id in known {
            if !self.wanted.contains_key(id) {
                find(Class::Phantom, id.to_string());
            }
        }
    }

    /// Every job has ended, and as it had to.
    fn judge_ends(&self, stored: &Stored<'_>, find: &mut impl FnMut(Class, String)) {
        for (&id, &job) in stored {
            if !job.state().is_terminal() {
                find(Class::Stuck, format!("{id} is {}, {:?}", job.state(), job.active));
            }
            if job.state() != JobState::Completed {
                continue;
            }
            let settled = job.status.settled_by.map(|token| token.to_string());
            let result = job.status.result.as_deref().map(|text| String::from_utf8_lossy(text).into_owned());
            let effect = self.fences.get(id).map(|token| format!("\"{token}\""));
            if result != settled.as_ref().map(|token| format!("\"{token}\"")) || effect != result {
                find(
                    Class::WrongResult,
                    format!("{id}: settled by {settled:?}, result {result:?}, effect of {effect:?}"),
                );
            }
            let children = self.wanted.get(id).map(|wanted| &wanted.strict_children);
            for child in children.into_iter().flatten() {
                if stored.get(child).is_none_or(|child| child.state() != JobState::Completed) {
                    find(Class::WrongFlow, format!("{id} completed although {child} did not"));
                }
            }
        }
    }

    /// Whoever was asked to stop did, unless its process or the store was not there to tell it.
    fn judge_stops(&self, cancels: &Cancels, find: &mut impl FnMut(Class, String)) {
        for (id, runs) in &self.runs {
            for run in runs {
                let Some(asked) = cancels.asked_at(id, run.token) else { continue };
                let Some(ended) = run.ended() else {
                    find(Class::Unheeded, format!("{id}@{} never ended", run.token));
                    continue;
                };
                let away = self.away.iter().any(|(from, to)| *from <= ended && *to >= asked);
                let late = ended.saturating_duration_since(asked.max(run.from));
                if late > HEED && !away && !run.process.failed_between(asked, ended) {
                    find(Class::Unheeded, format!("{id}@{} went on for {late:?}", run.token));
                }
            }
        }
    }

    /// How many takes had their handler run for nothing, since the job's handler had succeeded or was to run at another take too. A
    /// fault must have struck each of them in flight, and the store must have taken it back.
    fn judge_duplicates(&self, flights: &Flights, find: &mut impl FnMut(Class, String)) -> usize {
        let mut duplicates = 0;
        for (id, runs) in &self.runs {
            for one in runs {
                let doubled = runs.iter().filter(|other| other.token.run > one.token.run).find_map(|other| {
                    let over = |run: &Run, moment| run.ended().is_some_and(|ended| ended <= moment);
                    if !over(one, other.from) && !over(other, one.from) {
                        return Some((other, Class::OverlappingDuplicate));
                    }
                    let first = if one.from <= other.from { one } else { other };
                    first.succeeded.then_some((other, Class::SerialDuplicate))
                });
                let Some((other, class)) = doubled else { continue };
                duplicates += 1;
                let explains =
                    |flight: &&Flight| flight.token == one.token && flight.end == Some(End::TakenBack);
                if !flights.of(id).iter().find(explains).is_some_and(|flight| flight.struck) {
                    find(class, format!("{id}: run {} beside run {}", other.token, one.token));
                }
            }
        }
        duplicates
    }
}

/// A handler that is at work until this is dropped.
pub struct Running {
    ledger: Arc<Ledger>,
    id: JobId,
    token: Token,
}

impl Running {
    pub fn succeeded(&self) {
        self.note(|run| run.succeeded = true);
    }

    fn note(&self, change: impl FnOnce(&mut Run)) {
        let mut book = self.ledger.book();
        let runs = book.runs.get_mut(&self.id).into_iter().flatten();
        if let Some(run) = runs.rev().find(|run| run.token == self.token) {
            change(run);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let now = Instant::now();
        // What a dead process still seems to do never happened.
        self.note(|run| run.to = Some(run.process.died().map_or(now, |died| died.min(now))));
    }
}
