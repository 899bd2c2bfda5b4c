//! How long ended jobs are kept.

use bulrush::model::{JobState, Keep, Outcome, PageRequest};

use crate::suite::{Queue, Rig, complete, complete_with, fail, finished, ids, job};

async fn run(queue: &Queue, n: usize, outcome: Outcome) {
    queue.add_all((0..n).map(|n| job(&format!("j{n}"))).collect()).await;
    let mut hand = queue.hand(1);
    for _ in 0..n {
        hand.run(outcome.clone()).await;
    }
}

fn in_state(state: JobState) -> PageRequest {
    PageRequest { state: Some(state), ..PageRequest::default() }
}

pub async fn only_the_newest_are_kept_up_to_the_count(rig: &Rig) {
    rig.configure(|config| config.retention.completed = Keep { age_ms: None, count: Some(3) }).await;
    run(rig, 10, complete()).await;
    assert_eq!(ids(&rig.all(in_state(JobState::Completed)).await), ["j9", "j8", "j7"]);
    let info = rig.info().await;
    assert_eq!((info.counts.completed, info.counts.total(), info.totals.completed), (3, 3, 10));
    assert!(rig.find("j0").await.is_none());
}

pub async fn an_ended_job_goes_when_it_has_reached_its_age(rig: &Rig) {
    for outcome in [complete(), fail(), Outcome::Cancelled] {
        let queue = rig.queue(match outcome {
            Outcome::Complete { .. } => "completed",
            Outcome::Fail { .. } => "failed",
            _ => "cancelled",
        });
        let keep = Keep { age_ms: Some(60_000), count: None };
        queue
            .configure(|config| {
                let retention = &mut config.retention;
                (retention.completed, retention.failed, retention.cancelled) = (keep, keep, keep);
            })
            .await;
        run(&queue, 2, outcome.clone()).await;
        rig.advance(30_000);
        queue.add(job("later")).await;
        queue.hand(2).run(outcome).await;
        rig.advance(29_999);
        assert_eq!(queue.maintain().await.trimmed, 0);
        rig.advance(1);
        assert_eq!(queue.maintain().await.trimmed, 2, "{}", queue.name);
        assert_eq!(ids(&queue.all(PageRequest::default()).await), ["later"]);
    }
}

/// All within one moment, so that nothing but the order of the ends tells the two apart.
pub async fn a_job_that_ended_anew_under_the_id_of_another_is_as_old_as_it_is(rig: &Rig) {
    rig.configure(|config| config.retention.completed = Keep { age_ms: None, count: Some(3) }).await;
    let mut hand = rig.hand(1);
    for text in ["oldest", "a", "b"] {
        rig.add(job(text)).await;
        hand.run(complete()).await;
    }
    rig.remove("a").await;
    for text in ["a", "c", "d"] {
        rig.add(job(text)).await;
        hand.run(complete()).await;
    }
    assert_eq!(ids(&rig.all(in_state(JobState::Completed)).await), ["d", "c", "a"]);
}

pub async fn nothing_is_kept_where_nothing_is_wanted(rig: &Rig) {
    rig.configure(|config| config.retention.completed = Keep::NOTHING).await;
    rig.add(job("a").dedup("key").owner("acme", "ada")).await;
    let done = rig.hand(1).run(complete_with("1")).await;
    assert!(rig.find("a").await.is_none());
    assert_eq!(rig.info().await.counts.total(), 0);
    assert!(rig.add(job("b").dedup("key")).await.is_new(), "its key is free");
    assert!(rig.add(job("a")).await.is_new(), "its id is free");
    let owner = PageRequest { owner: done.spec.owner.as_deref().cloned(), ..PageRequest::default() };
    assert_eq!(rig.page(owner).await.jobs, []);
}

pub async fn each_outcome_has_its_own_retention(rig: &Rig) {
    rig.configure(|config| {
        config.retention.completed = Keep::NOTHING;
        config.retention.failed = Keep::ALL;
        config.retention.cancelled = Keep { age_ms: None, count: Some(1) };
    })
    .await;
    rig.add_ids(&["done", "dead", "x1", "x2"]).await;
    let mut hand = rig.hand(1);
    hand.run(complete()).await;
    hand.run(fail()).await;
    rig.cancel("x1").await;
    rig.cancel("x2").await;
    rig.advance(1_000_000_000_000);
    rig.maintain().await;
    let mut left = rig.all(PageRequest::default()).await;
    left.sort_by_key(|job| job.id().clone());
    assert_eq!(ids(&left), ["dead", "x2"]);
}

pub async fn trimming_is_bounded_in_a_call_and_in_a_pass(rig: &Rig) {
    // Whether others wait beside the jobs that end or not.
    for (name, beside) in [("alone", 0), ("beside", 1)] {
        let queue = rig.queue(name);
        queue.configure(|config| config.retention.completed = Keep::ALL).await;
        queue.add_all((0..beside).map(|n| job(&format!("less-urgent-{n}")).priority(9)).collect()).await;
        for part in 0..3 {
            queue.add_all((0..1_000).map(|n| job(&format!("j{part}-{n}"))).collect()).await;
            let mut hand = queue.hand(1 + part);
            let taken = hand.take(1_000).await;
            hand.step(taken.iter().map(|job| finished(job, complete())).collect(), 0).await;
        }
        queue.configure(|config| config.retention.completed = Keep::NOTHING).await;
        queue.add(job("one-more")).await;
        queue.hand(9).run(complete()).await;
        let left = queue.info().await.counts.completed;
        assert_eq!(left, 2_999, "{name}: a call trims at most twice what it settled");
        let passes = [queue.maintain().await, queue.maintain().await, queue.maintain().await];
        assert_eq!(passes.clone().map(|pass| pass.trimmed), [1_000, 1_000, 999]);
        assert_eq!(passes.map(|pass| pass.more), [true, true, false]);
        let counts = queue.info().await.counts;
        assert_eq!((counts.total(), counts.active), (beside as u64, 0));
    }
}

pub async fn a_job_that_is_still_needed_is_never_trimmed(rig: &Rig) {
    rig.configure(|config| {
        config.retention.completed = Keep::NOTHING;
        config.retention.failed = Keep::NOTHING;
        config.retention.cancelled = Keep::NOTHING;
    })
    .await;
    rig.add_ids(&["active", "waiting"]).await;
    rig.add(job("delayed").delay_ms(1_000_000_000)).await;
    let hand = &mut rig.hand(1);
    hand.take_one().await;
    for _ in 0..100 {
        rig.advance(3_000);
        hand.renew();
        rig.maintain().await;
    }
    assert_eq!(rig.info().await.counts.total(), 3);
}
