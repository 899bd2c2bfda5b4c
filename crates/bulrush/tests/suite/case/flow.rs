//! Flows: a parent waits for its children, in any queues, any depth, however their news is carried.

use bulrush::model::{ChildFailure, ChildState, ErrorKind, JobState, Keep, NewJob, Outcome};
use bulrush::port::{AdminCommand, AdminResult, Delivery, OutboxEntry};

use crate::suite::{Mail, Queue, Rig, complete, complete_with, fail, id, job, name};

/// A rig whose workers may stay silent while the mail is carried.
async fn patient(rig: &Rig) -> (Queue, Queue) {
    let kids = (rig.queue("kids"), rig.queue("more"));
    for queue in [&**rig, &kids.0, &kids.1] {
        queue.configure(|config| config.lease_ms = 3_600_000).await;
    }
    kids
}

fn two_children(policy: ChildFailure) -> NewJob {
    job("root").child(name("kids"), job("k1"), policy).child(name("more"), job("k2"), policy)
}

/// An entry of another queue's outbox, as somebody may make it up.
fn news(target: &Queue, delivery: Delivery) -> OutboxEntry {
    OutboxEntry { seq: 1_000, at: 0, target: target.name.clone(), delivery }
}

async fn child(rig: &Rig, position: usize) -> ChildState {
    let mut children = rig.backend.children(&rig.name, &id("root"), 0, 10).await.expect("can be read");
    children.swap_remove(position).state
}

pub async fn a_parent_starts_when_its_last_child_has_settled_and_sees_the_results(rig: &Rig) {
    let (kids, more) = patient(rig).await;
    rig.add(two_children(ChildFailure::Fail)).await;
    let parent = rig.job("root").await;
    assert_eq!((parent.state(), parent.children_pending), (JobState::WaitingChildren, 2));
    rig.flush(Mail::Once).await;
    let kid = kids.job("k1").await;
    assert_eq!(kid.spec.parent.as_ref().map(|parent| &parent.id), Some(&id("root")));
    kids.hand(1).run(complete_with("[1]")).await;
    rig.flush(Mail::Once).await;
    assert_eq!(
        (rig.state("root").await, rig.job("root").await.children_pending),
        (JobState::WaitingChildren, 1)
    );
    assert_eq!(rig.hand(1).take(1).await, []);
    more.hand(1).run(complete()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Waiting);
    assert_eq!(child(rig, 0).await, ChildState::Completed { result: Some("[1]".into()) });
    assert_eq!(child(rig, 1).await, ChildState::Completed { result: None });
    rig.hand(1).run(complete()).await;
}

pub async fn a_failed_child_fails_its_parent_at_once_and_its_siblings_go_on(rig: &Rig) {
    let (kids, more) = patient(rig).await;
    rig.add(two_children(ChildFailure::Fail)).await;
    rig.flush(Mail::Once).await;
    kids.hand(1).run(fail()).await;
    rig.flush(Mail::Once).await;
    let parent = rig.job("root").await;
    assert_eq!(parent.state(), JobState::Failed);
    assert_eq!(parent.status.errors[0].error.kind, ErrorKind::ChildFailed);
    let reason = parent.failed_reason().unwrap_or_default();
    assert!(reason.contains("k1") && reason.contains("for good"), "{reason}");
    assert_eq!(more.state("k2").await, JobState::Waiting);
    more.hand(1).run(complete_with("2")).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Failed, "the late sibling changes nothing");
    assert_eq!(child(rig, 1).await, ChildState::Completed { result: Some("2".into()) });
}

pub async fn an_ignored_failure_counts_as_settled_and_the_parent_sees_it(rig: &Rig) {
    let (kids, more) = patient(rig).await;
    rig.add(two_children(ChildFailure::Ignore)).await;
    rig.flush(Mail::Once).await;
    kids.hand(1).run(fail()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::WaitingChildren);
    more.hand(1).run(complete()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Waiting);
    assert_eq!(child(rig, 0).await, ChildState::Failed { reason: "for good".into() });
}

