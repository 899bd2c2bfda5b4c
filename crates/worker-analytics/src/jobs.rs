//! The list of all jobs that this worker runs.

use bulrush_catalog::jobs::{Aggregate, Analyze, DeliverWebhook, Export, deliver_webhook};
use bulrush_service::Served;
use bulrush_upstream::webhook::WebhookClient;

use crate::{Dependencies, aggregate, analyze, export, webhook};

/// Every queue that this worker runs. A queue that is not here is left to whoever has processors for it: its jobs wait.
pub(crate) fn all(deps: &Dependencies) -> Vec<Served> {
    let mut served = vec![exports(deps.clone()), aggregations(deps.clone()), analyses(deps.clone())];
    if let Some(client) = &deps.webhooks {
        served.push(deliveries(deps.clone(), client.clone()));
    }
    served
}

/// The queue runs one kind of job, so whatever name a job was added under, that kind is meant.
fn exports(deps: Dependencies) -> Served {
    Served::new("export").under_any_name(move |payload: Export, ctx| export::run(deps.clone(), payload, ctx))
}

fn aggregations(deps: Dependencies) -> Served {
    Served::new("aggregation")
        .under_any_name(move |payload: Aggregate, ctx| aggregate::run(deps.clone(), payload, ctx))
}

/// One kind of job here too: what follows an enrichment is called `summary`.
fn analyses(deps: Dependencies) -> Served {
    Served::new("analytics-heavy")
        .under_any_name(move |payload: Analyze, ctx| analyze::run(deps.clone(), payload, ctx))
}

fn deliveries(deps: Dependencies, client: WebhookClient) -> Served {
    Served::new(deliver_webhook::QUEUE).under_any_name(move |payload: DeliverWebhook, ctx| {
        webhook::run(deps.clone(), client.clone(), payload, ctx)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bulrush_catalog::{Binary, Catalog};
    use bulrush_outbound::OutboundPolicy;
    use bulrush_store::{Objects, Store};
    use bulrush_upstream::fetch::FetchOptions;

    use super::*;

    #[tokio::test]
    async fn each_kind_with_a_payload_type_is_in_the_list_and_no_queue_is_twice() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("sqlite::memory:").await.unwrap();
        let client = WebhookClient::new(OutboundPolicy::default(), FetchOptions::default()).unwrap();
        let deps =
            Dependencies::new(store, Objects::open(folder.path()).await.unwrap()).with_webhooks(client, None);
        let served = all(&deps);
        let queues: HashSet<_> = served.iter().map(Served::queue).collect();
        assert_eq!(queues.len(), served.len(), "a queue is twice in the list");

        let catalog = Catalog::default();
        for served in &served {
            let entry = catalog.find(served.queue()).unwrap().entry();
            assert_eq!(entry.binary, Binary::Analytics, "{} is another worker's", served.queue());
            let names: HashSet<_> = served.handlers().names().collect();
            let kinds: HashSet<_> = entry.jobs.iter().map(|kind| kind.name).collect();
            assert_eq!(names, kinds, "{}", served.queue());
        }
        for queue in catalog.of_binary(Binary::Analytics) {
            let has_payload_type = queue.entry().jobs.iter().any(|kind| kind.prepare.is_some());
            assert!(!has_payload_type || queues.contains(queue.entry().name), "nobody runs {}", queue.name());
        }
    }
}
