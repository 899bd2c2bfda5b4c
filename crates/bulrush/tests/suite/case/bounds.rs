//! Bounds: beyond each there is an error that names it, and nothing has changed.

use bulrush::model::{Bound, BoundError, CheckError, ChildFailure, NewJob, Outcome, Progress, When};
use bulrush::port::{AdminCommand, Delivery, Error, OutboxEntry, Update, UpdateChange};

use crate::suite::{Rig, complete, finished, id, job, name};

/// The bound that an error is about.
fn bound(error: &Error) -> BoundError {
    match error {
        Error::Bound(bound) | Error::Check(CheckError::Bound(bound)) => *bound,
        other => panic!("no bound: {other}"),
    }
}

pub async fn an_add_beyond_a_bound_names_it_and_adds_nothing(rig: &Rig) {
    rig.configure(|config| {
        config.bounds.data_bytes = 10;
        config.bounds.tags = 2;
        config.bounds.label_bytes = 8;
        config.bounds.call_items = 4;
        config.bounds.call_bytes = 25;
    })
    .await;
    let long = "123456789";
    let sized = |n: usize| NewJob::new(id("bad"), "work", vec![b' '; n]);
    let mut attempts = job("bad");
    attempts.spec.attempts = 1_001;
    let mut cases = vec![
        (sized(11), Bound::Data, 11),
        (job("bad").tags(["a", "b", "c"]), Bound::Tags, 3),
        (job("bad").tags([long]), Bound::Label, 9),
        (job("bad").group(long), Bound::Label, 9),
        (job("bad").dedup(long), Bound::Label, 9),
        (job("bad").owner(long, ""), Bound::Label, 9),
        (job("bad").owner("", long), Bound::Label, 9),
        (job("bad").traceparent(long), Bound::Label, 9),
        (NewJob::new(id("bad"), long, "{}"), Bound::Label, 9),
        (job("bad").priority((1 << 21) + 1), Bound::Priority, (1 << 21) + 1),
        (attempts, Bound::Attempts, 1_001),
        (job("bad").delay_ms(NewJob::DELAY_MAX_MS + 1), Bound::Delay, NewJob::DELAY_MAX_MS + 1),
        (job("bad").timeout_ms(u64::MAX), Bound::Delay, u64::MAX),
        (job("bad").child(name("other"), sized(11), ChildFailure::Fail), Bound::Data, 11),
    ];
    let mut deep = job("d0");
    for level in 1..=16 {
        deep = job(&format!("d{level}")).child(name("other"), deep, ChildFailure::Fail);
    }
    rig.configure(|config| (config.bounds.call_items, config.bounds.call_bytes) = (20, 100)).await;
    cases.push((deep, Bound::FlowDepth, 17));
    for (bad, expected, seen) in cases {
        let error = rig.try_add(vec![job("good"), bad]).await.expect_err("it is beyond a bound");
        let found = bound(&error);
        assert_eq!((found.bound, found.seen, found.item), (expected, seen, 1), "{error}");
        assert!(error.to_string().contains(&found.max.to_string()), "{error}");
    }
    rig.configure(|config| (config.bounds.call_items, config.bounds.call_bytes) = (4, 25)).await;
    let many = (0..5).map(|n| job(&format!("j{n}"))).collect();
    assert_eq!(bound(&rig.try_add(many).await.expect_err("five jobs")).bound, Bound::CallItems);
    let tree =
        (0..4).fold(job("root"), |root, n| root.child(name("o"), job(&format!("k{n}")), ChildFailure::Fail));
    assert_eq!(bound(&rig.try_add(vec![tree]).await.expect_err("five jobs")).bound, Bound::CallItems);
    let heavy = (0..3).map(|n| NewJob::new(id(&format!("j{n}")), "work", vec![b' '; 9])).collect();
    assert_eq!(bound(&rig.try_add(heavy).await.expect_err("27 bytes")).bound, Bound::CallBytes);
    assert_eq!(rig.info().await.counts.total(), 0);
}

