//! Lost replies: every call may be repeated, and a call that comes too late is refused.

use bulrush::model::{JobState, Outcome, PageRequest};
use bulrush::port::{Error, Settled, Step};

use crate::suite::{Rig, complete, complete_with, finished, id, job};

pub async fn a_repeated_call_gets_the_stored_answer(rig: &Rig) {
    rig.add_ids(&["a", "b", "c"]).await;
    let mut hand = rig.hand(1);
    let first = hand.take_one().await;
    let step = hand.next(vec![finished(&first, complete_with("1"))], 1);
    let reply = hand.send(step.clone()).await.expect("the step can be carried out");
    for _ in 0..3 {
        let repeat = hand.send(step.clone()).await.expect("a repeat is no error");
        assert_eq!(repeat, reply);
    }
    let counts = rig.info().await.counts;
    assert_eq!((counts.active, counts.waiting, counts.completed), (1, 1, 1), "a repeat takes nothing more");
}

pub async fn a_repeat_tells_again_what_was_refused(rig: &Rig) {
    rig.add_ids(&["a", "b", "c"]).await;
    let mut hand = rig.hand(1);
    let old = hand.take_one().await;
    rig.lose_workers().await;
    hand.resume(&[]).await;
    let mut taken = hand.take(3).await;
    hand.end(&taken[1], complete()).await;
    rig.remove("b").await;
    taken[0] = old;
    let ended = taken.iter().map(|job| finished(job, complete())).collect();
    let step = hand.next(ended, 0);
    let reply = hand.send(step.clone()).await.expect("the step can be carried out");
    assert_eq!(reply.settled, [Settled::Stale, Settled::Unknown, Settled::Ok]);
    assert_eq!(hand.send(step).await.expect("a repeat is no error").settled, reply.settled);
}

pub async fn a_repeat_does_not_tell_again_what_was_settled_since(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let step = hand.next(Vec::new(), 2);
    let taken = hand.send(step.clone()).await.expect("the step can be carried out").taken;
    // Somebody else settles with the token it was handed, as a supervisor might.
    rig.hand(2).end(&taken[0], complete()).await;
    let repeat = hand.send(step).await.expect("a repeat is no error");
    let left: Vec<&str> = repeat.taken.iter().map(|job| job.spec.id.as_str()).collect();
    assert_eq!(left, ["b"]);
}

pub async fn a_call_that_arrives_after_a_later_one_is_refused(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let late = hand.next(Vec::new(), 1);
    hand.take(1).await;
    let error = hand.send(late).await.expect_err("it is late");
    assert!(matches!(error, Error::StaleCall { call: 1, last: 2 }), "{error}");
    assert_eq!(rig.info().await.counts.active, 1);
}

pub async fn a_hello_fences_the_calls_before_it(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let unanswered = hand.next(Vec::new(), 1);
    hand.resume(&[]).await;
    assert!(matches!(hand.send(unanswered).await, Err(Error::StaleCall { .. })));
    assert_eq!(rig.info().await.counts.active, 0);
    assert_eq!(hand.take_id().await, "a");
}

pub async fn a_late_hello_is_refused_and_a_repeated_one_is_not(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    hand.resume(&[]).await;
    let first = hand.call;
    assert!(hand.try_resume(first, &[]).await.is_ok());
    let taken = hand.take_one().await;
    let error = hand.try_resume(first, &[]).await.expect_err("it is late");
    assert!(matches!(error, Error::StaleCall { .. }), "{error}");
    assert_eq!(hand.settle(&taken, complete()).await, Settled::Ok, "the late hello returned nothing");
}

