//! The end of a backend.

use std::time::Duration;

use bulrush::model::{PageRequest, QueueConfig, Scope};
use bulrush::port::{AdminCommand, Error, Put, Renew, ScheduleChange, Step};

use crate::suite::{Rig, id, job, name};

fn is_closed<T: std::fmt::Debug>(reply: Result<T, Error>) {
    let error = reply.expect_err("the backend is closed");
    assert!(matches!(error, Error::Closed), "{error}");
}

pub async fn a_closed_backend_refuses_every_call_alike(rig: &mut Rig) {
    rig.add(job("a")).await;
    let hand = rig.hand(1);
    let closed = rig.close().await;
    is_closed(closed.now().await);
    is_closed(closed.queues().await);
    let soon = rig.now() + 60_000;
    for queue in [rig.name.clone(), name("nowhere")] {
        is_closed(closed.add(&queue, vec![job("b")]).await);
        is_closed(closed.get(&queue, &[id("a")]).await);
        is_closed(closed.page(&queue, PageRequest::default()).await);
        is_closed(closed.info(&queue).await);
        is_closed(closed.children(&queue, &id("a"), 0, 1).await);
        is_closed(closed.logs(&queue, &id("a"), 0, 1).await);
        is_closed(closed.events(&queue, 0, 1, Duration::from_mins(1)).await);
        is_closed(closed.history(&queue, 0, true).await);
        is_closed(closed.workers(&queue).await);
        is_closed(closed.explain(&queue, &id("a")).await);
        is_closed(closed.verify(&queue, 0, true).await);
        is_closed(closed.step(&queue, Step::take(hand.id(), 1, 1)).await);
        is_closed(closed.wait(&queue, soon).await);
        is_closed(closed.update(&queue, Vec::new()).await);
        let renew = Renew { info: hand.info.clone(), rollup_seq: 0, rollups: Vec::new() };
        is_closed(closed.renew(&queue, renew));
        is_closed(closed.maintain(&queue).await);
        is_closed(closed.configure(&queue, QueueConfig::default()).await);
        is_closed(closed.admin(&queue, AdminCommand::Pause).await);
        is_closed(closed.deliver(&queue, &rig.name, Vec::new()).await);
        is_closed(closed.acknowledge(&queue, vec![1]).await);
        is_closed(
            closed.put_schedule(&queue, &Scope::All, super::schedules::every("s", 1_000), Put::Always).await,
        );
        is_closed(closed.change_schedules(&queue, &Scope::All, Vec::new(), ScheduleChange::Remove).await);
        is_closed(closed.get_schedules(&queue, &Scope::All, Vec::new()).await);
        is_closed(closed.list_schedules(&queue, &Scope::All, None, 1).await);
        is_closed(closed.due_schedules(&queue, 1).await);
        is_closed(closed.fire(&queue, Vec::new()).await);
        is_closed(closed.wait_due(&queue, soon).await);
    }
    closed.close().await.expect("closing twice is no error");
}

pub async fn a_close_ends_every_wait(rig: &mut Rig) {
    rig.add(job("a")).await;
    let at = rig.info().await.last_event;
    let mut waits = Vec::new();
    for (queue, after) in [(rig.name.clone(), at), (name("nowhere"), 0)] {
        let (backend, here, until) = (rig.backend.clone(), queue.clone(), rig.now() + 60_000);
        // The permit that the add left.
        backend.wait(&here, rig.now()).await.expect("it can wait");
        waits.push(tokio::spawn(async move { backend.wait(&here, until).await }));
        let (backend, here) = (rig.backend.clone(), queue.clone());
        waits.push(tokio::spawn(async move { backend.wait_due(&here, until).await }));
        let backend = rig.backend.clone();
        waits.push(tokio::spawn(async move {
            let page = backend.events(&queue, after, 10, Duration::from_mins(1)).await?;
            panic!("nothing happened, and yet: {page:?}");
        }));
    }
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(waits.iter().all(|wait| !wait.is_finished()));
    rig.close().await;
    for wait in waits {
        is_closed(wait.await.expect("it ends"));
    }
}
