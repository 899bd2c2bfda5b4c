//! Time is the backend's, and never goes back.

use bulrush::clock::Clock;
use bulrush::model::{JobState, RateLimit};

use crate::suite::{Rig, START, complete, job};

pub async fn a_clock_that_jumps_back_stands_still_until_it_has_caught_up(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    rig.clock.set(START - 3_600_000);
    rig.add(job("b").delay_ms(1_000)).await;
    let late = rig.job("b").await.status;
    assert_eq!((late.created_at, late.run_at), (START, START + 1_000));
    hand.end(&taken, complete()).await;
    let done = rig.job("a").await.status;
    assert!(done.finished_on >= done.processed_on && done.finished_on >= Some(done.created_at));
    assert_eq!(rig.maintain().await.rescued, 0);
    assert_eq!(hand.take(1).await, []);
    rig.clock.set(START + 1_000);
    assert_eq!(hand.take_ids().await, ["b"]);
}

pub async fn a_clock_that_jumps_back_rescues_nobody_and_breaks_no_rate(rig: &Rig) {
    rig.configure(|config| config.rate = Some(RateLimit { max: 2, per_ms: 1_000 })).await;
    rig.add_all((0..5).map(|n| job(&format!("j{n}"))).collect()).await;
    rig.pass(10_000).await;
    let mut hand = rig.hand(1);
    assert_eq!(hand.take(5).await.len(), 2);
    rig.clock.set(START - 1_000_000);
    assert_eq!(hand.take(5).await, []);
    assert_eq!(rig.maintain().await.rescued, 0);
    assert_eq!(rig.state("j0").await, JobState::Active);
}

pub async fn a_jump_ahead_opens_a_grace_before_anybody_is_rescued(rig: &Rig) {
    rig.add(job("a")).await;
    rig.maintain().await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    rig.advance(86_400_000);
    assert_eq!(hand.renew().maintained.rescued, 0);
    hand.end(&taken, complete()).await;
}

pub async fn the_backend_tells_its_time(rig: &Rig) {
    assert_eq!(rig.backend.now().await.expect("it has a clock"), rig.clock.now());
    rig.advance(17);
    assert_eq!(rig.backend.now().await.expect("it has a clock"), START + 17);
    assert_eq!(rig.hand(1).step(Vec::new(), 0).await.now, START + 17);
}