pub async fn what_is_exactly_at_its_bound_is_taken(rig: &Rig) {
    rig.configure(|config| {
        config.bounds.data_bytes = 10;
        config.bounds.result_bytes = 4;
        config.bounds.tags = 2;
        config.bounds.label_bytes = 8;
    })
    .await;
    let exact = NewJob::new(id("a"), "12345678", "1234567890")
        .tags(["12345678", ""])
        .priority(NewJob::PRIORITY_MAX)
        .attempts(NewJob::ATTEMPTS_MAX)
        .delay_ms(NewJob::DELAY_MAX_MS)
        .timeout_ms(NewJob::DELAY_MAX_MS);
    assert!(rig.add(exact).await.is_new());
    rig.add(job("b")).await;
    let four = Outcome::Complete { result: Some("1234".into()), follow_ups: Vec::new() };
    rig.hand(1).run(four).await;
}

pub async fn jobs_that_could_never_run_are_refused(rig: &Rig) {
    let error = rig.try_add(vec![job("a").attempts(0)]).await.expect_err("no attempts");
    assert!(matches!(error, Error::Check(CheckError::NoAttempts { item: 0 })), "{error}");
    let error = rig.try_add(vec![NewJob::new(id("a"), "", "{}")]).await.expect_err("no name");
    assert!(matches!(error, Error::Check(CheckError::NoName { item: 0 })), "{error}");
    let twice = job("a").child(name("o"), job("k"), ChildFailure::Fail);
    let twice = twice.child(name("p"), job("k"), ChildFailure::Fail);
    let error = rig.try_add(vec![twice]).await.expect_err("an id stands twice");
    assert!(matches!(error, Error::Check(CheckError::RepeatedId { item: 0 })), "{error}");
    let own = job("a").child(name("o"), job("a"), ChildFailure::Fail);
    assert!(rig.try_add(vec![own]).await.is_err(), "a job cannot be its own child");
    assert_eq!(rig.info().await.counts.total(), 0);
}

