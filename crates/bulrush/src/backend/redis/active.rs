//! The entry of a running job: who runs it, since when, and what its end has to look at besides the record.
//!
//! `[worker 8][take u48][flags u8][started u48][time-out in seconds u32][group or nothing]`. All jobs of one take that have the same
//! time-out and group have the same entry, so a call that settles them names it once.

use super::packed::{Damaged, Unpack, put_nonce, put_u32, put_u48, utf8};
use crate::model::{ActiveRun, Millis, Spec, Taken, Token, WorkerId};

/// A job with a time-out is rescued even from a live worker when so much more has passed, ms: as the core has it.
const DEADLINE_MARGIN_MS: u64 = 30_000;

/// Somebody asked for the job to stop.
const CANCEL: u8 = 1;

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Active<'a> {
    pub worker: WorkerId,
    pub take: u64,
    pub cancel: bool,
    pub started: Millis,
    pub timeout_secs: u32,
    pub group: &'a str,
}

impl<'a> Active<'a> {
    /// Reads an entry.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut u = Unpack::new(bytes);
        let (worker, take) = (WorkerId(u.u64()?), u.u48()?);
        let cancel = u.u8()? & CANCEL != 0;
        Ok(Self { worker, take, cancel, started: u.u48()?, timeout_secs: u.u32()?, group: utf8(u.rest())? })
    }

    /// Who runs the job, `run` being the number of this take.
    pub fn run(&self, run: u32) -> ActiveRun {
        let timeout_ms = u64::from(self.timeout_secs) * 1_000;
        let deadline = (timeout_ms > 0).then(|| self.started + timeout_ms + DEADLINE_MARGIN_MS);
        ActiveRun {
            token: Token { run, worker: self.worker, take: self.take },
            started: self.started,
            deadline,
            cancel_requested: self.cancel,
        }
    }
}

/// Appends the entry that a job has while nobody asked for its stop and its data is what it was when it was taken.
pub(super) fn put_expected(out: &mut Vec<u8>, job: &Taken) {
    put_nonce(out, job.token.worker, job.token.take);
    out.push(0);
    put_u48(out, job.started);
    put_u32(out, timeout_secs(&job.spec));
    out.extend_from_slice(job.spec.group.as_deref().unwrap_or_default().as_bytes());
}

/// The time-out in whole seconds, rounded up: 0 is none.
pub(super) fn timeout_secs(spec: &Spec) -> u32 {
    spec.timeout_ms.map_or(0, |ms| u32::try_from(ms.div_ceil(1_000).max(1)).unwrap_or(u32::MAX))
}
