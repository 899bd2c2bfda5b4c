//! How an attempt ends, and what that makes of its job.

use bulrush::model::{ErrorKind, JobError, JobState, Outcome};
use bulrush::port::Settled;

use crate::suite::{Rig, again, complete, complete_with, fail, finished, job};

pub async fn a_completed_job_keeps_its_result_and_its_times(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    rig.advance(10);
    let taken = hand.take_one().await;
    assert_eq!((taken.attempt, taken.token.run, taken.token.worker), (1, 1, hand.id()));
    assert_eq!(rig.job("a").await.active.map(|run| run.token), Some(taken.token));
    rig.advance(20);
    hand.end(&taken, complete_with("[1]")).await;
    let done = rig.job("a").await;
    assert_eq!(done.state(), JobState::Completed);
    assert_eq!(done.status.result.as_deref(), Some(&b"[1]"[..]));
    assert_eq!(done.status.processed_on, Some(rig.now() - 20));
    assert_eq!(done.status.finished_on, Some(rig.now()));
    assert_eq!((done.active, done.status.settled_by), (None, Some(taken.token)));
    assert_eq!(rig.info().await.totals.completed, 1);
}

pub async fn a_job_is_tried_again_after_its_pause_until_its_attempts_are_used_up(rig: &Rig) {
    rig.add(job("a").attempts(3)).await;
    let mut hand = rig.hand(1);
    for attempt in 1..=2 {
        let taken = hand.run(again(5_000)).await;
        assert_eq!((taken.attempt, taken.errors.len()), (attempt, attempt as usize - 1));
        assert_eq!(rig.state("a").await, JobState::Delayed);
        rig.advance(4_999);
        assert_eq!(hand.take(1).await, []);
        rig.advance(1);
    }
    // The last attempt's failure is final, whatever the worker says.
    hand.run(again(5_000)).await;
    let dead = rig.job("a").await;
    assert_eq!((dead.state(), dead.status.attempts_made), (JobState::Failed, 3));
    assert_eq!(dead.failed_reason(), Some("not this time"));
    let attempts: Vec<u32> = dead.status.errors.iter().map(|error| error.attempt).collect();
    assert_eq!(attempts, [1, 2, 3]);
    let totals = rig.info().await.totals;
    assert_eq!((totals.retried, totals.failed), (2, 1));
    rig.advance(100_000);
    assert_eq!(hand.take(1).await, []);
}

pub async fn a_pause_of_nothing_puts_a_failed_attempt_back_at_once(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    hand.run(again(0)).await;
    assert_eq!(rig.state("a").await, JobState::Waiting);
    assert_eq!(hand.take_ids().await, ["b", "a"], "behind those who have waited");
}

pub async fn an_error_that_no_retry_can_help_is_final_at_once(rig: &Rig) {
    rig.add(job("a").attempts(10)).await;
    rig.hand(1).run(fail()).await;
    let dead = rig.job("a").await;
    assert_eq!((dead.state(), dead.status.attempts_made), (JobState::Failed, 1));
    assert_eq!(dead.status.errors[0].error.kind, ErrorKind::Unrecoverable);
    assert!(dead.status.finished_on.is_some());
}

pub async fn a_snoozed_job_comes_back_without_an_attempt_used(rig: &Rig) {
    rig.add(job("a").attempts(1)).await;
    let mut hand = rig.hand(1);
    for _ in 0..5 {
        let taken = hand.run(Outcome::Snooze { after_ms: 1_000 }).await;
        assert_eq!((taken.attempt, taken.errors.len()), (1, 0));
        assert_eq!(rig.state("a").await, JobState::Delayed);
        assert_eq!(hand.take(1).await, []);
        rig.advance(1_000);
    }
    hand.run(complete()).await;
    assert_eq!(rig.job("a").await.status.attempts_made, 1);
}