pub async fn a_result_beyond_its_bound_settles_nothing_of_its_call(rig: &Rig) {
    rig.configure(|config| config.bounds.result_bytes = 3).await;
    rig.add_ids(&["a", "b", "c"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take(2).await;
    let big = Outcome::Complete { result: Some("1234".into()), follow_ups: Vec::new() };
    let step = hand.next(vec![finished(&taken[0], complete()), finished(&taken[1], big)], 1);
    let error = hand.send(step).await.expect_err("the result is too large");
    assert_eq!((bound(&error).bound, bound(&error).item), (Bound::Result, 1));
    let counts = rig.info().await.counts;
    assert_eq!((counts.active, counts.completed, counts.waiting), (2, 0, 1));
    hand.end(&taken[0], complete()).await;
}

pub async fn follow_ups_are_held_to_the_bounds_of_any_add(rig: &Rig) {
    rig.configure(|config| {
        config.bounds.data_bytes = 10;
        config.bounds.call_items = 3;
    })
    .await;
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let other = || name("other");
    let twice =
        job("p").child(other(), job("k"), ChildFailure::Fail).child(other(), job("k"), ChildFailure::Fail);
    let tree = (0..3).fold(job("p"), |p, n| p.child(other(), job(&format!("k{n}")), ChildFailure::Fail));
    let bad = [
        vec![(other(), NewJob::new(id("b"), "work", vec![0; 11]))],
        vec![(other(), job("b").attempts(0))],
        (0..4).map(|n| (other(), job(&format!("b{n}")))).collect(),
        vec![(other(), twice)],
        vec![(other(), tree)],
    ];
    for follow_ups in bad {
        let text = format!("{follow_ups:?}");
        let step = hand.next(vec![finished(&taken, Outcome::Complete { result: None, follow_ups })], 0);
        assert!(hand.send(step).await.is_err(), "{text}");
    }
    assert_eq!((rig.info().await.outbox, rig.info().await.counts.active), (0, 1));
    hand.end(&taken, complete()).await;
}

pub async fn a_worker_s_writes_are_held_to_their_bounds(rig: &Rig) {
    rig.configure(|config| {
        config.bounds.data_bytes = 4;
        config.bounds.progress_bytes = 4;
        config.bounds.log_line_bytes = 4;
        config.bounds.message_bytes = 4;
    })
    .await;
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let before = rig.job("a").await;
    let progress = |data: &'static str| Progress { percent: 1, message: None, data: Some(data.into()) };
    for (change, expected) in [
        (UpdateChange::Data("12345".into()), Bound::Data),
        (UpdateChange::Progress(progress("12345")), Bound::Progress),
        (UpdateChange::Log { from: 0, lines: vec!["ok".into(), "12345".into()] }, Bound::LogLine),
    ] {
        let error = hand.try_update(&taken, change).await.expect_err("it is too large");
        assert_eq!(bound(&error).bound, expected, "{error}");
    }
    assert_eq!(rig.job("a").await, before);
    let long = Progress { percent: 200, message: Some("123ä5".into()), data: Some("1234".into()) };
    hand.update(&taken, UpdateChange::Progress(long)).await;
    let progress = rig.job("a").await.status.progress.expect("it was written");
    assert_eq!((progress.percent, progress.message.as_deref()), (100, Some("123")));
}

pub async fn every_call_is_held_to_the_bounds_of_a_call(rig: &Rig) {
    for n in 0..4 {
        rig.add(job(&format!("j{n}"))).await;
    }
    let mut hand = rig.hand(1);
    let taken = hand.take(4).await;
    rig.configure(|config| {
        config.bounds.call_items = 3;
        (config.bounds.data_bytes, config.bounds.result_bytes) = (10, 10);
        config.bounds.call_bytes = 25;
    })
    .await;
    let end = |n: usize, bytes: usize, more: usize| {
        let follow_ups = (0..more).map(|m| (name("other"), job(&format!("f{n}-{m}")))).collect();
        finished(&taken[n], Outcome::Complete { result: Some(vec![b' '; bytes].into()), follow_ups })
    };
    let before = rig.info().await;
    // Ends, and where the bound is passed.
    for (ends, expected) in [
        ((0..4).map(|n| end(n, 1, 0)).collect(), (Bound::CallItems, 3)),
        (vec![end(0, 1, 2), end(1, 1, 2)], (Bound::CallItems, 1)),
        ((0..3).map(|n| end(n, 9, 0)).collect(), (Bound::CallBytes, 2)),
        (vec![end(0, 10, 3), end(1, 10, 0)], (Bound::CallItems, 1)),
    ] {
        let step = hand.next(ends, 0);
        let error = hand.send(step).await.expect_err("it is too much");
        assert_eq!((bound(&error).bound, bound(&error).item), expected, "{error}");
    }
    let lines = |n: usize| UpdateChange::Log { from: 0, lines: vec!["12345678".to_owned(); n] };
    let data = || UpdateChange::Data("123456789".into());
    for (changes, expected) in [
        (vec![lines(2), lines(2)], (Bound::CallItems, 1)),
        (vec![lines(4)], (Bound::CallItems, 0)),
        (vec![data(), data(), lines(1)], (Bound::CallBytes, 2)),
    ] {
        let write = |change| Update { id: taken[0].spec.id.clone(), token: taken[0].token, change };
        let updates = changes.into_iter().map(write).collect();
        let error = rig.backend.update(&rig.name, updates).await.expect_err("it is too much");
        assert_eq!((bound(&error).bound, bound(&error).item), expected, "{error}");
    }
    let news = |seq: u64, bytes: usize| {
        let brought = NewJob::new(id(&format!("d{seq}")), "work", vec![b' '; bytes]);
        OutboxEntry { seq, at: 0, target: rig.name.clone(), delivery: Delivery::Add(Box::new(brought)) }
    };
    let source = name("elsewhere");
    for (entries, expected) in [
        ((0..4).map(|seq| news(seq, 1)).collect(), (Bound::CallItems, 3)),
        ((0..3).map(|seq| news(seq, 9)).collect(), (Bound::CallBytes, 2)),
    ] {
        let error = rig.backend.deliver(&rig.name, &source, entries).await.expect_err("it is too much");
        assert_eq!((bound(&error).bound, bound(&error).item), expected, "{error}");
    }
    let error = rig.backend.acknowledge(&rig.name, vec![1, 2, 3, 4]).await.expect_err("it is too much");
    assert_eq!(bound(&error).bound, Bound::CallItems);
    assert_eq!(rig.info().await, before);
    let job = rig.job("j0").await;
    assert_eq!((job.status.log_lines, job.spec.data.clone()), (0, taken[0].spec.data.clone()));

    // What was admitted elsewhere is taken in, however large it is for this queue.
    rig.hand_over(&source, &news(9, 100)).await;
    assert_eq!(rig.job("d9").await.spec.data.len(), 100);
    let step = hand.next(vec![end(0, 8, 3)], 0);
    hand.send(step).await.expect("it is just small enough");
    let step = hand.next((1..4).map(|n| end(n, 8, 0)).collect(), 0);
    hand.send(step).await.expect("it is just small enough");
    assert_eq!(rig.info().await.counts.completed, 4);
}

pub async fn log_lines_are_kept_up_to_their_bound_and_keep_their_numbers(rig: &Rig) {
    rig.configure(|config| config.bounds.log_lines = 3).await;
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    for (from, part) in [(0, vec!["0", "1"]), (2, vec!["2", "3", "4"])] {
        let lines = part.into_iter().map(str::to_owned).collect();
        hand.update(&taken, UpdateChange::Log { from, lines }).await;
    }
    let read = async |offset, limit| {
        rig.backend.logs(&rig.name, &id("a"), offset, limit).await.expect("logs can be read")
    };
    let all = [(2, "2".to_owned()), (3, "3".to_owned()), (4, "4".to_owned())];
    assert_eq!(read(0, 10).await, all);
    assert_eq!(read(3, 1).await, all[1..2]);
    assert_eq!(read(5, 10).await, []);
    assert_eq!(rig.job("a").await.status.log_lines, 5);
    // A lower bound holds from the next line on.
    rig.configure(|config| config.bounds.log_lines = 1).await;
    hand.update(&taken, UpdateChange::Log { from: 5, lines: vec!["5".to_owned()] }).await;
    assert_eq!(read(0, 10).await, [(5, "5".to_owned())]);
}

pub async fn a_step_stops_taking_at_the_byte_limit(rig: &Rig) {
    rig.configure(|config| config.bounds.call_bytes = 1_000).await;
    for n in 0..6 {
        rig.add(NewJob::new(id(&format!("j{n}")), "work", vec![b' '; 400])).await;
    }
    let mut hand = rig.hand(1);
    let taken = hand.take(6).await;
    assert!((2..=3).contains(&taken.len()), "{} jobs of 400 bytes", taken.len());
    // What alone is larger than a call still comes, alone.
    rig.configure(|config| config.bounds.call_bytes = 10).await;
    assert_eq!(hand.take(6).await.len(), 1);
}

pub async fn a_step_takes_at_most_a_thousand(rig: &Rig) {
    for part in 0..2 {
        rig.add_all((0..1_000).map(|n| job(&format!("j{part}-{n}"))).collect()).await;
    }
    assert_eq!(rig.hand(1).take(usize::MAX).await.len(), 1_000);
}

pub async fn administrators_are_held_to_the_bounds_too(rig: &Rig) {
    rig.configure(|config| {
        config.bounds.call_items = 2;
        config.bounds.data_bytes = 4;
    })
    .await;
    rig.add(job("a").delay_ms(1_000)).await;
    let three = || vec![id("a"), id("b"), id("c")];
    let before = rig.job("a").await;
    let commands = [
        (AdminCommand::Cancel(three()), Bound::CallItems),
        (AdminCommand::Remove(three()), Bound::CallItems),
        (AdminCommand::Promote(three()), Bound::CallItems),
        (AdminCommand::Retry { ids: three(), data: None }, Bound::CallItems),
        (AdminCommand::RetryFailed { limit: 3 }, Bound::CallItems),
        (AdminCommand::Drain { delayed: true, limit: 3 }, Bound::CallItems),
        (AdminCommand::Retry { ids: vec![id("a")], data: Some("12345".into()) }, Bound::Data),
        (AdminCommand::SetData { id: id("a"), data: "12345".into() }, Bound::Data),
        (AdminCommand::SetPriority { id: id("a"), priority: u32::MAX }, Bound::Priority),
        (AdminCommand::Reschedule { id: id("a"), when: When::After(u64::MAX) }, Bound::Delay),
    ];
    for (command, expected) in commands {
        let text = format!("{command:?}");
        let error = rig.try_admin(command).await.expect_err("it is beyond a bound");
        assert_eq!(bound(&error).bound, expected, "{text}");
    }
    assert_eq!(rig.job("a").await, before);
}
