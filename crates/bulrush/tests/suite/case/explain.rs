//! Why a job does not run: each rule says so in its own words.

use bulrush::model::{ChildFailure, GroupConfig, JobState, Outcome, RateLimit};
use bulrush::port::{AdminCommand, Reason};

use crate::suite::{Rig, complete, id, job, name};

pub async fn a_queue_without_workers_says_so(rig: &Rig) {
    rig.add(job("a")).await;
    assert_eq!(rig.reasons("a").await, [Reason::NoWorker]);
    rig.hand(1).renew();
    assert_eq!(rig.reasons("a").await, []);
    rig.advance(10_000);
    assert_eq!(rig.reasons("a").await, [Reason::NoWorker]);
}

pub async fn a_paused_queue_says_so(rig: &Rig) {
    rig.add(job("a")).await;
    rig.hand(1).renew();
    rig.admin(AdminCommand::Pause).await;
    assert_eq!(rig.reasons("a").await, [Reason::Paused]);
}

pub async fn a_delayed_job_says_when_it_is_due(rig: &Rig) {
    rig.add(job("a").delay_ms(1_000)).await;
    rig.hand(1).renew();
    assert_eq!(rig.reasons("a").await, [Reason::DueAt(rig.now() + 1_000)]);
}

pub async fn a_parent_says_how_many_children_it_waits_for(rig: &Rig) {
    let parent = job("a").child(name("o"), job("k1"), ChildFailure::Fail);
    rig.add(parent.child(name("o"), job("k2"), ChildFailure::Fail)).await;
    rig.hand(1).renew();
    assert_eq!(rig.reasons("a").await, [Reason::Children(2)]);
}

pub async fn limits_say_until_when_and_how_many(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let running = hand.take_one().await;
    rig.configure(|config| config.concurrency = Some(1)).await;
    assert_eq!(rig.reasons("b").await, [Reason::Concurrency(1)]);
    rig.configure(|config| {
        config.concurrency = None;
        config.group_default = GroupConfig { weight: 1, concurrency: Some(1) };
    })
    .await;
    assert_eq!(rig.reasons("b").await, [Reason::GroupConcurrency(1)]);
    rig.configure(|config| config.group_default = GroupConfig::default()).await;
    hand.end(&running, Outcome::RateLimited { retry_after_ms: 500 }).await;
    assert_eq!(rig.reasons("a").await, [Reason::Limited(rig.now() + 500)]);
    assert_eq!(rig.reasons("b").await, [Reason::Limited(rig.now() + 500), Reason::Behind(1)]);
    rig.advance(500);
    assert_eq!(rig.reasons("b").await, [Reason::Behind(1)]);
    rig.configure(|config| config.rate = Some(RateLimit { max: 1, per_ms: 1_000 })).await;
    hand.run(complete()).await;
    assert_eq!(rig.reasons("b").await, [Reason::Limited(rig.now() + 1_000)]);
}

pub async fn a_group_that_is_held_back_says_so(rig: &Rig) {
    rig.add_all(vec![job("a").group("g"), job("plain")]).await;
    let mut hand = rig.hand(1);
    hand.run(Outcome::RateLimited { retry_after_ms: 500 }).await;
    assert_eq!(rig.reasons("a").await, [Reason::GroupLimited(rig.now() + 500)]);
    assert_eq!(rig.reasons("plain").await, []);
    rig.advance(500);
    assert_eq!(rig.reasons("a").await, []);
}

pub async fn a_job_behind_others_says_how_many(rig: &Rig) {
    rig.add_ids(&["a", "b", "c"]).await;
    rig.add(job("urgent").priority(0)).await;
    rig.add(job("other").group("g")).await;
    rig.hand(1).renew();
    assert_eq!(rig.reasons("c").await, [Reason::Behind(3)]);
    assert_eq!(rig.reasons("urgent").await, []);
    assert_eq!(rig.reasons("other").await, []);
}

pub async fn running_and_ended_jobs_say_so(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    hand.run(complete()).await;
    hand.take_one().await;
    assert_eq!(rig.reasons("a").await, [Reason::Ended(JobState::Completed)]);
    assert_eq!(rig.reasons("b").await, [Reason::Running { worker: hand.id(), since: rig.now() }]);
    let nobody = rig.backend.explain(&rig.name, &id("nobody")).await.expect("can be read");
    assert_eq!(nobody, None);
}
