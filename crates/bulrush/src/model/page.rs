//! Reading a queue: counts and pages.

use serde::{Deserialize, Serialize};

use super::{JobState, JobView, Owner};

/// Jobs by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the fields are the states")]
pub struct Counts {
    pub waiting: u64,
    pub delayed: u64,
    pub waiting_children: u64,
    pub active: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
}

impl Counts {
    /// The count of one state.
    pub fn of(&self, state: JobState) -> u64 {
        match state {
            JobState::Waiting => self.waiting,
            JobState::Delayed => self.delayed,
            JobState::WaitingChildren => self.waiting_children,
            JobState::Active => self.active,
            JobState::Completed => self.completed,
            JobState::Failed => self.failed,
            JobState::Cancelled => self.cancelled,
        }
    }

    pub(crate) fn of_mut(&mut self, state: JobState) -> &mut u64 {
        match state {
            JobState::Waiting => &mut self.waiting,
            JobState::Delayed => &mut self.delayed,
            JobState::WaitingChildren => &mut self.waiting_children,
            JobState::Active => &mut self.active,
            JobState::Completed => &mut self.completed,
            JobState::Failed => &mut self.failed,
            JobState::Cancelled => &mut self.cancelled,
        }
    }

    /// Jobs not yet started: what a depth limit counts.
    pub fn depth(&self) -> u64 {
        self.waiting + self.delayed + self.waiting_children
    }

    /// All jobs that are kept.
    pub fn total(&self) -> u64 {
        JobState::ALL.iter().map(|state| self.of(*state)).sum()
    }
}

/// Which jobs of a page to show.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    /// Jobs of this name.
    pub name: Option<String>,
    /// Jobs with this tag.
    pub tag: Option<String>,
    /// Jobs whose data or id contains this text.
    pub text: Option<String>,
    /// Jobs added at this moment or later.
    pub since: Option<super::Millis>,
    /// Jobs of this tenant's users.
    pub tenant: Option<String>,
}

impl JobFilter {
    /// Whether a job passes.
    pub fn admits(&self, job: &JobView) -> bool {
        let spec = &job.spec;
        self.name.as_ref().is_none_or(|name| *name == *spec.name)
            && self.tag.as_ref().is_none_or(|tag| spec.tags.iter().any(|t| **t == **tag))
            && self.since.is_none_or(|since| job.status.created_at >= since)
            && self
                .tenant
                .as_ref()
                .is_none_or(|tenant| spec.owner.as_ref().is_some_and(|o| o.tenant == *tenant))
            && self.text.as_ref().is_none_or(|text| {
                spec.id.as_str().contains(text.as_str()) || contains(&spec.data, text.as_bytes())
            })
    }

    /// Whether every job passes.
    pub fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.tag.is_none()
            && self.text.is_none()
            && self.since.is_none()
            && self.tenant.is_none()
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    needle.is_empty() || haystack.windows(needle.len()).any(|window| window == needle)
}

/// A page of jobs to read.
#[derive(Debug, Clone, Default)]
pub struct PageRequest {
    /// Jobs in this state; all of an owner's where none is named.
    pub state: Option<JobState>,
    /// Jobs of this owner.
    pub owner: Option<Owner>,
    /// Which of them to show.
    pub filter: JobFilter,
    /// Where the last page ended.
    pub cursor: Option<String>,
    /// Most jobs to return, 1 to 1,000.
    pub limit: usize,
}

/// A page of jobs, newest first. Waiting jobs come in the reverse of the order in which they will be taken.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobPage {
    /// The jobs.
    pub jobs: Vec<JobView>,
    /// Read on from here; none at the end.
    pub next: Option<String>,
    /// Records looked at for this page: at most 10,000, so a filtered page may be short and yet have a next one.
    pub scanned: usize,
}
