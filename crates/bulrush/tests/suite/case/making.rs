//! What makes a queue, and what does not.

use std::time::Duration;

use bulrush::model::{ChildState, EventKind, JobState, PageRequest, QueueConfig};
use bulrush::port::{AdminCommand, Delivery, OutboxEntry, Step};

use crate::suite::{Rig, id, job, name};

pub async fn what_leaves_something_makes_its_queue(rig: &mut Rig) {
    rig.queue("added").add(job("a")).await;
    rig.queue("configured").configure(|_| {}).await;
    rig.queue("paused").admin(AdminCommand::Pause).await;
    rig.queue("greeted").hand(1).resume(&[]).await;
    rig.queue("renewed").hand(1).renew();
    let there = rig.backend.queues().await.expect("queues can be listed");
    assert_eq!(there, ["added", "configured", "greeted", "paused", "renewed"].map(name));
    if rig.reopen().await {
        let there = rig.backend.queues().await.expect("queues can be listed");
        assert!(
            ["added", "configured", "paused"].map(name).iter().all(|name| there.contains(name)),
            "{there:?}"
        );
    }
}

pub async fn what_fails_or_changes_nothing_makes_no_queue(rig: &mut Rig) {
    let nowhere = rig.queue("nowhere");
    let backend = rig.backend.clone();
    nowhere.try_add(vec![job("good"), job("bad").attempts(0)]).await.expect_err("no attempts");
    nowhere.try_add(Vec::new()).await.expect("an empty call is no error");
    let bad = QueueConfig { concurrency: Some(0), ..QueueConfig::default() };
    backend.configure(&nowhere.name, bad).await.expect_err("nothing could ever run");
    let many = AdminCommand::RetryFailed { limit: usize::MAX };
    nowhere.try_admin(many).await.expect_err("more than a call may change");
    for command in [
        AdminCommand::Unpause,
        AdminCommand::Cancel(vec![id("a")]),
        AdminCommand::Remove(vec![id("a")]),
        AdminCommand::Retry { ids: vec![id("a")], data: None },
        AdminCommand::RetryFailed { limit: 10 },
        AdminCommand::SetPriority { id: id("a"), priority: 1 },
        AdminCommand::Clean { state: JobState::Waiting, older_ms: 0, limit: 10 },
        AdminCommand::Drain { delayed: true, limit: 10 },
        AdminCommand::Obliterate { force: true, limit: 10 },
    ] {
        assert_eq!(nowhere.admin(command).await.changed, 0);
    }
    nowhere.maintain().await;
    let hand = nowhere.hand(1);
    let reply = hand.send_unasked(Step::take(hand.id(), 1, 5)).await.expect("it is told to say hello");
    assert!(!reply.known);
    backend.update(&nowhere.name, Vec::new()).await.expect("an empty call is no error");
    backend.acknowledge(&nowhere.name, vec![1]).await.expect("there is nothing to forget");
    let (parent, child, state) = (id("p"), id("c"), ChildState::Completed { result: None });
    let news = Delivery::ChildSettled { parent, child, state };
    let entry = OutboxEntry { seq: 1, at: rig.now(), target: nowhere.name.clone(), delivery: news };
    backend.deliver(&nowhere.name, &rig.name, vec![entry]).await.expect("nobody is there to be told");
    assert_eq!(backend.queues().await.expect("queues can be listed"), []);
    rig.reopen().await;
    assert_eq!(rig.backend.queues().await.expect("queues can be listed"), []);
    // And it can be made afterwards like any other.
    let nowhere = rig.queue("nowhere");
    nowhere.add(job("a")).await;
    let kinds: Vec<EventKind> = nowhere.events(0).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Added]);
}

pub async fn reading_a_queue_that_nobody_made_does_not_make_it(rig: &Rig) {
    let nowhere = name("nowhere");
    let backend = &rig.backend;
    backend.info(&nowhere).await.expect("can be read");
    backend.get(&nowhere, &[id("a")]).await.expect("can be read");
    backend.children(&nowhere, &id("a"), 0, 10).await.expect("can be read");
    backend.logs(&nowhere, &id("a"), 0, 10).await.expect("can be read");
    backend.history(&nowhere, 0, false).await.expect("can be read");
    backend.workers(&nowhere).await.expect("can be read");
    backend.explain(&nowhere, &id("a")).await.expect("can be read");
    backend.page(&nowhere, PageRequest::default()).await.expect("can be read");
    for after in [0, 1, u64::MAX] {
        backend.events(&nowhere, after, 10, Duration::ZERO).await.expect("can be read");
    }
    for (cursor, repair) in [(0, false), (0, true), (u64::MAX, true)] {
        let page = backend.verify(&nowhere, cursor, repair).await.expect("can be checked");
        assert_eq!((page.findings, page.checked, page.next), (vec![], 0, None));
    }
    assert_eq!(backend.queues().await.expect("queues can be listed"), []);
}
