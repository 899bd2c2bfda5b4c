//! The stream of events: one per change, in order, bounded, and enough to rebuild the counts.

use std::collections::BTreeMap;
use std::time::Duration;

use bulrush::model::{Event, EventKind, JobState, Keep, Outcome, Progress};
use bulrush::port::{AdminCommand, UpdateChange};

use crate::suite::{Queue, Rig, again, complete, fail, id, job, name};

fn kinds(events: &[Event]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

async fn since(queue: &Queue, position: &mut u64) -> Vec<EventKind> {
    let events = queue.events(*position).await;
    if let Some(last) = events.last() {
        *position = last.position;
    }
    kinds(&events)
}

pub async fn every_change_has_its_event_in_order(rig: &Rig) {
    use EventKind as E;
    let mut at = rig.info().await.last_event;
    rig.add(job("a").delay_ms(1_000)).await;
    assert_eq!(since(rig, &mut at).await, [E::Added, E::Delayed]);
    rig.advance(1_000);
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    assert_eq!(since(rig, &mut at).await, [E::Waiting, E::Active, E::Drained]);
    hand.update(&taken, UpdateChange::Progress(Progress { percent: 7, ..Progress::default() })).await;
    hand.end(&taken, again(500)).await;
    assert_eq!(since(rig, &mut at).await, [E::Progress { percent: 7 }, E::Retrying]);
    rig.advance(500);
    hand.run(Outcome::Snooze { after_ms: 500 }).await;
    assert_eq!(since(rig, &mut at).await, [E::Waiting, E::Active, E::Drained, E::Delayed]);
    rig.advance(500);
    hand.run(Outcome::Release).await;
    assert_eq!(since(rig, &mut at).await, [E::Waiting, E::Active, E::Drained, E::Waiting]);
    hand.take_one().await;
    rig.lose_workers().await;
    assert_eq!(since(rig, &mut at).await, [E::Active, E::Drained, E::Stalled]);
    hand.resume(&[]).await;
    hand.run(fail()).await;
    rig.retry("a").await;
    rig.cancel("a").await;
    assert_eq!(since(rig, &mut at).await, [E::Active, E::Drained, E::Failed, E::Waiting, E::Cancelled]);
    rig.remove("a").await;
    rig.add(job("b")).await;
    hand.run(complete()).await;
    assert_eq!(since(rig, &mut at).await, [E::Removed, E::Added, E::Active, E::Drained, E::Completed]);
    rig.admin(AdminCommand::Pause).await;
    rig.admin(AdminCommand::Unpause).await;
    rig.admin(AdminCommand::Clean { state: JobState::Completed, older_ms: 0, limit: 10 }).await;
    assert_eq!(since(rig, &mut at).await, [E::Paused, E::Resumed, E::Removed, E::Cleaned { count: 1 }]);
    // Of plain jobs in a plain queue too, and where a less urgent one waits.
    let (queue, mut at) = (rig.queue("plain"), 0);
    let mut hand = queue.hand(1);
    queue.add(job("c")).await;
    hand.run(complete()).await;
    assert_eq!(since(&queue, &mut at).await, [E::Added, E::Active, E::Drained, E::Completed]);
    queue.add(job("less-urgent").priority(9)).await;
    queue.add(job("d")).await;
    hand.run(complete()).await;
    assert_eq!(since(&queue, &mut at).await, [E::Added, E::Added, E::Active, E::Completed]);
}

pub async fn what_changes_nothing_has_no_event(rig: &Rig) {
    rig.add(job("a")).await;
    let done = rig.hand(1).run(complete()).await;
    let at = rig.info().await.last_event;
    rig.add(job("a")).await;
    rig.hand(2).settle(&done, fail()).await;
    rig.cancel("a").await;
    rig.remove("nobody").await;
    rig.admin(AdminCommand::Unpause).await;
    rig.admin(AdminCommand::Clean { state: JobState::Failed, older_ms: 0, limit: 10 }).await;
    rig.maintain().await;
    rig.hand(2).take(5).await;
    assert_eq!(rig.events(at).await, []);
}

pub async fn events_carry_job_owner_and_time_and_their_positions_grow(rig: &Rig) {
    let owned = job("a").owner("acme", "ada");
    let hash = owned.spec.owner.as_ref().map_or(0, |owner| owner.hash64());
    rig.add_all(vec![owned, job("b")]).await;
    rig.advance(5);
    rig.hand(1).take(2).await;
    let events = rig.events(0).await;
    assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position));
    let of_a: Vec<&Event> = events.iter().filter(|event| event.job == Some(id("a"))).collect();
    assert_eq!(of_a.len(), 2);
    assert!(hash != 0 && of_a.iter().all(|event| event.owner_hash == hash));
    assert_eq!((of_a[0].at, of_a[1].at), (rig.now() - 5, rig.now()));
    assert!(events.iter().filter(|event| event.job == Some(id("b"))).all(|event| event.owner_hash == 0));
    assert_eq!(rig.info().await.last_event, events[events.len() - 1].position);
}

