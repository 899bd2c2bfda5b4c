//! Follow-ups and the outbox: nothing across queues is atomic, and nothing is lost or done twice.

use bulrush::model::{ChildFailure, Dedup, JobId, JobState, Keep, NewJob, Outcome};
use bulrush::port::{Delivery, Settled};

use crate::suite::{Mail, Rig, complete, finished, id, job, name};

/// A follow-up as a handler returns it: its id follows from the job, and its key keeps a late repeat out.
fn follow_up(of: &str, text: &str) -> NewJob {
    let derived = JobId::derive("oth", &id(of), text);
    let key = Dedup { key: derived.as_str().into(), ttl_ms: Some(86_400_000), fingerprint: None };
    NewJob::new(derived, "next", "{}").dedup_with(key)
}

fn complete_and(follow_ups: Vec<NewJob>) -> Outcome {
    let follow_ups = follow_ups.into_iter().map(|job| (name("other"), job)).collect();
    Outcome::Complete { result: None, follow_ups }
}

pub async fn a_follow_up_is_added_once_however_often_it_is_delivered(rig: &Rig) {
    let other = rig.queue("other");
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let reply = hand.end(&taken, complete_and(vec![follow_up("a", "x"), follow_up("a", "y")])).await;
    assert_eq!(reply.outbox.len(), 2);
    for _ in 0..3 {
        for entry in &reply.outbox {
            rig.hand_over(&rig.name, entry).await;
        }
    }
    assert_eq!(other.info().await.counts.waiting, 2);
    other.configure(|config| config.retention.completed = Keep::NOTHING).await;
    other.hand(1).run(complete()).await;
    other.hand(1).run(complete()).await;
    rig.hand_over(&rig.name, &reply.outbox[0]).await;
    assert_eq!(other.info().await.counts.total(), 0, "a late repeat finds the key held");
}

pub async fn a_repeated_settle_posts_its_follow_ups_once(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let step = hand.next(vec![finished(&taken, complete_and(vec![follow_up("a", "x")]))], 0);
    hand.send(step.clone()).await.expect("the step can be carried out");
    hand.send(step).await.expect("a repeat is no error");
    let settled = hand.settle(&taken, complete_and(vec![follow_up("a", "x")])).await;
    assert_eq!((settled, rig.info().await.outbox), (Settled::Ok, 1));
}

pub async fn a_stale_completion_posts_nothing(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let old = hand.take_one().await;
    rig.lose_workers().await;
    let settled = hand.settle(&old, complete_and(vec![follow_up("a", "x")])).await;
    assert_eq!((settled, rig.info().await.outbox), (Settled::Stale, 0));
}

pub async fn invariant_8_an_entry_is_handed_out_until_it_is_acknowledged(rig: &Rig) {
    rig.add(job("a")).await;
    rig.hand(1).run(complete_and(vec![follow_up("a", "x")])).await;
    assert_eq!(rig.maintain().await.outbox, [], "whoever made it has two seconds");
    rig.advance(2_000);
    for _ in 0..3 {
        let left = rig.maintain().await.outbox;
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].target, name("other"));
        assert!(matches!(&left[0].delivery, Delivery::Add(job) if **job == follow_up("a", "x")));
        rig.advance(1_000);
    }
    let seq = rig.maintain().await.outbox[0].seq;
    for _ in 0..2 {
        rig.backend.acknowledge(&rig.name, vec![seq, 999]).await.expect("can be acknowledged");
        assert_eq!((rig.maintain().await.outbox, rig.info().await.outbox), (vec![], 0));
    }
}

pub async fn the_outbox_survives_the_job_that_made_it(rig: &Rig) {
    rig.configure(|config| config.retention.completed = Keep::NOTHING).await;
    rig.add(job("a")).await;
    rig.hand(1).run(complete_and(vec![follow_up("a", "x")])).await;
    assert_eq!(rig.info().await.counts.total(), 0);
    rig.flush(Mail::AckLost).await;
    assert_eq!(rig.queue("other").info().await.counts.waiting, 1);
}

pub async fn the_outbox_survives_the_removal_of_everything_else(rig: &Rig) {
    rig.add(job("a")).await;
    rig.hand(1).run(complete_and(vec![follow_up("a", "x")])).await;
    rig.admin(bulrush::port::AdminCommand::Obliterate { force: true, limit: 1_000 }).await;
    rig.flush(Mail::Once).await;
    assert_eq!(rig.queue("other").info().await.counts.waiting, 1, "the completion was acknowledged");
}

pub async fn the_outbox_survives_a_restart(rig: &mut Rig) {
    rig.add(job("a")).await;
    rig.hand(1).run(complete_and(vec![follow_up("a", "x")])).await;
    rig.add(job("root").child(name("other"), job("kid"), ChildFailure::Fail)).await;
    rig.reopen().await;
    rig.flush(Mail::Once).await;
    let other = rig.queue("other");
    assert_eq!(other.info().await.counts.waiting, 2);
    assert_eq!(other.state("kid").await, JobState::Waiting);
}

pub async fn a_follow_up_in_the_same_queue_goes_the_same_way(rig: &Rig) {
    rig.add(job("a")).await;
    let follow_ups = vec![(rig.name.clone(), follow_up("a", "x"))];
    let reply = {
        let mut hand = rig.hand(1);
        let taken = hand.take_one().await;
        hand.end(&taken, Outcome::Complete { result: None, follow_ups }).await
    };
    rig.hand_over(&rig.name, &reply.outbox[0]).await;
    assert_eq!(rig.info().await.counts.waiting, 1);
}

pub async fn entries_keep_their_numbers_and_their_order(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let mut numbers = Vec::new();
    for of in ["a", "b"] {
        let taken = hand.take_one().await;
        let reply = hand.end(&taken, complete_and(vec![follow_up(of, "x"), follow_up(of, "y")])).await;
        numbers.extend(reply.outbox.iter().map(|entry| entry.seq));
        rig.backend.acknowledge(&rig.name, vec![numbers[0]]).await.expect("can be acknowledged");
    }
    assert!(numbers.is_sorted() && numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
    rig.advance(2_000);
    let left: Vec<u64> = rig.maintain().await.outbox.iter().map(|entry| entry.seq).collect();
    assert_eq!(left, numbers[1..]);
}
