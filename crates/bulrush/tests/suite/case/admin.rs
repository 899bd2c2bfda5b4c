//! What an administrator may do.

use bulrush::model::{ChildFailure, JobState, PageRequest, When};
use bulrush::port::{AdminCommand, AdminResult, Error, Settled};

use crate::suite::{Rig, START, complete, fail, id, ids, job};

/// Adds jobs and ends them one after the other, a second apart.
async fn ended(rig: &Rig, texts: &[&str]) {
    rig.add_ids(texts).await;
    let mut hand = rig.hand(1);
    for _ in texts {
        hand.run(fail()).await;
        rig.advance(1_000);
    }
}

pub async fn a_dead_letter_runs_again_with_all_attempts_and_other_data(rig: &Rig) {
    ended(rig, &["a", "b"]).await;
    let command = AdminCommand::Retry { ids: vec![id("a"), id("b"), id("x")], data: Some("[2]".into()) };
    let reply = rig.admin(command).await;
    assert_eq!(reply.results, [AdminResult::Done, AdminResult::Done, AdminResult::Unknown]);
    assert_eq!(reply.changed, 2);
    let status = rig.job("a").await.status;
    assert_eq!((status.attempts_made, status.run_at, status.finished_on), (0, rig.now(), None));
    let taken = rig.hand(2).take_one().await;
    assert_eq!((taken.spec.data.as_ref(), taken.attempt, taken.token.run), (&b"[2]"[..], 1, 2));
    assert_eq!(taken.errors.len(), 1, "what it died of stays known");
}

pub async fn only_failed_and_cancelled_jobs_can_be_retried(rig: &Rig) {
    rig.add_ids(&["done", "active", "waiting"]).await;
    rig.add(job("delayed").delay_ms(1_000)).await;
    let mut hand = rig.hand(1);
    hand.run(complete()).await;
    hand.take_one().await;
    for (text, state) in [
        ("done", JobState::Completed),
        ("active", JobState::Active),
        ("waiting", JobState::Waiting),
        ("delayed", JobState::Delayed),
    ] {
        let command = AdminCommand::Retry { ids: vec![id(text)], data: Some("[2]".into()) };
        assert_eq!(rig.admin_one(command).await, AdminResult::WrongState(state));
        assert_eq!(rig.job(text).await.spec.data, "{}", "nothing was changed");
    }
}

pub async fn discarding_removes_dead_letters_alone(rig: &Rig) {
    ended(rig, &["dead", "again"]).await;
    rig.retry("again").await;
    rig.add_ids(&["active", "cancelled"]).await;
    rig.cancel("cancelled").await;
    let mut hand = rig.hand(2);
    assert_eq!(hand.take_one().await.spec.id, id("again"));
    let all = ["dead", "again", "active", "cancelled", "nobody"].map(id);
    let reply = rig.admin(AdminCommand::Discard(all.into())).await;
    let wrong = AdminResult::WrongState;
    assert_eq!(
        reply.results,
        [
            AdminResult::Done,
            wrong(JobState::Active),
            wrong(JobState::Waiting),
            wrong(JobState::Cancelled),
            AdminResult::Unknown
        ]
    );
    assert!(rig.find("dead").await.is_none() && rig.find("again").await.is_some());
}

pub async fn all_dead_letters_are_retried_oldest_first_in_bounded_steps(rig: &Rig) {
    ended(rig, &["a", "b", "c", "d", "e"]).await;
    let reply = rig.admin(AdminCommand::RetryFailed { limit: 2 }).await;
    assert_eq!((reply.changed, reply.more), (2, true));
    let reply = rig.admin(AdminCommand::RetryFailed { limit: 3 }).await;
    assert_eq!((reply.changed, reply.more), (3, false));
    assert_eq!(rig.hand(2).take_ids().await, ["a", "b", "c", "d", "e"]);
}

pub async fn waiting_and_delayed_jobs_can_be_moved_in_time(rig: &Rig) {
    rig.add(job("a")).await;
    rig.add(job("b").delay_ms(60_000)).await;
    let mut hand = rig.hand(1);
    let move_to = |text: &str, when| AdminCommand::Reschedule { id: id(text), when };
    assert_eq!(rig.admin_one(move_to("a", When::After(5_000))).await, AdminResult::Done);
    assert_eq!(rig.admin_one(move_to("b", When::At(START + 3_000))).await, AdminResult::Done);
    assert_eq!((rig.state("a").await, rig.job("b").await.status.run_at), (JobState::Delayed, START + 3_000));
    assert_eq!(hand.take(5).await, []);
    rig.advance(5_000);
    assert_eq!(hand.take_ids().await, ["b", "a"]);
    assert_eq!(rig.admin_one(move_to("a", When::Now)).await, AdminResult::WrongState(JobState::Active));
    rig.add(job("c").delay_ms(60_000)).await;
    rig.admin_one(move_to("c", When::Now)).await;
    assert_eq!(hand.take_ids().await, ["c"]);
}

