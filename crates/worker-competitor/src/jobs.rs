//! The list of all jobs that this worker runs.

use bulrush::Handlers;
use bulrush_catalog::jobs::ScrapePrices;
use bulrush_service::Served;

use crate::Dependencies;
use crate::scrape;

/// Every queue that this worker runs. A queue that is not here is left to whoever has processors for it: its jobs wait.
pub(crate) fn all(deps: &Dependencies) -> Vec<Served> {
    vec![competitor(deps.clone())]
}

/// The queue runs one kind of job, so whatever name a job was added under, that kind is meant.
fn competitor(deps: Dependencies) -> Served {
    Served::new("competitor")
        .under_any_name(move |payload: ScrapePrices, ctx| scrape::run(deps.clone(), payload, ctx))
}

/// The handlers of the queue `competitor`. Nothing follows the jobs that they run.
pub fn handlers(deps: Dependencies) -> Handlers {
    competitor(deps).handlers().clone()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bulrush_catalog::{Binary, Catalog};
    use bulrush_outbound::OutboundPolicy;
    use bulrush_store::Store;
    use bulrush_upstream::fetch::{FetchOptions, Fetcher};

    use super::*;

    #[tokio::test]
    async fn each_kind_with_a_payload_type_is_in_the_list_and_no_queue_is_twice() {
        let store = Store::open("sqlite::memory:").await.unwrap();
        let fetcher = Fetcher::new(OutboundPolicy::default(), FetchOptions::default()).unwrap();
        let deps = Dependencies::new(store, fetcher);
        let served = all(&deps);
        let queues: HashSet<_> = served.iter().map(Served::queue).collect();
        assert_eq!(queues.len(), served.len(), "a queue is twice in the list");

        let catalog = Catalog::default();
        for served in &served {
            let entry = catalog.find(served.queue()).unwrap().entry();
            assert_eq!(entry.binary, Binary::Competitor, "{} is another worker's", served.queue());
            let names: HashSet<_> = served.handlers().names().collect();
            let kinds: HashSet<_> = entry.jobs.iter().map(|kind| kind.name).collect();
            assert_eq!(names, kinds, "{}", served.queue());
        }
        for queue in catalog.of_binary(Binary::Competitor) {
            let has_payload_type = queue.entry().jobs.iter().any(|kind| kind.prepare.is_some());
            assert!(!has_payload_type || queues.contains(queue.entry().name), "nobody runs {}", queue.name());
        }
    }
}
