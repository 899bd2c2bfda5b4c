//! Follow-ups and flows, end to end, over two queues with a worker each.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bulrush::model::ChildFailure::{self, Continue, Fail, Ignore};
use bulrush::model::{Backoff, ChildState, JobId, JobState, NewJob};
use bulrush::port::OutboxEntry;
use bulrush::{Failure, Handlers, Queue, Worker};

use super::support::{Double, Rig, assert_sound, eventually, quick, unreachable, until};

struct Two {
    rig: Rig,
    parents: Queue,
    children: Queue,
    runs: Arc<AtomicU32>,
    workers: Vec<Worker>,
}

/// Two queues, a worker each. `sum` adds up what its children returned; `bad` fails; `good` completes with its data.
async fn two() -> Two {
    let rig = Rig::new().await;
    let (parents, children) = (rig.queue("parents"), rig.queue("children"));
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let handlers = Handlers::new()
        .on_raw("sum", |ctx| async move {
            let mut seen = Vec::new();
            for child in ctx.children().await? {
                seen.push(match child.state {
                    ChildState::Pending => "pending".to_owned(),
                    ChildState::Completed { result } => {
                        String::from_utf8(result.unwrap_or_default().to_vec())?
                    }
                    ChildState::Failed { reason } => reason,
                });
            }
            Ok(Some(serde_json::to_vec(&seen)?.into()))
        })
        .on_raw("bad", |_| async { Err(Failure::unrecoverable("bad luck")) })
        .on_raw("hangs", |ctx| async move {
            ctx.stopped().await;
            Err(Failure::Cancelled)
        })
        .on_raw("good", move |ctx| {
            count.fetch_add(1, Ordering::Relaxed);
            async move { Ok(Some(ctx.spec().data.clone())) }
        });
    let workers = [&parents, &children].map(|queue| Worker::start(queue, handlers.clone(), quick(4)));
    Two { rig, parents, children, runs, workers: workers.into() }
}

impl Two {
    fn sum(&self, children: &[(&str, &str, ChildFailure)]) -> NewJob {
        let sum = self.parents.job("sum", "null");
        children.iter().fold(sum, |sum, (name, data, policy)| {
            let child = self.children.job(*name, data.to_string()).attempts(1);
            sum.child(self.children.name().clone(), child, *policy)
        })
    }

    async fn run(&self, job: NewJob, state: JobState) -> Vec<String> {
        let id = self.parents.add(job).await.expect("it can be added").id;
        let job = until(&self.parents, &id, state).await;
        match state {
            JobState::Completed => job.output().expect("a list").expect("a result"),
            _ => vec![job.failed_reason().unwrap_or_default().to_owned()],
        }
    }

    async fn end(self) {
        for worker in self.workers {
            worker.stop().await;
        }
        for queue in [&self.parents, &self.children] {
            assert_sound(queue).await;
            assert_eq!(queue.info().await.expect("readable").outbox, 0, "outbox of {}", queue.name());
        }
        drop(self.rig);
    }
}

#[tokio::test]
async fn a_parent_runs_when_its_children_have_and_reads_what_they_returned() {
    let two = two().await;
    let job = two.sum(&[("good", "1", Fail), ("good", "2", Fail), ("good", "3", Fail)]);
    assert_eq!(two.run(job, JobState::Completed).await, ["1", "2", "3"]);
    two.end().await;
}

#[tokio::test]
async fn a_failed_child_fails_its_parent_or_is_ignored_or_starts_it_as_its_policy_says() {
    let two = two().await;
    let reason = two.run(two.sum(&[("bad", "1", Fail), ("good", "2", Fail)]), JobState::Failed).await;
    assert!(reason[0].contains("bad luck"), "{reason:?}");
    let ignored = two.run(two.sum(&[("bad", "1", Ignore), ("good", "2", Fail)]), JobState::Completed).await;
    assert_eq!(ignored, ["bad luck", "2"]);
    // The other child never ends, and the parent does not wait for it.
    let parent = two.sum(&[("bad", "1", Continue), ("hangs", "2", Fail)]);
    assert_eq!(two.run(parent, JobState::Completed).await, ["bad luck", "pending"]);
    for worker in two.workers {
        worker.stop().await;
    }
}

