//! What is known of a Redis server: whether it may be relied on, and what it keeps. Each test has a server of its own.
#![cfg(feature = "redis")]

mod private;

use std::sync::Arc;
use std::time::Duration;

use bulrush::backend::{RedisOptions, connect, connect_redis_with};
use bulrush::model::{JobId, NewJob, QueueName};
use bulrush::port::{Backend, Durability, Error, ServerFault};
use deadpool_redis::redis::Value;
use private::{Private, free_port, until};

/// A backend that looks at its server as often as a test is patient.
async fn open(url: &str) -> Arc<dyn Backend> {
    let options = RedisOptions { look_every: Duration::from_millis(20), ..RedisOptions::default() };
    connect_redis_with(url, options).await.expect("the server can be reached")
}

fn hindrances(backend: &Arc<dyn Backend>) -> Vec<&'static str> {
    backend.condition().hindrances().map(|check| check.what).collect()
}

fn main_queue() -> QueueName {
    QueueName::new("main").expect("a good name")
}

fn job(id: &str) -> NewJob {
    NewJob::new(JobId::new(id).expect("a good id"), "work", "{}")
}

#[tokio::test]
async fn a_policy_that_is_switched_to_eviction_makes_it_not_ready_until_it_is_switched_back() {
    let server = Private::start(&["--maxmemory", "100mb"]).await;
    let backend = open(&server.url()).await;
    assert_eq!(hindrances(&backend), Vec::<&str>::new());
    for policy in ["allkeys-lru", "volatile-ttl", "allkeys-random"] {
        server.tell(&["CONFIG", "SET", "maxmemory-policy", policy]).await;
        until("the change is seen", async || hindrances(&backend) == ["maxmemory-policy"]).await;
        let condition = backend.condition();
        let told = condition.hindrances().map(ToString::to_string).collect::<String>();
        assert!(told.contains("deletes") && told.contains("maxmemory-policy noeviction"), "{told}");
        // It is a judgement: nobody is kept from anything.
        backend.add(&main_queue(), vec![job(policy)]).await.expect("jobs can be added");
        server.tell(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).await;
        until("it heals", async || backend.condition().is_ready()).await;
    }
}