pub async fn the_data_of_a_job_that_does_not_run_can_be_changed(rig: &Rig) {
    rig.add_ids(&["active", "waiting"]).await;
    let mut hand = rig.hand(1);
    hand.take_one().await;
    let set = |text: &str| AdminCommand::SetData { id: id(text), data: "[2]".into() };
    assert_eq!(rig.admin_one(set("active")).await, AdminResult::WrongState(JobState::Active));
    assert_eq!(rig.admin_one(set("waiting")).await, AdminResult::Done);
    assert_eq!(rig.admin_one(set("nobody")).await, AdminResult::Unknown);
    assert_eq!(hand.take_one().await.spec.data, "[2]");
}

pub async fn the_priority_of_a_job_that_runs_or_has_ended_stays(rig: &Rig) {
    rig.add_ids(&["done", "active"]).await;
    let mut hand = rig.hand(1);
    hand.run(complete()).await;
    hand.take_one().await;
    for (text, state) in [("done", JobState::Completed), ("active", JobState::Active)] {
        let command = AdminCommand::SetPriority { id: id(text), priority: 0 };
        assert_eq!(rig.admin_one(command).await, AdminResult::WrongState(state));
    }
}

pub async fn removing_spares_what_runs(rig: &Rig) {
    rig.add_ids(&["active", "waiting"]).await;
    rig.add(job("delayed").delay_ms(1_000)).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let all = ["active", "waiting", "delayed", "nobody"].map(id).to_vec();
    let reply = rig.admin(AdminCommand::Remove(all)).await;
    let expected = [
        AdminResult::WrongState(JobState::Active),
        AdminResult::Done,
        AdminResult::Done,
        AdminResult::Unknown,
    ];
    assert_eq!((reply.results.as_slice(), reply.changed), (&expected[..], 2));
    assert_eq!(hand.settle(&taken, complete()).await, Settled::Ok);
    rig.advance(1_000);
    assert_eq!(hand.take(5).await, []);
}

pub async fn invariant_7_a_removed_job_leaves_nothing_behind(rig: &Rig) {
    rig.add(job("a").dedup("key").owner("acme", "ada").tags(["red"]).group("g")).await;
    let owner = rig.job("a").await.spec.owner.as_deref().cloned();
    rig.hand(1).take_one().await;
    rig.lose_workers().await;
    rig.remove("a").await;
    assert!(rig.find("a").await.is_none());
    let info = rig.info().await;
    assert_eq!((info.counts.total(), info.groups_waiting, info.oldest_waiting), (0, vec![], None));
    assert_eq!(rig.page(PageRequest { owner, ..PageRequest::default() }).await.jobs, []);
    assert_eq!(rig.backend.logs(&rig.name, &id("a"), 0, 10).await.expect("can be read"), []);
    assert!(rig.add(job("b").dedup("key")).await.is_new());
}

pub async fn cleaning_removes_what_is_old_enough_in_bounded_steps(rig: &Rig) {
    ended(rig, &["a", "b", "c", "d"]).await;
    // They ended 4, 3, 2 and 1 s ago.
    let clean = |older_ms, limit| AdminCommand::Clean { state: JobState::Failed, older_ms, limit };
    let reply = rig.admin(clean(2_000, 2)).await;
    assert_eq!((reply.changed, reply.more), (2, true));
    let reply = rig.admin(clean(2_000, 2)).await;
    assert_eq!((reply.changed, reply.more), (1, false));
    assert_eq!(ids(&rig.all(PageRequest::default()).await), ["d"]);
    assert_eq!(rig.admin(clean(0, 0)).await.changed, 0);
}

pub async fn cleaning_reaches_every_state_but_active(rig: &Rig) {
    rig.add_ids(&["done", "dead", "active", "cancelled", "waiting"]).await;
    rig.add(job("delayed").delay_ms(60_000)).await;
    rig.add(job("waiting-children").child(rig.name.clone(), job("kid"), ChildFailure::Fail)).await;
    let mut hand = rig.hand(1);
    hand.run(complete()).await;
    hand.run(fail()).await;
    hand.take_one().await;
    rig.cancel("cancelled").await;
    for state in JobState::ALL {
        let command = AdminCommand::Clean { state, older_ms: 0, limit: 10 };
        match rig.try_admin(command).await {
            Ok(reply) => assert_eq!(reply.changed, 1, "{state}"),
            Err(error) => {
                assert!(matches!(error, Error::WrongState { command: "clean", .. }), "{error}");
                assert_eq!(state, JobState::Active);
            }
        }
    }
    assert_eq!(ids(&rig.all(PageRequest::default()).await), ["active"]);
}

/// Repeats a command for as long as it says that more is left. Returns how many jobs were changed.
async fn to_the_end(rig: &Rig, command: AdminCommand) -> usize {
    let mut changed = 0;
    for _ in 0..100 {
        let reply = rig.admin(command.clone()).await;
        changed += reply.changed;
        if !reply.more {
            return changed;
        }
    }
    panic!("{command:?} says for ever that more is left");
}

