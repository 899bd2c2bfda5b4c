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

/// Of a job that is settled this backend takes the outcome alone. (Redis keeps the record that the worker sends, which costs its server
/// less: there a worker is trusted with the jobs it holds.)
#[tokio::test]
async fn a_settle_with_a_foreign_spec_or_run_cannot_change_the_job() {
    let rig = rig().await;
    rig.add(suite::job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    for run in [0, taken.token.run + 1] {
        let token = bulrush::model::Token { run, ..taken.token };
        let forged = Arc::new(bulrush::model::Taken { token, ..(*taken).clone() });
        assert_eq!(hand.settle(&forged, suite::complete()).await, bulrush::port::Settled::Stale);
    }
    let spec = Arc::new(bulrush::model::Spec { data: "[666]".into(), attempts: 99, ..(*taken.spec).clone() });
    let forged = Arc::new(bulrush::model::Taken { spec, attempt: 50, ..(*taken).clone() });
    hand.end(&forged, suite::complete()).await;
    let job = rig.job("a").await;
    assert_eq!((job.status.attempts_made, job.spec.attempts), (1, taken.spec.attempts));
    assert_eq!(job.spec.data, "{}");
}
