//! Taking: who is woken and when, in what order, how many at once; and that a worker without work is silent.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bulrush::clock::TokioClock;
use bulrush::model::{JobState, QueueConfig};
use bulrush::{Handlers, Worker, WorkerOptions};
use tokio::sync::{Barrier, Notify};

use super::support::{Rig, START, assert_sound, eventually, holds, quick, soon, until};

#[tokio::test(start_paused = true)]
async fn a_worker_without_work_makes_no_calls_but_its_wait_and_its_renewals() {
    let rig = Rig::in_memory().await;
    let queue = rig.queue("idle");
    let options =
        WorkerOptions { renew_on_clock: Some(Arc::new(TokioClock::starting_at(START))), ..quick(4) };
    let worker = Worker::start(&queue, Handlers::new().otherwise_raw(|_| async { Ok(None) }), options);
    holds("the wait", || rig.probe.calls("wait") == 1).await;
    let before = rig.probe.calls_but(&["wait", "renew"]);
    // Ten minutes of the runtime's clock; the backend's stands still, so its wait does not end.
    holds("two hundred renewals", {
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        move || tokio::time::Instant::now() >= end
    })
    .await;
    assert!(rig.probe.calls("renew") >= 5);
    assert_eq!(rig.probe.calls_but(&["wait", "renew"]), before);
    // A minute of the backend's own: the wait is bounded, and looks once.
    rig.advance(60_000);
    holds("the next wait", || rig.probe.calls("wait") == 2).await;
    assert_eq!(rig.probe.calls_but(&["wait", "renew"]), before + 1);
    worker.shutdown().await;
}

/// Each handler waits for the others, so all of them must run at once: on both workers.
#[tokio::test]
async fn a_burst_wakes_every_idle_worker_that_is_needed() {
    for _ in 0..20 {
        let rig = Rig::manual().await;
        let queue = rig.queue("burst");
        let all = Arc::new(Barrier::new(8));
        let handlers = Handlers::new().otherwise_raw({
            let all = all.clone();
            move |_| {
                let all = all.clone();
                async move {
                    all.wait().await;
                    Ok(None)
                }
            }
        });
        let workers = [2, 3, 3].map(|slots| Worker::start(&queue, handlers.clone(), quick(slots)));
        holds("three waits", || rig.probe.calls("wait") == 3).await;
        let jobs = (0..8).map(|_| queue.job("x", "1")).collect();
        for added in queue.add_bulk(jobs).await.expect("they can be added") {
            until(&queue, &added.id, JobState::Completed).await;
        }
        for worker in workers {
            worker.stop().await;
        }
        assert_sound(&queue).await;
    }
}

/// A worker that has become full must not swallow the word of new work while another one is idle.
#[tokio::test]
async fn a_full_worker_leaves_the_word_of_new_work_to_an_idle_one() {
    for _ in 0..20 {
        let rig = Rig::manual().await;
        let queue = rig.queue("burst");
        let go = Arc::new(Notify::new());
        let handlers = Handlers::new()
            .on_raw("holds", {
                let go = go.clone();
                move |_| {
                    let go = go.clone();
                    async move {
                        go.notified().await;
                        Ok(None)
                    }
                }
            })
            .on_raw("quick", |_| async { Ok(None) });
        let full = Worker::start(&queue, handlers.clone(), quick(2));
        holds("its wait", || rig.probe.calls("wait") == 1).await;
        let add = async |name: &str| queue.add(queue.job(name, "1")).await.expect("it can be added").id;
        let first = add("holds").await;
        until(&queue, &first, JobState::Active).await;
        holds("its second wait", || rig.probe.calls("wait") == 2).await;
        let idle = Worker::start(&queue, handlers.clone(), quick(2));
        holds("the other's wait", || rig.probe.calls("wait") == 3).await;
        // While the answer that fills the first worker is on its way, its wait still stands.
        let quick_one = add("quick").await;
        let (second, third) = (add("holds").await, add("holds").await);
        until(&queue, &quick_one, JobState::Completed).await;
        until(&queue, &second, JobState::Active).await;
        until(&queue, &third, JobState::Active).await;
        let last = add("quick").await;
        until(&queue, &last, JobState::Completed).await;
        for worker in [full, idle] {
            soon("the end", worker.stop()).await;
        }
    }
}

#[tokio::test]
async fn a_due_job_starts_when_it_is_due_and_an_earlier_one_shortens_the_wait() {
    let rig = Rig::manual().await;
    let queue = rig.queue("later");
    let worker = Worker::start(&queue, Handlers::new().otherwise_raw(|_| async { Ok(None) }), quick(2));
    holds("the wait", || rig.probe.calls("wait") == 1).await;
    let late = queue.add(queue.job("x", "1").delay_ms(30_000)).await.expect("it can be added").id;
    let early = queue.add(queue.job("x", "1").delay_ms(10_000)).await.expect("it can be added").id;
    rig.advance(9_999);
    assert_eq!(queue.get(&early).await.expect("readable").expect("kept").state(), JobState::Delayed);
    rig.advance(1);
    assert_eq!(until(&queue, &early, JobState::Completed).await.status.processed_on, Some(START + 10_000));
    assert_eq!(queue.get(&late).await.expect("readable").expect("kept").state(), JobState::Delayed);
    rig.advance(20_000);
    until(&queue, &late, JobState::Completed).await;
    worker.shutdown().await;
}

#[tokio::test]
async fn smaller_priorities_start_first_and_equal_ones_in_order() {
    let rig = Rig::new().await;
    let queue = rig.queue("ordered");
    let order = Arc::new(Mutex::new(Vec::new()));
    let handlers = Handlers::new().otherwise_raw({
        let order = order.clone();
        move |ctx| {
            order.lock().expect("no panic").push(String::from_utf8_lossy(&ctx.spec().data).into_owned());
            async { Ok(None) }
        }
    });
    let jobs =
        [("c", Some(9)), ("b", None), ("a", Some(1)), ("b2", None), ("a2", Some(1))].map(|(name, p)| {
            let job = queue.job("x", name);
            p.map_or(job.clone(), |p| job.priority(p))
        });
    let added = queue.add_bulk(jobs.into()).await.expect("they can be added");
    let worker = Worker::start(&queue, handlers, quick(1));
    for added in added {
        until(&queue, &added.id, JobState::Completed).await;
    }
    assert_eq!(*order.lock().expect("no panic"), ["a", "a2", "b", "b2", "c"]);
    worker.shutdown().await;
}

#[tokio::test]
async fn no_more_jobs_run_at_once_than_there_are_slots() {
    let rig = Rig::new().await;
    let queue = rig.queue("slots");
    queue.configure(QueueConfig::default()).await.expect("good settings");
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handlers = Handlers::new().otherwise_raw({
        let (running, most) = (running.clone(), most.clone());
        move |_| {
            let (running, most) = (running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(None)
            }
        }
    });
    let worker = Worker::start(&queue, handlers, quick(3));
    let jobs = (0..200).map(|_| queue.job("x", "1")).collect();
    queue.add_bulk(jobs).await.expect("they can be added");
    eventually("all", async || {
        let counts = queue.info().await.expect("readable").counts;
        if counts.completed == 200 { Ok(()) } else { Err(format!("{counts:?}")) }
    })
    .await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert!(rig.probe.calls("step") < 200, "settles and takes share calls: {}", rig.probe.calls("step"));
    worker.shutdown().await;
}