pub async fn a_parent_that_goes_on_starts_with_the_first_failure(rig: &Rig) {
    let (kids, more) = patient(rig).await;
    rig.add(two_children(ChildFailure::Continue)).await;
    rig.flush(Mail::Once).await;
    kids.hand(1).run(fail()).await;
    rig.flush(Mail::Once).await;
    assert_eq!((rig.state("root").await, rig.job("root").await.children_pending), (JobState::Waiting, 1));
    rig.hand(1).run(complete()).await;
    more.hand(1).run(fail()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Completed, "the late child changes nothing");
    assert_eq!(rig.job("root").await.children_pending, 0);
}

pub async fn a_child_that_is_tried_again_has_not_settled(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    rig.add(job("root").child(name("kids"), job("k1").attempts(2), ChildFailure::Fail)).await;
    rig.flush(Mail::Once).await;
    let mut hand = kids.hand(1);
    hand.run(crate::suite::again(0)).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::WaitingChildren);
    hand.run(crate::suite::again(0)).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Failed);
}

pub async fn a_delayed_parent_waits_for_its_time_too(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    rig.add(job("root").delay_ms(3_600_000).child(name("kids"), job("k1"), ChildFailure::Fail)).await;
    rig.flush(Mail::Once).await;
    kids.hand(1).run(complete()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Delayed);
    rig.advance(3_600_000);
    rig.hand(1).run(complete()).await;
}

/// Root, a middle with two leaves in two queues, and a third leaf; the result is the same however the mail comes.
async fn deep(rig: &Rig, mail: Mail) {
    let (kids, more) = patient(rig).await;
    for queue in [&kids, &more] {
        // Nothing is kept of an ended child, so a repeat cannot lean on its record.
        queue.configure(|config| config.retention.completed = Keep { age_ms: None, count: Some(0) }).await;
    }
    let leaf = |text: &str| {
        job(text).dedup_with(bulrush::model::Dedup {
            key: format!("flow-{text}").into(),
            ttl_ms: Some(86_400_000),
            fingerprint: None,
        })
    };
    let middle = leaf("middle").child(name("kids"), leaf("leaf1"), ChildFailure::Fail).child(
        name("more"),
        leaf("leaf2"),
        ChildFailure::Fail,
    );
    let root = job("root").child(name("kids"), middle, ChildFailure::Fail).child(
        name("main"),
        leaf("leaf3"),
        ChildFailure::Fail,
    );
    rig.add(root).await;
    let (mut runs, mut hands) = (Vec::new(), [rig.hand(1), kids.hand(2), more.hand(3)]);
    for _ in 0..5 {
        rig.flush(mail).await;
        for hand in &mut hands {
            for job in hand.take(10).await {
                runs.push(job.spec.id.to_string());
                hand.end(&job, complete_with("1")).await;
            }
        }
    }
    runs.sort();
    assert_eq!(runs, ["leaf1", "leaf2", "leaf3", "middle", "root"], "each once, with mail {mail:?}");
    assert_eq!(rig.state("root").await, JobState::Completed);
    assert_eq!(child(rig, 0).await, ChildState::Completed { result: Some("1".into()) });
}

pub async fn a_deep_flow_ends_well(rig: &Rig) {
    deep(rig, Mail::Once).await;
}
pub async fn a_deep_flow_ends_well_when_every_delivery_comes_twice(rig: &Rig) {
    deep(rig, Mail::Twice).await;
}
pub async fn a_deep_flow_ends_well_when_deliveries_come_in_reverse(rig: &Rig) {
    deep(rig, Mail::Reversed).await;
}
pub async fn a_deep_flow_ends_well_when_acknowledgements_get_lost(rig: &Rig) {
    deep(rig, Mail::AckLost).await;
}
pub async fn a_deep_flow_ends_well_when_deliveries_get_lost(rig: &Rig) {
    deep(rig, Mail::Lost).await;
}

