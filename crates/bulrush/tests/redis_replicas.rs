//! Writes that replicas must confirm: a primary and a replica of a test's own.
#![cfg(feature = "redis")]

mod private;

use std::sync::Arc;

use bulrush::backend::connect;
use bulrush::model::{Finished, JobId, JobState, NewJob, Outcome, QueueName, WorkerId};
use bulrush::port::{
    AddOutcome, AdminCommand, Backend, Error, Resume, ServerFault, Settled, Step, WorkerInfo,
};
use deadpool_redis::redis::Value;
use private::{Private, free_port, until};

fn main_queue() -> QueueName {
    QueueName::new("main").expect("a good name")
}

fn id(text: &str) -> JobId {
    JobId::new(text).expect("a good id")
}

fn job(text: &str) -> NewJob {
    NewJob::new(id(text), "work", "{}")
}

/// A primary and a replica that follows it.
async fn pair() -> (Private, Private) {
    let port = free_port().to_string();
    let primary = Private::start(&[
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--repl-diskless-sync-delay",
        "0",
        "--repl-timeout",
        "600",
    ])
    .await;
    let replica = Private::start(&["--replicaof", "127.0.0.1", &port, "--repl-timeout", "600"]).await;
    until("the replica follows", async || {
        replica.text(&["INFO", "replication"]).await.contains("master_link_status:up")
    })
    .await;
    until("the primary knows it", async || {
        primary.text(&["INFO", "replication"]).await.contains("state=online")
    })
    .await;
    (primary, replica)
}

async fn open(primary: &Private, timeout_ms: u32) -> Arc<dyn Backend> {
    let url = format!("{}?replicas=1&replicas-timeout={timeout_ms}", primary.url());
    connect(&url).await.expect("the server can be reached")
}

fn is_unconfirmed(error: &Error) -> bool {
    matches!(error, Error::Unconfirmed { asked: 1, confirmed: 0, .. }) && error.is_transient()
}

#[tokio::test]
async fn what_is_acknowledged_is_on_the_replica() {
    let (primary, replica) = pair().await;
    let backend = open(&primary, 60_000).await;
    let queue = main_queue();
    for round in 0..20 {
        let name = format!("j{round}");
        backend.add(&queue, vec![job(&name)]).await.expect("the replica confirms");
        // No wait: it is there when the add returns.
        assert_eq!(replica.ask(&["HLEN", "bulrush:{main}:jobs"]).await, Ok(Value::Int(round + 1)));
    }
    let hello = Resume {
        info: WorkerInfo { id: WorkerId(1), name: "w".into(), slots: 1, version: "1".into(), started: 0 },
        call: 0,
        running: Vec::new(),
    };
    backend.resume(&queue, hello).await.expect("a worker can say hello");
    let taken = backend.step(&queue, Step::take(WorkerId(1), 1, 1)).await.expect("it is confirmed").taken;
    let outcome = Outcome::Complete { result: None, follow_ups: Vec::new() };
    let finished = vec![Finished { job: taken[0].clone(), outcome }];
    let settled = backend.step(&queue, Step::settle(WorkerId(1), 2, finished)).await;
    assert_eq!(settled.expect("it is confirmed").settled, [Settled::Ok]);
    // The replica is promoted: it has all that was acknowledged.
    drop(backend);
    drop(primary);
    replica.tell(&["REPLICAOF", "NO", "ONE"]).await;
    let promoted = connect(&replica.url()).await.expect("the server can be reached");
    let counts = promoted.info(&queue).await.expect("it can be read").counts;
    assert_eq!((counts.waiting, counts.completed), (19, 1));
}

