//! Servers of a test's own, with settings of their own.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deadpool_redis::redis::{Client, Value, cmd};
use tempfile::TempDir;

/// Longer than anything here takes.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// A private server on a socket in a temporary folder, killed at the end whatever happens.
pub struct Private {
    child: Child,
    folder: TempDir,
}

impl Private {
    /// Starts one with settings in addition to those that keep it private. `BULRUSH_TEST_REDIS_SERVER` names another program than
    /// `redis-server`.
    pub async fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self::start_in(folder, settings).await
    }

    pub async fn start_in(folder: TempDir, settings: &[&str]) -> Self {
        let program =
            std::env::var("BULRUSH_TEST_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
        let log = std::fs::File::create(folder.path().join("log")).expect("it can be made");
        let mut command = Command::new(program);
        if !settings.contains(&"--port") {
            command.args(["--port", "0"]);
        }
        let child = command
            .args(["--save", "", "--daemonize", "no", "--unixsocket"])
            .arg(folder.path().join("r.sock"))
            .arg("--dir")
            .arg(folder.path())
            .args(settings)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can be started; scripts/test installs it");
        let mut server = Self { child, folder };
        let deadline = Instant::now() + DEADLINE;
        while server.ask(&["PING"]).await.is_err() {
            let ended = server.child.try_wait().expect("it can be waited for");
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}: {}", server.log());
            pause().await;
        }
        server
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("r.sock")
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Says something to it; returns the answer or its error.
    pub async fn ask(&self, words: &[&str]) -> Result<Value, String> {
        let client = Client::open(self.url()).map_err(|error| error.to_string())?;
        let mut connection =
            client.get_multiplexed_async_connection().await.map_err(|error| error.to_string())?;
        let mut call = cmd(words[0]);
        call.arg(&words[1..]);
        call.query_async(&mut connection).await.map_err(|error| error.to_string())
    }

    /// As [`ask`](Self::ask), of something that must succeed.
    pub async fn tell(&self, words: &[&str]) {
        self.ask(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    }

    /// A text that it answers.
    pub async fn text(&self, words: &[&str]) -> String {
        match self.ask(words).await {
            Ok(Value::BulkString(bytes)) => String::from_utf8_lossy(&bytes).into_owned(),
            Ok(Value::VerbatimString { text, .. }) => text,
            other => panic!("{words:?}: {other:?} is no text"),
        }
    }

    /// Sends it a signal: STOP, CONT.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(sent.expect("kill can be run").success(), "the server can be sent {name}");
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody uses now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port()
}

/// Waits until something holds.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "in time: {what}");
        pause().await;
    }
}

/// Between two looks.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(10)).await;
}
