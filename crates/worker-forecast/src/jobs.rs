//! The list of all jobs that this worker runs.

use bulrush_catalog::jobs::{Optimize, RunForecast};
use bulrush_service::Served;

use crate::{Dependencies, forecast, optimize};

/// Every queue that this worker runs. A queue that is not here is left to whoever has processors for it: its jobs wait.
pub(crate) fn all(deps: &Dependencies) -> Vec<Served> {
    vec![forecasts(deps.clone()), optimizations(deps.clone())]
}

/// The queue runs one kind of job, so whatever name a job was added under, that kind is meant.
fn forecasts(deps: Dependencies) -> Served {
    Served::new("forecast")
        .under_any_name(move |payload: RunForecast, ctx| forecast::run(deps.clone(), payload, ctx))
}

fn optimizations(deps: Dependencies) -> Served {
    Served::new("optimization")
        .under_any_name(move |payload: Optimize, ctx| optimize::run(deps.clone(), payload, ctx))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bulrush_catalog::{Binary, Catalog};
    use bulrush_store::Store;

    use super::*;

    #[tokio::test]
    async fn each_kind_with_a_payload_type_is_in_the_list_and_no_queue_is_twice() {
        let served = all(&Dependencies::new(Store::open("sqlite::memory:").await.unwrap()));
        let queues: HashSet<_> = served.iter().map(Served::queue).collect();
        assert_eq!(queues.len(), served.len(), "a queue is twice in the list");

        let catalog = Catalog::default();
        for served in &served {
            let entry = catalog.find(served.queue()).unwrap().entry();
            assert_eq!(entry.binary, Binary::Forecast, "{} is another worker's", served.queue());
            let names: HashSet<_> = served.handlers().names().collect();
            let kinds: HashSet<_> = entry.jobs.iter().map(|kind| kind.name).collect();
            assert_eq!(names, kinds, "{}", served.queue());
        }
        for queue in catalog.of_binary(Binary::Forecast) {
            let has_payload_type = queue.entry().jobs.iter().any(|kind| kind.prepare.is_some());
            assert!(!has_payload_type || queues.contains(queue.entry().name), "nobody runs {}", queue.name());
        }
    }
}
