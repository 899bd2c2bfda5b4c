//! Calls whose answers get lost or come late, and stores that have forgotten the worker meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulrush::clock::ManualClock;
use bulrush::model::JobState;
use bulrush::{Handlers, Queue, Stop, Worker, WorkerOptions};
use tokio::sync::Semaphore;

use super::support::{Rig, START, assert_sound, holds, quick, unreachable, until};

/// Handlers of `held` jobs: the first run tells that it started, waits to be stopped and tells that it was; the second ends at once.
fn held(started: &Arc<AtomicBool>, stopped: &Arc<AtomicBool>) -> Handlers {
    let (started, stopped) = (started.clone(), stopped.clone());
    Handlers::new().on_raw("held", move |ctx| {
        let (started, stopped) = (started.clone(), stopped.clone());
        async move {
            if ctx.token().run == 1 {
                started.store(true, Ordering::Relaxed);
                assert_eq!(ctx.stopped().await, Stop::Lost);
                stopped.store(true, Ordering::Relaxed);
            }
            Ok(None)
        }
    })
}

/// A queue whose leases are short, and a worker of it that gives signs of life by the clock that is returned, which stands still.
async fn silent(rig: &Rig, handlers: Handlers) -> (Queue, Worker, ManualClock) {
    let queue = rig.configured("slow", |config| config.lease_ms = 300).await;
    let signs = ManualClock::at(START);
    let options = WorkerOptions { renew_on_clock: Some(Arc::new(signs.clone())), ..quick(2) };
    let worker = Worker::start(&queue, handlers, options);
    (queue, worker, signs)
}

/// Lets the store give the worker up: the grace of the gap, then the rescue.
async fn give_up(rig: &Rig, queue: &Queue) {
    for _ in 0..9 {
        queue.backend().maintain(queue.name()).await.expect("maintenance");
        rig.advance(100);
    }
}

#[tokio::test]
async fn what_runs_while_a_call_stays_unanswered_runs_on_and_is_settled_once() {
    for carried_out in [true, false] {
        let rig = Rig::new().await;
        let queue = rig.queue("slow");
        let (go, runs) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicBool::new(false)));
        let (wait, started) = (go.clone(), runs.clone());
        let handlers = Handlers::new().on_raw("quick", |_| async { Ok(None) }).on_raw("slow", move |_| {
            let (wait, started) = (wait.clone(), started.clone());
            async move {
                started.store(true, Ordering::Relaxed);
                wait.acquire().await.expect("it stays open").forget();
                Ok(None)
            }
        });
        let worker = Worker::start(&queue, handlers, quick(2));
        let slow = queue.add(queue.job("slow", "1")).await.expect("it can be added").id;
        // Active is what the store says before its answer is here, and that answer is not the one to be lost.
        holds("the slow one runs", || runs.load(Ordering::Relaxed)).await;
        let cut = || {
            if carried_out { rig.probe.lose("step") } else { rig.probe.fail("step", unreachable()) }
        };
        // While it runs, and with its own result.
        cut();
        let other = queue.add(queue.job("quick", "1")).await.expect("it can be added").id;
        until(&queue, &other, JobState::Completed).await;
        cut();
        go.add_permits(10);
        let job = until(&queue, &slow, JobState::Completed).await;
        assert_eq!((job.status.run, job.status.stalls), (1, 0), "carried out: {carried_out}");
        worker.shutdown().await;
        assert_sound(&queue).await;
    }
}

/// Without a renewal in between.
#[tokio::test]
async fn a_worker_that_its_store_has_forgotten_learns_it_by_its_next_call() {
    let rig = Rig::manual().await;
    let (started, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (queue, worker, _signs) = silent(&rig, held(&started, &stopped)).await;
    let job = queue.add(queue.job("held", "1")).await.expect("it can be added").id;
    holds("the run", || started.load(Ordering::Relaxed)).await;
    give_up(&rig, &queue).await;
    holds("the stop", || stopped.load(Ordering::Relaxed)).await;
    assert_eq!(until(&queue, &job, JobState::Completed).await.status.run, 2);
    worker.shutdown().await;
    assert_sound(&queue).await;
}

/// The store may have given to others what the answer brings.
#[tokio::test]
async fn what_a_late_answer_brings_after_the_lease_was_lost_is_not_run() {
    let rig = Rig::manual().await;
    let (started, stopped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let runs = Arc::new(Mutex::new(Vec::new()));
    let seen = runs.clone();
    let handlers = held(&started, &stopped).on_raw("late", move |ctx| {
        seen.lock().expect("no handler panics").push(ctx.token().run);
        async { Ok(None) }
    });
    let (queue, worker, signs) = silent(&rig, handlers).await;
    holds("the worker waits", || rig.probe.calls("wait") >= 1).await;
    let held = queue.add(queue.job("held", "1")).await.expect("it can be added").id;
    holds("the run", || started.load(Ordering::Relaxed)).await;
    // No step of it is under way then: the answer to be held is that of the next one.
    holds("the worker waits again", || rig.probe.calls("wait") >= 2).await;
    let answers = rig.probe.hold_answers("step");
    let late = queue.add(queue.job("late", "1")).await.expect("it can be added").id;
    until(&queue, &late, JobState::Active).await;
    give_up(&rig, &queue).await;
    until(&queue, &late, JobState::Waiting).await;
    // The next renewal tells it, while the answer is still on its way.
    signs.advance(Duration::from_secs(1));
    holds("the stop", || stopped.load(Ordering::Relaxed)).await;
    answers.add_permits(1_000);
    until(&queue, &late, JobState::Completed).await;
    assert_eq!(*runs.lock().expect("no handler panics"), [2]);
    until(&queue, &held, JobState::Completed).await;
    worker.shutdown().await;
    assert_sound(&queue).await;
}
