//! What the tests of the program share: running it, and a server that does not outlive its test.

pub mod server;
pub mod snippets;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for what must happen: longer than a lease and what follows it.
pub const DEADLINE: Duration = Duration::from_mins(1);

/// The program, with nothing of the surroundings' settings.
fn bulrush(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bulrush"));
    command.args(arguments).env("RUST_BACKTRACE", "0");
    for variable in
        ["REDIS_URL", "BULRUSH_ENGINE", "DATABASE_URL", "DATABASE_URL_FILE", "BULRUSH_FILES", "RUST_LOG"]
    {
        command.env_remove(variable);
    }
    command
}

pub fn run(arguments: &[&str]) -> Output {
    bulrush(arguments).output().expect("the program can be started")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn path(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

/// A running `serve`, killed at the end whatever happens.
pub struct Serve {
    child: Child,
    /// Host and port.
    pub address: String,
}

impl Serve {
    /// On a folder and a free port, with the stand-in for the outside world.
    pub fn start(data: &Path, more: &[&str]) -> Self {
        let mut child = bulrush(&["serve", "--data", path(data), "--port", "0", "--sandbox"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program can be started");
        let stdout = child.stdout.take().expect("it is piped");
        let first = BufReader::new(stdout).lines().next().expect("it says where it is").expect("as text");
        let address = first.split_whitespace().find_map(|word| word.strip_prefix("http://"));
        let address = address.unwrap_or_else(|| panic!("no address in {first:?}")).to_owned();
        Self { child, address }
    }

    /// Asks it to stop, as Ctrl-C does, and waits for its end.
    pub fn stop(mut self) -> bool {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        assert!(asked.expect("kill can be run").success());
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.success();
            }
            assert!(Instant::now() < deadline, "it did not stop");
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    #[allow(dead_code, reason = "each test binary uses its own part of this")]
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it can be waited for");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
