//! What follows a job: the jobs that the catalogue declares, added together with the completion of the one before.

use std::sync::{Arc, OnceLock};

use bulrush::{Client, Context, Job, Queue};
use bulrush_catalog::{Catalog, FollowUp};

/// What follows the jobs of one queue, by kind. Empty until its worker starts.
#[derive(Clone, Default)]
pub(crate) struct Chain(Arc<OnceLock<Vec<Step>>>);

/// One job that follows.
struct Step {
    after: &'static str,
    next: &'static FollowUp,
    queue: Queue,
}

impl Chain {
    /// Learns what follows the jobs of `queue`.
    pub fn fill(&self, client: &Client, catalog: &Catalog, queue: &bulrush_catalog::Queue) {
        let steps = queue.entry().jobs.iter().flat_map(|kind| {
            catalog.follow_ups(queue, kind).map(|(next, target)| Step {
                after: kind.name,
                next,
                queue: client.queue_with(target.name().clone(), target.options()),
            })
        });
        // Whoever started a worker with it before has filled it with the same.
        let _ = self.0.set(steps.collect());
    }

    /// Has what is declared follow the job of `context`, if its handler succeeds, as it has with `result`.
    pub fn follow<J: Job>(&self, context: &Context, result: &J::Output) {
        let steps = self.0.get().into_iter().flatten().filter(|step| step.after == J::NAME);
        let mut json: Option<Vec<u8>> = None;
        for Step { next, queue, .. } in steps {
            let result = match &json {
                Some(json) => json,
                None => match serde_json::to_vec(result) {
                    Ok(bytes) => json.insert(bytes),
                    // The worker says so when it keeps the result.
                    Err(_) => return,
                },
            };
            match (next.make)(&context.spec().data, result) {
                Ok(Some(payload)) => context.follow_up(queue, next.name, queue.job(next.name, payload)),
                Ok(None) => {}
                // The work of this job is done, whatever comes of the next.
                Err(error) => {
                    tracing::error!(job = %context.id(), next = next.name, %error, "the payload of a follow-up cannot be made");
                    context
                        .log(format!("{} does not follow: its payload cannot be made: {error}", next.name));
                }
            }
        }
    }
}
