//! Readiness in front of a Redis whose settings somebody changes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use common::{Answer, DEADLINE, Fixture, bind_on};
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

/// A private server, killed at the end whatever happens.
struct Redis {
    child: Child,
    folder: TempDir,
}

impl Redis {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--daemonize", "no", "--maxmemory", "100mb", "--unixsocket"])
            .arg(folder.path().join("r.sock"))
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can be started; scripts/test installs it");
        let redis = Self { child, folder };
        until("the server answers", async || redis.connect().is_some()).await;
        redis
    }

    fn connect(&self) -> Option<UnixStream> {
        UnixStream::connect(self.folder.path().join("r.sock")).ok()
    }

    fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("r.sock").display())
    }

    /// Says something to it that it must do.
    fn tell(&self, line: &str) {
        let mut stream = self.connect().expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "{line}\r\n").unwrap();
        let answer = BufReader::new(stream).lines().next().expect("it answers").unwrap();
        assert_eq!(answer, "+OK", "{line}");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn open(api: &Fixture, path: &str) -> Answer {
    Answer::of(api.request(Method::GET, path).send().await.unwrap()).await
}

#[tokio::test]
async fn a_server_that_comes_to_evict_jobs_is_not_ready_until_it_is_put_right() {
    let redis = Redis::start().await;
    let options = RedisOptions { look_every: Duration::from_millis(50), ..RedisOptions::default() };
    let engine = connect_redis_with(&redis.url(), options).await.unwrap();
    let api = bind_on(engine, ApiConfig::default(), Catalog::default()).await;
    api.serve();
    assert_eq!(open(&api, "/health/ready").await.expect(200), json!({"status": "ready"}));
    let health = open(&api, "/health").await.expect(200);
    assert_eq!((&health["backend"], &health["durability"]), (&json!("redis"), &json!("volatile")));

    redis.tell("CONFIG SET maxmemory-policy allkeys-lru");
    until("it is not ready", async || open(&api, "/health/ready").await.status == 503).await;
    let ready = open(&api, "/health/ready").await.expect(503);
    assert_eq!(
        ready,
        json!({
            "status": "unhealthy",
            "reasons": [{
                "check": "maxmemory-policy",
                "reason": "allkeys-lru silently deletes jobs when memory is full",
                "cure": "CONFIG SET maxmemory-policy noeviction",
            }],
        })
    );
    let health = open(&api, "/health").await.expect(503);
    assert_eq!((&health["services"]["redis"], &health["services"]["queues"]), (&json!("up"), &json!("down")));
    assert_eq!(health["reasons"], ready["reasons"]);

    redis.tell(ready["reasons"][0]["cure"].as_str().unwrap());
    until("it is ready again", async || open(&api, "/health/ready").await.status == 200).await;
}
