//! Fencing: only the current take of a job may write to it, and everybody else is told so.

use std::sync::Arc;

use bulrush::model::{JobState, Outcome, Progress, Taken, Token, WorkerId};
use bulrush::port::{Settled, UpdateChange};

use crate::suite::{Hand, Rig, again, complete, complete_with, fail, finished, job};

/// Every way in which a worker can write.
async fn write_all(hand: &mut Hand, job: &Arc<Taken>) -> Vec<Settled> {
    let changes = [
        UpdateChange::Progress(Progress { percent: 50, message: None, data: None }),
        UpdateChange::Log { from: 0, lines: vec!["late".into()] },
        UpdateChange::Data("[9]".into()),
    ];
    let mut seen = Vec::new();
    for change in changes {
        seen.push(hand.update(job, change).await);
    }
    let outcomes = [
        complete_with("late"),
        again(0),
        fail(),
        Outcome::Snooze { after_ms: 1 },
        Outcome::RateLimited { retry_after_ms: 1_000 },
        Outcome::Release,
        Outcome::Cancelled,
    ];
    for outcome in outcomes {
        seen.push(hand.settle(job, outcome).await);
    }
    seen
}

pub async fn a_zombie_s_writes_are_stale_and_change_nothing(rig: &Rig) {
    rig.add(job("a")).await;
    let mut zombie = rig.hand(1);
    let old = zombie.take_one().await;
    rig.lose_workers().await;
    // Nobody holds the job, somebody else runs it, and somebody else has ended it.
    let waiting = rig.job("a").await;
    assert_eq!(write_all(&mut zombie, &old).await, [Settled::Stale; 10]);
    assert_eq!(rig.job("a").await, waiting);
    let mut second = rig.hand(2);
    let new = second.take_one().await;
    assert!(new.token.run > old.token.run);
    let running = rig.job("a").await;
    assert_eq!(write_all(&mut zombie, &old).await, [Settled::Stale; 10]);
    assert_eq!(rig.job("a").await, running);
    second.end(&new, complete_with("mine")).await;
    let done = rig.job("a").await;
    assert_eq!(write_all(&mut zombie, &old).await, [Settled::Stale; 10]);
    assert_eq!(rig.job("a").await, done);
    assert_eq!(rig.info().await.limited_until, None);
    let logs = rig.backend.logs(&rig.name, done.id(), 0, 10).await.expect("logs can be read");
    assert_eq!(logs, []);
}

pub async fn a_write_to_a_job_that_was_removed_is_unknown_and_brings_nothing_back(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let old = hand.take_one().await;
    hand.end(&old, complete()).await;
    rig.remove("a").await;
    assert_eq!(write_all(&mut hand, &old).await, [Settled::Unknown; 10]);
    assert!(rig.find("a").await.is_none());
    assert!(rig.add(job("a")).await.is_new(), "the id is free");
    assert_eq!(write_all(&mut hand, &old).await, [Settled::Stale; 10], "the new job is not the old one");
    assert_eq!(rig.state("a").await, JobState::Waiting);
}

pub async fn a_repeated_settle_is_answered_ok_and_changes_nothing(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let done = hand.run(complete_with("1")).await;
    let before = rig.job("a").await;
    for outcome in [complete_with("2"), fail(), Outcome::Release] {
        assert_eq!(hand.settle(&done, outcome).await, Settled::Ok);
    }
    assert_eq!(rig.job("a").await, before);
    // So is the repeat of a settle that did not end the job.
    let tried = hand.run(again(60_000)).await;
    let before = rig.job("b").await;
    assert_eq!(hand.settle(&tried, again(60_000)).await, Settled::Ok);
    assert_eq!(rig.job("b").await, before);
    rig.advance(60_000);
    let later = hand.take_one().await;
    hand.end(&later, complete()).await;
    assert_eq!(hand.settle(&tried, fail()).await, Settled::Stale, "the last settle was another token's");
}

pub async fn a_settled_job_takes_no_progress_any_more(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let done = hand.run(complete()).await;
    let change = UpdateChange::Progress(Progress { percent: 1, message: None, data: None });
    assert_eq!(hand.update(&done, change).await, Settled::Stale);
    assert_eq!(rig.job("a").await.status.progress, None);
}

pub async fn a_forged_token_is_stale(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let Token { run, worker, take } = taken.token;
    let forged = [Token { run, worker: WorkerId(2), take }, Token { run, worker, take: take + 1 }];
    for token in forged {
        let job = Arc::new(Taken { token, ..(*taken).clone() });
        assert_eq!(hand.settle(&job, complete()).await, Settled::Stale, "{token}");
    }
    assert_eq!(rig.state("a").await, JobState::Active);
    assert_eq!(hand.settle(&taken, complete()).await, Settled::Ok);
}

pub async fn one_stale_token_does_not_spoil_the_others_of_its_call(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(2).await;
    hand.end(&taken[0], Outcome::Release).await;
    let again = rig.hand(2).take_one().await;
    assert_eq!(again.spec.id.as_str(), "a");
    let unknown = Arc::new(Taken { spec: Arc::new(job("nobody").spec), ..(*taken[1]).clone() });
    let ended = vec![
        finished(&unknown, complete()),
        finished(&taken[0], complete()),
        finished(&taken[1], complete()),
    ];
    // The token that gave the job back has settled it, but the job has a new taker now.
    let expected = [Settled::Unknown, Settled::Ok, Settled::Ok];
    assert_eq!(hand.step(ended, 0).await.settled, expected);
    assert_eq!((rig.state("a").await, rig.state("b").await), (JobState::Active, JobState::Completed));
}

pub async fn tokens_of_a_job_grow_with_each_take_and_never_repeat(rig: &Rig) {
    rig.add(job("a").attempts(100)).await;
    let mut hands = [rig.hand(1), rig.hand(2), rig.hand(3)];
    let mut seen = Vec::new();
    for round in 0..12_usize {
        let hand = &mut hands[round % 3];
        let taken = hand.take_one().await;
        assert_eq!(taken.token.run, round as u32 + 1);
        assert!(!seen.contains(&taken.token.nonce()), "{} was issued before", taken.token);
        seen.push(taken.token.nonce());
        match round % 3 {
            0 => drop(hand.end(&taken, again(0)).await),
            1 => drop(hand.end(&taken, Outcome::Release).await),
            _ => drop(hand.resume(&[]).await),
        }
    }
}
