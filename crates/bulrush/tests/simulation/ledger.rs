//! What really happened, told by producers and handlers and kept outside of the store; in the end it is held against what the store
//! says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulrush::model::{JobId, JobState, JobView, Token};
use tokio::time::Instant;

use super::line::LEASE_MS;
use super::process::Process;

/// How long after a process stood still it may begin what it had been given before: the time that an answer can be late.
const LATE: Duration = Duration::from_millis(4 * LEASE_MS);

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
    /// The result or the effect is not that of the run that settled the job.
    WrongResult,
    /// A parent that ran although its children's ends forbade it.
    WrongFlow,
    /// The store's own check found something.
    Broken,
}

/// A job that somebody wants.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The backend said that it has it.
    pub acknowledged: bool,
    /// It comes into being with its parent's completion.
    pub follows: Option<JobId>,
    /// Children whose failure fails it.
    pub strict_children: Vec<JobId>,
}

/// A handler at work.
struct Run {
    token: Token,
    process: Arc<Process>,
    from: Instant,
    to: Option<Instant>,
    succeeded: bool,
}

#[derive(Default)]
struct Book {
    wanted: BTreeMap<JobId, Wanted>,
    runs: BTreeMap<JobId, Vec<Run>>,
    /// The domain's `job_fences`: which run last wrote the job's effect.
    fences: BTreeMap<JobId, Token>,
}

#[derive(Default)]
pub struct Ledger(Mutex<Book>);

/// What the ledger found.
#[derive(Debug, Default, PartialEq)]
pub struct Verdict {
    pub jobs: usize,
    pub runs: usize,
    /// Jobs run more than once because a process died or stood still.
    pub explained_duplicates: usize,
    pub findings: BTreeMap<Class, Vec<String>>,
}

impl Ledger {
    pub fn want(&self, id: &JobId, wanted: Wanted) {
        self.book().wanted.entry(id.clone()).or_insert(wanted);
    }

    pub fn acknowledged(&self, ids: &[JobId]) {
        let mut book = self.book();
        for id in ids {
            book.wanted.entry(id.clone()).or_default().acknowledged = true;
        }
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

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds the book against the jobs that the store has.
    pub fn judge(&self, jobs: &[JobView], broken: Vec<String>) -> Verdict {
        let book = self.book();
        let stored: BTreeMap<&JobId, &JobView> = jobs.iter().map(|job| (job.id(), job)).collect();
        let mut verdict = Verdict {
            jobs: stored.len(),
            runs: book.runs.values().map(Vec::len).sum(),
            ..Verdict::default()
        };
        let mut find = |class, text: String| verdict.findings.entry(class).or_default().push(text);
        for text in broken {
            find(Class::Broken, text);
        }
        for (id, wanted) in &book.wanted {
            let parent = wanted.follows.as_ref().and_then(|parent| stored.get(parent));
            let due = wanted.acknowledged || parent.is_some_and(|job| job.state() == JobState::Completed);
            if due && !stored.contains_key(id) {
                find(Class::Lost, format!("{id}: {wanted:?}"));
            }
        }
        let known: BTreeSet<&JobId> = stored.keys().copied().chain(book.runs.keys()).collect();
        for id in known {
            if !book.wanted.contains_key(id) {
                find(Class::Phantom, id.to_string());
            }
        }
        for (&id, &job) in &stored {
            if !job.state().is_terminal() {
                find(Class::Stuck, format!("{id} is {}, {:?}", job.state(), job.active));
            }
            if job.state() == JobState::Completed {
                let settled = job.status.settled_by.map(|token| token.to_string());
                let result =
                    job.status.result.as_deref().map(|text| String::from_utf8_lossy(text).into_owned());
                let effect = book.fences.get(id).map(|token| format!("\"{token}\""));
                if result != settled.as_ref().map(|token| format!("\"{token}\"")) || effect != result {
                    find(
                        Class::WrongResult,
                        format!("{id}: settled by {settled:?}, result {result:?}, effect of {effect:?}"),
                    );
                }
                let children = book.wanted.get(id).map(|wanted| &wanted.strict_children);
                for child in children.into_iter().flatten() {
                    if stored.get(child).is_none_or(|child| child.state() != JobState::Completed) {
                        find(Class::WrongFlow, format!("{id} completed although {child} did not"));
                    }
                }
            }
        }
        let mut explained = 0;
        for (id, runs) in &book.runs {
            for (at, later) in runs.iter().enumerate() {
                for earlier in &runs[..at] {
                    let ended = earlier.to.or(earlier.process.died());
                    let overlaps = ended.is_none_or(|ended| ended > later.from);
                    if !overlaps && !earlier.succeeded {
                        continue;
                    }
                    // A process that stood still may also begin late what had been given to others meanwhile.
                    let failed = |run: &Run| {
                        let before = earlier.from.checked_sub(LATE).unwrap_or(earlier.from);
                        run.process.failed_between(before, later.from)
                    };
                    if failed(earlier) || failed(later) {
                        explained += 1;
                        continue;
                    }
                    let class = if overlaps { Class::OverlappingDuplicate } else { Class::SerialDuplicate };
                    find(class, format!("{id}: run {} after run {}", later.token, earlier.token));
                }
            }
        }
        verdict.explained_duplicates = explained;
        verdict
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
