//! Deduplication: one job per key while the key is held.

use bulrush::model::{Dedup, NewJob};
use bulrush::port::{AddOutcome, AdminResult};

use crate::suite::{Rig, again, complete, fail, id, job};

fn keyed(text: &str, ttl_ms: Option<u64>, fingerprint: Option<u64>) -> NewJob {
    job(text).dedup_with(Dedup { key: "key".into(), ttl_ms, fingerprint })
}

pub async fn a_held_key_keeps_a_second_job_out_and_names_its_holder(rig: &Rig) {
    assert!(rig.add(keyed("a", None, Some(1))).await.is_new());
    let second = rig.add(keyed("b", None, Some(1))).await;
    assert_eq!((second.id, second.outcome), (id("a"), AddOutcome::SameKey));
    assert!(rig.find("b").await.is_none());
    let other = rig.add(job("c").dedup("another key")).await;
    assert!(other.is_new());
}

pub async fn a_key_with_another_fingerprint_is_a_conflict(rig: &Rig) {
    rig.add(keyed("a", None, Some(1))).await;
    for fingerprint in [Some(2), None] {
        let second = rig.add(keyed("b", None, fingerprint)).await;
        assert_eq!((second.id, second.outcome), (id("a"), AddOutcome::KeyConflict));
    }
    assert!(rig.find("b").await.is_none());
}

pub async fn two_jobs_of_one_call_cannot_hold_one_key(rig: &Rig) {
    let added = rig.add_all(vec![keyed("a", None, None), keyed("b", None, None)]).await;
    assert_eq!(added[1].outcome, AddOutcome::SameKey);
    assert_eq!(rig.info().await.counts.total(), 1);
}

pub async fn a_key_without_a_time_is_free_once_its_job_has_ended(rig: &Rig) {
    let mut hand = rig.hand(1);
    for (n, outcome) in [complete(), fail()].into_iter().enumerate() {
        assert!(rig.add(keyed(&format!("a{n}"), None, Some(1))).await.is_new());
        hand.run(outcome).await;
    }
    assert!(rig.add(keyed("b", None, Some(2))).await.is_new(), "another fingerprint is no conflict any more");
    rig.cancel("b").await;
    assert!(rig.add(keyed("c", None, None)).await.is_new());
    assert_eq!(rig.remove("c").await, AdminResult::Done);
    assert!(rig.add(keyed("d", None, None)).await.is_new());
}

pub async fn a_key_without_a_time_is_held_while_its_job_is_tried_again(rig: &Rig) {
    rig.add(keyed("a", None, None)).await;
    let mut hand = rig.hand(1);
    hand.run(again(1_000)).await;
    assert!(!rig.add(keyed("b", None, None)).await.is_new());
    rig.advance(1_000);
    hand.take_one().await;
    assert!(!rig.add(keyed("b", None, None)).await.is_new());
}

pub async fn a_key_with_a_time_outlives_its_job_and_ends_at_its_time(rig: &Rig) {
    rig.add(keyed("a", Some(5_000), None)).await;
    rig.hand(1).run(complete()).await;
    rig.remove("a").await;
    rig.advance(4_999);
    assert_eq!(rig.add(keyed("b", Some(5_000), None)).await.outcome, AddOutcome::SameKey);
    rig.advance(1);
    assert!(rig.add(keyed("b", Some(5_000), None)).await.is_new());
    rig.maintain().await;
    assert_eq!(rig.add(keyed("c", None, None)).await.id, id("b"), "the new holder's time has only begun");
    rig.advance(5_000);
    rig.maintain().await;
    assert!(rig.add(keyed("d", None, None)).await.is_new());
}

pub async fn a_key_without_a_time_never_ends_while_its_job_is_pending(rig: &Rig) {
    rig.add(keyed("a", None, None).delay_ms(1_000_000_000)).await;
    rig.advance(900_000_000);
    rig.maintain().await;
    assert!(!rig.add(keyed("b", None, None)).await.is_new());
}

pub async fn a_retried_dead_letter_takes_its_key_back_unless_somebody_holds_it(rig: &Rig) {
    let mut hand = rig.hand(1);
    rig.add(keyed("a", None, None)).await;
    hand.run(fail()).await;
    rig.retry("a").await;
    assert_eq!(rig.add(keyed("b", None, None)).await.id, id("a"));
    hand.run(fail()).await;
    assert!(rig.add(keyed("b", None, None)).await.is_new());
    assert_eq!(rig.retry("a").await, AdminResult::Done);
    rig.remove("a").await;
    assert_eq!(rig.add(keyed("c", None, None)).await.id, id("b"), "the key is b's, whoever else is removed");
}

pub async fn a_refused_add_leaves_no_key_behind(rig: &Rig) {
    rig.configure(|config| config.depth_max = Some(1)).await;
    rig.add(job("a")).await;
    let refused = rig.add(keyed("b", None, None)).await;
    assert_eq!(refused.outcome, AddOutcome::Full { depth_max: 1 });
    rig.configure(|config| config.depth_max = None).await;
    assert!(rig.add(keyed("c", None, None)).await.is_new());
}