pub async fn cleaning_finds_old_jobs_however_deep_they_wait(rig: &Rig) {
    let wait_last = [job("urgent-no").priority(9), job("grouped").group("z"), job("plain").priority(8)];
    rig.add_all(wait_last.to_vec()).await;
    rig.add_all((0..3).map(|n| job(&format!("late-{n}")).delay_ms(90_000_000)).collect()).await;
    rig.advance(3_600_000);
    for part in 0..12 {
        rig.add_all((0..1_000).map(|n| job(&format!("w{part}-{n}"))).collect()).await;
        rig.add_all((0..1_000).map(|n| job(&format!("d{part}-{n}")).delay_ms(3_600_000)).collect()).await;
    }
    for state in [JobState::Waiting, JobState::Delayed] {
        let old = AdminCommand::Clean { state, older_ms: 3_600_000, limit: 1_000 };
        assert_eq!(to_the_end(rig, old.clone()).await, 3, "{state}");
        assert_eq!(to_the_end(rig, old).await, 0, "{state}: nothing is left");
        assert_eq!(rig.info().await.counts.of(state), 12_000);
        let none = AdminCommand::Clean { state, older_ms: 1, limit: 1_000 };
        assert_eq!(to_the_end(rig, none).await, 0, "{state}: nothing is old enough, and that is an end too");
        let all = AdminCommand::Clean { state, older_ms: 0, limit: 1_000 };
        assert_eq!(to_the_end(rig, all).await, 12_000, "{state}");
    }
    assert_eq!(rig.info().await.counts.total(), 0);
}

pub async fn obliterating_frees_every_key_in_bounded_steps(rig: &Rig) {
    let held = |n: usize| {
        let key = format!("key-{n}").into();
        job(&format!("j{n}")).dedup_with(bulrush::model::Dedup {
            key,
            ttl_ms: Some(60_000),
            fingerprint: None,
        })
    };
    rig.add_all((0..7).map(held).collect()).await;
    rig.admin(AdminCommand::Remove((0..4).map(|n| id(&format!("j{n}"))).collect())).await;
    assert!(!rig.add(held(0)).await.is_new(), "the keys outlive their jobs");
    assert_eq!(to_the_end(rig, AdminCommand::Obliterate { force: false, limit: 2 }).await, 3);
    let added = rig.add_all((0..7).map(held).collect()).await;
    assert!(added.iter().all(bulrush::port::Added::is_new), "{added:?}");
    assert_eq!(to_the_end(rig, AdminCommand::Drain { delayed: true, limit: 3 }).await, 7);
}

pub async fn draining_removes_what_waits_and_what_is_delayed_if_asked(rig: &Rig) {
    rig.add_ids(&["active", "w1", "w2"]).await;
    rig.add(job("w3").group("g")).await;
    rig.add(job("w4").priority(0)).await;
    rig.add(job("delayed").delay_ms(60_000)).await;
    let mut hand = rig.hand(1);
    rig.remove("w4").await;
    rig.add(job("w4").priority(9)).await;
    hand.take_one().await;
    let reply = rig.admin(AdminCommand::Drain { delayed: false, limit: 3 }).await;
    assert_eq!((reply.changed, reply.more), (3, true));
    let reply = rig.admin(AdminCommand::Drain { delayed: false, limit: 10 }).await;
    assert_eq!((reply.changed, reply.more), (1, false));
    assert_eq!(rig.info().await.counts.delayed, 1);
    assert_eq!(rig.admin(AdminCommand::Drain { delayed: true, limit: 10 }).await.changed, 1);
    assert_eq!(ids(&rig.all(PageRequest::default()).await), ["active"]);
}

pub async fn obliterating_spares_running_jobs_unless_forced_and_keeps_the_settings(rig: &Rig) {
    rig.configure(|config| config.default_priority = 9).await;
    rig.add(job("active").dedup_with(bulrush::model::Dedup {
        key: "key".into(),
        ttl_ms: Some(60_000),
        fingerprint: None,
    }))
    .await;
    rig.add_ids(&["w1", "w2"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let error = rig.try_admin(AdminCommand::Obliterate { force: false, limit: 10 }).await;
    assert!(matches!(error, Err(Error::Busy { active: 1 })), "{error:?}");
    assert_eq!(rig.info().await.counts.total(), 3);
    let reply = rig.admin(AdminCommand::Obliterate { force: true, limit: 2 }).await;
    assert_eq!((reply.changed, reply.more), (2, true));
    let reply = rig.admin(AdminCommand::Obliterate { force: true, limit: 2 }).await;
    assert_eq!((reply.changed, reply.more), (1, false));
    let info = rig.info().await;
    assert_eq!((info.counts.total(), info.config.default_priority), (0, 9));
    assert_eq!(hand.settle(&taken, complete()).await, Settled::Unknown);
    assert!(rig.add(job("active").dedup("key")).await.is_new(), "ids and keys are free");
}
