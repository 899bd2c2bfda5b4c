//! The check of the invariants, and what a restart must keep. Damage that commands cannot do is seeded in the core's own tests.

use bulrush::model::{ChildFailure, GroupConfig, JobState, Outcome, PageRequest, RateLimit};
use bulrush::port::AdminCommand;

use crate::suite::{Rig, again, complete, complete_with, fail, finished, job, name};

pub async fn invariant_1_counts_equal_what_pages_show(rig: &Rig) {
    let mut hand = rig.hand(1);
    let outcomes = [complete(), again(5_000), fail(), Outcome::Release, Outcome::Snooze { after_ms: 1 }];
    for round in 0..40_usize {
        rig.add_all((0..5).map(|n| job(&format!("j{round}-{n}"))).collect()).await;
        let taken = hand.take(3).await;
        let ended = taken.iter().skip(round % 2).map(|job| finished(job, outcomes[round % 5].clone()));
        hand.step(ended.collect(), 0).await;
        rig.cancel(&format!("j{round}-4")).await;
        rig.remove(&format!("j{}-3", round / 2)).await;
        rig.advance(300);
    }
    let counts = rig.info().await.counts;
    for state in JobState::ALL {
        let page = rig.all(PageRequest { state: Some(state), ..PageRequest::default() }).await;
        assert_eq!(page.len() as u64, counts.of(state), "{state}");
        assert!(page.iter().all(|job| job.state() == state));
    }
    assert_eq!(rig.findings(false).await, []);
}

pub async fn a_sound_queue_is_checked_whole_in_slices_and_repaired_without_harm(rig: &Rig) {
    for part in 0..11 {
        rig.add_all((0..1_000).map(|n| job(&format!("j{part}-{n}"))).collect()).await;
    }
    let (mut cursor, mut checked, mut slices) = (Some(0), 0, 0);
    while let Some(from) = cursor {
        let page = rig.backend.verify(&rig.name, from, true).await.expect("a queue can be checked");
        assert_eq!(page.findings, []);
        (cursor, checked, slices) = (page.next, checked + page.checked, slices + 1);
    }
    assert!(slices > 1, "a check of many records takes several calls");
    assert_eq!(checked, 11_000);
    assert_eq!(rig.hand(1).take(2).await.len(), 2);
    let beyond = rig.backend.verify(&rig.name, u64::MAX, false).await.expect("a queue can be checked");
    assert_eq!((beyond.checked, beyond.next), (0, None));
}

pub async fn a_group_whose_pause_is_over_is_no_finding(rig: &Rig) {
    rig.add_all(vec![job("a").group("g"), job("b").group("g")]).await;
    rig.hand(1).run(Outcome::RateLimited { retry_after_ms: 1_000 }).await;
    rig.advance(5_000);
    // Time moves on without anybody taking.
    rig.add(job("c")).await;
    assert_eq!(rig.findings(false).await, []);
    let mut order = rig.hand(1).take_ids().await;
    order.sort();
    assert_eq!(order, ["a", "b", "c"]);
}

pub async fn jobs_that_stalled_before_fewer_stalls_were_allowed_are_no_findings(rig: &Rig) {
    rig.configure(|config| config.stalls_max = 3).await;
    rig.add_ids(&["runs", "ended", "died", "waits"]).await;
    for stalls in 1..=3 {
        rig.hand(stalls).take(4).await;
        assert_eq!(rig.lose_workers().await, 4);
    }
    rig.configure(|config| config.stalls_max = 0).await;
    assert_eq!(rig.findings(false).await, []);
    let mut hand = rig.hand(4);
    let taken = hand.take(3).await;
    assert!(taken.iter().all(|job| job.stalls == 3), "they have their stalls still");
    let job = |text: &str| taken.iter().find(|job| job.spec.id.as_str() == text).expect("it was taken");
    hand.end(job("ended"), complete()).await;
    hand.end(job("died"), fail()).await;
    assert_eq!(rig.findings(false).await, []);
    // The next stall is judged by the settings of the day.
    rig.lose_workers().await;
    assert_eq!(rig.state("runs").await, JobState::Failed);
    assert_eq!(rig.findings(false).await, []);
    rig.retry("runs").await;
    rig.hand(5).take(1).await;
    assert_eq!(rig.findings(true).await, []);
}

