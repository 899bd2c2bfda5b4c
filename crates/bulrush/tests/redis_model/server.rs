//! A Redis server of the test's own, so that it can be disturbed without harm to anybody else.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Client, RedisResult, Value, cmd};

use crate::reach::Reached;

/// Longer than a server takes to start.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server. It is stopped with the test.
pub struct Server {
    pub address: String,
    /// Nobody else uses it.
    pub private: bool,
    /// What all histories on it have come to.
    pub reached: Reached,
    own: Option<(Child, tempfile::TempDir)>,
    control: Option<MultiplexedConnection>,
}

impl Server {
    /// Starts one of the test's own; where the program is missing, the one of all tests must do, which is not disturbed.
    pub async fn start() -> Self {
        let mut server = match Self::spawn() {
            Some(server) => server,
            None => {
                Self { address: shared(), private: false, reached: Reached::new(), own: None, control: None }
            }
        };
        let begun = Instant::now();
        let client = Client::open(server.address.as_str()).expect("a good address");
        loop {
            match client.get_multiplexed_async_connection().await {
                Ok(connection) => {
                    server.control = Some(connection);
                    return server;
                }
                Err(error) => assert!(begun.elapsed() < DEADLINE, "the server does not answer: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn spawn() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let socket: PathBuf = folder.path().join("redis.sock");
        let program = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--daemonize", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let program = program.ok()?;
        let address = format!("unix://{}", socket.display());
        Some(Self {
            address,
            private: true,
            reached: Reached::new(),
            own: Some((program, folder)),
            control: None,
        })
    }

    /// Says something to the server beside the backend.
    pub async fn try_tell(&mut self, words: &[&str]) -> RedisResult<Value> {
        let mut call = cmd(words[0]);
        for word in &words[1..] {
            call.arg(*word);
        }
        call.query_async(self.control.as_mut().expect("it was started")).await
    }

    pub async fn tell(&mut self, words: &[&str]) -> Value {
        self.try_tell(words).await.unwrap_or_else(|error| panic!("the server refuses {words:?}: {error}"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((program, _)) = &mut self.own {
            // It keeps nothing, so it need not be asked.
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// The server of all tests.
fn shared() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "there is no redis-server on the path, and BULRUSH_TEST_REDIS names none: run scripts/test, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    if address.starts_with('/') { format!("unix://{address}") } else { address }
}
