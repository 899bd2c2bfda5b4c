//! Waiting for queues that nobody has made.

use super::*;
use crate::clock::ManualClock;
use crate::port::{Inspect, Work};

fn embedded() -> Embedded {
    Embedded::memory(Arc::new(ManualClock::at(1_000)))
}

fn name(text: &str) -> QueueName {
    QueueName::new(text).unwrap()
}

/// Polls a future that cannot be over yet.
fn begin<F: Future + Unpin>(future: &mut F) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(std::pin::Pin::new(future).poll(&mut context).is_pending());
}

#[tokio::test]
async fn who_waited_for_queues_that_never_came_leaves_nothing_behind() {
    let embedded = embedded();
    for n in 0..100 {
        let probed = name(&format!("probe-{n}"));
        embedded.events(&probed, 0, 10, Duration::ZERO).await.unwrap();
        embedded.events(&probed, 7, 10, Duration::from_mins(1)).await.unwrap();
        embedded.wait(&probed, 0).await.unwrap();
        let mut waits = [embedded.wait(&probed, 9_000), embedded.wait(&probed, 9_000)];
        waits.iter_mut().for_each(begin);
        let mut reader = embedded.events(&probed, 0, 10, Duration::from_mins(1));
        begin(&mut reader);
        assert_eq!(embedded.awaited.len(), 1);
        // They give up, one after the other.
        drop(reader);
        drop(waits);
        assert_eq!(embedded.awaited.len(), 0);
    }
    assert_eq!(embedded.queues().await.unwrap(), []);
}

#[tokio::test]
async fn who_waits_while_a_queue_is_made_waits_at_its_own_bells() {
    let (embedded, queue) = (embedded(), name("later"));
    let mut waits = [embedded.wait(&queue, 9_000), embedded.wait(&queue, 9_000)];
    waits.iter_mut().for_each(begin);
    embedded.configure(&queue, QueueConfig::default()).await.unwrap();
    assert_eq!(embedded.awaited.len(), 0);
    let bells = embedded.find(&queue).unwrap().bells.clone();
    assert_eq!(bells.idle.load(Ordering::Acquire), 2);
    drop(waits);
    assert_eq!(bells.idle.load(Ordering::Acquire), 0);
}
