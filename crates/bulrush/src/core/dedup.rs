//! Who holds which deduplication key, and until when.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use hashbrown::HashMap;

use crate::model::{Dedup, JobId, Millis};

/// A held key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Who holds it.
    pub id: JobId,
    /// What it stands for.
    pub fingerprint: Option<u64>,
    /// Until when; without one, until the job ends or is removed.
    pub until: Option<Millis>,
}

/// All held keys.
#[derive(Debug, Default)]
pub(super) struct DedupTable {
    keys: HashMap<Arc<str>, Held>,
    ends: BTreeSet<(Millis, Arc<str>)>,
}

impl DedupTable {
    /// Who holds a key at this moment.
    pub fn holder(&self, key: &str, now: Millis) -> Option<&Held> {
        self.keys.get(key).filter(|held| held.until.is_none_or(|until| until > now))
    }

    /// Gives the key to a job.
    pub fn hold(&mut self, dedup: &Dedup, id: &JobId, now: Millis) {
        let until = dedup.ttl_ms.map(|ttl| now.saturating_add(ttl));
        self.set(&dedup.key, Some(Held { id: id.clone(), fingerprint: dedup.fingerprint, until }));
    }

    /// Frees a key that has no time of its own, if this job holds it. Says whether it did.
    pub fn release(&mut self, key: &Arc<str>, id: &JobId) -> bool {
        let holds = self.keys.get(key).is_some_and(|held| held.until.is_none() && held.id == *id);
        if holds {
            self.keys.remove(key);
        }
        holds
    }

    /// Sets or frees a key.
    pub fn set(&mut self, key: &Arc<str>, held: Option<Held>) {
        if let Some(until) = self.keys.get(key).and_then(|old| old.until) {
            self.ends.remove(&(until, key.clone()));
        }
        match held {
            Some(held) => {
                if let Some(until) = held.until {
                    self.ends.insert((until, key.clone()));
                }
                self.keys.insert(key.clone(), held);
            }
            None => {
                self.keys.remove(key);
            }
        }
    }

    /// The next key whose time is over, removed.
    pub fn expire_one(&mut self, now: Millis) -> Option<Arc<str>> {
        let (until, _) = self.ends.first()?;
        if *until > now {
            return None;
        }
        let (_, key) = self.ends.pop_first()?;
        self.keys.remove(&key);
        Some(key)
    }

    /// Whoever holds the key, its time not considered.
    pub fn entry(&self, key: &str) -> Option<&Held> {
        self.keys.get(key)
    }

    /// All held keys.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Held)> {
        self.keys.iter()
    }

    /// Keys with a time of their own, in order of its end, from the one after `after` on.
    pub fn timed(
        &self,
        after: Option<&(Millis, Arc<str>)>,
    ) -> impl Iterator<Item = (&(Millis, Arc<str>), &Held)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let ends = self.ends.range((from, Bound::Unbounded));
        ends.filter_map(|end| Some((end, self.keys.get(&end.1)?)))
    }
}