pub async fn a_restart_keeps_settings_limits_pauses_and_keys(rig: &mut Rig) {
    rig.configure(|config| {
        config.rate = Some(RateLimit { max: 3, per_ms: 60_000 });
        config.groups.insert("g".into(), GroupConfig { weight: 4, concurrency: Some(2) });
        config.depth_max = Some(50);
    })
    .await;
    rig.add_all(vec![job("g1").group("g"), job("g2").group("g"), job("plain").dedup("key")]).await;
    let mut hand = rig.hand(1);
    hand.run(Outcome::RateLimited { retry_after_ms: 30_000 }).await;
    hand.run(complete_with("1")).await;
    rig.add(job("holder").dedup("key")).await;
    rig.admin(AdminCommand::Pause).await;
    let before = rig.info().await;
    if !rig.reopen().await {
        return;
    }
    let mut after = rig.info().await;
    after.maintained_at = before.maintained_at;
    assert!(after.last_event >= before.last_event, "positions are never issued twice");
    after.last_event = before.last_event;
    assert_eq!(after, before);
    assert!(!rig.add(job("other").dedup("key")).await.is_new());
    rig.admin(AdminCommand::Unpause).await;
    assert_eq!(rig.hand(2).take_ids().await, ["holder"], "the group is held back, and one start is left");
    rig.advance(60_000);
    assert_eq!(rig.hand(2).take_ids().await, ["g1", "g2"]);
}

pub async fn a_restart_keeps_the_order_of_everything(rig: &mut Rig) {
    for (n, priority) in [5, 0, 9, 5, 0].into_iter().enumerate() {
        rig.add(job(&format!("w{n}")).priority(priority)).await;
    }
    rig.add_all((0..3).map(|n| job(&format!("a{n}")).group("a")).collect()).await;
    rig.add_all((0..3).map(|n| job(&format!("b{n}")).group("b")).collect()).await;
    rig.add_all((0..3).map(|n| job(&format!("d{n}")).delay_ms(100)).collect()).await;
    rig.add(job("lifo").lifo()).await;
    let mut hand = rig.hand(1);
    hand.run(complete()).await;
    hand.run(fail()).await;
    rig.reopen().await;
    rig.advance(100);
    let order = rig.hand(2).take_ids().await;
    let expected = ["b0", "w4", "a1", "b1", "lifo", "a2", "b2", "w0", "w3", "d0", "d1", "d2", "w2"];
    assert_eq!(order, expected);
}

pub async fn a_restart_takes_back_what_ran_and_counts_a_stall(rig: &mut Rig) {
    rig.add(job("a").attempts(1)).await;
    rig.add(job("root").child(name("other"), job("kid"), ChildFailure::Fail)).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    if !rig.reopen().await {
        return;
    }
    let back = rig.job("a").await.status;
    assert_eq!((back.state, back.attempts_made, back.stalls), (JobState::Waiting, 0, 1));
    let mut late = rig.hand(1);
    assert_eq!(late.settle(&taken, complete()).await, bulrush::port::Settled::Stale);
    assert_eq!(rig.state("root").await, JobState::WaitingChildren);
    let again = rig.hand(2).take_one().await;
    assert!(again.token.run > taken.token.run);
}

pub async fn a_restart_does_not_bring_back_what_was_freed(rig: &mut Rig) {
    rig.add_all(vec![job("done").dedup("a"), job("gone").dedup("b").delay_ms(9_000)]).await;
    rig.hand(1).run(complete()).await;
    rig.remove("gone").await;
    rig.reopen().await;
    assert!(rig.find("gone").await.is_none());
    let added = rig.add_all(vec![job("one").dedup("a"), job("two").dedup("b")]).await;
    assert!(added.iter().all(bulrush::port::Added::is_new), "{added:?}");
}