#[tokio::test]
async fn flows_nest() {
    let two = two().await;
    let inner = |n: &str| {
        let leaf = two.parents.job("good", n.to_owned());
        let sum = two.children.job("sum", "null");
        sum.child(two.parents.name().clone(), leaf, Fail)
    };
    let root = two.parents.job("sum", "null");
    let root = root.child(two.children.name().clone(), inner("1"), Fail);
    let root = root.child(two.children.name().clone(), inner("2"), Fail);
    assert_eq!(two.run(root, JobState::Completed).await, ["[\"1\"]", "[\"2\"]"]);
    two.end().await;
}

#[tokio::test]
async fn a_flow_whose_children_could_not_be_delivered_at_once_is_finished_by_maintenance() {
    let two = two().await;
    for _ in 0..2 {
        two.rig.probe.fail("deliver", unreachable());
    }
    two.rig.probe.fail("acknowledge", unreachable());
    let job = two.sum(&[("good", "1", Fail)]);
    let id = two.parents.add(job).await.expect("it can be added").id;
    // What maintenance hands out, somebody delivers; here that is the test, because a worker's next renewal is seconds away.
    eventually("the end", async || {
        for queue in [&two.parents, &two.children] {
            let outbox: Vec<OutboxEntry> =
                queue.backend().maintain(queue.name()).await.expect("maintenance").outbox;
            let _ = bulrush::flow::deliver(&**queue.backend(), queue.name(), outbox).await;
        }
        let job = two.parents.get(&id).await.expect("readable").expect("kept");
        if job.state() == JobState::Completed { Ok(()) } else { Err(format!("{:?}", job.status)) }
    })
    .await;
    assert_eq!(two.runs.load(Ordering::Relaxed), 1);
    two.end().await;
}

#[tokio::test]
async fn follow_ups_arrive_once_with_their_owner_and_only_from_a_completion() {
    let rig = Rig::new().await;
    let (first, second) = (rig.queue("first"), rig.queue("second"));
    let target = second.clone();
    let handlers = Handlers::new().otherwise_raw(move |ctx| {
        let target = target.clone();
        async move {
            ctx.follow_up_typed(&target, "twice", &Double(4))?;
            ctx.follow_up(&target, "raw", target.job("raw", "7"));
            if ctx.attempt() < 3 { Err(Failure::retry("not yet")) } else { Ok(None) }
        }
    });
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let second_handlers = Handlers::new()
        .on(|Double(n), ctx: bulrush::Context| async move {
            assert_eq!(ctx.spec().owner.as_ref().map(|owner| owner.user.as_str()), Some("ann"));
            Ok(n * 2)
        })
        .on_raw("raw", move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Ok(None) }
        });
    let workers =
        [Worker::start(&first, handlers, quick(2)), Worker::start(&second, second_handlers, quick(2))];
    // The answer to the first delivery is lost, so it is made again.
    rig.probe.lose("deliver");
    let job = first.job("x", "1").owner("", "ann").attempts(3).backoff(Backoff::fixed(0));
    let id: JobId = first.add(job).await.expect("it can be added").id;
    until(&first, &id, JobState::Completed).await;
    let follower = second.derived_id(&id, "twice");
    eventually("the follow-up", async || {
        let job = second.get(&follower).await.expect("readable").ok_or("not there")?;
        if job.output::<u64>().expect("a number") == Some(8) { Ok(()) } else { Err(format!("{job:?}")) }
    })
    .await;
    until(&second, &second.derived_id(&id, "raw"), JobState::Completed).await;
    let info = second.info().await.expect("readable");
    assert_eq!((info.totals.added, runs.load(Ordering::Relaxed)), (2, 1));
    for worker in workers {
        worker.shutdown().await;
    }
}
