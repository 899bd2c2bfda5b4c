//! The lease: kept while the worker lives, whatever its handlers do; lost by who falls silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bulrush::clock::TokioClock;
use bulrush::model::{JobState, WorkerId};
use bulrush::port::{AdminCommand, Resume, Step, WorkerInfo};
use bulrush::{Handlers, Stop, Worker, WorkerOptions};
use tokio::sync::Semaphore;

use super::support::{Rig, START, assert_sound, eventually, holds, quick, until};

#[test]
fn the_lease_is_renewed_while_every_thread_of_the_runtime_is_burnt() {
    let threads = 2;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    let release = Arc::new(AtomicBool::new(false));
    let runs = Arc::new(AtomicU32::new(0));
    let lease_ms = 200;
    let (rig, queue, worker, jobs) = runtime.block_on(async {
        let rig = Rig::new().await;
        let queue = rig.configured("hot", |config| config.lease_ms = lease_ms).await;
        let (stop, seen) = (release.clone(), runs.clone());
        let handlers = Handlers::new().otherwise_raw(move |_| {
            let (stop, seen) = (stop.clone(), seen.clone());
            async move {
                seen.fetch_add(1, Ordering::Relaxed);
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                Ok(None)
            }
        });
        let worker = Worker::start(&queue, handlers, quick(threads));
        let jobs = (0..threads).map(|_| queue.job("burn", "1")).collect();
        let jobs = queue.add_bulk(jobs).await.expect("they can be added");
        (rig, queue, worker, jobs)
    });
    // This thread is not the runtime's. Ten renewals are three leases.
    while runs.load(Ordering::Relaxed) < threads as u32 {
        std::thread::yield_now();
    }
    let from = rig.probe.calls("renew");
    while rig.probe.calls("renew") < from + 11 {
        std::thread::yield_now();
    }
    release.store(true, Ordering::Relaxed);
    runtime.block_on(async {
        for job in jobs {
            let job = until(&queue, &job.id, JobState::Completed).await;
            assert_eq!((job.status.stalls, job.status.run), (0, 1));
        }
        worker.shutdown().await;
        assert_sound(&queue).await;
    });
    assert_eq!(runs.load(Ordering::Relaxed), threads as u32);
}