pub async fn a_hello_returns_every_job_it_does_not_name_to_the_head(rig: &Rig) {
    rig.add_ids(&["a", "b", "c", "d"]).await;
    let mut hand = rig.hand(1);
    let mut other = rig.hand(2);
    let taken = hand.take(2).await;
    other.take(1).await;
    let reply = hand.resume(&[&taken[1]]).await;
    assert_eq!((reply.returned, reply.lost), (vec![id("a")], vec![]));
    let back = rig.job("a").await.status;
    assert_eq!((back.state, back.attempts_made, back.stalls), (JobState::Waiting, 0, 0));
    assert_eq!(rig.state("b").await, JobState::Active);
    assert_eq!(rig.state("c").await, JobState::Active, "another worker's jobs are its own");
    assert_eq!(hand.settle(&taken[0], complete()).await, Settled::Stale);
    assert_eq!(hand.settle(&taken[1], complete()).await, Settled::Ok);
    assert_eq!(hand.take_ids().await, ["a", "d"]);
}

pub async fn a_hello_is_told_which_jobs_the_worker_no_longer_holds(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(2).await;
    rig.lose_workers().await;
    rig.hand(2).take(1).await;
    let reply = hand.resume(&[&taken[0], &taken[1]]).await;
    assert_eq!(reply.lost, [id("a"), id("b")]);
    assert_eq!(reply.returned, []);
}

/// The store rescued the job and gave it to the same worker again, in an answer that got lost: the worker still runs the first take.
pub async fn a_hello_that_names_an_old_take_does_not_keep_the_new_one(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let old = hand.take_one().await;
    rig.lose_workers().await;
    hand.resume(&[]).await;
    let unanswered = hand.step(Vec::new(), 1).await;
    assert_eq!(unanswered.taken.len(), 1);
    let reply = hand.resume(&[&old]).await;
    assert_eq!((reply.returned, reply.lost), (vec![id("a")], vec![id("a")]));
    assert_eq!(rig.state("a").await, JobState::Waiting, "nobody would ever settle it");
}

pub async fn a_hello_that_names_an_old_take_beside_the_new_one_keeps_the_new_one(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let old = hand.take_one().await;
    rig.lose_workers().await;
    hand.resume(&[]).await;
    let new = hand.take_one().await;
    for named in [[&*old, &*new], [&*new, &*old]] {
        assert_eq!(hand.resume(&named).await.returned, []);
    }
    assert_eq!(hand.settle(&new, crate::suite::complete()).await, Settled::Ok);
}

pub async fn the_answer_to_a_repeat_carries_what_other_queues_must_still_be_told(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let follow_ups = vec![(crate::suite::name("other"), job("next"))];
    let ended = vec![finished(&taken, Outcome::Complete { result: None, follow_ups })];
    let step = hand.next(ended, 0);
    let reply = hand.send(step.clone()).await.expect("the step can be carried out");
    assert_eq!(reply.outbox.len(), 1);
    let repeat = hand.send(step.clone()).await.expect("a repeat is no error");
    assert_eq!(repeat.outbox, reply.outbox);
    rig.backend.acknowledge(&rig.name, vec![reply.outbox[0].seq]).await.expect("can be acknowledged");
    assert_eq!(hand.send(step).await.expect("a repeat is no error").outbox, []);
}

pub async fn invariant_8_repeating_any_command_is_harmless(rig: &Rig) {
    rig.add_ids(&["a", "b", "c", "d"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(3).await;
    let calls = [
        hand.next(vec![finished(&taken[0], complete())], 0),
        hand.next(vec![finished(&taken[1], Outcome::Snooze { after_ms: 9 })], 0),
        hand.next(vec![finished(&taken[2], Outcome::Release)], 1),
    ];
    for call in calls {
        hand.send(call.clone()).await.expect("the step can be carried out");
        let before = rig.all(PageRequest::default()).await;
        // Again as the same call, and again as the settle of another call.
        hand.send(call.clone()).await.expect("a repeat is no error");
        let anew = Step { call: hand.call, want: 0, ..call };
        if hand.call != anew.call {
            hand.send(anew).await.expect("a repeat is no error");
        }
        assert_eq!(rig.all(PageRequest::default()).await, before);
    }
    for _ in 0..2 {
        rig.cancel("d").await;
        rig.remove("b").await;
        rig.maintain().await;
    }
    let counts = rig.info().await.counts;
    assert_eq!((counts.completed, counts.active, counts.cancelled, counts.total()), (1, 1, 1, 3));
}
