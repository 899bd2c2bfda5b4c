//! What follows a job: the next job, and how its payload comes from the payload and the result of the one before.
//!
//! A kind of job names what follows its completion ([`crate::JobKind::follow_ups`]). Whoever runs it adds these jobs together with the
//! completion: both happen or neither. What follows into a queue whose job has a processor does so by default; an operator may have nothing
//! follow a queue, or everything, for a processor of one's own ([`FollowUps`]).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A job that follows another.
#[derive(Debug, Clone, Copy)]
pub struct FollowUp {
    /// The queue of the next job.
    pub queue: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// The name under which it is added. It tells the follow-ups of one job apart.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub about: &'static str,
    /// Its payload.
    pub make: MakePayload,
}

/// From the payload and the result of a job, as JSON, to the payload of the next; none: nothing follows this time.
pub type MakePayload = fn(&[u8], &[u8]) -> Result<Option<Vec<u8>>, serde_json::Error>;

/// What follows the jobs of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FollowUps {
    /// What the platform has a processor for: other jobs would wait for nobody.
    #[default]
    Processed,
    /// Everything that is declared.
    All,
    /// Nothing.
    Nothing,
}

/// Makes a payload by types: what a [`MakePayload`] is made of.
///
/// # Errors
/// A payload or a result that does not fit its type.
pub fn mapped<J: bulrush::Job, P: Serialize>(
    payload: &[u8],
    result: &[u8],
    map: impl FnOnce(J, J::Output) -> Option<P>,
) -> Result<Option<Vec<u8>>, serde_json::Error>
where
    J::Output: DeserializeOwned,
{
    let (payload, result) = (serde_json::from_slice(payload)?, serde_json::from_slice(result)?);
    map(payload, result).map(|next| serde_json::to_vec(&next)).transpose()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::{Catalog, JobKind, Queue};

    fn all(catalog: &Catalog) -> Vec<(&Queue, &'static JobKind)> {
        catalog
            .queues()
            .iter()
            .flat_map(|queue| queue.entry().jobs.iter().map(move |kind| (queue, kind)))
            .collect()
    }

    #[test]
    fn every_job_that_follows_is_there_and_none_follows_itself_in_the_end() {
        let catalog = Catalog::default();
        for (queue, kind) in all(&catalog) {
            let names: BTreeSet<_> = kind.follow_ups.iter().map(|next| next.name).collect();
            assert_eq!(names.len(), kind.follow_ups.len(), "two follow-ups of {} share a name", kind.name);
            for next in kind.follow_ups {
                let target = catalog.find(next.queue).expect("a queue of the catalogue");
                assert!(target.entry().jobs.iter().any(|known| known.name == next.kind), "{next:?}");
                assert!(target.job(Some(next.name), next.queue).is_ok(), "{next:?}");
                assert!(next.about.ends_with('.'), "{next:?}");
            }
            let (mut reached, mut open) = (BTreeSet::new(), vec![(queue.entry().name, kind.name)]);
            while let Some((at, name)) = open.pop() {
                let kinds = catalog.find(at).expect("checked above").entry().jobs;
                for next in kinds.iter().filter(|known| known.name == name).flat_map(|known| known.follow_ups)
                {
                    assert_ne!((next.queue, next.kind), (queue.entry().name, kind.name), "a circle");
                    if reached.insert((next.queue, next.kind)) {
                        open.push((next.queue, next.kind));
                    }
                }
            }
        }
    }

    #[test]
    fn what_nobody_runs_follows_on_request_alone() {
        let follows = |settings: &[(&str, &str)]| {
            let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let catalog = Catalog::with_settings(settings).expect("good settings");
            let enrichment = catalog.find("enrichment").expect("a queue");
            let kind = &enrichment.entry().jobs[0];
            let next = catalog
                .follow_ups(enrichment, kind)
                .map(|(next, queue)| (next.name, queue.name().to_string()));
            next.collect::<Vec<_>>()
        };
        let has_processor = {
            let catalog = Catalog::default();
            let heavy = catalog.find("analytics-heavy").expect("a queue").entry();
            heavy.jobs.iter().any(|kind| kind.prepare.is_some())
        };
        let summary = vec![("summary", "analytics-heavy".to_owned())];
        assert_eq!(follows(&[]), if has_processor { summary.clone() } else { Vec::new() });
        assert_eq!(follows(&[("BULRUSH_QUEUE_ENRICHMENT_FOLLOW_UPS", "on")]), summary);
        assert_eq!(follows(&[("BULRUSH_QUEUE_ENRICHMENT_FOLLOW_UPS", "off")]), []);
    }
}
