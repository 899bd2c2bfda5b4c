//! Which rules keep a job from running: the same as in `core/explain.rs`, told by one script.

use deadpool_redis::redis::{Cmd, RedisWrite};

use super::active::Active;
use super::packed::moment;
use super::reply::{Items, strange, unreadable};
use super::script::Script;
use super::{At, Redis, Via, put_number};
use crate::model::{JobId, JobState, Millis, QueueName};
use crate::port::{Explanation, Reason, Result};

/// Slices of a list that are counted for the jobs before one; if it stands deeper there are more than is said.
const SLICES_MAX: usize = 1_000;

/// What the script tells of a job.
struct Told {
    explanation: Explanation,
    /// Entries before it in what was counted.
    before: u64,
    /// Packs that were counted, if it was not among them.
    counted: u64,
}

impl Redis {
    /// Why a job is where it is; none for an unknown job.
    pub(super) async fn read_explanation(
        &self,
        queue: &QueueName,
        job: &JobId,
    ) -> Result<Option<Explanation>> {
        let at = self.at(queue);
        let Some(Told { mut explanation, mut before, mut counted }) = self.explain_from(&at, job, 0).await?
        else {
            return Ok(None);
        };
        for _ in 0..SLICES_MAX {
            if counted == 0 {
                break;
            }
            let Some(further) = self.explain_from(&at, job, counted).await? else { break };
            before += further.before;
            counted = further.counted;
        }
        if before > 0 {
            explanation.reasons.push(Reason::Behind(before));
        }
        Ok(Some(explanation))
    }

    async fn explain_from(&self, at: &At, job: &JobId, counted: u64) -> Result<Option<Told>> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg(job.as_bytes());
            put_number(cmd, counted);
        };
        let mut items = self.script(Via::Pool, Script::Explain, at, put).await?;
        let now = items.number()?;
        at.heard.set(now);
        if items.len() == 0 { Ok(None) } else { read(now, &mut items).map(Some) }
    }
}

fn read(now: Millis, items: &mut Items) -> Result<Told> {
    let letter = items.bytes()?;
    let state = letter.first().copied().and_then(JobState::from_code).ok_or_else(|| strange("a state"))?;
    let run_at = moment(items.number()?);
    let entry = items.bytes_or_none()?;
    let pending = items.number()?;
    let (paused, workers) = (items.flag()?, items.number()?);
    let limited = items.moment()?;
    let cap = |n: u64| u32::try_from(n).ok().filter(|cap| *cap > 0);
    let (concurrency, of_group) = (cap(items.number()?), cap(items.number()?));
    let held_back = items.moment()?;
    let (before, counted) = (items.number()?, items.number()?);
    let mut reasons = Vec::new();
    if state.is_terminal() {
        reasons.push(Reason::Ended(state));
    } else if let Some(entry) = entry {
        let entry = Active::decode(&entry).map_err(unreadable("the entry of a running job"))?;
        reasons.push(Reason::Running { worker: entry.worker, since: entry.started });
    } else {
        if state == JobState::WaitingChildren {
            reasons.push(Reason::Children(u32::try_from(pending).unwrap_or(u32::MAX)));
        }
        if run_at > now {
            reasons.push(Reason::DueAt(run_at));
        }
        if paused {
            reasons.push(Reason::Paused);
        }
        if workers == 0 {
            reasons.push(Reason::NoWorker);
        }
        reasons.extend(limited.map(Reason::Limited));
        reasons.extend(concurrency.map(Reason::Concurrency));
        reasons.extend(of_group.map(Reason::GroupConcurrency));
        reasons.extend(held_back.map(Reason::GroupLimited));
    }
    Ok(Told { explanation: Explanation { state, reasons }, before, counted })
}
