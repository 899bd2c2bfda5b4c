//! A job on its way in.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::bounds::{Bound, BoundError, Bounds};
use super::{Backoff, JobId, Millis, Owner, QueueName, Spec};

/// When a job may run first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// At once.
    #[default]
    Now,
    /// So many ms after the backend has taken it in.
    After(u64),
    /// At a moment of the backend's clock.
    At(Millis),
}

/// One job per key: while the key is held, a second job with it is not added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dedup {
    /// The key.
    pub key: Arc<str>,
    /// How long the key is held, ms; without one, until the job ends or is removed.
    pub ttl_ms: Option<u64>,
    /// What the key stands for (say, a hash of the request): the same key with another fingerprint is a conflict.
    pub fingerprint: Option<u64>,
}

impl Dedup {
    /// What the keys begin with under which a queue remembers things for itself; no job may ask for one.
    pub(crate) const RESERVED: char = '\0';
}

/// What a child's failure means to its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChildFailure {
    /// The parent fails at once; the siblings go on.
    #[default]
    Fail,
    /// It counts as settled; the parent sees the error.
    Ignore,
    /// The parent starts now, without waiting for the others.
    Continue,
}

/// A job of a flow that its parent waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewChild {
    /// Its queue.
    pub queue: QueueName,
    /// What its failure means to the parent.
    pub on_failure: ChildFailure,
    /// The child; it may have children of its own.
    pub job: NewJob,
}

/// A job on its way in: what is asked for, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// What is asked for. [`Spec::priority`] is replaced by the queue's default unless [`Self::priority`] was called.
    pub spec: Spec,
    /// Whether the queue's default priority applies.
    pub default_priority: bool,
    /// When it may run.
    pub when: When,
    /// Jobs that must settle first.
    pub children: Vec<NewChild>,
}

impl NewJob {
    /// Lowest urgency.
    pub const PRIORITY_MAX: u32 = 1 << 21;
    /// Most tries.
    pub const ATTEMPTS_MAX: u32 = 1_000;
    /// Longest delay or time-out, ten years in ms.
    pub const DELAY_MAX_MS: u64 = 10 * 365 * 24 * 3_600 * 1_000;
    /// Deepest flow.
    pub const FLOW_DEPTH_MAX: usize = 16;

    /// A job with an id, a name and a payload, and defaults for the rest: 3 attempts, at once, no limits of its own.
    pub fn new(id: JobId, name: impl Into<Arc<str>>, data: impl Into<Bytes>) -> Self {
        Self {
            spec: Spec {
                id,
                name: name.into(),
                data: data.into(),
                priority: 0,
                attempts: 3,
                lifo: false,
                timeout_ms: None,
                backoff: None,
                group: None,
                owner: None,
                tags: no_tags(),
                dedup: None,
                parent: None,
                traceparent: None,
                schedule: None,
            },
            default_priority: true,
            when: When::Now,
            children: Vec::new(),
        }
    }

