//! Progress, log lines and data on their way to the backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bulrush::model::{BoundError, JobState, Progress};
use bulrush::port::Error;
use bulrush::{Failure, Handlers, Worker};

use super::support::{Plain, Rig, assert_sound, holds, quick, soon, unreachable, until};

#[tokio::test]
async fn log_lines_and_progress_arrive_in_order_and_before_the_end() {
    let rig = Rig::new().await;
    let queue = rig.queue("tell");
    let handlers = Handlers::new().otherwise_raw(|ctx| async move {
        for n in 0..1_200_u32 {
            ctx.log(format!("line {n}"));
            ctx.progress((n / 12) as u8, format!("at {n}"));
        }
        ctx.progress_with(Progress { percent: 250, message: None, data: Some("[1]".into()) });
        ctx.log("x".repeat(10_000));
        Ok(None)
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    let ended = until(&queue, &job, JobState::Completed).await;
    let progress = ended.status.progress.expect("it told");
    assert_eq!((progress.percent, progress.data.as_deref()), (100, Some(&b"[1]"[..])));
    assert_eq!(ended.status.log_lines, 1_201);
    let lines = queue.backend().logs(queue.name(), &job, 0, 2_000).await.expect("readable");
    assert_eq!(lines.len(), 1_000, "the bound keeps the newest");
    assert!(lines[..999].iter().all(|(n, line)| *line == format!("line {n}")), "in order");
    assert_eq!(lines[999].1.len(), 4_096);
    // 1,201 reports of progress and as many lines went in a few calls.
    assert!(rig.probe.calls("update") < 20, "{}", rig.probe.calls("update"));
    worker.shutdown().await;
}

#[tokio::test]
async fn reports_from_a_thread_of_the_handlers_own_arrive() {
    let rig = Rig::new().await;
    let queue = rig.queue("tell");
    let handlers = Handlers::new().otherwise_raw(|ctx| async move {
        let teller = ctx.clone();
        std::thread::spawn(move || teller.log("from a thread")).join().expect("no panic");
        Ok(None)
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    until(&queue, &job, JobState::Completed).await;
    let lines = queue.backend().logs(queue.name(), &job, 0, 10).await.expect("readable");
    assert_eq!(lines, [(0, "from a thread".to_owned())]);
    soon("the end", worker.shutdown()).await;
}

#[tokio::test]
async fn a_talkative_neighbour_does_not_hold_up_a_job_that_has_ended() {
    let rig = Rig::new().await;
    let queue = rig.queue("tell");
    let done = Arc::new(AtomicBool::new(false));
    let quiet = done.clone();
    let handlers = Handlers::new()
        .on_raw("talks", move |ctx| {
            let quiet = quiet.clone();
            async move {
                // Always something on its way: the next line is there before the last one has been sent.
                while !quiet.load(Ordering::Relaxed) {
                    ctx.log("still here");
                    tokio::task::yield_now().await;
                    ctx.log("and here");
                }
                Ok(None)
            }
        })
        .on(|Plain, ctx| async move {
            ctx.progress(50, "half");
            Ok(())
        });
    // Each call takes a moment, in which the talker talks on.
    let gate = rig.probe.hold("update");
    let drip = tokio::spawn(async move {
        loop {
            gate.add_permits(1);
            tokio::task::yield_now().await;
        }
    });
    let worker = Worker::start(&queue, handlers, quick(2));
    let talker = queue.add(queue.job("talks", "1")).await.expect("it can be added").id;
    until(&queue, &talker, JobState::Active).await;
    let job = queue.push(&Plain).await.expect("it can be added").id;
    until(&queue, &job, JobState::Completed).await;
    done.store(true, Ordering::Relaxed);
    until(&queue, &talker, JobState::Completed).await;
    worker.shutdown().await;
    drip.abort();
}

#[tokio::test]
async fn new_data_is_there_for_the_next_attempt() {
    let rig = Rig::new().await;
    let queue = rig.queue("tell");
    let handlers = Handlers::new().otherwise_raw(|ctx| async move {
        if ctx.attempt() == 1 {
            ctx.set_data("\"page 2\"".into()).await?;
            return Err(Failure::retry("go on"));
        }
        Ok(Some(ctx.spec().data.clone()))
    });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.job("x", "\"page 1\"").backoff(bulrush::model::Backoff::fixed(0));
    let job = queue.add(job).await.expect("it can be added").id;
    let job = until(&queue, &job, JobState::Completed).await;
    assert_eq!(job.status.result.as_deref(), Some(&b"\"page 2\""[..]));
    worker.shutdown().await;
}

#[tokio::test]
async fn data_that_could_not_be_written_is_not_taken_for_written() {
    let rig = Rig::new().await;
    let queue = rig.configured("tell", |config| config.bounds.data_bytes = 100).await;
    let handlers = Handlers::new()
        .on_raw("large", |ctx| async move {
            ctx.set_data("1".repeat(101).into()).await?;
            Ok(None)
        })
        .on_raw("small", |ctx| async move {
            ctx.set_data("2".into()).await?;
            Ok(None)
        });
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("large", "1").attempts(1)).await.expect("it can be added").id;
    let failed = until(&queue, &job, JobState::Failed).await;
    let text = BoundError { bound: bulrush::model::Bound::Data, seen: 101, max: 100, item: 0 }.to_string();
    assert!(failed.failed_reason().is_some_and(|reason| reason.contains(&text)), "{failed:?}");

    // The line is cut for good, so the handler hears of it.
    for _ in 0..20 {
        rig.probe.fail("update", unreachable());
    }
    let job = queue.add(queue.job("small", "1").attempts(1)).await.expect("it can be added").id;
    let failed = until(&queue, &job, JobState::Failed).await;
    assert!(failed.failed_reason().is_some_and(|reason| reason.contains("unreachable")), "{failed:?}");
    worker.shutdown().await;
}

#[tokio::test]
async fn log_lines_that_cannot_be_written_do_not_hold_up_a_job() {
    let rig = Rig::new().await;
    let queue = rig.queue("tell");
    let handlers = Handlers::new().otherwise_raw(|ctx| async move {
        ctx.log("lost");
        Ok(None)
    });
    rig.probe.fail("update", unreachable());
    rig.probe.fail("update", Error::Closed);
    let worker = Worker::start(&queue, handlers, quick(1));
    for _ in 0..3 {
        let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
        until(&queue, &job, JobState::Completed).await;
    }
    worker.shutdown().await;
    assert_sound(&queue).await;
}

/// Or they would come to a job that has ended, and be refused.
#[tokio::test(start_paused = true)]
async fn a_job_does_not_end_before_its_reports_have_arrived() {
    let rig = Rig::in_memory().await;
    let queue = rig.queue("tell");
    let handlers = Handlers::new().otherwise_raw(|ctx| async move {
        ctx.log("the last word");
        Ok(None)
    });
    let updates = rig.probe.hold("update");
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("x", "1")).await.expect("it can be added").id;
    holds("the report", || rig.probe.calls("update") == 1).await;
    let late = tokio::time::Instant::now() + std::time::Duration::from_secs(1);
    holds("the time to settle", || tokio::time::Instant::now() >= late).await;
    assert_eq!(queue.get(&job).await.expect("readable").expect("kept").state(), JobState::Active);
    updates.add_permits(1_000);
    assert_eq!(until(&queue, &job, JobState::Completed).await.status.log_lines, 1);
    worker.shutdown().await;
}

/// The reports of a job are still on their way when its time is up: the handler has returned, and that counts.
#[tokio::test]
async fn a_result_is_not_thrown_away_because_reports_are_slow() {
    let rig = Rig::new().await;
    let queue = rig.queue("tell");
    let handlers = Handlers::new().otherwise_raw(|ctx| async move {
        ctx.log("slow to arrive");
        Ok(Some("1".into()))
    });
    rig.probe.hold("update");
    let worker = Worker::start(&queue, handlers, quick(1));
    let job = queue.add(queue.job("x", "1").timeout_ms(10).attempts(1)).await.expect("it can be added").id;
    assert_eq!(until(&queue, &job, JobState::Completed).await.status.result.as_deref(), Some(&b"1"[..]));
    soon("the end", worker.shutdown()).await;
}

/// As above, while the backend takes its time with another call, so that nobody looks at what has ended.
#[tokio::test(start_paused = true)]
async fn a_job_that_has_ended_is_not_taken_for_stuck_while_a_call_is_under_way() {
    let rig = Rig::in_memory().await;
    let queue = rig.queue("tell");
    let handlers = Handlers::new().otherwise_raw(|ctx| async move {
        ctx.log("slow to arrive");
        Ok(Some("1".into()))
    });
    let updates = rig.probe.hold("update");
    let worker = Worker::start(&queue, handlers, quick(2));
    let job = queue.add(queue.job("x", "1").timeout_ms(10).attempts(1)).await.expect("it can be added").id;
    until(&queue, &job, JobState::Active).await;
    let (steps, before) = (rig.probe.hold("step"), rig.probe.calls("step"));
    queue.add(queue.job("x", "1")).await.expect("it can be added");
    holds("the slow call", || rig.probe.calls("step") > before).await;
    let late = tokio::time::Instant::now() + std::time::Duration::from_secs(1);
    holds("the time to be called stuck", || tokio::time::Instant::now() >= late).await;
    steps.add_permits(1_000);
    updates.add_permits(1_000);
    until(&queue, &job, JobState::Completed).await;
    soon("the end", worker.shutdown()).await;
}
