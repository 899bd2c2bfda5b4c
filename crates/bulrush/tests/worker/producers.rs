//! The producer's side: shared calls, lost answers, waiting for an end.

use std::time::Duration;

use bulrush::model::{JobId, JobState, QueueName};
use bulrush::port::{AddOutcome, Error};
use bulrush::{Handlers, QueueOptions, Worker};
use futures_util::future::join_all;

use super::support::{Double, Rig, eventually, holds, quick, soon, unreachable};

#[tokio::test]
async fn concurrent_adds_share_calls() {
    let rig = Rig::new().await;
    let queue = rig.queue("adds");
    let gate = rig.probe.hold("add");
    let adds = (0..64).map(|n| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.push(&Double(n)).await })
    });
    let adds: Vec<_> = adds.collect();
    holds("the first call", || rig.probe.calls("add") == 1).await;
    gate.add_permits(1_000);
    for add in join_all(adds).await {
        assert!(add.expect("no panic").expect("it can be added").is_new());
    }
    assert_eq!(queue.info().await.expect("readable").counts.waiting, 64);
    assert!(rig.probe.calls("add") <= 3, "{} calls", rig.probe.calls("add"));
}

#[tokio::test]
async fn a_job_that_is_refused_takes_no_other_of_its_call_with_it() {
    let rig = Rig::new().await;
    let queue = rig.queue("adds");
    let gate = rig.probe.hold("add");
    let adds = (0..10_u32).map(|n| {
        let queue = queue.clone();
        let attempts = if n == 5 { 0 } else { 3 };
        tokio::spawn(async move { queue.add(queue.job("x", "1").attempts(attempts)).await })
    });
    let adds: Vec<_> = adds.collect();
    holds("the first call", || rig.probe.calls("add") == 1).await;
    gate.add_permits(1_000);
    for (n, add) in join_all(adds).await.into_iter().enumerate() {
        match add.expect("no panic") {
            Ok(added) => assert!(n != 5 && added.is_new()),
            Err(error) => assert!(n == 5 && matches!(error, Error::Check(_)), "{n}: {error}"),
        }
    }
    assert_eq!(queue.info().await.expect("readable").counts.waiting, 9);
}

#[tokio::test]
async fn a_caller_that_stops_waiting_loses_neither_its_job_nor_those_of_others() {
    let rig = Rig::new().await;
    let queue = rig.queue("adds");
    let gate = rig.probe.hold("add");
    let leader = tokio::spawn({
        let queue = queue.clone();
        async move { queue.push(&Double(1)).await }
    });
    holds("the first call", || rig.probe.calls("add") == 1).await;
    let follower = tokio::spawn({
        let queue = queue.clone();
        async move { queue.push(&Double(2)).await }
    });
    tokio::task::yield_now().await;
    leader.abort();
    gate.add_permits(1_000);
    assert!(soon("the follower's answer", follower).await.expect("no panic").expect("added").is_new());
    eventually("both jobs", async || {
        let waiting = queue.info().await.expect("readable").counts.waiting;
        if waiting == 2 { Ok(()) } else { Err(waiting.to_string()) }
    })
    .await;
}

/// Whoever is to carry the next call may be gone by then.
#[tokio::test]
async fn a_call_goes_to_whoever_still_waits_and_takes_along_what_others_asked_for() {
    let rig = Rig::new().await;
    let queue = rig.queue("adds");
    let gate = rig.probe.hold("add");
    let push = |n: u64| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.push(&Double(n)).await })
    };
    let first = push(1);
    holds("the first call", || rig.probe.calls("add") == 1).await;
    let (gone, waits) = (push(2), push(3));
    tokio::task::yield_now().await;
    gone.abort();
    assert!(gone.await.expect_err("it was stopped").is_cancelled());
    gate.add_permits(1_000);
    for caller in [first, waits] {
        assert!(soon("an answer", caller).await.expect("no panic").expect("added").is_new());
    }
    let waiting = queue.info().await.expect("readable").counts.waiting;
    assert_eq!((waiting, rig.probe.calls("add")), (3, 2), "the job of the one that left went along");
}

/// Nobody waits any more, and what was asked for goes out all the same.
#[tokio::test]
async fn jobs_whose_callers_have_all_left_are_added() {
    let rig = Rig::new().await;
    let queue = rig.queue("adds");
    let gate = rig.probe.hold("add");
    let push = |n: u64| {
        let queue = queue.clone();
        tokio::spawn(async move { queue.push(&Double(n)).await })
    };
    let first = push(1);
    holds("the first call", || rig.probe.calls("add") == 1).await;
    let others = [push(2), push(3)];
    tokio::task::yield_now().await;
    for caller in others {
        caller.abort();
        assert!(caller.await.is_err());
    }
    gate.add_permits(1_000);
    assert!(soon("an answer", first).await.expect("no panic").expect("added").is_new());
    eventually("all three", async || {
        let waiting = queue.info().await.expect("readable").counts.waiting;
        if waiting == 3 { Ok(()) } else { Err(waiting.to_string()) }
    })
    .await;
}

