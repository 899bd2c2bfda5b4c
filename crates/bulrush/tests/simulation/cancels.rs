//! Cancels that the store acknowledged, and what must follow from each.

use std::collections::BTreeMap;

use bulrush::model::{JobId, JobState, JobView, Token};
use bulrush::port::AdminResult;
use tokio::time::Instant;

use super::flights::Flights;
use super::ledger::{Class, Findings};

/// A cancel that was acknowledged.
#[derive(Debug, Clone, Copy)]
pub struct Cancel {
    /// The run that was asked to stop; none if the job did not run.
    pub asked: Option<Token>,
    pub at: Instant,
    /// The last run before it.
    run: u32,
}

#[derive(Default)]
pub struct Cancels {
    /// The first one of each job.
    acknowledged: BTreeMap<JobId, Cancel>,
    /// Children that were told of their parent's cancel, each with its last run before; none for one that ran, which may go on.
    passed_on: BTreeMap<JobId, Option<u32>>,
    findings: Findings,
}

impl Cancels {
    /// The store's answer to a cancel, and the job as it was then.
    pub fn answered(&mut self, job: &JobView, result: AdminResult) {
        let token = job.active.map(|active| active.token);
        let asked = match (result, token) {
            (AdminResult::Done, None) => None,
            (AdminResult::Requested, Some(token)) => Some(token),
            (AdminResult::WrongState(_) | AdminResult::Unknown, _) => return,
            _ => {
                let text = format!("{} is {} and its cancel {result:?}", job.id(), job.state());
                self.findings.entry(Class::WrongCancel).or_default().push(text);
                return;
            }
        };
        let cancel = Cancel { asked, at: Instant::now(), run: job.status.run };
        self.acknowledged.entry(job.id().clone()).or_insert(cancel);
    }

    /// The word of a parent's cancel came to a child, as it was then; it may not be there yet. The first word counts.
    pub fn passed_on(&mut self, id: &JobId, child: Option<&JobView>) {
        let run = match child {
            Some(child) => child.active.is_none().then_some(child.status.run),
            None => Some(0),
        };
        self.passed_on.entry(id.clone()).or_insert(run);
    }

    /// How many jobs.
    pub fn len(&self) -> usize {
        self.acknowledged.len()
    }

    /// When a run was asked to stop.
    pub fn asked_at(&self, id: &JobId, token: Token) -> Option<Instant> {
        self.acknowledged.get(id).filter(|cancel| cancel.asked == Some(token)).map(|cancel| cancel.at)
    }

    /// Cancelled jobs never start again, and end as such, unless the run that was asked to stop completed first. Nobody else is
    /// cancelled but children of cancelled parents; `parent_of` tells a job's parent.
    pub fn judge<'a>(
        &self,
        stored: &BTreeMap<&JobId, &JobView>,
        flights: &Flights,
        parent_of: impl Fn(&JobId) -> Option<&'a JobId>,
    ) -> Findings {
        let mut findings = self.findings.clone();
        let mut find = |text| findings.entry(Class::WrongCancel).or_default().push(text);
        for (id, cancel) in &self.acknowledged {
            if let Some(late) = flights.of(id).iter().find(|flight| flight.token.run > cancel.run) {
                find(format!("{id} ran as {} after {cancel:?}", late.token));
            }
            let Some(job) = stored.get(id) else { continue };
            let won = job.state() == JobState::Completed
                && cancel.asked.is_some()
                && job.status.settled_by == cancel.asked;
            if job.state() != JobState::Cancelled && !won {
                find(format!("{id} ended as {} after {cancel:?}", job.state()));
            }
        }
        for (id, run) in &self.passed_on {
            let Some(run) = *run else { continue };
            if let Some(late) = flights.of(id).iter().find(|flight| flight.token.run > run) {
                find(format!("{id} ran as {} after its parent was cancelled", late.token));
            }
        }
        for (&id, job) in stored {
            let with_parent = || {
                let parent = parent_of(id).and_then(|parent| stored.get(parent));
                parent.is_some_and(|parent| parent.state() == JobState::Cancelled)
            };
            if job.state() == JobState::Cancelled && !self.acknowledged.contains_key(id) && !with_parent() {
                find(format!("{id} was cancelled, and nobody asked for it"));
            }
        }
        findings
    }
}
