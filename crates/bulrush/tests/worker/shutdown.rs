//! A worker's end: nothing is lost, no attempt is burnt, nobody is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bulrush::model::{JobState, QueueConfig};
use bulrush::{Failure, Handlers, Stop, Worker, WorkerOptions};
use tokio::sync::Notify;

use super::support::{Rig, START, assert_sound, holds, quick, soon, unreachable, until};

#[tokio::test]
async fn a_drain_lets_running_jobs_end_and_takes_no_more() {
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let handlers = Handlers::new().otherwise_raw(move |_| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            Ok(None)
        }
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let first = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &first, JobState::Active).await;
    let second = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    let end = tokio::spawn(worker.shutdown());
    go.notify_one();
    soon("the end", end).await.expect("no panic");
    assert_eq!(queue.get(&first).await.expect("readable").expect("kept").state(), JobState::Completed);
    assert_eq!(queue.get(&second).await.expect("readable").expect("kept").state(), JobState::Waiting);
    assert_sound(&queue).await;
}

#[tokio::test]
async fn what_does_not_end_within_the_drain_goes_back_with_its_attempt_not_counted() {
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let handlers = Handlers::new()
        .on_raw("heeds", move |ctx| {
            let count = count.clone();
            async move {
                assert_eq!(ctx.stopped().await, Stop::Shutdown);
                count.fetch_add(1, Ordering::Relaxed);
                // Whoever was told to stop is not blamed for the error that the stop caused.
                Err(Failure::unrecoverable("interrupted"))
            }
        })
        .on_raw("deaf", |_| std::future::pending());
    let worker =
        Worker::start(&queue, handlers, WorkerOptions { drain: Duration::from_millis(20), ..quick(4) });
    let mut jobs = Vec::new();
    for name in ["heeds", "deaf"] {
        let id = queue.add(queue.job(name, "1").attempts(1)).await.expect("it can be added").id;
        until(&queue, &id, JobState::Active).await;
        jobs.push(id);
    }
    soon("the end", worker.shutdown()).await;
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    for id in jobs {
        let job = queue.get(&id).await.expect("readable").expect("kept");
        assert_eq!((job.state(), job.status.attempts_made, job.status.stalls), (JobState::Waiting, 0, 0));
    }
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_the_drain() {
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let handlers = Handlers::new().otherwise_raw(|_| std::future::pending());
    let worker =
        Worker::start(&queue, handlers, WorkerOptions { drain: Duration::from_hours(1), ..quick(4) });
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    let hurry = worker.hurry();
    let end = tokio::spawn(worker.shutdown());
    hurry.stop_now();
    soon("the end", end).await.expect("no panic");
    assert_eq!(queue.get(&job).await.expect("readable").expect("kept").state(), JobState::Waiting);
}

/// On a clock that only moves when nobody has anything to do: a loop that spins would hang here for ever.
#[tokio::test(start_paused = true)]
async fn a_worker_whose_handle_is_dropped_stops_and_gives_back_what_it_runs() {
    let rig = Rig::in_memory().await;
    let queue = rig.queue("slow");
    let dropped = Arc::new(AtomicU32::new(0));
    let count = dropped.clone();
    let handlers = Handlers::new().otherwise_raw(move |_| {
        let count = count.clone();
        async move {
            let _told = Told(count);
            std::future::pending().await
        }
    });
    let worker = Worker::start(&queue, handlers, quick(4));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    drop(worker);
    let job = until(&queue, &job, JobState::Waiting).await;
    assert_eq!((job.status.attempts_made, dropped.load(Ordering::Relaxed)), (0, 1));
}

/// On a clock that only moves when nobody has anything to do: a loop that spins would hang here for ever.
#[tokio::test(start_paused = true)]
async fn a_worker_that_cannot_reach_its_store_any_more_ends_all_the_same() {
    let rig = Rig::in_memory().await;
    let queue = rig.queue("slow");
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let handlers = Handlers::new()
        .on_raw("ends", move |_| {
            let wait = wait.clone();
            async move {
                wait.notified().await;
                Ok(None)
            }
        })
        .on_raw("deaf", |_| std::future::pending());
    let worker = Worker::start(&queue, handlers, quick(4));
    for name in ["ends", "deaf"] {
        let id = queue.add(queue.job(name, "1")).await.expect("it can be added").id;
        until(&queue, &id, JobState::Active).await;
    }
    for _ in 0..1_000 {
        for op in ["step", "resume", "info"] {
            rig.probe.fail(op, unreachable());
        }
    }
    go.notify_one();
    holds("the failed call", || rig.probe.calls("step") > 3).await;
    soon("the end", worker.stop()).await;
}

/// As above, with a store that swallows calls instead of refusing them.
#[tokio::test(start_paused = true)]
async fn a_worker_whose_store_has_fallen_silent_ends_all_the_same() {
    let rig = Rig::in_memory().await;
    let queue = rig.queue("slow");
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let handlers = Handlers::new().otherwise_raw(move |_| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            Ok(None)
        }
    });
    let worker = Worker::start(&queue, handlers, quick(4));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    rig.probe.hold("resume");
    rig.probe.fail("step", unreachable());
    go.notify_one();
    holds("the silent call", || rig.probe.calls("resume") == 2).await;
    soon("the end", worker.stop()).await;
}

#[tokio::test]
async fn a_backend_that_is_closed_ends_the_worker_and_its_handlers() {
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let dropped = Arc::new(AtomicU32::new(0));
    let count = dropped.clone();
    let handlers = Handlers::new().otherwise_raw(move |_| {
        let count = count.clone();
        async move {
            let _told = Told(count);
            std::future::pending().await
        }
    });
    let worker = Worker::start(&queue, handlers, quick(4));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    queue.backend().close().await.expect("it can be closed");
    holds("the handler's end", || dropped.load(Ordering::Relaxed) == 1).await;
    soon("the end", worker.shutdown()).await;
}

#[tokio::test]
async fn a_restarted_worker_goes_on_where_the_other_stopped() {
    let rig = Rig::manual().await;
    let queue = rig.queue("slow");
    queue.configure(QueueConfig::default()).await.expect("good settings");
    let deaf = Handlers::new().otherwise_raw(|_| std::future::pending());
    let worker = Worker::start(&queue, deaf, quick(4));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    soon("the end", worker.stop()).await;
    let fine = Handlers::new().otherwise_raw(|ctx| async move { Ok(Some(ctx.attempt().to_string().into())) });
    let worker = Worker::start(&queue, fine, quick(4));
    let job = until(&queue, &job, JobState::Completed).await;
    assert_eq!((job.status.result.as_deref(), job.status.run), (Some(&b"1"[..]), 2));
    assert_eq!(job.status.finished_on, Some(START));
    worker.shutdown().await;
    assert_sound(&queue).await;
}

struct Told(Arc<AtomicU32>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