pub async fn a_released_job_goes_back_to_the_head_without_an_attempt_used(rig: &Rig) {
    rig.add_ids(&["a", "b", "c"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(2).await;
    hand.end(&taken[0], Outcome::Release).await;
    let back = rig.job("a").await;
    assert_eq!((back.state(), back.status.attempts_made), (JobState::Waiting, 0));
    assert_eq!((back.status.errors.len(), back.status.stalls), (0, 0));
    assert_eq!(hand.take_ids().await, ["a", "c"]);
}

pub async fn a_rate_limited_job_holds_its_queue_back_and_uses_no_attempt(rig: &Rig) {
    rig.add(job("a").attempts(1)).await;
    rig.add(job("b")).await;
    let mut hand = rig.hand(1);
    let limited = Outcome::RateLimited { retry_after_ms: 3_000 };
    let job = hand.take_one().await;
    let reply = hand.step(vec![finished(&job, limited)], 10).await;
    assert_eq!((reply.taken.len(), reply.limited_until), (0, Some(rig.now() + 3_000)));
    assert_eq!(rig.job("a").await.status.attempts_made, 0);
    assert_eq!(rig.info().await.limited_until, Some(rig.now() + 3_000));
    rig.advance(2_999);
    assert_eq!(rig.hand(2).take(1).await, []);
    rig.advance(1);
    assert_eq!(hand.take_ids().await, ["a", "b"], "it goes to the head");
}

pub async fn a_rate_limited_job_of_a_group_holds_only_its_group_back(rig: &Rig) {
    rig.add(job("a1").group("a")).await;
    rig.add(job("a2").group("a")).await;
    rig.add(job("b1").group("b")).await;
    rig.add(job("plain")).await;
    let mut hand = rig.hand(1);
    let job = hand.take_one().await;
    assert_eq!(job.spec.id.as_str(), "a1");
    let reply = hand.step(vec![finished(&job, Outcome::RateLimited { retry_after_ms: 3_000 })], 0).await;
    assert_eq!((reply.limited_until, reply.next_due), (None, Some(rig.now() + 3_000)));
    let mut others = hand.take_ids().await;
    others.sort();
    assert_eq!(others, ["b1", "plain"]);
    rig.advance(3_000);
    assert_eq!(hand.take_ids().await, ["a1", "a2"]);
}

pub async fn the_history_of_errors_is_bounded_and_messages_are_cut_at_a_character(rig: &Rig) {
    rig.configure(|config| {
        config.bounds.errors = 3;
        config.bounds.message_bytes = 4;
    })
    .await;
    rig.add(job("a").attempts(8)).await;
    let mut hand = rig.hand(1);
    for _ in 0..8 {
        let error = JobError { kind: ErrorKind::Panic, message: "abcäö".into() };
        hand.run(Outcome::Retry { after_ms: 0, error }).await;
    }
    let errors = rig.job("a").await.status.errors;
    let attempts: Vec<u32> = errors.iter().map(|error| error.attempt).collect();
    assert_eq!(attempts, [6, 7, 8], "the oldest go first");
    assert!(errors.iter().all(|error| error.error.message == "abc"), "{errors:?}");
}

pub async fn one_call_settles_many_and_takes_what_fits(rig: &Rig) {
    rig.add_ids(&["a", "b", "c", "d", "e"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(3).await;
    let ended = vec![
        finished(&taken[0], complete()),
        finished(&taken[1], again(60_000)),
        finished(&taken[2], fail()),
    ];
    let reply = hand.step(ended, 2).await;
    assert_eq!(reply.settled, [Settled::Ok; 3]);
    let next: Vec<&str> = reply.taken.iter().map(|job| job.spec.id.as_str()).collect();
    assert_eq!(next, ["d", "e"]);
    let counts = rig.info().await.counts;
    assert_eq!((counts.completed, counts.delayed, counts.failed, counts.active), (1, 1, 1, 2));
}

pub async fn a_job_named_twice_in_one_call_is_settled_once(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let job = hand.take_one().await;
    let ended = vec![finished(&job, complete_with("1")), finished(&job, fail())];
    assert_eq!(hand.step(ended, 0).await.settled, [Settled::Ok, Settled::Ok]);
    let done = rig.job("a").await;
    assert_eq!((done.state(), done.status.result.as_deref()), (JobState::Completed, Some(&b"1"[..])));
    assert_eq!(rig.info().await.totals.completed, 1);
    // Nor twice where both say the same, whether it is alone in its queue or another one waits there.
    for (completed, text) in [(2, "b"), (3, "c")] {
        rig.add(crate::suite::job(text)).await;
        let job = hand.take_one().await;
        let ended = vec![finished(&job, complete()), finished(&job, complete())];
        assert_eq!(hand.step(ended, 0).await.settled, [Settled::Ok, Settled::Ok]);
        let info = rig.info().await;
        let counts = (info.totals.completed, info.counts.completed, info.counts.active);
        assert_eq!(counts, (completed, completed, 0));
        rig.add(crate::suite::job(&format!("beside-{text}")).priority(9)).await;
    }
}

pub async fn invariant_4_ended_jobs_say_how_and_when(rig: &Rig) {
    rig.add_ids(&["a", "b", "c"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(3).await;
    rig.advance(5);
    for (job, outcome) in taken.iter().zip([complete_with("1"), fail(), Outcome::Cancelled]) {
        hand.end(job, outcome).await;
    }
    for (text, state) in [("a", JobState::Completed), ("b", JobState::Failed), ("c", JobState::Cancelled)] {
        let status = rig.job(text).await.status;
        assert_eq!(status.state, state);
        assert!(status.finished_on >= status.processed_on && status.processed_on >= Some(status.created_at));
        assert_eq!(status.result.is_some(), state == JobState::Completed);
        assert_eq!(status.errors.is_empty(), state != JobState::Failed);
    }
}
