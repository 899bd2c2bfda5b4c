//! Reading jobs by id, many readers in one call.

use std::sync::Arc;

use crate::coalesce::{Batches, Coalescer};
use crate::model::{JobId, JobView, QueueName, Scope};
use crate::port::{Inspect, Result};

/// Reads jobs of one queue by id; reads that come while a call is under way share the next one. Cheap to clone.
#[derive(Clone)]
pub struct Reader(Arc<Coalescer<Reads>>);

struct Reads {
    name: QueueName,
    inspect: Arc<dyn Inspect>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("queue", &self.0.batches().name).finish_non_exhaustive()
    }
}

impl Reader {
    /// A reader of one queue.
    pub fn new(inspect: Arc<dyn Inspect>, name: QueueName) -> Self {
        Self(Arc::new(Coalescer::new(Reads { name, inspect })))
    }

    /// Jobs by id, in the order asked; none for those that are unknown or outside `scope`.
    ///
    /// # Errors
    /// A backend that did not answer, or more ids than a call takes.
    pub async fn get(&self, scope: Scope, ids: Vec<JobId>) -> Result<Vec<Option<JobView>>> {
        self.0.ask((scope, ids)).await
    }
}

impl Batches for Reads {
    type Ask = (Scope, Vec<JobId>);
    type Answer = Vec<Option<JobView>>;

    fn load((_, ids): &Self::Ask) -> (usize, usize) {
        (ids.len(), 0)
    }

    async fn carry_out(&self, asks: Vec<Self::Ask>) -> Vec<Result<Self::Answer>> {
        let ids: Vec<JobId> = asks.iter().flat_map(|(_, ids)| ids.iter().cloned()).collect();
        let found = match self.inspect.get(&self.name, &ids).await {
            Ok(found) => found,
            Err(error) => return vec![Err(error); asks.len()],
        };
        let mut found = found.into_iter();
        let answers = asks.into_iter().map(|(scope, ids)| {
            // Each caller gets what it asked for and may see: the scope is applied where the answers are told apart.
            let own = found.by_ref().take(ids.len());
            Ok(own.map(|job| job.filter(|job| scope.admits(job.spec.owner.as_deref()))).collect())
        });
        answers.collect()
    }
}
