//! Cancelling: at once before a job starts, on request while it runs, and the first settle wins.

use bulrush::model::{ChildFailure, ErrorKind, JobError, JobState, Outcome};
use bulrush::port::{AdminCommand, AdminResult, Settled};

use crate::suite::{Rig, again, complete, complete_with, fail, id, job, name};

pub async fn a_job_that_has_not_started_is_cancelled_at_once(rig: &Rig) {
    rig.add(job("waiting")).await;
    rig.add(job("delayed").delay_ms(60_000)).await;
    rig.add(job("parent").child(name("other"), job("child"), ChildFailure::Fail)).await;
    for text in ["waiting", "delayed", "parent"] {
        assert_eq!(rig.cancel(text).await, AdminResult::Done);
        let gone = rig.job(text).await;
        assert_eq!(gone.state(), JobState::Cancelled);
        assert_eq!(gone.status.finished_on, Some(rig.now()));
    }
    rig.advance(60_000);
    assert_eq!(rig.hand(1).take(10).await, []);
}

pub async fn a_running_job_is_asked_to_stop_with_the_next_call_and_renewal(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(2).await;
    assert_eq!(rig.cancel("a").await, AdminResult::Requested);
    assert_eq!(rig.cancel("a").await, AdminResult::Requested, "a repeat is harmless");
    assert!(rig.job("a").await.active.is_some_and(|run| run.cancel_requested));
    assert_eq!(hand.renew().cancel, [(id("a"), taken[0].token)]);
    assert_eq!(hand.step(Vec::new(), 0).await.cancel, [id("a")]);
    assert_eq!(rig.hand(2).step(Vec::new(), 0).await.cancel, [], "only its own worker is told");
    hand.end(&taken[0], Outcome::Cancelled).await;
    assert_eq!(rig.state("a").await, JobState::Cancelled);
    assert_eq!(hand.renew().cancel, []);
}

pub async fn a_job_that_completes_before_its_stop_stays_completed(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    rig.cancel("a").await;
    hand.end(&taken, complete_with("1")).await;
    assert_eq!(rig.state("a").await, JobState::Completed);
    assert_eq!(rig.cancel("a").await, AdminResult::WrongState(JobState::Completed));
}

pub async fn after_a_request_whatever_is_no_completion_ends_as_cancelled(rig: &Rig) {
    let outcomes = [
        again(0),
        fail(),
        Outcome::Snooze { after_ms: 1 },
        Outcome::RateLimited { retry_after_ms: 1_000 },
        Outcome::Release,
        Outcome::Cancelled,
    ];
    let mut hand = rig.hand(1);
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let text = format!("j{n}");
        rig.add(job(&text)).await;
        let taken = hand.take_one().await;
        rig.cancel(&text).await;
        hand.end(&taken, outcome.clone()).await;
        assert_eq!(rig.state(&text).await, JobState::Cancelled, "after {outcome:?}");
    }
    assert_eq!(rig.info().await.limited_until, None, "a cancelled job limits nobody");
    assert_eq!(rig.info().await.totals.cancelled, 6);
}

pub async fn a_cancelled_job_keeps_its_errors_however_many_there_are(rig: &Rig) {
    rig.configure(|config| config.bounds.errors = 2).await;
    for (text, last) in [("a", again(0)), ("b", fail())] {
        rig.add(job(text).attempts(9)).await;
        let mut hand = rig.hand(1);
        for message in ["first", "second", "third"] {
            let error = JobError { kind: ErrorKind::Retryable, message: message.into() };
            hand.run(Outcome::Retry { after_ms: 0, error }).await;
        }
        let taken = hand.take_one().await;
        rig.cancel(text).await;
        hand.end(&taken, last).await;
        let found = rig.job(text).await;
        let messages: Vec<&str> =
            found.status.errors.iter().map(|error| error.error.message.as_str()).collect();
        assert_eq!((found.state(), messages), (JobState::Cancelled, vec!["second", "third"]));
    }
}

pub async fn a_rescued_or_returned_job_with_a_request_ends_as_cancelled(rig: &Rig) {
    rig.add_ids(&["rescued", "returned"]).await;
    let (mut dead, mut forgetful) = (rig.hand(1), rig.hand(2));
    dead.take_one().await;
    forgetful.take_one().await;
    rig.cancel("rescued").await;
    rig.cancel("returned").await;
    assert_eq!(forgetful.resume(&[]).await.returned, [id("returned")]);
    assert_eq!(rig.state("returned").await, JobState::Cancelled);
    assert_eq!(rig.lose_workers().await, 1);
    assert_eq!(rig.state("rescued").await, JobState::Cancelled);
}

pub async fn a_settle_after_a_cancel_took_effect_is_stale(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    rig.cancel("a").await;
    rig.lose_workers().await;
    assert_eq!(hand.settle(&taken, complete()).await, Settled::Stale);
    assert_eq!(rig.state("a").await, JobState::Cancelled);
}

pub async fn cancelling_what_has_ended_or_never_was_is_told_apart(rig: &Rig) {
    rig.add_ids(&["done", "dead"]).await;
    let mut hand = rig.hand(1);
    hand.run(complete()).await;
    hand.run(fail()).await;
    let reply = rig.admin(AdminCommand::Cancel(vec![id("done"), id("dead"), id("nobody")])).await;
    let expected = [
        AdminResult::WrongState(JobState::Completed),
        AdminResult::WrongState(JobState::Failed),
        AdminResult::Unknown,
    ];
    assert_eq!((reply.results.as_slice(), reply.changed), (&expected[..], 0));
}

pub async fn a_cancelled_job_can_be_retried(rig: &Rig) {
    rig.add(job("a")).await;
    rig.cancel("a").await;
    assert_eq!(rig.retry("a").await, AdminResult::Done);
    rig.hand(1).run(complete()).await;
    assert_eq!(rig.state("a").await, JobState::Completed);
}