/// The child ended and its record is gone when its first delivery comes once more, before the news of its end.
pub async fn a_repeated_delivery_of_an_ended_child_neither_runs_it_again_nor_forges_its_failure(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    kids.configure(|config| config.retention.completed = Keep::NOTHING).await;
    let day = bulrush::model::Dedup { key: "k1".into(), ttl_ms: Some(86_400_000), fingerprint: None };
    let added = rig
        .try_add(vec![job("root").child(name("kids"), job("k1").dedup_with(day), ChildFailure::Fail)])
        .await;
    let delivery = added.expect("the flow is within bounds").outbox.remove(0);
    rig.hand_over(&rig.name, &delivery).await;
    kids.hand(1).run(complete_with("1")).await;
    rig.hand_over(&rig.name, &delivery).await;
    assert_eq!(kids.hand(1).take(1).await, [], "it has run");
    rig.flush(Mail::Reversed).await;
    assert_eq!(child(rig, 0).await, ChildState::Completed { result: Some("1".into()) });
    assert_eq!(rig.state("root").await, JobState::Waiting);
}

pub async fn a_child_whose_id_is_taken_fails_its_parent_instead_of_leaving_it_waiting(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    kids.add(job("k1")).await;
    rig.add(job("root").child(name("kids"), job("k1"), ChildFailure::Fail)).await;
    rig.flush(Mail::Once).await;
    let parent = rig.job("root").await;
    assert_eq!(parent.state(), JobState::Failed);
    assert!(parent.failed_reason().is_some_and(|reason| reason.contains("another job")), "{parent:?}");
    assert_eq!(kids.job("k1").await.spec.parent, None, "the other job stays what it was");
}

pub async fn a_child_whose_key_is_held_fails_its_parent_instead_of_leaving_it_waiting(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    kids.add(job("holder").dedup("key")).await;
    rig.add(job("root").child(name("kids"), job("k1").dedup("key"), ChildFailure::Ignore)).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Waiting);
    let ChildState::Failed { reason } = child(rig, 0).await else { panic!("it was never added") };
    assert!(reason.contains("holder"), "{reason}");
}

pub async fn a_cancelled_parent_cancels_its_children_that_have_not_started(rig: &Rig) {
    let (kids, more) = patient(rig).await;
    let middle = job("middle").child(name("more"), job("leaf"), ChildFailure::Fail);
    let root = job("root")
        .child(name("kids"), job("k1"), ChildFailure::Fail)
        .child(name("kids"), job("k2"), ChildFailure::Fail)
        .child(name("kids"), middle, ChildFailure::Fail);
    rig.add(root).await;
    rig.flush(Mail::Once).await;
    let mut hand = kids.hand(1);
    let running = hand.take_one().await;
    assert_eq!(rig.cancel("root").await, AdminResult::Done);
    rig.flush(Mail::Once).await;
    assert_eq!(kids.state("k2").await, JobState::Cancelled);
    assert_eq!(kids.state("middle").await, JobState::Cancelled);
    assert_eq!(more.state("leaf").await, JobState::Cancelled, "down to the last level");
    assert_eq!(kids.state("k1").await, JobState::Active, "what runs goes on");
    hand.end(&running, complete()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Cancelled);
}

pub async fn a_cancel_leaves_somebody_else_s_job_of_the_same_id_alone(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    kids.add(job("k1")).await;
    let cancel = Delivery::CancelChild { child: id("k1"), parent: id("root") };
    rig.hand_over(&rig.name, &news(&kids, cancel)).await;
    assert_eq!(kids.state("k1").await, JobState::Waiting);
}

/// A flow of one child, and the entry that brings the child.
async fn one_child(rig: &Rig) -> OutboxEntry {
    let root = job("root").child(name("kids"), job("k1"), ChildFailure::Fail);
    let reply = rig.try_add(vec![root]).await.expect("the flow is within bounds");
    assert!(reply.added[0].is_new());
    reply.outbox.into_iter().next().expect("the child is told")
}

