//! A Redis server of a test's own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::DEADLINE;

/// A private server, killed at the end whatever happens.
pub struct Redis {
    child: Child,
    folder: TempDir,
}

impl Redis {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = Self { child: Self::spawn(&folder), folder };
        until("the server answers", async || redis.connect().is_some()).await;
        redis
    }

    fn spawn(folder: &TempDir) -> Child {
        Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "yes",
                "--daemonize",
                "no",
                "--maxmemory",
                "100mb",
                "--unixsocket",
            ])
            .arg(folder.path().join("r.sock"))
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can be started; scripts/test installs it")
    }

    /// Stops its process where it is, or lets it go on.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill can be run").success());
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on what it has kept.
    pub async fn start_again(&mut self) {
        self.child = Self::spawn(&self.folder);
        until("the server answers again", async || self.answers()).await;
    }

    fn answers(&self) -> bool {
        let Some(mut stream) = self.connect() else { return false };
        let _ = stream.set_read_timeout(Some(DEADLINE));
        write!(stream, "PING\r\n").is_ok()
            && BufReader::new(stream)
                .lines()
                .next()
                .is_some_and(|line| line.is_ok_and(|line| line == "+PONG"))
    }

    pub fn connect(&self) -> Option<UnixStream> {
        UnixStream::connect(self.folder.path().join("r.sock")).ok()
    }

    pub fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("r.sock").display())
    }

    /// Says something to it that it must do.
    pub fn tell(&self, line: &str) {
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

pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds().await {
        assert!(Instant::now() < deadline, "in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
