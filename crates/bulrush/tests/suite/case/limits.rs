//! Limits of a whole queue: rate, concurrency, pause, depth.

use bulrush::model::{ChildFailure, JobState, Outcome, RateLimit};
use bulrush::port::{AddOutcome, AdminCommand, Delivery, OutboxEntry};

use crate::suite::{Rig, again, complete, fail, finished, id, job, name};

async fn fill(rig: &Rig, n: usize) {
    rig.add_all((0..n).map(|n| job(&format!("j{n}"))).collect()).await;
}

pub async fn invariant_5_no_window_sees_more_starts_than_the_rate_allows(rig: &Rig) {
    const PER: u64 = 100;
    for (queue, groups) in [("plain", 0), ("grouped", 3)] {
        let queue = rig.queue(queue);
        queue.configure(|config| config.rate = Some(RateLimit { max: 5, per_ms: PER })).await;
        let numbered = |n: usize| match groups {
            0 => job(&format!("j{n}")),
            _ => job(&format!("j{n}")).group(format!("g{}", n % groups)),
        };
        queue.add_all((0..200).map(numbered).collect()).await;
        let mut hands = [queue.hand(1), queue.hand(2), queue.hand(3)];
        let mut starts = Vec::new();
        for tick in 0..400_u64 {
            let hand = &mut hands[tick as usize % 3];
            let taken = hand.take(1 + tick as usize % 4).await;
            starts.extend(std::iter::repeat_n(rig.now(), taken.len()));
            rig.advance(1 + tick % 11);
        }
        for end in &starts {
            let within = starts.iter().filter(|at| **at > end - PER && *at <= end).count();
            assert!(within <= 5, "{within} starts in the window that ends at {end}");
        }
        let span = (starts[starts.len() - 1] - starts[0]) as usize;
        let (least, seen) = (4 * span / PER as usize, starts.len());
        assert!(seen >= least, "the limit must be used, not undercut: {seen} starts in {span} ms");
    }
}

pub async fn a_full_window_is_told_with_its_end_and_limited_jobs_stay_waiting(rig: &Rig) {
    rig.configure(|config| config.rate = Some(RateLimit { max: 2, per_ms: 1_000 })).await;
    fill(rig, 4).await;
    let mut hand = rig.hand(1);
    hand.take(1).await;
    rig.advance(300);
    let reply = hand.step(Vec::new(), 5).await;
    assert_eq!((reply.taken.len(), reply.limited_until), (1, Some(rig.now() + 700)));
    assert_eq!(rig.state("j2").await, JobState::Waiting);
    rig.advance(699);
    assert_eq!(hand.take(5).await, []);
    rig.advance(1);
    assert_eq!(hand.take(5).await.len(), 1, "exactly one start has left the window");
}

pub async fn invariant_5_no_more_jobs_run_at_once_than_the_queue_allows(rig: &Rig) {
    rig.configure(|config| config.concurrency = Some(3)).await;
    fill(rig, 10).await;
    let (mut one, mut two) = (rig.hand(1), rig.hand(2));
    let first = one.take(2).await;
    assert_eq!(two.take(5).await.len(), 1);
    assert_eq!((one.take(5).await.len(), two.take(5).await.len()), (0, 0));
    let reply = one.step(vec![finished(&first[0], fail()), finished(&first[1], again(0))], 10).await;
    assert_eq!(reply.taken.len(), 2, "in the same call that frees their places");
    rig.configure(|config| config.concurrency = Some(1)).await;
    let reply = one.step(vec![finished(&reply.taken[0], complete())], 5).await;
    assert_eq!(reply.taken.len(), 0, "two still run, one is allowed");
    assert_eq!(rig.info().await.counts.active, 2);
}

pub async fn a_paused_queue_starts_nothing_and_still_settles(rig: &Rig) {
    fill(rig, 3).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    assert_eq!(rig.admin(AdminCommand::Pause).await.changed, 1);
    assert_eq!(rig.admin(AdminCommand::Pause).await.changed, 0, "a repeat is harmless");
    assert!(rig.info().await.paused);
    let reply = hand.step(vec![finished(&taken, complete())], 5).await;
    assert_eq!((reply.taken.len(), reply.paused), (0, true));
    assert_eq!(rig.state("j0").await, JobState::Completed);
    assert!(rig.add(job("more")).await.is_new(), "a paused queue takes jobs in");
    assert_eq!(rig.admin(AdminCommand::Unpause).await.changed, 1);
    assert_eq!(hand.take_ids().await, ["j1", "j2", "more"]);
}

