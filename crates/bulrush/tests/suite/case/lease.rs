//! Leases: who shows no sign of life loses its jobs, and nobody else does.

use bulrush::model::{ErrorKind, JobState, Outcome};
use bulrush::port::{Settled, UpdateChange};

use crate::suite::{Rig, again, complete, fail, finished, id, job};

pub async fn a_dead_worker_s_jobs_go_back_to_the_head_within_a_lease_and_five_seconds(rig: &Rig) {
    rig.add_ids(&["a", "b", "c"]).await;
    // Maintenance has been running all along.
    rig.pass(20_000).await;
    let mut hand = rig.hand(1);
    hand.take(2).await;
    assert_eq!(rig.pass(9_000).await, 0, "its lease still holds");
    assert_eq!(rig.pass(6_000).await, 2);
    let back = rig.job("a").await;
    assert_eq!((back.state(), back.status.stalls), (JobState::Waiting, 1));
    assert_eq!(back.status.attempts_made, 0, "a stall is counted apart from attempts");
    assert_eq!(rig.info().await.totals.stalled, 2);
    let mut order = rig.hand(2).take_ids().await;
    order[..2].sort();
    assert_eq!(order, ["a", "b", "c"]);
}

pub async fn a_worker_that_shows_life_keeps_its_jobs_however_long_they_take(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    // Each sign of life alone is enough.
    for sign in ["renewal", "step", "report"] {
        for _ in 0..10 {
            rig.advance(5_000);
            match sign {
                "renewal" => assert!(hand.renew().known),
                "step" => assert!(hand.step(Vec::new(), 0).await.known),
                _ => {
                    let change = UpdateChange::Log { from: 0, lines: vec!["still here".into()] };
                    assert_eq!(hand.update(&taken, change).await, Settled::Ok);
                }
            }
            assert_eq!(rig.maintain().await.rescued, 0, "a {sign} is a sign of life");
        }
    }
    hand.end(&taken, complete()).await;
    assert_eq!(rig.job("a").await.status.stalls, 0);
}

pub async fn nobody_is_rescued_within_the_grace_after_a_gap(rig: &Rig) {
    rig.add(job("a")).await;
    rig.maintain().await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    // The store was away for an hour: all leases look run out.
    rig.advance(3_600_000);
    assert_eq!(rig.maintain().await.rescued, 0);
    assert_eq!(rig.pass(9_000).await, 0, "the grace is one lease");
    assert!(hand.renew().known, "a live worker renews first");
    assert_eq!(rig.pass(5_000).await, 0);
    assert_eq!(hand.settle(&taken, complete()).await, Settled::Ok);
}

pub async fn whoever_stays_silent_through_the_grace_is_rescued_after_it(rig: &Rig) {
    rig.add(job("a")).await;
    rig.maintain().await;
    rig.hand(1).take_one().await;
    rig.advance(3_600_000);
    assert_eq!(rig.pass(15_000).await, 1, "at most two leases and 5 s after a gap");
}

pub async fn a_job_remembers_the_run_that_settled_it_through_runs_that_were_lost(rig: &Rig) {
    rig.add(job("a").attempts(9)).await;
    let first = rig.hand(1).run(again(0)).await;
    assert_eq!(rig.job("a").await.status.settled_by, Some(first.token));
    for lost in 1..=2 {
        rig.hand(1 + lost).take_one().await;
        assert_eq!(rig.lose_workers().await, 1);
        let status = rig.job("a").await.status;
        assert_eq!((status.settled_by, u64::from(status.run)), (Some(first.token), 1 + lost));
    }
    // A run that its worker no longer knows of is given back, which is no stall.
    let mut hand = rig.hand(9);
    hand.take_one().await;
    hand.resume(&[]).await;
    let status = rig.job("a").await.status;
    assert_eq!((status.settled_by, status.run), (Some(first.token), 4));
    let last = hand.run(complete()).await;
    let status = rig.job("a").await.status;
    assert_eq!((status.settled_by, status.run, last.token.run), (Some(last.token), 5, 5));
}

pub async fn a_job_that_loses_its_worker_too_often_fails_as_crashed(rig: &Rig) {
    rig.configure(|config| config.stalls_max = 2).await;
    rig.add(job("poison").attempts(1)).await;
    rig.add(job("good")).await;
    for stall in 1..=3 {
        let mut hand = rig.hand(stall);
        assert_eq!(hand.take_id().await, "poison");
        assert_eq!(rig.lose_workers().await, 1);
        let state = if stall == 3 { JobState::Failed } else { JobState::Waiting };
        assert_eq!(rig.state("poison").await, state, "after stall {stall}");
    }
    let dead = rig.job("poison").await;
    assert_eq!((dead.status.stalls, dead.status.attempts_made), (3, 1));
    assert_eq!(dead.status.errors.last().map(|error| error.error.kind), Some(ErrorKind::Crashed));
    assert_eq!(rig.hand(9).take_ids().await, ["good"], "others keep flowing");
}

pub async fn a_retried_dead_letter_starts_with_no_stalls(rig: &Rig) {
    rig.configure(|config| config.stalls_max = 0).await;
    rig.add(job("a")).await;
    rig.hand(1).take_one().await;
    rig.lose_workers().await;
    assert_eq!(rig.state("a").await, JobState::Failed);
    rig.retry("a").await;
    let fresh = rig.job("a").await.status;
    assert_eq!((fresh.stalls, fresh.attempts_made, fresh.finished_on), (0, 0, None));
}