pub async fn a_reader_goes_on_where_it_was(rig: &Rig) {
    rig.add_all((0..10).map(|n| job(&format!("j{n}"))).collect()).await;
    let (mut at, mut seen) = (0, Vec::new());
    loop {
        let page = rig.backend.events(&rig.name, at, 3, Duration::ZERO).await.expect("events can be read");
        assert!(!page.gap && page.events.len() <= 3);
        if page.events.is_empty() {
            assert_eq!(page.next, at);
            break;
        }
        at = page.next;
        seen.extend(page.events);
    }
    assert_eq!(seen, rig.events(0).await);
    assert_eq!(seen.len(), 10);
}

pub async fn a_reader_that_fell_out_of_the_window_is_told(rig: &Rig) {
    rig.configure(|config| config.events_max = 4).await;
    rig.add(job("first")).await;
    let at = rig.info().await.last_event;
    rig.add_all((0..4).map(|n| job(&format!("j{n}"))).collect()).await;
    let read =
        async |after| rig.backend.events(&rig.name, after, 10, Duration::ZERO).await.expect("can be read");
    assert!(!read(at).await.gap, "the four after it are there");
    // A backend that keeps events in batches lets whole batches go.
    for n in 0.. {
        rig.add(job(&format!("more{n}"))).await;
        if read(at).await.gap {
            break;
        }
        assert!(n < 10, "the window grows without bound");
    }
    let page = read(at).await;
    assert!(page.gap && (4..12).contains(&page.events.len()), "what is left of the window: {page:?}");
    let foreign = read(u64::MAX).await;
    assert!(foreign.gap, "a position from another life");
    assert!(!read(0).await.gap, "from the start of the window is no gap");
}

pub async fn a_queue_that_keeps_no_events_has_none_and_says_so_afterwards(rig: &Rig) {
    rig.add(job("a")).await;
    let at = rig.info().await.last_event;
    rig.configure(|config| config.events_max = 0).await;
    assert_eq!(rig.events(0).await, []);
    rig.add(job("b")).await;
    assert_eq!(rig.events(0).await, []);
    rig.configure(|config| config.events_max = 100).await;
    rig.add(job("c")).await;
    let page = rig.backend.events(&rig.name, at, 10, Duration::ZERO).await.expect("events can be read");
    assert!(page.gap, "b's event is missing");
    assert_eq!(page.events.len(), 1);
}

pub async fn a_reader_that_waits_is_woken_by_the_next_event(rig: &Rig) {
    let (backend, queue) = (rig.backend.clone(), rig.name.clone());
    let at = rig.info().await.last_event;
    let reader = tokio::spawn(async move { backend.events(&queue, at, 10, Duration::from_mins(1)).await });
    tokio::task::yield_now().await;
    assert!(!reader.is_finished());
    rig.add(job("a")).await;
    let page = reader.await.expect("the reader ends").expect("events can be read");
    assert_eq!(kinds(&page.events), [EventKind::Added]);
}

