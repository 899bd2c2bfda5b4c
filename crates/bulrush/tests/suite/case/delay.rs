//! Delayed jobs: never before their time, and at once after it.

use bulrush::model::JobState;
use bulrush::port::{AdminCommand, AdminResult};

use crate::suite::{Rig, START, complete, id, job};

pub async fn a_delayed_job_starts_at_its_time_and_not_a_millisecond_before(rig: &Rig) {
    rig.add(job("a").delay_ms(1_000)).await;
    rig.add(job("b").run_at(START + 1_001)).await;
    assert_eq!(rig.state("a").await, JobState::Delayed);
    let mut hand = rig.hand(1);
    rig.advance(999);
    assert_eq!(hand.take_ids().await, [""; 0]);
    rig.advance(1);
    assert_eq!(hand.take_ids().await, ["a"]);
    rig.advance(1);
    assert_eq!(hand.take_ids().await, ["b"]);
    assert_eq!(rig.job("b").await.status.run_at, START + 1_001);
}

pub async fn a_time_in_the_past_means_now(rig: &Rig) {
    rig.add(job("a").run_at(1)).await;
    let found = rig.job("a").await;
    assert_eq!((found.state(), found.status.run_at), (JobState::Waiting, START));
}

pub async fn due_jobs_run_in_the_order_of_their_times(rig: &Rig) {
    for (text, delay) in [("c", 300), ("a", 100), ("b", 200), ("c2", 300)] {
        rig.add(job(text).delay_ms(delay)).await;
    }
    rig.advance(1_000);
    assert_eq!(rig.hand(1).take_ids().await, ["a", "b", "c", "c2"]);
}

pub async fn a_worker_is_told_when_the_next_job_is_due(rig: &Rig) {
    rig.add(job("b").delay_ms(2_000)).await;
    rig.add(job("a").delay_ms(1_000)).await;
    let mut hand = rig.hand(1);
    assert_eq!(hand.step(Vec::new(), 1).await.next_due, Some(START + 1_000));
    assert_eq!(rig.info().await.next_due, Some(START + 1_000));
    rig.advance(1_000);
    assert_eq!(hand.step(Vec::new(), 1).await.next_due, Some(START + 2_000));
}

pub async fn maintenance_makes_due_jobs_wait(rig: &Rig) {
    rig.add(job("a").delay_ms(1_000)).await;
    rig.advance(1_000);
    let maintained = rig.maintain().await;
    assert_eq!((maintained.promoted, maintained.more), (1, false));
    assert_eq!(rig.state("a").await, JobState::Waiting);
}

pub async fn fifty_thousand_jobs_due_at_the_same_instant_all_run_in_order(rig: &Rig) {
    let text = |n: usize| format!("j{n:05}");
    for part in 0..50 {
        let jobs = (part * 1_000..(part + 1) * 1_000).map(|n| job(&text(n)).run_at(START + 5_000));
        rig.add_all(jobs.collect()).await;
    }
    assert_eq!(rig.info().await.counts.delayed, 50_000);
    rig.advance(5_000);
    // One call promotes a bounded number, however many are due.
    let promoted = rig.maintain().await;
    assert!(promoted.more && promoted.promoted <= 1_000, "{promoted:?}");
    let order = rig.hand(1).take_ids().await;
    assert_eq!(order.len(), 50_000);
    assert!(order.iter().enumerate().all(|(n, seen)| *seen == text(n)), "they run by id");
}

pub async fn a_promoted_job_runs_at_once(rig: &Rig) {
    rig.add(job("a").delay_ms(60_000)).await;
    rig.add(job("b")).await;
    assert_eq!(rig.admin_one(AdminCommand::Promote(vec![id("a")])).await, AdminResult::Done);
    let state = AdminResult::WrongState(JobState::Waiting);
    assert_eq!(rig.admin_one(AdminCommand::Promote(vec![id("b")])).await, state);
    let info = rig.info().await;
    assert!(info.oldest_waiting <= Some(rig.now()), "it cannot have waited since a time to come: {info:?}");
    let due: Vec<_> = rig.reasons("a").await;
    assert!(!due.iter().any(|reason| matches!(reason, bulrush::port::Reason::DueAt(_))), "{due:?}");
    let mut hand = rig.hand(1);
    assert_eq!(hand.take_ids().await, ["b", "a"]);
}

pub async fn a_job_far_in_the_future_harms_nobody(rig: &Rig) {
    rig.add(job("never").run_at(u64::MAX)).await;
    rig.add(job("now")).await;
    let mut hand = rig.hand(1);
    assert_eq!(hand.step(Vec::new(), 0).await.next_due, Some(u64::MAX));
    hand.run(complete()).await;
    assert_eq!(rig.state("never").await, JobState::Delayed);
}
