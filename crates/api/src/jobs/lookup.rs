//! The only way to a job: by queue and id, and only if the caller may see it.

use bulrush::model::{JobId, JobView};
use bulrush_catalog::Queue;

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::jobs::keys;
use crate::state::{Deps, State};

/// Length of what follows the prefix in a generated id.
const ULID_LEN: usize = 26;
/// Longest name that a client can give a job, bytes.
const NAME_MAX: usize = 200;

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
    let reader = &deps.desk(queue).reader;
    let id = JobId::new(asked).ok();
    let named = || {
        (asked.len() <= NAME_MAX).then(|| keys::client_job_id(queue.entry().prefix, &principal.owner, asked))
    };
    if let Some(id) = id.as_ref().filter(|id| is_generated(queue, id)) {
        // What has the form of an id that was made here nearly always is one.
        if let Some(job) = reader.get(principal.jobs(), vec![id.clone()]).await?.pop().flatten() {
            return Ok(Some(job));
        }
        let named: Vec<JobId> = named().into_iter().collect();
        return Ok(reader.get(principal.jobs(), named).await?.pop().flatten());
    }
    let ids: Vec<JobId> = id.into_iter().chain(named()).collect();
    if ids.is_empty() {
        return Ok(None);
    }
    Ok(reader.get(principal.jobs(), ids).await?.into_iter().flatten().next())
}

/// Whether an id has the form of those that are made for a queue.
fn is_generated(queue: &Queue, id: &JobId) -> bool {
    let prefix = queue.entry().prefix;
    id.prefix() == Some(prefix) && id.as_str().len() == prefix.len() + 1 + ULID_LEN
}

/// A job of any queue. A generated id tells its queue; any other is looked for in all of them.
pub async fn find_anywhere<'s>(
    state: &'s State,
    deps: &Deps,
    principal: &Principal,
    asked: &str,
) -> Result<Option<(&'s Queue, JobView)>, Problem> {
    let catalog = &state.shared.catalog;
    let told =
        JobId::new(asked).ok().and_then(|id| catalog.of_id(&id).filter(|queue| is_generated(queue, &id)));
    if let Some(queue) = told {
        return Ok(find_in(deps, principal, queue, asked).await?.map(|job| (queue, job)));
    }
    let searches = catalog.queues().iter().map(|queue| async move {
        find_in(deps, principal, queue, asked).await.map(|found| found.map(|job| (queue, job)))
    });
    Ok(futures_util::future::try_join_all(searches).await?.into_iter().flatten().next())
}
