//! What a handler returns, and what becomes of its job.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bulrush::model::{Backoff, ErrorKind, JobId, JobState, NewJob};
use bulrush::{Client, Failure, Handlers, JobResult, Queue, Worker, WorkerOptions};
use bytes::Bytes;

use super::support::{Double, Plain, Rig, START, assert_sound, eventually, holds, until};

fn id(text: &str) -> JobId {
    JobId::new(text).expect("the test uses good ids")
}

async fn add(queue: &Queue, job: NewJob) -> JobId {
    queue.add(job).await.expect("the job can be added").id
}

/// A worker of one handler of raw jobs.
fn raw<Fut>(queue: &Queue, handler: impl Fn(bulrush::Context) -> Fut + Send + Sync + 'static) -> Worker
where
    Fut: Future<Output = JobResult<Option<Bytes>>> + Send + 'static,
{
    Worker::start(queue, Handlers::new().otherwise_raw(handler), WorkerOptions::default())
}

#[tokio::test]
async fn a_typed_handler_gets_its_payload_and_its_output_is_kept() {
    let rig = Rig::new().await;
    let queue = rig.queue("numbers");
    let worker = Worker::start(
        &queue,
        Handlers::new().on(|Double(n), _| async move { Ok(n * 2) }),
        WorkerOptions::default(),
    );
    let added = queue.push(&Double(21)).await.expect("it can be added");
    let job = queue.wait_finished(&added.id, Duration::from_secs(30)).await.expect("it can be read");
    let job = job.expect("it is kept");
    assert_eq!(job.output::<u64>().expect("a number"), Some(42));
    assert_eq!(job.status.attempts_made, 1);
    // The store shows an end a moment before the worker has its answer.
    holds("the worker's count", || worker.settled() == 1).await;
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_raw_handler_gets_the_bytes_as_they_were_given() {
    let rig = Rig::new().await;
    let queue = rig.queue("raw");
    let worker = raw(&queue, |ctx| async move { Ok(Some(ctx.spec().data.clone())) });
    // Numbers beyond a double, and spaces, survive because nobody reads them.
    let data = r#"{ "n": 9007199254740993, "big": 1e400 }"#;
    let job = add(&queue, queue.job("anything", data)).await;
    assert_eq!(
        until(&queue, &job, JobState::Completed).await.status.result.as_deref(),
        Some(data.as_bytes())
    );
    worker.shutdown().await;
}

#[tokio::test]
async fn null_is_no_result() {
    let rig = Rig::new().await;
    let queue = rig.queue("raw");
    let worker =
        Worker::start(&queue, Handlers::new().on(|Plain, _| async { Ok(()) }), WorkerOptions::default());
    let job = queue.push(&Plain).await.expect("it can be added").id;
    assert_eq!(until(&queue, &job, JobState::Completed).await.status.result, None);
    worker.shutdown().await;
}

#[tokio::test]
async fn a_name_without_a_handler_fails_at_once_and_says_which_there_are() {
    let rig = Rig::new().await;
    let queue = rig.queue("numbers");
    let handlers = Handlers::new().on(|Double(n), _| async move { Ok(n) });
    let worker = Worker::start(&queue, handlers, WorkerOptions::default());
    let job = add(&queue, queue.job("triple", "1")).await;
    let job = until(&queue, &job, JobState::Failed).await;
    let reason = job.failed_reason().expect("a failed job has a reason");
    assert!(reason.contains("\"triple\"") && reason.contains("double"), "{reason}");
    assert_eq!(job.status.errors[0].error.kind, ErrorKind::Unrecoverable);
    worker.shutdown().await;
}

#[tokio::test]
async fn a_payload_that_does_not_fit_fails_at_once() {
    let rig = Rig::new().await;
    let queue = rig.queue("numbers");
    let handlers = Handlers::new().on(|Double(n), _| async move { Ok(n) });
    let worker = Worker::start(&queue, handlers, WorkerOptions::default());
    let job = add(&queue, queue.job("double", r#"{"not": "a number"}"#)).await;
    let job = until(&queue, &job, JobState::Failed).await;
    assert_eq!((job.status.attempts_made, job.status.errors[0].error.kind), (1, ErrorKind::Unrecoverable));
    assert!(job.failed_reason().is_some_and(|text| text.contains("does not fit double")));
    worker.shutdown().await;
}

#[tokio::test]
async fn the_worker_backs_off_as_the_job_says_or_as_it_is_set_itself() {
    let rig = Rig::manual().await;
    let queue = rig.queue("numbers");
    let options = WorkerOptions { backoff: Backoff::fixed(7_000), ..WorkerOptions::default() };
    let fail = |_| async {
        let number: u64 = "x".parse()?;
        Ok(Some(Bytes::from(number.to_string())))
    };
    let worker = Worker::start(&queue, Handlers::new().otherwise_raw(fail), options);
    let own = queue.job("own", "1").backoff(Backoff::exponential(2_000, 2.0)).attempts(3);
    let (own, default) = (add(&queue, own).await, add(&queue, queue.job("default", "1").attempts(2)).await);
    assert_eq!(until(&queue, &own, JobState::Delayed).await.status.run_at, START + 2_000);
    let delayed = until(&queue, &default, JobState::Delayed).await;
    assert_eq!(delayed.status.run_at, START + 7_000);
    assert!(delayed.failed_reason().is_some_and(|text| text.contains("invalid digit")), "{delayed:?}");
    rig.advance(2_000);
    eventually("the second pause is longer", async || {
        let job = queue.get(&own).await.expect("it can be read").expect("it is kept");
        if job.status.run_at == START + 6_000 { Ok(()) } else { Err(format!("{:?}", job.status)) }
    })
    .await;
    rig.advance(5_000);
    let failed = until(&queue, &own, JobState::Failed).await;
    assert_eq!((failed.status.attempts_made, failed.status.errors.len()), (3, 3));
    assert_eq!(until(&queue, &default, JobState::Failed).await.status.attempts_made, 2);
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_handler_may_name_the_time_of_its_next_try() {
    let rig = Rig::manual().await;
    let queue = rig.queue("raw");
    let worker = raw(&queue, |_| async {
        Err(Failure::Retry { message: "later".into(), after: Some(Duration::from_secs(90)) })
    });
    let job = add(&queue, queue.job("x", "1").backoff(Backoff::fixed(1))).await;
    assert_eq!(until(&queue, &job, JobState::Delayed).await.status.run_at, START + 90_000);
    worker.shutdown().await;
}

#[tokio::test]
async fn a_snooze_uses_no_attempt() {
    let rig = Rig::manual().await;
    let queue = rig.queue("raw");
    let runs = Arc::new(AtomicU32::new(0));
    let seen = runs.clone();
    let worker = raw(&queue, move |ctx| {
        let run = seen.fetch_add(1, Ordering::Relaxed);
        assert_eq!(ctx.attempt(), 1);
        async move { if run < 3 { Err(Failure::Snooze { after: Duration::from_secs(5) }) } else { Ok(None) } }
    });
    let job = add(&queue, queue.job("x", "1").attempts(1)).await;
    for round in 1..=3 {
        let at = START + round * 5_000;
        eventually("the snooze", async || {
            let job = queue.get(&job).await.expect("it can be read").expect("it is kept");
            if job.status.run_at == at && job.state() == JobState::Delayed {
                Ok(())
            } else {
                Err(format!("{job:?}"))
            }
        })
        .await;
        rig.advance(5_000);
    }
    assert_eq!(until(&queue, &job, JobState::Completed).await.status.attempts_made, 1);
    worker.shutdown().await;
}

#[tokio::test]
async fn an_upstream_that_asks_for_patience_holds_the_group_and_not_the_others() {
    let rig = Rig::manual().await;
    let queue = rig.queue("raw");
    let limited = Arc::new(AtomicU32::new(1));
    let left = limited.clone();
    let worker = raw(&queue, move |ctx| {
        let limited = ctx.spec().group.is_some()
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
        async move {
            if limited { Err(Failure::RateLimited { retry_after: Duration::from_mins(1) }) } else { Ok(None) }
        }
    });
    let held = add(&queue, queue.job("x", "1").group("slow").attempts(1)).await;
    eventually("the limit", async || {
        let why = queue.backend().explain(queue.name(), &held).await.expect("it can be read");
        let why = format!("{why:?}");
        if why.contains("GroupLimited") { Ok(()) } else { Err(why) }
    })
    .await;
    let neighbour = add(&queue, queue.job("x", "1").group("slow")).await;
    let other = add(&queue, queue.job("x", "1")).await;
    until(&queue, &other, JobState::Completed).await;
    assert_eq!(
        queue.get(&neighbour).await.expect("it can be read").expect("kept").state(),
        JobState::Waiting
    );
    rig.advance(60_000);
    assert_eq!(until(&queue, &held, JobState::Completed).await.status.attempts_made, 1);
    until(&queue, &neighbour, JobState::Completed).await;
    worker.shutdown().await;
}

#[tokio::test]
async fn an_upstream_that_asks_for_patience_holds_the_queue_where_there_is_no_group() {
    let rig = Rig::manual().await;
    let queue = rig.queue("raw");
    let runs = Arc::new(AtomicU32::new(0));
    let seen = runs.clone();
    let worker = raw(&queue, move |_| {
        let first = seen.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if first { Err(Failure::RateLimited { retry_after: Duration::from_mins(1) }) } else { Ok(None) }
        }
    });
    let job = add(&queue, queue.job("x", "1").attempts(1)).await;
    eventually("the limit", async || {
        let info = queue.info().await.expect("it can be read");
        if info.limited_until == Some(START + 60_000) { Ok(()) } else { Err(format!("{info:?}")) }
    })
    .await;
    rig.advance(60_000);
    assert_eq!(until(&queue, &job, JobState::Completed).await.status.attempts_made, 1);
    worker.shutdown().await;
}

#[tokio::test]
async fn a_panic_is_a_failed_attempt_and_the_worker_lives() {
    let rig = Rig::new().await;
    let queue = rig.queue("panics");
    let handlers = Handlers::new()
        .on_raw("text", |_| async { panic!("as text") })
        .on_raw("string", |ctx| async move { panic!("{} as a string", ctx.id()) })
        .on_raw("other", |_| async { std::panic::panic_any(7_u8) })
        // Before there is a future at all.
        .on_raw("sync", |ctx| {
            assert!(ctx.attempt() == 0, "before the future");
            async { Ok(None) }
        })
        .on_blocking(|Plain, _| -> JobResult<()> { panic!("on a thread") })
        .on(|Double(n), _| async move { Ok(n) });
    let worker = Worker::start(&queue, handlers, WorkerOptions::default());
    let cases = [
        ("text", "as text"),
        ("string", "p-string as a string"),
        ("other", "panicked without a message"),
        ("sync", "before the future"),
        ("plain", "on a thread"),
    ];
    for (name, _) in cases {
        let data = if name == "plain" { "null" } else { "1" };
        add(&queue, queue.job_with_id(id(&format!("p-{name}")), name, data).attempts(1)).await;
    }
    for (name, text) in cases {
        let job = until(&queue, &id(&format!("p-{name}")), JobState::Failed).await;
        assert_eq!(job.status.errors[0].error.kind, ErrorKind::Panic, "{name}");
        assert!(job.failed_reason().is_some_and(|reason| reason.contains(text)), "{name}: {job:?}");
    }
    let after = queue.push(&Double(1)).await.expect("it can be added").id;
    until(&queue, &after, JobState::Completed).await;
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_result_that_is_too_large_fails_its_job_and_takes_no_other_with_it() {
    let rig = Rig::new().await;
    let queue = rig.configured("raw", |config| config.bounds.result_bytes = 100).await;
    let worker = raw(&queue, |ctx| async move {
        let len = if &*ctx.spec().name == "large" { 101 } else { 100 };
        Ok(Some(Bytes::from("1".repeat(len))))
    });
    let jobs = (0..20).map(|n| queue.job(if n == 7 { "large" } else { "fine" }, "1")).collect();
    let added = queue.add_bulk(jobs).await.expect("they can be added");
    for (n, added) in added.iter().enumerate() {
        let state = if n == 7 { JobState::Failed } else { JobState::Completed };
        let job = until(&queue, &added.id, state).await;
        assert_eq!(job.status.attempts_made, 1, "{n} ran once: {:?}", job.status);
    }
    let large = queue.get(&added[7].id).await.expect("it can be read").expect("kept");
    assert!(large.failed_reason().is_some_and(|text| text.contains("101 result bytes")), "{large:?}");
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn a_result_that_is_too_large_fails_its_job_where_no_answer_can_be_lost() {
    // Without the probe: the backend in memory says that it loses no answers, and the worker keeps less.
    let client = Client::connect("memory:").await.expect("memory can always be had");
    let queue = client.queue("raw").expect("a good name");
    let config = bulrush::model::QueueConfig {
        bounds: bulrush::model::Bounds { result_bytes: 10, ..bulrush::model::Bounds::default() },
        ..bulrush::model::QueueConfig::default()
    };
    queue.configure(config).await.expect("good settings");
    let worker = raw(&queue, |_| async { Ok(Some(Bytes::from("12345678901"))) });
    let job = add(&queue, queue.job("large", "1")).await;
    let job = until(&queue, &job, JobState::Failed).await;
    assert_eq!(job.status.run, 1, "{:?}", job.status);
    worker.shutdown().await;
    assert_sound(&queue).await;
}

#[tokio::test]
async fn results_that_are_too_much_for_one_call_go_in_several() {
    let rig = Rig::new().await;
    let small = |config: &mut bulrush::model::QueueConfig| {
        (config.bounds.data_bytes, config.bounds.result_bytes, config.bounds.call_bytes) = (60, 60, 100);
    };
    for when in ["before-the-hello", "after-it"] {
        let early = |config: &mut _| {
            if when == "before-the-hello" {
                small(config);
            }
        };
        let queue = rig.configured(when, early).await;
        // All end at once.
        let together = Arc::new(tokio::sync::Barrier::new(8));
        let options = WorkerOptions { concurrency: 8, ..WorkerOptions::default() };
        let handlers = Handlers::new().otherwise_raw(move |_| {
            let together = together.clone();
            async move {
                together.wait().await;
                Ok(Some(Bytes::from("1".repeat(60))))
            }
        });
        let worker = Worker::start(&queue, handlers, options);
        let first = queue.add_bulk((0..7).map(|_| queue.job("x", "1")).collect()).await;
        holds("seven run", || worker.running() == 7).await;
        let mut config = queue.info().await.expect("it can be read").config;
        small(&mut config);
        queue.configure(config).await.expect("good settings");
        let last = add(&queue, queue.job("x", "1")).await;
        let ids = first.expect("they can be added").into_iter().map(|added| added.id);
        for id in ids.chain([last]) {
            let job = until(&queue, &id, JobState::Completed).await;
            assert_eq!(job.status.attempts_made, 1, "{when}: {:?}", job.status);
        }
        worker.shutdown().await;
        assert_sound(&queue).await;
    }
}

#[tokio::test]
async fn lost_answers_lose_no_job_and_run_none_twice() {
    let rig = Rig::new().await;
    let queue = rig.queue("raw");
    let runs = Arc::new(AtomicU32::new(0));
    let seen = runs.clone();
    let worker = raw(&queue, move |_| {
        seen.fetch_add(1, Ordering::Relaxed);
        async { Ok(Some(Bytes::from("1"))) }
    });
    let mut jobs = Vec::new();
    for round in 0..6 {
        for op in ["step", "resume", "add"] {
            if round % 2 == 0 {
                rig.probe.lose(op);
            }
        }
        jobs.push(add(&queue, queue.job("x", "1")).await);
        until(&queue, &jobs[round], JobState::Completed).await;
    }
    assert_eq!(queue.info().await.expect("it can be read").totals.completed, 6);
    assert!(runs.load(Ordering::Relaxed) >= 6);
    worker.shutdown().await;
    assert_sound(&queue).await;
}
