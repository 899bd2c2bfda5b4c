//! Guards of the engine, each switched off in turn to see whether the ledger notices.

use std::sync::Arc;

use bulrush::model::{Dedup, NewJob, QueueConfig};
use bulrush::port::{AddOutcome, Added};

/// A guard that is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A settle with an old token is let through as if it had the current one.
    NoTokenCheck,
    /// A hello names everything that the store believes the worker runs, so nothing goes back.
    NoResume,
    /// Maintenance never sees that the store was away, so no grace opens.
    NoGrace,
    /// Outbox entries are acknowledged before they are delivered.
    OutboxAcknowledgedFirst,
    /// An add that arrives a second time is taken for another one.
    NoDuplicateCheck,
    /// A worker is told that its lease is renewed, and it is not.
    RenewalsSwallowed,
    /// A cancel is acknowledged and not carried out.
    CancelsUndone,
    /// A worker never learns that a job of its is to stop.
    CancelsUntold,
    /// Children never learn that their parent was cancelled.
    ChildrenUntold,
    /// A deduplication key is free long before its time or its holder's end.
    KeysFreedEarly,
    /// A deduplication key stays held when its time is over or its holder has ended.
    KeysNeverFreed,
    /// Who clashes is told its own id instead of the holder's.
    ClashesUnnamed,
    /// A clash is told apart from a repeat by nothing.
    FingerprintsIgnored,
    /// The rate limit is not kept.
    RateIgnored,
    /// The queue's concurrency is not kept.
    ConcurrencyIgnored,
    /// The concurrency of groups is not kept.
    GroupCapsIgnored,
    /// A store that begins anew takes every lease for over.
    LeasesTakenForOver,
    /// A store that begins anew has forgotten the starts that the rate limit counts.
    StartsForgotten,
    /// A slot fires wherever its schedule stands by now.
    SlotsUnchecked,
    /// A schedule moves on before the job of its slot is added, in a call of its own that may not be made.
    SlotsMovedFirst,
}

impl Bug {
    /// What becomes of a queue's settings.
    pub fn bend_config(self, config: &mut QueueConfig) {
        match self {
            Self::RateIgnored => config.rate = None,
            Self::ConcurrencyIgnored => config.concurrency = None,
            Self::GroupCapsIgnored => {
                config.group_default.concurrency = None;
                config.groups.values_mut().for_each(|group| group.concurrency = None);
            }
            _ => {}
        }
    }

    /// What becomes of a job on its way in.
    pub fn bend_job(self, job: &mut NewJob) {
        let Some(dedup) = job.spec.dedup.as_deref() else { return };
        let ttl_ms = match self {
            Self::KeysFreedEarly => Some(dedup.ttl_ms.map_or(100, |ttl| ttl / 3)),
            Self::KeysNeverFreed => Some(3_600_000),
            _ => return,
        };
        job.spec.dedup = Some(Arc::new(Dedup { ttl_ms, ..dedup.clone() }));
    }

    /// What becomes of the answer to one add.
    pub fn bend_added(self, asked: &NewJob, added: &mut Added) {
        match (self, &added.outcome) {
            (Self::ClashesUnnamed, AddOutcome::SameKey | AddOutcome::KeyConflict) => {
                added.id = asked.spec.id.clone();
            }
            (Self::FingerprintsIgnored, AddOutcome::KeyConflict) => added.outcome = AddOutcome::SameKey,
            _ => {}
        }
    }
}
