//! Roll-ups: what workers did, summed by the minute and by the hour.

use bulrush::model::{Histogram, Rollup};

use crate::suite::{Rig, START};

const MINUTE: u64 = 60_000;
/// The start of the minute in which every case begins.
const NOW: u64 = START - START % MINUTE;

fn rollup(at: u64, completed: u64) -> Rollup {
    let mut run = Histogram::default();
    (0..completed).for_each(|_| run.record(5));
    Rollup { at, completed, run, ..Rollup::default() }
}

async fn history(rig: &Rig, since: u64, hourly: bool) -> Vec<Rollup> {
    rig.backend.history(&rig.name, since, hourly).await.expect("the history can be read")
}

pub async fn rollups_of_all_workers_are_summed_by_minute_and_hour(rig: &Rig) {
    rig.hand(1).renew_with(1, vec![rollup(NOW, 2), rollup(NOW + MINUTE, 3)]);
    rig.hand(2).renew_with(1, vec![rollup(NOW, 10)]);
    let minutes = history(rig, 0, false).await;
    assert_eq!(minutes, [rollup(NOW, 12), rollup(NOW + MINUTE, 3)]);
    let hours = history(rig, 0, true).await;
    assert_eq!(hours.iter().map(|hour| hour.completed).sum::<u64>(), 15);
    assert!(hours.iter().all(|hour| hour.at.is_multiple_of(3_600_000)));
    assert_eq!(history(rig, NOW + 1, false).await.len(), 1);
}

pub async fn a_repeated_renewal_adds_nothing_twice(rig: &Rig) {
    let hand = rig.hand(1);
    for seq in [1, 1, 2, 1, 2] {
        hand.renew_with(seq, vec![rollup(NOW, 1)]);
    }
    assert_eq!(history(rig, 0, false).await, [rollup(NOW, 2)]);
}

pub async fn a_day_of_minutes_is_kept(rig: &Rig) {
    let hand = rig.hand(1);
    for day in 0..3 {
        let minutes = (0..1_000).map(|n| rollup(NOW + (day * 1_000 + n) * MINUTE, 1)).collect();
        hand.renew_with(day + 1, minutes);
    }
    let kept = history(rig, 0, false).await;
    assert_eq!((kept.len(), kept[0].at), (1_440, NOW + 1_560 * MINUTE));
    let hours = history(rig, 0, true).await;
    assert_eq!(hours.iter().map(|hour| hour.completed).sum::<u64>(), 3_000);
}

pub async fn the_history_survives_a_restart(rig: &mut Rig) {
    rig.hand(1).renew_with(1, vec![rollup(NOW, 2)]);
    rig.add(crate::suite::job("a")).await;
    if rig.reopen().await {
        assert_eq!(history(rig, 0, false).await, [rollup(NOW, 2)]);
    }
}
