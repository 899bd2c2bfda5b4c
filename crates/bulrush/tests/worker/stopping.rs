//! Time-outs and cancels hold, whatever a handler does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use bulrush::model::{Backoff, ErrorKind, JobState};
use bulrush::port::AdminResult;
use bulrush::{Failure, Handlers, Stop, Worker};
use tokio::sync::Notify;

use super::support::{Double, Plain, Rig, assert_sound, eventually, holds, quick, soon, until};

#[tokio::test]
async fn a_time_out_asks_first_and_who_heeds_it_may_still_complete() {
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let handlers = Handlers::new().on_raw("heeds", |ctx| async move {
        let why = ctx.stopped().await;
        assert!(ctx.cancellation_token().is_cancelled());
        assert_eq!(ctx.check(), Err(Failure::Cancelled));
        Ok(Some(format!("\"{why:?}\"").into()))
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("heeds", "1").timeout_ms(10)).await.expect("it can be added").id;
    let job = until(&queue, &job, JobState::Completed).await;
    assert_eq!(job.status.result.as_deref(), Some(&b"\"TimedOut\""[..]));
    worker.shutdown().await;
}

#[tokio::test]
async fn a_time_out_drops_who_does_not_heed_it_and_counts_as_a_failed_attempt() {
    struct Told(Arc<AtomicU32>);
    impl Drop for Told {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let dropped = Arc::new(AtomicU32::new(0));
    let count = dropped.clone();
    let handlers = Handlers::new().on_raw("deaf", move |_| {
        let told = Told(count.clone());
        async move {
            let _told = told;
            std::future::pending().await
        }
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.job("deaf", "1").timeout_ms(10).attempts(2).backoff(Backoff::fixed(0));
    let job = queue.add(job).await.expect("it can be added").id;
    let job = until(&queue, &job, JobState::Failed).await;
    let kinds: Vec<ErrorKind> = job.status.errors.iter().map(|attempt| attempt.error.kind).collect();
    assert_eq!(kinds, [ErrorKind::Timeout, ErrorKind::Timeout]);
    assert!(job.failed_reason().is_some_and(|text| text.contains("10 ms")), "{job:?}");
    assert_eq!(dropped.load(Ordering::Relaxed), 2);
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_spins_is_stuck_its_slot_is_given_back_and_its_late_writes_are_refused() {
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let (release, ended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (stop, over) = (release.clone(), ended.clone());
    let handlers = Handlers::new()
        .on_raw("spins", move |ctx| {
            let (stop, over) = (stop.clone(), over.clone());
            async move {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                ctx.progress(99, "too late");
                over.store(true, Ordering::Relaxed);
                Ok(Some("\"too late\"".into()))
            }
        })
        .on(|Double(n), _| async move { Ok(n) });
    let worker = Worker::start(&queue, handlers, quick(1));
    let spinning =
        queue.add(queue.job("spins", "1").timeout_ms(10).attempts(1)).await.expect("it can be added").id;
    // One slot, so this one runs only when the slot is given back.
    let next = queue.push(&Double(4)).await.expect("it can be added").id;
    let failed = until(&queue, &spinning, JobState::Failed).await;
    assert!(failed.failed_reason().is_some_and(|text| text.contains("stuck")), "{failed:?}");
    until(&queue, &next, JobState::Completed).await;
    release.store(true, Ordering::Relaxed);
    holds("the handler's end", || ended.load(Ordering::Relaxed)).await;
    worker.shutdown().await;
    let late = queue.get(&spinning).await.expect("it can be read").expect("kept");
    assert_eq!((late.state(), late.status.result, late.status.progress), (JobState::Failed, None, None));
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_cancel_of_a_running_job_reaches_it_within_a_renewal() {
    let rig = Rig::new().await;
    let queue = rig.configured("slow", |config| config.lease_ms = 150).await;
    let handlers = Handlers::new().on_raw("waits", |ctx| async move {
        assert_eq!(ctx.stopped().await, Stop::Cancelled);
        Err(Failure::Cancelled)
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("waits", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    assert_eq!(queue.cancel(&job).await.expect("it can be asked"), AdminResult::Requested);
    let cancelled = until(&queue, &job, JobState::Cancelled).await;
    assert_eq!(cancelled.status.errors, []);
    // Asking once more says how it stands.
    assert_eq!(
        queue.cancel(&job).await.expect("it can be asked"),
        AdminResult::WrongState(JobState::Cancelled)
    );
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_cancel_stops_no_other_job_that_was_taken_with_it() {
    let rig = Rig::new().await;
    let queue = rig.configured("slow", |config| config.lease_ms = 150).await;
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let handlers = Handlers::new().otherwise_raw(move |ctx| {
        let waits = waits.clone();
        async move {
            tokio::select! {
                () = waits.notified() => Ok(None),
                why = ctx.stopped() => Err(Failure::unrecoverable(format!("{why:?}"))),
            }
        }
    });
    // Taken in one call, they have the same token but for the job.
    let jobs = queue.add_bulk((0..3).map(|_| queue.job("waits", "1")).collect()).await;
    let worker = Worker::start(&queue, handlers, quick(3));
    let ids: Vec<_> = jobs.expect("they can be added").into_iter().map(|added| added.id).collect();
    holds("all run", || worker.running() == 3).await;
    queue.cancel(&ids[1]).await.expect("it can be asked");
    until(&queue, &ids[1], JobState::Cancelled).await;
    holds("two run on", || worker.running() == 2).await;
    go_on.notify_waiters();
    for id in [&ids[0], &ids[2]] {
        until(&queue, id, JobState::Completed).await;
    }
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_cancelled_job_that_completes_all_the_same_is_completed_and_one_that_fails_is_cancelled() {
    let rig = Rig::new().await;
    let queue = rig.configured("slow", |config| config.lease_ms = 150).await;
    let handlers = Handlers::new()
        .on_raw("completes", |ctx| async move {
            ctx.stopped().await;
            Ok(Some("1".into()))
        })
        .on_raw("fails", |ctx| async move {
            ctx.stopped().await;
            Err(Failure::retry("interrupted"))
        })
        .on_raw("panics", |ctx| async move {
            ctx.stopped().await;
            panic!("interrupted")
        })
        .on_raw("deaf", |_| std::future::pending());
    let worker = Worker::start(&queue, handlers, quick(10));
    let mut jobs = Vec::new();
    for name in ["completes", "fails", "panics", "deaf"] {
        let id = queue.add(queue.job(name, "1")).await.expect("it can be added").id;
        until(&queue, &id, JobState::Active).await;
        queue.cancel(&id).await.expect("it can be asked");
        jobs.push((name, id));
    }
    for (name, id) in jobs {
        let state = if name == "completes" { JobState::Completed } else { JobState::Cancelled };
        let job = until(&queue, &id, state).await;
        assert_eq!(job.status.attempts_made, 1, "{name}");
    }
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn work_on_a_blocking_thread_stops_where_it_checks() {
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let left = Arc::new(AtomicBool::new(false));
    let gone = left.clone();
    let handlers = Handlers::new().on_blocking(move |Plain, ctx| {
        loop {
            if let Err(failure) = ctx.check() {
                gone.store(true, Ordering::Relaxed);
                return Err(failure);
            }
            std::thread::yield_now();
        }
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.typed(&Plain).expect("good JSON").timeout_ms(10).attempts(1);
    let job = queue.add(job).await.expect("it can be added").id;
    let failed = until(&queue, &job, JobState::Failed).await;
    assert_eq!(failed.status.errors[0].error.kind, ErrorKind::Timeout);
    holds("the thread's end", || left.load(Ordering::Relaxed)).await;
    worker.shutdown().await;
}

#[tokio::test]
async fn a_time_out_that_comes_while_the_backend_is_silent_still_stops_the_handler() {
    let rig = Rig::new().await;
    let queue = rig.queue("slow");
    let stopped = Arc::new(Notify::new());
    let tell = stopped.clone();
    let handlers = Handlers::new()
        .on_raw("slow", move |ctx| {
            let tell = tell.clone();
            async move {
                ctx.stopped().await;
                tell.notify_one();
                Err(Failure::Cancelled)
            }
        })
        .on(|Double(n), _| async move { Ok(n) });
    let worker = Worker::start(&queue, handlers, quick(2));
    let slow =
        queue.add(queue.job("slow", "1").timeout_ms(60).attempts(1)).await.expect("it can be added").id;
    until(&queue, &slow, JobState::Active).await;
    let gate = rig.probe.hold("step");
    queue.push(&Double(1)).await.expect("it can be added");
    soon("the stop", stopped.notified()).await;
    gate.add_permits(1_000);
    until(&queue, &slow, JobState::Failed).await;
    eventually("the other", async || {
        let info = queue.info().await.expect("it can be read");
        if info.counts.completed == 1 { Ok(()) } else { Err(format!("{info:?}")) }
    })
    .await;
    worker.shutdown().await;
    assert_sound(&queue).await;
}