pub async fn a_job_past_its_deadline_is_rescued_even_from_a_live_worker(rig: &Rig) {
    // Whether others wait beside it or not.
    for (name, beside) in [("alone", None), ("beside", Some(9))] {
        let queue = rig.queue(name);
        queue.add(job("a").timeout_ms(60_000)).await;
        queue.add(job("unbounded")).await;
        if let Some(priority) = beside {
            queue.add(job("less-urgent").priority(priority)).await;
        }
        let mut hand = queue.hand(1);
        let taken = hand.take(2).await;
        let deadline = rig.now() + 60_000 + 30_000;
        assert_eq!(queue.job("a").await.active.and_then(|run| run.deadline), Some(deadline));
        let mut rescued = 0;
        while rig.now() < deadline {
            assert_eq!(rescued, 0, "not before its time-out and 30 s");
            rig.advance(1_000);
            rescued += hand.renew().maintained.rescued;
        }
        assert_eq!(rescued, 1, "{name}");
        assert_eq!((queue.state("a").await, queue.job("a").await.status.stalls), (JobState::Waiting, 1));
        assert_eq!(queue.state("unbounded").await, JobState::Active, "without a time-out the lease counts");
        assert_eq!(hand.settle(&taken[0], complete()).await, Settled::Stale);
        assert_eq!(hand.settle(&taken[1], complete()).await, Settled::Ok);
        // The next run has a deadline of its own, which ends with it.
        assert_eq!(hand.run(complete()).await.spec.id.as_str(), "a");
    }
}

pub async fn a_worker_that_was_given_up_learns_it_and_goes_on(rig: &Rig) {
    rig.add_ids(&["a"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    rig.lose_workers().await;
    let reply = hand.step(vec![finished(&taken, complete())], 1).await;
    assert!(!reply.known);
    assert_eq!((reply.settled, reply.taken), (vec![Settled::Stale], vec![]), "it says hello first");
    assert_eq!(hand.resume(&[&taken]).await.lost, [id("a")]);
    let again = hand.take_one().await;
    assert_ne!(again.token, taken.token);
    hand.end(&again, complete()).await;
}

pub async fn a_worker_that_has_not_said_hello_settles_and_takes_nothing(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let taken = rig.hand(1).take_one().await;
    let mut silent = rig.hand(2);
    silent.renew();
    let step = silent.next(vec![finished(&taken, complete())], 1);
    let reply = silent.send_unasked(step).await.expect("the step can be carried out");
    assert_eq!((reply.known, reply.settled, reply.taken), (false, vec![Settled::Ok], vec![]));
    assert_eq!(silent.take_id().await, "b", "once it has said hello");
}

pub async fn a_late_step_does_not_revive_a_worker_that_was_given_up(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    hand.resume(&[]).await;
    let late = hand.next(Vec::new(), 1);
    rig.lose_workers().await;
    let reply = hand.send(late).await.expect("the step can be carried out");
    assert_eq!((reply.known, reply.taken), (false, vec![]));
    assert_eq!(rig.state("a").await, JobState::Waiting);
}

pub async fn a_renewal_says_whether_the_worker_was_known(rig: &Rig) {
    let hand = rig.hand(1);
    assert!(!hand.renew().known);
    assert!(hand.renew().known);
    rig.pass(30_000).await;
    assert!(!hand.renew().known);
}

pub async fn live_workers_are_listed_with_what_they_run(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    let (mut one, two) = (rig.hand(1), rig.hand(2));
    one.resume(&[]).await;
    two.renew();
    let taken = one.take(2).await;
    let listed = rig.backend.workers(&rig.name).await.expect("workers can be listed");
    assert_eq!(listed.len(), 2);
    assert_eq!((&listed[0].info, &listed[1].info), (&one.info, &two.info));
    assert_eq!(listed[0].running, [id("a"), id("b")]);
    assert_eq!((listed[1].running.len(), listed[1].lease_until), (0, rig.now() + 10_000));
    one.end(&taken[0], fail()).await;
    rig.advance(5_000);
    two.renew();
    rig.advance(5_000);
    let listed = rig.backend.workers(&rig.name).await.expect("workers can be listed");
    let names: Vec<&str> = listed.iter().map(|worker| worker.info.name.as_str()).collect();
    assert_eq!(names, ["worker 2"], "a worker whose lease ran out is not alive");
}

pub async fn a_rescue_is_bounded_and_says_that_more_is_left(rig: &Rig) {
    let mut hand = rig.hand(1);
    for part in 0..3 {
        rig.add_all((0..500).map(|n| job(&format!("j{part}-{n}"))).collect()).await;
        assert_eq!(hand.take(500).await.len(), 500);
    }
    rig.pass(9_000).await;
    let mut rescued = Vec::new();
    for _ in 0..20 {
        rig.advance(1_000);
        let pass = rig.maintain().await;
        if pass.rescued > 0 {
            rescued.push((pass.rescued, pass.more));
        }
    }
    assert_eq!(rescued, [(1_000, true), (500, false)]);
    assert_eq!(rig.info().await.counts.waiting, 1_500);
}

pub async fn invariant_2_a_token_exists_exactly_while_a_job_is_active(rig: &Rig) {
    rig.add_ids(&["a", "b", "c", "d"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(3).await;
    hand.end(&taken[0], complete()).await;
    hand.end(&taken[1], Outcome::Release).await;
    for text in ["a", "b", "c", "d"] {
        let job = rig.job(text).await;
        assert_eq!(job.active.is_some(), job.state() == JobState::Active, "{text} is {}", job.state());
        assert_eq!(job.active.is_some(), text == "c");
    }
}
