//! Groups take turns, weight by weight, each within its cap.

use bulrush::model::{CheckError, GroupConfig, NewJob, When};
use bulrush::port::{AdminCommand, AdminResult, Error};

use crate::suite::{Rig, complete, finished, id, job};

fn of(group: &str, n: usize) -> NewJob {
    job(&format!("{group}{n}")).group(group)
}

pub async fn groups_take_turns(rig: &Rig) {
    rig.add_all((1..=3).map(|n| of("a", n)).collect()).await;
    rig.add_all((1..=2).map(|n| of("b", n)).collect()).await;
    rig.add(of("c", 1)).await;
    assert_eq!(rig.hand(1).take_ids().await, ["a1", "b1", "c1", "a2", "b2", "a3"]);
}

pub async fn turns_go_on_from_call_to_call(rig: &Rig) {
    rig.add_all((1..=3).flat_map(|n| [of("a", n), of("b", n)]).collect()).await;
    let mut hand = rig.hand(1);
    let mut order = Vec::new();
    for _ in 0..6 {
        order.push(hand.take_id().await);
    }
    assert_eq!(order, ["a1", "b1", "a2", "b2", "a3", "b3"]);
}

pub async fn all_jobs_without_a_group_are_one_group(rig: &Rig) {
    rig.add_ids(&["x1", "x2", "x3"]).await;
    rig.add_all((1..=2).map(|n| of("a", n)).collect()).await;
    assert_eq!(rig.hand(1).take_ids().await, ["x1", "a1", "x2", "a2", "x3"]);
}

pub async fn a_group_s_weight_is_how_many_it_gets_at_its_turn(rig: &Rig) {
    rig.configure(|config| {
        config.groups.insert("a".into(), GroupConfig { weight: 3, concurrency: None });
    })
    .await;
    rig.add_all((1..=6).map(|n| of("a", n)).collect()).await;
    rig.add_all((1..=3).map(|n| of("b", n)).collect()).await;
    let order = rig.hand(1).take_ids().await;
    assert_eq!(order, ["a1", "a2", "a3", "b1", "a4", "a5", "a6", "b2", "b3"]);
}

pub async fn a_group_s_cap_leaves_room_for_the_others(rig: &Rig) {
    rig.configure(|config| {
        config.groups.insert("a".into(), GroupConfig { weight: 1, concurrency: Some(2) });
    })
    .await;
    rig.add_all((1..=4).map(|n| of("a", n)).collect()).await;
    rig.add_all((1..=3).map(|n| of("b", n)).collect()).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(10).await;
    let order: Vec<&str> = taken.iter().map(|job| job.spec.id.as_str()).collect();
    assert_eq!(order, ["a1", "b1", "a2", "b2", "b3"]);
    let reply = hand.step(vec![finished(&taken[0], complete())], 10).await;
    let next: Vec<&str> = reply.taken.iter().map(|job| job.spec.id.as_str()).collect();
    assert_eq!(next, ["a3"], "one has ended, one may start");
}

pub async fn the_default_cap_holds_for_every_group_and_for_the_jobs_without_one(rig: &Rig) {
    rig.configure(|config| config.group_default = GroupConfig { weight: 1, concurrency: Some(1) }).await;
    rig.add_all((1..=2).flat_map(|n| [of("a", n), of("b", n), job(&format!("x{n}"))]).collect()).await;
    assert_eq!(rig.hand(1).take_ids().await, ["a1", "b1", "x1"]);
}