pub async fn invariant_8_a_child_that_is_delivered_again_when_it_is_gone_does_not_run_again(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    kids.configure(|config| config.retention.completed = Keep::NOTHING).await;
    let brought = one_child(rig).await;
    rig.hand_over(&rig.name, &brought).await;
    kids.hand(1).run(complete()).await;
    assert!(kids.find("k1").await.is_none());
    rig.hand_over(&rig.name, &brought).await;
    assert!(kids.find("k1").await.is_none(), "it has run");
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Waiting);
    // The same ids, but another flow.
    rig.remove("root").await;
    let again = one_child(rig).await;
    rig.hand_over(&rig.name, &again).await;
    assert_eq!(kids.state("k1").await, JobState::Waiting);
}

pub async fn invariant_8_a_cancel_that_comes_before_its_child_is_not_lost(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    let brought = one_child(rig).await;
    let cancel = rig.admin(AdminCommand::Cancel(vec![id("root")])).await.outbox.remove(0);
    rig.hand_over(&rig.name, &cancel).await;
    rig.hand_over(&rig.name, &brought).await;
    assert_eq!(kids.state("k1").await, JobState::Cancelled);
    // A flow added anew under the same ids is another one, whatever is repeated of the first.
    kids.remove("k1").await;
    rig.remove("root").await;
    let again = one_child(rig).await;
    for entry in [&again, &cancel, &brought] {
        rig.hand_over(&rig.name, entry).await;
        assert_eq!(kids.state("k1").await, JobState::Waiting);
    }
}

pub async fn a_cancelled_or_removed_child_counts_as_failed(rig: &Rig) {
    let (kids, more) = patient(rig).await;
    rig.add(two_children(ChildFailure::Ignore)).await;
    rig.flush(Mail::Once).await;
    kids.cancel("k1").await;
    more.remove("k2").await;
    rig.flush(Mail::Once).await;
    assert_eq!(child(rig, 0).await, ChildState::Failed { reason: "it was cancelled".into() });
    assert_eq!(child(rig, 1).await, ChildState::Failed { reason: "it was removed".into() });
    assert_eq!(rig.state("root").await, JobState::Waiting);
}

pub async fn a_child_removed_with_its_whole_queue_is_not_waited_for(rig: &Rig) {
    let (kids, more) = patient(rig).await;
    rig.add(two_children(ChildFailure::Ignore)).await;
    rig.flush(Mail::Once).await;
    // One has ended, its news still in the outbox; the other never ran.
    kids.hand(1).run(complete_with("1")).await;
    for queue in [&kids, &more] {
        queue.admin(AdminCommand::Obliterate { force: true, limit: 1_000 }).await;
    }
    rig.flush(Mail::Once).await;
    assert_eq!(child(rig, 0).await, ChildState::Completed { result: Some("1".into()) });
    assert_eq!(child(rig, 1).await, ChildState::Failed { reason: "it was removed".into() });
    assert_eq!(rig.state("root").await, JobState::Waiting);
}

pub async fn a_removed_parent_cancels_its_children_and_takes_no_news(rig: &Rig) {
    let (kids, more) = patient(rig).await;
    rig.add(two_children(ChildFailure::Fail)).await;
    rig.flush(Mail::Once).await;
    let running = kids.hand(1).take_one().await;
    assert_eq!(rig.remove("root").await, AdminResult::Done);
    rig.flush(Mail::Once).await;
    assert_eq!(more.state("k2").await, JobState::Cancelled);
    kids.hand(2).end(&running, complete()).await;
    rig.flush(Mail::Once).await;
    assert!(rig.find("root").await.is_none());
}

