//! The only way to a job: by queue and id, and only if the caller may see it.

use bulrush::model::{JobId, JobView};
use bulrush_catalog::Queue;

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::jobs::keys;
use crate::state::{Deps, State};

/// Length of what follows the prefix in a generated id.
const ULID_LEN: usize = 26;

/// A queue by its name or an alias.
pub fn find_queue<'s>(state: &'s State, name: &str) -> Result<&'s Queue, Problem> {
    state.shared.catalog.find(name).map_err(|unknown| {
        let could_be =
            |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b':');
        if (1..=63).contains(&name.len()) && name.bytes().all(could_be) {
            return unknown.into();
        }
        Problem::unprocessable(
            "invalid_queue_name",
            format!(
                "A queue's name has 1 to 63 of a-z, 0-9, '-' and '_'; queues are {}.",
                unknown.known.join(", ")
            ),
        )
        .with("queues", serde_json::json!(unknown.known))
    })
}

/// A job of one queue by its id, or by the name that the caller gave it.
pub async fn find_in(
    deps: &Deps,
    principal: &Principal,
    queue: &Queue,
    asked: &str,
) -> Result<Option<JobView>, Problem> {
    let mut ids = Vec::with_capacity(2);
    ids.extend(JobId::new(asked).ok());
    if asked.len() <= 200 {
        ids.push(keys::client_job_id(queue.entry().prefix, &principal.owner, asked));
    }
    let found = deps.inspect.get(queue.name(), &ids).await?;
    Ok(found.into_iter().flatten().find(|job| principal.sees(job)))
}

/// A job of any queue. A generated id tells its queue; any other is looked for in all of them.
pub async fn find_anywhere<'s>(
    state: &'s State,
    deps: &Deps,
    principal: &Principal,
    asked: &str,
) -> Result<Option<(&'s Queue, JobView)>, Problem> {
    let catalog = &state.shared.catalog;
    let by_prefix = JobId::new(asked).ok().and_then(|id| catalog.of_id(&id));
    if let Some(queue) = by_prefix
        && asked.len() == queue.entry().prefix.len() + 1 + ULID_LEN
    {
        return Ok(find_in(deps, principal, queue, asked).await?.map(|job| (queue, job)));
    }
    let searches = catalog.queues().iter().map(|queue| async move {
        find_in(deps, principal, queue, asked).await.map(|found| found.map(|job| (queue, job)))
    });
    Ok(futures_util::future::try_join_all(searches).await?.into_iter().flatten().next())
}
