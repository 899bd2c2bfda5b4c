//! What is asked of schedules, and what is answered.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::{JobId, Millis, NewJob, ScheduleSpec, ScheduleView, UnreadableSchedule};

use super::OutboxEntry;

/// When a schedule is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Put {
    /// Always: what is there is made to be as it is asked for.
    Always,
    /// As a default, once ever: not over one that is there, nor again once it was removed. It is remembered which defaults were asked for,
    /// until the whole queue is obliterated.
    Once,
    /// Over one that stands at this revision, and no other; with none, only where there is no schedule of this id. What is there as it is
    /// asked for is fine at any revision, so that a repeat does no harm.
    At(Option<u64>),
}

/// What became of a put.
#[derive(Debug, Clone, PartialEq)]
pub struct PutReply {
    /// Whether anything has changed.
    pub outcome: PutOutcome,
    /// The schedule as it stands; none where it was removed, is somebody else's, or is a default that cannot be read.
    pub schedule: Option<ScheduleView>,
}

/// Whether a put has changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PutOutcome {
    /// It was made.
    New,
    /// It was there, and was changed.
    Changed,
    /// It was there as it was asked for; nothing was changed.
    Same,
    /// A default that is there, or was there once; nothing was changed.
    Known,
    /// It stands at another revision than was told, or is there, or is gone; nothing was changed.
    Moved,
    /// Somebody else has a schedule of this id; nothing was changed.
    Taken,
}

/// What is to become of schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScheduleChange {
    /// They are removed.
    Remove,
    /// They fire from now on.
    Enable,
    /// They fire no more.
    Disable,
}

/// What became of a schedule that was to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScheduleResult {
    /// Done.
    Done,
    /// It was so already.
    Same,
    /// It cannot be enabled: it would never fire, as its end or its limit is reached.
    Over,
    /// No such schedule.
    Unknown,
}

/// Schedules that are due.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DueSchedules {
    /// The backend's clock.
    pub now: Millis,
    /// The schedules, by slot.
    pub due: Vec<ScheduleView>,
    /// Those between them that are due and cannot be read.
    pub unreadable: Vec<UnreadableSchedule>,
    /// The slot of the next one after those, due or not.
    pub next: Option<Millis>,
    /// Where those after these begin, if more are due.
    pub more: Option<DuePlace>,
}

/// A place among the schedules of a queue by slot, behind one that was read. It stays good while schedules come, go and move on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DuePlace {
    /// The slot at which the last one stood.
    pub(crate) slot: Millis,
    /// Its id, which is any bytes where somebody else has written it.
    pub(crate) id: Bytes,
}

/// A slot that is to fire. What is needed of the schedule comes along, so that a backend need not understand it.
#[derive(Debug, Clone)]
pub struct Fire {
    /// The schedule as it was read.
    pub spec: Arc<ScheduleSpec>,
    /// The revision at which it was read.
    pub revision: u64,
    /// The slot at which it stands.
    pub slot: Millis,
    /// The slot that fires: this one, or a later one that is due and stands for it; none if the schedule only moves on.
    pub fires: Option<Millis>,
    /// Slots that are passed over because nobody fired them in time.
    pub missed: u64,
    /// The slot at which it stands afterwards; none if there is no more.
    pub next: Option<Millis>,
}

impl Fire {
    /// The job of the slot that fires.
    pub(crate) fn job(&self) -> Option<NewJob> {
        self.fires.map(|slot| self.spec.slot_job(slot))
    }

    /// What it adds to a call: items and bytes of payload.
    pub(crate) fn load(&self) -> (usize, usize) {
        (1, self.fires.map_or(0, |_| self.spec.job.data.len()))
    }
}

/// What became of slots, in the order given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FireReply {
    /// One each.
    pub fired: Vec<Fired>,
    /// What must reach other queues, because jobs were replaced.
    pub outbox: Vec<OutboxEntry>,
    /// The backend's clock.
    pub now: Millis,
}

/// What became of a slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fired {
    /// Its job was added.
    Added(JobId),
    /// Its job was there: the slot had fired before the schedule was made anew.
    There(JobId),
    /// The last job has not ended, so no job was added.
    Skipped,
    /// No job was asked for: the schedule has moved on.
    Passed,
    /// The schedule does not stand at this slot, or was changed; nothing was changed now. Somebody else has fired it.
    Stale,
    /// The slot has not come yet; nothing was changed.
    Early,
    /// No such schedule (any more).
    Unknown,
}