    /// Smaller runs first; 0 to 2^21.
    pub fn priority(mut self, priority: u32) -> Self {
        self.spec.priority = priority;
        self.default_priority = false;
        self
    }
    /// Total tries.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.spec.attempts = attempts;
        self
    }
    /// When a failed attempt is tried again.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.spec.backoff = Some(Arc::new(backoff));
        self
    }
    /// Longest run of one attempt, ms.
    pub fn timeout_ms(mut self, timeout_ms: u64) -> Self {
        self.spec.timeout_ms = Some(timeout_ms);
        self
    }
    /// Not before so many ms from now.
    pub fn delay_ms(mut self, delay_ms: u64) -> Self {
        self.when = When::After(delay_ms);
        self
    }
    /// Not before a moment of the backend's clock.
    pub fn run_at(mut self, at: Millis) -> Self {
        self.when = When::At(at);
        self
    }
    /// Before the others of its priority.
    pub fn lifo(mut self) -> Self {
        self.spec.lifo = true;
        self
    }
    /// In a fairness group.
    pub fn group(mut self, group: impl Into<Arc<str>>) -> Self {
        self.spec.group = Some(group.into());
        self
    }
    /// Belonging to somebody.
    pub fn owner(mut self, tenant: impl Into<String>, user: impl Into<String>) -> Self {
        self.spec.owner = Some(Arc::new(Owner { tenant: tenant.into(), user: user.into() }));
        self
    }
    /// Words to find it by.
    pub fn tags<T: Into<Arc<str>>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        self.spec.tags = tags.into_iter().map(Into::into).collect();
        self
    }
    /// One job per key until the job ends.
    pub fn dedup(mut self, key: impl Into<Arc<str>>) -> Self {
        self.spec.dedup = Some(Arc::new(Dedup { key: key.into(), ttl_ms: None, fingerprint: None }));
        self
    }
    /// One job per key, with a time and a fingerprint.
    pub fn dedup_with(mut self, dedup: Dedup) -> Self {
        self.spec.dedup = Some(Arc::new(dedup));
        self
    }
    /// W3C trace context.
    pub fn traceparent(mut self, traceparent: impl Into<Arc<str>>) -> Self {
        self.spec.traceparent = Some(traceparent.into());
        self
    }
    /// A job that must settle before this one runs.
    pub fn child(mut self, queue: QueueName, job: NewJob, on_failure: ChildFailure) -> Self {
        self.children.push(NewChild { queue, on_failure, job });
        self
    }

    /// Jobs in this tree, itself included.
    pub fn tree_len(&self) -> usize {
        1 + self.children.iter().map(|child| child.job.tree_len()).sum::<usize>()
    }

    /// Payload bytes of this tree.
    pub fn tree_bytes(&self) -> usize {
        self.spec.data.len() + self.children.iter().map(|child| child.job.tree_bytes()).sum::<usize>()
    }

    /// Checks the job and its children against bounds.
    ///
    /// # Errors
    /// The first bound that is exceeded, or a combination that is refused; `item` is the job's place in the call.
    pub fn check(&self, bounds: &Bounds, item: usize) -> Result<(), CheckError> {
        self.check_at(bounds, item, 1)
    }

    fn check_at(&self, bounds: &Bounds, item: usize, level: usize) -> Result<(), CheckError> {
        let spec = &self.spec;
        let within = |bound, seen, max| BoundError::check(bound, seen, max, item);
        within(Bound::FlowDepth, level, Self::FLOW_DEPTH_MAX)?;
        within(Bound::Data, spec.data.len(), bounds.data_bytes)?;
        within(Bound::Tags, spec.tags.len(), bounds.tags)?;
        within(Bound::Priority, spec.priority as usize, Self::PRIORITY_MAX as usize)?;
        within(Bound::Attempts, spec.attempts as usize, Self::ATTEMPTS_MAX as usize)?;
        let mut delay = spec.timeout_ms.unwrap_or(0);
        if let When::After(after) = self.when {
            delay = delay.max(after);
        }
        within(Bound::Delay, delay as usize, Self::DELAY_MAX_MS as usize)?;
        let owner = spec.owner.as_deref();
        let labels = [
            Some(&*spec.name),
            spec.group.as_deref(),
            spec.dedup.as_ref().map(|dedup| &*dedup.key),
            spec.traceparent.as_deref(),
            owner.map(|owner| owner.tenant.as_str()),
            owner.map(|owner| owner.user.as_str()),
        ];
        for label in labels.into_iter().flatten().chain(spec.tags.iter().map(|tag| &**tag)) {
            within(Bound::Label, label.len(), bounds.label_bytes)?;
        }
        if spec.attempts == 0 {
            return Err(CheckError::NoAttempts { item });
        }
        if spec.name.is_empty() {
            return Err(CheckError::NoName { item });
        }
        if spec.dedup.as_ref().is_some_and(|dedup| dedup.key.starts_with(Dedup::RESERVED)) {
            return Err(CheckError::ReservedKey { item });
        }
        if spec.group.is_some() && !self.default_priority {
            return Err(CheckError::PriorityInGroup { item });
        }
        self.children.iter().try_for_each(|child| child.job.check_at(bounds, item, level + 1))
    }
}

/// The empty list of tags, shared by all jobs that have none.
pub(crate) fn no_tags() -> Arc<[Arc<str>]> {
    static NONE: std::sync::OnceLock<Arc<[Arc<str>]>> = std::sync::OnceLock::new();
    NONE.get_or_init(|| Arc::new([])).clone()
}

/// A job that cannot be added as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// Something is too large.
    #[error(transparent)]
    Bound(#[from] BoundError),
    /// It could never run.
    #[error("job {item} of the call allows 0 attempts and could never run: give at least 1")]
    NoAttempts {
        /// Place in the call.
        item: usize,
    },
    /// No handler could be found for it.
    #[error("job {item} of the call has no name, so no handler could be found for it")]
    NoName {
        /// Place in the call.
        item: usize,
    },
    /// Keys of the queue's own begin so.
    #[error(
        "job {item} of the call has a deduplication key that begins with a NUL character, as only the queue's own do"
    )]
    ReservedKey {
        /// Place in the call.
        item: usize,
    },
    /// Groups take turns; a priority has no meaning among them.
    #[error("job {item} of the call has both a group and a priority: give the group a weight instead")]
    PriorityInGroup {
        /// Place in the call.
        item: usize,
    },
    /// The same id stands twice in one flow.
    #[error("job {item} of the call uses an id twice within its flow: every job of a flow needs its own id")]
    RepeatedId {
        /// Place in the call.
        item: usize,
    },
}

impl CheckError {
    /// Which item of the call, from 0.
    pub fn item(&self) -> Option<usize> {
        match self {
            Self::Bound(bound) => Some(bound.item),
            Self::NoAttempts { item }
            | Self::NoName { item }
            | Self::ReservedKey { item }
            | Self::PriorityInGroup { item }
            | Self::RepeatedId { item } => Some(*item),
        }
    }
}