pub async fn replaying_the_events_rebuilds_the_counts(rig: &Rig) {
    rig.configure(|config| {
        config.retention.completed = Keep::ALL;
        config.retention.cancelled = Keep::ALL;
    })
    .await;
    let mut hand = rig.hand(1);
    let outcomes = [complete(), again(700), fail(), Outcome::Snooze { after_ms: 300 }, Outcome::Release];
    for round in 0..60_usize {
        rig.add(job(&format!("j{round}")).delay_ms(if round % 3 == 0 { 400 } else { 0 })).await;
        rig.advance(100);
        for job in hand.take(2).await {
            hand.end(&job, outcomes[round % 5].clone()).await;
        }
        match round % 10 {
            3 => drop(rig.cancel(&format!("j{round}")).await),
            5 => drop(rig.remove(&format!("j{}", round - 2)).await),
            7 => drop(rig.admin(AdminCommand::RetryFailed { limit: 1 }).await),
            9 => drop(rig.admin(AdminCommand::Promote(vec![id(&format!("j{}", round - 9))])).await),
            _ => {}
        }
    }
    let mut states: BTreeMap<_, JobState> = BTreeMap::new();
    for event in rig.events(0).await {
        let Some(job) = event.job else { continue };
        let state = match event.kind {
            EventKind::Added | EventKind::Waiting | EventKind::Stalled => JobState::Waiting,
            EventKind::Delayed | EventKind::Retrying => JobState::Delayed,
            EventKind::Active => JobState::Active,
            EventKind::Completed => JobState::Completed,
            EventKind::Failed => JobState::Failed,
            EventKind::Cancelled => JobState::Cancelled,
            EventKind::Removed => {
                states.remove(&job);
                continue;
            }
            _ => continue,
        };
        states.insert(job, state);
    }
    let counts = rig.info().await.counts;
    for state in JobState::ALL {
        let replayed = states.values().filter(|seen| **seen == state).count() as u64;
        assert_eq!(replayed, counts.of(state), "{state}");
    }
    for (job, state) in states {
        assert_eq!(rig.state(job.as_str()).await, state, "{job}");
    }
}

pub async fn a_reader_of_a_queue_that_nobody_made_misses_nothing_once_it_is_made(rig: &Rig) {
    let later = rig.queue("later");
    let at = later.info().await.last_event;
    let early = rig.backend.events(&later.name, 0, 10, Duration::ZERO).await.expect("can be read");
    assert_eq!((early.events.len(), early.gap), (0, false));
    let mut readers = Vec::new();
    for after in [0, at, early.next] {
        let (backend, queue) = (rig.backend.clone(), later.name.clone());
        let wait = Duration::from_mins(1);
        readers.push(tokio::spawn(async move { backend.events(&queue, after, 10, wait).await }));
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    rig.advance(60_000);
    // What makes the queue and says nothing ends no reader's wait.
    later.configure(|_| {}).await;
    rig.advance(60_000);
    later.add(job("a")).await;
    for reader in readers {
        let page = reader.await.expect("the reader ends").expect("events can be read");
        assert_eq!((kinds(&page.events), page.gap), (vec![EventKind::Added], false));
    }
    let page = rig.backend.events(&later.name, early.next, 10, Duration::ZERO).await.expect("can be read");
    assert_eq!((kinds(&page.events), page.gap), (vec![EventKind::Added], false), "nor does who comes back");
}

pub async fn a_position_of_another_life_is_told_apart_in_a_queue_that_nobody_made(rig: &Rig) {
    let nowhere = name("nowhere");
    let page = rig.backend.events(&nowhere, 77, 10, Duration::from_mins(1)).await.expect("can be read");
    assert!(page.gap && page.events.is_empty(), "it ends at once: {page:?}");
    let page = rig.backend.events(&nowhere, page.next, 10, Duration::ZERO).await.expect("can be read");
    assert!(!page.gap, "it goes on from there");
}

pub async fn positions_are_never_issued_twice_however_soon_a_store_is_opened_again(rig: &mut Rig) {
    let mut seen: Vec<Event> = Vec::new();
    for life in 0..3 {
        // More than there are positions in a millisecond.
        for part in 0..5 {
            rig.add_all((0..1_000).map(|n| job(&format!("{life}-{part}-{n}"))).collect()).await;
        }
        let events = rig.events(0).await;
        let last = seen.last().map_or(0, |event| event.position);
        assert!(events[0].position > last, "{} after {last}", events[0].position);
        seen.extend(events);
        let last = rig.info().await.last_event;
        if !rig.reopen_at_once().await {
            return;
        }
        let page = rig.backend.events(&rig.name, last, 10, Duration::ZERO).await.expect("can be read");
        assert!(page.gap && page.events.is_empty(), "a reader learns that it may have missed something");
    }
}
