//! The test mode for users' own code.

use std::time::Duration;

use bulrush::model::{Backoff, ChildFailure, JobState};
use bulrush::testing::{START, TestClient, run};
use bulrush::{Failure, Handlers, Job};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Count(u64);

impl Job for Count {
    const NAME: &'static str = "count";
    type Output = u64;
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Report {
    of: String,
}

impl Job for Report {
    const NAME: &'static str = "report";
    type Output = ();
}

#[tokio::test]
async fn a_handler_runs_inline_with_a_context_that_works() {
    let handlers = Handlers::new()
        .on(|Count(n), ctx| async move {
            ctx.progress(10, "on");
            ctx.set_data("2".into()).await?;
            assert_eq!((ctx.attempt(), ctx.children().await?.len()), (1, 0));
            Ok(n + 1)
        })
        .on_blocking(|Report { of }, _| if of.is_empty() { panic!("of nothing") } else { Ok(()) });
    assert_eq!(run(&handlers, &Count(1)).await, Ok(2));
    assert_eq!(run(&handlers, &Report { of: "May".into() }).await, Ok(()));
    let panicked = run(&handlers, &Report { of: String::new() }).await;
    assert_eq!(panicked, Err(Failure::retry("the handler panicked: of nothing")));
    let missing = run(&Handlers::new(), &Count(1)).await;
    assert!(matches!(missing, Err(Failure::Unrecoverable { message }) if message.contains("count")));
}

#[tokio::test]
async fn work_runs_in_order_and_retries_wait_for_the_clock() {
    let test = TestClient::new();
    let queue = test.queue("work").expect("a good name");
    let low = queue.typed(&Count(3)).expect("good JSON").priority(9);
    let later = queue.typed(&Count(2)).expect("good JSON").delay_ms(1_000);
    let failing =
        queue.typed(&Count(0)).expect("good JSON").priority(1).attempts(2).backoff(Backoff::fixed(5_000));
    let ids: Vec<_> = queue
        .add_bulk(vec![low, later, failing])
        .await
        .expect("they can be added")
        .into_iter()
        .map(|a| a.id)
        .collect();
    let handlers = Handlers::new()
        .on(|Count(n), _| async move { if n == 0 { Err(Failure::retry("never")) } else { Ok(n) } });
    let numbers = test.enqueued::<Count>(&queue).await;
    assert_eq!(numbers, [Count(0), Count(3), Count(2)]);
    let ran = test.work_off(&queue, &handlers).await;
    let order: Vec<_> = ran.iter().map(|ran| (ran.id.clone(), ran.attempt)).collect();
    assert_eq!(order, [(ids[2].clone(), 1), (ids[0].clone(), 1)]);
    assert_eq!(ran[1].output::<Count>(), 3);
    assert!(test.work_off(&queue, &handlers).await.is_empty());
    test.advance(Duration::from_secs(1)).await;
    assert_eq!(test.work_off(&queue, &handlers).await.len(), 1);
    test.advance(Duration::from_secs(4)).await;
    assert_eq!(test.now(), START + 5_000);
    assert_eq!(test.work_off(&queue, &handlers).await[0].attempt, 2);
    let failed = queue.get(&ids[2]).await.expect("readable").expect("kept");
    assert_eq!((failed.state(), failed.status.attempts_made), (JobState::Failed, 2));
    test.assert_empty(&queue).await;
}

#[tokio::test]
async fn follow_ups_and_flows_reach_their_queues() {
    let test = TestClient::new();
    let (first, second) = (test.queue("first").expect("good"), test.queue("second").expect("good"));
    let target = second.clone();
    let handlers = Handlers::new()
        .on(move |Count(n), ctx| {
            let target = target.clone();
            async move {
                ctx.follow_up_typed(&target, "report", &Report { of: n.to_string() })?;
                Ok(n)
            }
        })
        .on(|Report { .. }, _| async { Ok(()) });
    let child = first.typed(&Count(7)).expect("good JSON");
    let parent = second.typed(&Report { of: "all".into() }).expect("good JSON");
    let parent = parent.child(first.name().clone(), child, ChildFailure::Fail);
    let parent = second.add(parent).await.expect("it can be added").id;
    test.assert_enqueued(&first, &Count(7)).await;
    assert!(test.work_off(&second, &handlers).await.is_empty(), "the parent waits");
    test.work_off(&first, &handlers).await;
    test.assert_enqueued(&second, &Report { of: "7".into() }).await;
    let ran = test.work_off(&second, &handlers).await;
    assert_eq!(ran.len(), 2);
    assert!(ran.iter().any(|ran| ran.id == parent));
}

#[tokio::test]
async fn a_result_beyond_the_bounds_fails_its_job_as_in_a_worker() {
    let test = TestClient::new();
    let queue = test.queue("work").expect("a good name");
    let job = queue.add(queue.job("large", "1")).await.expect("it can be added").id;
    let handlers = Handlers::new().on_raw("large", |_| async { Ok(Some(vec![b'1'; 2 << 20].into())) });
    assert_eq!(test.work_off(&queue, &handlers).await.len(), 1);
    let job = queue.get(&job).await.expect("readable").expect("kept");
    assert!(job.failed_reason().is_some_and(|text| text.contains("refused")), "{job:?}");
}

#[tokio::test]
#[should_panic(
    expected = "queue work holds no count with Count(2); it holds [Count(1)] of that name, and of others [\"report\"]"
)]
async fn what_is_not_enqueued_is_told_with_what_is() {
    let test = TestClient::new();
    let queue = test.queue("work").expect("a good name");
    queue.push(&Count(1)).await.expect("it can be added");
    queue.push(&Report { of: "May".into() }).await.expect("it can be added");
    test.assert_enqueued(&queue, &Count(2)).await;
}

#[tokio::test]
#[should_panic(expected = "does not fit")]
async fn data_that_does_not_fit_is_told() {
    let test = TestClient::new();
    let queue = test.queue("work").expect("a good name");
    queue.add(queue.job("count", "\"one\"")).await.expect("it can be added");
    test.enqueued::<Count>(&queue).await;
}
