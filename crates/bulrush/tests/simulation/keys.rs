//! Who may hold which deduplication key: by the records of the jobs that asked for it, the store's own table of keys not asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bulrush::model::{Dedup, JobId, JobView, Millis, NewJob, QueueName};
use bulrush::port::{AddOutcome, Added};

use super::ledger::{Class, Findings};

/// What a job asked for.
#[derive(Debug, Clone)]
struct Asked {
    id: JobId,
    dedup: Option<Arc<Dedup>>,
}

/// A call that adds jobs, and what the store had before and after it.
pub struct Call {
    queue: QueueName,
    asked: Vec<Asked>,
    /// The jobs asked for, and all that might hold their keys.
    pub concerned: Vec<JobId>,
    pub was: BTreeMap<JobId, JobView>,
    pub is: BTreeMap<JobId, JobView>,
    /// What the caller was told; a delivery is told nothing.
    pub answers: Option<Vec<Added>>,
}

#[derive(Default)]
pub struct Keys {
    /// Everybody who ever asked for a key.
    rivals: BTreeMap<(QueueName, Arc<str>), BTreeMap<JobId, Arc<Dedup>>>,
    /// Jobs that were once refused because somebody held their key.
    refused: BTreeSet<JobId>,
    /// Adds that found their key held.
    clashes: usize,
    findings: Findings,
}

impl Keys {
    /// A job of a queue will ask for a key.
    pub fn want(&mut self, queue: &QueueName, id: &JobId, dedup: &Arc<Dedup>) {
        let rivals = self.rivals.entry((queue.clone(), dedup.key.clone())).or_default();
        rivals.insert(id.clone(), dedup.clone());
    }

    pub fn clashes(&self) -> usize {
        self.clashes
    }

    /// Whether a job was once kept out by the holder of its key.
    pub fn was_refused(&self, id: &JobId) -> bool {
        self.refused.contains(id)
    }

    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// A call that is about to be carried out.
    pub fn call<'a>(&self, queue: &QueueName, jobs: impl Iterator<Item = &'a NewJob>) -> Call {
        let asked: Vec<Asked> =
            jobs.map(|job| Asked { id: job.spec.id.clone(), dedup: job.spec.dedup.clone() }).collect();
        let mut concerned: BTreeSet<JobId> = asked.iter().map(|asked| asked.id.clone()).collect();
        for dedup in asked.iter().filter_map(|asked| asked.dedup.as_ref()) {
            let rivals = self.rivals.get(&(queue.clone(), dedup.key.clone()));
            concerned.extend(rivals.into_iter().flatten().map(|(id, _)| id.clone()));
        }
        Call {
            queue: queue.clone(),
            asked,
            concerned: concerned.into_iter().collect(),
            was: BTreeMap::new(),
            is: BTreeMap::new(),
            answers: None,
        }
    }

    /// Holds what became of a call against who could hold the keys.
    pub fn judge(&mut self, call: &Call, now: Millis) {
        for (at, asked) in call.asked.iter().enumerate() {
            let added = call.answers.as_ref().map(|answers| &answers[at]);
            if let Err(text) = self.judge_one(call, asked, added, now) {
                let text = format!("{} in {} at {now}: {text}", asked.id, call.queue);
                self.findings.entry(Class::WrongKey).or_default().push(text);
            }
        }
    }

    fn judge_one(
        &mut self,
        call: &Call,
        asked: &Asked,
        added: Option<&Added>,
        now: Millis,
    ) -> Result<(), String> {
        let (was, is) = (call.was.contains_key(&asked.id), call.is.contains_key(&asked.id));
        let outcome = added.map(|added| &added.outcome);
        match outcome {
            Some(AddOutcome::SameId { .. }) if was => return Ok(()),
            Some(AddOutcome::SameId { .. }) => return Err("told to be there, and was not".into()),
            Some(outcome @ AddOutcome::Full { .. }) => return Err(format!("{outcome:?} without a limit")),
            Some(AddOutcome::New) if was || !is => {
                return Err("told to be new, and was there or is not".into());
            }
            // What was delivered and refused is not taken in when it is delivered again.
            None if was || (!is && self.refused.contains(&asked.id)) => return Ok(()),
            _ => {}
        }
        let Some(dedup) = &asked.dedup else {
            return if is { Ok(()) } else { Err("not taken in, and it has no key".into()) };
        };
        let rivals = self.rivals.get(&(call.queue.clone(), dedup.key.clone()));
        let others = || rivals.into_iter().flatten().filter(|(id, _)| **id != asked.id);
        let holds = |views: &BTreeMap<JobId, JobView>, (id, theirs): (&JobId, &Arc<Dedup>)| {
            views.get(id).is_some_and(|job| match theirs.ttl_ms {
                Some(ttl) => job.status.created_at + ttl > now,
                None => !job.state().is_terminal(),
            })
        };
        let taken_in = outcome.map_or(is, |outcome| *outcome == AddOutcome::New);
        if taken_in {
            // Whoever held it before and after the call held it all the time.
            let holder = others().find(|other| holds(&call.was, *other) && holds(&call.is, *other));
            return holder.map_or(Ok(()), |(id, theirs)| Err(format!("new, although {id} holds {theirs:?}")));
        }
        self.clashes += 1;
        self.refused.insert(asked.id.clone());
        // Whoever came with this call may have ended with it.
        let may_hold = |other: (&JobId, &Arc<Dedup>)| {
            holds(&call.was, other) || holds(&call.is, other) || !call.was.contains_key(other.0)
        };
        let mut holders =
            others().filter(|other| call.is.contains_key(other.0)).filter(|other| may_hold(*other));
        let Some(added) = added else {
            let holder = holders.next();
            return holder.map(|_| ()).ok_or_else(|| format!("refused, and nobody holds {dedup:?}"));
        };
        let Some((_, theirs)) = holders.find(|(id, _)| **id == added.id) else {
            return Err(format!("clash with {}, which does not hold {dedup:?}", added.id));
        };
        let same = theirs.fingerprint == dedup.fingerprint;
        if same == (added.outcome == AddOutcome::SameKey) {
            Ok(())
        } else {
            Err(format!("{added:?}, and {theirs:?} is held, {dedup:?} was asked for"))
        }
    }
}