#[tokio::test]
async fn a_server_that_evicts_from_the_start_is_not_ready_unless_the_address_allows_it() {
    let server = Private::start(&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lfu"]).await;
    let backend = connect(&server.url()).await.expect("the server can be reached");
    assert_eq!(hindrances(&backend), ["maxmemory-policy"]);
    let allowed = connect(&format!("{}?allow-eviction=yes", server.url())).await;
    let allowed = allowed.expect("the server can be reached").condition();
    assert!(allowed.is_ready(), "{allowed:?}");
    assert!(allowed.checks.iter().any(|check| check.found.contains("allow-eviction")), "{allowed:?}");
}

#[tokio::test]
async fn the_class_of_durability_follows_the_settings() {
    let server = Private::start(&[]).await;
    let backend = open(&server.url()).await;
    assert_eq!(backend.condition().durability, Durability::Volatile);
    server.tell(&["CONFIG", "SET", "appendonly", "yes"]).await;
    for (fsync, class) in
        [("everysec", Durability::Standard), ("always", Durability::Durable), ("no", Durability::Weak)]
    {
        server.tell(&["CONFIG", "SET", "appendfsync", fsync]).await;
        until("the change is seen", async || backend.condition().durability == class).await;
    }
    // Whoever may not ask for settings does not know.
    server.tell(&["ACL", "SETUSER", "app", "on", ">s3cret", "~*", "&*", "+@all", "-config"]).await;
    let app = format!("{}?user=app&pass=s3cret", server.url());
    let condition = connect(&app).await.expect("the server can be reached").condition();
    assert_eq!((condition.durability, condition.is_ready()), (Durability::Unverified, true));
    server.tell(&["ACL", "SETUSER", "app", "-info"]).await;
    let condition = connect(&app).await.expect("the server can be reached").condition();
    assert_eq!((condition.durability, condition.is_ready()), (Durability::Unverified, true));
}

#[tokio::test]
async fn a_primary_that_becomes_a_replica_is_not_ready_and_no_address_is_told() {
    let port = free_port().to_string();
    let _primary = Private::start(&["--port", &port, "--bind", "127.0.0.1"]).await;
    let server = Private::start(&[]).await;
    let backend = open(&server.url()).await;
    assert!(backend.condition().is_ready());
    server.tell(&["REPLICAOF", "127.0.0.1", &port]).await;
    until("the change is seen", async || hindrances(&backend).contains(&"role")).await;
    let told = format!("{:?}", backend.condition());
    assert!(!told.contains(&port), "{told}");
    let refused = backend.add(&main_queue(), vec![job("a")]).await.expect_err("a replica takes no writes");
    assert!(refused.is_transient() && refused.to_string().contains("replica"), "{refused}");
    server.tell(&["REPLICAOF", "NO", "ONE"]).await;
    until("it heals", async || backend.condition().is_ready()).await;
    backend.add(&main_queue(), vec![job("a")]).await.expect("a primary takes them");
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_and_one_that_is_full_keeps_its_workers() {
    let server = Private::start(&[]).await;
    let backend = open(&server.url()).await;
    server.tell(&["CONFIG", "SET", "maxmemory", "100kb"]).await;
    let full = async || backend.condition().checks.iter().any(|it| it.found.contains("it is full"));
    until("it is seen to be full", full).await;
    assert!(backend.condition().is_ready(), "workers drain it");
    let refused = backend.add(&main_queue(), vec![job("a")]).await.expect_err("there is no room");
    assert!(matches!(refused, Error::Server { fault: ServerFault::Memory, .. }), "{refused:?}");
    assert!(refused.to_string().contains("maxmemory"), "{refused}");
    drop(server);
    until("its absence is seen", async || hindrances(&backend) == ["reachable"]).await;
}

#[tokio::test]
async fn a_password_that_is_missing_or_wrong_names_the_cure_and_is_not_told() {
    let server = Private::start(&[]).await;
    server.tell(&["CONFIG", "SET", "requirepass", "s3cret-right"]).await;
    for bad in [server.url(), format!("{}?pass=s3cret-wrong", server.url())] {
        let error = connect(&bad).await.map(drop).expect_err("it is not let in");
        assert!(matches!(error, Error::Server { fault: ServerFault::Password, .. }), "{error:?}");
        let told = error.to_string();
        assert!(told.contains("redis://USER:PASSWORD@HOST") && !told.contains("s3cret"), "{told}");
    }
    let right = format!("{}?pass=s3cret-right", server.url());
    connect(&right).await.map(drop).expect("it is let in");
}

#[tokio::test]
async fn a_server_that_must_not_write_names_the_setting() {
    let server = Private::start(&[]).await;
    let backend = connect(&server.url()).await.expect("the server can be reached");
    server.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    let error = backend.add(&main_queue(), vec![job("a")]).await.expect_err("no replica is there");
    assert!(matches!(error, Error::Server { fault: ServerFault::Replicas, .. }), "{error:?}");
    assert!(error.to_string().contains("min-replicas-to-write"), "{error}");
}

#[tokio::test]
async fn the_watch_ends_with_the_backend_closed_or_dropped() {
    let server = Private::start(&[]).await;
    let alone = async || server.text(&["CLIENT", "LIST"]).await.lines().count() == 1;
    let backend = open(&server.url()).await;
    backend.close().await.expect("it can be closed");
    assert!(!backend.condition().is_ready(), "nothing can be done with it");
    until("its connections are closed", alone).await;
    let dropped = open(&server.url()).await;
    assert!(!alone().await, "a connection is kept");
    drop(dropped);
    until("its connections are closed", alone).await;
}

#[tokio::test]
async fn an_idle_backend_asks_once_a_period_and_otherwise_nothing() {
    let server = Private::start(&[]).await;
    let backend = connect(&server.url()).await.expect("the server can be reached");
    for _ in 0..1_000 {
        assert!(backend.condition().is_ready());
    }
    let stats = server.text(&["INFO", "commandstats"]).await;
    assert!(stats.contains("cmdstat_info:calls=1,"), "a look costs nobody a round trip: {stats}");
    assert!(!stats.contains("cmdstat_wait") && !stats.contains("cmdstat_publish"), "{stats}");
    assert_eq!(server.ask(&["DBSIZE"]).await, Ok(Value::Int(0)));
}

#[tokio::test]
async fn a_wait_that_is_given_up_while_writes_are_held_up_leaves_the_server_alive() {
    let server = Private::start(&[]).await;
    let backend = connect(&server.url()).await.expect("the server can be reached");
    let queue = main_queue();
    let until_late = backend.now().await.expect("a moment") + 60_000;
    // An orderly failover holds writes up; a wait that begins meanwhile is held up too.
    server.tell(&["CLIENT", "PAUSE", "60000", "WRITE"]).await;
    let waiting = {
        let (backend, queue) = (backend.clone(), queue.clone());
        tokio::spawn(async move { backend.wait(&queue, until_late).await })
    };
    until("the wait is held up", async || {
        server.text(&["CLIENT", "LIST"]).await.lines().any(|line| line.contains("cmd=blpop"))
    })
    .await;
    waiting.abort();
    let _ = waiting.await;
    until("the wait is being ended", async || {
        server.text(&["CLIENT", "LIST"]).await.lines().any(|line| line.contains("cmd=lpush"))
    })
    .await;
    server.tell(&["CLIENT", "UNPAUSE"]).await;
    backend.add(&queue, vec![job("a")]).await.expect("the server is still there");
    let keys = async || server.ask(&["KEYS", "*:wake:*"]).await;
    until(
        "nothing is left of the wait",
        async || matches!(keys().await, Ok(Value::Array(keys)) if keys.is_empty()),
    )
    .await;
}