pub async fn invariant_6_only_a_valid_token_s_word_settles_a_child(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    kids.configure(|config| config.lease_ms = 10_000).await;
    rig.add(job("root").child(name("kids"), job("k1"), ChildFailure::Fail)).await;
    rig.flush(Mail::Once).await;
    let mut zombie = kids.hand(1);
    let old = zombie.take_one().await;
    assert_eq!(kids.lose_workers().await, 1);
    assert_eq!(zombie.settle(&old, complete()).await, bulrush::port::Settled::Stale);
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::WaitingChildren);
    let strangers = [(id("root"), id("stranger")), (id("nobody"), id("k1"))];
    for (parent, child) in strangers {
        let state = ChildState::Completed { result: None };
        let forged = Delivery::ChildSettled { parent, child, state };
        rig.hand_over(&kids.name, &news(rig, forged)).await;
    }
    assert_eq!(rig.state("root").await, JobState::WaitingChildren);
    kids.hand(2).run(complete()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Waiting);
}

pub async fn the_first_word_about_a_child_counts(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    rig.add(two_children(ChildFailure::Fail)).await;
    let word = |state| news(rig, Delivery::ChildSettled { parent: id("root"), child: id("k1"), state });
    let words = vec![
        word(ChildState::Completed { result: Some("1".into()) }),
        word(ChildState::Failed { reason: "late".into() }),
    ];
    rig.backend.deliver(&rig.name, &kids.name, words).await.expect("can be delivered");
    assert_eq!(child(rig, 0).await, ChildState::Completed { result: Some("1".into()) });
    assert_eq!(rig.job("root").await.children_pending, 1);
}

pub async fn children_are_read_page_by_page(rig: &Rig) {
    let root = (0..25)
        .fold(job("root"), |root, n| root.child(name("kids"), job(&format!("k{n}")), ChildFailure::Ignore));
    rig.add(root).await;
    let page = async |offset, limit| {
        let children = rig.backend.children(&rig.name, &id("root"), offset, limit).await;
        children.expect("can be read").iter().map(|child| child.id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(page(0, 3).await, ["k0", "k1", "k2"]);
    assert_eq!(page(24, 10).await, ["k24"]);
    assert_eq!(page(25, 10).await, [""; 0]);
    let nobody = rig.backend.children(&rig.name, &id("nobody"), 0, 10).await.expect("can be read");
    assert_eq!(nobody, []);
}

pub async fn a_failed_parent_can_be_retried_without_its_children(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    rig.add(two_children(ChildFailure::Fail)).await;
    rig.flush(Mail::Once).await;
    kids.hand(1).run(fail()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.retry("root").await, AdminResult::Done);
    rig.hand(1).run(Outcome::Complete { result: None, follow_ups: Vec::new() }).await;
    assert_eq!(rig.state("root").await, JobState::Completed);
}

/// Its first parent is gone, by hand or by retention, and a child of it that had ended is still there, or only its key.
pub async fn a_flow_that_is_added_anew_does_not_wait_for_children_that_have_ended(rig: &Rig) {
    let (kids, _) = patient(rig).await;
    let day = bulrush::model::Dedup { key: "k2".into(), ttl_ms: Some(86_400_000), fingerprint: None };
    let flow = || {
        job("root").child(name("kids"), job("k1"), ChildFailure::Ignore).child(
            name("kids"),
            job("k2").dedup_with(day.clone()),
            ChildFailure::Ignore,
        )
    };
    rig.add(flow()).await;
    rig.flush(Mail::Once).await;
    let mut hand = kids.hand(1);
    hand.run(complete_with("1")).await;
    hand.run(complete_with("2")).await;
    rig.flush(Mail::Once).await;
    rig.remove("root").await;
    kids.remove("k2").await;
    rig.add(flow()).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.state("root").await, JobState::Waiting);
    assert_eq!(child(rig, 0).await, ChildState::Completed { result: Some("1".into()) });
    assert!(
        matches!(child(rig, 1).await, ChildState::Failed { .. }),
        "what became of it is not known any more"
    );
}
