//! Which waiting job runs next.

use bulrush::model::NewJob;
use bulrush::port::{AdminCommand, AdminResult};

use crate::suite::{Rig, fail, id, job};

pub async fn jobs_run_in_the_order_in_which_they_came(rig: &Rig) {
    rig.add_ids(&["a", "b", "c"]).await;
    rig.add_ids(&["d", "e"]).await;
    let mut hand = rig.hand(1);
    assert_eq!(hand.take_id().await, "a");
    assert_eq!(hand.take_ids().await, ["b", "c", "d", "e"]);
}

pub async fn smaller_priorities_run_first_from_0_to_2_to_the_21(rig: &Rig) {
    let max = NewJob::PRIORITY_MAX;
    for (text, priority) in [("last", max), ("low", 10), ("first", 0), ("high", 1), ("lower", max - 1)] {
        rig.add(job(text).priority(priority)).await;
    }
    rig.add(job("first-too").priority(0)).await;
    let order = rig.hand(1).take_ids().await;
    assert_eq!(order, ["first", "first-too", "high", "low", "lower", "last"]);
}

pub async fn a_job_without_a_priority_stands_between_4_and_6(rig: &Rig) {
    rig.add(job("six").priority(6)).await;
    rig.add(job("none")).await;
    rig.add(job("four").priority(4)).await;
    rig.add(job("five").priority(5)).await;
    assert_eq!(rig.job("none").await.spec.priority, 5);
    assert_eq!(rig.hand(1).take_ids().await, ["four", "none", "five", "six"]);
}

pub async fn a_queue_can_have_another_default_priority(rig: &Rig) {
    rig.configure(|config| config.default_priority = 2).await;
    rig.add(job("three").priority(3)).await;
    rig.add(job("none")).await;
    assert_eq!(rig.hand(1).take_ids().await, ["none", "three"]);
}

pub async fn a_lifo_job_runs_before_its_equals_and_after_its_betters(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    rig.add(job("urgent").priority(1)).await;
    rig.add(job("c").lifo()).await;
    rig.add(job("d").lifo()).await;
    assert_eq!(rig.hand(1).take_ids().await, ["urgent", "d", "c", "a", "b"]);
}

pub async fn a_lifo_job_that_becomes_due_runs_before_its_equals(rig: &Rig) {
    rig.add(job("late").lifo().delay_ms(1_000)).await;
    rig.add_ids(&["a", "b"]).await;
    rig.advance(1_000);
    assert_eq!(rig.hand(1).take_ids().await, ["late", "a", "b"]);
}

pub async fn jobs_due_at_the_same_moment_run_by_id(rig: &Rig) {
    // Whenever they came, and however they were delayed.
    let due = rig.now() + 1_000;
    rig.add(job("d").delay_ms(1_000)).await;
    rig.add(job("b").run_at(due)).await;
    rig.advance(600);
    rig.add(job("a").delay_ms(400)).await;
    rig.add(job("c").run_at(due)).await;
    rig.advance(400);
    assert_eq!(rig.hand(1).take_ids().await, ["a", "b", "c", "d"]);
}

pub async fn removing_thousands_from_the_middle_leaves_the_rest_in_order(rig: &Rig) {
    let text = |n: usize| format!("j{n}");
    for part in 0..5 {
        rig.add_all((part * 1_000..(part + 1) * 1_000).map(|n| job(&text(n))).collect()).await;
    }
    let keep = |n: &usize| n.is_multiple_of(3);
    let gone: Vec<_> = (0..5_000).filter(|n| !keep(n)).map(|n| id(&text(n))).collect();
    for part in gone.chunks(1_000) {
        assert_eq!(rig.admin(AdminCommand::Remove(part.to_vec())).await.changed, part.len());
    }
    assert_eq!(rig.info().await.counts.waiting, 1_667);
    let order = rig.hand(1).take_ids().await;
    assert_eq!(order, (0..5_000).filter(keep).map(text).collect::<Vec<_>>());
}

pub async fn a_changed_priority_moves_a_waiting_job(rig: &Rig) {
    rig.add_ids(&["a", "b", "c"]).await;
    rig.add(job("late").delay_ms(1_000)).await;
    for (text, priority) in [("c", 1), ("late", 0), ("a", 9)] {
        let command = AdminCommand::SetPriority { id: id(text), priority };
        assert_eq!(rig.admin_one(command).await, AdminResult::Done);
    }
    rig.advance(1_000);
    assert_eq!(rig.hand(1).take_ids().await, ["late", "c", "b", "a"]);
}

pub async fn the_oldest_waiting_job_is_told(rig: &Rig) {
    assert_eq!(rig.info().await.oldest_waiting, None);
    let start = rig.now();
    rig.add(job("a")).await;
    rig.advance(500);
    rig.add(job("b").priority(0)).await;
    assert_eq!(rig.info().await.oldest_waiting, Some(start));
    rig.remove("a").await;
    assert_eq!(rig.info().await.oldest_waiting, Some(start + 500));
    let mut hand = rig.hand(1);
    hand.run(fail()).await;
    assert_eq!(rig.info().await.oldest_waiting, None);
}
