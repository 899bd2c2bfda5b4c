//! The conformance suite on the backend in memory.

#[macro_use]
mod suite;

use std::sync::Arc;
use std::time::Duration;

use bulrush::backend::connect_with;
use suite::Rig;

async fn rig() -> Rig {
    Rig::open(|clock| {
        Box::pin(async { connect_with("memory:", clock).await.expect("memory can always be had") })
    })
    .await
}

conformance_suite!(rig);

/// Nothing that the suite holds other backends to may be taken for granted here: the queue it gets is empty and alone.
#[tokio::test]
async fn two_rigs_share_nothing() {
    let (one, two) = (rig().await, rig().await);
    one.add(suite::job("a")).await;
    assert!(Arc::strong_count(&one.backend) >= 1);
    assert_eq!(two.info().await.counts.total(), 0);
}

/// Who waits for a queue and who makes it come at the same moment, on threads of their own, again and again: no wake is missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_queue_that_is_made_while_others_begin_to_wait_for_it_wakes_them_all() {
    let rig = rig().await;
    let forever = rig.now() + 60_000;
    for round in 0..500 {
        let queue = rig.queue(&format!("queue-{round}"));
        let start = Arc::new(tokio::sync::Barrier::new(4));
        let mut waits = Vec::new();
        for _ in 0..2 {
            let (queue, start) = (queue.clone(), start.clone());
            waits.push(tokio::spawn(async move {
                start.wait().await;
                let page = queue.backend.events(&queue.name, 0, 10, Duration::from_mins(10)).await;
                assert!(!page.expect("events can be read").events.is_empty());
            }));
        }
        waits.push(tokio::spawn({
            let (queue, start) = (queue.clone(), start.clone());
            async move {
                start.wait().await;
                queue.backend.wait(&queue.name, forever).await.expect("it can wait");
            }
        }));
        start.wait().await;
        queue.add(suite::job("a")).await;
        for wait in waits {
            let ended = tokio::time::timeout(Duration::from_secs(20), wait).await;
            ended.expect("it is woken").expect("it does not panic");
        }
    }
}