/// A queue outlives the runtime that carried its call.
#[test]
fn a_call_that_went_down_with_its_runtime_does_not_hold_up_the_next_one() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (first, second) = (runtime(), runtime());
    let (rig, queue, gate) = first.block_on(async {
        let rig = Rig::new().await;
        let queue = rig.queue("adds");
        let gate = rig.probe.hold("add");
        let leader = tokio::spawn({
            let queue = queue.clone();
            async move { queue.push(&Double(1)).await }
        });
        holds("the first call", || rig.probe.calls("add") == 1).await;
        leader.abort();
        tokio::task::yield_now().await;
        (rig, queue, gate)
    });
    // Somebody on another runtime came meanwhile and waits for the call that goes down.
    let follower = second.spawn({
        let queue = queue.clone();
        async move { queue.push(&Double(2)).await }
    });
    second.block_on(tokio::task::yield_now());
    drop(first);
    gate.add_permits(1_000);
    second.block_on(async {
        // Its own job was not in that call; it goes out with the next one, which it carries itself.
        assert!(soon("an answer", follower).await.expect("no panic").expect("added").is_new());
        assert!(soon("the next add", queue.push(&Double(3))).await.expect("added").is_new());
    });
    drop(rig);
}

#[tokio::test]
async fn an_add_whose_answer_is_lost_is_repeated_and_adds_one_job() {
    let rig = Rig::new().await;
    let queue = rig.queue("adds");
    rig.probe.lose("add");
    rig.probe.fail("add", unreachable());
    let added = queue.push(&Double(1)).await.expect("it can be added");
    assert_eq!(queue.info().await.expect("readable").counts.waiting, 1);
    assert!(queue.get(&added.id).await.expect("readable").is_some());
    assert_eq!(rig.probe.calls("add"), 3);
}

#[tokio::test]
async fn large_batches_are_split_and_answered_in_order() {
    let rig = Rig::new().await;
    let queue = rig.queue("adds");
    let ids: Vec<JobId> = (0..2_500).map(|n| JobId::new(&format!("job-{n}")).expect("a good id")).collect();
    let jobs = ids.iter().map(|id| queue.job_with_id(id.clone(), "x", "1")).collect();
    let added = queue.add_bulk(jobs).await.expect("they can be added");
    assert!(added.iter().map(|added| &added.id).eq(&ids));
    assert_eq!(rig.probe.calls("add"), 3);
    let again = queue.add_bulk(vec![queue.job_with_id(ids[7].clone(), "x", "1")]).await.expect("an answer");
    assert_eq!(again[0].outcome, AddOutcome::SameId { state: JobState::Waiting });
    // By bytes: three payloads of 1.5 MB do not go in one call of 4 MiB.
    let queue = rig.configured("large", |config| config.bounds.data_bytes = 2 << 20).await;
    let before = rig.probe.calls("add");
    let jobs = (0..3).map(|_| queue.job("x", "1".repeat(1_500_000))).collect();
    queue.add_bulk(jobs).await.expect("they can be added");
    assert_eq!(rig.probe.calls("add") - before, 2);
}

#[tokio::test]
async fn a_queue_gives_its_jobs_their_defaults_and_the_first_call_for_a_name_decides() {
    let rig = Rig::new().await;
    let name = QueueName::new("reports").expect("a good name");
    let options = QueueOptions {
        prefix: "rep".into(),
        attempts: 7,
        timeout_ms: Some(5_000),
        ..QueueOptions::default()
    };
    let queue = rig.client.queue_with(name.clone(), options);
    let job = queue.job("x", "1");
    assert_eq!((job.spec.attempts, job.spec.timeout_ms), (7, Some(5_000)));
    assert_eq!(job.spec.id.prefix(), Some("rep"));
    let other = rig.client.queue_with(name, QueueOptions::default());
    assert_eq!(other.job("x", "1").spec.attempts, 7);
    assert!(matches!(rig.client.queue("a:b"), Err(Error::Name(_))));
    assert_eq!(queue.derived_id(&job.spec.id, "a"), queue.derived_id(&job.spec.id, "a"));
}

#[tokio::test]
async fn waiting_for_an_end_ends_with_it_with_the_time_or_at_once_for_a_stranger() {
    let rig = Rig::new().await;
    let (queue, silent) = (rig.queue("ends"), rig.configured("silent", |config| config.events_max = 0).await);
    for queue in [&queue, &silent] {
        let stranger = JobId::new("nobody").expect("a good id");
        assert_eq!(queue.wait_finished(&stranger, Duration::from_mins(1)).await.expect("an answer"), None);
        let id = queue.push(&Double(1)).await.expect("it can be added").id;
        let job =
            queue.wait_finished(&id, Duration::from_millis(20)).await.expect("an answer").expect("kept");
        assert_eq!(job.state(), JobState::Waiting);
        let handlers = Handlers::new().on(|Double(n), _| async move { Ok(n) });
        let wait = tokio::spawn({
            let (queue, id) = (queue.clone(), id.clone());
            async move { queue.wait_finished(&id, Duration::from_mins(1)).await }
        });
        let worker = Worker::start(queue, handlers, quick(1));
        let job = soon("the end", wait).await.expect("no panic").expect("an answer").expect("kept");
        assert!(job.has_ended());
        worker.shutdown().await;
    }
}

/// Others' events do not keep anybody waiting beyond the time given.
#[tokio::test]
async fn waiting_for_an_end_ends_in_time_in_a_busy_queue() {
    let rig = Rig::new().await;
    let queue = rig.queue("busy");
    let id = queue.add(queue.job("x", "1").delay_ms(3_600_000)).await.expect("it can be added").id;
    let noise = tokio::spawn({
        let queue = queue.clone();
        async move {
            loop {
                queue.push(&Double(1)).await.expect("it can be added");
                tokio::task::yield_now().await;
            }
        }
    });
    let job = soon("an answer", queue.wait_finished(&id, Duration::from_millis(50))).await;
    assert_eq!(job.expect("an answer").expect("kept").state(), JobState::Delayed);
    noise.abort();
}