/// The worker must be told at once, by its first renewal too.
#[tokio::test]
async fn a_worker_that_lost_its_lease_stops_what_it_runs_and_goes_on_taking() {
    let rig = Rig::manual().await;
    let queue = rig.configured("slow", |config| config.lease_ms = 300).await;
    let stopped = Arc::new(AtomicU32::new(0));
    let count = stopped.clone();
    let handlers = Handlers::new().otherwise_raw(move |ctx| {
        let count = count.clone();
        async move {
            if ctx.token().run > 1 {
                return Ok(Some("2".into()));
            }
            assert_eq!(ctx.stopped().await, Stop::Lost);
            ctx.progress(50, "too late");
            count.fetch_add(1, Ordering::Relaxed);
            Ok(Some("1".into()))
        }
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    // The store's time jumps on: the grace of the gap, then the rescue.
    let maintain = || queue.backend().maintain(queue.name());
    maintain().await.expect("maintenance");
    for _ in 0..8 {
        rig.advance(100);
        maintain().await.expect("maintenance");
        if stopped.load(Ordering::Relaxed) > 0 {
            break;
        }
    }
    let job = until(&queue, &job, JobState::Completed).await;
    assert_eq!(job.status.result.as_deref(), Some(&b"2"[..]), "{:?}", job.status);
    assert_eq!((stopped.load(Ordering::Relaxed), job.status.run, job.status.stalls), (1, 2, 1));
    assert_eq!(job.status.progress, None);
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn what_a_worker_did_is_in_the_history_after_its_end() {
    let rig = Rig::new().await;
    let queue = rig.queue("numbers");
    let worker = Worker::start(&queue, Handlers::new().otherwise_raw(|_| async { Ok(None) }), quick(4));
    let jobs = (0..5).map(|_| queue.job("x", "1")).collect();
    for added in queue.add_bulk(jobs).await.expect("they can be added") {
        until(&queue, &added.id, JobState::Completed).await;
    }
    worker.shutdown().await;
    let history = queue.backend().history(queue.name(), 0, false).await.expect("readable");
    assert_eq!(history.iter().map(|rollup| rollup.completed).sum::<u64>(), 5);
}

#[tokio::test]
async fn a_renewal_that_fails_now_and_then_costs_nothing() {
    let rig = Rig::new().await;
    let queue = rig.configured("slow", |config| config.lease_ms = 200).await;
    let release = Arc::new(tokio::sync::Notify::new());
    let go = release.clone();
    let handlers = Handlers::new().otherwise_raw(move |_| {
        let go = go.clone();
        async move {
            go.notified().await;
            Ok(None)
        }
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    for _ in 0..4 {
        rig.probe.fail("renew", super::support::unreachable());
        let from = rig.probe.calls("renew");
        eventually("renewals", async || {
            let calls = rig.probe.calls("renew");
            if calls >= from + 2 { Ok(()) } else { Err(calls.to_string()) }
        })
        .await;
    }
    release.notify_one();
    assert_eq!(until(&queue, &job, JobState::Completed).await.status.stalls, 0);
    worker.shutdown().await;
}

/// Whoever's report is refused has lost its job, and need not wait for the next renewal to be told.
#[tokio::test]
async fn a_run_whose_report_is_refused_is_asked_to_stop() {
    let rig = Rig::new().await;
    let queue = rig.queue("talks");
    let (go, stopped) = (Arc::new(tokio::sync::Notify::new()), Arc::new(AtomicBool::new(false)));
    let (told, seen) = (go.clone(), stopped.clone());
    let handlers = Handlers::new().otherwise_raw(move |ctx| {
        let (told, seen) = (told.clone(), seen.clone());
        async move {
            told.notified().await;
            ctx.log("still here");
            assert_eq!(ctx.stopped().await, Stop::Lost);
            seen.store(true, Ordering::Relaxed);
            Ok(None)
        }
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    let command = AdminCommand::Obliterate { force: true, limit: 10 };
    queue.backend().admin(queue.name(), command).await.expect("the queue can be emptied");
    go.notify_one();
    holds("the stop", || stopped.load(Ordering::Relaxed)).await;
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_renewal_could_not_tell_of_the_past_goes_again_and_counts_once() {
    for lost_on_its_way in [true, false] {
        let rig = Rig::in_memory().await;
        let queue = rig.queue("numbers");
        let options =
            WorkerOptions { renew_on_clock: Some(Arc::new(TokioClock::starting_at(START))), ..quick(4) };
        let worker = Worker::start(&queue, Handlers::new().otherwise_raw(|_| async { Ok(None) }), options);
        let jobs = (0..5).map(|_| queue.job("x", "1")).collect();
        for added in queue.add_bulk(jobs).await.expect("they can be added") {
            until(&queue, &added.id, JobState::Completed).await;
        }
        // Roll-ups go every ten seconds: with the fourth renewal.
        for _ in 0..4 {
            if lost_on_its_way {
                rig.probe.fail("renew", super::support::unreachable());
            } else {
                rig.probe.lose("renew");
            }
        }
        holds("ten renewals", || rig.probe.calls("renew") >= 10).await;
        let history = queue.backend().history(queue.name(), 0, false).await.expect("readable");
        assert_eq!(history.iter().map(|rollup| rollup.completed).sum::<u64>(), 5);
        worker.shutdown().await;
    }
}

#[tokio::test]
async fn jobs_that_would_fail_with_the_next_loss_of_their_worker_do_not_run_beside_each_other() {
    let rig = Rig::manual().await;
    let queue = rig.configured("apart", |config| (config.lease_ms, config.stalls_max) = (300, 1)).await;
    let (backend, name) = (queue.backend(), queue.name());
    let jobs = (0..3).map(|_| queue.job("x", "1")).collect();
    let mut jobs = queue.add_bulk(jobs).await.expect("they can be added");
    // They come back in the order of their ids.
    jobs[..2].sort_by(|a, b| a.id.as_bytes().cmp(b.id.as_bytes()));
    // A worker takes two of them and dies.
    let info = WorkerInfo {
        id: WorkerId(7),
        name: "dies".to_owned(),
        slots: 2,
        version: String::new(),
        started: START,
    };
    backend.maintain(name).await.expect("maintenance");
    let hello = Resume { info: info.clone(), call: 1, running: Vec::new() };
    backend.resume(name, hello).await.expect("it says hello");
    let step = Step { worker: info.id, call: 2, finished: Vec::new(), want: 2 };
    assert_eq!(backend.step(name, step).await.expect("it takes").taken.len(), 2);
    for _ in 0..8 {
        rig.advance(100);
        backend.maintain(name).await.expect("maintenance");
    }
    // Another one takes them together, and may lose both with its own life.
    let (release, running) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicU32::new(0)));
    let (go, count) = (release.clone(), running.clone());
    let handlers = Handlers::new().otherwise_raw(move |_| {
        let (go, count) = (go.clone(), count.clone());
        async move {
            count.fetch_add(1, Ordering::Relaxed);
            go.acquire().await.expect("it is not closed").forget();
            Ok(None)
        }
    });
    let worker = Worker::start(&queue, handlers, quick(3));
    until(&queue, &jobs[0].id, JobState::Active).await;
    let put_off = until(&queue, &jobs[1].id, JobState::Delayed).await;
    assert_eq!((put_off.status.stalls, put_off.status.attempts_made), (1, 0), "{:?}", put_off.status);
    // A job that has lost no worker runs beside it.
    until(&queue, &jobs[2].id, JobState::Active).await;
    assert_eq!(running.load(Ordering::Relaxed), 2);
    release.add_permits(jobs.len());
    until(&queue, &jobs[0].id, JobState::Completed).await;
    rig.advance(1_000);
    for job in &jobs {
        let job = until(&queue, &job.id, JobState::Completed).await;
        assert_eq!(job.status.attempts_made, 1, "{:?}", job.status);
    }
    worker.shutdown().await;
    assert_sound(&queue).await;
}