pub async fn a_paused_queue_still_rescues(rig: &Rig) {
    fill(rig, 1).await;
    rig.hand(1).take_one().await;
    rig.admin(AdminCommand::Pause).await;
    assert_eq!(rig.lose_workers().await, 1);
    assert_eq!(rig.hand(2).take(1).await, []);
}

pub async fn adds_beyond_the_depth_are_refused_and_leave_no_trace(rig: &Rig) {
    rig.configure(|config| config.depth_max = Some(3)).await;
    rig.add(job("a").delay_ms(9_000)).await;
    let added = rig.add_all(vec![job("b"), job("c"), job("d"), job("e")]).await;
    let full = AddOutcome::Full { depth_max: 3 };
    let outcomes: Vec<_> = added.into_iter().map(|added| added.outcome).collect();
    assert_eq!(outcomes, [AddOutcome::New, AddOutcome::New, full.clone(), full.clone()]);
    assert!(rig.find("d").await.is_none());
    assert_eq!(rig.info().await.totals.added, 3);
    assert_eq!(rig.add(job("b")).await.outcome, AddOutcome::SameId { state: JobState::Waiting });
    let parent = rig.try_add(vec![job("p").child(name("other"), job("kid"), ChildFailure::Fail)]).await;
    let parent = parent.expect("the flow is within bounds");
    assert_eq!((parent.added[0].outcome.clone(), parent.outbox.len()), (full, 0));
    rig.hand(1).take_one().await;
    assert!(rig.add(job("d")).await.is_new(), "what runs does not count");
}

pub async fn follow_ups_children_retries_and_returns_are_exempt_from_the_depth(rig: &Rig) {
    fill(rig, 3).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(3).await;
    rig.configure(|config| config.depth_max = Some(1)).await;
    rig.add(job("filler")).await;
    hand.end(&taken[0], fail()).await;
    hand.end(&taken[1], again(0)).await;
    hand.end(&taken[2], Outcome::Release).await;
    rig.retry("j0").await;
    let delivery = Delivery::Add(Box::new(job("delivered")));
    let entry = OutboxEntry { seq: 1, at: 0, target: rig.name.clone(), delivery };
    rig.hand_over(&name("elsewhere"), &entry).await;
    assert_eq!(rig.info().await.counts.waiting, 5);
    assert_eq!(rig.add(job("outside")).await.outcome, AddOutcome::Full { depth_max: 1 });
}

pub async fn settings_that_cannot_be_used_are_refused_with_all_that_is_wrong(rig: &Rig) {
    let before = rig.info().await.config;
    let mut bad = before.clone();
    bad.default_priority = u32::MAX;
    bad.rate = Some(RateLimit { max: 0, per_ms: 0 });
    bad.concurrency = Some(0);
    bad.lease_ms = 1;
    bad.group_default.weight = 0;
    let error = rig.backend.configure(&rig.name, bad).await.expect_err("six things are wrong");
    let bulrush::port::Error::Config { problems } = error else { panic!("{error}") };
    assert_eq!(problems.len(), 6, "{problems:?}");
    assert_eq!(rig.info().await.config, before);
}

pub async fn two_queues_do_not_know_each_other(rig: &Rig) {
    let other = rig.queue("other");
    rig.add(job("a")).await;
    assert!(other.add(job("a")).await.is_new());
    rig.admin(AdminCommand::Pause).await;
    assert_eq!(other.hand(1).take_ids().await, ["a"]);
    assert_eq!(rig.state("a").await, JobState::Waiting);
    let names = rig.backend.queues().await.expect("queues can be listed");
    assert_eq!(names, [name("main"), name("other")]);
    assert_eq!(rig.backend.get(&other.name, &[id("b")]).await.expect("can be read"), [None]);
}
