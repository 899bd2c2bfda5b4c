//! Adding: what comes in is kept as it was given, once.

use bulrush::model::{Backoff, ChildFailure, JobState, NewJob, Owner};
use bulrush::port::{AddOutcome, Added, AdminCommand, AdminResult};

use crate::suite::{Rig, again, complete, fail, id, job, name};

pub async fn an_added_job_is_found_as_it_was_given(rig: &Rig) {
    let given = NewJob::new(id("a"), "enrich", r#"{"n":1}"#)
        .priority(7)
        .attempts(4)
        .backoff(Backoff::exponential(100, 3.0))
        .timeout_ms(9_000)
        .owner("acme", "ada")
        .tags(["red", "blue"])
        .dedup("key")
        .traceparent("00-1-2-01");
    let added = rig.add(given.clone()).await;
    assert!(added.is_new());
    let found = rig.job("a").await;
    assert_eq!(*found.spec, given.spec);
    assert_eq!(found.spec.owner.as_deref(), Some(&Owner { tenant: "acme".into(), user: "ada".into() }));
    assert_eq!((found.state(), found.queue.as_str()), (JobState::Waiting, "main"));
    assert_eq!((found.status.created_at, found.status.run_at), (rig.now(), rig.now()));
    assert_eq!((found.status.attempts_made, found.status.run, found.status.stalls), (0, 0, 0));
}

pub async fn a_repeated_id_changes_nothing_whatever_state_its_job_is_in(rig: &Rig) {
    let parent = job("waiting-children").child(name("other"), job("child"), ChildFailure::Fail);
    let mut hand = rig.hand(1);
    for (text, outcome) in [("completed", complete()), ("failed", fail())] {
        rig.add(job(text)).await;
        hand.run(outcome).await;
    }
    rig.add_ids(&["cancelled", "active"]).await;
    rig.cancel("cancelled").await;
    hand.take_one().await;
    rig.add(job("delayed").delay_ms(60_000)).await;
    rig.add(job("waiting")).await;
    rig.add(parent).await;
    for state in JobState::ALL {
        let before = rig.job(state.as_str()).await;
        assert_eq!(before.state(), state);
        let other = NewJob::new(id(state.as_str()), "other", "[]");
        for repeat in [other.clone(), other.priority(1).delay_ms(5)] {
            let again = rig.add(repeat).await;
            assert_eq!(again.outcome, AddOutcome::SameId { state });
            assert_eq!(again.id, id(state.as_str()));
            assert_eq!(rig.job(state.as_str()).await, before, "a {state} job must stay as it was");
        }
    }
    assert_eq!(rig.info().await.counts.total(), 7);
    assert_eq!(rig.info().await.totals.added, 7);
}

pub async fn an_id_given_twice_in_one_call_is_one_job(rig: &Rig) {
    let added = rig.add_all(vec![job("a"), job("b"), NewJob::new(id("a"), "work", "[2]")]).await;
    let new: Vec<bool> = added.iter().map(Added::is_new).collect();
    assert_eq!(new, [true, true, false]);
    assert_eq!(rig.job("a").await.spec.data, "{}");
    assert_eq!(rig.hand(1).take_ids().await, ["a", "b"]);
}

pub async fn a_repeat_of_a_flow_s_root_adds_none_of_its_children(rig: &Rig) {
    let flow = || job("root").child(name("other"), job("child"), ChildFailure::Fail);
    let first = rig.try_add(vec![flow()]).await.expect("the flow is within bounds");
    assert_eq!(first.outbox.len(), 1);
    let repeat = rig.try_add(vec![flow()]).await.expect("the flow is within bounds");
    assert_eq!(repeat.outbox, []);
    assert_eq!(rig.info().await.outbox, 1);
}

pub async fn an_id_is_free_again_once_its_job_is_removed(rig: &Rig) {
    rig.add(job("a")).await;
    assert_eq!(rig.remove("a").await, AdminResult::Done);
    assert!(rig.add(NewJob::new(id("a"), "work", "[2]")).await.is_new());
    assert_eq!(rig.hand(1).take_ids().await, ["a"], "the removed job must not run, and the new one once");
}

pub async fn an_empty_call_is_no_error(rig: &Rig) {
    assert_eq!(rig.add_all(Vec::new()).await, []);
    assert_eq!(rig.admin(AdminCommand::Remove(Vec::new())).await.changed, 0);
    assert_eq!(rig.hand(1).take(0).await, []);
}

pub async fn invariant_3_an_acknowledged_add_is_found_until_it_is_removed(rig: &Rig) {
    rig.add_all((0..300).map(|n| job(&format!("j{n}"))).collect()).await;
    let mut hand = rig.hand(1);
    let outcomes = [complete(), fail(), again(0), again(50)];
    let taken = hand.take(200).await;
    for (n, job) in taken.iter().enumerate() {
        hand.end(job, outcomes[n % 4].clone()).await;
    }
    for n in 0..300 {
        assert!(rig.find(&format!("j{n}")).await.is_some(), "j{n} is lost");
    }
    rig.remove("j7").await;
    assert!(rig.find("j7").await.is_none());
    assert_eq!(rig.info().await.counts.total(), 299);
}
