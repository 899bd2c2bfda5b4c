//! Events that nobody has read in time: the jobs that have ended since are still there, as long as they are kept.

use std::collections::HashSet;

use bulrush::model::{JobId, JobState, JobView, PageRequest};
use bulrush_catalog::Queue;
use bulrush_catalog::jobs::WebhookEvent;

use super::error::RelayError;
use crate::Dependencies;

/// Jobs of a page: each may carry a megabyte.
const PAGE: usize = 50;
/// How much longer ago a job may have ended than the last event that was read, ms: changes of one moment come in no order.
const MOMENT_MS: u64 = 1_000;

/// The states in which a job has ended, as webhooks are told of them.
const ENDS: [(JobState, WebhookEvent); 3] = [
    (JobState::Completed, WebhookEvent::Completed),
    (JobState::Failed, WebhookEvent::Failed),
    (JobState::Cancelled, WebhookEvent::Cancelled),
];

/// How a job has ended, and when, ms since 1970; none of one that has not.
pub(super) fn end_of(job: &JobView) -> Option<(WebhookEvent, i64)> {
    let event = ENDS.iter().find_map(|(state, event)| (*state == job.state()).then_some(*event))?;
    Some((event, i64::try_from(job.status.finished_on?).unwrap_or(i64::MAX)))
}

/// Calls `with` for each job of a queue that has ended since `since_ms` and is kept, in no order, each once.
pub(super) async fn each_ended_since(
    deps: &Dependencies,
    queue: &Queue,
    since_ms: i64,
    mut with: impl FnMut(&JobView),
) -> Result<(), RelayError> {
    let since = u64::try_from(since_ms).unwrap_or(0).saturating_sub(MOMENT_MS);
    let mut seen: HashSet<JobId> = HashSet::new();
    for (state, _) in ENDS {
        let mut cursor = None;
        loop {
            let request = PageRequest {
                state: Some(state),
                cursor: cursor.take(),
                limit: PAGE,
                ..PageRequest::default()
            };
            let page = deps.backend.page(queue.name(), request).await?;
            // The last to end come first.
            let older = page.jobs.iter().any(|job| job.status.finished_on.is_some_and(|at| at < since));
            let ended = page.jobs.iter().filter(|job| {
                job.spec.owner.is_some() && job.status.finished_on.is_some_and(|at| at >= since)
            });
            for job in ended {
                if seen.insert(job.id().clone()) {
                    with(job);
                }
            }
            match page.next {
                Some(next) if !older => cursor = Some(next),
                _ => break,
            }
        }
    }
    Ok(())
}