#[tokio::test]
async fn a_write_that_no_replica_confirms_is_not_acknowledged_and_its_repeat_finds_it() {
    let (primary, replica) = pair().await;
    let (patient, backend, queue) = (open(&primary, 60_000).await, open(&primary, 50).await, main_queue());
    patient.add(&queue, vec![job("before")]).await.expect("the replica confirms");
    replica.signal("STOP");
    let refused = backend.add(&queue, vec![job("a")]).await.expect_err("nobody confirms");
    assert!(is_unconfirmed(&refused), "{refused:?}");
    let told = refused.to_string();
    assert!(told.contains("0 of the 1 replicas") && told.contains("send the same call again"), "{told}");
    // Nor is a repeat that has nothing to write, on this connection or on another process's.
    let other = open(&primary, 50).await;
    for backend in [&backend, &other] {
        let again = backend.add(&queue, vec![job("a")]).await.expect_err("nobody confirms");
        assert!(is_unconfirmed(&again), "{again:?}");
        let found = backend.get(&queue, &[id("a")]).await.expect("it can be read");
        assert_eq!(found[0].as_ref().map(bulrush::model::JobView::state), Some(JobState::Waiting));
    }
    for refused in [
        backend.configure(&queue, bulrush::model::QueueConfig::default()).await.map(drop),
        backend.admin(&queue, AdminCommand::Pause).await.map(drop),
        backend.admin(&queue, AdminCommand::Unpause).await.map(drop),
    ] {
        let error = refused.expect_err("nobody confirms");
        assert!(is_unconfirmed(&error), "{error:?}");
    }
    replica.signal("CONT");
    let reply = patient.add(&queue, vec![job("a")]).await.expect("the replica confirms");
    assert_eq!(reply.added[0].outcome, AddOutcome::SameId { state: JobState::Waiting });
    assert_eq!(patient.info(&queue).await.expect("it can be read").counts.waiting, 2);
}

#[tokio::test]
async fn a_step_that_no_replica_confirms_is_answered_again_when_one_does() {
    let (primary, replica) = pair().await;
    let (patient, backend, queue) = (open(&primary, 60_000).await, open(&primary, 50).await, main_queue());
    patient.add(&queue, vec![job("a")]).await.expect("the replica confirms");
    let info = WorkerInfo { id: WorkerId(7), name: "w".into(), slots: 1, version: "1".into(), started: 0 };
    let hello = Resume { info, call: 0, running: Vec::new() };
    backend.resume(&queue, hello).await.expect("a worker can say hello");
    replica.signal("STOP");
    let refused = backend.step(&queue, Step::take(WorkerId(7), 1, 1)).await.expect_err("nobody confirms");
    assert!(is_unconfirmed(&refused), "{refused:?}");
    replica.signal("CONT");
    let again = patient.step(&queue, Step::take(WorkerId(7), 1, 1)).await.expect("the replica confirms");
    assert_eq!(again.taken.len(), 1, "the same call has the same answer");
}

#[tokio::test]
async fn more_replicas_than_there_are_make_it_not_ready() {
    let server = Private::start(&[]).await;
    let url = format!("{}?replicas=2&replicas-timeout=1", server.url());
    let backend = connect(&url).await.expect("the server can be reached");
    let condition = backend.condition();
    let told: Vec<String> = condition.hindrances().map(ToString::to_string).collect();
    assert!(told.len() == 1 && told[0].contains("0 are connected, 2 must confirm"), "{told:?}");
    let refused = backend.add(&main_queue(), vec![job("a")]).await.expect_err("nobody confirms");
    assert!(matches!(refused, Error::Unconfirmed { asked: 2, confirmed: 0, .. }), "{refused:?}");
    assert!(connect(&server.url()).await.expect("the server can be reached").condition().is_ready());
}

#[tokio::test]
async fn an_account_that_may_not_publish_is_told_at_once() {
    let server = Private::start(&[]).await;
    server.tell(&["ACL", "SETUSER", "app", "on", ">s3cret", "~*", "resetchannels", "+@all"]).await;
    let url = format!("{}?user=app&pass=s3cret&replicas=1", server.url());
    let error = connect(&url).await.map(drop).expect_err("it may not");
    assert!(matches!(error, Error::Server { fault: ServerFault::Permission, .. }), "{error:?}");
    assert!(error.to_string().contains("+publish") && !error.to_string().contains("s3cret"), "{error}");
}

#[tokio::test]
async fn without_the_option_nothing_more_is_sent() {
    let server = Private::start(&[]).await;
    let backend = connect(&server.url()).await.expect("the server can be reached");
    backend.add(&main_queue(), vec![job("a")]).await.expect("jobs can be added");
    backend.admin(&main_queue(), AdminCommand::Pause).await.expect("it can be paused");
    let stats = server.text(&["INFO", "commandstats"]).await;
    assert!(!stats.contains("cmdstat_wait:") && !stats.contains("cmdstat_publish"), "{stats}");
}