pub async fn the_default_cap_holds_where_no_job_has_a_group(rig: &Rig) {
    rig.configure(|config| config.group_default = GroupConfig { weight: 1, concurrency: Some(2) }).await;
    rig.add_ids(&["a", "b", "c", "d"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(5).await;
    assert_eq!((taken.len(), rig.hand(2).take(5).await.len()), (2, 0));
    assert_eq!(hand.step(vec![finished(&taken[0], complete())], 5).await.taken.len(), 1);
}

pub async fn a_job_of_a_group_that_is_moved_in_time_runs_once_and_at_its_new_place(rig: &Rig) {
    rig.add_all((1..=3).map(|n| of("a", n)).collect()).await;
    let later = AdminCommand::Reschedule { id: id("a1"), when: When::After(1_000) };
    assert_eq!(rig.admin_one(later).await, AdminResult::Done);
    rig.advance(1_000);
    assert_eq!(rig.maintain().await.promoted, 1);
    assert_eq!(rig.hand(1).take_ids().await, ["a2", "a3", "a1"]);
}

pub async fn a_rescued_job_gives_its_place_under_the_cap_back(rig: &Rig) {
    rig.configure(|config| config.group_default = GroupConfig { weight: 1, concurrency: Some(1) }).await;
    rig.add_all(vec![of("a", 1), of("a", 2)]).await;
    rig.hand(1).take_one().await;
    assert_eq!(rig.hand(2).take(5).await, []);
    rig.lose_workers().await;
    assert_eq!(rig.hand(2).take_ids().await, ["a1"]);
}

pub async fn changed_caps_hold_from_the_next_take(rig: &Rig) {
    rig.add_all((1..=6).map(|n| of("a", n)).collect()).await;
    let mut hand = rig.hand(1);
    hand.take(2).await;
    let cap = |cap: Option<u32>| {
        move |config: &mut bulrush::model::QueueConfig| {
            config.group_default = GroupConfig { weight: 1, concurrency: cap };
        }
    };
    rig.configure(cap(Some(2))).await;
    assert_eq!(hand.take(5).await, []);
    rig.configure(cap(Some(3))).await;
    assert_eq!(hand.take_ids().await, ["a3"]);
    rig.configure(cap(None)).await;
    assert_eq!(hand.take_ids().await, ["a4", "a5", "a6"]);
}

pub async fn a_tenant_s_hundred_thousand_jobs_do_not_starve_another_s_one(rig: &Rig) {
    for part in 0..100 {
        let jobs = (0..1_000).map(|n| job(&format!("big{part}-{n}")).group("big"));
        rig.add_all(jobs.collect()).await;
    }
    rig.hand(1).take(500).await;
    rig.add(of("small", 1)).await;
    let next = rig.hand(2).take(2).await;
    assert!(next.iter().any(|job| job.spec.id.as_str() == "small1"), "within one rotation");
    assert_eq!(rig.info().await.groups_waiting, [("big".to_owned(), 99_499)]);
}

pub async fn a_priority_together_with_a_group_is_refused(rig: &Rig) {
    let error = rig.try_add(vec![job("ok"), of("a", 1).priority(3)]).await.expect_err("both are given");
    assert!(matches!(error, Error::Check(CheckError::PriorityInGroup { item: 1 })), "{error}");
    assert_eq!(rig.info().await.counts.total(), 0, "nothing of the call was added");
    rig.add(of("a", 1)).await;
    let command = AdminCommand::SetPriority { id: id("a1"), priority: 1 };
    let error = rig.try_admin(command).await.expect_err("it has a group");
    assert!(matches!(error, Error::Check(CheckError::PriorityInGroup { .. })), "{error}");
}

pub async fn a_group_is_first_in_first_out(rig: &Rig) {
    rig.add_all((0..50).map(|n| of("a", n)).collect()).await;
    let order = rig.hand(1).take_ids().await;
    assert_eq!(order, (0..50).map(|n| format!("a{n}")).collect::<Vec<_>>());
}

pub async fn each_of_k_groups_is_served_within_any_k_takes(rig: &Rig) {
    const GROUPS: usize = 7;
    rig.add_all((0..20).flat_map(|n| (0..GROUPS).map(move |g| of(&format!("g{g}-"), n))).collect()).await;
    let mut hand = rig.hand(1);
    let mut order = Vec::new();
    for want in [1, 3, 2, 10, 5, 30, 20, 29] {
        order.extend(hand.take(want).await.iter().map(|job| job.spec.group.clone()));
    }
    for window in order.windows(GROUPS) {
        let mut groups = window.to_vec();
        groups.sort();
        groups.dedup();
        assert_eq!(groups.len(), GROUPS, "a group was passed over in {window:?}");
    }
}

pub async fn jobs_of_a_group_keep_their_order_when_the_default_priority_changes(rig: &Rig) {
    rig.add(job("a").group("red")).await;
    rig.configure(|config| config.default_priority = 1).await;
    rig.add(job("b").group("red")).await;
    rig.configure(|config| config.default_priority = 9).await;
    rig.add(job("c").group("red")).await;
    let mut hand = rig.hand(1);
    for expected in ["a", "b", "c"] {
        assert_eq!(hand.take_id().await, expected);
    }
}
